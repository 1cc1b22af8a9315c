// SPDX-License-Identifier: MIT
//
// A scenario is a function that drives timers on a Stage and says what it
// observed.  It runs once for each delivery; the two records are compared.
//
// What is recorded is what a program can observe and what does not depend on
// the moment: return values, counts, and whether times lie within the bounds
// that clock readings before and after the call allow.  Lower bounds only: a
// machine may be arbitrarily slow, a timer may not be early.

#ifndef KEVENT_TESTS_COMPAT_SIGNALS_SCENARIO_H_
#define KEVENT_TESTS_COMPAT_SIGNALS_SCENARIO_H_

#include <time.h>

#include <string>
#include <string_view>
#include <vector>

#include "tests/compat/signals/delivery.h"
#include "tests/compat/signals/test_clock.h"

namespace conformance {

// When the first expiration of an arming lies: known from the clock readings
// around timer_settime for relative ones, exactly for absolute ones.
struct Deadline {
  Nanos earliest = 0;
  Nanos latest = 0;
  Nanos interval = 0;
};

// The result of a call, as its errno: "0", "EINVAL", …
std::string ErrorName(int error);
// Of a call that says -1 and errno.
std::string CallResult(int result);

class Stage {
 public:
  Stage(Delivery& delivery, TestClock& clock) : delivery_(delivery), clock_(clock) {}
  // Deletes what is left.
  ~Stage();
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;

  Delivery& delivery() { return delivery_; }
  TestClock& clock() { return clock_; }
  const std::string& record() const { return record_; }

  // ---- Doing ----

  // A timer on this clock, with a cookie of its own.  0, and the error in the
  // record, when there is none to be had.
  timer_t Create();
  timer_t Create(uintptr_t cookie);

  // timer_settime, as the delivery makes it.
  int Set(timer_t timer, int flags, const itimerspec* setting, itimerspec* old);

  // Failures are recorded, success is not.
  Deadline ArmIn(timer_t timer, Nanos value, Nanos interval = 0, int other_flags = 0,
                 itimerspec* old = nullptr);
  Deadline ArmAt(timer_t timer, Nanos moment, Nanos interval = 0, int other_flags = 0,
                 itimerspec* old = nullptr);
  void Disarm(timer_t timer, itimerspec* old = nullptr);
  void Delete(timer_t timer);

  // A moment that this clock has passed: this long ago, or half its age.
  Nanos Past(Nanos age) const;

  // Returns when the clock has reached the deadline and a completion is waiting
  // to be collected.  (A queue may be readable once in vain before that, after
  // another timer was cancelled.)
  void AwaitPending(const Deadline& deadline);

  // ---- Observing ----

  // Adds "name=value".
  void Say(std::string_view name, std::string_view value);
  void Say(std::string_view name, int64_t value) { Say(name, std::to_string(value)); }
  void Say(std::string_view name, const char* value) { Say(name, std::string_view(value)); }

  // Sleeps for a completion; records an unknown cookie or a failure.
  bool Collect(Completion* completion);

  // "name=none" or, if there is one, its cookie and overruns.
  void SayWhatIsLeft(std::string_view name);

  // Collects the next completion of `timer`, armed for `deadline`, of which
  // `consumed` expirations were collected before.  Records its cookie, whether
  // it came early, and whether its overruns are those of the clock; returns the
  // expirations collected so far.
  int64_t CollectAndSay(std::string_view name, timer_t timer, const Deadline& deadline,
                        int64_t consumed = 0);

  // Records timer_gettime's value and interval against the arming.  Once expirations were collected
  // the next one is not the first, however long the arming took.
  void SayRemaining(std::string_view name, timer_t timer, const Deadline& deadline,
                    int64_t consumed = 0);

  // The same of a deadline so near that it may have passed by now: what is
  // recorded then is what it would have said.
  void SayRemainingUntil(std::string_view name, timer_t timer, const Deadline& deadline);

  // The same for an old value that timer_settime returned between two readings
  // of the clock.
  void SayRemaining(std::string_view name, const itimerspec& value, const Deadline& deadline,
                    Nanos before, Nanos after, int64_t consumed = 0);

  void SayOverrun(std::string_view name, timer_t timer);

 private:
  Deadline Arm(timer_t timer, int flags, Nanos value, Nanos interval, itimerspec* old);

  Delivery& delivery_;
  TestClock& clock_;
  std::string record_;
  std::vector<timer_t> timers_;
  std::vector<uintptr_t> cookies_;  // of timers_
};

// A difference that is known, and why it is there.
struct KnownDifference {
  const char* signal;  // record; nullptr: whatever it is
  const char* queue;
  const char* reason;
  bool (*applies)() = nullptr;  // nullptr: always
};

enum class Clocks { kEvery, kOne };

struct Scenario {
  const char* name;
  void (*run)(Stage&);
  Clocks clocks = Clocks::kEvery;
  const KnownDifference* known = nullptr;
};

// By subject, in the order of the table.
std::vector<Scenario> CreationScenarios();
std::vector<Scenario> OneShotScenarios();
std::vector<Scenario> PeriodicScenarios();
std::vector<Scenario> ChangeScenarios();
std::vector<Scenario> OldValueScenarios();
std::vector<Scenario> InputScenarios();
std::vector<Scenario> CollectingScenarios();

}  // namespace conformance

#endif  // KEVENT_TESTS_COMPAT_SIGNALS_SCENARIO_H_
