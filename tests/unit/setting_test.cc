// SPDX-License-Identifier: MIT

#include "core/timers/setting.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace kevent::core {
namespace {

Setting Make(Nanoseconds deadline, Nanoseconds interval) {
  Setting setting;
  setting.deadline = deadline;
  setting.interval = interval;
  return setting;
}

TEST(PackedSetting, KeepsEveryField) {
  for (const Nanoseconds deadline : {Nanoseconds{0}, Nanoseconds{1}, kLatest}) {
    for (const Nanoseconds interval : {Nanoseconds{0}, Nanoseconds{1}, kLatest}) {
      for (const bool monotonic : {false, true}) {
        for (uint8_t generation = 0; generation < 8; ++generation) {
          Setting setting = Make(deadline, interval);
          setting.on_monotonic_axis = monotonic;
          setting.generation = generation;
          const Setting back = PackedSetting(setting).Unpack();
          EXPECT_EQ(back.deadline, deadline);
          EXPECT_EQ(back.interval, interval);
          EXPECT_EQ(back.on_monotonic_axis, monotonic);
          EXPECT_EQ(back.generation, generation);
          const AxisDeadline low(PackedSetting(setting).low());
          EXPECT_EQ(low.deadline(), deadline);
          EXPECT_EQ(low.on_monotonic_axis(), monotonic);
        }
      }
    }
  }
}

TEST(SettingWord, ZeroedMemoryIsDisarmed) {
  SettingWord word;
  EXPECT_FALSE(word.Read().Unpack().armed());
}

TEST(SettingWord, SwapComparesAllSixteenBytes) {
  SettingWord word;
  PackedSetting expected = word.Read();
  ASSERT_TRUE(word.Swap(expected, PackedSetting(Make(5, 7))));
  // The same deadline with another interval is another setting.
  PackedSetting wrong(Make(5, 8));
  EXPECT_FALSE(word.Swap(wrong, PackedSetting(Make(1, 1))));
  EXPECT_EQ(wrong.Unpack().interval, 7);
  EXPECT_TRUE(word.Swap(wrong, PackedSetting(Make(1, 1))));
  EXPECT_EQ(word.axis_deadline().deadline(), 1);
}

TEST(SettingWord, IsReadAtOneInstant) {
  SettingWord word;
  std::atomic<bool> done = false;
  std::thread writer([&] {
    for (Nanoseconds i = 1; i <= 200'000; ++i) {
      PackedSetting before = word.Guess();
      while (!word.Swap(before, PackedSetting(Make(i, i)))) {
      }
    }
    done = true;
  });
  Nanoseconds last = 0;
  while (!done) {
    const Setting setting = word.Read().Unpack();
    ASSERT_EQ(setting.deadline, setting.interval);
    ASSERT_GE(setting.deadline, last);
    last = setting.deadline;
  }
  writer.join();
}

TEST(Expirations, OneShot) {
  const Expirations expired = ExpirationsAt(Make(100, 0), 5000);
  EXPECT_EQ(expired.overruns, 0);
  EXPECT_EQ(expired.last, 100);
  EXPECT_EQ(expired.next, 0);
}

TEST(Expirations, PeriodicKeepsItsPhase) {
  for (Nanoseconds now = 100; now < 200; ++now) {
    const Expirations expired = ExpirationsAt(Make(100, 7), now);
    // Counted one by one.
    uint64_t overruns = 0;
    Nanoseconds last = 100;
    while (last + 7 <= now) last += 7, ++overruns;
    EXPECT_EQ(expired.overruns, overruns);
    EXPECT_EQ(expired.last, last);
    EXPECT_EQ(expired.next, last + 7);
  }
}

TEST(Expirations, ANanosecondForYears) {
  const Nanoseconds years = 50ull * 365 * 86400 * 1'000'000'000;
  const Expirations expired = ExpirationsAt(Make(1, 1), years);
  EXPECT_EQ(expired.overruns, years - 1);
  EXPECT_EQ(expired.next, years + 1);
}

TEST(Expirations, NextSaturates) {
  EXPECT_EQ(ExpirationsAt(Make(100, kLatest), 200).next, kLatest);
}

TEST(Remaining, AsTimerGettimeSays) {
  EXPECT_EQ(RemainingAt(Make(0, 0), 100), 0);
  EXPECT_EQ(RemainingAt(Make(150, 0), 100), 50);
  EXPECT_EQ(RemainingAt(Make(100, 0), 100), 0);
  EXPECT_EQ(RemainingAt(Make(100, 30), 100), 30);
  EXPECT_EQ(RemainingAt(Make(100, 30), 129), 1);
  EXPECT_EQ(RemainingAt(Make(100, 30), 130), 30);
}

TEST(AddSaturating, StopsAtTheLatest) {
  EXPECT_EQ(AddSaturating(kLatest - 1, 1), kLatest);
  EXPECT_EQ(AddSaturating(kLatest, 1), kLatest);
  EXPECT_EQ(AddSaturating(kLatest, kLatest), kLatest);
}

}  // namespace
}  // namespace kevent::core
