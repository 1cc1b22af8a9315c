// SPDX-License-Identifier: MIT
//
// Where adapters write what they have seen: a folder for each run of kevrun, in one that only its
// user can enter.

#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "adapters/observe/file.h"

namespace kevent::kevrun {

// A file of an adapter: PREFIX.PID.N.
struct Observed {
  std::string path;
  pid_t pid = 0;
  int number = 0;  // of the program that the process has executed
};

// Makes a folder for this run in $XDG_RUNTIME_DIR, if only this user can enter that, /dev/shm or
// /tmp, the first that serves, and removes those that no process was seen to use for a day.  Empty
// if there is none; *why says so.
std::string MakeRunFolder(std::string* why);

// Takes a lock on the folder, which neither another kevrun nor systemd-tmpfiles (tmpfiles.d(5))
// removes while it is held: until the descriptor is closed.
int LockFolder(const std::string& folder);

// Those with this prefix, in the order of their processes and programs.
std::vector<Observed> ObservedIn(const std::string& folder, const std::string& prefix);

// The same of one process, in all folders of this user: more than one if its number was used
// before.  Of a kevrun if no process of this number has a file: all of its run.
std::vector<Observed> ObservedOf(pid_t pid, const std::string& prefix);

// The processes that had no room for a file with this prefix.
std::vector<pid_t> WithoutFile(const std::string& folder, const std::string& prefix);

// Whether the process of a file runs: not one that has got its number later.
bool Runs(pid_t pid, uint64_t started);

// The process that kevrun has waited for.
struct Ended {
  pid_t pid = 0;      // 0: none
  int status = 0;     // of wait(2)
  uint64_t time = 0;  // ns on CLOCK_MONOTONIC
};

// ns on CLOCK_MONOTONIC at which the program that has written the file has ended, or has executed
// another one; now if it runs; 0 if that is not known.  `is_last`: of the files of its process.
struct End {
  uint64_t time = 0;
  bool runs = false;
};
End EndOf(const observe::FileHeader& header, const std::string& path, bool is_last,
          const Ended& ended);

// Removes the files of processes that have ended, and all of the folder if no process may use it
// any more: one that observes itself, or has the folder in its environment.
void RemoveUnused(const std::string& folder);

}  // namespace kevent::kevrun
