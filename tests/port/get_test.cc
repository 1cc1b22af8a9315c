// SPDX-License-Identifier: MIT
//
// port_get, port_getn, port_send and port_sendn: port_get(3C) and port_send(3C) of illumos.

#include <poll.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <climits>
#include <numeric>

#include "tests/port/ports.h"
#include "tests/support/threads.h"

namespace port_test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

void SendNumbers(const Port& port, uintptr_t first, uintptr_t last) {
  for (uintptr_t i = first; i <= last; ++i) {
    EXPECT_EQ(Error([&] { return port_send(port.fd(), 1, Cookie(i)); }), 0);
  }
}

std::vector<uintptr_t> Range(uintptr_t first, uintptr_t last) {
  std::vector<uintptr_t> numbers(last - first + 1);
  std::iota(numbers.begin(), numbers.end(), first);
  return numbers;
}

TEST(Send, BringsEventsAndUser) {
  const Port port;
  for (const int events : {0, 1, -1, INT_MIN, INT_MAX, 0x5a5a5a5a}) {
    EXPECT_EQ(Error([&] { return port_send(port.fd(), events, Cookie(3)); }), 0);
    EXPECT_THAT(Get(port), IsEvent(PORT_SOURCE_USER, 0u, events, 3));
  }
}

TEST(Send, KeepsEveryEventAlsoEqualOnes) {
  const Port port;
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(port_send(port.fd(), 7, Cookie(3)), 0);
  const std::vector<port_event_t> events = GetReady(port, 2000);
  EXPECT_EQ(events.size(), 1000u);
  EXPECT_THAT(events, testing::Each(IsEvent(PORT_SOURCE_USER, 0u, 7, 3)));
}

TEST(Send, KeepsTheOrder) {
  const Port port;
  SendNumbers(port, 1, 300);
  EXPECT_EQ(Users(GetReady(port, 1000)), Range(1, 300));
}

TEST(Send, MakesThePortReadable) {
  const Port port;
  pollfd descriptor = {port.fd(), POLLIN, 0};
  EXPECT_EQ(poll(&descriptor, 1, 0), 0);
  SendNumbers(port, 1, 1);
  EXPECT_EQ(poll(&descriptor, 1, 0), 1);
  Get(port);
  EXPECT_EQ(poll(&descriptor, 1, 0), 0);
}

TEST(Send, WakesAThreadThatWaits) {
  const Port port;
  Thread waiter([&] { EXPECT_THAT(Get(port), IsEvent(PORT_SOURCE_USER, 0u, 9, 1)); });
  waiter.AwaitAsleep();
  EXPECT_EQ(port_send(port.fd(), 9, Cookie(1)), 0);
}

TEST(Send, ToManyReachesEach) {
  std::vector<Port> ports(3);
  int fds[] = {ports[0].fd(), ports[1].fd(), ports[2].fd()};
  int errors[] = {-1, -1, -1};
  EXPECT_EQ(port_sendn(fds, errors, 3, 5, Cookie(6)), 3);
  for (const Port& port : ports) EXPECT_THAT(Get(port), IsEvent(PORT_SOURCE_USER, 0u, 5, 6));
}

TEST(Send, ToManySaysWhichHaveFailed) {
  const Port one;
  const Port other;
  const Pipe pipe;
  int fds[] = {one.fd(), -1, pipe.out.fd(), other.fd()};
  int errors[] = {-1, -1, -1, -1};
  EXPECT_EQ(port_sendn(fds, errors, 4, 5, Cookie(6)), 2);
  EXPECT_THAT(errors, ElementsAre(0, EBADF, EBADFD, 0));
  EXPECT_THAT(Get(one), IsEvent(PORT_SOURCE_USER, 0u, 5, 6));
  EXPECT_THAT(Get(other), IsEvent(PORT_SOURCE_USER, 0u, 5, 6));
  int none[] = {-1, pipe.in.fd()};
  EXPECT_EQ(port_sendn(none, errors, 2, 5, nullptr), 0);
  EXPECT_THAT(errors, ElementsAre(EBADF, EBADFD, EBADFD, 0));
}

