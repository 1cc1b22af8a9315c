// SPDX-License-Identifier: MIT
//
// Where adapters write what they have seen: a folder for each run of kevrun, in one that only its
// user can enter.

#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace kevent::kevrun {

// A file of an adapter: PREFIX.PID.N.
struct Observed {
  std::string path;
  pid_t pid = 0;
  int number = 0;  // of the program that the process has executed
};

// Makes a folder for this run in $XDG_RUNTIME_DIR, /dev/shm or /tmp, the first that serves, and
// removes what runs have left there whose processes have ended a day ago.  Empty if there is none;
// *why says so.
std::string MakeRunFolder(std::string* why);

// Those with this prefix, in the order of their processes and programs.
std::vector<Observed> ObservedIn(const std::string& folder, const std::string& prefix);

// The same of one process, in all folders of this user: more than one if its number was used
// before.
std::vector<Observed> ObservedOf(pid_t pid, const std::string& prefix);

// Whether the process of a file runs: not one that has got its number later.
bool Runs(pid_t pid, uint64_t started);

// Removes the files of processes that have ended, and the folder if nothing remains in it.
void RemoveEnded(const std::string& folder);

}  // namespace kevent::kevrun
