// SPDX-License-Identifier: MIT

#include "adapters/observe/callers.h"

#include <dlfcn.h>
#include <link.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>

namespace kevent::observe {
namespace {

struct Range {
  uintptr_t begin = 0;
  uintptr_t size = 0;
};
// More adapters than there are.
constinit std::array<Range, 8> g_adapters = {};
constinit std::atomic<size_t> g_adapter_count{0};

bool IsAdapterFile(const char* path) {
  constexpr char kBegin[] = "libkevent-";
  const char* const slash = std::strrchr(path, '/');
  return std::strncmp(slash == nullptr ? path : slash + 1, kBegin, sizeof kBegin - 1) == 0;
}

// The segments of an object lie in one range.
int AddIfAdapter(dl_phdr_info* info, size_t, void*) {
  const size_t count = g_adapter_count.load(std::memory_order_relaxed);
  if (!IsAdapterFile(info->dlpi_name) || count == g_adapters.size()) return 0;
  uintptr_t end = 0;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = info->dlpi_phdr[i];
    if (segment.p_type == PT_LOAD && segment.p_vaddr + segment.p_memsz > end) {
      end = segment.p_vaddr + segment.p_memsz;
    }
  }
  g_adapters[count] = {info->dlpi_addr, end};
  g_adapter_count.store(count + 1, std::memory_order_release);
  return 0;
}

// Adapters are preloaded, so all are here by now.
__attribute__((constructor)) void FindAdapters() { dl_iterate_phdr(AddIfAdapter, nullptr); }

template <size_t kSize>
void Copy(const char* from, char (&to)[kSize]) {
  std::strncpy(to, from == nullptr ? "" : from, kSize - 1);
  to[kSize - 1] = '\0';
}

// The program's own name is its first argument, which programs overwrite.
void FindObject(const Dl_info& info, const link_map* map, char (&path)[sizeof Place::object]) {
  if (map != nullptr && map->l_name[0] != '\0') return Copy(info.dli_fname, path);
  const int before = errno;
  const ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
  path[length < 0 ? 0 : length] = '\0';
  errno = before;
}

}  // namespace

// A return address is that of the instruction after the call, which may belong to the next
// function.
void FindPlace(const void* address, Place* place) {
  const auto call = reinterpret_cast<uintptr_t>(address) - 1;
  Dl_info info = {};
  link_map* map = nullptr;
  if (dladdr1(reinterpret_cast<void*>(call), &info, reinterpret_cast<void**>(&map),
              RTLD_DL_LINKMAP) == 0) {
    place->in_object = call;
    return;
  }
  FindObject(info, map, place->object);
  Copy(info.dli_sname, place->function);
  place->in_object = call - reinterpret_cast<uintptr_t>(info.dli_fbase);
  if (info.dli_saddr != nullptr) {
    place->in_function = call - reinterpret_cast<uintptr_t>(info.dli_saddr);
  }
}

bool IsAdapter(const void* address) {
  const size_t count = g_adapter_count.load(std::memory_order_acquire);
  for (size_t i = 0; i < count; ++i) {
    if (reinterpret_cast<uintptr_t>(address) - g_adapters[i].begin < g_adapters[i].size) {
      return true;
    }
  }
  return false;
}

}  // namespace kevent::observe
