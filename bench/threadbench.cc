// SPDX-License-Identifier: MIT
//
// What do threads cost each other that share a queue?  Armers set, delete and create timers, and
// collectors collect them: on one queue, on a queue for each armer, beside processes that keep the
// processors busy and without; and the same with the kernel's timers, whose signals the collectors
// wait for.  Each cell of the table is one run; what it is compared with is one thread that arms
// and collects by turns.

#include <absl/flags/flag.h>
#include <kevent/kevent.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "bench/goals.h"
#include "bench/side_by_side.h"
#include "tools/support/command_line.h"
#include "tools/support/progress.h"

ABSL_FLAG(double, seconds, 1, "time of each run");
ABSL_FLAG(uint32_t, most, 8, "most armers, and most collectors; from 1 on by doubling");
ABSL_FLAG(uint32_t, strangers, 2, "busy processes beside the second half of the runs");
ABSL_FLAG(uint32_t, timers, 20'000, "timers, shared out among the armers");
ABSL_FLAG(uint32_t, rounds, 7,
          "runs of one armer beside one collector, of which medians are taken");
ABSL_FLAG(std::string, goals, "",
          "append the table of what is wanted to this file (it is not written)");

namespace {

using kevent::bench::Must;

constexpr unsigned kBatch = 256;
constexpr long kSecond = 1'000'000'000;
constexpr long kFurthest = 50'000'000;  // nanoseconds ahead

double Read(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

// Where expirations come out.
class Way {
 public:
  virtual ~Way() = default;
  virtual sigevent Notify(size_t timer) = 0;
  // Calls `seen` for up to kBatch timers that have expired; waits for a tenth of a second if it
  // may.
  virtual void Collect(bool waits, std::atomic<bool>* seen) = 0;
};

class QueueWay final : public Way {
 public:
  QueueWay() : queue_(kevent_init(nullptr, 0, 0)) { Must(queue_ >= 0, "kevent_init"); }
  ~QueueWay() override { close(queue_); }
  sigevent Notify(size_t timer) override {
    sigevent notification;
    kevent_sigevent(&notification, queue_, reinterpret_cast<void*>(timer));
    return notification;
  }
  void Collect(bool waits, std::atomic<bool>* seen) override {
    std::array<ukevent, kBatch> events;
    const timespec patience = {0, 100'000'000};
    const int count = kevent_get_events(queue_, waits ? 1 : 0, kBatch, &patience, events.data(), 0);
    Must(count >= 0, "kevent_get_events");
    for (int i = 0; i < count; ++i) {
      seen[reinterpret_cast<size_t>(events[i].ptr)].store(true, std::memory_order_relaxed);
    }
  }

 private:
  const int queue_;
};

class SignalWay final : public Way {
 public:
  sigevent Notify(size_t timer) override {
    sigevent notification = {};
    notification.sigev_notify = SIGEV_SIGNAL;
    notification.sigev_signo = SIGRTMIN;
    notification.sigev_value.sival_ptr = reinterpret_cast<void*>(timer);
    return notification;
  }
  void Collect(bool waits, std::atomic<bool>* seen) override {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    timespec patience = {0, waits ? 100'000'000 : 0};
    for (unsigned i = 0; i < kBatch; ++i) {
      siginfo_t info;
      if (sigtimedwait(&set, &info, &patience) < 0) return;
      seen[reinterpret_cast<size_t>(info.si_value.sival_ptr)].store(true,
                                                                    std::memory_order_relaxed);
      patience.tv_nsec = 0;
    }
  }
};

enum class Kind { kOneQueue, kQueueEach, kSignals };

// One armer's timers.
class Armer {
 public:
  Armer(Way& way, size_t first, size_t count, uint64_t seed)
      : way_(way), first_(first), timers_(count), random_(static_cast<uint32_t>(seed)) {
    for (size_t i = 0; i < count; ++i) Create(i);
  }
  ~Armer() {
    for (timer_t timer : timers_) timer_delete(timer);
  }
  Armer(const Armer&) = delete;
  Armer& operator=(const Armer&) = delete;

  void Operate(unsigned times) {
    for (unsigned k = 0; k < times; ++k) {
      const size_t i = Next() % timers_.size();
      if (Next() % 4 == 0) {
        Must(timer_delete(timers_[i]) == 0, "timer_delete");
        Create(i);
      } else {
        Set(i, 1 + static_cast<long>(Next()) % kFurthest);
      }
    }
  }
  void SetAll(long ahead) {
    for (size_t i = 0; i < timers_.size(); ++i) Set(i, ahead);
  }

 private:
  void Create(size_t i) {
    sigevent notification = way_.Notify(first_ + i);
    Must(timer_create(CLOCK_MONOTONIC, &notification, &timers_[i]) == 0, "timer_create");
  }
  void Set(size_t i, long ahead) {
    const itimerspec value = {{0, 0}, {ahead / kSecond, ahead % kSecond}};
    Must(timer_settime(timers_[i], 0, &value, nullptr) == 0, "timer_settime");
  }
  uint32_t Next() { return static_cast<uint32_t>(random_()); }

  Way& way_;
  const size_t first_;
  std::vector<timer_t> timers_;
  std::minstd_rand random_;
};

struct Cost {
  double per_second;   // operations
  double nanoseconds;  // CPU time of one, all threads
};

class Run {
 public:
  Run(Kind kind, unsigned armers) {
    const size_t timers = absl::GetFlag(FLAGS_timers) / armers;
    const unsigned ways = kind == Kind::kQueueEach ? armers : 1;
    for (unsigned i = 0; i < ways; ++i) {
      if (kind == Kind::kSignals) {
        ways_.push_back(std::make_unique<SignalWay>());
      } else {
        ways_.push_back(std::make_unique<QueueWay>());
      }
    }
    for (unsigned i = 0; i < armers; ++i) {
      armers_.push_back(std::make_unique<Armer>(*ways_[i % ways], i * timers, timers, i + 1));
    }
    count_ = timers * armers;
    seen_ = std::make_unique<std::atomic<bool>[]>(count_);
  }

  // One thread arms and collects by turns.
  Cost ByTurns() {
    const Cost cost = Measure([this] {
      uint64_t done = 0;
      for (const double end = End(); Read(CLOCK_MONOTONIC) < end; done += kTurn) {
        armers_[0]->Operate(kTurn);
        ways_[0]->Collect(false, seen_.get());
      }
      return done;
    });
    ExpectAll();
    return cost;
  }

  Cost Together(unsigned collectors) {
    std::atomic<bool> over{false};
    std::vector<std::thread> collecting;
    for (unsigned i = 0; i < collectors; ++i) {
      collecting.emplace_back([this, &over, way = ways_[i % ways_.size()].get()] {
        while (!over) way->Collect(true, seen_.get());
      });
    }
    const Cost cost = Measure([this] {
      std::atomic<uint64_t> done{0};
      std::vector<std::thread> arming;
      for (const auto& armer : armers_) {
        arming.emplace_back([&done, its = armer.get()] {
          uint64_t own = 0;
          for (const double end = End(); Read(CLOCK_MONOTONIC) < end; own += kTurn) {
            its->Operate(kTurn);
          }
          done += own;
        });
      }
      for (std::thread& thread : arming) thread.join();
      return done.load();
    });
    over = true;
    for (std::thread& thread : collecting) thread.join();
    ExpectAll();
    return cost;
  }

 private:
  static constexpr unsigned kTurn = 200;

  static double End() { return Read(CLOCK_MONOTONIC) + absl::GetFlag(FLAGS_seconds); }

  template <typename Body>
  static Cost Measure(Body body) {
    const double begin = Read(CLOCK_MONOTONIC);
    const double cpu = Read(CLOCK_PROCESS_CPUTIME_ID);
    const auto done = static_cast<double>(body());
    const double spent = Read(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    return {done / (Read(CLOCK_MONOTONIC) - begin), spent * 1e9 / done};
  }

  // Whatever was set, created and deleted: each timer that is set now expires.
  void ExpectAll() {
    for (const auto& armer : armers_) armer->SetAll(3600 * kSecond);
    do {
      for (size_t i = 0; i < count_; ++i) seen_[i] = false;
      for (const auto& way : ways_) way->Collect(false, seen_.get());
    } while (std::any_of(&seen_[0], &seen_[count_], [](const auto& seen) { return seen.load(); }));
    for (const auto& armer : armers_) armer->SetAll(1);
    const double patience = Read(CLOCK_MONOTONIC) + 30;
    for (size_t i = 0; i < count_; ++i) {
      while (!seen_[i]) {
        for (const auto& way : ways_) way->Collect(false, seen_.get());
        if (Read(CLOCK_MONOTONIC) < patience) continue;
        std::fprintf(stderr, "threadbench: timer %zu has not expired\n", i);
        std::exit(EXIT_FAILURE);
      }
    }
  }

  std::vector<std::unique_ptr<Way>> ways_;
  std::vector<std::unique_ptr<Armer>> armers_;
  size_t count_ = 0;
  std::unique_ptr<std::atomic<bool>[]> seen_;
};

// Processes that keep the processors busy.
class Strangers {
 public:
  explicit Strangers(unsigned count) {
    for (unsigned i = 0; i < count; ++i) {
      const pid_t child = fork();
      Must(child >= 0, "fork");
      if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        std::atomic<unsigned> turns{0};
        for (;;) turns.fetch_add(1, std::memory_order_relaxed);
      }
      children_.push_back(child);
    }
  }
  ~Strangers() {
    for (const pid_t child : children_) kill(child, SIGKILL);
    for (const pid_t child : children_) waitpid(child, nullptr, 0);
  }
  Strangers(const Strangers&) = delete;
  Strangers& operator=(const Strangers&) = delete;

 private:
  std::vector<pid_t> children_;
};

void Print(const Cost& cost, const Cost& alone) {
  std::printf(" | %6.2f M/s %6.0f ns x%-5.2f", cost.per_second * 1e-6, cost.nanoseconds,
              cost.nanoseconds / alone.nanoseconds);
}

// One thread that arms, deletes and creates beside one that collects: on a queue, by turns in
// one thread, and with the kernel's timers, one after the other.
void CompareTogether(const kevent::bench::Goals& goals) {
  std::vector<double> costs;
  std::vector<double> to_turns;
  std::vector<double> to_kernels;
  const kevent::tools::Progress progress;
  const uint32_t rounds = absl::GetFlag(FLAGS_rounds);
  for (uint32_t i = 0; i < rounds; ++i) {
    progress.Show("one armer, one collector: round %u of %u", i + 1, rounds);
    costs.push_back(Run(Kind::kOneQueue, 1).Together(1).nanoseconds);
    to_turns.push_back(Run(Kind::kOneQueue, 1).ByTurns().nanoseconds / costs.back());
    to_kernels.push_back(Run(Kind::kSignals, 1).Together(1).nanoseconds / costs.back());
  }
  progress.Show("%s", "");
  using kevent::bench::Median;
  std::printf("one arms, one collects: %.0f ns; by turns x%.2f, the kernel's timers x%.1f\n\n",
              Median(costs), Median(to_turns), Median(to_kernels));
  const char* const what = "one thread arms, creates, deletes, one collects";
  goals.AtLeast(what, "kernel's timers", 8, Median(to_kernels));
  goals.AtLeast(what, "itself on one thread", 0.25, Median(to_turns));
}

}  // namespace

int main(int argc, char** argv) {
  kevent::tools::ParseCommandLine(
      argc, argv,
      "Threads that set timers beside threads that collect them, on one queue and on several.\n"
      "Prints operations a second, the CPU time of each, and how many times that of one thread\n"
      "that does both by turns it is.  Exits with 1 if a timer that was set does not expire.");
  const uint32_t most = absl::GetFlag(FLAGS_most);
  if (most == 0 || most > 64) kevent::tools::Misused("--most is to be from 1 to 64");
  if (absl::GetFlag(FLAGS_timers) < most)
    kevent::tools::Misused("--timers is to be --most or more");
  if (absl::GetFlag(FLAGS_seconds) <= 0) kevent::tools::Misused("--seconds is to be above 0");
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);

  if (absl::GetFlag(FLAGS_rounds) > 0) {
    CompareTogether(kevent::bench::Goals(absl::GetFlag(FLAGS_goals)));
  }
  const kevent::tools::Progress progress;
  for (const uint32_t strangers : {0u, absl::GetFlag(FLAGS_strangers)}) {
    const Strangers busy(strangers);
    const Cost alone = Run(Kind::kOneQueue, 1).ByTurns();
    const Cost kernel_alone = Run(Kind::kSignals, 1).ByTurns();
    progress.Show("%s", "");
    std::printf(
        "%u busy strangers; by turns: %.2f M/s, %.0f ns; the kernel's: %.2f M/s, %.0f ns\n\n",
        strangers, alone.per_second * 1e-6, alone.nanoseconds, kernel_alone.per_second * 1e-6,
        kernel_alone.nanoseconds);
    std::printf("| armers | collectors | %-27s | %-27s | %-27s |\n", "one queue", "a queue each",
                "the kernel's timers");
    std::printf("|---:|---:|---|---|---|\n");
    for (unsigned armers = 1; armers <= most; armers *= 2) {
      for (unsigned collectors = 1; collectors <= most; collectors *= 2) {
        progress.Show("%u strangers, %u armers, %u collectors", strangers, armers, collectors);
        const Cost one = Run(Kind::kOneQueue, armers).Together(collectors);
        // A queue takes a collector.
        const bool enough = collectors >= armers;
        const Cost each = enough ? Run(Kind::kQueueEach, armers).Together(collectors) : Cost{0, 0};
        const Cost kernel = Run(Kind::kSignals, armers).Together(collectors);
        progress.Show("%s", "");
        std::printf("| %6u | %10u", armers, collectors);
        Print(one, alone);
        if (enough) {
          Print(each, alone);
        } else {
          std::printf(" | %-27s", "");
        }
        Print(kernel, kernel_alone);
        std::printf(" |\n");
        std::fflush(stdout);
      }
    }
    std::printf("\n");
    if (absl::GetFlag(FLAGS_strangers) == 0) break;
  }
}
