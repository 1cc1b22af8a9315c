// SPDX-License-Identifier: MIT
//
// The threads of asynchronous I/O, as they are counted.

#include "core/aio/staff.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace kevent_test {
namespace {

using kevent::core::PoolThreads;
using kevent::core::SingleThread;

TEST(SingleThread, IsMadeByOneThreadAndReliedOnWhenItIsThere) {
  SingleThread thread = {};
  EXPECT_TRUE(thread.Claim());
  EXPECT_FALSE(thread.Claim());
  EXPECT_FALSE(thread.is_running());
  thread.SetMade(false);
  EXPECT_TRUE(thread.Claim());
  thread.SetMade(true);
  EXPECT_TRUE(thread.is_running());
  EXPECT_FALSE(thread.Claim());
  thread.Leave();
  EXPECT_FALSE(thread.is_running());
}

TEST(SingleThread, MayHaveLeftBeforeItsMakerKnowsOfIt) {
  SingleThread thread = {};
  EXPECT_TRUE(thread.Claim());
  thread.Leave();
  thread.SetMade(true);
  EXPECT_FALSE(thread.is_running());
}

// Before it takes work, which another thread would not be woken for.
TEST(PoolThreads, CountAThreadOnceWhoeverReportsItFirst) {
  PoolThreads threads = {};
  threads.AddBegun();
  EXPECT_EQ(threads.count(), 1);
  threads.TakeWork();
  threads.AddMade();
  EXPECT_EQ(threads.count(), 1);
  EXPECT_EQ(threads.idle(), 0);
  threads.AddMade();
  EXPECT_EQ(threads.count(), 2);
  threads.AddBegun();
  EXPECT_EQ(threads.count(), 2);
  EXPECT_EQ(threads.Check(), nullptr);
}

// A thread may begin so late that the next one is being made.
TEST(PoolThreads, CountTwoThreadsThatReportInAnyOrder) {
  for (const std::string order : {"mmbb", "mbmb", "mbbm", "bmbm", "bmmb", "bbmm"}) {
    PoolThreads threads = {};
    uint32_t made = 0;
    uint32_t begun = 0;
    for (const char report : order) {
      if (report == 'm') {
        threads.AddMade();
        ++made;
      } else {
        threads.AddBegun();
        ++begun;
      }
      EXPECT_EQ(threads.count(), std::max(made, begun)) << order;
      EXPECT_EQ(threads.idle(), threads.count()) << order;
    }
  }
}

TEST(PoolThreads, CoverWhatIsWantedUpToTheirLimit) {
  PoolThreads threads = {};
  EXPECT_TRUE(threads.Cover(0));
  for (uint32_t count = 0; count < PoolThreads::kMax; ++count) {
    EXPECT_TRUE(threads.Cover(count));
    EXPECT_FALSE(threads.Cover(count + 1));
    threads.Join();
  }
  EXPECT_TRUE(threads.Cover(1000));
  threads.TakeWork();
  threads.EndWork();
  threads.Leave();
  EXPECT_FALSE(threads.Cover(PoolThreads::kMax));
  EXPECT_EQ(threads.Check(), nullptr);
}

}  // namespace
}  // namespace kevent_test
