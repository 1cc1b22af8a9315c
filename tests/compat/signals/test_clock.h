// SPDX-License-Identifier: MIT
//
// A clock that scenarios run on: what timer_create is given, how to read it,
// and how to make it advance.

#ifndef KEVENT_TESTS_COMPAT_SIGNALS_TEST_CLOCK_H_
#define KEVENT_TESTS_COMPAT_SIGNALS_TEST_CLOCK_H_

#include <time.h>

#include <memory>
#include <vector>

#include "tests/support/clock.h"

namespace conformance {

using kevent_test::Nanos;

class TestClock {
 public:
  explicit TestClock(const char* name) : name_(name) {}
  virtual ~TestClock() = default;

  const char* name() const { return name_; }

  // For timer_create.  Between Start and Stop.
  virtual clockid_t id() const = 0;
  // For clock_gettime.
  virtual clockid_t readable() const { return id(); }
  Nanos Now() const { return kevent_test::Now(readable()); }

  // Around each scenario.
  virtual void Start() {}
  virtual void Stop() {}

  // Whether the clock stands still while the program sleeps.
  virtual bool needs_work() const { return false; }

  // Returns when the clock has advanced by this much.
  virtual void Pass(Nanos duration);

 private:
  const char* const name_;
};

// Every clock that the design serves.
std::vector<std::unique_ptr<TestClock>> EveryClock();

}  // namespace conformance

#endif  // KEVENT_TESTS_COMPAT_SIGNALS_TEST_CLOCK_H_
