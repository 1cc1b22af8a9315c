// SPDX-License-Identifier: MIT
//
// Functions by their addresses, from the symbol table of an object that has one: also those that it
// does not export.

#pragma once

#include <cstdint>
#include <string>

namespace kevent::kevrun {

struct FunctionName {
  std::string function;  // empty: not known
  uint64_t offset = 0;   // in it
};

// `in_object` is relative to where the object was loaded.
FunctionName FunctionAt(const std::string& object, uint64_t in_object);

// A name of C++ as it is written, any other as it is.
std::string Demangled(const std::string& name);

}  // namespace kevent::kevrun
