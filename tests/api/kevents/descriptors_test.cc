// SPDX-License-Identifier: MIT
//
// KEVENT_POLL, KEVENT_SOCKET, KEVENT_PIPE and KEVENT_KEVENT.

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <set>
#include <string>
#include <thread>

#include "tests/support/kevents.h"
#include "tests/support/process.h"
#include "tests/support/queue.h"
#include "tests/support/threads.h"

namespace kevent_test {
namespace {

constexpr uint32_t kIn = KEVENT_POLL_POLLIN;
constexpr uint32_t kOut = KEVENT_POLL_POLLOUT;
constexpr uint32_t kAlwaysQueue = KEVENT_REQ_ALWAYS_QUEUE;

class Pair {
 public:
  explicit Pair(int type = SOCK_STREAM) {
    EXPECT_EQ(socketpair(AF_UNIX, type | SOCK_NONBLOCK, 0, ends_.data()), 0);
  }
  ~Pair() {
    CloseNear();
    CloseFar();
  }
  int near() const { return ends_[0]; }
  int far() const { return ends_[1]; }
  void CloseNear() { Close(ends_[0]); }
  void CloseFar() { Close(ends_[1]); }
  void Send() const { EXPECT_EQ(write(far(), "x", 1), 1); }
  void Receive() const {
    char byte;
    EXPECT_EQ(read(near(), &byte, 1), 1);
  }

 private:
  static void Close(int& fd) {
    if (fd >= 0) {
      EXPECT_EQ(close(fd), 0);
    }
    fd = -1;
  }
  std::array<int, 2> ends_;
};

class Watching : public testing::Test {
 protected:
  int AddPoll(int fd, uint32_t events, uint32_t req_flags = kAlwaysQueue,
              uintptr_t cookie = 0) const {
    return Add(fd_, DescriptorRequest(KEVENT_POLL, fd, events, req_flags, cookie));
  }

