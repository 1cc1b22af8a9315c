// SPDX-License-Identifier: MIT
//
// The functions behind those that an observing adapter defines: another adapter's, libkevent's or
// the C library's.

#ifndef KEVENT_ADAPTERS_OBSERVE_NEXT_H_
#define KEVENT_ADAPTERS_OBSERVE_NEXT_H_

#include <absl/base/optimization.h>
#include <aio.h>
#include <kevent/kevent.h>
#include <signal.h>
#include <time.h>

#include <atomic>

namespace kevent::observe {

// The attributes of the C library's arguments (nonnull) are no part of a type.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wignored-attributes"
struct Next {
#define OBSERVED(name) std::atomic<decltype(&::name)> name;
#include "adapters/observe/observed.def"
#undef OBSERVED
};
#pragma GCC diagnostic pop

// Constant-initialised, filled by FindNext.
extern Next g_next;

// Finds all of them.  Until that is done, the entries stay null for calls that come from inside the
// look-up.
void FindNext();

// The next function, or nullptr inside the look-up.
template <typename Function>
Function NextOf(const std::atomic<Function>& entry) {
  const Function found = entry.load(std::memory_order_acquire);
  if (ABSL_PREDICT_TRUE(found != nullptr)) return found;
  FindNext();
  return entry.load(std::memory_order_acquire);
}
#define KEVENT_NEXT(name) ::kevent::observe::NextOf(::kevent::observe::g_next.name)

}  // namespace kevent::observe

#endif  // KEVENT_ADAPTERS_OBSERVE_NEXT_H_
