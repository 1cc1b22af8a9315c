// SPDX-License-Identifier: MIT
//
// libevent: struct event in the program's memory, a base without locks.  With
// its precise timer: without it, a base sleeps in whole milliseconds and reads a
// clock that moves every few of them.

#include <event2/event.h>
#include <event2/event_struct.h>

#include <vector>

#include "bench/kevbench/makers.h"
#include "bench/kevbench/ways.h"

namespace kevbench {
namespace {

timeval ToTimeval(Nanoseconds time) {
  if (time < 0) time = 0;
  const Nanoseconds micros = (time + kMicrosecond - 1) / kMicrosecond;
  return {.tv_sec = micros / 1'000'000, .tv_usec = micros % 1'000'000};
}

class LibeventWay final : public Way {
 public:
  explicit LibeventWay(Recorder* recorder) : Way(recorder) {
    event_config* const config = event_config_new();
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
    base_ = event_base_new_with_config(config);
    event_config_free(config);
    Check(base_ != nullptr, "event_base_new_with_config");
  }
  ~LibeventWay() override { event_base_free(base_); }

  absl::Status Reserve(size_t timers) override {
    events_.resize(timers);
    return absl::OkStatus();
  }

  void Create(size_t timer) override {
    Check(event_assign(&events_[timer], base_, -1, 0, Expired, this) == 0, "event_assign");
  }
  void Delete(size_t timer) override { event_del(&events_[timer]); }

  void ArmIn(size_t timer, Nanoseconds ahead) override {
    const timeval timeout = ToTimeval(ahead);
    Check(event_add(&events_[timer], &timeout) == 0, "event_add");
  }
  void ArmAt(size_t timer, Nanoseconds deadline) override { ArmIn(timer, deadline - Now()); }
  void ArmEvery(size_t timer, Nanoseconds first, Nanoseconds interval) override {
    // EV_PERSIST repeats what event_add was told, so the first comes one interval
    // before its first expiration.
    Check(event_assign(&events_[timer], base_, -1, EV_PERSIST, Expired, this) == 0, "event_assign");
    while (Now() < first - interval) {
    }
    ArmIn(timer, interval);
  }
  void Disarm(size_t timer) override { event_del(&events_[timer]); }

  void Collect() override { event_base_loop(base_, EVLOOP_NONBLOCK); }
  void Wait() override { event_base_loop(base_, EVLOOP_ONCE); }

 private:
  static void Expired(evutil_socket_t /*fd*/, short /*what*/, void* self) {
    auto* const way = static_cast<LibeventWay*>(self);
    event* const expired = event_base_get_running_event(way->base_);
    way->Fired(static_cast<size_t>(expired - way->events_.data()), 1);
  }

  event_base* base_;
  std::vector<event> events_;
};

}  // namespace

std::unique_ptr<Way> MakeLibevent(Recorder* recorder) {
  return std::make_unique<LibeventWay>(recorder);
}

}  // namespace kevbench
