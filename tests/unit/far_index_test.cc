// SPDX-License-Identifier: MIT
//
// The far part of an index against a list: everything comes near in time, once,
// however often it was moved, and however often void entries were swept out.

#include "core/timers/far_index.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <random>
#include <vector>

namespace kevent_test {
namespace {

using kevent::core::FarBucket;
using kevent::core::FarIndex;
using kevent::core::FarPages;
using kevent::core::FarPlace;
using kevent::core::FarState;
using kevent::core::kLatest;
using kevent::core::Nanoseconds;

struct Timer {
  Nanoseconds deadline = 0;  // 0: it has none
  uint32_t place = 0;
  bool near = false;
  bool strange = false;  // the slot is another queue's for the time being
};

struct Places {
  uint32_t* At(uint32_t slot) const {
    if (looks != nullptr) ++*looks;
    return (*timers)[slot].strange ? nullptr : &(*timers)[slot].place;
  }
  void Prefetch(uint32_t) const {}
  std::vector<Timer>* timers;
  uint64_t* looks = nullptr;  // at slots
};

class FarLife {
 public:
  explicit FarLife(uint64_t seed) : random_(seed), span_(uint64_t{1} << (4 + seed % 58)) {
    pages_ = static_cast<FarPages*>(std::calloc(1, FarIndex<Places>::BytesFor(kTimers)));
  }
  ~FarLife() { std::free(pages_); }
  FarLife(const FarLife&) = delete;
  FarLife& operator=(const FarLife&) = delete;

  void Step() {
    const auto slot = static_cast<uint32_t>(Below(kTimers));
    switch (Below(100)) {
      case 0:
        Pass(now_ + Below(span_));
        break;
      case 1:
        if (timers_[slot].deadline != 0) Pass(std::min(timers_[slot].deadline, kLatest / 2));
        break;
      case 2:  // without a deadline, its entry becomes void
        timers_[slot] = {.strange = timers_[slot].strange};
        break;
      case 3:
        if (timers_[slot].deadline == 0) timers_[slot].strange = !timers_[slot].strange;
        break;
      case 4:
        Set(slot, kLatest - Below(3));
        break;
      case 5:  // where buckets begin
        Set(slot, (now_ + Below(span_)) >> FarBucket::kTickBits << FarBucket::kTickBits);
        break;
      default:
        Set(slot, now_ + Below(span_ >> Below(16) | 1));
        break;
    }
    ASSERT_LE(state_.fresh, FarIndex<Places>::BlocksFor(kTimers));
  }

 private:
  static constexpr uint32_t kTimers = 300;

  uint64_t Below(uint64_t limit) { return random_() % limit; }

  FarIndex<Places> Index() {
    return {pages_, FarIndex<Places>::BlocksFor(kTimers), &state_, Places{&timers_}};
  }

  Nanoseconds EarliestStart() const {
    Nanoseconds earliest = kLatest;
    if (state_.sweep_first != 0) earliest = FarBucket(state_.swept - 1).Start(state_.base);
    for (uint32_t number = 0; number < FarBucket::kCount; ++number) {
      if (pages_->heads[number] != 0) {
        earliest = std::min(earliest, FarBucket(number).Start(state_.base));
      }
    }
    return earliest;
  }

  void Set(uint32_t slot, Nanoseconds deadline) {
    Timer& timer = timers_[slot];
    if (timer.strange || deadline == 0) return;
    timer.deadline = deadline;
    if (!FarPlace::IsOne(timer.place)) return Put(slot);
    const Nanoseconds start = Index().StartOf(FarPlace(timer.place));
    if (start > deadline) Put(slot);
  }

  void Put(uint32_t slot) {
    Timer& timer = timers_[slot];
    timer.near = !Index().Takes(timer.deadline);
    if (timer.near) {
      timer.place = 0;
      return;
    }
    const Nanoseconds start = Index().Add(slot, timer.deadline);
    ASSERT_LE(start, timer.deadline);
    ASSERT_EQ(start, Index().StartOf(FarPlace(timer.place)));
    ASSERT_LE(Index().start(), start);
  }

