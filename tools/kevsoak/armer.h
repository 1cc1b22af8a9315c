// SPDX-License-Identifier: MIT
//
// A thread that operates timers of its own at random, and keeps the books of it.

#ifndef KEVENT_TOOLS_KEVSOAK_ARMER_H_
#define KEVENT_TOOLS_KEVSOAK_ARMER_H_

#include <kevent/kevent.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <random>
#include <vector>

#include "tools/kevsoak/timer.h"

namespace kevsoak {

struct Books {
  uint64_t operations = 0;
  uint64_t armed = 0;
  uint64_t taken_back = 0;  // certainly
  uint64_t contested = 0;   // settings that were set again or deleted
};

inline constexpr int64_t kFarAhead = 100'000 * kSecond;

class Armer {
 public:
  Armer(int queue, std::vector<Timer>& timers, uint32_t first, uint32_t last, uint64_t seed)
      : queue_(queue), timers_(timers), first_(first), last_(last), random_(seed) {}

  void CreateAll() {
    for (uint32_t i = first_; i < last_; ++i) Create(i);
  }

  void Run(const std::atomic<bool>& stop) {
    while (!stop.load(std::memory_order_relaxed)) {
      for (int i = 0; i < 256; ++i) Operate(first_ + Below(last_ - first_));
      operations_.fetch_add(256, std::memory_order_relaxed);
    }
  }

  uint64_t operations() const { return operations_.load(std::memory_order_relaxed); }
  const Books& books() const { return books_; }
  uint64_t reported() const { return reported_; }  // of timers that are deleted

 private:
  uint32_t Below(uint64_t limit) { return static_cast<uint32_t>(random_() % limit); }

  void Create(uint32_t i) {
    sigevent event;
    const uintptr_t cookie = uintptr_t{timers_[i].reports.incarnation()} << 32 | i;
    kevent_sigevent(&event, queue_, reinterpret_cast<void*>(cookie));
    Check(timer_create(CLOCK_MONOTONIC, &event, &timers_[i].id), "timer_create");
  }

  void Operate(uint32_t i) {
    Timer& timer = timers_[i];
    switch (timer.life.load(std::memory_order_relaxed)) {
      case Life::kNear:
        // Left alone until it was reported.
        if (timer.reports.count() != timer.armed) return;
        [[fallthrough]];
      case Life::kNone:
        return Begin(i);
      case Life::kFar:
        return OperateFar(i);
      case Life::kContested:
        return OperateContested(i);
    }
  }

  void Begin(uint32_t i) {
    switch (Below(4)) {
      case 0:
        return SetNear(i, Life::kNear);
      case 1:
        return SetNear(i, Life::kContested);
      default:
        return SetFar(i);
    }
  }

  void OperateFar(uint32_t i) {
    Timer& timer = timers_[i];
    if (Below(16) == 0) {
      itimerspec left;
      Check(timer_gettime(timer.id, &left), "timer_gettime");
      if (left.it_value.tv_sec == 0) Fail(i, "set far ahead, and nothing remains");
      return;
    }
    ++books_.taken_back;
    switch (Below(16)) {
      case 0:
        Delete(i);
        return;
      case 1:
        Set(i, 0, true);
        timer.life.store(Life::kNone);
        return;
      case 2:
        timer.life.store(Life::kNone);
        return SetNear(i, Life::kNear);
      default:
        SetFar(i);
    }
  }

  void OperateContested(uint32_t i) {
    ++books_.contested;
    if (Below(8) == 0) {
      Delete(i);
    } else {
      SetNear(i, Life::kContested);
    }
  }

  void SetFar(uint32_t i) {
    Timer& timer = timers_[i];
    const bool was_far = timer.life.load() == Life::kFar;
    timer.life.store(Life::kFar);
    ++books_.armed;
    Set(i, kFarAhead + Below(kSecond), was_far);
  }

  // In the past, or up to 16 ms ahead.
  void SetNear(uint32_t i, Life life) {
    Timer& timer = timers_[i];
    const int64_t ahead = 1 + (Below(4) == 0 ? 0 : Below(uint64_t{1} << (10 + Below(15))));
    if (life == Life::kNear) timer.earliest.store(Now() + ahead);
    timer.life.store(life);
    ++timer.armed;
    ++books_.armed;
    Set(i, ahead, false);
  }

  void Set(uint32_t i, int64_t ahead, bool was_far) {
    const itimerspec setting = {{0, 0}, {ahead / kSecond, ahead % kSecond}};
    itimerspec old;
    Check(timer_settime(timers_[i].id, 0, &setting, &old), "timer_settime");
    if (was_far && old.it_value.tv_sec == 0) Fail(i, "what was set far ahead had expired");
  }

  void Delete(uint32_t i) {
    Timer& timer = timers_[i];
    Check(timer_delete(timer.id), "timer_delete");
    const itimerspec setting = {};
    if (timer_settime(timer.id, 0, &setting, nullptr) != -1 || errno != EINVAL) {
      Fail(i, "deleted, and can be set");
    }
    reported_ += timer.reports.NextIncarnation();
    timer.life.store(Life::kNone);
    timer.armed = 0;
    Create(i);
  }

  const int queue_;
  std::vector<Timer>& timers_;
  const uint32_t first_;
  const uint32_t last_;
  std::mt19937_64 random_;
  Books books_;
  uint64_t reported_ = 0;
  std::atomic<uint64_t> operations_{0};
};

}  // namespace kevsoak

#endif  // KEVENT_TOOLS_KEVSOAK_ARMER_H_
