// SPDX-License-Identifier: MIT
//
// The descriptors that the process has open, as the kernel lists them.

#ifndef KEVENT_ADAPTERS_QUEUES_OPEN_DESCRIPTORS_H_
#define KEVENT_ADAPTERS_QUEUES_OPEN_DESCRIPTORS_H_

#include <dirent.h>
#include <fcntl.h>
#include <kevent/kevent.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <charconv>
#include <cstring>

namespace kevent::queues {

// Calls visit(fd) for each; false if there is no list (proc(5) is not mounted, or no descriptor is
// left).  Takes no memory.
template <typename Visit>
bool ForEachOpenDescriptor(Visit visit) {
  const int list = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (list < 0) return false;
  alignas(dirent64) char entries[4096];
  long size;
  while ((size = syscall(SYS_getdents64, list, entries, sizeof entries)) > 0) {
    for (long place = 0; place < size;) {
      const auto* const entry = reinterpret_cast<const dirent64*>(entries + place);
      place += entry->d_reclen;
      if (entry->d_name[0] == '.') continue;
      int fd = -1;
      std::from_chars(entry->d_name, entry->d_name + std::strlen(entry->d_name), fd);
      if (fd != list) visit(fd);
    }
  }
  kevent_close(list);
  return size == 0;
}

}  // namespace kevent::queues

#endif  // KEVENT_ADAPTERS_QUEUES_OPEN_DESCRIPTORS_H_
