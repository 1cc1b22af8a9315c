// SPDX-License-Identifier: MIT
//
// kevrun --check: whether the library reaches a program, and what the program calls.

#pragma once

#include <string>
#include <vector>

namespace kevent::kevrun {

// Prints what was found to the standard output.  True if the library, the last of the objects that
// would be preloaded, reaches the program.
bool Check(const std::string& command, const std::vector<std::string>& objects);

}  // namespace kevent::kevrun
