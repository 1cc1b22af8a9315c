// SPDX-License-Identifier: MIT
//
// What does it cost to be woken for one deadline after the other?  Bare system
// calls, nothing of the engine: kernel timers that were all armed beforehand,
// and one timer that is set again after each wake-up, slept on in the ways that
// the engine could sleep.  docs/performance.md has a run of it and what was
// concluded.

#include <absl/flags/flag.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "core/base/timespec.h"
#include "tools/support/command_line.h"
#include "tools/support/progress.h"

ABSL_FLAG(uint32_t, gap, 100, "microseconds between two deadlines, in the mean");
ABSL_FLAG(uint32_t, rounds, 11, "rounds, of which the medians are printed");

namespace {

using kevent::core::Nanoseconds;
using kevent::core::ToNanoseconds;
using kevent::core::ToTimespec;

constexpr size_t kDeadlines = 2000;

int Checked(int result, const char* call) {
  if (result >= 0) return result;
  std::fprintf(stderr, "wake_bench: %s: %s\n", call, std::strerror(errno));
  std::exit(1);
}

Nanoseconds Read(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return ToNanoseconds(now);
}

itimerspec At(Nanoseconds moment) { return {{0, 0}, ToTimespec(moment)}; }

// A way to be told of deadlines, which are sorted.
class Way {
 public:
  virtual ~Way() = default;
  virtual const char* name() const = 0;
  virtual void Begin(const std::vector<Nanoseconds>& deadlines) = 0;
  // What is left of the deadlines: those that have not passed.
  virtual void Passed(const Nanoseconds* next, size_t count) = 0;

  // Sleeps until one may have passed.
  void Wait() {
    ++waits_;
    Sleep();
  }
  size_t TakeWaits() { return std::exchange(waits_, 0); }

 private:
  virtual void Sleep() = 0;

  size_t waits_ = 0;
};

class EachSignal final : public Way {
 public:
  EachSignal() : timers_(kDeadlines) {
    sigemptyset(&set_);
    sigaddset(&set_, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &set_, nullptr);
    sigevent event = {};
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = SIGRTMIN;
    for (timer_t& timer : timers_) {
      Checked(timer_create(CLOCK_MONOTONIC, &event, &timer), "timer_create");
    }
  }
  const char* name() const override { return "a POSIX timer each, sigwaitinfo"; }
  void Begin(const std::vector<Nanoseconds>& deadlines) override {
    for (size_t i = 0; i < kDeadlines; ++i) {
      const itimerspec setting = At(deadlines[i]);
      timer_settime(timers_[i], TIMER_ABSTIME, &setting, nullptr);
    }
    left_ = kDeadlines;
  }
  // There is a signal for each of those that passed while one was taken.
  void Passed(const Nanoseconds*, size_t count) override {
    while (left_ > count) Wait();
  }

 private:
  void Sleep() override {
    sigwaitinfo(&set_, nullptr);
    --left_;
  }

  sigset_t set_;
  std::vector<timer_t> timers_;
  size_t left_ = 0;
};

class EachTimerfd final : public Way {
 public:
  EachTimerfd() : epoll_(Checked(epoll_create1(0), "epoll_create1")), timers_(kDeadlines) {
    for (int& timer : timers_) {
      timer = Checked(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK), "timerfd_create");
      epoll_event event = {EPOLLIN | EPOLLET, {}};
      Checked(epoll_ctl(epoll_, EPOLL_CTL_ADD, timer, &event), "epoll_ctl");
    }
  }
  const char* name() const override { return "a timerfd each, epoll_wait"; }
  void Begin(const std::vector<Nanoseconds>& deadlines) override {
    for (size_t i = 0; i < kDeadlines; ++i) {
      const itimerspec setting = At(deadlines[i]);
      timerfd_settime(timers_[i], TFD_TIMER_ABSTIME, &setting, nullptr);
    }
  }
  void Passed(const Nanoseconds*, size_t) override {}

 private:
  void Sleep() override { epoll_wait(epoll_, events_, 256, -1); }

  const int epoll_;
  std::vector<int> timers_;
  epoll_event events_[256];
};

enum class By { kRead, kEpollWait, kPoll, kEngine };

