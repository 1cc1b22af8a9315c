// SPDX-License-Identifier: MIT
//
// libev: ev_timer_again, which its manual recommends for timeouts that are set
// again and again; times count from the loop's last turn.

#include <ev.h>

#include <vector>

#include "bench/kevbench/makers.h"
#include "bench/kevbench/ways.h"

namespace kevbench {
namespace {

class LibevWay final : public Way {
 public:
  explicit LibevWay(Recorder* recorder) : Way(recorder), loop_(ev_loop_new(EVBACKEND_EPOLL)) {
    Check(loop_ != nullptr, "ev_loop_new");
    ev_set_userdata(loop_, this);
  }
  ~LibevWay() override { ev_loop_destroy(loop_); }

  absl::Status Reserve(size_t timers) override {
    timers_.resize(timers);
    return absl::OkStatus();
  }

  void Create(size_t timer) override {
    timers_[timer] = {};
    timers_[timer].cb = Expired;
  }
  void Delete(size_t timer) override { ev_timer_stop(loop_, &timers_[timer]); }

  void TakeTime() override {
    ev_now_update(loop_);
    now_ = Now();
  }
  void ArmIn(size_t timer, Nanoseconds ahead) override {
    timers_[timer].repeat = Seconds(ahead);
    ev_timer_again(loop_, &timers_[timer]);
  }
  void ArmAt(size_t timer, Nanoseconds deadline) override {
    Start(timer, Seconds(deadline - now_), 0);
  }
  void ArmEvery(size_t timer, Nanoseconds first, Nanoseconds interval) override {
    periodic_ = true;
    Start(timer, Seconds(first - now_), Seconds(interval));
  }
  void Disarm(size_t timer) override { ev_timer_stop(loop_, &timers_[timer]); }

  void Collect() override { ev_run(loop_, EVRUN_NOWAIT); }
  void Wait() override { ev_run(loop_, EVRUN_ONCE); }

 private:
  static ev_tstamp Seconds(Nanoseconds time) { return static_cast<ev_tstamp>(time) * 1e-9; }

  void Start(size_t timer, ev_tstamp after, ev_tstamp repeat) {
    ev_timer* const it = &timers_[timer];
    ev_timer_stop(loop_, it);
    it->at = after > 0 ? after : 0;
    it->repeat = repeat;
    ev_timer_start(loop_, it);
  }
  static void Expired(struct ev_loop* loop, ev_timer* timer, int /*events*/) {
    auto* const way = static_cast<LibevWay*>(ev_userdata(loop));
    if (!way->periodic_) ev_timer_stop(loop, timer);
    way->Fired(static_cast<size_t>(timer - way->timers_.data()), 1);
  }

  struct ev_loop* const loop_;
  Nanoseconds now_ = 0;
  bool periodic_ = false;
  std::vector<ev_timer> timers_;
};

}  // namespace

std::unique_ptr<Way> MakeLibev(Recorder* recorder) { return std::make_unique<LibevWay>(recorder); }

}  // namespace kevbench
