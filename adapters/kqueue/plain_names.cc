// SPDX-License-Identifier: MIT
//
// The functions by the names that they have in a source file.  A program that includes
// <sys/event.h> does not come here.  Configuration scripts do, which link with a name and no
// header; and so does a program that was compiled with the header of libkqueue, where this library
// is loaded first: its structure is another one, so its calls are passed on.

#include <dlfcn.h>

#include <atomic>
#include <cerrno>

#include "adapters/kqueue/event.h"
#include "adapters/queues/exported.h"

extern "C" {
int kevent_plain_kqueue() __asm__("kqueue");
int kevent_plain_kqueue1(int flags) __asm__("kqueue1");
int kevent_plain_kqueuex(unsigned flags) __asm__("kqueuex");
int kevent_plain_kevent(int fd, const struct kqueue_event* changes, int change_count,
                        struct kqueue_event* events, int room,
                        const timespec* timeout) __asm__("kevent");
}

namespace {

// The function of libkqueue, if that is in the process; else nullptr.  Where it is it stays: this
// library holds it.
template <typename Function>
Function* OfLibkqueue(const char* name) {
  static constinit std::atomic<void*> s_library{nullptr};
  void* library = s_library.load(std::memory_order_acquire);
  if (library == nullptr) {
    const int before = errno;
    library = dlopen("libkqueue.so.0", RTLD_LAZY | RTLD_NOLOAD);
    errno = before;
    if (library == nullptr) return nullptr;
    s_library.store(library, std::memory_order_release);
  }
  return reinterpret_cast<Function*>(dlsym(library, name));
}

}  // namespace

KEVENT_EXPORT int kevent_plain_kqueue() {
  auto* const of_other = OfLibkqueue<decltype(kevent_plain_kqueue)>("kqueue");
  return of_other != nullptr ? of_other() : kqueue();
}

KEVENT_EXPORT int kevent_plain_kqueue1(int flags) { return kqueue1(flags); }
KEVENT_EXPORT int kevent_plain_kqueuex(unsigned flags) { return kqueuex(flags); }

KEVENT_EXPORT int kevent_plain_kevent(int fd, const struct kqueue_event* changes, int change_count,
                                      struct kqueue_event* events, int room,
                                      const timespec* timeout) {
  auto* const of_other = OfLibkqueue<decltype(kevent_plain_kevent)>("kevent");
  return of_other != nullptr ? of_other(fd, changes, change_count, events, room, timeout)
                             : kqueue_event(fd, changes, change_count, events, room, timeout);
}
