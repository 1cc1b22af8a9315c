// SPDX-License-Identifier: MIT
//
// The order of operations on one file.

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <utility>
#include <vector>

#include "core/aio/io_ordering.h"
#include "tests/unit/order_life.h"

namespace kevent_test {
namespace {

using kevent::core::IoOrdering;
using kevent::core::Operation;
using kevent::core::Operations;
using Kind = kevent::sys::Transfer::Kind;

class FileOrder : public testing::Test {
 protected:
  FileOrder() : files_(std::make_unique<IoOrdering>()) {}
  ~FileOrder() override {
    for (const uint32_t number : numbers_) Operations::Free(number);
  }

  uint32_t AddAt(int64_t offset, size_t bytes, Kind kind) {
    return Add(kind, false, 0, 3, offset, bytes);
  }
  uint32_t Add(Kind kind, bool in_line = false, int priority = 0, int fd = 3, int64_t offset = 0,
               size_t bytes = 0) {
    uint32_t number = 0;
    EXPECT_EQ(Operations::Allocate(&number), 0);
    numbers_.push_back(number);
    Operation& operation = Operations::At(number);
    operation.transfer = {kind, fd, nullptr, bytes, in_line ? -1 : offset};
    operation.given_up = operation.file_lost = operation.pooled = false;
    operation.in_line = in_line;
    operation.takes_turns = operation.has_turn = false;
    operation.priority = priority;
    IoOrdering::Runnable runnable;
    EXPECT_EQ(files_->Add(number, &runnable), 0);
    Take(&runnable);
    return number;
  }
  void Done(uint32_t number) {
    IoOrdering::Runnable runnable;
    files_->Remove(number, &runnable);
    Take(&runnable);
  }
  void GiveUp(uint32_t number) {
    IoOrdering::Runnable runnable;
    files_->GiveUp(number, &runnable);
    Take(&runnable);
  }
  // What has begun since it was asked last.
  std::vector<uint32_t> Begun() { return std::exchange(begun_, {}); }

  const std::unique_ptr<IoOrdering> files_;

 private:
  void Take(IoOrdering::Runnable* runnable) {
    while (const uint32_t link = runnable->Take()) {
      Operations::At(link - 1).state = Operation::State::kStarted;
      begun_.push_back(link - 1);
    }
  }

