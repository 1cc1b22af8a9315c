// SPDX-License-Identifier: MIT
//
// A gate between the collection of events and what an adapter makes of them.  The one source file
// of a program includes it: it defines kevent_get_events, by which the adapter's calls come here,
// and go on to libkevent's.

#ifndef KEVENT_TESTS_SUPPORT_COLLECTING_GATE_H_
#define KEVENT_TESTS_SUPPORT_COLLECTING_GATE_H_

#include <dlfcn.h>
#include <kevent/kevent.h>
#include <unistd.h>

#include <atomic>
#include <functional>

#include "tests/support/threads.h"

namespace kevent_test {

enum class Gate { kOpen, kClosed, kReached };
inline std::atomic<Gate> gate{Gate::kOpen};

// Runs `change` when a thread that runs `collect` has collected something.
inline void ChangeWhenCollected(std::function<void()> collect,
                                const std::function<void()>& change) {
  gate = Gate::kClosed;
  Thread collector(std::move(collect));
  while (gate != Gate::kReached && !collector.finished()) usleep(100);
  change();
  gate = Gate::kOpen;
}

}  // namespace kevent_test

// NOLINTNEXTLINE(misc-definitions-in-headers): see above
int kevent_get_events(int queue, unsigned min, unsigned max, const timespec* timeout,
                      ukevent* events, unsigned flags) {
  using kevent_test::Gate;
  using kevent_test::gate;
  static const auto next =
      reinterpret_cast<decltype(&kevent_get_events)>(dlsym(RTLD_NEXT, "kevent_get_events"));
  const int count = next(queue, min, max, timeout, events, flags);
  Gate closed = Gate::kClosed;
  if (count > 0 && gate.compare_exchange_strong(closed, Gate::kReached)) {
    while (gate == Gate::kReached) usleep(100);
  }
  return count;
}

#endif  // KEVENT_TESTS_SUPPORT_COLLECTING_GATE_H_
