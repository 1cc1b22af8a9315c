// SPDX-License-Identifier: MIT
//
// The only file that knows dlsym.

#include "shim/libc.h"

#include <dlfcn.h>

#include <cerrno>

#include "core/calls/descriptor_calls.h"

namespace kevent::shim {

constinit Libc g_libc = {};

namespace {

// The thread that is inside the look-up; 0: none is.
constinit std::atomic<int> g_resolving{0};

// Finds the function that dlsym finds after this object.  The name has no version: since glibc 2.34
// the default one is the one that programs built today are bound to, and a look-up that does not
// fail allocates nothing.
//
// If a program is neither linked nor preloaded with this library, but uses another library that is,
// the C library stands before this object.  Then the function is the one that the program calls by
// this name.  It cannot be this library's own: in a program that finds that one first, the C
// library comes after it.
template <typename Function>
void Find(std::atomic<Function>& entry, const char* name) {
  void* found = dlsym(RTLD_NEXT, name);
  if (found == nullptr) found = dlsym(RTLD_DEFAULT, name);
  entry.store(reinterpret_cast<Function>(found), std::memory_order_release);
}

bool IsOfThisObject(const void* address) {
  Dl_info its;
  Dl_info own;
  return dladdr(address, &its) != 0 && dladdr(reinterpret_cast<void*>(&Resolve), &own) != 0 &&
         its.dli_fbase == own.dli_fbase;
}

// True if this object is the place in which the program and most libraries find close.  A library
// that is told to look elsewhere first (RTLD_DEEPBIND), as the object that brought this library may
// be, finds another one.
bool ProgramClosesHere() {
  void* program = dlopen(nullptr, RTLD_LAZY);
  return program != nullptr && IsOfThisObject(dlsym(program, "close"));
}

}  // namespace

// dlsym may allocate, and the program's allocator may call any function of the list.  Such a call
// finds its own thread in the look-up already, and is served by its caller without the C library.
// A second thread just looks up the same addresses: no thread waits.
void Resolve() {
  const int before = errno;
  const int self = gettid();
  int nobody = 0;
  if (!g_resolving.compare_exchange_strong(nobody, self) && nobody == self) return;
#define INTERPOSED(name) Find(g_libc.name, #name);
#include "shim/interposed.def"
#undef INTERPOSED
  // This look-up comes last and succeeds, so it leaves no error for the program's dlerror.
  core::SetSeesCloses(ProgramClosesHere());
  int me = self;
  g_resolving.compare_exchange_strong(me, 0);
  errno = before;
}

namespace {

// Runs before the program can install a signal handler that would be the first to need the
// addresses.  Calls that come earlier, from constructors that run before this one, look them up
// themselves.
__attribute__((constructor)) void ResolveEarly() { Resolve(); }

}  // namespace
}  // namespace kevent::shim