TEST(Send, ErrorsOfTheCall) {
  const Pipe pipe;
  int fds[] = {1};
  int errors[] = {0};
  EXPECT_EQ(Error([&] { return port_send(-1, 1, nullptr); }), EBADF);
  EXPECT_EQ(Error([&] { return port_send(pipe.out.fd(), 1, nullptr); }), EBADFD);
  EXPECT_EQ(Error([&] { return port_sendn(fds, errors, 0, 1, nullptr); }), EINVAL);
  EXPECT_EQ(Error([&] { return port_sendn(nullptr, errors, 1, 1, nullptr); }), EFAULT);
  EXPECT_EQ(Error([&] { return port_sendn(fds, nullptr, 1, 1, nullptr); }), EFAULT);
}

// ---- How many --------------------------------------------------------------

TEST(GetMany, TakesMoreThanWasWantedIfTheyAreThere) {
  const Port port;
  SendNumbers(port, 1, 5);
  const Got got = GetN(port.fd(), 1, 8, std::nullopt);
  EXPECT_EQ(got.error, 0);
  EXPECT_EQ(Users(got.events), Range(1, 5));
}

TEST(GetMany, TakesNoMoreThanThereIsRoomFor) {
  const Port port;
  SendNumbers(port, 1, 300);
  EXPECT_EQ(Users(GetN(port.fd(), 1, 3, std::nullopt).events), Range(1, 3));
  EXPECT_EQ(Users(GetN(port.fd(), 200, 250, std::nullopt).events), Range(4, 253));
  EXPECT_EQ(Users(GetN(port.fd(), 47, 47, std::nullopt).events), Range(254, 300));
}

TEST(GetMany, WaitsForAsManyAsAreWanted) {
  const Port port;
  SendNumbers(port, 1, 2);
  Thread waiter([&] {
    const Got got = GetN(port.fd(), 3, 8, std::nullopt);
    EXPECT_EQ(got.error, 0);
    EXPECT_EQ(Users(got.events), Range(1, 3));
  });
  waiter.AwaitAsleep();
  EXPECT_FALSE(waiter.finished());
  SendNumbers(port, 3, 3);
}

// While one waits for several others may take what is there.
TEST(GetMany, LeavesEventsToOthersWhileItWaits) {
  const Port port;
  Thread waiter([&] { EXPECT_EQ(GetN(port.fd(), 2, 2, std::nullopt).nget, 2u); });
  waiter.AwaitAsleep();
  SendNumbers(port, 1, 1);
  EXPECT_EQ(User(Get(port)), 1u);
  SendNumbers(port, 2, 3);
}

TEST(GetMany, WithRoomForNoneSaysHowManyThereAre) {
  const Port port;
  const Pipe pipe;
  unsigned count = 99;
  EXPECT_EQ(Error([&] { return port_getn(port.fd(), nullptr, 0, &count, nullptr); }), 0);
  EXPECT_EQ(count, 0u);
  SendNumbers(port, 1, 100);
  pipe.Write();
  EXPECT_EQ(Associate(port, pipe.out.fd(), POLLIN, 101), 0);
  for (int i = 0; i < 3; ++i) {
    count = 99;
    EXPECT_EQ(Error([&] { return port_getn(port.fd(), nullptr, 0, &count, nullptr); }), 0);
    EXPECT_EQ(count, 101u);
  }
  std::vector<uintptr_t> users = Users(GetReady(port, 200));
  std::sort(users.begin(), users.end());
  EXPECT_EQ(users, Range(1, 101));
}

TEST(GetMany, ThatWantsNoneTakesWhatIsThere) {
  const Port port;
  Got got = GetN(port.fd(), 0, 1, std::nullopt);
  EXPECT_EQ(got.error, 0);
  EXPECT_EQ(got.nget, 0u);
  SendNumbers(port, 1, 2);
  got = GetN(port.fd(), 0, 1, std::nullopt);
  EXPECT_EQ(got.error, 0);
  EXPECT_EQ(Users(got.events), Range(1, 1));
}

// ---- How long --------------------------------------------------------------

TEST(GetTimeout, OfNothingIsETIME) {
  const Port port;
  for (const Nanos timeout : {Nanos{0}, kMillisecond}) {
    const Got got = GetN(port.fd(), 1, 8, timeout);
    EXPECT_EQ(got.error, ETIME);
    EXPECT_EQ(got.nget, 0u);
    port_event_t event = {};
    event.portev_source = 999;
    const timespec limit = ToTimespec(timeout);
    EXPECT_EQ(Error([&] { return port_get(port.fd(), &event, &limit); }), ETIME);
    EXPECT_EQ(event.portev_source, 999);
  }
}

