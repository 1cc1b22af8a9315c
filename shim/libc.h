// SPDX-License-Identifier: MIT
//
// The C library's own functions behind the names that this library replaces.

#ifndef KEVENT_SHIM_LIBC_H_
#define KEVENT_SHIM_LIBC_H_

#include <absl/base/optimization.h>
#include <aio.h>
#include <fcntl.h>
#include <mqueue.h>
#include <netdb.h>
#include <sched.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <atomic>

namespace kevent::shim {

// The attributes of the C library's arguments (nonnull) are no part of a type.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wignored-attributes"
struct Libc {
#define INTERPOSED(name) std::atomic<decltype(&::name)> name;
#include "shim/interposed.def"
#undef INTERPOSED
};
#pragma GCC diagnostic pop

// Constant-initialised, filled by Resolve.
extern Libc g_libc;

// Finds all of them.  Until that is done, the entries stay null for calls that come from inside the
// look-up.
void Resolve();

// The C library's function, or nullptr inside the look-up.
#define KEVENT_LIBC(name)                                                                    \
  (ABSL_PREDICT_TRUE(::kevent::shim::g_libc.name.load(std::memory_order_acquire) != nullptr) \
       ? ::kevent::shim::g_libc.name.load(std::memory_order_relaxed)                         \
       : (::kevent::shim::Resolve(), ::kevent::shim::g_libc.name.load(std::memory_order_acquire)))

}  // namespace kevent::shim

#endif  // KEVENT_SHIM_LIBC_H_
