// SPDX-License-Identifier: MIT
//
// The ways of doing operations on a file without waiting for each.

#pragma once

#include <vector>

#include "bench/aiobench/transfer.h"

namespace aiobench {

enum class Kind { kQueue, kQueueLists, kLibrarys, kRing, kRingBatches, kFloor };

struct Way {
  const char* name;
  Kind kind;
  void (*run)(Transfer& transfer);
};

// Without a kernel's io_uring those that need it are left out.
std::vector<Way> Ways();

// Whether this process can have an io_uring.
bool HasRing();

}  // namespace aiobench