  const Queue queue_;
  const int fd_ = queue_.fd();
};

TEST_F(Watching, LevelIsReportedForAsLongAsItLasts) {
  const Pair pair;
  ASSERT_EQ(AddPoll(pair.near(), kIn, 0, 9), 0);
  EXPECT_TRUE(Take(fd_).empty());
  pair.Send();
  for (int i = 0; i < 3; ++i) {
    const auto events = Take(fd_, 1);
    ASSERT_EQ(events.size(), 1);
    EXPECT_EQ(events[0].type, KEVENT_POLL);
    EXPECT_EQ(events[0].id.raw[0], static_cast<uint32_t>(pair.near()));
    EXPECT_EQ(events[0].event, kIn);
    EXPECT_EQ(events[0].ret_data[0], kIn);
    EXPECT_EQ(events[0].ptr, reinterpret_cast<void*>(9));
  }
  pair.Receive();
  EXPECT_TRUE(Take(fd_).empty());
}

TEST_F(Watching, EdgesAreReportedOnce) {
  const Pair pair;
  ASSERT_EQ(AddPoll(pair.near(), kIn, KEVENT_REQ_ET), 0);
  pair.Send();
  EXPECT_EQ(Take(fd_, 1).size(), 1);
  EXPECT_TRUE(Take(fd_).empty());
  pair.Send();
  EXPECT_EQ(Take(fd_, 1).size(), 1);
}

// Found ready, left for want of room, and over before it was looked at again.
TEST_F(Watching, WhatIsOverIsNotRemembered) {
  std::vector<Pair> pairs(2);
  for (const Pair& pair : pairs) ASSERT_EQ(AddPoll(pair.near(), kIn), 0);
  for (const Pair& pair : pairs) pair.Send();
  const auto first = Take(fd_, 1, 1);
  ASSERT_EQ(first.size(), 1);
  for (const Pair& pair : pairs) pair.Receive();
  for (const Pair& pair : pairs) {
    ASSERT_TRUE(Inject(fd_, DescriptorRequest(KEVENT_POLL, pair.near(), kIn)));
  }
  for (const ukevent& event : Take(fd_, 2)) EXPECT_EQ(event.ret_data[0], 0);
}

// Room for one: the other edges are not lost.
TEST_F(Watching, EdgesThatFindNoRoomWait) {
  std::vector<Pair> pairs(8);
  for (const Pair& pair : pairs) ASSERT_EQ(AddPoll(pair.near(), kIn, KEVENT_REQ_ET), 0);
  for (const Pair& pair : pairs) pair.Send();
  for (size_t i = 0; i < pairs.size(); ++i) {
    pollfd readable = {fd_, POLLIN, 0};
    EXPECT_EQ(poll(&readable, 1, 0), 1) << i;
    EXPECT_EQ(Take(fd_, 1, 1).size(), 1);
  }
  pollfd readable = {fd_, POLLIN, 0};
  EXPECT_EQ(poll(&readable, 1, 0), 0);
}

TEST_F(Watching, OneshotGoesWithItsEvent) {
  const Pair pair;
  ASSERT_EQ(AddPoll(pair.near(), kIn, KEVENT_REQ_ONESHOT), 0);
  pair.Send();
  EXPECT_EQ(Take(fd_, 1).size(), 1);
  EXPECT_TRUE(Take(fd_).empty());
  EXPECT_EQ(AddPoll(pair.near(), kIn, KEVENT_REQ_ONESHOT | kAlwaysQueue), 0);
  EXPECT_EQ(Take(fd_, 1).size(), 1);
}

TEST_F(Watching, WhatIsReadyComesBackAndIsNotRegistered) {
  const Pair pair;
  pair.Send();
  ukevent returned;
  EXPECT_EQ(Add(fd_, DescriptorRequest(KEVENT_POLL, pair.near(), kIn | kOut, 0, 5), &returned), 1);
  EXPECT_EQ(returned.ret_data[0], kIn | kOut);
  EXPECT_EQ(returned.ptr, reinterpret_cast<void*>(5));
  EXPECT_TRUE(Take(fd_).empty());
  EXPECT_EQ(AddPoll(pair.near(), kIn | kOut, kAlwaysQueue, 5), 0);
  EXPECT_EQ(Take(fd_).size(), 1);
}

TEST_F(Watching, ModifyChangesWhatIsWaitedFor) {
  const Pair pair;
  ASSERT_EQ(AddPoll(pair.near(), kIn), 0);
  EXPECT_TRUE(Take(fd_).empty());
  EXPECT_EQ(Control(fd_, KEVENT_CTL_MODIFY, DescriptorRequest(KEVENT_POLL, pair.near(), kOut)), 0);
  const auto events = Take(fd_);
  ASSERT_EQ(events.size(), 1);
  EXPECT_EQ(events[0].ret_data[0], kOut);
  EXPECT_EQ(Control(fd_, KEVENT_CTL_MODIFY, DescriptorRequest(KEVENT_POLL, pair.near(), kIn)), 0);
  EXPECT_TRUE(Take(fd_).empty());
}

TEST_F(Watching, RemovedOnesAreSilent) {
  const Pair pair;
  ASSERT_EQ(AddPoll(pair.near(), kIn), 0);
  pair.Send();
  EXPECT_EQ(Control(fd_, KEVENT_CTL_REMOVE, DescriptorRequest(KEVENT_POLL, pair.near(), kIn)), 0);
  EXPECT_TRUE(Take(fd_).empty());
  pollfd readable = {fd_, POLLIN, 0};
  EXPECT_EQ(poll(&readable, 1, 0), 0);
}

TEST_F(Watching, RegularFilesAnswerAsPollDoes) {
  char name[] = "/tmp/kevent_test.XXXXXX";
  const int file = mkstemp(name);
  ASSERT_GE(file, 0);
  unlink(name);
  pollfd answer = {file, POLLIN | POLLOUT | POLLPRI, 0};
  ASSERT_EQ(poll(&answer, 1, 0), 1);
  ASSERT_EQ(AddPoll(file, kIn | kOut | KEVENT_POLL_POLLPRI), 0);
  for (int i = 0; i < 2; ++i) {
    const auto events = Take(fd_, 1);
    ASSERT_EQ(events.size(), 1);
    EXPECT_EQ(events[0].ret_data[0], static_cast<uint32_t>(answer.revents));
  }
  EXPECT_EQ(Control(fd_, KEVENT_CTL_REMOVE,
                    DescriptorRequest(KEVENT_POLL, file, kIn | kOut | KEVENT_POLL_POLLPRI)),
            0);
  EXPECT_TRUE(Take(fd_).empty());
  ASSERT_EQ(AddPoll(file, KEVENT_POLL_POLLPRI), 0);
  EXPECT_TRUE(Take(fd_).empty());
  EXPECT_EQ(AddPoll(file, kOut, 0, 1), 1);
  close(file);
}

// epoll takes no regular file, so the library keeps count of closes itself.
TEST_F(Watching, OfARegularFileEndsWithItsClose) {
  const auto make_file = [] { return memfd_create("kevent", MFD_CLOEXEC); };
  const int file = make_file();
  ASSERT_GE(file, 0);
  const ukevent request = DescriptorRequest(KEVENT_POLL, file, kIn, kAlwaysQueue, 1);
  const int none_ready = KEVENT_POLL_POLLPRI;
  const auto reopen = [&] {
    close(file);
    EXPECT_EQ(make_file(), file);
  };
  for (const uint32_t flags : {0u, uint32_t{KEVENT_REQ_ET}, uint32_t{KEVENT_REQ_DISPATCH}}) {
    ASSERT_EQ(AddPoll(file, kIn, kAlwaysQueue | flags, 1), 0);
    ASSERT_EQ(AddPoll(file, kIn, kAlwaysQueue | flags, 2), 0);
    reopen();
    EXPECT_TRUE(Take(fd_).empty());
    ASSERT_EQ(AddPoll(file, none_ready, 0, 1), 0);
    reopen();
    EXPECT_EQ(Control(fd_, KEVENT_CTL_MODIFY, request), -ENOENT);
    EXPECT_EQ(Control(fd_, KEVENT_CTL_ADD | KEVENT_CTL_BY_ID, request), 0);
    EXPECT_EQ(Take(fd_).size(), 1);
    reopen();
    EXPECT_EQ(Control(fd_, KEVENT_CTL_ADD, request), 0);
    EXPECT_EQ(Control(fd_, KEVENT_CTL_REMOVE, request), 0);
  }
  // One of two is removed: the other's file is still watched for its close.
  ASSERT_EQ(AddPoll(file, kIn, kAlwaysQueue, 1), 0);
  ASSERT_EQ(AddPoll(file, kIn, kAlwaysQueue, 2), 0);
  EXPECT_EQ(Control(fd_, KEVENT_CTL_REMOVE, request), 0);
  EXPECT_EQ(Take(fd_).size(), 1);
  close(file);
  EXPECT_TRUE(Take(fd_).empty());
}

// One that is among the ready as it leaves takes none of the others along.
TEST_F(Watching, OfARegularFileThatIsReadyEndsWithItsCloseAlone) {
  const int file = memfd_create("kevent", MFD_CLOEXEC);
  const Pair pair;
  const ukevent of_file = DescriptorRequest(KEVENT_POLL, file, kIn, kAlwaysQueue, 1);
  const ukevent of_pair = DescriptorRequest(KEVENT_POLL, pair.near(), kIn, kAlwaysQueue, 2);
  for (const ukevent& request : {of_file, of_pair}) ASSERT_EQ(Add(fd_, request), 0);
  for (const ukevent& request : {of_file, of_pair}) ASSERT_TRUE(Inject(fd_, request));
  close(file);
  const auto events = Take(fd_);
  ASSERT_EQ(events.size(), 1);
  EXPECT_EQ(events[0].ptr, of_pair.ptr);
  EXPECT_TRUE(Take(fd_).empty());
  pair.Send();
  EXPECT_EQ(Take(fd_).size(), 1);
}

// What goes with a file that had the number before leaves the file's close counted.
TEST_F(Watching, OfARegularFileOutlivesThatOfAFormerFile) {
  const auto make_file = [] { return memfd_create("kevent", MFD_CLOEXEC); };
  enum class Goes { kRemoved, kOfAnotherType, kByAnother, kWithItsTransfer };
  for (const Goes goes :
       {Goes::kRemoved, Goes::kOfAnotherType, Goes::kByAnother, Goes::kWithItsTransfer}) {
    Pair pair;
    const int number = pair.near();
    const uint32_t type = goes == Goes::kOfAnotherType ? KEVENT_SOCKET : KEVENT_POLL;
    const ukevent former = DescriptorRequest(type, number, kIn, kAlwaysQueue, 1);
    const ukevent request = DescriptorRequest(KEVENT_POLL, number, kIn, kAlwaysQueue, 2);
    char byte;
    if (goes == Goes::kWithItsTransfer) {
      ASSERT_EQ(kevent_aio_recv(fd_, number, &byte, 1, 0), 0);
    } else {
      ASSERT_EQ(Add(fd_, former), 0);
    }
    pair.CloseNear();
    ASSERT_EQ(make_file(), number);
    ASSERT_EQ(Add(fd_, request), 0);
    if (goes == Goes::kByAnother) {
      EXPECT_EQ(Control(fd_, KEVENT_CTL_MODIFY | KEVENT_CTL_BY_ID, request), 0);
    } else if (goes != Goes::kWithItsTransfer) {
      EXPECT_EQ(Control(fd_, KEVENT_CTL_REMOVE, former), 0);
    }
    EXPECT_EQ(Take(fd_).size(), goes == Goes::kWithItsTransfer ? 2 : 1);
    close(number);
    EXPECT_TRUE(Take(fd_).empty());
  }
}

// A program frees what a cookie points to when it closes the descriptor.
TEST_F(Watching, OfAClosedDescriptorIsNotReportedForHavingBeenMadeReady) {
  for (const bool is_regular : {false, true}) {
    Pair pair;
    const int number =
        is_regular ? memfd_create("kevent", MFD_CLOEXEC) : fcntl(pair.near(), F_DUPFD_CLOEXEC, 0);
    const ukevent request =
        DescriptorRequest(KEVENT_POLL, number, KEVENT_POLL_POLLPRI, kAlwaysQueue, 1);
    ASSERT_EQ(Add(fd_, request), 0);
    ASSERT_TRUE(Inject(fd_, request));
    close(number);
    EXPECT_TRUE(Take(fd_).empty());
  }
}

// A close may come at any moment of the change.
TEST_F(Watching, OfARegularFileIsReplacedWhileItsNumberIsClosed) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the race of close with the use of the number is meant";
#endif
  const int spare = memfd_create("kevent", MFD_CLOEXEC);
  const int file = fcntl(spare, F_DUPFD_CLOEXEC, 100);
  std::atomic<bool> over = false;
  std::thread closer([&] {
    while (!over) {
      close(file);
      EXPECT_EQ(dup2(spare, file), file);
    }
  });
  for (int i = 0; i < 100'000; ++i) {
    const int result = Control(fd_, KEVENT_CTL_ADD | KEVENT_CTL_REPLACE,
                               DescriptorRequest(KEVENT_POLL, file, kIn, kAlwaysQueue, 1));
    EXPECT_TRUE(result == 0 || result == -EBADF) << result;
  }
  over = true;
  closer.join();
  close(file);
  EXPECT_TRUE(Take(fd_).empty());
  close(spare);
}

// One number, several kevents, each with its own mask and flags.
TEST_F(Watching, SeveralOnOneDescriptor) {
  const Pair pair;
  ASSERT_EQ(AddPoll(pair.near(), kIn, KEVENT_REQ_ET, 1), 0);
  ASSERT_EQ(AddPoll(pair.near(), kOut, kAlwaysQueue, 2), 0);
  ASSERT_EQ(AddPoll(pair.near(), KEVENT_POLL_POLLRDHUP, 0, 3), 0);
  EXPECT_EQ(AddPoll(pair.near(), kIn, 0, 1), -EEXIST);
  auto events = Take(fd_);
  ASSERT_EQ(events.size(), 1);
  EXPECT_EQ(events[0].ptr, reinterpret_cast<void*>(2));
  pair.Send();
  events = Take(fd_);
  ASSERT_EQ(events.size(), 2);
  EXPECT_EQ(Take(fd_).size(), 1);
  shutdown(pair.far(), SHUT_WR);
  events = Take(fd_);
  EXPECT_EQ(events.size(), 3);
  EXPECT_EQ(Control(fd_, KEVENT_CTL_REMOVE, DescriptorRequest(KEVENT_POLL, pair.near(), 0, 0, 2)),
            0);
  events = Take(fd_);
  ASSERT_EQ(events.size(), 1);
  EXPECT_EQ(events[0].ptr, reinterpret_cast<void*>(3));
}

TEST_F(Watching, OneActivityIsForOneUnlessAllAreAsked) {
  const Pair pair;
  ASSERT_EQ(AddPoll(pair.near(), kIn, KEVENT_REQ_ET, 1), 0);
  ASSERT_EQ(AddPoll(pair.near(), kIn, KEVENT_REQ_ET, 2), 0);
  pair.Send();
  EXPECT_EQ(Take(fd_).size(), 1);
  EXPECT_TRUE(Take(fd_).empty());
  pair.Receive();
  ASSERT_EQ(AddPoll(pair.near(), kIn, KEVENT_REQ_ET | KEVENT_REQ_WAKEUP_ALL, 3), 0);
  // One that is ready by level takes no activity from those that wait for edges.
  ASSERT_EQ(AddPoll(pair.near(), kIn, 0, 4), 0);
  pair.Send();
  EXPECT_EQ(Take(fd_).size(), 3);
  EXPECT_EQ(Take(fd_).size(), 1);
}

TEST_F(Watching, ByLevelEachIsReportedHoweverManyThereAre) {
  const Pair pair;
  constexpr uintptr_t kCount = 5;
  for (uintptr_t i = 0; i < kCount; ++i) ASSERT_EQ(AddPoll(pair.near(), kIn, 0, i), 0);
  pair.Send();
  for (int turn = 0; turn < 3; ++turn) {
    const auto events = Take(fd_);
    std::set<void*> cookies;
    for (const ukevent& event : events) cookies.insert(event.ptr);
    EXPECT_EQ(events.size(), kCount);
    EXPECT_EQ(cookies.size(), kCount);
  }
  // With room for few, each as often as the others.
  std::array<unsigned, kCount> times = {};
  for (unsigned i = 0; i < 12 * kCount; ++i) {
    for (const ukevent& event : Take(fd_, 1, 2)) ++times[reinterpret_cast<uintptr_t>(event.ptr)];
  }
  for (const unsigned count : times) {
    EXPECT_GE(count, 20);
    EXPECT_LE(count, 28);
  }
}

// Nothing comes after a hang-up that the others could be told instead.
TEST_F(Watching, AHangUpIsForAllThatWaitForEdges) {
  for (const uint32_t type : {KEVENT_SOCKET, KEVENT_POLL}) {
    for (const bool half : {false, true}) {
      SCOPED_TRACE(testing::Message() << "type " << type << (half ? ", half of it" : ""));
      Pair pair;
      ASSERT_EQ(Add(fd_, Request(KEVENT_UNOTIFY, type, 1, 0, half)), 0);
      for (uintptr_t i = 0; i < 3; ++i) {
        ASSERT_EQ(Add(fd_, DescriptorRequest(type, pair.near(), 1, KEVENT_REQ_ET, i)), 0);
      }
      if (half) {
        shutdown(pair.far(), SHUT_WR);
      } else {
        pair.CloseFar();
      }
      const auto events = Take(fd_);
      EXPECT_EQ(events.size(), 3);
      EXPECT_TRUE(Take(fd_).empty());
      if (type == KEVENT_SOCKET && !half) {
        for (const ukevent& event : events) EXPECT_NE(event.ret_flags & KEVENT_RET_BROKEN, 0);
        EXPECT_FALSE(Inject(fd_, DescriptorRequest(type, pair.near(), 1, 0, 1)));
      }
      pair.CloseNear();
    }
  }
}

TEST_F(Watching, LastCheckPassesOverWhatIsOver) {
  const Pair first;
  const Pair second;
  const uint32_t flags = KEVENT_REQ_ET | KEVENT_REQ_LAST_CHECK;
  ASSERT_EQ(AddPoll(first.near(), kIn, flags), 0);
  ASSERT_EQ(AddPoll(second.near(), kIn, flags), 0);
  first.Send();
  second.Send();
  ASSERT_EQ(Take(fd_, 1, 1).size(), 1);
  first.Receive();
  second.Receive();
  EXPECT_TRUE(Take(fd_).empty());
  second.Send();
  EXPECT_EQ(Take(fd_).size(), 1);
}

// ---- Closed descriptors --------------------------------------------------------

TEST_F(Watching, AClosedDescriptorTakesItsKeventsAlong) {
  auto pair = std::make_unique<Pair>();
  const int number = pair->near();
  ASSERT_EQ(AddPoll(number, kOut, kAlwaysQueue, 1), 0);
  EXPECT_EQ(Take(fd_).size(), 1);
  pair.reset();
  EXPECT_TRUE(Take(fd_).empty());
  const Pair next;
  ASSERT_EQ(next.near(), number);
  EXPECT_TRUE(Take(fd_).empty());
  // The same key again, and another.
  EXPECT_EQ(AddPoll(number, kOut, kAlwaysQueue, 1), 0);
  EXPECT_EQ(AddPoll(number, kIn, 0, 2), 0);
  EXPECT_EQ(Take(fd_).size(), 1);
}

TEST_F(Watching, ReusedNumbersLeaveNoRecordsBehind) {
  for (uintptr_t i = 0; i < 20'000; ++i) {
    const Pair pair;
    ASSERT_EQ(AddPoll(pair.near(), kIn, 0, i), 0);
  }
  // Registered at most once for each number.
  const Pair pair;
  std::vector<ukevent> entries;
  for (uintptr_t i = 0; i < 20'000; ++i) {
    entries.push_back(DescriptorRequest(KEVENT_POLL, pair.near(), kIn, 0, i));
  }
  EXPECT_GE(kevent_ctl(fd_, KEVENT_CTL_REMOVE, 20'000, entries.data()), 20'000 - 2);
}

// ---- Sockets and pipes -----------------------------------------------------------

int Listen(sockaddr_in* address) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  *address = {};
  address->sin_family = AF_INET;
  address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(bind(listener, reinterpret_cast<sockaddr*>(address), sizeof *address), 0);
  EXPECT_EQ(listen(listener, 16), 0);
  socklen_t size = sizeof *address;
  getsockname(listener, reinterpret_cast<sockaddr*>(address), &size);
  return listener;
}

// Whatever the file is that has the number now, and whoever else has the old one open.
TEST_F(Watching, OneWhoseNumberIsAnotherFilesCannotBeModified) {
  const Pair pair;
  const Pair other;
  const Queue inner;
  std::array<int, 2> ends;
  ASSERT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
  const int directory = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const struct {
    uint32_t type;
    int file;
    uint32_t event;
    int error;
  } kevents[] = {{KEVENT_POLL, pair.near(), kIn, -ENOENT},
                 {KEVENT_SOCKET, pair.near(), KEVENT_SOCKET_RECV, -ENOENT},
                 {KEVENT_PIPE, ends[0], KEVENT_SOCKET_RECV, -ENOENT},
                 {KEVENT_KEVENT, inner.fd(), KEVENT_KEVENT_READY, -ENOENT},
                 // It watches on, but has to be changed by the file that it watches.
                 {KEVENT_INODE, directory, KEVENT_INODE_CREATE, -EBADF}};
  const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
  const int regular = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  const Queue stranger;
  for (const auto& kevent : kevents) {
    for (const int file : {null, regular, other.near(), epoll, stranger.fd(), fd_, -1}) {
      SCOPED_TRACE(testing::Message() << "type " << kevent.type << ", then file " << file);
      const int number = dup(kevent.file);
      const ukevent request = DescriptorRequest(kevent.type, number, kevent.event);
      ASSERT_EQ(Add(fd_, request), 0);
      EXPECT_EQ(close(number), 0);
      if (file >= 0) {
        ASSERT_EQ(dup2(file, number), number);
      }
      EXPECT_EQ(Control(fd_, KEVENT_CTL_MODIFY, request), file < 0 ? -EBADF : kevent.error);
      EXPECT_EQ(Control(fd_, KEVENT_CTL_REMOVE, request), 0);
      if (file >= 0) {
        EXPECT_EQ(close(number), 0);
      }
    }
  }
  for (const int fd : {null, regular, epoll, directory, ends[0], ends[1]}) close(fd);
}

TEST_F(Watching, ASocketAcceptsReceivesSendsAndBreaks) {
  sockaddr_in address;
  const int listener = Listen(&address);
  ASSERT_EQ(Add(fd_, DescriptorRequest(KEVENT_SOCKET, listener, KEVENT_SOCKET_ACCEPT, 0, 1)), 0);
  EXPECT_TRUE(Take(fd_).empty());
  const int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_EQ(connect(client, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  auto events = Take(fd_, 1);
  ASSERT_EQ(events.size(), 1);
  EXPECT_EQ(events[0].type, KEVENT_SOCKET);
  EXPECT_EQ(events[0].ret_data[0], KEVENT_SOCKET_ACCEPT);
  const int server = accept(listener, nullptr, nullptr);

  ASSERT_EQ(
      Add(fd_, DescriptorRequest(KEVENT_SOCKET, server, KEVENT_SOCKET_RECV | KEVENT_SOCKET_SEND)),
      0);
  events = Take(fd_, 1);
  ASSERT_EQ(events.size(), 1);
  EXPECT_EQ(events[0].ret_data[0], KEVENT_SOCKET_SEND);
  ASSERT_EQ(write(client, "x", 1), 1);
  events = Take(fd_, 1);
  ASSERT_EQ(events.size(), 1);
  EXPECT_EQ(events[0].ret_data[0], KEVENT_SOCKET_RECV | KEVENT_SOCKET_SEND);

  // A reset: broken, once, and then no kevent any more.
  const linger at_once = {1, 0};
  setsockopt(client, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  close(client);
  events = Take(fd_, 1);
  ASSERT_EQ(events.size(), 1);
  EXPECT_EQ(events[0].ret_flags, KEVENT_RET_BROKEN | KEVENT_RET_DONE);
  EXPECT_TRUE(Take(fd_).empty());
  EXPECT_EQ(Control(fd_, KEVENT_CTL_REMOVE, DescriptorRequest(KEVENT_SOCKET, listener, 0, 0, 1)),
            0);
  close(server);
  close(listener);
}

TEST_F(Watching, APipeIsReadWrittenAndBreaks) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
  ASSERT_EQ(Add(fd_, DescriptorRequest(KEVENT_PIPE, ends[0], KEVENT_SOCKET_RECV)), 0);
  ASSERT_EQ(Add(fd_, DescriptorRequest(KEVENT_PIPE, ends[1], KEVENT_SOCKET_SEND)), 0);
  auto events = Take(fd_);
  ASSERT_EQ(events.size(), 1);
  EXPECT_EQ(events[0].id.raw[0], static_cast<uint32_t>(ends[1]));
  ASSERT_EQ(write(ends[1], "x", 1), 1);
  EXPECT_EQ(Take(fd_).size(), 2);
  close(ends[0]);
  events = Take(fd_);
  ASSERT_EQ(events.size(), 1);
  EXPECT_NE(events[0].ret_flags & KEVENT_RET_BROKEN, 0);
  EXPECT_TRUE(Take(fd_).empty());
  close(ends[1]);
}

// fcntl says that they are not open, so they are not to be watched either.
TEST_F(Watching, NumbersThatTheLibraryKeepsForItselfAreNotOpen) {
  const Queue other;
  int tried = 0;
  for (const int fd : OpenDescriptors()) {
    if (fcntl(fd, F_GETFD) >= 0) continue;
    ++tried;
    for (const uint32_t type :
         {KEVENT_POLL, KEVENT_SOCKET, KEVENT_PIPE, KEVENT_KEVENT, KEVENT_INODE}) {
      EXPECT_EQ(Add(fd_, DescriptorRequest(type, fd, 1)), -EBADF) << type << " " << fd;
    }
    ukevent event;
    EXPECT_EQ(kevent_get_events(fd, 0, 1, nullptr, &event, 0), -1);
    EXPECT_EQ(errno, EBADF);
  }
  EXPECT_GE(tried, 2);
}

TEST_F(Watching, WrongDescriptors) {
  const Pair pair;
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const auto add = [this](uint32_t type, int fd) {
    return Add(fd_, DescriptorRequest(type, fd, 1));
  };
  for (const uint32_t type : {KEVENT_POLL, KEVENT_SOCKET, KEVENT_PIPE, KEVENT_KEVENT}) {
    EXPECT_EQ(add(type, -1), -EBADF);
    EXPECT_EQ(add(type, 987'654), -EBADF);
    EXPECT_EQ(Add(fd_, Request(type, uint64_t{1} << 32, 1)), -EINVAL);
  }
  EXPECT_EQ(add(KEVENT_SOCKET, ends[0]), -ENOTSOCK);
  EXPECT_EQ(add(KEVENT_PIPE, pair.near()), -EINVAL);
  EXPECT_EQ(add(KEVENT_KEVENT, pair.near()), -EINVAL);
  EXPECT_EQ(add(KEVENT_KEVENT, fd_), -ELOOP);
  EXPECT_EQ(Add(fd_, DescriptorRequest(KEVENT_SOCKET, pair.near(), 8)), -EINVAL);
  ukevent entry = DescriptorRequest(KEVENT_POLL, pair.near(), kIn);
  EXPECT_EQ(kevent_ctl(fd_, KEVENT_CTL_REMOVE, 1, &entry), 1) << "half-registered";
  close(ends[0]);
  close(ends[1]);
}

// ---- Queues in queues --------------------------------------------------------------

TEST_F(Watching, AQueueInAQueue) {
  const Queue inner;
  const Timer timer(inner.fd(), 3);
  ASSERT_EQ(Add(fd_, DescriptorRequest(KEVENT_KEVENT, inner.fd(), KEVENT_KEVENT_READY, 0, 8)), 0);
  EXPECT_TRUE(Take(fd_).empty());
  timer.Expire();
  for (int i = 0; i < 2; ++i) {
    const auto events = Take(fd_, 1);
    ASSERT_EQ(events.size(), 1);
    EXPECT_EQ(events[0].type, KEVENT_KEVENT);
    EXPECT_EQ(events[0].ptr, reinterpret_cast<void*>(8));
  }
  EXPECT_EQ(Take(inner.fd()).size(), 1);
  EXPECT_TRUE(Take(fd_).empty());
  const Pair pair;
  ASSERT_EQ(Add(inner.fd(), DescriptorRequest(KEVENT_POLL, pair.near(), kIn)), 0);
  pair.Send();
  EXPECT_EQ(Take(fd_, 1).size(), 1);
}

TEST_F(Watching, CirclesAreRefused) {
  const Queue inner;
  ASSERT_EQ(Add(fd_, DescriptorRequest(KEVENT_KEVENT, inner.fd(), KEVENT_KEVENT_READY)), 0);
  EXPECT_EQ(Add(inner.fd(), DescriptorRequest(KEVENT_KEVENT, fd_, KEVENT_KEVENT_READY)), -ELOOP);
}

// ---- Sleeping for descriptors --------------------------------------------------------

TEST_F(Watching, OneWhoWaitsForSeveralIsWokenByEach) {
  std::vector<Pair> pairs(3);
  for (const Pair& pair : pairs) ASSERT_EQ(AddPoll(pair.near(), kIn), 0);
  std::vector<ukevent> events;
  Thread collector([&] { events = Take(fd_, 3); });
  for (const Pair& pair : pairs) {
    collector.AwaitAsleep();
    EXPECT_FALSE(collector.finished());
    pair.Send();
  }
  collector.Join();
  EXPECT_EQ(events.size(), 3);
}

TEST_F(Watching, RegisteredWhileOneSleeps) {
  const Pair pair;
  const Timer timer(fd_, 1);
  timer.Expire();
  std::vector<ukevent> events;
  Thread collector([&] { events = Take(fd_, 2); });
  collector.AwaitAsleep();
  ASSERT_EQ(AddPoll(pair.near(), kOut), 0);
  collector.Join();
  EXPECT_EQ(events.size(), 2);
}

TEST_F(Watching, TimersAndDescriptorsShareTheRoom) {
  std::vector<Pair> pairs(8);
  std::vector<Timer> timers;
  for (const Pair& pair : pairs) ASSERT_EQ(AddPoll(pair.near(), kOut), 0);
  for (int i = 0; i < 8; ++i) {
    timers.emplace_back(fd_, 1);
    timers.back().Expire();
  }
  size_t of_timers = 0;
  for (int i = 0; i < 16; ++i) {
    for (const ukevent& event : Take(fd_, 1, 1)) of_timers += event.type == KEVENT_POSIX_TIMER;
  }
  EXPECT_EQ(of_timers, 8);
}

TEST_F(Watching, NoDescriptorIsLeft) {
  const auto before = OpenDescriptors();
  {
    const Queue queue;
    const Pair pair;
    const Queue inner;
    for (uintptr_t i = 0; i < 4; ++i) {
      ASSERT_EQ(Add(queue.fd(), DescriptorRequest(KEVENT_POLL, pair.near(), kIn, 0, i)), 0);
    }
    ASSERT_EQ(Add(queue.fd(), DescriptorRequest(KEVENT_KEVENT, inner.fd(), 1)), 0);
  }
  EXPECT_EQ(OpenDescriptors(), before);
}

}  // namespace
}  // namespace kevent_test
