// SPDX-License-Identifier: MIT
//
// DPDK's rte_timer: timers of an lcore, looked at by polling; a program that uses them does
// nothing else on its processor, and never sleeps.  So waiting costs all of the CPU time
// that passes.  Times are given in cycles, as DPDK's programs have them.

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_lcore.h>
#include <rte_timer.h>
#include <sched.h>
#include <signal.h>

#include <memory>
#include <string>
#include <vector>

#include "bench/kevbench/makers.h"
#include "bench/kevbench/ways.h"

namespace kevbench {
namespace {

// Once in a process, in its first thread, which is the lcore from then on.  Without huge pages,
// devices and files of its own, none of which timers need, so that any user may run it.
class Environment {
 public:
  static const Environment& Get() {
    static const Environment* const kOnly = new Environment;
    return *kOnly;
  }

  uint64_t Cycles(Nanoseconds time) const {
    return static_cast<uint64_t>(static_cast<double>(time) * cycles_per_nanosecond_);
  }
  // What the cycle counter will read then.
  uint64_t CyclesAt(Nanoseconds time) const {
    return time <= begin_ ? 0 : begin_cycles_ + Cycles(time - begin_);
  }

 private:
  Environment() {
    cpu_set_t cpus;
    Check(sched_getaffinity(0, sizeof cpus, &cpus) == 0, "sched_getaffinity");
    // The lcore keeps to no CPU, as the other ways do not.
    std::string lcores = "lcores=0@(";
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(static_cast<size_t>(cpu), &cpus)) lcores += std::to_string(cpu) + ",";
    }
    lcores.back() = ')';
    std::vector<std::string> options = {"no-huge", "no-pci",       "no-shconf",   "no-telemetry",
                                        "no-hpet", "iova-mode=va", "log-level=1", lcores};
    for (std::string& option : options) option.insert(0, "--");
    options.insert(options.begin(), "kevbench");
    std::vector<char*> arguments;
    arguments.reserve(options.size() + 1);
    for (std::string& option : options) arguments.push_back(option.data());
    arguments.push_back(nullptr);

    // Its thread for interrupts is not to take the signals of other ways.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int initialised = rte_eal_init(static_cast<int>(options.size()), arguments.data());
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    Check(initialised >= 0, "rte_eal_init");
    Check(rte_timer_subsystem_init() == 0, "rte_timer_subsystem_init");

    // More exact than rte_get_timer_hz(), which is rounded to 10 MHz.
    Measure(&begin_, &begin_cycles_);
    const timespec pause = ToTimespec(100 * kMillisecond);
    nanosleep(&pause, nullptr);
    Nanoseconds end = 0;
    uint64_t end_cycles = 0;
    Measure(&end, &end_cycles);
    cycles_per_nanosecond_ =
        static_cast<double>(end_cycles - begin_cycles_) / static_cast<double>(end - begin_);
  }

  // Both clocks at one moment: the closest of some tries.
  static void Measure(Nanoseconds* time, uint64_t* cycles) {
    uint64_t least = ~uint64_t{0};
    for (int i = 0; i < 20; ++i) {
      const uint64_t before = rte_get_timer_cycles();
      const Nanoseconds now = Now();
      const uint64_t took = rte_get_timer_cycles() - before;
      if (took >= least) continue;
      least = took;
      *time = now;
      *cycles = before + took / 2;
    }
  }

  Nanoseconds begin_ = 0;
  uint64_t begin_cycles_ = 0;
  double cycles_per_nanosecond_ = 0;
};

class RteTimerWay final : public Way {
 public:
  explicit RteTimerWay(Recorder* recorder) : Way(recorder), environment_(Environment::Get()) {}

  Periods periods() const override { return Periods::kCaughtUp; }
  bool any_thread() const override { return false; }

  absl::Status Reserve(size_t timers) override {
    timers_.reset(new struct rte_timer[timers]());
    return absl::OkStatus();
  }

  void Create(size_t timer) override { rte_timer_init(&timers_[timer]); }
  void Delete(size_t timer) override { rte_timer_stop_sync(&timers_[timer]); }

  void ArmIn(size_t timer, Nanoseconds ahead) override {
    Reset(&timers_[timer], environment_.Cycles(ahead), SINGLE, Expired);
  }
  void ArmAt(size_t timer, Nanoseconds deadline) override {
    Reset(&timers_[timer], Until(deadline), SINGLE, Expired);
  }
  // A periodic timer's first expiration is a period ahead, so another one comes before it.
  void ArmEvery(size_t timer, Nanoseconds first, Nanoseconds interval) override {
    interval_ = environment_.Cycles(interval);
    Reset(&timers_[timer], Until(first), SINGLE, FirstExpired);
  }
  void Disarm(size_t timer) override { rte_timer_stop_sync(&timers_[timer]); }

  void Collect() override { rte_timer_manage(); }
  void Wait() override {
    const uint64_t before = recorder()->total();
    const uint64_t end = rte_get_timer_cycles() + environment_.Cycles(kMillisecond);
    do {
      rte_timer_manage();
    } while (recorder()->total() == before && rte_get_timer_cycles() < end);
  }

 private:
  uint64_t Until(Nanoseconds deadline) const {
    const uint64_t at = environment_.CyclesAt(deadline);
    const uint64_t now = rte_get_timer_cycles();
    return at > now ? at - now : 0;
  }
  void Reset(struct rte_timer* timer, uint64_t ticks, rte_timer_type type, rte_timer_cb_t expired) {
    Check(rte_timer_reset(timer, ticks, type, rte_lcore_id(), expired, this) == 0,
          "rte_timer_reset");
  }
  static void Expired(struct rte_timer* timer, void* argument) {
    auto* const way = static_cast<RteTimerWay*>(argument);
    way->Fired(static_cast<size_t>(timer - way->timers_.get()), 1);
  }
  static void FirstExpired(struct rte_timer* timer, void* argument) {
    auto* const way = static_cast<RteTimerWay*>(argument);
    way->Reset(timer, way->interval_, PERIODICAL, Expired);
    Expired(timer, argument);
  }

  const Environment& environment_;
  uint64_t interval_ = 0;
  std::unique_ptr<struct rte_timer[]> timers_;
};

}  // namespace

std::unique_ptr<Way> MakeRteTimer(Recorder* recorder) {
  return std::make_unique<RteTimerWay>(recorder);
}

}  // namespace kevbench
