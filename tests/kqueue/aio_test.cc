// SPDX-License-Identifier: MIT
//
// EVFILT_AIO and EVFILT_LIO, and other completions of libkevent that go to a kqueue.

#include <aio.h>
#include <time.h>

#include <array>
#include <set>

#include "tests/kqueue/kqueues.h"

namespace {

using namespace kqueue_test;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

void AwaitEnd(const aiocb& control) {
  const aiocb* const list[] = {&control};
  while (aio_error(&control) == EINPROGRESS) aio_suspend(list, 1, nullptr);
}

uintptr_t AddressOf(const void* object) { return reinterpret_cast<uintptr_t>(object); }

// An operation on a file, which completes into a kqueue.
class Operation {
 public:
  Operation(const Kqueue& kq, int fd, uintptr_t udata, int flags = 0) {
    control.aio_fildes = fd;
    control.aio_buf = bytes_.data();
    control.aio_nbytes = bytes_.size();
    control.aio_sigevent.sigev_notify = SIGEV_KEVENT;
    control.aio_sigevent.sigev_notify_kqueue = kq.fd();
    control.aio_sigevent.sigev_notify_kevent_flags = flags;
    control.aio_sigevent.sigev_value.sival_ptr = Cookie(udata);
  }

 private:
  std::array<char, 16> bytes_ = {};
  // It ends with an array of no elements, and so does what has it in it.
  std::vector<aiocb> block_ = std::vector<aiocb>(1);

 public:
  aiocb& control = block_.front();
};

TEST(Operations, AreReportedOnce) {
  const Kqueue kq;
  const File file;
  Operation operation(kq, file.fd(), 5);
  ASSERT_EQ(aio_write(&operation.control), 0);
  EXPECT_THAT(kq.Await(), ElementsAre(IsEnd(AddressOf(&operation.control), EVFILT_AIO, 0, 5u)));
  EXPECT_THAT(kq.Ready(), IsEmpty());
  EXPECT_EQ(aio_error(&operation.control), 0);
  EXPECT_EQ(aio_return(&operation.control), 16);
  ASSERT_EQ(aio_read(&operation.control), 0);
  EXPECT_THAT(kq.Await(), SizeIs(1));
  EXPECT_EQ(aio_return(&operation.control), 16);
  ASSERT_EQ(aio_fsync(O_SYNC, &operation.control), 0);
  EXPECT_THAT(kq.Await(), SizeIs(1));
  EXPECT_EQ(aio_return(&operation.control), 0);
}

TEST(Operations, ThatFailAreReportedWithTheirError) {
  const Kqueue kq;
  const Descriptor file(open("/dev/null", O_RDONLY | O_CLOEXEC));
  Operation operation(kq, file.fd(), 5);
  ASSERT_EQ(aio_write(&operation.control), 0);
  EXPECT_THAT(kq.Await(), ElementsAre(IsEnd(AddressOf(&operation.control), EVFILT_AIO, EBADF, 5u)));
  EXPECT_EQ(aio_return(&operation.control), -1);
}

TEST(Operations, WhoseStatusWasFetchedAreNotReported) {
  const Kqueue kq;
  const File file;
  Operation operation(kq, file.fd(), 5);
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(aio_write(&operation.control), 0);
    AwaitEnd(operation.control);
    EXPECT_EQ(aio_return(&operation.control), 16);
  }
  // The block in use again: the event is that of the last.
  operation.control.aio_sigevent.sigev_value.sival_ptr = Cookie(6);
  ASSERT_EQ(aio_write(&operation.control), 0);
  EXPECT_THAT(kq.Await(), ElementsAre(IsEnd(AddressOf(&operation.control), EVFILT_AIO, 0, 6u)));
  EXPECT_EQ(aio_return(&operation.control), 16);
  EXPECT_THAT(kq.Ready(), IsEmpty());
}

