// SPDX-License-Identifier: MIT
//
// EVFILT_TIMER.

#include <time.h>

#include "tests/kqueue/kqueues.h"

namespace {

using namespace kqueue_test;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr unsigned kUnits[] = {NOTE_SECONDS, NOTE_MSECONDS, NOTE_USECONDS, NOTE_NSECONDS, 0};

TEST(Timers, ExpireOnceWithOneShot) {
  const Kqueue kq;
  const Nanos begin = Now(CLOCK_MONOTONIC);
  EXPECT_EQ(kq.Make(1, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0, 5, 9), 0);
  EXPECT_THAT(kq.Await(), ElementsAre(IsEvent(1u, EVFILT_TIMER, 1, 9u)));
  EXPECT_GE(Now(CLOCK_MONOTONIC) - begin, 5 * kMillisecond);
  EXPECT_EQ(kq.Make(1, EVFILT_TIMER, EV_DELETE), ENOENT);
}

TEST(Timers, KnowTheirUnits) {
  struct Case {
    unsigned unit;
    int64_t data;
    Nanos time;
  };
  const Case cases[] = {{NOTE_SECONDS, 1, kSecond},
                        {NOTE_MSECONDS, 3, 3 * kMillisecond},
                        {NOTE_USECONDS, 3000, 3 * kMillisecond},
                        {NOTE_NSECONDS, 3'000'000, 3 * kMillisecond},
                        {0, 3, 3 * kMillisecond}};
  for (const Case& c : cases) {
    const Kqueue kq;
    const Nanos begin = Now(CLOCK_MONOTONIC);
    EXPECT_EQ(kq.Make(1, EVFILT_TIMER, EV_ADD | EV_ONESHOT, c.unit, c.data), 0);
    EXPECT_THAT(kq.Await(), SizeIs(1));
    EXPECT_GE(Now(CLOCK_MONOTONIC) - begin, c.time) << "unit " << c.unit;
  }
}

TEST(Timers, CountWhatHasExpired) {
  const Kqueue kq;
  EXPECT_EQ(kq.Make(1, EVFILT_TIMER, EV_ADD, NOTE_MSECONDS, 1), 0);
  const Nanos begin = Now(CLOCK_MONOTONIC);
  int64_t count = 0;
  while (count < 20) {
    for (const Event& event : kq.Await()) {
      EXPECT_EQ(event.flags & EV_CLEAR, EV_CLEAR);
      count += event.data;
    }
  }
  EXPECT_GE(Now(CLOCK_MONOTONIC) - begin, 19 * kMillisecond);
}

TEST(Timers, CountWhileTheyAreDisabled) {
  const Kqueue kq;
  EXPECT_EQ(kq.Make(1, EVFILT_TIMER, EV_ADD | EV_DISABLE, NOTE_MSECONDS, 1), 0);
  EXPECT_THAT(kq.Retrieve(10 * kMillisecond), IsEmpty());
  EXPECT_EQ(kq.Make(1, EVFILT_TIMER, EV_ENABLE), 0);
  const std::vector<Event> events = kq.Await();
  ASSERT_THAT(events, SizeIs(1));
  EXPECT_GE(events[0].data, 9);
}

TEST(Timers, CountWhileTheyAreDispatched) {
  const Kqueue kq;
  EXPECT_EQ(kq.Make(1, EVFILT_TIMER, EV_ADD | EV_DISPATCH, NOTE_MSECONDS, 1), 0);
  EXPECT_THAT(kq.Await(), SizeIs(1));
  EXPECT_THAT(kq.Retrieve(10 * kMillisecond), IsEmpty());
  EXPECT_EQ(kq.Make(1, EVFILT_TIMER, EV_ENABLE), 0);
  const std::vector<Event> events = kq.Await();
  ASSERT_THAT(events, SizeIs(1));
  EXPECT_GE(events[0].data, 9);
}

TEST(Timers, AreSetAgainByAdding) {
  const Kqueue kq;
  EXPECT_EQ(kq.Make(1, EVFILT_TIMER, EV_ADD | EV_ONESHOT, NOTE_NSECONDS, 1), 0);
  while (Now(CLOCK_MONOTONIC) == 0) {
  }
  // Has expired and was not retrieved: that is forgotten.
  EXPECT_EQ(kq.Make(1, EVFILT_TIMER, EV_ADD | EV_ONESHOT, NOTE_SECONDS, 3600, 2), 0);
  EXPECT_THAT(kq.Ready(), IsEmpty());
  EXPECT_EQ(kq.Make(1, EVFILT_TIMER, EV_ADD | EV_ONESHOT, NOTE_NSECONDS, 1, 3), 0);
  EXPECT_THAT(kq.Await(), ElementsAre(IsEvent(1u, EVFILT_TIMER, 1, 3u)));
}

TEST(Timers, HaveMomentsOfTheTimeOfDay) {
  for (const unsigned unit : kUnits) {
    const Kqueue kq;
    const Nanos now = Now(CLOCK_REALTIME);
    const Nanos one = unit == NOTE_SECONDS    ? kSecond
                      : unit == NOTE_USECONDS ? kMicrosecond
                      : unit == NOTE_NSECONDS ? 1
                                              : kMillisecond;
    const Nanos moment = now / one + (unit == NOTE_SECONDS ? 1 : 3 * kMillisecond / one + 1);
    EXPECT_EQ(kq.Make(1, EVFILT_TIMER, EV_ADD, unit | NOTE_ABSTIME, static_cast<int64_t>(moment)),
              0);
    EXPECT_THAT(kq.Await(), ElementsAre(IsEvent(1u, EVFILT_TIMER, 1, 0u)));
    EXPECT_GE(Now(CLOCK_REALTIME), moment * one) << "unit " << unit;
    // It expires once, and stays.
    EXPECT_THAT(kq.Ready(), IsEmpty());
    EXPECT_EQ(kq.Make(1, EVFILT_TIMER, EV_DELETE), 0);
  }
}

TEST(Timers, OfAPastMomentExpireAtOnce) {
  const Kqueue kq;
  EXPECT_EQ(kq.Make({Change(1, EVFILT_TIMER, EV_ADD | EV_ONESHOT, NOTE_ABSTIME, 0),
                     Change(2, EVFILT_TIMER, EV_ADD | EV_ONESHOT, NOTE_ABSTIME, -5)}),
            0);
  size_t count = 0;
  while (count < 2) count += kq.Await().size();
  EXPECT_EQ(count, 2u);
}

TEST(Timers, ChangeTheirClock) {
  const Kqueue kq;
  EXPECT_EQ(kq.Make(1, EVFILT_TIMER, EV_ADD, NOTE_SECONDS, 3600), 0);
  EXPECT_EQ(kq.Make(1, EVFILT_TIMER, EV_ADD, NOTE_ABSTIME, 1, 2), 0);
  EXPECT_THAT(kq.Await(), ElementsAre(IsEvent(1u, EVFILT_TIMER, 1, 2u)));
  EXPECT_EQ(kq.Make(1, EVFILT_TIMER, EV_ADD | EV_ONESHOT, NOTE_MSECONDS, 1, 3), 0);
  EXPECT_THAT(kq.Await(), ElementsAre(IsEvent(1u, EVFILT_TIMER, 1, 3u)));
}

TEST(Timers, KeepTheirFlagsWhenTheyChangeTheirClock) {
  const Kqueue kq;
  EXPECT_EQ(kq.Make(1, EVFILT_TIMER, EV_ADD, NOTE_SECONDS, 3600), 0);
  EXPECT_EQ(kq.Make(1, EVFILT_TIMER, EV_ADD | EV_DISPATCH, NOTE_ABSTIME, 1), 0);
  EXPECT_EQ(kq.Make(1, EVFILT_TIMER, EV_ADD | EV_DISPATCH, NOTE_MSECONDS, 1), 0);
  for (int i = 0; i < 2; ++i) {
    const std::vector<Event> events = kq.Await();
    ASSERT_THAT(events, SizeIs(1));
    EXPECT_EQ(events[0].flags, EV_CLEAR);
  }
  EXPECT_EQ(kq.Make(1, EVFILT_TIMER, EV_ADD | EV_ONESHOT, NOTE_ABSTIME, 1), 0);
  EXPECT_THAT(kq.Await(), SizeIs(1));
  EXPECT_EQ(kq.Make(1, EVFILT_TIMER, EV_DELETE), ENOENT);
}

TEST(Timers, OfNoTimeExpireSoon) {
  const Kqueue kq;
  EXPECT_EQ(kq.Make(1, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0, 0), 0);
  EXPECT_THAT(kq.Await(), SizeIs(1));
  // A period of none is one of the unit.
  const Nanos begin = Now(CLOCK_MONOTONIC);
  EXPECT_EQ(kq.Make(1, EVFILT_TIMER, EV_ADD, NOTE_MSECONDS, 0), 0);
  EXPECT_THAT(kq.Await(), SizeIs(1));
  EXPECT_GE(Now(CLOCK_MONOTONIC) - begin, kMillisecond);
}

TEST(Timers, RefuseBadParameters) {
  const Kqueue kq;
  EXPECT_EQ(kq.Make(1, EVFILT_TIMER, EV_ADD, NOTE_SECONDS | NOTE_NSECONDS, 1), EINVAL);
  EXPECT_EQ(kq.Make(1, EVFILT_TIMER, EV_ADD, 0x100, 1), EINVAL);
  EXPECT_EQ(kq.Make(1, EVFILT_TIMER, EV_ADD, 0, -1), EINVAL);
  EXPECT_EQ(kq.Make(1, EVFILT_TIMER, EV_DELETE), ENOENT);
  EXPECT_EQ(kq.Make(1, EVFILT_TIMER, EV_ADD, NOTE_SECONDS, INT64_MAX, 1), 0);
  EXPECT_EQ(kq.Make(1, EVFILT_TIMER, EV_ADD, NOTE_SECONDS, -1, 2), EINVAL);
  EXPECT_EQ(kq.Make(1, EVFILT_TIMER, EV_DELETE), 0) << "a refused change has changed something";
}

TEST(Timers, AreManyInOneCall) {
  const Kqueue kq;
  constexpr uintptr_t kCount = 10'000;
  std::vector<Event> changes;
  for (uintptr_t i = 0; i < kCount; ++i) {
    changes.push_back(Change(i, EVFILT_TIMER, EV_ADD, NOTE_SECONDS, 3600, i));
  }
  EXPECT_EQ(kq.Make(changes), 0);
  EXPECT_THAT(kq.Ready(), IsEmpty());
  for (Event& change : changes) {
    change.flags = EV_ADD | EV_ONESHOT;
    change.fflags = NOTE_NSECONDS;
    change.data = 1;
  }
  EXPECT_EQ(kq.Make(changes), 0);
  std::vector<bool> seen(kCount);
  size_t count = 0;
  while (count < kCount) {
    for (const Event& event : kq.Await(512)) {
      EXPECT_EQ(event.ident, Udata(event));
      EXPECT_FALSE(seen[event.ident]);
      seen[event.ident] = true;
      ++count;
    }
  }
  EXPECT_THAT(kq.Ready(), IsEmpty());
}

TEST(Timers, OfOneIdentTwiceInACallAreTheLatter) {
  const Kqueue kq;
  EXPECT_EQ(kq.Make({Change(1, EVFILT_TIMER, EV_ADD, NOTE_SECONDS, 3600, 1),
                     Change(1, EVFILT_TIMER, EV_ADD, NOTE_SECONDS, 7200, 2),
                     Change(1, EVFILT_TIMER, EV_ADD | EV_ONESHOT, NOTE_MSECONDS, 1, 3),
                     Change(2, EVFILT_TIMER, EV_ADD, NOTE_MSECONDS, 1, 4),
                     Change(2, EVFILT_TIMER, EV_DELETE)}),
            0);
  EXPECT_THAT(kq.Await(), ElementsAre(IsEvent(1u, EVFILT_TIMER, 1, 3u)));
  EXPECT_THAT(kq.Retrieve(5 * kMillisecond), IsEmpty());
}

}  // namespace
