// SPDX-License-Identifier: MIT

#include "tools/kevrun/elf_file.h"

#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>

namespace kevent::kevrun {
namespace {

// An open file and libelf's view of it.
class Reader {
 public:
  explicit Reader(const std::string& path) : fd_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (fd_ < 0) return;
    errno = 0;
    elf_version(EV_CURRENT);
    elf_ = elf_begin(fd_, ELF_C_READ_MMAP, nullptr);
    if (elf_ != nullptr && elf_kind(elf_) != ELF_K_ELF) Close();
  }
  ~Reader() {
    Close();
    if (fd_ >= 0) close(fd_);
  }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  Elf* get() const { return elf_; }

 private:
  void Close() {
    elf_end(elf_);
    elf_ = nullptr;
  }

  int fd_;
  Elf* elf_ = nullptr;
};

std::string TextAt(Elf* elf, size_t section, size_t offset) {
  const char* text = elf_strptr(elf, section, offset);
  return text == nullptr ? "" : text;
}

// The loader's name, from the program header.
std::string InterpreterOf(Elf* elf) {
  size_t count = 0;
  elf_getphdrnum(elf, &count);
  for (size_t i = 0; i < count; ++i) {
    GElf_Phdr header;
    if (gelf_getphdr(elf, static_cast<int>(i), &header) == nullptr) continue;
    if (header.p_type != PT_INTERP) continue;
    Elf_Data* data = elf_getdata_rawchunk(elf, static_cast<int64_t>(header.p_offset),
                                          header.p_filesz, ELF_T_BYTE);
    if (data == nullptr) return "";
    const std::string text(static_cast<const char*>(data->d_buf), data->d_size);
    return text.substr(0, text.find('\0'));
  }
  return "";
}

// The versions of symbols: the index that each symbol has, and the names of the indexes.
class Versions {
 public:
  void ReadIndexes(Elf_Scn* section) { indexes_ = elf_getdata(section, nullptr); }

  void ReadNeeded(Elf* elf, Elf_Scn* section, const GElf_Shdr& header) {
    Elf_Data* data = elf_getdata(section, nullptr);
    int offset = 0;
    GElf_Verneed file;
    while (data != nullptr && gelf_getverneed(data, offset, &file) != nullptr) {
      int entry_offset = offset + static_cast<int>(file.vn_aux);
      GElf_Vernaux entry;
      for (int i = 0; i < file.vn_cnt; ++i) {
        if (gelf_getvernaux(data, entry_offset, &entry) == nullptr) break;
        names_[entry.vna_other] = TextAt(elf, header.sh_link, entry.vna_name);
        entry_offset += static_cast<int>(entry.vna_next);
      }
      if (file.vn_next == 0) break;
      offset += static_cast<int>(file.vn_next);
    }
  }

  std::string Of(size_t symbol) const {
    GElf_Versym index;
    if (indexes_ == nullptr) return "";
    if (gelf_getversym(indexes_, static_cast<int>(symbol), &index) == nullptr) return "";
    const auto found = names_.find(index & 0x7fff);
    return found == names_.end() ? "" : found->second;
  }

 private:
  Elf_Data* indexes_ = nullptr;
  std::map<unsigned, std::string> names_;
};

void ReadDynamic(Elf* elf, Elf_Scn* section, const GElf_Shdr& header, ElfFile* file) {
  Elf_Data* data = elf_getdata(section, nullptr);
  GElf_Dyn entry;
  for (int i = 0; data != nullptr && gelf_getdyn(data, i, &entry) != nullptr; ++i) {
    const std::string text = TextAt(elf, header.sh_link, entry.d_un.d_val);
    if (entry.d_tag == DT_NEEDED) file->needed.push_back(text);
    if (entry.d_tag == DT_SONAME) file->soname = text;
  }
}

void ReadSymbols(Elf* elf, Elf_Scn* section, const GElf_Shdr& header, const Versions& versions,
                 ElfFile* file) {
  Elf_Data* data = elf_getdata(section, nullptr);
  GElf_Sym symbol;
  for (size_t i = 1; data != nullptr; ++i) {
    if (gelf_getsym(data, static_cast<int>(i), &symbol) == nullptr) return;
    const std::string name = TextAt(elf, header.sh_link, symbol.st_name);
    if (name.empty() || GELF_ST_BIND(symbol.st_info) == STB_LOCAL) continue;
    auto& list = symbol.st_shndx == SHN_UNDEF ? file->imported : file->exported;
    list.push_back({name, versions.Of(i)});
  }
}

}  // namespace

bool IsLibkevent(const ElfFile& elf) {
  return std::any_of(elf.exported.begin(), elf.exported.end(),
                     [](const Symbol& symbol) { return symbol.name == "kevent_get_events"; });
}

std::optional<ElfFile> ReadElf(const std::string& path) {
  const Reader reader(path);
  Elf* const elf = reader.get();
  GElf_Ehdr header;
  if (elf == nullptr || gelf_getehdr(elf, &header) == nullptr) return std::nullopt;
  ElfFile file;
  file.machine = header.e_machine;
  file.is_64_bits = gelf_getclass(elf) == ELFCLASS64;
  file.interpreter = InterpreterOf(elf);
  Versions versions;
  std::vector<std::pair<Elf_Scn*, GElf_Shdr>> sections;
  for (Elf_Scn* section = nullptr; (section = elf_nextscn(elf, section)) != nullptr;) {
    GElf_Shdr section_header;
    if (gelf_getshdr(section, &section_header) == nullptr) continue;
    if (section_header.sh_type == SHT_GNU_versym) versions.ReadIndexes(section);
    if (section_header.sh_type == SHT_GNU_verneed) {
      versions.ReadNeeded(elf, section, section_header);
    }
    sections.emplace_back(section, section_header);
  }
  for (const auto& [section, section_header] : sections) {
    if (section_header.sh_type == SHT_DYNAMIC) ReadDynamic(elf, section, section_header, &file);
    if (section_header.sh_type == SHT_DYNSYM) {
      ReadSymbols(elf, section, section_header, versions, &file);
    }
  }
  return file;
}

}  // namespace kevent::kevrun
