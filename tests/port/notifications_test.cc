// SPDX-License-Identifier: MIT
//
// SIGEV_PORT: timers, message queues and asynchronous I/O that complete into a port.

#include <port.h>
// <port.h> has to be first: it binds the names of POSIX.
#include <aio.h>
#include <mqueue.h>
#include <sys/mman.h>

#include <climits>

#include "tests/port/ports.h"
#include "tests/support/message_queue.h"
#include "tests/support/threads.h"

namespace port_test {
namespace {

using testing::ElementsAre;

struct Notification {
  explicit Notification(int port, uintptr_t user = 0) : notify{port, Cookie(user)} {
    sev.sigev_notify = SIGEV_PORT;
    sev.sigev_value.sival_ptr = &notify;
  }
  port_notify_t notify;
  sigevent sev = {};
};

uintptr_t Object(const void* object) { return reinterpret_cast<uintptr_t>(object); }

// ---- Timers ----------------------------------------------------------------

class PortTimer {
 public:
  PortTimer(const Port& port, uintptr_t user, clockid_t clock = CLOCK_MONOTONIC) {
    // Gone when the call has returned.
    auto notification = std::make_unique<Notification>(port.fd(), user);
    EXPECT_EQ(Error([&] { return timer_create(clock, &notification->sev, &id_); }), 0);
    notification->notify = {-1, nullptr};
  }
  ~PortTimer() { EXPECT_EQ(timer_delete(id_), 0); }
  void Arm(Nanos value, Nanos interval = 0) const {
    const itimerspec setting = Setting(value, interval);
    EXPECT_EQ(timer_settime(id_, 0, &setting, nullptr), 0);
  }
  timer_t id() const { return id_; }

 private:
  timer_t id_;
};

TEST(Timers, ExpireIntoThePort) {
  const Port port;
  for (const clockid_t clock : {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_HIGHRES}) {
    const PortTimer timer(port, 5, clock);
    EXPECT_TRUE(IsEmpty(port));
    timer.Arm(1);
    EXPECT_THAT(Get(port), IsEvent(PORT_SOURCE_TIMER, Object(timer.id()), 1, 5));
    EXPECT_TRUE(IsEmpty(port));
  }
}

unsigned Count(const Port& port) {
  unsigned count = 0;
  EXPECT_EQ(Error([&] { return port_getn(port.fd(), nullptr, 0, &count, nullptr); }), 0);
  return count;
}

// A count takes all events, and puts them back.
TEST(Timers, HaveOneEventAlsoWhenTheyWereCounted) {
  const Port port;
  const auto past = [] { SleepUntil(CLOCK_MONOTONIC, Now(CLOCK_MONOTONIC) + 5 * kMillisecond); };
  {
    const PortTimer timer(port, 5);
    timer.Arm(kMillisecond, kMillisecond);
    for (int i = 0; i < 3; ++i) {
      past();
      EXPECT_EQ(Count(port), 1u);
    }
    past();
    const std::vector<port_event_t> events = GetReady(port);
    ASSERT_EQ(events.size(), 1u);
    EXPECT_GE(events[0].portev_events, 19);
    past();
    EXPECT_EQ(Count(port), 1u);
  }
  EXPECT_TRUE(IsEmpty(port)) << "an event of a timer that is deleted";
}

TEST(Timers, CountTheirExpirations) {
  const Port port;
  const PortTimer timer(port, 5);
  timer.Arm(kMillisecond, kMillisecond);
  SleepUntil(CLOCK_MONOTONIC, Now(CLOCK_MONOTONIC) + 10 * kMillisecond);
  const std::vector<port_event_t> events = GetReady(port);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].portev_source, PORT_SOURCE_TIMER);
  EXPECT_GE(events[0].portev_events, 9);
}

TEST(Timers, SaturateTheirCount) {
  const Port port;
  const PortTimer timer(port, 5);
  const itimerspec setting = {{0, 1}, {0, 1}};
  EXPECT_EQ(timer_settime(timer.id(), TIMER_ABSTIME, &setting, nullptr), 0);
  EXPECT_THAT(Get(port), IsEvent(PORT_SOURCE_TIMER, Object(timer.id()), INT_MAX, 5));
}

TEST(Timers, ThatAreDeletedHaveNoEvent) {
  const Port port;
  {
    const PortTimer timer(port, 5);
    timer.Arm(1);
    SleepUntil(CLOCK_MONOTONIC, Now(CLOCK_MONOTONIC) + kMillisecond);
  }
  EXPECT_TRUE(IsEmpty(port));
}

