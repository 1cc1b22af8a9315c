// SPDX-License-Identifier: MIT
//
// Entries that come in order: the ring against a list, and the engine with many
// timers that expire in the order in which they were armed, and some that don't.

#include "core/timers/deadline_run.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <random>
#include <utility>
#include <vector>

#include "core/timers/far_index.h"
#include "tests/unit/engine.h"

namespace kevent_test {
namespace {

using kevent::core::DeadlineRun;
using kevent::core::FarBucket;
using kevent::core::FarPlace;
using kevent::core::HeapEntry;
using kevent::core::RunPlace;
using kevent::core::RunState;

struct Places {
  void InRun(uint32_t slot, RunPlace place) const { (*places)[slot] = place.bits(); }
  std::vector<uint32_t>* places;
};

TEST(DeadlineRun, AgreesWithAList) {
  constexpr uint32_t kSize = 64;
  constexpr uint32_t kSlots = 200;
  std::mt19937 random(3);
  std::vector<HeapEntry> ring(kSize);
  std::vector<uint32_t> places(kSlots);
  RunState state = {.first = UINT32_MAX - 10'000, .end = UINT32_MAX - 10'000};
  DeadlineRun<Places> run(ring.data(), kSize, &state, {&places});
  std::vector<HeapEntry> list;
  uint64_t order = 0;
  uint64_t latest = 1;
  size_t most = 0;
  for (int step = 0; step < 200'000; ++step) {
    const auto slot = static_cast<uint32_t>(random() % kSlots);
    if (places[slot] != 0) {
      run.Remove(RunPlace(places[slot]));
      places[slot] = 0;
      list.erase(std::find_if(list.begin(), list.end(),
                              [slot](const HeapEntry& entry) { return entry.slot() == slot; }));
    } else {
      const HeapEntry entry(latest + random() % 8 - (random() % 8 == 0 ? 1 : 0), ++order, slot);
      const bool in_order = list.empty() || !(entry < list.back());
      if (!in_order || list.size() == kSize) {
        ASSERT_FALSE(run.Takes(entry));
        continue;
      }
      if (!run.Takes(entry)) continue;  // full of void entries
      latest = entry.deadline();
      run.Append(entry);
      ASSERT_TRUE(RunPlace::IsOne(places[slot]));
      list.push_back(entry);
      most = std::max(most, list.size());
    }
    ASSERT_EQ(run.empty(), list.empty());
    if (list.empty()) continue;
    ASSERT_EQ(run.first().slot(), list.front().slot());
    if (random() % 4 == 0) {
      const HeapEntry* const second = run.Second();
      ASSERT_EQ(second == nullptr, list.size() == 1);
      if (second != nullptr) {
        ASSERT_EQ(second->slot(), list[1].slot());
      }
      ASSERT_EQ(run.first().slot(), list.front().slot());
    }
    size_t i = 0;
    run.ForEach([&](const HeapEntry& entry) {
      EXPECT_EQ(entry.slot(), list[i].slot());
      return ++i < list.size();
    });
    ASSERT_EQ(i, list.size());
  }
  EXPECT_GT(most, kSize / 2);
}

TEST(DeadlineRun, PlacesAreToldFromOthers) {
  for (const uint32_t index : {0u, 1u, 4095u}) {
    EXPECT_TRUE(RunPlace::IsOne(RunPlace::At(index).bits()));
    EXPECT_FALSE(FarPlace::IsOne(RunPlace::At(index).bits()));
    EXPECT_EQ(RunPlace(RunPlace::At(index).bits()).index(), index);
  }
  EXPECT_FALSE(RunPlace::IsOne(0));
  EXPECT_FALSE(RunPlace::IsOne(1u << 29));
  EXPECT_FALSE(RunPlace::IsOne(FarPlace(FarBucket(FarBucket::kCount - 1), 1).bits()));
}

class InOrder : public EngineTest {
 protected:
  // Sets a timer for a moment; by deadline and order of arming, its cookie.
  void SetAt(uintptr_t cookie, uint64_t deadline, uint64_t interval = 0) {
    ASSERT_EQ(Set(timers_[cookie], TIMER_ABSTIME, deadline, interval), 0);
    Forget(cookie);
    if (deadline != 0) expected_[{deadline, ++order_}] = cookie;
  }
  void Forget(uintptr_t cookie) {
    std::erase_if(expected_, [cookie](const auto& e) { return e.second == cookie; });
  }
  void Add() { timers_.push_back(Create(queue_, CLOCK_MONOTONIC, timers_.size())); }

