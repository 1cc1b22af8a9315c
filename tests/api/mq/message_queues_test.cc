// SPDX-License-Identifier: MIT
//
// mq_notify that completes into a queue.

#include <fcntl.h>
#include <mqueue.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tests/support/message_queue.h"
#include "tests/support/process.h"
#include "tests/support/queue.h"
#include "tests/support/threads.h"

namespace kevent_test {
namespace {

class Messages : public testing::Test {
 protected:
  int Ask(mqd_t id, uintptr_t cookie = 1) {
    sigevent request;
    kevent_sigevent(&request, queue_.fd(), reinterpret_cast<void*>(cookie));
    return mq_notify(id, &request) == 0 ? 0 : errno;
  }
  void ExpectEvent(mqd_t id, uintptr_t cookie = 1) {
    const std::vector<ukevent> events = Collect(queue_.fd(), 1, 2);
    ASSERT_EQ(events.size(), 1);
    EXPECT_EQ(events[0].type, static_cast<uint32_t>(KEVENT_MQ));
    EXPECT_EQ(events[0].event, static_cast<uint32_t>(KEVENT_MQ_NOTIFY));
    EXPECT_EQ(events[0].id.raw_u64, static_cast<uint64_t>(id));
    EXPECT_EQ(events[0].ret_flags, static_cast<uint32_t>(KEVENT_RET_DONE));
    EXPECT_EQ(Cookie(events[0]), cookie);
  }
  void ExpectNothing() { EXPECT_TRUE(Collect(queue_.fd(), 0, 1).empty()); }

