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

// The path of an adapter, libkevent-NAME.so: beside the library as a build or an installation has
// it.  Empty if it is not there; *why says so.
std::string FindAdapter(const std::string& name, const std::string& library, std::string* why);

// The value of LD_PRELOAD with `objects` in front of what is there, but for the runtimes of
// sanitizers, and `sanitizer` before all others; an object that is there is not put there again.
std::string WithObjects(const std::vector<std::string>& objects, const std::string& sanitizer,
                        const std::string& before);

}  // namespace kevent::kevrun
