// SPDX-License-Identifier: MIT
//
// aio_error without a lock.  The C library's takes the lock of its own aio, for which a signal
// handler waits for ever that has interrupted its holder, and a child of fork if another thread was
// the holder; but POSIX has aio_error async-signal-safe.
//
// The lock has a purpose: an operation of the C library's is told of under it after its error was
// stored, and with it the block is the program's only then.  libkevent stores the error last.

#include <aio.h>
#include <dlfcn.h>

#include <atomic>
#include <cerrno>

#include "adapters/errors/marks.h"

namespace {

using Function = int (*)(const aiocb*);

// Nothing until this object's constructor has run.  Then no operation has begun.
constinit std::atomic<Function> g_next{nullptr};

__attribute__((constructor)) void FindNext() {
  g_next.store(reinterpret_cast<Function>(dlsym(RTLD_NEXT, "aio_error")),
               std::memory_order_release);
}

int ErrorOf(const aiocb* control) {
  const int error =
      std::atomic_ref(const_cast<aiocb*>(control)->__error_code).load(std::memory_order_acquire);
  if (error == EINPROGRESS || kevent::errors::Mark::IsLibkevents(control)) return error;
  const Function next = g_next.load(std::memory_order_acquire);
  return next == nullptr ? error : next(control);
}

}  // namespace

#define KEVENT_EXPORT extern "C" __attribute__((__visibility__("default")))

KEVENT_EXPORT int aio_error(const aiocb* control) noexcept { return ErrorOf(control); }

// The two structures are one where off_t has 64 bits.
static_assert(sizeof(aiocb) == sizeof(aiocb64));
KEVENT_EXPORT int aio_error64(const aiocb64* control) noexcept {
  return ErrorOf(reinterpret_cast<const aiocb*>(control));
}
