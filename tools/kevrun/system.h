// SPDX-License-Identifier: MIT
//
// What the library finds in this system.

#pragma once

#include <string>
#include <vector>

namespace kevent::kevrun {

struct Finding {
  bool works;
  bool needed;         // nothing of the library works without it
  std::string what;    // "timers in queues"
  std::string detail;  // what is there, or what is missing and what follows
};

// Loads the library into this process, and tries what programs will use.
std::vector<Finding> TrySystem(const std::string& library);

}  // namespace kevent::kevrun
