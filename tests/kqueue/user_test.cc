// SPDX-License-Identifier: MIT
//
// EVFILT_USER, and the flags of a registration.

#include "tests/kqueue/kqueues.h"

namespace {

using namespace kqueue_test;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

int Trigger(const Kqueue& kq, uintptr_t ident = 1) {
  return kq.Make(ident, EVFILT_USER, EV_KEEPUDATA, NOTE_TRIGGER);
}

TEST(User, IsReportedUntilItIsCleared) {
  const Kqueue kq;
  EXPECT_EQ(kq.Make(1, EVFILT_USER, EV_ADD, 0, 0, 7), 0);
  EXPECT_THAT(kq.Ready(), IsEmpty());
  EXPECT_EQ(Trigger(kq), 0);
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(kq.Ready(), ElementsAre(IsEvent(1u, EVFILT_USER, 0, 7u)));
  }
  EXPECT_EQ(kq.Make(1, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, 8), 0);
  EXPECT_THAT(kq.Ready(), IsEmpty());
  EXPECT_EQ(Trigger(kq), 0);
  EXPECT_THAT(kq.Ready(), ElementsAre(IsEvent(1u, EVFILT_USER, 0, 8u)));
}

TEST(User, OfSeveralTriggersIsOneEvent) {
  const Kqueue kq;
  EXPECT_EQ(kq.Make(1, EVFILT_USER, EV_ADD | EV_CLEAR), 0);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Trigger(kq), 0);
  EXPECT_THAT(kq.Ready(), SizeIs(1));
  EXPECT_THAT(kq.Ready(), IsEmpty());
}

TEST(User, HasFlagsThatTriggersCombine) {
  const Kqueue kq;
  EXPECT_EQ(kq.Make(1, EVFILT_USER, EV_ADD | EV_CLEAR), 0);
  const auto reported = [&](unsigned fflags) {
    EXPECT_EQ(kq.Make(1, EVFILT_USER, 0, fflags | NOTE_TRIGGER), 0);
    const std::vector<Event> events = kq.Ready();
    return events.size() == 1 ? events[0].fflags : 0xffffffffu;
  };
  EXPECT_EQ(reported(NOTE_FFCOPY | 0x00f0), 0x00f0u);
  EXPECT_EQ(reported(NOTE_FFOR | 0x000f), 0x00ffu);
  EXPECT_EQ(reported(NOTE_FFAND | 0x003c), 0x003cu);
  EXPECT_EQ(reported(NOTE_FFNOP | 0xffff), 0x003cu);
}

TEST(User, DiffersByIdent) {
  const Kqueue kq;
  EXPECT_EQ(kq.Make({Change(1, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, 1),
                     Change(static_cast<uintptr_t>(-1), EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, 2)}),
            0);
  EXPECT_EQ(Trigger(kq, static_cast<uintptr_t>(-1)), 0);
  EXPECT_THAT(kq.Ready(), ElementsAre(IsEvent(static_cast<uintptr_t>(-1), EVFILT_USER, 0, 2u)));
}

TEST(OneShot, GoesWithItsEvent) {
  const Kqueue kq;
  EXPECT_EQ(kq.Make(1, EVFILT_USER, EV_ADD | EV_ONESHOT), 0);
  EXPECT_EQ(Trigger(kq), 0);
  const std::vector<Event> events = kq.Ready();
  ASSERT_THAT(events, SizeIs(1));
  EXPECT_EQ(events[0].flags, EV_ONESHOT);
  EXPECT_EQ(Trigger(kq), ENOENT);
}

TEST(Dispatch, IsDisabledWithItsEvent) {
  const Kqueue kq;
  EXPECT_EQ(kq.Make(1, EVFILT_USER, EV_ADD | EV_DISPATCH | EV_CLEAR), 0);
  EXPECT_EQ(Trigger(kq), 0);
  EXPECT_THAT(kq.Ready(), SizeIs(1));
  EXPECT_EQ(Trigger(kq), 0);
  EXPECT_THAT(kq.Ready(), IsEmpty());
  EXPECT_EQ(kq.Make(1, EVFILT_USER, EV_ENABLE), 0);
  EXPECT_THAT(kq.Ready(), SizeIs(1));
  EXPECT_EQ(kq.Make(1, EVFILT_USER, EV_ENABLE), 0);
  EXPECT_THAT(kq.Ready(), IsEmpty());
}

