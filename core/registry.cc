// SPDX-License-Identifier: MIT

#include "core/registry.h"

#include <cerrno>

#include "core/system.h"

namespace kevent::core {

constinit std::atomic<std::atomic<uint32_t>*> Registry::pages_[kMaxDescriptor / kPageEntries] = {};

int Registry::Reserve(int fd) {
  if (fd >= kMaxDescriptor) return EMFILE;
  std::atomic<std::atomic<uint32_t>*>& page = pages_[fd / kPageEntries];
  if (page.load(std::memory_order_acquire) != nullptr) return 0;

  constexpr size_t kPageBytes = kPageEntries * sizeof(std::atomic<uint32_t>);
  void* fresh = sys::MapPages(kPageBytes, sys::OnFork::kKeep);
  if (fresh == nullptr) return ENOMEM;
  std::atomic<uint32_t>* none = nullptr;
  if (!page.compare_exchange_strong(none, static_cast<std::atomic<uint32_t>*>(fresh))) {
    sys::UnmapPages(fresh, kPageBytes);
  }
  return 0;
}

int Registry::Next(int from, int last) {
  if (from < 0) from = 0;
  if (last < 0 || last >= kMaxDescriptor) last = kMaxDescriptor - 1;
  while (from <= last) {
    const std::atomic<uint32_t>* page = pages_[from / kPageEntries].load(std::memory_order_acquire);
    if (page == nullptr) {
      from = (from / kPageEntries + 1) * kPageEntries;
      continue;
    }
    if (page[from % kPageEntries].load(std::memory_order_acquire) != 0) return from;
    ++from;
  }
  return -1;
}

}  // namespace kevent::core
