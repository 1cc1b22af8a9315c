// SPDX-License-Identifier: MIT

#include "adapters/observe/next.h"

#include <dlfcn.h>
#include <unistd.h>

#include <cerrno>

namespace kevent::observe {

constinit Next g_next = {};

namespace {

// The thread that is inside the look-up; 0: none is.
constinit std::atomic<int> g_finding{0};

// The name has no version: since glibc 2.34 the default one is the one that programs built today
// are bound to, and a look-up that does not fail allocates nothing.
template <typename Function>
void Find(std::atomic<Function>& entry, const char* name) {
  entry.store(reinterpret_cast<Function>(dlsym(RTLD_NEXT, name)), std::memory_order_release);
}

}  // namespace

// dlsym may allocate, and the program's allocator may call any function of the list.  Such a call
// finds its own thread in the look-up already.  A second thread just looks up the same addresses:
// no thread waits.
void FindNext() {
  const int before = errno;
  const int self = gettid();
  int nobody = 0;
  if (!g_finding.compare_exchange_strong(nobody, self) && nobody == self) return;
#define OBSERVED(name) Find(g_next.name, #name);
#include "adapters/observe/observed.def"
#undef OBSERVED
  int me = self;
  g_finding.compare_exchange_strong(me, 0);
  errno = before;
}

namespace {

// Runs before the program can install a signal handler that would be the first to need the
// addresses; calls that come earlier look them up themselves.
__attribute__((constructor)) void FindEarly() { FindNext(); }

}  // namespace
}  // namespace kevent::observe
