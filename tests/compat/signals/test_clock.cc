// SPDX-License-Identifier: MIT

#include "tests/compat/signals/test_clock.h"

#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <thread>

namespace conformance {
namespace {

// A clock that advances by itself.
class WallClock : public TestClock {
 public:
  WallClock(const char* name, clockid_t id, clockid_t readable)
      : TestClock(name), id_(id), readable_(readable) {}
  WallClock(const char* name, clockid_t id) : WallClock(name, id, id) {}
  clockid_t id() const override { return id_; }
  clockid_t readable() const override { return readable_; }

 private:
  const clockid_t id_;
  const clockid_t readable_;
};

// CPU time of the calling thread or of its process.
class OwnCpuClock : public TestClock {
 public:
  OwnCpuClock(const char* name, clockid_t id) : TestClock(name), id_(id) {}
  clockid_t id() const override { return id_; }
  bool needs_work() const override { return true; }

  void Pass(Nanos duration) override {
    const Nanos end = Now() + duration;
    while (Now() < end) {
    }
  }

 private:
  const clockid_t id_;
};

// CPU time of another thread, which works as long as the scenario lasts.
class OtherThreadClock : public TestClock {
 public:
  using TestClock::TestClock;
  clockid_t id() const override { return id_; }

  void Start() override {
    stop_ = false;
    thread_ = std::thread([this] {
      while (!stop_.load(std::memory_order_relaxed)) {
      }
    });
    pthread_getcpuclockid(thread_.native_handle(), &id_);
  }

  void Stop() override {
    stop_ = true;
    thread_.join();
  }

  void Pass(Nanos duration) override {
    const Nanos end = Now() + duration;
    while (Now() < end) usleep(200);
  }

 private:
  clockid_t id_ = 0;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

clockid_t ProcessClock(pid_t pid) {
  clockid_t clock = 0;
  clock_getcpuclockid(pid, &clock);
  return clock;
}

}  // namespace

void TestClock::Pass(Nanos duration) { kevent_test::SleepUntil(readable(), Now() + duration); }

std::vector<std::unique_ptr<TestClock>> EveryClock() {
  std::vector<std::unique_ptr<TestClock>> clocks;
  clocks.push_back(std::make_unique<WallClock>("REALTIME", CLOCK_REALTIME));
  clocks.push_back(std::make_unique<WallClock>("MONOTONIC", CLOCK_MONOTONIC));
  clocks.push_back(std::make_unique<WallClock>("BOOTTIME", CLOCK_BOOTTIME));
  clocks.push_back(std::make_unique<WallClock>("TAI", CLOCK_TAI));
  // Read through their bases, which exist without an RTC.
  clocks.push_back(
      std::make_unique<WallClock>("REALTIME_ALARM", CLOCK_REALTIME_ALARM, CLOCK_REALTIME));
  clocks.push_back(
      std::make_unique<WallClock>("BOOTTIME_ALARM", CLOCK_BOOTTIME_ALARM, CLOCK_BOOTTIME));
  clocks.push_back(std::make_unique<OwnCpuClock>("process-CPU", CLOCK_PROCESS_CPUTIME_ID));
  clocks.push_back(std::make_unique<OwnCpuClock>("thread-CPU", CLOCK_THREAD_CPUTIME_ID));
  clocks.push_back(std::make_unique<OwnCpuClock>("getcpuclockid(0)", ProcessClock(0)));
  clocks.push_back(std::make_unique<OwnCpuClock>("getcpuclockid(pid)", ProcessClock(getpid())));
  clocks.push_back(std::make_unique<OtherThreadClock>("other-thread's-CPU"));
  return clocks;
}

}  // namespace conformance
