// SPDX-License-Identifier: MIT
//
// Every call to the system that can fail is made to fail in turn: the first,
// the second, and so on until a scenario passes without having met its failure.
// A step that fails says why, leaves everything as it was, and succeeds when it
// is tried again.

#include <functional>

#include "core/system/system.h"
#include "tests/unit/engine.h"

namespace kevent_test {
namespace {

using kevent::core::CloseDescriptor;

class Failures : public testing::TestWithParam<int> {
 protected:
  ~Failures() override {
    Sim().FailCall(0, 0);
    EXPECT_TRUE(Sim().violations.empty()) << Sim().violations.front();
    Sim().violations.clear();
  }

  // What a failed step must leave as it was.  Memory stays with the engine.
  struct Belongings {
    size_t descriptors = Sim().open_descriptors();
    size_t alarms = Sim().alarms_.size();
    friend bool operator==(const Belongings&, const Belongings&) = default;
  };

  // Runs `step`, which returns a negative errno when it fails, until it
  // succeeds: twice at most.
  int Try(const std::function<int()>& step) {
    const Belongings before;
    int result = step();
    if (result >= 0) return result;
    ++failed_steps_;
    EXPECT_FALSE(Sim().failure_pending()) << "fails by itself, with " << result;
    EXPECT_TRUE(result == -EMFILE || result == -ENOMEM || result == -EAGAIN) << result;
    EXPECT_TRUE(before == Belongings());
    result = step();
    EXPECT_GE(result, 0) << "fails again";
    return result;
  }

  int TryInit() {
    return Try([] { return kevent::core::InitQueue(nullptr, 0, 0); });
  }

  Handle TryCreate(int queue, clockid_t clock) {
    Handle timer(0);
    Try([&] {
      int error;
      timer = Create(queue, clock, 0, &error);
      return -error;
    });
    return timer;
  }

  // How often the scenario was run until it passed, and how many steps failed.
  void FailInTurn(const std::function<void()>& scenario) {
    for (int n = 1;; ++n) {
      SCOPED_TRACE(testing::Message() << "failure " << n);
      const Belongings before;
      Sim().FailCall(n, GetParam());
      scenario();
      const bool was_met = !Sim().failure_pending();
      Sim().FailCall(0, 0);
      EXPECT_TRUE(before == Belongings());
      if (HasFailure() || !was_met) return;
    }
  }