TEST(Dispatch, WithoutClearStaysTrue) {
  const Kqueue kq;
  EXPECT_EQ(kq.Make(1, EVFILT_USER, EV_ADD | EV_DISPATCH), 0);
  EXPECT_EQ(Trigger(kq), 0);
  EXPECT_THAT(kq.Ready(), SizeIs(1));
  EXPECT_THAT(kq.Ready(), IsEmpty());
  EXPECT_EQ(kq.Make(1, EVFILT_USER, EV_ENABLE), 0);
  EXPECT_THAT(kq.Ready(), SizeIs(1));
}

TEST(Disabled, IsNotReportedAndNotLost) {
  const Kqueue kq;
  EXPECT_EQ(kq.Make(1, EVFILT_USER, EV_ADD | EV_DISABLE | EV_CLEAR), 0);
  EXPECT_EQ(Trigger(kq), 0);
  EXPECT_THAT(kq.Ready(), IsEmpty());
  EXPECT_EQ(kq.Make(1, EVFILT_USER, EV_ENABLE), 0);
  EXPECT_THAT(kq.Ready(), SizeIs(1));
  // To add it again enables it.
  EXPECT_EQ(kq.Make(1, EVFILT_USER, EV_DISABLE), 0);
  EXPECT_EQ(Trigger(kq), 0);
  EXPECT_EQ(kq.Make(1, EVFILT_USER, EV_ADD), 0);
  EXPECT_THAT(kq.Ready(), SizeIs(1));
}

TEST(Added, AgainKeepsTheFlagsThatItHas) {
  const Kqueue kq;
  EXPECT_EQ(kq.Make(2, EVFILT_USER, EV_ADD), 0);
  EXPECT_EQ(kq.Make(2, EVFILT_USER, EV_ADD | EV_CLEAR | EV_ONESHOT, NOTE_TRIGGER), 0);
  for (int i = 0; i < 2; ++i) {
    const std::vector<Event> stays = kq.Ready();
    ASSERT_THAT(stays, SizeIs(1));
    EXPECT_EQ(stays[0].flags, 0);
  }
  EXPECT_EQ(kq.Make(2, EVFILT_USER, EV_DELETE), 0);
  EXPECT_EQ(kq.Make(1, EVFILT_USER, EV_ADD | EV_CLEAR), 0);
  EXPECT_EQ(kq.Make(1, EVFILT_USER, EV_ADD, NOTE_TRIGGER), 0);
  const std::vector<Event> events = kq.Ready();
  ASSERT_THAT(events, SizeIs(1));
  EXPECT_EQ(events[0].flags, EV_CLEAR);
  EXPECT_THAT(kq.Ready(), IsEmpty());
}

TEST(Deleted, IsNotReported) {
  const Kqueue kq;
  EXPECT_EQ(kq.Make(1, EVFILT_USER, EV_ADD), 0);
  EXPECT_EQ(Trigger(kq), 0);
  EXPECT_EQ(kq.Make(1, EVFILT_USER, EV_DELETE), 0);
  EXPECT_THAT(kq.Ready(), IsEmpty());
  EXPECT_EQ(kq.Make(1, EVFILT_USER, EV_ADD), 0);
  EXPECT_THAT(kq.Ready(), IsEmpty());
}

TEST(Udata, IsThatOfTheLastChange) {
  const Kqueue kq;
  Event add = Change(1, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, 1);
  add.ext[0] = 10;
  add.ext[3] = 13;
  EXPECT_EQ(kq.Make({add}), 0);
  EXPECT_EQ(kq.Make(1, EVFILT_USER, 0, NOTE_TRIGGER, 0, 2), 0);
  std::vector<Event> events = kq.Ready();
  ASSERT_THAT(events, SizeIs(1));
  EXPECT_EQ(Udata(events[0]), 2u);
  EXPECT_EQ(events[0].ext[0], 10u);
  EXPECT_EQ(events[0].ext[3], 13u);
  EXPECT_EQ(kq.Make(1, EVFILT_USER, EV_KEEPUDATA, NOTE_TRIGGER, 0, 3), 0);
  events = kq.Ready();
  ASSERT_THAT(events, SizeIs(1));
  EXPECT_EQ(Udata(events[0]), 2u);
}

}  // namespace
