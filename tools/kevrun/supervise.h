// SPDX-License-Identifier: MIT
//
// A program that kevrun starts and waits for, as something is to be said in the end.

#pragma once

#include <functional>

#include "tools/kevrun/folder.h"

namespace kevent::kevrun {

// Runs `program` in a process of this one's group, and waits until it has ended, however that comes
// about.  Signals that other processes send to this one alone go on to it; while it is stopped, so
// is this one.  `program` executes the program, or ends the process.
Ended RunAndWait(const std::function<void()>& program);

// Ends this process as that one has ended: with its status, or by the same signal.
[[noreturn]] void EndAs(int status);

}  // namespace kevent::kevrun
