// SPDX-License-Identifier: MIT
//
// Sleepers against an obvious model, a leader, a vector of followers and a set of those that are
// woken, under calls that come and go in any order, as threads do.

#include "core/queue/sleepers.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <random>
#include <set>
#include <vector>

#include "core/system/system.h"
#include "tests/unit/engine.h"

namespace kevent_test {
namespace {

using kevent::core::Sleeper;
using kevent::core::Sleepers;
using Role = Sleeper::Role;

class Model {
 public:
  // True when it leads.
  bool Enlist(const Sleeper* sleeper, unsigned due) {
    if (leader == nullptr) leader = sleeper;
    if (leader == sleeper && due != 0) {
      const Sleeper* const content = Least();
      if (content != nullptr && content->min_nr <= due) Promote(content);
    }
    woken.erase(sleeper);
    if (leader == sleeper) return true;
    if (!Follows(sleeper)) followers.push_back(sleeper);
    return false;
  }

  void Leave(const Sleeper* sleeper) {
    std::erase(followers, sleeper);
    woken.erase(sleeper);
    if (leader != sleeper) return;
    leader = nullptr;
    if (!followers.empty()) Promote(Least());
  }

  void WakeFollowers() { woken.insert(followers.begin(), followers.end()); }

  bool Follows(const Sleeper* sleeper) const {
    return std::find(followers.begin(), followers.end(), sleeper) != followers.end();
  }

  const Sleeper* leader = nullptr;
  std::vector<const Sleeper*> followers;  // oldest first
  std::set<const Sleeper*> woken;

 private:
  // The oldest of those that ask for fewest.
  const Sleeper* Least() const {
    const auto least = std::min_element(followers.begin(), followers.end(),
                                        [](auto* a, auto* b) { return a->min_nr < b->min_nr; });
    return least == followers.end() ? nullptr : *least;
  }
  void Promote(const Sleeper* follower) {
    std::erase(followers, follower);
    leader = follower;
    woken.insert(follower);
  }
};

class SleepersLife {
 public:
  explicit SleepersLife(uint64_t seed) : random_(seed), most_(1 + random_() % 12) {}
  // A list that is broken may have no end.
  ~SleepersLife() {
    while (!sleepers_.empty() && !testing::Test::HasFailure()) Leave(0);
  }
  SleepersLife(const SleepersLife&) = delete;
  SleepersLife& operator=(const SleepersLife&) = delete;

  void Step() {
    switch (Below(8)) {
      case 0:
      case 1:
        return Arrive();
      case 2:
        if (!sleepers_.empty()) Leave(Below(sleepers_.size()));
        return;
      case 3:
        return LeaderLeaves();
      case 4:
        set_.WakeFollowers();
        model_.WakeFollowers();
        return Compare();
      default:
        // One that sleeps looks again, woken or by a signal that found nothing.
        if (!sleepers_.empty()) Enlist(*sleepers_[Below(sleepers_.size())]);
    }
  }

 private:
  uint64_t Below(uint64_t limit) { return random_() % limit; }

  void Arrive() {
    if (sleepers_.size() >= most_) return;
    sleepers_.push_back(std::make_unique<Sleeper>(static_cast<unsigned>(1 + Below(5))));
    Sleeper& sleeper = *sleepers_.back();
    if (Below(3) == 0) sleeper.timer = kevent::sys::CreateTimerfd(CLOCK_MONOTONIC);
    Enlist(sleeper);
  }

  // It finds fewer events than it asks for.
  void Enlist(Sleeper& sleeper) {
    const auto due = static_cast<unsigned>(Below(sleeper.min_nr));
    const bool leads = set_.Enlist(sleeper, due);
    EXPECT_EQ(leads, model_.Enlist(&sleeper, due));
    EXPECT_EQ(sleeper.role, leads ? Role::kLeader : Role::kFollower);
    // As the queue and its call have it.
    if (leads && due != 0) sleeper.role = Below(2) == 0 ? Role::kHoldingLeader : Role::kNone;
    if (sleeper.timer >= 0) kevent::sys::ArmTimerfd(sleeper.timer, 0, false);
    Compare();
  }

  void Leave(size_t index) {
    const std::unique_ptr<Sleeper> sleeper = std::move(sleepers_[index]);
    sleepers_.erase(sleepers_.begin() + static_cast<ptrdiff_t>(index));
    set_.Leave(*sleeper);
    model_.Leave(sleeper.get());
    Compare();
    EXPECT_FALSE(set_.IsLeader(*sleeper));
    if (sleeper->timer >= 0) kevent::sys::Close(sleeper->timer);
  }