  // Collects so many, which must be the next of what is expected.
  void ExpectNext(size_t count) {
    const std::vector<ukevent> events = Collect(queue_, 0, static_cast<unsigned>(count));
    ASSERT_EQ(events.size(), std::min(count, expected_.size()));
    for (const ukevent& event : events) {
      ASSERT_EQ(reinterpret_cast<uintptr_t>(event.ptr), expected_.begin()->second);
      expected_.erase(expected_.begin());
    }
  }

  std::vector<Handle> timers_;
  std::map<std::pair<uint64_t, uint64_t>, uintptr_t> expected_;
  uint64_t order_ = 0;
};

// Its pages are replaced while it is in use, and whatever takes an entry away or
// puts it elsewhere comes in between.
TEST_F(InOrder, WhileItGrows) {
  constexpr uintptr_t kTimers = 1'200;
  Collect(queue_);
  const uint64_t begin = Sim().Now(CLOCK_MONOTONIC) + kMillisecond;
  for (uintptr_t i = 0; i < kTimers; ++i) {
    Add();
    SetAt(i, begin + i / 3 * kMicrosecond);
    if (i % 50 == 0) Collect(queue_);
  }
  Collect(queue_);
  for (uintptr_t i = 0; i < kTimers; ++i) {
    if (i % 7 == 0) {
      SetAt(i, 0);
    } else if (i % 11 == 0) {
      ASSERT_EQ(Delete(timers_[i]), 0);
      Forget(i);
    } else if (i % 13 == 0) {
      SetAt(i, begin + kMillisecond / 2 + i);
    } else if (i % 17 == 0) {
      SetAt(i, begin + i);
    }
  }
  Sim().Advance(kSecond);
  while (!expected_.empty()) ASSERT_NO_FATAL_FAILURE(ExpectNext(100));
  EXPECT_TRUE(Collect(queue_).empty());
}

// Periodic timers that are collected together are set again in order.
TEST_F(InOrder, PeriodAfterPeriod) {
  constexpr uintptr_t kTimers = 700;
  const uint64_t begin = Sim().Now(CLOCK_MONOTONIC) + kMillisecond;
  for (uintptr_t i = 0; i < kTimers; ++i) {
    Add();
    SetAt(i, begin, kMillisecond);
  }
  for (int period = 0; period < 20; ++period) {
    Sim().Advance(kMillisecond);
    for (uintptr_t i = 0; i < kTimers; ++i) {
      const std::vector<ukevent> events = Collect(queue_, 0, 1);
      ASSERT_EQ(events.size(), 1);
      ASSERT_EQ(reinterpret_cast<uintptr_t>(events[0].ptr), i);
      ASSERT_EQ(events[0].ret_data[0], 0);
    }
    ASSERT_TRUE(Collect(queue_).empty());
    ASSERT_FALSE(readable());
  }
}

// What is due is counted by what the timers want, not by what the entries say.
TEST_F(InOrder, SoManyAreDue) {
  constexpr uintptr_t kTimers = 40;
  Collect(queue_);
  const uint64_t begin = Sim().Now(CLOCK_MONOTONIC) + kMillisecond;
  for (uintptr_t i = 0; i < kTimers; ++i) {
    Add();
    SetAt(i, begin + i);
  }
  Collect(queue_);
  for (const uintptr_t i : {3, 4, 20}) SetAt(i, begin + kSecond);
  for (const uintptr_t i : {7, 39}) SetAt(i, 0);
  constexpr unsigned kDue = kTimers - 5;
  // Sleeps until the last of them, no shorter; then for one that was put off.
  EXPECT_EQ(Collect(queue_, kDue, 64).size(), kDue);
  EXPECT_EQ(Sim().Now(CLOCK_MONOTONIC), begin + kTimers - 2);
  EXPECT_EQ(Collect(queue_, 2, 64).size(), 3);
  EXPECT_EQ(Sim().Now(CLOCK_MONOTONIC), begin + kSecond);
}

}  // namespace
}  // namespace kevent_test