// What was counted, or kept from a waiter by an alert, is still there.
TEST(Timers, ThatWereCountedAreReported) {
  const Port port;
  const PortTimer timer(port, 5);
  timer.Arm(1);
  SleepUntil(CLOCK_MONOTONIC, Now(CLOCK_MONOTONIC) + kMillisecond);
  for (int i = 0; i < 2; ++i) {
    unsigned count = 0;
    EXPECT_EQ(Error([&] { return port_getn(port.fd(), nullptr, 0, &count, nullptr); }), 0);
    EXPECT_EQ(count, 1u);
  }
  EXPECT_THAT(GetReady(port), ElementsAre(IsEvent(PORT_SOURCE_TIMER, Object(timer.id()), 1, 5)));
}

TEST(Timers, WithOtherNotificationsAreTheCLibrarys) {
  timer_t timer;
  sigevent none = {};
  none.sigev_notify = SIGEV_NONE;
  EXPECT_EQ(Error([&] { return timer_create(CLOCK_MONOTONIC, &none, &timer); }), 0);
  EXPECT_EQ(timer_delete(timer), 0);
}

TEST(Timers, Errors) {
  const Pipe pipe;
  timer_t timer;
  Notification closed(-1);
  Notification no_port(pipe.out.fd());
  Notification nothing(-1);
  nothing.sev.sigev_value.sival_ptr = nullptr;
  EXPECT_EQ(Error([&] { return timer_create(CLOCK_MONOTONIC, &closed.sev, &timer); }), EBADF);
  EXPECT_EQ(Error([&] { return timer_create(CLOCK_MONOTONIC, &no_port.sev, &timer); }), EBADFD);
  EXPECT_EQ(Error([&] { return timer_create(CLOCK_MONOTONIC, &nothing.sev, &timer); }), EFAULT);
  const Port port;
  Notification right(port.fd());
  EXPECT_EQ(Error([&] { return timer_create(12345, &right.sev, &timer); }), EINVAL);
}

// ---- Message queues --------------------------------------------------------

TEST(Messages, AreAnnouncedOnce) {
  const Port port;
  const MessageQueue queue("port");
  const Notification notification(port.fd(), 6);
  EXPECT_EQ(Error([&] { return mq_notify(queue.id(), &notification.sev); }), 0);
  EXPECT_TRUE(IsEmpty(port));
  queue.Send();
  EXPECT_THAT(Get(port), IsEvent(PORT_SOURCE_MQ, queue.id(), 0, 6));
  queue.Send();
  EXPECT_TRUE(IsEmpty(port));
}

TEST(Messages, Errors) {
  const Port port;
  const MessageQueue queue("port");
  const Notification notification(port.fd(), 6);
  const Notification closed(-1);
  EXPECT_EQ(Error([&] { return mq_notify(queue.id(), &closed.sev); }), EBADF);
  EXPECT_EQ(Error([&] { return mq_notify(queue.id(), &notification.sev); }), 0);
  EXPECT_EQ(Error([&] { return mq_notify(queue.id(), &notification.sev); }), EBUSY);
  EXPECT_EQ(Error([&] { return mq_notify(queue.id(), nullptr); }), 0);
}

// ---- Asynchronous I/O ------------------------------------------------------

class Operations : public testing::Test {
 protected:
  Operations() : file_(memfd_create("port", MFD_CLOEXEC)) {
    EXPECT_EQ(pwrite(file_.fd(), "0123456789", 10, 0), 10);
  }
  aiocb Control(const Notification& notification, off_t offset = 0) {
    aiocb control = {};
    control.aio_fildes = file_.fd();
    control.aio_buf = buffer_;
    control.aio_nbytes = 4;
    control.aio_offset = offset;
    control.aio_sigevent = notification.sev;
    return control;
  }

  const Port port_;
  const Descriptor file_;
  char buffer_[8] = "abcdefg";
};

TEST_F(Operations, ReadIntoThePort) {
  const Notification notification(port_.fd(), 7);
  aiocb control = Control(notification, 3);
  EXPECT_EQ(Error([&] { return aio_read(&control); }), 0);
  EXPECT_THAT(Get(port_), IsEvent(PORT_SOURCE_AIO, Object(&control), 0, 7));
  EXPECT_EQ(aio_error(&control), 0);
  EXPECT_EQ(aio_return(&control), 4);
  EXPECT_EQ(std::string(buffer_, 4), "3456");
  // The notification is the program's, and as it was.
  EXPECT_EQ(control.aio_sigevent.sigev_notify, SIGEV_PORT);
}

