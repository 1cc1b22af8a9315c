// SPDX-License-Identifier: MIT
//
// The small parts that the engine is put together from: handles, the heap, the
// inbox, the registry of what the kernel was told.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <climits>
#include <list>
#include <memory>
#include <random>
#include <set>
#include <vector>

#include "core/base/kernel_register.h"
#include "core/timers/deadline_heap.h"
#include "core/timers/handle.h"
#include "core/timers/inbox.h"
#include "core/timers/slot_stock.h"
#include "tests/support/threads.h"

namespace kevent::core {
namespace {

TEST(HandleValue, IsNeverTakenForAnotherKind) {
  for (const uint32_t slot : {0u, 1u, (1u << kSlotBits) - 1}) {
    for (const uint32_t generation : {1u, 3u, kLastGeneration}) {
      const Handle handle(slot, generation);
      const auto value = static_cast<int64_t>(handle.bits());
      EXPECT_GT(value, INT_MAX);                  // no id of the kernel, not 0
      EXPECT_GT(value, 0);                        // not SIGEV_THREAD's
      EXPECT_LT(static_cast<int32_t>(value), 0);  // EINVAL in the kernel if cut
      // Cut and widened with its sign, for which the C library would crash: ours, and none.
      const Handle widened(static_cast<uint64_t>(int64_t{static_cast<int32_t>(value)}));
      EXPECT_TRUE(widened.tagged());
      EXPECT_FALSE(widened.well_formed());
      EXPECT_TRUE(handle.tagged());
      EXPECT_TRUE(handle.well_formed());
      EXPECT_EQ(handle.slot(), slot);
      EXPECT_EQ(handle.generation(), generation);
    }
  }
}

TEST(HandleValue, OthersAreNotOurs) {
  for (const uint64_t foreign : {uint64_t{0}, uint64_t{1}, uint64_t{INT_MAX}, uint64_t{1} << 63,
                                 0x80002ad2b3ac3a38, 0x8000000080000000}) {
    EXPECT_FALSE(Handle(foreign).tagged()) << foreign;
  }
  // Tagged, and no handle all the same.
  EXPECT_FALSE(Handle(uint64_t{1} << 62).well_formed());
  EXPECT_FALSE(Handle(Handle(1, 1).bits() | uint64_t{1} << 30).well_formed());
}

struct NoPositions {
  std::vector<uint32_t>* positions;
  void Moved(uint32_t slot, uint32_t position) const { (*positions)[slot] = position; }
};

TEST(DeadlineHeap, AgreesWithASortedSet) {
  constexpr uint32_t kSlots = 500;
  std::mt19937 random(7);
  std::vector<HeapEntry> entries(kSlots);
  std::vector<uint32_t> positions(kSlots, UINT32_MAX);
  uint32_t size = 0;
  DeadlineHeap<NoPositions> heap(entries.data(), &size, {&positions});
  std::set<std::pair<uint64_t, uint64_t>> model;  // deadline, order
  std::vector<std::pair<uint64_t, uint64_t>> keys(kSlots);
  uint64_t order = 0;
  for (int step = 0; step < 100'000; ++step) {
    const uint32_t slot = random() % kSlots;
    const bool present = positions[slot] != UINT32_MAX;
    if (random() % 4 == 0) {
      if (!present) continue;
      heap.Remove(positions[slot]);
      positions[slot] = UINT32_MAX;
      model.erase(keys[slot]);
    } else {
      if (present) model.erase(keys[slot]);
      keys[slot] = {random() % 64, ++order};  // many are equal
      model.insert(keys[slot]);
      const HeapEntry entry(keys[slot].first, keys[slot].second, slot);
      if (present) {
        heap.Update(positions[slot], entry);
      } else {
        heap.Push(entry);
      }
    }
    ASSERT_EQ(heap.size(), model.size());
    if (model.empty()) continue;
    ASSERT_EQ(heap.top().deadline(), model.begin()->first);
    ASSERT_EQ(heap.top().order(), model.begin()->second);
    ASSERT_EQ(heap.at(positions[heap.top().slot()]).slot(), heap.top().slot());
  }
}

class InboxTest : public testing::Test {
 protected:
  std::vector<uint32_t> Drained() {
    std::vector<uint32_t> slots;
    inbox_->Drain(*directory_, [&](uint32_t slot) { slots.push_back(slot); });
    return slots;
  }

