// SPDX-License-Identifier: MIT
//
// libuv: uv_timer_t, in whole milliseconds; the loop's time is that of its turn.

#include <uv.h>

#include <vector>

#include "bench/kevbench/makers.h"
#include "bench/kevbench/ways.h"

namespace kevbench {
namespace {

class LibuvWay final : public Way {
 public:
  explicit LibuvWay(Recorder* recorder) : Way(recorder) {
    Check(uv_loop_init(&loop_) == 0, "uv_loop_init");
    loop_.data = this;
  }
  ~LibuvWay() override {
    uv_run(&loop_, UV_RUN_NOWAIT);
    Check(uv_loop_close(&loop_) == 0, "uv_loop_close");
  }

  absl::Status Reserve(size_t timers) override {
    timers_.resize(timers);
    return absl::OkStatus();
  }

  void Create(size_t timer) override {
    Check(uv_timer_init(&loop_, &timers_[timer]) == 0, "uv_timer_init");
  }
  void Delete(size_t timer) override { uv_close(Handle(timer), nullptr); }
  void Deleted() override { uv_run(&loop_, UV_RUN_NOWAIT); }

  void TakeTime() override { uv_update_time(&loop_); }
  void ArmIn(size_t timer, Nanoseconds ahead) override { Start(timer, Up(ahead), 0); }
  void ArmAt(size_t timer, Nanoseconds deadline) override { Start(timer, Until(deadline), 0); }
  void ArmEvery(size_t timer, Nanoseconds first, Nanoseconds interval) override {
    Start(timer, Until(first), Up(interval));
  }
  void Disarm(size_t timer) override { uv_timer_stop(&timers_[timer]); }

  void Collect() override { uv_run(&loop_, UV_RUN_NOWAIT); }
  void Wait() override { uv_run(&loop_, UV_RUN_ONCE); }

 private:
  uv_handle_t* Handle(size_t timer) { return reinterpret_cast<uv_handle_t*>(&timers_[timer]); }

  static uint64_t Up(Nanoseconds time) {
    return static_cast<uint64_t>((time + kMillisecond - 1) / kMillisecond);
  }
  uint64_t Until(Nanoseconds deadline) const {
    const uint64_t at = Up(deadline);
    const uint64_t now = uv_now(&loop_);
    return at > now ? at - now : 0;
  }
  void Start(size_t timer, uint64_t timeout, uint64_t repeat) {
    uv_timer_start(&timers_[timer], Expired, timeout, repeat);
  }
  static void Expired(uv_timer_t* timer) {
    auto* const way = static_cast<LibuvWay*>(timer->loop->data);
    way->Fired(static_cast<size_t>(timer - way->timers_.data()), 1);
  }

  uv_loop_t loop_;
  std::vector<uv_timer_t> timers_;
};

}  // namespace

std::unique_ptr<Way> MakeLibuv(Recorder* recorder) { return std::make_unique<LibuvWay>(recorder); }

}  // namespace kevbench