class OneTimerfd final : public Way {
 public:
  explicit OneTimerfd(By by)
      : by_(by),
        epoll_(Checked(epoll_create1(0), "epoll_create1")),
        timer_(Checked(timerfd_create(CLOCK_MONOTONIC, by == By::kRead ? 0 : TFD_NONBLOCK),
                       "timerfd_create")) {
    Checked(epoll_ctl(epoll_, EPOLL_CTL_ADD, timer_, &event_), "epoll_ctl");
  }
  const char* name() const override {
    switch (by_) {
      case By::kRead:
        return "one timerfd, read";
      case By::kEpollWait:
        return "one timerfd, epoll_wait";
      case By::kPoll:
        return "one timerfd, ppoll of its epoll";
      case By::kEngine:
        break;
    }
    return "the same, asking F_GETFL and who it is";
  }
  void Begin(const std::vector<Nanoseconds>& deadlines) override { Set(deadlines[0]); }
  void Passed(const Nanoseconds* next, size_t count) override {
    if (by_ == By::kEngine) epoll_ctl(epoll_, EPOLL_CTL_MOD, timer_, &event_);
    Set(count == 0 ? 0 : next[0]);
  }

 private:
  void Sleep() override {
    uint64_t expirations;
    epoll_event event;
    pollfd descriptor = {epoll_, POLLIN, 0};
    switch (by_) {
      case By::kRead:
        Checked(static_cast<int>(read(timer_, &expirations, sizeof expirations)), "read");
        break;
      case By::kEpollWait:
        epoll_wait(epoll_, &event, 1, -1);
        break;
      case By::kEngine:
        fcntl(epoll_, F_GETFL);
        [[fallthrough]];
      case By::kPoll:
        ppoll(&descriptor, 1, nullptr, nullptr);
    }
  }
  void Set(Nanoseconds moment) {
    const itimerspec setting = At(moment);
    timerfd_settime(timer_, TFD_TIMER_ABSTIME, &setting, nullptr);
  }

  const By by_;
  const int epoll_;
  const int timer_;
  epoll_event event_ = {EPOLLIN, {}};
};

// Two: while one is being set again the other runs already, so that what is set
// is never the earliest of the processor.
class TwoTimerfds final : public Way {
 public:
  TwoTimerfds() : epoll_(Checked(epoll_create1(0), "epoll_create1")) {
    for (int& timer : timers_) {
      timer = Checked(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK), "timerfd_create");
      epoll_event event = {EPOLLIN, {}};
      Checked(epoll_ctl(epoll_, EPOLL_CTL_ADD, timer, &event), "epoll_ctl");
    }
  }
  const char* name() const override { return "two timerfds in turn, epoll_wait"; }
  void Begin(const std::vector<Nanoseconds>& deadlines) override {
    Set(0, deadlines[0]);
    Set(1, deadlines[1]);
  }
  void Passed(const Nanoseconds* next, size_t count) override {
    const Nanoseconds first = count > 0 ? next[0] : 0;
    const Nanoseconds second = count > 1 ? next[1] : 0;
    const auto is_kept = [&](int i) {
      return set_[i] != 0 && (set_[i] == first || set_[i] == second);
    };
    const int kept = is_kept(0) ? 0 : 1;
    if (!is_kept(kept)) Set(kept, first);
    const Nanoseconds other = set_[kept] == first ? second : first;
    if (set_[1 - kept] != other || other == 0) Set(1 - kept, other);
  }

 private:
  void Sleep() override {
    epoll_event event;
    epoll_wait(epoll_, &event, 1, -1);
  }
  void Set(int i, Nanoseconds moment) {
    set_[i] = moment;
    const itimerspec setting = At(moment);
    timerfd_settime(timers_[i], TFD_TIMER_ABSTIME, &setting, nullptr);
  }

  const int epoll_;
  int timers_[2];
  Nanoseconds set_[2] = {0, 0};
};

// No timerfd at all: the deadline is the sleep's own timeout.
class Timeout final : public Way {
 public:
  explicit Timeout(unsigned long slack)
      : slack_(slack), epoll_(Checked(epoll_create1(0), "epoll_create1")) {}
  const char* name() const override {
    return slack_ == 1 ? "epoll_pwait2, timer slack 1 ns" : "epoll_pwait2";
  }
  void Begin(const std::vector<Nanoseconds>& deadlines) override {
    Checked(prctl(PR_SET_TIMERSLACK, slack_), "prctl");
    next_ = deadlines[0];
  }
  void Passed(const Nanoseconds* next, size_t count) override {
    if (count != 0) {
      next_ = next[0];
    } else {
      Checked(prctl(PR_SET_TIMERSLACK, 0), "prctl");  // back to what it was
    }
  }