// Neither a kqueue that was closed with an event of the block, nor a queue whose events another
// call takes, has to do with the event of the next operation.
TEST(Operations, OfAnEarlierQueueDoNotHideALaterOne) {
  const File file;
  for (const bool is_kqueue : {true, false}) {
    Kqueue first;
    const Descriptor queue(kevent_init(nullptr, 0, 0));
    Operation operation(first, file.fd(), 5);
    if (!is_kqueue) operation.control.aio_sigevent.sigev_notify_kqueue = queue.fd();
    ASSERT_EQ(aio_write(&operation.control), 0);
    AwaitEnd(operation.control);
    EXPECT_EQ(aio_return(&operation.control), 16);
    first.Close();
    const Kqueue second;
    operation.control.aio_sigevent.sigev_notify_kqueue = second.fd();
    ASSERT_EQ(aio_write(&operation.control), 0);
    EXPECT_THAT(second.Retrieve(2 * kSecond), SizeIs(1));
    EXPECT_EQ(aio_return(&operation.control), 16);
  }
}

TEST(Operations, RefuseBadNotifications) {
  const Kqueue kq;
  const File file;
  Operation bad_flags(kq, file.fd(), 5, EV_ADD);
  EXPECT_EQ(aio_write(&bad_flags.control), -1);
  EXPECT_EQ(errno, EINVAL);
  Operation bad_kqueue(kq, file.fd(), 5);
  bad_kqueue.control.aio_sigevent.sigev_notify_kqueue = -1;
  EXPECT_EQ(aio_write(&bad_kqueue.control), -1);
  EXPECT_EQ(errno, EBADF);
  for (const int flags : {EV_ONESHOT, EV_CLEAR, EV_DISPATCH}) {
    Operation operation(kq, file.fd(), 7, flags);
    EXPECT_EQ(aio_write(&operation.control), 0);
    EXPECT_THAT(kq.Await(), SizeIs(1));
    EXPECT_EQ(aio_return(&operation.control), 16);
  }
}

TEST(Lists, AreReportedWhenAllHasEnded) {
  const Kqueue kq;
  const File file;
  Operation a(kq, file.fd(), 1);
  Operation b(kq, file.fd(), 2);
  b.control.aio_sigevent.sigev_notify = SIGEV_NONE;
  a.control.aio_lio_opcode = b.control.aio_lio_opcode = LIO_WRITE;
  aiocb* const list[] = {&a.control, &b.control};
  sigevent of_list = {};
  of_list.sigev_notify = SIGEV_KEVENT;
  of_list.sigev_notify_kqueue = kq.fd();
  of_list.sigev_value.sival_ptr = Cookie(9);
  ASSERT_EQ(lio_listio(LIO_NOWAIT, list, 2, &of_list), 0);
  std::vector<Event> events;
  while (events.size() < 2) {
    for (const Event& event : kq.Await()) events.push_back(event);
  }
  EXPECT_THAT(events, testing::UnorderedElementsAre(IsEnd(AddressOf(&a.control), EVFILT_AIO, 0, 1u),
                                                    IsEvent(AddressOf(list), EVFILT_LIO, 0, 9u)));
  EXPECT_EQ(aio_return(&a.control), 16);
  EXPECT_EQ(aio_return(&b.control), 16);
}