  std::unique_ptr<Inbox> inbox_ = std::make_unique<Inbox>();
  std::unique_ptr<InboxDirectory> directory_ = std::make_unique<InboxDirectory>();
};

TEST_F(InboxTest, GivesEachMarkOnce) {
  const std::vector<uint32_t> slots = {0,
                                       1,
                                       63,
                                       64,
                                       4095,
                                       4096,
                                       kSlotsPerChunk - 1,
                                       kSlotsPerChunk,
                                       3 * kSlotsPerChunk + 77,
                                       70 * kSlotsPerChunk + 5};
  for (const uint32_t slot : slots) ASSERT_EQ(inbox_->Reserve(*directory_, slot), 0);
  EXPECT_TRUE(inbox_->empty());
  for (const uint32_t slot : slots) {
    inbox_->Mark(*directory_, slot);
    inbox_->Mark(*directory_, slot);
    EXPECT_FALSE(inbox_->empty());
  }
  EXPECT_EQ(Drained(), slots);
  EXPECT_TRUE(inbox_->empty());
  EXPECT_TRUE(Drained().empty());
}

// An armer was interrupted after each of its stores, for
// ever.  The next one with the same timer completes it.
TEST_F(InboxTest, AnInterruptedMarkIsCompletedByTheNext) {
  constexpr uint32_t kSlot = 2 * kSlotsPerChunk + 130;
  ASSERT_EQ(inbox_->Reserve(*directory_, kSlot), 0);
  InboxChunk* chunk = directory_->chunks[2].load();
  chunk->leaves[2].fetch_or(uint64_t{1} << 2);  // the leaf alone
  EXPECT_TRUE(Drained().empty());
  inbox_->Mark(*directory_, kSlot);
  EXPECT_EQ(Drained(), std::vector<uint32_t>{kSlot});

  chunk->leaves[2].fetch_or(uint64_t{1} << 2);  // the leaf and its summary
  chunk->summary[0].fetch_or(uint64_t{1} << 2);
  EXPECT_TRUE(Drained().empty());
  inbox_->Mark(*directory_, kSlot);
  EXPECT_EQ(Drained(), std::vector<uint32_t>{kSlot});
}

struct Kernel {
  uint64_t value = 0;
  std::vector<uint64_t> told;
  void Tell(uint64_t v) {
    value = v;
    told.push_back(v);
  }
};

TEST(Stock, GivesEachSlotOnce) {
  constexpr uint32_t kSlots = 100'000;
  const auto stock = std::make_unique<SlotStock>();
  std::array<std::vector<uint32_t>, 3> taken;
  std::atomic<bool> over{false};
  {
    std::list<kevent_test::Thread> threads;
    for (std::vector<uint32_t>& its : taken) {
      threads.emplace_back([&] {
        bool last;
        do {
          last = over;
          for (uint32_t slot; stock->Take(&slot);) its.push_back(slot);
        } while (!last);
      });
    }
    for (uint32_t slot = 0; slot < kSlots;) {
      if (stock->Put(slot)) ++slot;
    }
    over = true;
  }
  std::vector<uint32_t> all;
  for (const std::vector<uint32_t>& its : taken) all.insert(all.end(), its.begin(), its.end());
  std::sort(all.begin(), all.end());
  ASSERT_EQ(all.size(), kSlots);
  for (uint32_t slot = 0; slot < kSlots; ++slot) ASSERT_EQ(all[slot], slot);
  EXPECT_EQ(stock->size(), 0u);
}

TEST(Stock, HasRoomForSoMany) {
  const auto stock = std::make_unique<SlotStock>();
  for (uint32_t slot = 0; slot < SlotStock::kSize; ++slot) {
    EXPECT_EQ(stock->size(), slot);
    EXPECT_TRUE(stock->Put(slot));
  }
  EXPECT_FALSE(stock->Put(SlotStock::kSize));
  uint32_t slot;
  for (uint32_t i = 0; i < SlotStock::kSize; ++i) EXPECT_TRUE(stock->Take(&slot));
  EXPECT_FALSE(stock->Take(&slot));
}

TEST(KernelRegister, TellsOnce) {
  KernelRegister wanted = {};
  Kernel kernel;
  EXPECT_TRUE(wanted.Load().told());
  wanted.RaiseTo(5);
  EXPECT_FALSE(wanted.Load().told());
  wanted.Tell([&](uint64_t v) { kernel.Tell(v); });
  EXPECT_TRUE(wanted.Load().told());
  EXPECT_EQ(kernel.told, std::vector<uint64_t>{5});
  wanted.RaiseTo(4);  // no news
  EXPECT_TRUE(wanted.Load().told());
  EXPECT_EQ(wanted.Load().value(), 5);
}

// The call of one thread reaches the kernel after that of
// another who wants a higher value and has told it.
TEST(KernelRegister, AStaleCallIsRepaired) {
  KernelRegister wanted = {};
  Kernel kernel;
  wanted.RaiseTo(5);
  bool first = true;
  wanted.Tell([&](uint64_t v) {
    if (first) {
      first = false;
      wanted.RaiseTo(9);
      wanted.Tell([&](uint64_t w) { kernel.Tell(w); });
      EXPECT_TRUE(wanted.Load().told());
    }
    kernel.Tell(v);  // 5, after 9
  });
  EXPECT_EQ(kernel.value, 9);
  EXPECT_TRUE(wanted.Load().told());
}

// A call that was overtaken by a change and by the change back does not mark
// the latter as told.
TEST(KernelRegister, ThereAndBackIsAChange) {
  KernelRegister wanted = {};
  Kernel kernel;
  wanted.RaiseTo(5);
  bool first = true;
  wanted.Tell([&](uint64_t v) {
    kernel.Tell(v);
    if (!first) return;
    first = false;
    // A collector takes 5 back; another armer wants it again, and has yet to
    // tell it.
    ASSERT_TRUE(wanted.Replace(wanted.Load(), 0));
    wanted.Tell([&](uint64_t w) { kernel.Tell(w); });
    wanted.RaiseTo(5);
  });
  EXPECT_TRUE(wanted.Load().told());
  EXPECT_EQ(kernel.value, 5);
}

// And of an armer who was left between wanting and telling.
TEST(KernelRegister, AnUntoldValueIsToldByTheNext) {
  KernelRegister wanted = {};
  Kernel kernel;
  wanted.RaiseTo(5);
  wanted.RaiseTo(3);  // another armer, with less: finds 5 untold
  EXPECT_FALSE(wanted.Load().told());
  wanted.Tell([&](uint64_t v) { kernel.Tell(v); });
  EXPECT_EQ(kernel.value, 5);
}

TEST(KernelRegister, APromiseHoldsForItsValue) {
  KernelRegister wanted = {};
  Kernel kernel;
  wanted.RaiseTo(8);
  ASSERT_TRUE(wanted.ReplaceAndPromise(wanted.Load(), 5));
  EXPECT_FALSE(wanted.Load().told());
  EXPECT_TRUE(wanted.Load().will_be_told());
  wanted.RaiseTo(4);  // no news
  EXPECT_TRUE(wanted.Load().will_be_told());
  wanted.RaiseTo(6);
  EXPECT_FALSE(wanted.Load().will_be_told());
  ASSERT_TRUE(wanted.ReplaceAndPromise(wanted.Load(), 4));
  EXPECT_TRUE(wanted.Load().will_be_told());
  ASSERT_TRUE(wanted.Replace(wanted.Load(), 3));
  EXPECT_FALSE(wanted.Load().will_be_told());
  EXPECT_EQ(wanted.Load().value(), 3);
  wanted.Tell([&](uint64_t v) { kernel.Tell(v); });
  EXPECT_TRUE(wanted.Load().told());
  EXPECT_EQ(kernel.value, 3);
}

TEST(KernelRegister, ReplaceLosesAgainstAnyChange) {
  KernelRegister wanted = {};
  wanted.RaiseTo(5);
  const KernelRegister::State seen = wanted.Load();
  wanted.RaiseTo(6);
  EXPECT_FALSE(wanted.Replace(seen, 0));
  EXPECT_TRUE(wanted.Replace(wanted.Load(), 0));
  EXPECT_EQ(wanted.Load().value(), 0);
}

}  // namespace
}  // namespace kevent::core