  std::vector<uint32_t> numbers_;
  std::vector<uint32_t> begun_;
};

using List = std::vector<uint32_t>;

TEST_F(FileOrder, PlacesHaveNone) {
  const uint32_t a = Add(Kind::kRead);
  const uint32_t b = Add(Kind::kWrite);
  EXPECT_EQ(Begun(), (List{a, b}));
  Done(b);
  Done(a);
  EXPECT_EQ(Begun(), List{});
}

TEST_F(FileOrder, WhatMeetsAWriteWaitsForThoseBeforeItAlone) {
  const uint32_t read = AddAt(0, 10, Kind::kRead);
  const uint32_t again = AddAt(5, 10, Kind::kRead);
  const uint32_t beside = AddAt(15, 5, Kind::kWrite);
  EXPECT_EQ(Begun(), (List{read, again, beside}));
  const uint32_t write = AddAt(0, 6, Kind::kWrite);
  const uint32_t over = AddAt(4, 1, Kind::kWrite);
  const uint32_t first = AddAt(0, 4, Kind::kRead);
  const uint32_t second = AddAt(4, 10, Kind::kRead);
  const uint32_t after = AddAt(6, 9, Kind::kRead);
  EXPECT_EQ(Begun(), List{after});
  Done(again);
  EXPECT_EQ(Begun(), List{});
  Done(read);
  EXPECT_EQ(Begun(), List{write});
  Done(write);
  EXPECT_EQ(Begun(), (List{over, first}));
  Done(first);
  EXPECT_EQ(Begun(), List{});
  Done(over);
  EXPECT_EQ(Begun(), List{second});
  for (const uint32_t number : {beside, second, after}) Done(number);
}

TEST_F(FileOrder, OneThatIsGivenUpKeepsNobodyBack) {
  const uint32_t write = AddAt(0, 8, Kind::kWrite);
  const uint32_t over = AddAt(4, 8, Kind::kWrite);
  const uint32_t read = AddAt(8, 8, Kind::kRead);
  EXPECT_EQ(Begun(), List{write});
  GiveUp(over);
  EXPECT_EQ(Begun(), List{read});
  Done(write);
  Done(read);
}

TEST_F(FileOrder, ALineIsServedByPriorityAndThenInTheOrderOfTheCalls) {
  const uint32_t a = Add(Kind::kWrite, true, -5);
  const uint32_t b = Add(Kind::kWrite, true, -5);
  const uint32_t c = Add(Kind::kWrite, true, 0);
  const uint32_t d = Add(Kind::kWrite, true, -3);
  const uint32_t e = Add(Kind::kWrite, true, -5);
  const uint32_t read = Add(Kind::kRead, true, -20);
  EXPECT_EQ(Begun(), (List{a, read}));
  GiveUp(d);
  Done(a);
  EXPECT_EQ(Begun(), List{c});
  Done(c);
  EXPECT_EQ(Begun(), List{b});
  const uint32_t f = Add(Kind::kWrite, true, -5);
  Done(b);
  EXPECT_EQ(Begun(), List{e});
  GiveUp(f);
  Done(e);
  EXPECT_EQ(Begun(), List{});
  const uint32_t g = Add(Kind::kWrite, true);
  EXPECT_EQ(Begun(), List{g});
  Done(g);
  Done(read);
}

TEST_F(FileOrder, ALineGoesOnWithoutThoseThatAreGivenUpAnywhereInIt) {
  const uint32_t a = Add(Kind::kRead, true);
  std::array<uint32_t, 6> waiting;
  for (uint32_t& each : waiting) each = Add(Kind::kRead, true);
  EXPECT_EQ(Begun(), List{a});
  for (const size_t i : {5, 2, 0, 3}) GiveUp(waiting[i]);
  const uint32_t last = Add(Kind::kRead, true);
  Done(a);
  EXPECT_EQ(Begun(), List{waiting[1]});
  Done(waiting[1]);
  EXPECT_EQ(Begun(), List{waiting[4]});
  GiveUp(last);
  const uint32_t again = Add(Kind::kRead, true);
  Done(waiting[4]);
  EXPECT_EQ(Begun(), List{again});
  Done(again);
}

TEST_F(FileOrder, ASyncWaitsForThoseBeforeItAlone) {
  const uint32_t a = Add(Kind::kWrite);
  const uint32_t b = Add(Kind::kWrite);
  const uint32_t first = Add(Kind::kSync);
  const uint32_t c = Add(Kind::kWrite);
  const uint32_t second = Add(Kind::kSyncData);
  EXPECT_EQ(Begun(), (List{a, b, c}));
  Done(b);
  EXPECT_EQ(Begun(), List{});
  Done(a);
  EXPECT_EQ(Begun(), List{first});
  Done(c);
  EXPECT_EQ(Begun(), List{second});  // a sync need not wait for another
  Done(second);
  Done(first);
  EXPECT_EQ(Begun(), List{});
  const uint32_t alone = Add(Kind::kSync);
  EXPECT_EQ(Begun(), List{alone});
  Done(alone);
}

TEST_F(FileOrder, FilesDoNotWaitForEachOther) {
  constexpr int kSameBucket = 3 + 1024;
  const uint32_t a = Add(Kind::kRead, true, 0, 3);
  const uint32_t b = Add(Kind::kRead, true, 0, kSameBucket);
  const uint32_t sync = Add(Kind::kSync, false, 0, 4);
  EXPECT_EQ(Begun(), (List{a, b, sync}));
  const uint32_t waits = Add(Kind::kRead, true, 0, 3);
  Done(b);
  Done(sync);
  EXPECT_EQ(Begun(), List{});
  Done(a);
  EXPECT_EQ(Begun(), List{waits});
  Done(waits);
}

// A close of many numbers looks for those that are there when it begins.
TEST_F(FileOrder, FindsTheDescriptorsOfOperationsThatAreThereAndOfNoneThatComesLater) {
  constexpr int kSameBucket = 3 + 1024;
  const uint32_t early = Add(Kind::kRead, true, 0, 3);
  const uint64_t newest = files_->newest();
  const uint32_t late = Add(Kind::kRead, true, 0, kSameBucket);
  const uint32_t beside = Add(Kind::kRead, true, 0, 4);
  uint32_t bucket = 0;
  EXPECT_EQ(files_->AnyInUse(0, 5000, newest, &bucket), 3);
  Operations::At(early).file_lost = true;
  EXPECT_EQ(files_->AnyInUse(0, 5000, newest, &bucket), -1);
  bucket = 0;
  EXPECT_EQ(files_->AnyInUse(4, 5000, files_->newest(), &bucket), kSameBucket);
  for (const uint32_t number : {early, late, beside}) Done(number);
}

TEST(FileOrderModel, IsWhatTheRulesSay) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    RandomChoices choices(seed);
    OrderLife life(choices);
    for (int step = 0; step < 1'000 && !testing::Test::HasFailure(); ++step) life.Step();
    life.End();
  }
}

}  // namespace
}  // namespace kevent_test