  void Pass(Nanoseconds now) {
    now_ = std::min(std::max(now_, now), kLatest / 2);
    while (Index().ReachedBy(now_)) {
      ASSERT_EQ(Index().start(), EarliestStart());
      std::vector<uint32_t> taken;
      Index().TakeEarliest([&](uint32_t slot) {
        ASSERT_EQ(timers_[slot].place, 0u);
        ASSERT_FALSE(timers_[slot].near);
        ASSERT_NE(timers_[slot].deadline, 0u);
        taken.push_back(slot);
        Put(slot);
      });
      std::sort(taken.begin(), taken.end());
      ASSERT_EQ(std::unique(taken.begin(), taken.end()), taken.end()) << "twice";
    }
    Index().AdvanceTo(now_);
    Index().TakeAhead(static_cast<uint32_t>(Below(3)), [&](uint32_t slot) { Put(slot); });
    ASSERT_TRUE(Index().empty() || Index().start() == EarliestStart());
    for (const Timer& timer : timers_) {
      if (timer.deadline != 0 && timer.deadline <= now_) {
        ASSERT_TRUE(timer.near) << timer.deadline << " at " << now_;
      }
      if (timer.place != 0) {
        ASSERT_GT(Index().StartOf(FarPlace(timer.place)), now_);
      }
    }
    // What was due is collected.
    for (Timer& timer : timers_) {
      if (timer.near) timer = {};
    }
  }

  std::mt19937_64 random_;
  const uint64_t span_;
  Nanoseconds now_ = 1;
  std::vector<Timer> timers_{kTimers};
  FarPages* pages_;
  FarState state_ = {};
};

TEST(FarIndex, BringsEverythingNearInTime) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    FarLife life(seed);
    for (int step = 0; step < 3'000; ++step) {
      life.Step();
      if (testing::Test::HasFatalFailure()) FAIL() << "seed " << seed << ", step " << step;
    }
  }
}

// Many timers, and 17 s for each move.
class Crowd {
 public:
  static constexpr uint32_t kTimers = 14 * 1'000;
  static constexpr Nanoseconds kWidth = Nanoseconds{1} << 34;
  static constexpr uint32_t kAhead = 4;  // blocks at once
  using Index = FarIndex<Places>;

  Crowd() : pages_(static_cast<FarPages*>(std::calloc(1, Index::BytesFor(kTimers))), &std::free) {
    index().AdvanceTo(1);
  }
  Index index() {
    return {pages_.get(), Index::BlocksFor(kTimers), &state_, Places{&timers_, &looks_}};
  }
  void ExpectWithinThePages() const { EXPECT_LE(state_.fresh, Index::BlocksFor(kTimers)); }

  // All of them, each at another moment of the 17 s.
  void MoveTo(Nanoseconds bucket) {
    for (uint32_t slot = 0; slot < kTimers; ++slot) Put(slot, bucket);
  }
  void Put(uint32_t slot, Nanoseconds bucket) {
    constexpr uint32_t kFarApart = 7'919;  // what is made together does not expire together
    timers_[slot].deadline = kWidth * bucket + kWidth / kTimers * (slot * kFarApart % kTimers);
    const uint64_t before = looks_;
    index().Add(slot, timers_[slot].deadline);
    most_looks_ = std::max(most_looks_, looks_ - before);
  }
  // At how many slots one Add has looked.
  uint64_t most_looks() const { return most_looks_; }
  bool sweeping() const { return state_.swept != 0; }
  const Timer& timer(uint32_t slot) const { return timers_[slot]; }

  // Lets the bucket come; arrived(slot) for each.
  template <typename Arrived>
  void PassThrough(Nanoseconds bucket, Arrived arrived) {
    AdvanceTo(kWidth * (bucket + 1) - 1, arrived);
  }
  template <typename Arrived>
  void AdvanceTo(Nanoseconds now, Arrived arrived) {
    const auto visit = [&](uint32_t slot) {
      if (index().Takes(timers_[slot].deadline)) {
        index().Add(slot, timers_[slot].deadline);
      } else {
        arrived(slot);
      }
    };
    while (index().ReachedBy(now)) {
      index().TakeEarliest(visit);
      ExpectWithinThePages();
    }
    index().AdvanceTo(now);
    index().TakeAhead(kAhead, visit);
    ExpectWithinThePages();
  }
  uint64_t looks() const { return looks_; }

 private:
  std::vector<Timer> timers_{kTimers};
  const std::unique_ptr<FarPages, decltype(&std::free)> pages_;
  FarState state_ = {};
  uint64_t looks_ = 0;
  uint64_t most_looks_ = 0;
};

// To earlier and earlier buckets before any of them comes: every move leaves a
// void entry, and the pages hold two for each timer.
TEST(FarIndex, SweepsVoidEntriesOut) {
  for (Nanoseconds moves = 1; moves < 12; ++moves) {
    Crowd crowd;
    for (Nanoseconds bucket = moves; bucket > 0; --bucket) {
      crowd.MoveTo(bucket);
      crowd.ExpectWithinThePages();
    }
    std::vector<int> arrivals(Crowd::kTimers);
    crowd.PassThrough(moves, [&](uint32_t slot) { ++arrivals[slot]; });
    EXPECT_EQ(std::count(arrivals.begin(), arrivals.end(), 1), Crowd::kTimers);
  }
}

