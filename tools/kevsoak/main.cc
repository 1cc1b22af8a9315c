// SPDX-License-Identifier: MIT
//
// Keeps very many timers of one queue under random operations from several
// threads, for as long as asked, and reconciles the books:
//
//     armed = reported + taken back + still armed
//
// A timer belongs to one arming thread, and leads one of three lives:
//   far        set so far ahead that it never expires: each setting is taken
//              back by the next one, and none is reported
//   near       set, and left alone until it was reported: exactly once
//   contested  set and set again while it may be expiring: each setting is
//              reported at most once, and else was taken back
// It changes from contested to another only by being deleted, since an event of
// its last setting may be on the way.

#include <absl/flags/flag.h>
#include <kevent/kevent.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <thread>
#include <vector>

#include "tools/kevsoak/armer.h"
#include "tools/kevsoak/collector.h"
#include "tools/support/command_line.h"

ABSL_FLAG(uint32_t, timers, 1'000'000, "so many timers of one queue");
ABSL_FLAG(uint32_t, threads, 2, "threads that set and delete them");
ABSL_FLAG(uint32_t, collectors, 2, "threads that collect their events");
ABSL_FLAG(uint32_t, seconds, 10, "for so many seconds, each of which prints a line");
ABSL_FLAG(uint64_t, seed, 1, "what the random operations follow from");

namespace kevsoak {
namespace {

class Soak {
 public:
  Soak() : queue_(kevent_init(nullptr, 0, 0)), timers_(absl::GetFlag(FLAGS_timers)) {
    Check(queue_, "kevent_init");
    const uint32_t threads = absl::GetFlag(FLAGS_threads);
    const uint64_t count = timers_.size();
    for (uint32_t i = 0; i < threads; ++i) {
      armers_.push_back(std::make_unique<Armer>(
          queue_, timers_, static_cast<uint32_t>(count * i / threads),
          static_cast<uint32_t>(count * (i + 1) / threads), absl::GetFlag(FLAGS_seed) + i));
    }
    for (uint32_t i = 0; i < absl::GetFlag(FLAGS_collectors); ++i) {
      collectors_.push_back(std::make_unique<Collector>(queue_, timers_));
    }
  }
  ~Soak() { close(queue_); }

  void Run() {
    for (const auto& armer : armers_) armer->CreateAll();
    std::printf("%zu timers on one queue, %zu threads arm them, %zu collect; seed %llu\n",
                timers_.size(), armers_.size(), collectors_.size(),
                Number(absl::GetFlag(FLAGS_seed)));
    std::vector<std::thread> collecting;
    std::vector<std::thread> arming;
    for (const auto& collector : collectors_) {
      collecting.emplace_back([&] { collector->Run(collected_); });
    }
    for (const auto& armer : armers_) arming.emplace_back([&] { armer->Run(stop_); });
    for (uint32_t second = 1; second <= absl::GetFlag(FLAGS_seconds); ++second) {
      const timespec one = {1, 0};
      nanosleep(&one, nullptr);
      std::printf("%5u s  %12llu operations  %12llu events\n", second, Number(Operations()),
                  Number(Events()));
      std::fflush(stdout);
    }
    stop_ = true;
    for (std::thread& thread : arming) thread.join();
    AwaitReports();
    collected_ = true;
    const timer_t release = ReleaseCollectors();
    for (std::thread& thread : collecting) thread.join();
    timer_delete(release);
  }

  // Whether the books balance.
  bool Reconcile() {
    Books sum;
    uint64_t reported = 0;
    uint64_t of_deleted = 0;
    uint64_t still_armed = 0;
    for (const auto& armer : armers_) {
      sum.armed += armer->books().armed;
      sum.taken_back += armer->books().taken_back;
      sum.contested += armer->books().contested;
      reported += armer->reported();
    }
    for (const auto& collector : collectors_) of_deleted += collector->of_deleted();
    for (uint32_t i = 0; i < timers_.size(); ++i) {
      const Timer& timer = timers_[i];
      const uint32_t count = timer.reports.count();
      const Life life = timer.life.load();
      if (life == Life::kFar) ++still_armed;
      if (count > timer.armed) Fail(i, "reported more often than it was set");
      if (life == Life::kNear && count != timer.armed) Fail(i, "never reported");
      reported += count;
    }
    reported += of_deleted;
    const bool counted = reported == Events();
    // Of the contested settings each that was not reported was taken back.
    const uint64_t left = sum.armed - sum.taken_back - still_armed;
    const bool balanced = reported <= left && left - reported <= sum.contested;
    std::printf(
        "armed %llu = reported %llu (%llu on the way when deleted) + taken back %llu + "
        "still armed %llu: %s\n",
        Number(sum.armed), Number(reported), Number(of_deleted),
        Number(sum.taken_back + left - reported), Number(still_armed),
        balanced && counted ? "balanced" : "NOT BALANCED");
    return balanced && counted;
  }

 private:
  static unsigned long long Number(uint64_t value) { return value; }

  uint64_t Operations() const {
    uint64_t sum = 0;
    for (const auto& armer : armers_) sum += armer->operations();
    return sum;
  }
  uint64_t Events() const {
    uint64_t sum = 0;
    for (const auto& collector : collectors_) sum += collector->reported();
    return sum;
  }

  // Each is asleep for an event, or about to be.
  timer_t ReleaseCollectors() const {
    timer_t timer;
    sigevent event;
    kevent_sigevent(&event, queue_, &g_release);
    Check(timer_create(CLOCK_MONOTONIC, &event, &timer), "timer_create");
    const itimerspec each_millisecond = {{0, 1'000'000}, {0, 1}};
    Check(timer_settime(timer, 0, &each_millisecond, nullptr), "timer_settime");
    return timer;
  }

  // Until every near and contested timer has nothing that is armed.
  void AwaitReports() {
    for (uint32_t i = 0; i < timers_.size(); ++i) {
      if (timers_[i].life.load() == Life::kFar) continue;
      const int64_t limit = Now() + 30 * kSecond;
      while (Outstanding(timers_[i])) {
        if (Now() > limit) Fail(i, "expired, and not reported for 30 s");
        const timespec tick = {0, 1'000'000};
        nanosleep(&tick, nullptr);
      }
    }
  }
  static bool Outstanding(const Timer& timer) {
    if (timer.life.load() == Life::kNear) return timer.reports.count() < timer.armed;
    itimerspec left;
    Check(timer_gettime(timer.id, &left), "timer_gettime");
    return left.it_value.tv_sec != 0 || left.it_value.tv_nsec != 0;
  }

  const int queue_;
  std::vector<Timer> timers_;
  std::vector<std::unique_ptr<Armer>> armers_;
  std::vector<std::unique_ptr<Collector>> collectors_;
  std::atomic<bool> stop_{false};
  std::atomic<bool> collected_{false};
};

}  // namespace
}  // namespace kevsoak

int main(int count, char** arguments) {
  kevent::tools::ParseCommandLine(
      count, arguments,
      "Keeps timers of one queue under random operations from several threads, and reconciles\n"
      "the books.  Exits with 0 if they balance, with 1 if they do not.");
  if (absl::GetFlag(FLAGS_threads) == 0 || absl::GetFlag(FLAGS_collectors) == 0 ||
      absl::GetFlag(FLAGS_timers) < absl::GetFlag(FLAGS_threads)) {
    kevent::tools::Misused(
        "--threads and --collectors are to be 1 at least, --timers as many as --threads");
  }
  kevsoak::Soak soak;
  soak.Run();
  return soak.Reconcile() ? 0 : 1;
}
