// SPDX-License-Identifier: MIT
//
// The parent of the command.

#pragma once

#include <sys/types.h>

#include <functional>

namespace kevent::kevrun {

// A process between this one and the command.  A shell waits for this process, which is therefore
// to be stopped while the command is; so another one, which never stops, has the command as its
// child, sees it stop, go on and end, and has this process do the same.
//
// It is in a session of its own: signals to the group of kevrun and the command do not reach it,
// and a group whose parents are in other sessions is orphaned as it is without kevrun (POSIX,
// Orphaned Process Group), so that no key stops it.
struct Monitor {
  pid_t pid = 0;      // a child of this process, which ends when the command has ended
  pid_t command = 0;  // its child
  int results = -1;   // a descriptor, for CommandStatus
};

// `program` is called in the command, and executes a program or ends the process.  Signals that
// this process sends to the monitor go on to the command.  With pid -1 there are none of the two,
// and errno says why.
Monitor StartMonitor(const std::function<void()>& program);

// How the command has ended (waitpid), when the monitor has with `monitor_status`: the same if
// somebody has killed the monitor.
int CommandStatus(const Monitor& monitor, int monitor_status);

}  // namespace kevent::kevrun
