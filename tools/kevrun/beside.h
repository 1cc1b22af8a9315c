// SPDX-License-Identifier: MIT
//
// Processes that kevrun has beside itself.

#pragma once

#include <sys/types.h>

namespace kevent::kevrun {

// As fork.  The child takes no signal, and is killed when this process ends, however that comes
// about.  Its own children are not.
pid_t ForkBeside();

// Ends a child of ForkBeside.
void EndBeside(pid_t pid);

}  // namespace kevent::kevrun
