// SPDX-License-Identifier: MIT

#include "tools/kevrun/function_names.h"

#include <cxxabi.h>
#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

namespace kevent::kevrun {
namespace {

// The address that the first segment asks for: 0 but in programs that are loaded at a fixed one.
uint64_t BaseOf(Elf* elf) {
  size_t count = 0;
  if (elf_getphdrnum(elf, &count) != 0) return 0;
  for (size_t i = 0; i < count; ++i) {
    GElf_Phdr segment;
    if (gelf_getphdr(elf, static_cast<int>(i), &segment) != nullptr && segment.p_type == PT_LOAD) {
      return segment.p_vaddr - segment.p_offset;
    }
  }
  return 0;
}

FunctionName FindIn(Elf* elf, Elf_Scn* section, const GElf_Shdr& header, uint64_t address) {
  Elf_Data* const data = elf_getdata(section, nullptr);
  if (data == nullptr || header.sh_entsize == 0) return {};
  for (size_t i = 0; i < header.sh_size / header.sh_entsize; ++i) {
    GElf_Sym symbol;
    if (gelf_getsym(data, static_cast<int>(i), &symbol) == nullptr) break;
    if (GELF_ST_TYPE(symbol.st_info) != STT_FUNC || address - symbol.st_value >= symbol.st_size) {
      continue;
    }
    const char* const name = elf_strptr(elf, header.sh_link, symbol.st_name);
    if (name != nullptr) return {Demangled(name), address - symbol.st_value};
  }
  return {};
}

}  // namespace

FunctionName FunctionAt(const std::string& object, uint64_t in_object) {
  FunctionName found;
  const int fd = open(object.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return found;
  elf_version(EV_CURRENT);
  Elf* const elf = elf_begin(fd, ELF_C_READ, nullptr);
  Elf_Scn* section = nullptr;
  while (elf != nullptr && found.function.empty() &&
         (section = elf_nextscn(elf, section)) != nullptr) {
    GElf_Shdr header;
    if (gelf_getshdr(section, &header) != nullptr && header.sh_type == SHT_SYMTAB) {
      found = FindIn(elf, section, header, in_object + BaseOf(elf));
    }
  }
  elf_end(elf);
  close(fd);
  return found;
}

// Names of types are mangled as single letters, which functions of C may be called.
std::string Demangled(const std::string& name) {
  if (name.substr(0, 2) != "_Z") return name;
  int status = 0;
  char* const text = abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status);
  std::string demangled = text == nullptr ? name : text;
  std::free(text);
  return demangled;
}

}  // namespace kevent::kevrun