  Queue queue_;
};

TEST_F(Messages, OneEventWhenTheQueueIsNoLongerEmpty) {
  const MessageQueue mq("one");
  ASSERT_EQ(Ask(mq.id()), 0);
  ExpectNothing();
  mq.Send();
  mq.Send();
  AwaitReadable(queue_.fd());
  ExpectEvent(mq.id());
  ExpectNothing();
  EXPECT_FALSE(Readable(queue_.fd()));
}

TEST_F(Messages, ConsumedByTheNotificationAskedForAgain) {
  const MessageQueue mq("again");
  ASSERT_EQ(Ask(mq.id(), 1), 0);
  mq.Send();
  ASSERT_TRUE(mq.Receive());
  // Before the first was collected; both come.
  ASSERT_EQ(Ask(mq.id(), 1), 0);
  mq.Send();
  const std::vector<ukevent> events = Collect(queue_.fd(), 2, 4);
  ASSERT_EQ(events.size(), 2);
  for (const ukevent& event : events) EXPECT_EQ(event.id.raw_u64, static_cast<uint64_t>(mq.id()));
}

TEST_F(Messages, NotOfAQueueThatIsNotEmpty) {
  const MessageQueue mq("full");
  mq.Send();
  ASSERT_EQ(Ask(mq.id()), 0);
  mq.Send();
  ExpectNothing();
  while (mq.Receive()) {
  }
  mq.Send();
  ExpectEvent(mq.id());
}

TEST_F(Messages, OneRegistrationInTheSystem) {
  const MessageQueue mq("busy");
  ASSERT_EQ(Ask(mq.id()), 0);
  EXPECT_EQ(Ask(mq.id()), EBUSY);
  const pid_t child = fork();
  if (child == 0) {
    sigevent request = {};
    request.sigev_notify = SIGEV_NONE;
    _exit(mq_notify(mq.id(), &request) == -1 && errno == EBUSY ? 0 : 1);
  }
  int status;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  mq.Send();
  ExpectEvent(mq.id());
}

TEST_F(Messages, AnotherProcessIsBusyToo) {
  const MessageQueue mq("foreign");
  std::array<int, 2> registered;
  std::array<int, 2> leave;
  ASSERT_EQ(pipe(registered.data()), 0);
  ASSERT_EQ(pipe(leave.data()), 0);
  const pid_t child = fork();
  if (child == 0) {
    const Queue own;
    sigevent request;
    kevent_sigevent(&request, own.fd(), nullptr);
    const char good = mq_notify(mq.id(), &request) == 0 ? 'y' : 'n';
    char byte;
    _exit(write(registered[1], &good, 1) == 1 && read(leave[0], &byte, 1) == 1 ? 0 : 1);
  }
  char good = '?';
  ASSERT_EQ(read(registered[0], &good, 1), 1);
  EXPECT_EQ(good, 'y');
  EXPECT_EQ(Ask(mq.id()), EBUSY);
  ASSERT_EQ(write(leave[1], "x", 1), 1);
  int status;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(Ask(mq.id()), 0);  // its end has ended it
  for (const int fd : {registered[0], registered[1], leave[0], leave[1]}) close(fd);
}

TEST_F(Messages, NullEndsIt) {
  const MessageQueue mq("null");
  ASSERT_EQ(Ask(mq.id()), 0);
  ASSERT_EQ(mq_notify(mq.id(), nullptr), 0);
  mq.Send();
  ExpectNothing();
  EXPECT_FALSE(Readable(queue_.fd()));
  while (mq.Receive()) {
  }
  ASSERT_EQ(Ask(mq.id(), 2), 0);
  mq.Send();
  ExpectEvent(mq.id(), 2);
}

TEST_F(Messages, CloseAndUnlinkAreAsTheKernelHasThem) {
  MessageQueue mq("closed");
  const mqd_t other = mq_open(mq.name(), O_RDWR | O_NONBLOCK);
  ASSERT_GE(other, 0);
  ASSERT_EQ(Ask(mq.id()), 0);
  mq_unlink(mq.name());
  mq.Close();  // ends the registration
  ASSERT_EQ(mq_send(other, "m", 1, 0), 0);
  ExpectNothing();
  mq_close(other);
}

TEST_F(Messages, ABlockedReceiverGetsTheMessageAndThereIsNoEvent) {
  const MessageQueue mq("receiver");
  const mqd_t blocking = mq_open(mq.name(), O_RDWR);
  ASSERT_GE(blocking, 0);
  ASSERT_EQ(Ask(mq.id()), 0);
  std::array<char, 16> message;
  ssize_t received = -1;
  Thread receiver(
      [&] { received = mq_receive(blocking, message.data(), message.size(), nullptr); });
  receiver.AwaitAsleep();
  mq.Send();
  receiver.Join();
  EXPECT_EQ(received, 1);
  ExpectNothing();
  mq.Send();  // it stands
  ExpectEvent(mq.id());
  mq_close(blocking);
}

// A receiver may or may not be asleep when the message comes: either it gets
// it and the registration stands, or there is one event.
TEST_F(Messages, RacedByAReceiver) {
  const MessageQueue mq("raced");
  const mqd_t blocking = mq_open(mq.name(), O_RDWR);
  ASSERT_GE(blocking, 0);
  constexpr int kRounds = 300;
  int events = 0;
  bool registered = false;
  for (int round = 0; round < kRounds; ++round) {
    if (!registered) {
      ASSERT_EQ(Ask(mq.id()), 0);
    }
    registered = true;
    std::array<char, 16> message;
    Thread receiver(
        [&] { EXPECT_EQ(mq_receive(blocking, message.data(), message.size(), nullptr), 1); });
    if (round % 3 == 0) receiver.AwaitAsleep();
    mq.Send();
    receiver.Join();
    const size_t count = Collect(queue_.fd(), 0, 4).size();
    ASSERT_LE(count, 1);
    if (count == 1) {
      registered = false;
      ++events;
    }
    // Whether it still stands is what the kernel says.
    EXPECT_EQ(Ask(mq.id()), registered ? EBUSY : 0);
    registered = true;
  }
  EXPECT_LT(events, kRounds);
  mq_close(blocking);
}

TEST_F(Messages, BadCalls) {
  const MessageQueue mq("bad");
  EXPECT_EQ(Ask(-1), EBADF);
  EXPECT_EQ(Ask(queue_.fd()), EBADF);
  sigevent request;
  kevent_sigevent(&request, -1, nullptr);
  EXPECT_EQ(mq_notify(mq.id(), &request), -1);
  EXPECT_EQ(errno, EBADF);
  kevent_sigevent(&request, mq.id(), nullptr);
  EXPECT_EQ(mq_notify(mq.id(), &request), -1);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(Ask(mq.id()), 0);
}

TEST_F(Messages, TheTypeIsNotOneOfKeventCtl) {
  ukevent entry = {};
  entry.type = KEVENT_MQ;
  entry.event = KEVENT_MQ_NOTIFY;
  ASSERT_EQ(kevent_ctl(queue_.fd(), KEVENT_CTL_ADD, 1, &entry), 1);
  EXPECT_EQ(entry.ret_data[1], static_cast<uint32_t>(-ENOSYS));
}

// Whatever the upper half of the id is: a registration is ended by mq_notify alone.
TEST_F(Messages, NoCommandOfKeventCtlNamesARegistration) {
  const MessageQueue mq("unnamed");
  ASSERT_EQ(Ask(mq.id()), 0);
  for (uint64_t upper = 0; upper < 4; ++upper) {
    ukevent guess = {};
    guess.id.raw_u64 = upper << 32 | static_cast<uint32_t>(mq.id());
    guess.type = KEVENT_MQ;
    guess.event = KEVENT_MASK_ALL;
    guess.ptr = reinterpret_cast<void*>(1);
    ukevent entry = guess;
    EXPECT_EQ(kevent_ctl(queue_.fd(), KEVENT_CTL_READY, 1, &entry), 0) << upper;
    for (const unsigned command : {KEVENT_CTL_MODIFY, KEVENT_CTL_REMOVE}) {
      entry = guess;
      ASSERT_EQ(kevent_ctl(queue_.fd(), command, 1, &entry), 1);
      EXPECT_EQ(entry.ret_data[1], static_cast<uint32_t>(-ENOENT)) << upper;
    }
  }
  ExpectNothing();
  mq.Send();
  ExpectEvent(mq.id());
}

TEST_F(Messages, DescriptorsAreGivenBack) {
  const MessageQueue mq("descriptors");
  const auto open_descriptors = [] {
    int count = 0;
    for (int fd = 0; fd < 1024; ++fd) count += fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
    return count;
  };
  mq.Send();
  ASSERT_TRUE(mq.Receive());
  ASSERT_EQ(Ask(mq.id()), 0);
  mq.Send();
  ExpectEvent(mq.id());
  const int before = open_descriptors();
  for (int round = 0; round < 50; ++round) {
    ASSERT_TRUE(mq.Receive());
    ASSERT_EQ(Ask(mq.id()), 0);
    mq.Send();
    ExpectEvent(mq.id());
  }
  EXPECT_EQ(open_descriptors(), before);
}

// A program that begins registrations and ends them, and collects nothing meanwhile.
TEST_F(Messages, ARegistrationThatIsEndedGivesItsDescriptorBackToTheNext) {
  const MessageQueue mq("ended");
  ASSERT_EQ(Ask(mq.id()), 0);
  const std::set<int> before = OpenDescriptors();
  for (int round = 0; round < 20; ++round) {
    ASSERT_EQ(mq_notify(mq.id(), nullptr), 0);
    ASSERT_EQ(Ask(mq.id()), 0);
  }
  EXPECT_EQ(OpenDescriptors().size(), before.size());
  mq.Send();
  ExpectEvent(mq.id());
}

// All numbers up to the highest that is in use are taken, and there are no others.
class NoDescriptorsLeft {
 public:
  NoDescriptorsLeft() {
    EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &before_), 0);
    rlimit limit = before_;
    // Valgrind has descriptors of its own beyond the limit that it tells.
    limit.rlim_cur =
        std::min(static_cast<rlim_t>(*OpenDescriptors().rbegin()) + 1, before_.rlim_max);
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    for (int fd; (fd = dup(STDERR_FILENO)) >= 0;) taken_.push_back(fd);
    EXPECT_EQ(errno, EMFILE);
  }
  ~NoDescriptorsLeft() {
    for (const int fd : taken_) close(fd);
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &before_), 0);
  }
  NoDescriptorsLeft(const NoDescriptorsLeft&) = delete;
  NoDescriptorsLeft& operator=(const NoDescriptorsLeft&) = delete;

 private:
  rlimit before_;
  std::vector<int> taken_;
};

// Of other message queues when it could have none otherwise.  What has a message stays.
TEST_F(Messages, EndedRegistrationsMakeRoomForOthers) {
  const MessageQueue with_message("kept");
  ASSERT_EQ(Ask(with_message.id(), 7), 0);
  with_message.Send();
  std::vector<std::unique_ptr<MessageQueue>> ended;
  for (int i = 0; i < 4; ++i) {
    ended.push_back(std::make_unique<MessageQueue>(("ended" + std::to_string(i)).c_str()));
    ASSERT_EQ(Ask(ended.back()->id()), 0);
  }
  const MessageQueue last("last");
  for (const auto& mq : ended) ASSERT_EQ(mq_notify(mq->id(), nullptr), 0);
  {
    const NoDescriptorsLeft none_left;
    EXPECT_EQ(Ask(last.id(), 8), 0);
  }
  const std::vector<ukevent> events = Collect(queue_.fd(), 1, 2);
  ASSERT_EQ(events.size(), 1);
  EXPECT_EQ(Cookie(events[0]), 7);
  last.Send();
  ExpectEvent(last.id(), 8);
}

}  // namespace
}  // namespace kevent_test