TEST(GetTimeout, BringsFewerThanWereWantedWithETIME) {
  const Port port;
  for (const Nanos timeout : {Nanos{0}, kMillisecond}) {
    SendNumbers(port, 1, 2);
    const Got got = GetN(port.fd(), 3, 8, timeout);
    EXPECT_EQ(got.error, ETIME);
    EXPECT_EQ(Users(got.events), Range(1, 2));
    EXPECT_TRUE(port_test::IsEmpty(port));
  }
}

TEST(GetTimeout, IsNoneIfEnoughIsThere) {
  const Port port;
  SendNumbers(port, 1, 2);
  EXPECT_EQ(GetN(port.fd(), 2, 8, 0).error, 0);
  SendNumbers(port, 1, 1);
  EXPECT_EQ(GetN(port.fd(), 1, 8, 0).error, 0);
}

TEST(GetTimeout, IsNotOverEarly) {
  const Port port;
  constexpr Nanos kTimeout = 20 * kMillisecond;
  const Nanos begin = Now(CLOCK_MONOTONIC);
  EXPECT_EQ(GetN(port.fd(), 1, 1, kTimeout).error, ETIME);
  EXPECT_GE(Now(CLOCK_MONOTONIC) - begin, kTimeout);
}

TEST(GetTimeout, MayBeLongerThanAnyClockGoes) {
  const Port port;
  const timespec for_ever = {LONG_MAX, 999'999'999};
  Thread waiter([&] {
    port_event_t event;
    EXPECT_EQ(Error([&] { return port_get(port.fd(), &event, &for_ever); }), 0);
  });
  waiter.AwaitAsleep();
  SendNumbers(port, 1, 1);
}

TEST(GetTimeout, IsNotWaitedForWithNonblock) {
  const Port port;
  ASSERT_EQ(fcntl(port.fd(), F_SETFL, O_NONBLOCK), 0);
  EXPECT_EQ(GetN(port.fd(), 1, 1, std::nullopt).error, ETIME);
  SendNumbers(port, 1, 1);
  EXPECT_EQ(GetN(port.fd(), 2, 2, std::nullopt).error, ETIME);
}

// ---- Signals ---------------------------------------------------------------

std::atomic<int> g_handled{0};
void CountSignal(int) { ++g_handled; }

class GetSignal : public testing::Test {
 protected:
  GetSignal() {
    struct sigaction action = {};
    action.sa_handler = CountSignal;
    action.sa_flags = SA_RESTART;
    sigaction(SIGUSR1, &action, &before_);
    g_handled = 0;
  }
  ~GetSignal() override { sigaction(SIGUSR1, &before_, nullptr); }

  static void Interrupt(const Thread& waiter) {
    while (!waiter.finished()) {
      waiter.AwaitAsleep();
      waiter.Kill(SIGUSR1);
      usleep(1000);
    }
  }

 private:
  struct sigaction before_;
};

TEST_F(GetSignal, IsEINTR) {
  const Port port;
  Thread waiter([&] {
    const Got got = GetN(port.fd(), 1, 8, std::nullopt);
    EXPECT_EQ(got.error, EINTR);
    EXPECT_EQ(got.nget, 0u);
  });
  Interrupt(waiter);
  waiter.Join();
  EXPECT_GE(g_handled, 1);
}

// libevent drops whatever comes with EINTR.
TEST_F(GetSignal, BringsNoEventsWithEINTR) {
  const Port port;
  const Pipe pipe;
  SendNumbers(port, 1, 1);
  pipe.Write();
  EXPECT_EQ(Associate(port, pipe.out.fd(), POLLIN, 2), 0);
  Thread waiter([&] {
    const Got got = GetN(port.fd(), 3, 8, std::nullopt);
    EXPECT_EQ(got.error, EINTR);
    EXPECT_EQ(got.nget, 0u);
  });
  Interrupt(waiter);
  waiter.Join();
  std::vector<uintptr_t> users = Users(GetReady(port));
  std::sort(users.begin(), users.end());
  EXPECT_EQ(users, Range(1, 2));
}

// ---- Cancellation and threads ----------------------------------------------

