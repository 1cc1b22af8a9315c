// SPDX-License-Identifier: MIT
//
// Alert mode: port_alert(3C) of illumos.

#include <poll.h>

#include <atomic>

#include "tests/port/ports.h"
#include "tests/support/threads.h"

namespace port_test {
namespace {

using testing::ElementsAre;

constexpr int kWaiters = 4;

int SetAlert(const Port& port, int events, uintptr_t user = 0, int flags = PORT_ALERT_SET) {
  return Error([&] { return port_alert(port.fd(), flags, events, Cookie(user)); });
}
int ClearAlert(const Port& port) { return SetAlert(port, 0); }

TEST(Alert, IsWhatEveryCallReturns) {
  const Port port;
  EXPECT_EQ(SetAlert(port, 0x40000001, 3), 0);
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(Get(port), IsEvent(PORT_SOURCE_ALERT, 0u, 0x40000001, 3));
    for (const unsigned wanted : {1u, 5u}) {
      const Got got = GetN(port.fd(), wanted, 8, std::nullopt);
      EXPECT_EQ(got.error, 0);
      EXPECT_THAT(got.events, ElementsAre(IsEvent(PORT_SOURCE_ALERT, 0u, 0x40000001, 3)));
    }
  }
  EXPECT_EQ(ClearAlert(port), 0);
  EXPECT_TRUE(IsEmpty(port));
}

TEST(Alert, LeavesEventsWhereTheyAre) {
  const Port port;
  EXPECT_EQ(port_send(port.fd(), 1, Cookie(1)), 0);
  EXPECT_EQ(SetAlert(port, 1), 0);
  EXPECT_EQ(port_send(port.fd(), 1, Cookie(2)), 0);
  EXPECT_EQ(Get(port).portev_source, PORT_SOURCE_ALERT);
  EXPECT_EQ(ClearAlert(port), 0);
  EXPECT_EQ(Users(GetReady(port)), (std::vector<uintptr_t>{1, 2}));
}

TEST(Alert, IsSetAgainAndNotUpdated) {
  const Port port;
  EXPECT_EQ(SetAlert(port, 1, 1, PORT_ALERT_UPDATE), 0);
  EXPECT_EQ(SetAlert(port, 2, 2, PORT_ALERT_UPDATE), EBUSY);
  EXPECT_THAT(Get(port), IsEvent(PORT_SOURCE_ALERT, 0u, 1, 1));
  EXPECT_EQ(SetAlert(port, 3, 3, PORT_ALERT_SET), 0);
  EXPECT_THAT(Get(port), IsEvent(PORT_SOURCE_ALERT, 0u, 3, 3));
  EXPECT_EQ(ClearAlert(port), 0);
  EXPECT_EQ(ClearAlert(port), 0);
  EXPECT_EQ(SetAlert(port, 4, 4, PORT_ALERT_UPDATE), 0);
  EXPECT_THAT(Get(port), IsEvent(PORT_SOURCE_ALERT, 0u, 4, 4));
}

TEST(Alert, IsOfOnePort) {
  const Port one;
  const Port other;
  EXPECT_EQ(SetAlert(one, 1), 0);
  EXPECT_TRUE(IsEmpty(other));
  EXPECT_EQ(port_send(other.fd(), 1, Cookie(1)), 0);
  EXPECT_THAT(Get(other), IsEvent(PORT_SOURCE_USER, 0u, 1, 1));
}

TEST(Alert, IsSeenByADuplicate) {
  const Port port;
  const Descriptor copy(dup(port.fd()));
  EXPECT_EQ(Error([&] { return port_alert(copy.fd(), PORT_ALERT_SET, 5, nullptr); }), 0);
  EXPECT_THAT(Get(port), IsEvent(PORT_SOURCE_ALERT, 0u, 5, 0));
}

TEST(Alert, MakesThePortReadable) {
  const Port port;
  EXPECT_EQ(SetAlert(port, 1), 0);
  pollfd descriptor = {port.fd(), POLLIN, 0};
  EXPECT_EQ(poll(&descriptor, 1, 0), 1);
}

TEST(Alert, DoesNotCountAsAnEvent) {
  const Port port;
  EXPECT_EQ(SetAlert(port, 1), 0);
  unsigned count = 99;
  EXPECT_EQ(Error([&] { return port_getn(port.fd(), nullptr, 0, &count, nullptr); }), 0);
  EXPECT_EQ(count, 0u);
}

// Whatever they wait for, and whatever is there.
TEST(Alert, IsReturnedToAllWaiters) {
  for (int round = 0; round < 20; ++round) {
    const Port port;
    EXPECT_EQ(port_send(port.fd(), 1, Cookie(1)), 0);
    std::atomic<int> alerted{0};
    {
      std::vector<std::unique_ptr<Thread>> waiters;
      waiters.reserve(kWaiters);
      for (int i = 0; i < kWaiters; ++i) {
        waiters.push_back(std::make_unique<Thread>([&] {
          const Got got = GetN(port.fd(), 3, 8, std::nullopt);
          EXPECT_EQ(got.error, 0);
          EXPECT_THAT(got.events, ElementsAre(IsEvent(PORT_SOURCE_ALERT, 0u, 9, 9)));
          ++alerted;
        }));
      }
      for (const auto& waiter : waiters) waiter->AwaitAsleep();
      EXPECT_EQ(SetAlert(port, 9, 9), 0);
    }
    EXPECT_EQ(alerted, kWaiters);
    EXPECT_EQ(ClearAlert(port), 0);
    EXPECT_THAT(GetReady(port), ElementsAre(IsEvent(PORT_SOURCE_USER, 0u, 1, 1)));
  }
}

// Those who wait for single events, and go on waiting when the alert is over, lose none of them.
TEST(Alert, LosesNoEvent) {
  const Port port;
  constexpr uintptr_t kEvents = 5'000;
  std::vector<std::atomic<int>> seen(kEvents + 1);
  std::atomic<uintptr_t> left{kEvents};
  std::atomic<int> alerts{0};
  {
    std::vector<std::unique_ptr<Thread>> waiters;
    waiters.reserve(kWaiters);
    for (int i = 0; i < kWaiters; ++i) {
      waiters.push_back(std::make_unique<Thread>([&, i] {
        while (left > 0) {
          const unsigned wanted = i % 2 == 0 ? 1 : 3;
          const Got got = GetN(port.fd(), wanted, 4, 10 * kMillisecond);
          EXPECT_TRUE(got.error == 0 || got.error == ETIME || got.error == EINTR) << got.error;
          for (const port_event_t& event : got.events) {
            if (event.portev_source == PORT_SOURCE_ALERT) {
              EXPECT_EQ(got.nget, 1u);
              ++alerts;
              continue;
            }
            ++seen[User(event)];
            --left;
          }
        }
      }));
    }
    for (uintptr_t i = 1; i <= kEvents; ++i) {
      EXPECT_EQ(port_send(port.fd(), 1, Cookie(i)), 0);
      if (i % 25 != 0) continue;
      EXPECT_EQ(i % 50 == 0 ? SetAlert(port, 1) : ClearAlert(port), 0);
    }
    EXPECT_EQ(ClearAlert(port), 0);
  }
  EXPECT_EQ(std::count(seen.begin() + 1, seen.end(), 1), static_cast<long>(kEvents));
}

// What a waiter had taken is put back with the association that is in force by then.
TEST(Alert, KeepsAssociations) {
  const Port port;
  const Pipe pipe;
  pipe.Write();
  EXPECT_EQ(Associate(port, pipe.out.fd(), POLLIN, 1), 0);
  {
    Thread waiter([&] {
      EXPECT_THAT(GetN(port.fd(), 2, 4, std::nullopt).events,
                  ElementsAre(IsEvent(PORT_SOURCE_ALERT, 0u, 1, 0)));
    });
    waiter.AwaitAsleep();
    EXPECT_EQ(SetAlert(port, 1), 0);
  }
  EXPECT_EQ(ClearAlert(port), 0);
  EXPECT_THAT(GetReady(port), ElementsAre(IsEvent(PORT_SOURCE_FD, pipe.out.fd(), POLLIN, 1)));
  EXPECT_TRUE(IsEmpty(port));
}

TEST(Alert, ThatIsOverLeavesNoTrace) {
  const Port port;
  EXPECT_EQ(SetAlert(port, 1), 0);
  Get(port);
  EXPECT_EQ(ClearAlert(port), 0);
  EXPECT_EQ(port_send(port.fd(), 1, Cookie(1)), 0);
  Thread waiter([&] { EXPECT_EQ(GetN(port.fd(), 2, 2, std::nullopt).error, 0); });
  waiter.AwaitAsleep();
  EXPECT_EQ(port_send(port.fd(), 1, Cookie(2)), 0);
}

TEST(Alert, Errors) {
  const Port port;
  const Pipe pipe;
  EXPECT_EQ(SetAlert(port, 1, 0, PORT_ALERT_SET | PORT_ALERT_UPDATE), EINVAL);
  EXPECT_EQ(SetAlert(port, 1, 0, 4), EINVAL);
  EXPECT_EQ(Error([&] { return port_alert(-1, PORT_ALERT_SET, 1, nullptr); }), EBADF);
  EXPECT_EQ(Error([&] { return port_alert(pipe.out.fd(), PORT_ALERT_SET, 1, nullptr); }), EBADFD);
  EXPECT_TRUE(IsEmpty(port));
}

}  // namespace
}  // namespace port_test
