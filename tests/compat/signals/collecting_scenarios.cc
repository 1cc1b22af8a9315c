// SPDX-License-Identifier: MIT
//
// Several timers, several threads, and sleeping for a completion.

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <thread>

#include "tests/compat/signals/scenario.h"

namespace conformance {
namespace {

using kevent_test::kHour;
using kevent_test::kMillisecond;
using kevent_test::kSecond;

void SayHowOften(Stage& stage, const std::vector<std::atomic<int>>& times) {
  const bool once = std::all_of(times.begin(), times.end(), [](const auto& n) { return n == 1; });
  int sum = 0;
  for (const auto& n : times) sum += n;
  stage.Say("completions", sum);
  stage.Say("each-once", once ? "yes" : "no");
}

void ManyTimers(Stage& stage) {
  constexpr uintptr_t kTimers = 200;
  const Nanos past = stage.Past(kSecond);
  for (uintptr_t i = 0; i < kTimers; ++i) {
    stage.ArmAt(stage.Create(i), past + static_cast<Nanos>(i * 7919 % kTimers));
  }
  std::vector<std::atomic<int>> times(kTimers);
  for (uintptr_t i = 0; i < kTimers; ++i) {
    Completion completion;
    if (stage.Collect(&completion)) ++times[completion.cookie];
  }
  SayHowOften(stage, times);
  stage.SayWhatIsLeft("then");
}

void OneOfTwo(Stage& stage) {
  const timer_t later = stage.Create();
  const timer_t sooner = stage.Create();
  stage.ArmIn(later, kHour);
  const Deadline deadline = stage.ArmIn(sooner, 3 * kMillisecond);
  stage.CollectAndSay("sooner", sooner, deadline);
  stage.SayWhatIsLeft("then");
}

void TwoThreads(Stage& stage) {
  constexpr int kTimers = 500;
  std::vector<std::atomic<int>> times(kTimers);
  std::atomic<int> total = 0;
  const Nanos first = stage.clock().Now() + kMillisecond;
  for (int i = 0; i < kTimers; ++i) {
    stage.ArmAt(stage.Create(static_cast<uintptr_t>(i)), first + i * 10'000);
  }
  const auto collect = [&] {
    while (total < kTimers) {
      Completion completion;
      if (stage.delivery().Collect(kMillisecond, &completion) == 1) {
        ++times[completion.cookie];
        ++total;
      }
    }
  };
  std::thread other(collect);
  collect();
  other.join();
  SayHowOften(stage, times);
  stage.SayWhatIsLeft("then");
}

void ArmedWhileAsleep(Stage& stage) {
  const timer_t timer = stage.Create();
  std::thread armer([&] {
    kevent_test::SleepUntil(CLOCK_MONOTONIC, kevent_test::Now(CLOCK_MONOTONIC) + 2 * kMillisecond);
    const itimerspec past = kevent_test::Setting(stage.Past(kSecond));
    stage.Set(timer, TIMER_ABSTIME, &past, nullptr);
  });
  Completion completion;
  const int result = stage.delivery().Collect(-1, &completion);
  armer.join();
  stage.Say("collected", result);
  stage.Say("overruns", completion.overruns);
  stage.SayWhatIsLeft("then");
}

void Timeout(Stage& stage) {
  const timer_t timer = stage.Create();
  const Deadline deadline = stage.ArmIn(timer, kHour);
  for (const Nanos timeout : {Nanos{0}, Nanos{1}, 3 * kMillisecond}) {
    Completion completion;
    const Nanos start = kevent_test::Now(CLOCK_MONOTONIC);
    const int result = stage.delivery().Collect(timeout, &completion);
    const bool waited = kevent_test::Now(CLOCK_MONOTONIC) - start >= timeout;
    stage.Say("collected", result);
    stage.Say("waited", waited ? "yes" : "no");
  }
  stage.SayRemaining("timer", timer, deadline);
}

std::atomic<int> handled = 0;

// A handler interrupts the wait; neither form is restarted, whatever
// SA_RESTART says (signal(7)).
void Interrupted(Stage& stage) {
  const timer_t timer = stage.Create();
  const Deadline deadline = stage.ArmIn(timer, kHour);
  for (const int flags : {0, SA_RESTART}) {
    struct sigaction action = {};
    struct sigaction before;
    action.sa_handler = [](int) { ++handled; };
    action.sa_flags = flags;
    sigaction(SIGUSR1, &action, &before);
    handled = 0;
    std::atomic<bool> returned = false;
    const pthread_t sleeper = pthread_self();
    std::thread disturber([&] {
      while (!returned) {
        pthread_kill(sleeper, SIGUSR1);
        std::this_thread::yield();
      }
    });
    Completion completion;
    const int result = stage.delivery().Collect(-1, &completion);
    returned = true;
    disturber.join();
    sigaction(SIGUSR1, &before, nullptr);
    stage.Say(flags == 0 ? "collected" : "collected(SA_RESTART)",
              result < 0 ? ErrorName(-result) : std::to_string(result));
    stage.Say("handled", handled > 0 ? "yes" : "no");
  }
  stage.SayRemaining("timer", timer, deadline);
}

}  // namespace

std::vector<Scenario> CollectingScenarios() {
  return {
      {"two hundred timers, each collected once", ManyTimers},
      {"the sooner of two timers", OneOfTwo},
      {"two threads collecting: each completion to one", TwoThreads, Clocks::kOne},
      {"armed in the past while the collector sleeps", ArmedWhileAsleep, Clocks::kOne},
      {"nothing comes: the timeout passes", Timeout, Clocks::kOne},
      {"a signal handler runs while the collector sleeps", Interrupted, Clocks::kOne},
  };
}

}  // namespace conformance
