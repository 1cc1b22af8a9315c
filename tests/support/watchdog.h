// SPDX-License-Identifier: MIT

#ifndef KEVENT_TESTS_SUPPORT_WATCHDOG_H_
#define KEVENT_TESTS_SUPPORT_WATCHDOG_H_

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>

namespace kevent_test {

// Ends a program in which a thread sleeps or runs for ever, as a failure of the
// test that is under way: long after any test has ended that is to end.
class Watchdog {
 public:
  Watchdog() {
    const testing::TestInfo* test = testing::UnitTest::GetInstance()->current_test_info();
    s_length = std::snprintf(s_message, sizeof s_message, "Failure: %s.%s does not end\n",
                             test->test_suite_name(), test->name());
    struct sigaction action = {};
    action.sa_handler = [](int) {
      (void)!write(STDERR_FILENO, s_message, s_length);
      _exit(1);
    };
    sigaction(SIGALRM, &action, nullptr);
    alarm(kSeconds);
  }
  ~Watchdog() { alarm(0); }
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

 private:
  static constexpr unsigned kSeconds = 280;
  static inline char s_message[256];
  static inline size_t s_length = 0;
};

}  // namespace kevent_test

#endif  // KEVENT_TESTS_SUPPORT_WATCHDOG_H_
