// SPDX-License-Identifier: MIT
//
// kevrun --check: whether the library reaches a program, and what the program calls.

#pragma once

#include <string>

namespace kevent::kevrun {

// Prints what was found to the standard output.  True if the library reaches the program.
bool Check(const std::string& command, const std::string& library);

}  // namespace kevent::kevrun