TEST_F(Operations, WriteAndSyncIntoThePort) {
  const Notification notification(port_.fd(), 7);
  aiocb control = Control(notification);
  EXPECT_EQ(Error([&] { return aio_write(&control); }), 0);
  EXPECT_THAT(Get(port_), IsEvent(PORT_SOURCE_AIO, Object(&control), 0, 7));
  EXPECT_EQ(aio_return(&control), 4);
  aiocb sync = Control(notification);
  EXPECT_EQ(Error([&] { return aio_fsync(O_SYNC, &sync); }), 0);
  EXPECT_THAT(Get(port_), IsEvent(PORT_SOURCE_AIO, Object(&sync), 0, 7));
  EXPECT_EQ(aio_error(&sync), 0);
  char text[5] = "";
  EXPECT_EQ(pread(file_.fd(), text, 4, 0), 4);
  EXPECT_STREQ(text, "abcd");
}

TEST_F(Operations, OfAListHaveAnEventEachAndOneForAll) {
  const Notification notification(port_.fd(), 7);
  Notification of_list(port_.fd(), 8);
  aiocb one = Control(notification);
  aiocb other = Control(notification, 4);
  one.aio_lio_opcode = other.aio_lio_opcode = LIO_READ;
  aiocb* const list[] = {&one, nullptr, &other};
  EXPECT_EQ(Error([&] { return lio_listio(LIO_NOWAIT, list, 3, &of_list.sev); }), 0);
  const Got got = GetN(port_.fd(), 3, 8, std::nullopt);
  EXPECT_THAT(got.events,
              testing::UnorderedElementsAre(IsEvent(PORT_SOURCE_AIO, Object(&one), 0, 7),
                                            IsEvent(PORT_SOURCE_AIO, Object(&other), 0, 7),
                                            IsEvent(PORT_SOURCE_AIO, Object(list), 0, 8)));
}

TEST_F(Operations, OfALongListThatIsWaitedFor) {
  constexpr int kCount = 100;
  const Notification notification(port_.fd(), 7);
  std::vector<aiocb> controls(kCount, Control(notification));
  std::vector<aiocb*> list;
  for (aiocb& control : controls) {
    control.aio_lio_opcode = LIO_READ;
    list.push_back(&control);
  }
  EXPECT_EQ(Error([&] { return lio_listio(LIO_WAIT, list.data(), kCount, nullptr); }), 0);
  EXPECT_EQ(GetN(port_.fd(), kCount, kCount, std::nullopt).nget, unsigned{kCount});
}

TEST_F(Operations, Errors) {
  const Notification closed(-1);
  aiocb control = Control(closed);
  EXPECT_EQ(Error([&] { return aio_read(&control); }), EBADF);
  EXPECT_EQ(Error([&] { return aio_fsync(O_SYNC, &control); }), EBADF);
  const Notification no_port(file_.fd());
  control = Control(no_port);
  EXPECT_EQ(Error([&] { return aio_write(&control); }), EBADFD);
  control.aio_lio_opcode = LIO_READ;
  aiocb* const list[] = {&control};
  EXPECT_EQ(Error([&] { return lio_listio(LIO_NOWAIT, list, 1, nullptr); }), EBADFD);
  const Notification right(port_.fd());
  control = Control(right);
  control.aio_reqprio = -1;
  EXPECT_EQ(Error([&] { return aio_read(&control); }), EINVAL);
  EXPECT_EQ(Error([&] { return aio_fsync(12345, &control); }), EINVAL);
  EXPECT_TRUE(IsEmpty(port_));
}

// What comes of an operation itself comes with its event.
TEST_F(Operations, ThatFailHaveTheirEvent) {
  const Notification notification(port_.fd(), 7);
  aiocb control = Control(notification);
  control.aio_fildes = -1;
  const int error = Error([&] { return aio_read(&control); });
  if (error == 0) {
    EXPECT_THAT(Get(port_), IsEvent(PORT_SOURCE_AIO, Object(&control), 0, 7));
    EXPECT_EQ(aio_error(&control), EBADF);
  } else {
    EXPECT_EQ(error, EBADF);
  }
}

}  // namespace
}  // namespace port_test
