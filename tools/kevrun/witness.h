// SPDX-License-Identifier: MIT
//
// Which signals come to the process group.

#pragma once

#include <sys/types.h>

#include <cstdint>

namespace kevent::kevrun {

// A process of the same group that takes no signal: those that are sent to the group remain pending
// there, and those that are sent to this process alone do not.  Nothing else tells the two apart.
class Witness {
 public:
  Witness() { Begin(); }
  ~Witness();
  Witness(const Witness&) = delete;
  Witness& operator=(const Witness&) = delete;

  // Whether the signal has come to the group since the last call that said so.
  bool HasSeen(int signal);

 private:
  void Begin();
  // A bit for each signal, as proc(5) has them.
  uint64_t Pending() const;

  pid_t pid_ = 0;
};

}  // namespace kevent::kevrun
