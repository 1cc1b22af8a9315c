// SPDX-License-Identifier: MIT
//
// The only file that knows dlsym.

#include "shim/libc.h"

#include <dlfcn.h>

#include <cerrno>

#include "core/system.h"

namespace kevent::shim {

constinit Libc g_libc = {};

namespace {

// The thread that is inside the look-up; 0: none.
constinit std::atomic<int> g_resolving{0};

// The name as dlsym finds it after this object.  Unversioned: since glibc 2.34
// that is the one that programs built today are bound to, and a look-up that
// cannot fail allocates nothing.
template <typename Function>
void Find(std::atomic<Function>& entry, const char* name) {
  entry.store(reinterpret_cast<Function>(dlsym(RTLD_NEXT, name)), std::memory_order_release);
}

}  // namespace

// dlsym may allocate, and the program's allocator may call any function of the
// list.  Such a call finds this thread in the look-up already, and is served by
// its caller without the C library.  A second thread just looks up the same
// addresses: nobody waits.
void Resolve() {
  const int before = errno;
  const int self = gettid();
  int nobody = 0;
  if (!g_resolving.compare_exchange_strong(nobody, self) && nobody == self) return;
#define INTERPOSED(name) Find(g_libc.name, #name);
#include "shim/interposed.def"
#undef INTERPOSED
  int me = self;
  g_resolving.compare_exchange_strong(me, 0);
  errno = before;
}

namespace {

// Before the program can install a signal handler that would be the first to
// ask.  Calls that come earlier, from constructors that run before this one,
// ask for themselves.
__attribute__((constructor)) void ResolveEarly() { Resolve(); }

}  // namespace
}  // namespace kevent::shim