// However many timers there are and however void their entries: a collection
// holds up everything else in its queue.
TEST(FarIndex, LooksAtAFewSlotsForEachThatMoves) {
  Crowd crowd;
  int sweeps = 0;
  bool sweeping = false;
  std::mt19937_64 random(7);
  for (int round = 0; round < 20; ++round) {
    for (uint32_t i = 0; i < Crowd::kTimers; ++i) {
      crowd.Put(static_cast<uint32_t>(random() % Crowd::kTimers), 1 + random() % 60);
      sweeps += crowd.sweeping() && !sweeping ? 1 : 0;
      sweeping = crowd.sweeping();
    }
    crowd.ExpectWithinThePages();
  }
  EXPECT_GT(sweeps, 2);
  // To drop or move an entry takes two looks, and the slot's own takes one.
  EXPECT_LE(crowd.most_looks(), Crowd::Index::kSweptAtOnce * 14 * 2 + 1);
}

// Nor when what so many wait for comes near.
TEST(FarIndex, LooksAtAFewSlotsWhenABucketComes) {
  for (const Nanoseconds away : {1, 5, 20}) {
    Crowd crowd;
    crowd.MoveTo(away);
    std::vector<int> arrivals(Crowd::kTimers);
    uint64_t most = 0;
    // So often that one or two are due each time.
    for (Nanoseconds now = 1; now < (away + 1) * Crowd::kWidth; now += Crowd::kWidth / 10'000) {
      const uint64_t before = crowd.looks();
      crowd.AdvanceTo(now, [&](uint32_t slot) { ++arrivals[slot]; });
      most = std::max(most, crowd.looks() - before);
    }
    EXPECT_EQ(std::count(arrivals.begin(), arrivals.end(), 1), Crowd::kTimers);
    EXPECT_LT(most, 2'500) << away;  // twice for each of 14 000 at once would be 28 000
  }
}

// A few go to other buckets and come back, until most of the pages are entries of
// one bucket of which none seems to be void; others come then.
void GoAndComeBack(int times, uint32_t others) {
  constexpr uint32_t kFew = Crowd::kTimers / 14;
  constexpr Nanoseconds kLast = 60;
  Crowd crowd;
  for (int i = 0; i < times; ++i) {
    const auto bucket = static_cast<Nanoseconds>(i) + 1;
    for (uint32_t slot = 0; slot < kFew; ++slot) crowd.Put(slot, bucket);
    crowd.PassThrough(bucket, [&](uint32_t slot) { crowd.Put(slot, kLast); });
  }
  for (uint32_t slot = kFew; slot < kFew + others; ++slot) crowd.Put(slot, kLast);
  crowd.ExpectWithinThePages();
  std::vector<int> arrivals(Crowd::kTimers);
  crowd.PassThrough(kLast, [&](uint32_t slot) { ++arrivals[slot]; });
  EXPECT_EQ(std::count(arrivals.begin(), arrivals.end(), 1), kFew + others);
}

TEST(FarIndex, SweepsDoublesOut) {
  for (int times = 25; times < 40; ++times) GoAndComeBack(times, Crowd::kTimers / 14 * 13);
}

TEST(FarIndex, TakesABucketApartThatFillsThePages) {
  for (uint32_t others = 6'000; others < 9'000; others += 100) GoAndComeBack(33, others);
}

TEST(FarIndex, BucketsLieInOrder) {
  std::mt19937_64 random(5);
  for (int i = 0; i < 200'000; ++i) {
    const Nanoseconds base = random() >> (2 + random() % 60);
    const Nanoseconds moment =
        std::min(kLatest, base + (random() >> (2 + random() % 60)) % (kLatest - base + 1));
    const FarBucket bucket = FarBucket::Of(moment, base);
    ASSERT_LT(bucket.number(), FarBucket::kCount);
    ASSERT_LE(bucket.Start(base), moment);
    ASSERT_GE(bucket.Last(base), moment);
    ASSERT_EQ(FarPlace(bucket, 1).bucket().number(), bucket.number());
    ASSERT_TRUE(FarPlace::IsOne(FarPlace(bucket, 0).bits()));
  }
}

}  // namespace
}  // namespace kevent_test
