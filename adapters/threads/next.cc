// SPDX-License-Identifier: MIT

#include "adapters/threads/next.h"

#include <dlfcn.h>

namespace kevent::threads {

constinit Next g_next;

namespace {

// A look-up that succeeds allocates nothing.
template <typename Function>
void Find(std::atomic<Function>& entry, const char* name) {
  void* const found = dlsym(RTLD_NEXT, name);
  if (found != nullptr) entry.store(reinterpret_cast<Function>(found), std::memory_order_release);
}

__attribute__((constructor)) void FindAll() {
#define KEVENT_THREADS_FIND(name) Find(g_next.name, #name)
  KEVENT_THREADS_INTERPOSED(KEVENT_THREADS_FIND);
#undef KEVENT_THREADS_FIND
}

}  // namespace
}  // namespace kevent::threads