  void LeaderLeaves() {
    for (size_t i = 0; i < sleepers_.size(); ++i) {
      if (sleepers_[i].get() == model_.leader) return Leave(i);
    }
  }

  void Compare() {
    ASSERT_EQ(set_.Check(), nullptr) << set_.Check();
    ASSERT_EQ(set_.has_leader(), model_.leader != nullptr);
    for (const auto& sleeper : sleepers_) {
      ASSERT_EQ(set_.IsLeader(*sleeper), sleeper.get() == model_.leader);
      const bool woken = model_.woken.count(sleeper.get()) != 0;
      ASSERT_EQ(sleeper->woken.load() != 0, woken);
      if (sleeper->timer >= 0) {
        ASSERT_EQ(Sim().Readable(sleeper->timer), woken);
      }
    }
  }

  std::mt19937_64 random_;
  const size_t most_;
  std::deque<std::unique_ptr<Sleeper>> sleepers_;
  Sleepers set_{};
  Model model_;
};

TEST(Sleepers, AreWhatTheModelSays) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(seed);
    SleepersLife life(seed);
    for (int i = 0; i < 500 && !testing::Test::HasFailure(); ++i) life.Step();
    if (testing::Test::HasFailure()) return;
  }
}

TEST(Sleepers, AFollowerWithoutATimerfdIsWokenByItsFutex) {
  Sleepers set{};
  Sleeper leader(1);
  Sleeper follower(1);
  EXPECT_TRUE(set.Enlist(leader, 0));
  EXPECT_FALSE(set.Enlist(follower, 0));
  const int before = CallCount("FutexWake");
  set.Leave(leader);
  EXPECT_EQ(CallCount("FutexWake"), before + 1);
  EXPECT_TRUE(set.IsLeader(follower));
  set.Leave(follower);
  EXPECT_EQ(CallCount("FutexWake"), before + 1);
  EXPECT_FALSE(set.has_leader());
}

TEST(Sleepers, OnlyTheLeadersDescriptorsCount) {
  Sleepers set{};
  EXPECT_FALSE(set.LeaderSleepsOn(5));
  Sleeper leader(1);
  Sleeper follower(1);
  const pollfd of_leader[] = {{4, POLLIN, 0}, {5, POLLIN, 0}};
  const pollfd of_follower[] = {{6, POLLIN, 0}};
  leader.descriptors = of_leader;
  leader.descriptor_count = 2;
  follower.descriptors = of_follower;
  follower.descriptor_count = 1;
  EXPECT_TRUE(set.Enlist(leader, 0));
  EXPECT_FALSE(set.Enlist(follower, 0));
  EXPECT_TRUE(set.LeaderSleepsOn(4));
  EXPECT_TRUE(set.LeaderSleepsOn(5));
  EXPECT_FALSE(set.LeaderSleepsOn(6));
  set.Leave(leader);
  EXPECT_FALSE(set.LeaderSleepsOn(5));
  EXPECT_TRUE(set.LeaderSleepsOn(6));
  set.Leave(follower);
}

// Check() is what Debug builds and the fuzzers rely on: it must see each of its invariants broken.
TEST(Sleepers, ABrokenInvariantIsSeen) {
  Sleepers set{};
  Sleeper leader(1);
  Sleeper follower(1);
  EXPECT_EQ(set.Check(), nullptr);
  EXPECT_TRUE(set.Enlist(leader, 0));
  EXPECT_FALSE(set.Enlist(follower, 0));
  EXPECT_EQ(set.Check(), nullptr);

  follower.role = Role::kNone;
  EXPECT_STREQ(set.Check(), "a follower has another's role");
  follower.role = Role::kFollower;
  leader.woken.exchange(1);
  EXPECT_STREQ(set.Check(), "a leader that has looked again still counts as woken");
  leader.woken.exchange(0);
  leader.role = Role::kFollower;
  EXPECT_STREQ(set.Check(), "a follower was made leader and sleeps on");
  leader.role = Role::kLeader;
  EXPECT_EQ(set.Check(), nullptr);
  set.Leave(leader);
  set.Leave(follower);
}

}  // namespace
}  // namespace kevent_test