  int failed_steps_ = 0;
};

TEST_P(Failures, OpeningAndCopying) {
  FailInTurn([this] {
    const int queue = TryInit();
    const int copy = Try([queue] { return kevent::core::Duplicate(queue); });
    const int high = Try([queue] { return kevent::core::DuplicateFrom(queue, 50, true); });
    EXPECT_EQ(Try([queue] { return kevent::core::DuplicateTo(queue, 60, 0); }), 60);
    const Handle timer = TryCreate(60, CLOCK_MONOTONIC);
    for (const int fd : {queue, copy, high}) EXPECT_EQ(CloseDescriptor(fd), 0);
    EXPECT_EQ(Set(timer, TIMER_ABSTIME, 1), 0);
    EXPECT_EQ(Collect(60).size(), 1);
    EXPECT_EQ(Delete(timer), 0);
    EXPECT_EQ(CloseDescriptor(60), 0);
  });
  EXPECT_GT(failed_steps_, 6);
}

TEST_P(Failures, MakingTimers) {
  for (const clockid_t clock : {CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME, CLOCK_TAI,
                                CLOCK_PROCESS_CPUTIME_ID, -98}) {
    failed_steps_ = 0;
    for (int n = 1;; ++n) {
      SCOPED_TRACE(testing::Message() << "clock " << clock << ", failure " << n);
      const int fresh = kevent::core::InitQueue(nullptr, 0, 0);
      Sim().FailCall(n, GetParam());
      const Handle timer = TryCreate(fresh, clock);
      const bool was_met = !Sim().failure_pending();
      Sim().FailCall(0, 0);
      EXPECT_EQ(SetIn(timer, kSecond), 0);
      EXPECT_EQ(Delete(timer), 0);
      EXPECT_EQ(CloseDescriptor(fresh), 0);
      if (HasFailure() || !was_met) break;
    }
    // A queue has the axis of CLOCK_MONOTONIC from the start.
    EXPECT_TRUE(failed_steps_ > 0 || clock == CLOCK_MONOTONIC) << "clock " << clock;
  }
}

// More timers than the first pages of the index and of the inbox hold.  The
// slots of the process are there after the first time: what grows then is the
// queue's.
TEST_P(Failures, Growing) {
  FailInTurn([this] {
    constexpr int kTimers = 5'000;
    const int queue = TryInit();
    std::vector<Handle> timers;
    for (int i = 0; i < kTimers; ++i) {
      timers.push_back(TryCreate(queue, CLOCK_REALTIME));
      EXPECT_EQ(SetIn(timers.back(), static_cast<uint64_t>(i % 2) + 1), 0);
    }
    Sim().Advance(2);
    size_t collected = 0;
    while (const size_t n = Collect(queue, 0, 1'000).size()) collected += n;
    EXPECT_EQ(collected, kTimers);
    for (const Handle timer : timers) EXPECT_EQ(Delete(timer), 0);
    EXPECT_EQ(CloseDescriptor(queue), 0);
  });
}

// Announcing, holding and sleeping by a descriptor of its own.
TEST_P(Failures, Waiting) {
  FailInTurn([this] {
    const int queue = TryInit();
    const Handle due = TryCreate(queue, CLOCK_MONOTONIC);
    const Handle soon = TryCreate(queue, CLOCK_BOOTTIME);
    const timespec second = ToTimespec(kSecond);

    EXPECT_EQ(Set(due, TIMER_ABSTIME, 1), 0);
    EXPECT_TRUE(Sim().Readable(queue));
    EXPECT_EQ(SetIn(soon, kMillisecond), 0);
    EXPECT_EQ(Collect(queue, 2, 2, &second).size(), 2);
    EXPECT_FALSE(Sim().Readable(queue));

    EXPECT_EQ(SetIn(soon, kMillisecond), 0);
    ukevent event;
    sigset_t none;
    sigemptyset(&none);
    EXPECT_EQ(Try([&] {
                return kevent::core::GetEvents(queue, {1, 1, &event, &second, 0, &none});
              }),
              1);

    EXPECT_EQ(SetIn(soon, kMillisecond), 0);
    const timespec at = ToTimespec(Sim().Now(CLOCK_REALTIME) + kSecond);
    EXPECT_EQ(
        Try([&] {
          return kevent::core::GetEvents(queue, {1, 1, &event, &at, KEVENT_FLAGS_ABSTIME, nullptr});
        }),
        1);
    EXPECT_EQ(Delete(due), 0);
    EXPECT_EQ(Delete(soon), 0);
    EXPECT_EQ(CloseDescriptor(queue), 0);
  });
  EXPECT_GT(failed_steps_, 2);
}

// A child that cannot have a queue of its own under a number is left with none
// there, and not with its parent's.
TEST_P(Failures, Forking) {
  Sim().Fork(true);  // a process without threads, which would keep a pipe of a closed queue
  for (int n = 1;; ++n) {
    SCOPED_TRACE(testing::Message() << "failure " << n);
    const size_t before = Sim().open_descriptors();
    const int queue = kevent::core::InitQueue(nullptr, 0, 0);
    const int copy = kevent::core::Duplicate(queue);
    const auto parents = Sim().File(queue);
    Sim().FailCall(n, GetParam());
    Sim().Fork(true);
    const bool was_met = !Sim().failure_pending();
    Sim().FailCall(0, 0);
    int inherited = 0;
    for (const int fd : {queue, copy}) {
      EXPECT_NE(Sim().File(fd), parents);
      int result;
      EXPECT_TRUE(Collect(fd, 0, 1, nullptr, &result).empty());
      EXPECT_EQ(result, Sim().IsOpen(fd) ? 0 : -EBADF);
      if (!Sim().IsOpen(fd)) continue;
      ++inherited;
      const Handle timer = Create(fd, CLOCK_MONOTONIC);
      EXPECT_EQ(Set(timer, TIMER_ABSTIME, 1), 0);
      EXPECT_EQ(Collect(fd).size(), 1);
      EXPECT_EQ(Delete(timer), 0);
      EXPECT_EQ(CloseDescriptor(fd), 0);
    }
    EXPECT_EQ(Sim().open_descriptors(), before);
    EXPECT_TRUE(was_met || inherited == 2);
    if (HasFailure() || !was_met) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Errors, Failures, testing::Values(EMFILE, ENOMEM), [](const auto& info) {
  return std::string(info.param == EMFILE ? "EMFILE" : "ENOMEM");
});

}  // namespace
}  // namespace kevent_test
