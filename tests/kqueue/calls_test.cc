// SPDX-License-Identifier: MIT
//
// kevent(): changes, reports of errors, waiting.  By events of the program's own, mostly.

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>

#include "tests/kqueue/kqueues.h"
#include "tests/support/threads.h"

namespace {

using namespace kqueue_test;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

// ---- Making one ------------------------------------------------------------

TEST(Kqueue, HasTheFlagsOfItsKin) {
  const Descriptor a(kqueuex(0));
  const Descriptor b(kqueuex(KQUEUE_CLOEXEC));
  const Descriptor c(kqueue1(0));
  const Descriptor d(kqueue1(O_CLOEXEC));
  for (const Descriptor* kq : {&a, &b, &c, &d}) {
    ASSERT_GE(kq->fd(), 0);
    EXPECT_EQ(fcntl(kq->fd(), F_GETFD), FD_CLOEXEC);
  }
  EXPECT_EQ(kqueuex(2), -1);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(kqueue1(O_NONBLOCK), -1);
  EXPECT_EQ(errno, EINVAL);
}

// ---- Bad input ---------------------------------------------------------------

int ErrorOf(int kq, const Event* changes, int change_count, Event* events, int event_count,
            const timespec* timeout) {
  errno = 0;
  return kevent(kq, changes, change_count, events, event_count, timeout) == -1 ? errno : 0;
}

TEST(BadInput, IsRefused) {
  const Kqueue kq;
  const Pipe pipe;
  Event event = Change(1, EVFILT_USER, EV_ADD);
  const timespec negative = {-1, 0};
  const timespec too_many = {0, 1'000'000'000};
  const timespec now = {0, 0};
  EXPECT_EQ(ErrorOf(-1, &event, 1, nullptr, 0, nullptr), EBADF);
  EXPECT_EQ(ErrorOf(pipe.out.fd(), &event, 1, nullptr, 0, nullptr), EBADF);
  EXPECT_EQ(ErrorOf(pipe.out.fd(), nullptr, 0, &event, 1, &now), EBADF);
  EXPECT_EQ(ErrorOf(kq.fd(), &event, -1, nullptr, 0, nullptr), EINVAL);
  EXPECT_EQ(ErrorOf(kq.fd(), nullptr, 0, &event, -1, nullptr), EINVAL);
  EXPECT_EQ(ErrorOf(kq.fd(), nullptr, 1, nullptr, 0, nullptr), EFAULT);
  EXPECT_EQ(ErrorOf(kq.fd(), nullptr, 0, nullptr, 1, &now), EFAULT);
  EXPECT_EQ(ErrorOf(kq.fd(), nullptr, 0, &event, 1, &negative), EINVAL);
  EXPECT_EQ(ErrorOf(kq.fd(), nullptr, 0, &event, 1, &too_many), EINVAL);
}

TEST(BadInput, OfAChangeIsItsError) {
  const Kqueue kq;
  const Pipe pipe;
  const int closed = dup(0);
  close(closed);
  const auto number = static_cast<uintptr_t>(closed);
  const auto open = static_cast<uintptr_t>(pipe.out.fd());
  EXPECT_EQ(kq.Make(1, 0, EV_ADD), EINVAL);
  EXPECT_EQ(kq.Make(1, -99, EV_ADD), EINVAL);
  EXPECT_EQ(kq.Make(1, EVFILT_USER, EV_ADD | EV_KEEPUDATA), EINVAL);
  EXPECT_EQ(kq.Make(1, EVFILT_USER, EV_DELETE), ENOENT);
  EXPECT_EQ(kq.Make(1, EVFILT_USER, EV_ENABLE), ENOENT);
  EXPECT_EQ(kq.Make(1, EVFILT_USER, 0, NOTE_TRIGGER), ENOENT);
  EXPECT_EQ(kq.Make(number, EVFILT_READ, EV_ADD), EBADF);
  EXPECT_EQ(kq.Make(number, EVFILT_READ, EV_DELETE), EBADF);
  EXPECT_EQ(kq.Make(number, EVFILT_VNODE, EV_ADD, NOTE_WRITE), EBADF);
  EXPECT_EQ(kq.Make(static_cast<uintptr_t>(-1), EVFILT_READ, EV_ADD), EBADF);
  EXPECT_EQ(kq.Make(open, EVFILT_READ, EV_DELETE), ENOENT);
  EXPECT_EQ(kq.Make(1, EVFILT_AIO, EV_ADD), EPERM);
  EXPECT_EQ(kq.Make(1, EVFILT_LIO, EV_ADD), EPERM);
  EXPECT_EQ(kq.Make(1, EVFILT_AIO, EV_DELETE), ENOENT);
  EXPECT_THAT(kq.Ready(), IsEmpty());
}

// ---- Reports of errors ---------------------------------------------------------

TEST(Errors, GoIntoTheEventList) {
  const Kqueue kq;
  Event list[4] = {Change(1, EVFILT_USER, EV_ADD, NOTE_TRIGGER), Change(2, EVFILT_USER, EV_DELETE),
                   Change(3, EVFILT_USER, EV_ADD), Change(4, 77, EV_ADD, 5, 6, 7)};
  // The list is that of the events, too; what is ready is not retrieved then.
  ASSERT_EQ(kevent(kq.fd(), list, 4, list, 4, nullptr), 2);
  EXPECT_THAT(list[0], IsReport(2u, EVFILT_USER, ENOENT));
  EXPECT_THAT(list[1], IsReport(4u, 77, EINVAL));
  EXPECT_EQ(list[1].fflags, 5u);
  EXPECT_EQ(Udata(list[1]), 7u);
  EXPECT_THAT(kq.Ready(), ElementsAre(IsEvent(1u, EVFILT_USER, 0, 0u)));
  EXPECT_EQ(kq.Make(3, EVFILT_USER, EV_DELETE), 0);
}

TEST(Errors, WithoutRoomEndTheCall) {
  const Kqueue kq;
  EXPECT_EQ(kq.Make({Change(1, EVFILT_USER, EV_ADD), Change(2, EVFILT_USER, EV_DELETE),
                     Change(3, EVFILT_USER, EV_ADD)}),
            ENOENT);
  EXPECT_EQ(kq.Make(1, EVFILT_USER, EV_DELETE), 0);
  EXPECT_EQ(kq.Make(3, EVFILT_USER, EV_DELETE), ENOENT) << "a change behind the error was made";
  Event changes[3] = {Change(8, EVFILT_USER, EV_DELETE), Change(9, EVFILT_TIMER, EV_DELETE),
                      Change(1, EVFILT_USER, EV_ADD)};
  Event event;
  EXPECT_EQ(ErrorOf(kq.fd(), changes, 3, &event, 1, nullptr), ENOENT);
  EXPECT_EQ(kq.Make(1, EVFILT_USER, EV_DELETE), ENOENT);
}

TEST(Receipts, AreReportsOfSuccess) {
  const Kqueue kq;
  Event list[3] = {Change(1, EVFILT_USER, EV_ADD | EV_RECEIPT, NOTE_TRIGGER),
                   Change(2, EVFILT_USER, EV_DELETE | EV_RECEIPT),
                   Change(3, EVFILT_TIMER, EV_ADD | EV_RECEIPT, 0, 1'000'000, 9)};
  ASSERT_EQ(kevent(kq.fd(), list, 3, list, 3, nullptr), 3);
  EXPECT_THAT(list[0], IsReport(1u, EVFILT_USER, 0));
  EXPECT_THAT(list[1], IsReport(2u, EVFILT_USER, ENOENT));
  EXPECT_THAT(list[2], IsReport(3u, EVFILT_TIMER, 0));
  EXPECT_EQ(Udata(list[2]), 9u);
  // What was registered has the flag from then on.
  EXPECT_EQ(kq.Ready().at(0).flags, EV_RECEIPT);
}

TEST(Receipts, WithoutRoomEndTheCall) {
  const Kqueue kq;
  const std::vector<Event> changes = {Change(1, EVFILT_USER, EV_ADD | EV_RECEIPT),
                                      Change(2, EVFILT_USER, EV_ADD)};
  EXPECT_EQ(kq.Make(changes), 0);
  EXPECT_EQ(kq.Make(1, EVFILT_USER, EV_DELETE), 0);
  EXPECT_EQ(kq.Make(2, EVFILT_USER, EV_DELETE), ENOENT);
}

TEST(Errors, OfManyChangesComeInTheirOrder) {
  const Kqueue kq;
  constexpr int kCount = 500;
  std::vector<Event> list;
  for (int i = 0; i < kCount; ++i) {
    const auto ident = static_cast<uintptr_t>(i);
    list.push_back(i % 5 == 0 ? Change(ident, EVFILT_TIMER, EV_ADD, 0x80, 1)
                              : Change(ident, EVFILT_TIMER, EV_ADD | EV_RECEIPT, 0, 100'000 + i));
  }
  ASSERT_EQ(kevent(kq.fd(), list.data(), kCount, list.data(), kCount, nullptr), kCount);
  for (int i = 0; i < kCount; ++i) {
    const auto place = static_cast<size_t>(i);
    EXPECT_THAT(list[place], IsReport(place, EVFILT_TIMER, i % 5 == 0 ? EINVAL : 0));
  }
}

// ---- Retrieving ------------------------------------------------------------------

TEST(Retrieving, TakesNothingWithoutRoom) {
  const Kqueue kq;
  EXPECT_EQ(kq.Make(1, EVFILT_USER, EV_ADD | EV_CLEAR, NOTE_TRIGGER), 0);
  // Neither does it wait, whatever the timeout.
  EXPECT_EQ(kevent(kq.fd(), nullptr, 0, nullptr, 0, nullptr), 0);
  EXPECT_THAT(kq.Ready(), SizeIs(1));
}

TEST(Retrieving, FillsAsMuchAsThereIsRoomFor) {
  const Kqueue kq;
  constexpr int kCount = 1000;
  std::vector<Event> changes;
  for (uintptr_t i = 0; i < kCount; ++i) {
    changes.push_back(Change(i, EVFILT_USER, EV_ADD | EV_CLEAR, NOTE_TRIGGER, 0, i + 1));
  }
  EXPECT_EQ(kq.Make(changes), 0);
  std::vector<bool> seen(kCount);
  for (const int room : {1, 2, 3, 300, 1000}) {
    for (const Event& event : kq.Ready(room)) {
      EXPECT_EQ(Udata(event), event.ident + 1);
      EXPECT_FALSE(seen[event.ident]) << "reported twice";
      seen[event.ident] = true;
    }
  }
  EXPECT_THAT(seen, testing::Each(true));
  EXPECT_THAT(kq.Ready(), IsEmpty());
}

TEST(Retrieving, WaitsForTheTime) {
  const Kqueue kq;
  const Nanos begin = Now(CLOCK_MONOTONIC);
  EXPECT_THAT(kq.Retrieve(20 * kMillisecond), IsEmpty());
  EXPECT_GE(Now(CLOCK_MONOTONIC) - begin, 20 * kMillisecond);
}

TEST(Retrieving, IsWokenByAnotherThread) {
  const Kqueue kq;
  EXPECT_EQ(kq.Make(1, EVFILT_USER, EV_ADD | EV_CLEAR), 0);
  std::vector<Event> events;
  Thread waiter([&] { events = kq.Await(); });
  waiter.AwaitAsleep();
  EXPECT_EQ(kq.Make(1, EVFILT_USER, 0, NOTE_TRIGGER, 5, 6), 0);
  waiter.Join();
  EXPECT_THAT(events, ElementsAre(IsEvent(1u, EVFILT_USER, 5, 6u)));
}

TEST(Retrieving, AndChangingAreOneCall) {
  const Kqueue kq;
  Event list[2] = {Change(1, EVFILT_USER, EV_ADD | EV_ONESHOT),
                   Change(1, EVFILT_USER, 0, NOTE_TRIGGER, 0, 3)};
  ASSERT_EQ(kevent(kq.fd(), list, 2, list, 2, nullptr), 1);
  EXPECT_THAT(list[0], IsEvent(1u, EVFILT_USER, 0, 3u));
}

void Nothing(int) {}

TEST(Retrieving, IsInterruptedBySignals) {
  struct sigaction action = {};
  action.sa_handler = Nothing;
  ASSERT_EQ(sigaction(SIGUSR1, &action, nullptr), 0);
  const Kqueue kq;
  int error = 0;
  Thread waiter([&] {
    Event event = Change(1, EVFILT_USER, EV_ADD);
    error = ErrorOf(kq.fd(), &event, 1, &event, 1, nullptr);
  });
  waiter.AwaitAsleep();
  while (!waiter.finished()) {
    waiter.Kill(SIGUSR1);
    usleep(1000);
  }
  waiter.Join();
  EXPECT_EQ(error, EINTR);
  EXPECT_EQ(kq.Make(1, EVFILT_USER, EV_DELETE), 0) << "the changes are made";
}

TEST(Retrieving, IsACancellationPoint) {
  const Kqueue kq;
  EXPECT_EQ(kq.Make(1, EVFILT_USER, EV_ADD | EV_CLEAR), 0);
  Thread waiter([&] { kq.Await(); });
  waiter.AwaitAsleep();
  waiter.Cancel();
  EXPECT_TRUE(waiter.Join());
  EXPECT_EQ(kq.Make(1, EVFILT_USER, 0, NOTE_TRIGGER), 0);
  EXPECT_THAT(kq.Ready(), SizeIs(1));
}

TEST(Retrieving, EndsWithTheKqueue) {
  Kqueue kq;
  int error = 0;
  Thread waiter([&] {
    Event event;
    error = ErrorOf(kq.fd(), nullptr, 0, &event, 1, nullptr);
  });
  waiter.AwaitQuiet();
  kq.Close();
  waiter.Join();
  EXPECT_EQ(error, EBADF);
}

// ---- The descriptor -----------------------------------------------------------------

bool IsReadable(int fd) {
  pollfd poll_fd = {fd, POLLIN, 0};
  return poll(&poll_fd, 1, 0) == 1;
}

TEST(Descriptors, OfAKqueueArePollable) {
  const Kqueue kq;
  EXPECT_EQ(kq.Make(1, EVFILT_USER, EV_ADD | EV_CLEAR), 0);
  EXPECT_FALSE(IsReadable(kq.fd()));
  EXPECT_EQ(kq.Make(1, EVFILT_USER, 0, NOTE_TRIGGER), 0);
  EXPECT_TRUE(IsReadable(kq.fd()));
  EXPECT_THAT(kq.Ready(), SizeIs(1));
  EXPECT_FALSE(IsReadable(kq.fd()));
}

TEST(Descriptors, OfAKqueueAreWatchedByAnother) {
  const Kqueue inner;
  const Kqueue outer;
  EXPECT_EQ(outer.MakeFd(inner.fd(), EVFILT_READ, EV_ADD, 0, 0, 5), 0);
  EXPECT_THAT(outer.Ready(), IsEmpty());
  EXPECT_EQ(inner.Make(1, EVFILT_USER, EV_ADD | EV_CLEAR, NOTE_TRIGGER), 0);
  EXPECT_THAT(outer.Await(), ElementsAre(IsEvent(inner.fd(), EVFILT_READ, 1, 5u)));
  EXPECT_THAT(inner.Ready(), SizeIs(1));
  EXPECT_THAT(outer.Ready(), IsEmpty());
}

TEST(Descriptors, OfADuplicateAreTheSameKqueue) {
  Kqueue kq;
  EXPECT_EQ(kq.Make(1, EVFILT_USER, EV_ADD | EV_CLEAR), 0);
  const Descriptor copy(fcntl(kq.fd(), F_DUPFD_CLOEXEC, 0));
  const Event trigger = Change(1, EVFILT_USER, 0, NOTE_TRIGGER);
  EXPECT_EQ(kevent(copy.fd(), &trigger, 1, nullptr, 0, nullptr), 0);
  EXPECT_THAT(kq.Ready(), SizeIs(1));
  kq.Close();
  { const Kqueue other; }
  EXPECT_EQ(kevent(copy.fd(), &trigger, 1, nullptr, 0, nullptr), 0);
  Event event;
  EXPECT_EQ(kevent(copy.fd(), nullptr, 0, &event, 1, nullptr), 1);
}

}  // namespace