 private:
  void Sleep() override {
    const Nanoseconds now = Read(CLOCK_MONOTONIC);
    const timespec ahead = ToTimespec(next_ > now ? next_ - now : 0);
    epoll_event event;
    // By number: the C library has it from 2.35 on.
    Checked(static_cast<int>(syscall(SYS_epoll_pwait2, epoll_, &event, 1, &ahead, nullptr, 0)),
            "epoll_pwait2");
  }

  const unsigned long slack_;
  const int epoll_;
  Nanoseconds next_ = 0;
};

struct Result {
  std::vector<double> cpu;       // nanoseconds a deadline
  std::vector<double> lateness;  // the median, nanoseconds
  std::vector<double> waits;     // a deadline
};

void Run(Way& way, Nanoseconds gap, std::mt19937_64& random, Result* result) {
  std::vector<Nanoseconds> deadlines(kDeadlines);
  const Nanoseconds start = Read(CLOCK_MONOTONIC) + 20'000'000;
  for (Nanoseconds& deadline : deadlines) deadline = start + random() % (gap * kDeadlines);
  std::sort(deadlines.begin(), deadlines.end());
  way.Begin(deadlines);

  std::vector<Nanoseconds> lateness;
  lateness.reserve(kDeadlines);
  const Nanoseconds begin = Read(CLOCK_PROCESS_CPUTIME_ID);
  while (lateness.size() < kDeadlines) {
    way.Wait();
    const Nanoseconds now = Read(CLOCK_MONOTONIC);
    size_t passed = lateness.size();
    for (; passed < kDeadlines && deadlines[passed] <= now; ++passed) {
      lateness.push_back(now - deadlines[passed]);
    }
    way.Passed(deadlines.data() + passed, kDeadlines - passed);
  }
  const Nanoseconds end = Read(CLOCK_PROCESS_CPUTIME_ID);
  std::nth_element(lateness.begin(), lateness.begin() + kDeadlines / 2, lateness.end());
  result->cpu.push_back(static_cast<double>(end - begin) / kDeadlines);
  result->lateness.push_back(static_cast<double>(lateness[kDeadlines / 2]));
  result->waits.push_back(static_cast<double>(way.TakeWaits()) / kDeadlines);
}

double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<ptrdiff_t>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

}  // namespace

int main(int count, char** arguments) {
  kevent::tools::ParseCommandLine(
      count, arguments,
      "Measures what it costs to be woken for one deadline after the other, by bare system calls\n"
      "in each way that the engine could sleep.  Prints for each way the CPU time of a deadline\n"
      "and how late it was, in nanoseconds, and the waits that it took.");
  const uint32_t gap = absl::GetFlag(FLAGS_gap);
  const uint32_t rounds = absl::GetFlag(FLAGS_rounds);
  if (gap == 0 || rounds == 0) kevent::tools::Misused("--gap and --rounds are to be above 0");
  rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);

  std::vector<std::unique_ptr<Way>> ways;
  ways.push_back(std::make_unique<EachSignal>());
  ways.push_back(std::make_unique<EachTimerfd>());
  for (const By by : {By::kRead, By::kEpollWait, By::kPoll, By::kEngine}) {
    ways.push_back(std::make_unique<OneTimerfd>(by));
  }
  ways.push_back(std::make_unique<TwoTimerfds>());
  constexpr unsigned long kOrdinary = 0;
  for (const unsigned long slack : {kOrdinary, 1UL}) {
    ways.push_back(std::make_unique<Timeout>(slack));
  }

  std::vector<Result> results(ways.size());
  std::mt19937_64 random(1);
  const kevent::tools::Progress progress;
  for (uint32_t round = 0; round < rounds; ++round) {
    for (size_t i = 0; i < ways.size(); ++i) {
      progress.Show("round %u of %u, %s", round + 1, rounds, ways[i]->name());
      Run(*ways[i], Nanoseconds{1000} * gap, random, &results[i]);
    }
  }
  progress.Show("%s", "");
  std::printf("a deadline in %u us, %u rounds of %zu, medians of each deadline\n", gap, rounds,
              kDeadlines);
  std::printf("%-40s %10s %10s %10s\n", "", "CPU ns", "late ns", "waits");
  for (size_t i = 0; i < ways.size(); ++i) {
    std::printf("%-40s %10.0f %10.0f %10.2f\n", ways[i]->name(), Median(results[i].cpu),
                Median(results[i].lateness), Median(results[i].waits));
  }
}
