// SPDX-License-Identifier: MIT
//
// A file of an adapter, copied at one moment.

#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "tools/kevrun/folder.h"

namespace kevent::kevrun {

struct Unmap {
  size_t size = 0;
  void operator()(void* memory) const;
};

// `size` bytes of the file; nullptr if it has fewer or cannot be read; *why says so.  What the file
// has no data for takes no memory, neither here nor in the file, as a mapping of the file would.
std::unique_ptr<void, Unmap> CopyData(const std::string& path, size_t size, std::string* why);

// The file as a `Layout`, which begins with a FileHeader.  nullptr if it is none of this kind and
// version, as *why says, or nothing is in it yet, when *why is empty.
template <typename Layout>
std::unique_ptr<Layout, Unmap> ReadObserved(const Observed& file, uint64_t magic, uint32_t version,
                                            std::string* why) {
  std::unique_ptr<void, Unmap> data = CopyData(file.path, sizeof(Layout), why);
  if (data == nullptr) return nullptr;
  const auto& header = *static_cast<const observe::FileHeader*>(data.get());
  if (header.magic == magic && header.version == version) {
    const Unmap unmap = data.get_deleter();
    return {static_cast<Layout*>(data.release()), unmap};
  }
  *why = header.magic == 0 ? "" : file.path + " is of no version that this kevrun knows";
  return nullptr;
}

}  // namespace kevent::kevrun
