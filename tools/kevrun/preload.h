// SPDX-License-Identifier: MIT
//
// What is put into LD_PRELOAD: see ld.so(8).

#pragma once

#include <string>
#include <vector>

namespace kevent::kevrun {

// The path of libkevent: the file that is named; or if none is, one beside this program, the
// installed one, or one that the loader finds.  Empty if there is none, or it is another library;
// *why says so.
std::string FindLibrary(const std::string& named, std::string* why);

// The runtime of a sanitizer that must be the first object of a process, among those that a
// program needs, or empty.
std::string SanitizerOf(const std::vector<std::string>& needed);

// The value of LD_PRELOAD with `object` in front of what is there, but for the runtimes of
// sanitizers, and `sanitizer` before all others; an object that is there is not put there again.
std::string WithObject(const std::string& object, const std::string& sanitizer,
                       const std::string& before);

}  // namespace kevent::kevrun
