// SPDX-License-Identifier: MIT
//
// The list of the ready kevents against one that is searched from end to end, and the table
// of kevents against a map.

#include "core/kevents/ready_list.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <list>
#include <map>
#include <memory>
#include <vector>

#include "tests/unit/choices.h"
#include "tests/unit/engine.h"

namespace kevent_test {
namespace {

using kevent::core::Kevent;
using kevent::core::KeventKey;
using kevent::core::KeventPages;
using kevent::core::KeventTable;
using kevent::core::ReadyList;

struct Entry {
  uint32_t number;
  bool level_triggered;
};

class ReadyListLife {
 public:
  explicit ReadyListLife(uint64_t seed) : random_(seed) {
    table_.Init(pages_.get());
    for (uint32_t i = 0; i < kRecords; ++i) {
      EXPECT_EQ(table_.Insert({i, 0, 0}, &numbers_.emplace_back()), 0);
    }
  }

  void Step() {
    const uint32_t number = numbers_[random_.Below(kRecords)];
    const auto found = std::find_if(model_.begin(), model_.end(), [number](const Entry& entry) {
      return entry.number == number;
    });
    if (random_.Below(3) == 0) {
      list_.Remove(table_, number);
      if (found != model_.end()) model_.erase(found);
    } else {
      const bool level_triggered = random_.Below(2) == 0;
      list_.Add(table_, number, level_triggered);
      if (found == model_.end()) {
        model_.push_back({number, level_triggered});
      } else {
        found->level_triggered = found->level_triggered && level_triggered;
      }
    }
    ExpectSame();
  }

 private:
  static constexpr uint32_t kRecords = 12;

  void ExpectSame() {
    ASSERT_STREQ(list_.Check(table_), nullptr);
    ASSERT_EQ(list_.size(), model_.size());
    ASSERT_EQ(list_.level_triggered(),
              std::count_if(model_.begin(), model_.end(),
                            [](const Entry& entry) { return entry.level_triggered; }));
    ASSERT_EQ(list_.latched() + list_.level_triggered(), list_.size());
    uint32_t link = list_.first();
    for (const Entry& entry : model_) {
      ASSERT_EQ(link, entry.number + 1);
      ASSERT_EQ(table_.At(entry.number).level_triggered, entry.level_triggered);
      link = table_.At(entry.number).ready_after;
    }
    ASSERT_EQ(link, 0);
    ASSERT_EQ(list_.last(), model_.empty() ? 0 : model_.back().number + 1);
  }

  RandomChoices random_;
  std::unique_ptr<KeventPages> pages_ = std::make_unique<KeventPages>();
  KeventTable table_{};
  ReadyList list_{};
  std::vector<uint32_t> numbers_;
  std::list<Entry> model_;
};

TEST(ReadyListTest, IsWhatAListThatIsSearchedWouldBe) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    ReadyListLife life(seed);
    for (int step = 0; step < 400; ++step) {
      life.Step();
      if (testing::Test::HasFatalFailure()) FAIL() << "seed " << seed << ", step " << step;
    }
  }
}

TEST(KeventTableTest, IsWhatAMapWouldBe) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    RandomChoices random(seed);
    const auto pages = std::make_unique<KeventPages>();
    KeventTable table{};
    table.Init(pages.get());
    std::map<uint64_t, uint32_t> model;
    // Of more keys than the first size of its buckets.
    for (int step = 0; step < 6'000; ++step) {
      const uint64_t id = random.Below(4'000);
      const KeventKey key = {id, id * 7, static_cast<uint32_t>(id % 5)};
      const auto found = model.find(id);
      ASSERT_EQ(table.Find(key), found == model.end() ? 0 : found->second + 1);
      if (found == model.end()) {
        uint32_t number;
        ASSERT_EQ(table.Insert(key, &number), 0);
        model[id] = number;
      } else if (random.Below(2) == 0) {
        table.Erase(found->second);
        model.erase(found);
      }
      ASSERT_EQ(table.size(), model.size());
      if (step % 100 == 0) {
        ASSERT_STREQ(table.Check(), nullptr) << "seed " << seed;
      }
    }
    ASSERT_STREQ(table.Check(), nullptr) << "seed " << seed;
  }
}

}  // namespace
}  // namespace kevent_test
