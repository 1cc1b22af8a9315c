// SPDX-License-Identifier: MIT
//
// What an ELF file says to the loader.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace kevent::kevrun {

// A name of a function or variable in the dynamic symbol table, and the version it is bound to,
// which may be empty.
struct Symbol {
  std::string name;
  std::string version;
};

struct ElfFile {
  uint16_t machine = 0;  // EM_X86_64, ...
  bool is_64_bits = false;
  std::string interpreter;  // the loader it asks for; empty: it is static, or no program
  std::string soname;
  std::vector<std::string> needed;  // DT_NEEDED
  std::vector<Symbol> imported;
  std::vector<Symbol> exported;
};

// True for libkevent itself.
bool IsLibkevent(const ElfFile& elf);

// Reads the file; nothing if it is no ELF file, or cannot be read (errno says why, or is 0).
std::optional<ElfFile> ReadElf(const std::string& path);

}  // namespace kevent::kevrun