// Members for two kqueues in turn, some of them operations of nothing.  The status of some is
// fetched before their event, and at times a kqueue is closed with what has completed into it.
TEST(Lists, OfMembersForSeveralKqueuesLoseNone) {
  constexpr size_t kMembers = 16;
  const File file;
  std::vector<Kqueue> kqueues(2);
  std::vector<Operation> members;
  members.reserve(kMembers);
  for (size_t i = 0; i < kMembers; ++i) members.emplace_back(kqueues[0], file.fd(), i);
  for (size_t round = 0; round < 42; ++round) {
    aiocb* list[kMembers];
    std::set<uintptr_t> missing[2];
    for (size_t i = 0; i < kMembers; ++i) {
      list[i] = &members[i].control;
      const size_t kqueue = (i + round) % 2;
      list[i]->aio_sigevent.sigev_notify_kqueue = kqueues[kqueue].fd();
      list[i]->aio_lio_opcode = i % 5 == 4 ? LIO_NOP : LIO_WRITE;
      if (list[i]->aio_lio_opcode != LIO_NOP) missing[kqueue].insert(AddressOf(list[i]));
    }
    ASSERT_EQ(lio_listio(LIO_NOWAIT, list, kMembers, nullptr), 0);
    const auto fetch = [&](uintptr_t member, size_t kqueue) {
      aiocb* const control = reinterpret_cast<aiocb*>(member);
      AwaitEnd(*control);
      EXPECT_EQ(aio_return(control), 16);
      missing[kqueue].erase(member);
    };
    for (size_t i = round % 3; i < kMembers; i += 3) {
      if (list[i]->aio_lio_opcode != LIO_NOP) fetch(AddressOf(list[i]), (i + round) % 2);
    }
    if (round % 7 == 6) {
      for (const uintptr_t member : missing[0]) AwaitEnd(*reinterpret_cast<aiocb*>(member));
      kqueues[0] = Kqueue();
      while (!missing[0].empty()) fetch(*missing[0].begin(), 0);
    }
    for (size_t kqueue = 0; kqueue < 2; ++kqueue) {
      while (!missing[kqueue].empty()) {
        const std::vector<Event> events = kqueues[kqueue].Retrieve(10 * kSecond);
        ASSERT_FALSE(events.empty()) << missing[kqueue].size() << " missing in round " << round;
        for (const Event& event : events) {
          ASSERT_EQ(missing[kqueue].count(event.ident), 1u) << "its status was fetched";
          fetch(event.ident, kqueue);
        }
      }
    }
  }
  for (const Kqueue& kqueue : kqueues) EXPECT_THAT(kqueue.Ready(), IsEmpty());
}

// <kevent/kevent.h> beside <sys/event.h>: what is made by the one goes to a kqueue of the other.
TEST(Beside, TimersOfLibkeventComeAsTheyAre) {
  const Kqueue kq;
  sigevent notification = {};
  notification.sigev_notify = SIGEV_KEVENT;
  notification.sigev_kevent_fd = kq.fd();
  notification.sigev_value.sival_ptr = Cookie(8);
  timer_t timer;
  ASSERT_EQ(kevent_timer_create(CLOCK_MONOTONIC, &notification, &timer), 0);
  const itimerspec once = {{0, 0}, {0, 1}};
  ASSERT_EQ(kevent_timer_settime(timer, 0, &once, nullptr), 0);
  const std::vector<Event> events = kq.Await();
  ASSERT_THAT(events, SizeIs(1));
  EXPECT_EQ(events[0].filter, EVFILT_KEVENT);
  EXPECT_EQ(events[0].fflags, unsigned{KEVENT_POSIX_TIMER});
  EXPECT_EQ(events[0].ident, AddressOf(timer));
  EXPECT_EQ(Udata(events[0]), 8u);
  EXPECT_EQ(kevent_timer_delete(timer), 0);
}

TEST(Beside, KeventsOfTheProgramsOwnComeAsTheyAre) {
  const Kqueue kq;
  ukevent request = {};
  request.type = KEVENT_UNOTIFY;
  request.id.raw_u64 = 7;
  request.event = KEVENT_UNOTIFY_EVENT;
  request.req_flags = KEVENT_REQ_READY | KEVENT_REQ_ONESHOT;
  request.ptr = Cookie(0x1234);
  ASSERT_EQ(kevent_ctl(kq.fd(), KEVENT_CTL_ADD, 1, &request), 0);
  const std::vector<Event> events = kq.Await();
  ASSERT_THAT(events, SizeIs(1));
  EXPECT_EQ(events[0].filter, EVFILT_KEVENT);
  EXPECT_EQ(events[0].ident, 7u);
  EXPECT_EQ(events[0].fflags, unsigned{KEVENT_UNOTIFY});
  EXPECT_EQ(Udata(events[0]), 0x1234u);
}

TEST(Beside, QueuesOfLibkeventAreNoKqueues) {
  const Descriptor queue(kevent_init(nullptr, 0, 0));
  Event event = Change(1, EVFILT_USER, EV_ADD);
  EXPECT_EQ(kevent(queue.fd(), &event, 1, nullptr, 0, nullptr), -1);
  EXPECT_EQ(errno, EBADF);
}

}  // namespace