TEST(GetThreads, AreCancelledWhileTheyWait) {
  const Port port;
  for (const unsigned wanted : {1u, 100u}) {
    Thread waiter([&] { GetN(port.fd(), wanted, 200, std::nullopt); });
    waiter.AwaitAsleep();
    waiter.Cancel();
    EXPECT_TRUE(waiter.Join());
  }
  SendNumbers(port, 1, 1);
  EXPECT_EQ(User(Get(port)), 1u);
}

TEST(GetThreads, HaveEachEventOnce) {
  const Port port;
  constexpr uintptr_t kEvents = 20'000;
  constexpr int kCollectors = 4;
  std::vector<std::atomic<int>> seen(kEvents + 1);
  std::atomic<uintptr_t> left{kEvents};
  const auto collect = [&] {
    while (left > 0) {
      const Got got = GetN(port.fd(), 1, 16, 10 * kMillisecond);
      EXPECT_TRUE(got.error == 0 || got.error == ETIME) << got.error;
      for (const uintptr_t user : Users(got.events)) ++seen[user];
      left -= got.nget;
    }
  };
  {
    std::vector<std::unique_ptr<Thread>> threads;
    threads.reserve(kCollectors);
    for (int i = 0; i < kCollectors; ++i) threads.push_back(std::make_unique<Thread>(collect));
    Thread other([&] { SendNumbers(port, 1, kEvents / 2); });
    SendNumbers(port, kEvents / 2 + 1, kEvents);
  }
  EXPECT_EQ(std::count(seen.begin() + 1, seen.end(), 1), static_cast<long>(kEvents));
}

TEST(GetThreads, ReturnWhenThePortIsClosed) {
  Port port;
  Thread waiter([fd = port.fd()] { EXPECT_EQ(GetN(fd, 1, 1, std::nullopt).error, EBADF); });
  waiter.AwaitAsleep();
  port.Close();
}

// ---- Bad input -------------------------------------------------------------

TEST(GetErrors, OfThePort) {
  const Pipe pipe;
  port_event_t event;
  EXPECT_EQ(GetN(-1, 1, 1, 0).error, EBADF);
  EXPECT_EQ(GetN(pipe.out.fd(), 1, 1, 0).error, EBADFD);
  EXPECT_EQ(GetN(-1, 0, 0, 0).error, EBADF);
  EXPECT_EQ(GetN(pipe.out.fd(), 0, 0, 0).error, EBADFD);
  EXPECT_EQ(Error([&] { return port_get(-1, &event, nullptr); }), EBADF);
  EXPECT_EQ(Error([&] { return port_get(pipe.out.fd(), &event, nullptr); }), EBADFD);
}

TEST(GetErrors, OfWhereTo) {
  const Port port;
  unsigned count = 1;
  port_event_t event;
  EXPECT_EQ(Error([&] { return port_get(port.fd(), nullptr, nullptr); }), EFAULT);
  EXPECT_EQ(Error([&] { return port_getn(port.fd(), nullptr, 1, &count, nullptr); }), EINVAL);
  EXPECT_EQ(Error([&] { return port_getn(port.fd(), &event, 1, nullptr, nullptr); }), EINVAL);
}

TEST(GetErrors, OfHowMany) {
  const Port port;
  std::vector<port_event_t> events(10'000);
  for (const auto& [wanted, max] : {std::pair{2u, 1u}, {8193u, 10'000u}, {UINT_MAX, 1u}}) {
    unsigned count = wanted;
    EXPECT_EQ(
        Error([&, m = max] { return port_getn(port.fd(), events.data(), m, &count, nullptr); }),
        EINVAL);
  }
  unsigned count = 8192;
  constexpr timespec kNow = {0, 0};
  EXPECT_EQ(Error([&] { return port_getn(port.fd(), events.data(), 10'000, &count, &kNow); }),
            ETIME);
}

TEST(GetErrors, OfTheTimeout) {
  const Port port;
  SendNumbers(port, 1, 1);
  for (const timespec& timeout :
       {timespec{-1, 0}, timespec{0, -1}, timespec{0, 1'000'000'000}, timespec{LONG_MIN, 0}}) {
    port_event_t event;
    unsigned count = 1;
    EXPECT_EQ(Error([&] { return port_get(port.fd(), &event, &timeout); }), EINVAL);
    EXPECT_EQ(Error([&] { return port_getn(port.fd(), &event, 1, &count, &timeout); }), EINVAL);
  }
  EXPECT_EQ(User(Get(port)), 1u);
}

}  // namespace
}  // namespace port_test
