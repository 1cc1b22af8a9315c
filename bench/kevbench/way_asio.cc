// SPDX-License-Identifier: MIT
//
// Asio: steady_timer and async_wait, one thread.

#define ASIO_STANDALONE
#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <chrono>
#include <optional>
#include <vector>

#include "bench/kevbench/makers.h"
#include "bench/kevbench/ways.h"

namespace kevbench {
namespace {

using Clock = std::chrono::steady_clock;

class AsioWay final : public Way {
 public:
  explicit AsioWay(Recorder* recorder) : Way(recorder), work_(context_.get_executor()) {}

  Periods periods() const override { return Periods::kCaughtUp; }

  absl::Status Reserve(size_t timers) override {
    timers_.resize(timers);
    return absl::OkStatus();
  }

  void Create(size_t timer) override { timers_[timer].emplace(context_); }
  void Delete(size_t timer) override { timers_[timer].reset(); }
  void Deleted() override { context_.poll(); }

  void ArmIn(size_t timer, Nanoseconds ahead) override {
    timers_[timer]->expires_after(std::chrono::nanoseconds(ahead));
    Await(timer);
  }
  void ArmAt(size_t timer, Nanoseconds deadline) override {
    timers_[timer]->expires_at(Clock::time_point(std::chrono::nanoseconds(deadline)));
    Await(timer);
  }
  void ArmEvery(size_t timer, Nanoseconds first, Nanoseconds interval) override {
    interval_ = interval;
    ArmAt(timer, first);
  }
  void Disarm(size_t timer) override { timers_[timer]->cancel(); }

  void Collect() override {
    if (interval_ == 0) {
      context_.poll();
    } else {
      PollBatch();
    }
  }
  void Wait() override {
    context_.run_one();
    PollBatch();
  }

 private:
  // Not poll(), which may never be done with timers that set themselves again.
  void PollBatch() {
    for (size_t i = 1; i < kBatch && context_.poll_one() != 0; ++i) {
    }
  }
  void Await(size_t timer) {
    timers_[timer]->async_wait([this, timer](const asio::error_code& error) {
      if (error) return;
      Fired(timer, 1);
      // One that is gone may have been behind.
      if (interval_ == 0 || !timers_[timer]) return;
      timers_[timer]->expires_at(timers_[timer]->expiry() + std::chrono::nanoseconds(interval_));
      Await(timer);
    });
  }

  asio::io_context context_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  Nanoseconds interval_ = 0;
  std::vector<std::optional<asio::steady_timer>> timers_;
};

}  // namespace

std::unique_ptr<Way> MakeAsio(Recorder* recorder) { return std::make_unique<AsioWay>(recorder); }

}  // namespace kevbench
