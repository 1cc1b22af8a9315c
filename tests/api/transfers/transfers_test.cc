// SPDX-License-Identifier: MIT
//
// KEVENT_NAIO: transfers on sockets, by the calls of 2006 and by kevent_transfers.

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/aio.h"
#include "tests/support/process.h"
#include "tests/support/queue.h"
#include "tests/support/watchdog.h"

namespace kevent_test {
namespace {

struct Pair {
  explicit Pair(int type = SOCK_STREAM) {
    EXPECT_EQ(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends), 0) << std::strerror(errno);
  }
  ~Pair() {
    for (const int end : ends) {
      if (end >= 0) close(end);
    }
  }
  Pair(const Pair&) = delete;
  Pair& operator=(const Pair&) = delete;
  int ours() const { return ends[0]; }
  int theirs() const { return ends[1]; }
  void Put(const std::string& text) const {
    EXPECT_EQ(write(theirs(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  std::string Get(size_t bytes) const {
    std::string text(bytes, '\0');
    size_t got = 0;
    while (got < bytes) {
      const ssize_t count = read(theirs(), text.data() + got, bytes - got);
      if (count <= 0) break;
      got += static_cast<size_t>(count);
    }
    text.resize(got);
    return text;
  }
  void CloseTheirs() {
    close(ends[1]);
    ends[1] = -1;
  }
  int ends[2];
};

// Of TCP, on this machine.
class Listener {
 public:
  Listener() {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(listen(fd_, 1), 0);
  }
  ~Listener() { close(fd_); }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  // The accepted socket, which has O_NONBLOCK, and the other side.
  std::pair<int, int> Connect() const {
    sockaddr_in address = {};
    socklen_t size = sizeof address;
    EXPECT_EQ(getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    const int theirs = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(connect(theirs, reinterpret_cast<sockaddr*>(&address), size), 0);
    return {accept4(fd_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC), theirs};
  }

 private:
  const int fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
};

std::string Pattern(size_t bytes) {
  std::string text(bytes, '\0');
  uint64_t state = 88172645463325252;
  for (char& c : text) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    c = static_cast<char>(state);
  }
  return text;
}

class Transfers : public testing::Test {
 protected:
  ukevent Next() {
    ukevent event = {};
    const timespec patience = {30, 0};
    EXPECT_EQ(kevent_get_events(queue_.fd(), 1, 1, &patience, &event, 0), 1)
        << std::strerror(errno);
    EXPECT_EQ(event.type, static_cast<uint32_t>(KEVENT_NAIO));
    return event;
  }
  void ExpectNone() {
    ukevent event;
    EXPECT_EQ(kevent_get_events(queue_.fd(), 0, 1, nullptr, &event, 0), 0);
  }
  void ExpectEnd(const void* cookie, size_t bytes, int error = 0) {
    const ukevent event = Next();
    EXPECT_EQ(event.ptr, cookie);
    EXPECT_EQ(event.ret_data[0], bytes);
    EXPECT_EQ(event.ret_data[1], static_cast<uint32_t>(error));
    EXPECT_EQ(event.ret_flags, static_cast<uint32_t>(KEVENT_RET_DONE));
  }
  int Receive(int socket, void* buffer, size_t bytes, unsigned flags = 0) {
    return kevent_aio_recv(queue_.fd(), socket, buffer, bytes, flags);
  }
  int Send(int socket, const std::string& text, unsigned flags = 0) {
    return kevent_aio_send(queue_.fd(), socket, text.data(), text.size(), flags);
  }

  const Watchdog watchdog_;
  Queue queue_;
  Pair pair_;
};

TEST_F(Transfers, WhatIsThereIsReceivedAtOnce) {
  char buffer[4];
  pair_.Put("text");
  ASSERT_EQ(Receive(pair_.ours(), buffer, 4), 0);
  const ukevent event = Next();
  EXPECT_EQ(std::string(buffer, 4), "text");
  EXPECT_EQ(event.id.raw[0], static_cast<uint32_t>(pair_.ours()));
  EXPECT_EQ(event.id.raw[1], 4u);
  EXPECT_EQ(event.event, static_cast<uint32_t>(KEVENT_NAIO_RECV));
  EXPECT_EQ(event.ptr, buffer);
  EXPECT_EQ(event.ret_data[0], 4u);
  EXPECT_EQ(event.ret_data[1], 0u);
}

TEST_F(Transfers, TheWholeSizeIsAwaited) {
  char buffer[4];
  ASSERT_EQ(Receive(pair_.ours(), buffer, 4), 0);
  ExpectNone();
  pair_.Put("te");
  ExpectNone();
  pair_.Put("xt");
  ExpectEnd(buffer, 4);
  EXPECT_EQ(std::string(buffer, 4), "text");
  ExpectNone();
}

TEST_F(Transfers, SomeEndsWithTheFirstBytes) {
  char buffer[100];
  ASSERT_EQ(Receive(pair_.ours(), buffer, 100, KEVENT_NAIO_SOME), 0);
  pair_.Put("te");
  ExpectEnd(buffer, 2);
}

TEST_F(Transfers, TheOtherSidesEndIsNoError) {
  char buffer[4];
  ASSERT_EQ(Receive(pair_.ours(), buffer, 4), 0);
  pair_.Put("te");
  pair_.CloseTheirs();
  ExpectEnd(buffer, 2);
}

TEST_F(Transfers, OneAfterTheOtherInOrder) {
  std::array<char, 6> buffer;
  for (size_t i = 0; i < 3; ++i) ASSERT_EQ(Receive(pair_.ours(), &buffer[2 * i], 2), 0);
  pair_.Put("abcdef");
  for (size_t i = 0; i < 3; ++i) ExpectEnd(&buffer[2 * i], 2);
  EXPECT_EQ(std::string(buffer.data(), 6), "abcdef");
}

TEST_F(Transfers, MoreThanASocketTakes) {
  const std::string text = Pattern(8 << 20);
  ASSERT_EQ(Send(pair_.ours(), text), 0);
  ASSERT_EQ(Send(pair_.ours(), "end"), 0);
  const pid_t child = fork();
  if (child == 0) _exit(pair_.Get(text.size()) == text && pair_.Get(3) == "end" ? 0 : 1);
  ExpectEnd(text.data(), text.size());
  Next();
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

// More than a turn's bytes wait, and nothing more comes: no edge of the socket's tells of the rest.
class Edges : public Transfers {
 protected:
  Edges() {
    const int room = 64 << 20;
    setsockopt(pair_.theirs(), SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
  }
  // False where the socket takes no more than usual (CAP_NET_ADMIN).
  bool PutAll() const {
    return send(pair_.theirs(), text_.data(), text_.size(), MSG_DONTWAIT) ==
           static_cast<ssize_t>(text_.size());
  }
  const std::string text_ = Pattern(16 << 20);
  std::string buffer_ = std::string(text_.size(), '\0');
};

TEST_F(Edges, OfTheQueueInALoop) {
  const int loop = epoll_create1(EPOLL_CLOEXEC);
  epoll_event event = {EPOLLIN | EPOLLET, {}};
  ASSERT_EQ(epoll_ctl(loop, EPOLL_CTL_ADD, queue_.fd(), &event), 0);
  ASSERT_EQ(Receive(pair_.ours(), buffer_.data(), buffer_.size()), 0);
  if (!PutAll()) GTEST_SKIP() << "the socket has no room";
  ukevent ended;
  do {
    ASSERT_EQ(epoll_wait(loop, &event, 1, -1), 1);
  } while (kevent_get_events(queue_.fd(), 0, 1, nullptr, &ended, 0) == 0);
  EXPECT_EQ(buffer_, text_);
  close(loop);
}

TEST_F(Edges, ForAThreadThatWantsTwo) {
  ukevent request = {};
  request.type = KEVENT_UNOTIFY;
  request.event = KEVENT_MASK_ALL;
  ASSERT_EQ(kevent_ctl(queue_.fd(), KEVENT_CTL_ADD, 1, &request), 0);
  ASSERT_EQ(Receive(pair_.ours(), buffer_.data(), buffer_.size()), 0);
  ASSERT_EQ(kevent_ctl(queue_.fd(), KEVENT_CTL_READY, 1, &request), 1);
  if (!PutAll()) GTEST_SKIP() << "the socket has no room";
  ukevent events[2];
  ASSERT_EQ(kevent_get_events(queue_.fd(), 2, 2, nullptr, events, 0), 2);
  EXPECT_EQ(buffer_, text_);
}

// Each message with a descriptor is a receipt of its own (unix(7)).
TEST_F(Edges, OfMessagesWithDescriptors) {
  constexpr size_t kMessages = 40;
  ukevent request = {};
  request.type = KEVENT_UNOTIFY;
  request.event = KEVENT_MASK_ALL;
  ASSERT_EQ(kevent_ctl(queue_.fd(), KEVENT_CTL_ADD, 1, &request), 0);
  ASSERT_EQ(Receive(pair_.ours(), buffer_.data(), kMessages), 0);
  ASSERT_EQ(kevent_ctl(queue_.fd(), KEVENT_CTL_READY, 1, &request), 1);
  for (size_t i = 0; i < kMessages; ++i) {
    char byte = 'm';
    iovec part = {&byte, 1};
    alignas(cmsghdr) char room[CMSG_SPACE(sizeof(int))] = {};
    msghdr message = {};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = room;
    message.msg_controllen = sizeof room;
    cmsghdr* const control = CMSG_FIRSTHDR(&message);
    control->cmsg_level = SOL_SOCKET;
    control->cmsg_type = SCM_RIGHTS;
    control->cmsg_len = CMSG_LEN(sizeof(int));
    const int passed = pair_.theirs();
    std::memcpy(CMSG_DATA(control), &passed, sizeof passed);
    ASSERT_EQ(sendmsg(pair_.theirs(), &message, 0), 1);
  }
  ukevent events[2];
  ASSERT_EQ(kevent_get_events(queue_.fd(), 2, 2, nullptr, events, 0), 2);
}

// The second receipt is begun when its bytes were told of already, with those of the first.
TEST_F(Transfers, AnEdgeTellsOfBytesThatWereThere) {
  const int loop = epoll_create1(EPOLL_CLOEXEC);
  epoll_event event = {EPOLLIN | EPOLLET, {}};
  ASSERT_EQ(epoll_ctl(loop, EPOLL_CTL_ADD, queue_.fd(), &event), 0);
  char text[2][4];
  ASSERT_EQ(Receive(pair_.ours(), text[0], 4), 0);
  pair_.Put("oneetwoo");
  for (char* const part : {text[0], text[1]}) {
    ukevent ended[2];
    int count;
    do {
      ASSERT_EQ(epoll_wait(loop, &event, 1, -1), 1);
      count = kevent_get_events(queue_.fd(), 0, 2, nullptr, ended, 0);
    } while (count == 0);
    ASSERT_EQ(count, 1);
    EXPECT_EQ(ended[0].ptr, part);
    if (part == text[0]) {
      ASSERT_EQ(Receive(pair_.ours(), text[1], 4), 0);
    }
  }
  EXPECT_EQ(std::string(text[1], 4), "twoo");
  close(loop);
}

TEST_F(Transfers, BothDirectionsAndAKeventOfTheProgram) {
  ukevent request = {};
  request.type = KEVENT_SOCKET;
  request.event = KEVENT_SOCKET_RECV;
  request.req_flags = KEVENT_REQ_ALWAYS_QUEUE;
  request.id.raw[0] = static_cast<uint32_t>(pair_.ours());
  ASSERT_EQ(kevent_ctl(queue_.fd(), KEVENT_CTL_ADD, 1, &request), 0);
  char buffer[2];
  ASSERT_EQ(Receive(pair_.ours(), buffer, 2), 0);
  ASSERT_EQ(Send(pair_.ours(), "out"), 0);
  EXPECT_EQ(pair_.Get(3), "out");
  EXPECT_EQ(Next().event, static_cast<uint32_t>(KEVENT_NAIO_SEND));
  pair_.Put("in, and more");
  unsigned received = 0;
  unsigned reported = 0;
  while (received == 0 || reported == 0) {
    ukevent event = {};
    ASSERT_EQ(kevent_get_events(queue_.fd(), 1, 1, nullptr, &event, 0), 1);
    (event.type == KEVENT_NAIO ? received : reported) += 1;
  }
  EXPECT_EQ(received, 1u);
}

TEST_F(Transfers, MessagesStayWhole) {
  const Pair messages(SOCK_SEQPACKET);
  char buffer[10];
  ASSERT_EQ(Receive(messages.ours(), buffer, 10), 0);
  ASSERT_EQ(Receive(messages.ours(), buffer, 10), 0);
  messages.Put("one");
  ExpectEnd(buffer, 3);
  messages.Put("other");
  ExpectEnd(buffer, 5);
  const Pair datagrams(SOCK_DGRAM);
  ASSERT_EQ(Send(datagrams.ours(), ""), 0);
  EXPECT_EQ(Next().ret_data[0], 0u);
  char none;
  EXPECT_EQ(recv(datagrams.theirs(), &none, 1, MSG_DONTWAIT), 0) << "an empty message";
}

TEST_F(Transfers, NoBytesOfAStreamEndAtOnceButInTurn) {
  char buffer[2];
  ASSERT_EQ(Receive(pair_.ours(), buffer, 0), 0);
  ExpectEnd(buffer, 0);
  pair_.Put("a");
  ASSERT_EQ(Receive(pair_.ours(), buffer, 1), 0);
  ASSERT_EQ(Receive(pair_.ours(), buffer, 1), 0);
  pair_.Put("b");
  ExpectEnd(buffer, 1);
  ExpectEnd(buffer, 1);
  // The socket is watched still.
  ASSERT_EQ(Receive(pair_.ours(), buffer, 0), 0);
  ExpectEnd(buffer, 0);
  ASSERT_EQ(Receive(pair_.ours(), buffer, 2), 0);
  ASSERT_EQ(Receive(pair_.ours(), buffer + 1, 0), 0);
  ExpectNone();
  pair_.Put("ab");
  ExpectEnd(buffer, 2);
  ExpectEnd(buffer + 1, 0);
}

// recv says EAGAIN there with MSG_DONTWAIT, and 0 without.
TEST_F(Transfers, ShutdownEndsReceiptsOfMessages) {
  for (const int domain : {AF_UNIX, AF_INET}) {
    for (const int how : {SHUT_RD, SHUT_RDWR}) {
      const int socket_of_messages = socket(domain, SOCK_DGRAM | SOCK_CLOEXEC, 0);
      char text[2][4];
      ASSERT_EQ(Receive(socket_of_messages, text[0], 4), 0);
      ASSERT_EQ(Receive(socket_of_messages, text[1], 4), 0);
      shutdown(socket_of_messages, how);
      ExpectEnd(text[0], 0);
      ExpectEnd(text[1], 0);
      close(socket_of_messages);
    }
  }
}

TEST_F(Transfers, NoBytesEndWhenThoseBeforeThemAreCancelled) {
  char first[4];
  char second;
  ASSERT_EQ(Receive(pair_.ours(), first, sizeof first), 0);
  ASSERT_EQ(Receive(pair_.ours(), &second, 0), 0);
  void* const cookie = first;
  ASSERT_EQ(kevent_cancel_transfers(queue_.fd(), pair_.ours(), &cookie), AIO_CANCELED);
  ExpectEnd(first, 0, ECANCELED);
  ExpectEnd(&second, 0);
}

TEST_F(Transfers, SomeOfNoBytesIsNothingToWaitFor) {
  char nothing;
  ASSERT_EQ(Receive(pair_.ours(), &nothing, 0, KEVENT_NAIO_SOME), 0);
  ExpectEnd(&nothing, 0);
}

TEST_F(Transfers, ABrokenPipeIsAnErrorAndNoSignal) {
  pair_.CloseTheirs();
  const std::string text = "text";
  ASSERT_EQ(Send(pair_.ours(), text), 0);
  ExpectEnd(text.data(), 0, EPIPE);
  const TemporaryFile file;
  file.Write(text);
  for (const int flags : {0, O_NONBLOCK}) {
    fcntl(pair_.ours(), F_SETFL, flags);
    ASSERT_EQ(kevent_aio_sendfile(queue_.fd(), pair_.ours(), file.fd(), 0, 4), 0);
    ExpectEnd(nullptr, 0, EPIPE);
  }
  sigset_t pending;
  sigpending(&pending);
  EXPECT_EQ(sigismember(&pending, SIGPIPE), 0);
}

// The other side answers the first part of the file with a reset, and the next one meets that: the
// call has moved a part by then.
TEST_F(Transfers, APipeThatBreaksOnTheWayIsNoSignal) {
  // More than a socket takes before it hears of the reset, however late that comes.
  const std::string text = Pattern(8 << 20);
  const TemporaryFile file;
  file.Write(text);
  const Listener listener;
  for (int round = 0; round < 20; ++round) {
    const auto [ours, theirs] = listener.Connect();
    close(theirs);
    ASSERT_EQ(kevent_aio_sendfile(queue_.fd(), ours, file.fd(), 0, text.size()), 0);
    const ukevent event = Next();
    EXPECT_NE(event.ret_data[1], 0u);
    EXPECT_LT(event.ret_data[0], text.size());
    close(ours);
  }
}

// The kernel tells of a reset once: the second receipt must not take it for the end.
TEST_F(Transfers, AResetIsToldToAllReceiptsInLine) {
  const Listener listener;
  const auto [ours, theirs] = listener.Connect();
  char buffers[2][8];
  for (char* const buffer : buffers) ASSERT_EQ(Receive(ours, buffer, 8), 0);
  ASSERT_EQ(send(theirs, "abc", 3, 0), 3);
  pollfd readable = {ours, POLLIN, 0};
  ASSERT_EQ(poll(&readable, 1, -1), 1);
  ExpectNone();  // the first has three bytes
  const linger at_once = {1, 0};
  ASSERT_EQ(setsockopt(theirs, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
  close(theirs);
  ExpectEnd(buffers[0], 3, ECONNRESET);
  ExpectEnd(buffers[1], 0, ECONNRESET);
  close(ours);
}

TEST_F(Transfers, WhatTheCallRefuses) {
  char buffer[2];
  const TemporaryFile file;
  const auto refuses = [&](int error, int result) {
    EXPECT_EQ(result, -1);
    EXPECT_EQ(errno, error);
  };
  refuses(ENOTSOCK, Receive(file.fd(), buffer, 2));
  refuses(EBADF, Receive(-1, buffer, 2));
  refuses(EINVAL, Receive(pair_.ours(), buffer, 2, MSG_PEEK));
  refuses(EINVAL, Send(pair_.ours(), "text", KEVENT_NAIO_SOME));
  refuses(EFAULT, kevent_transfers(queue_.fd(), 1, nullptr));
  EXPECT_EQ(kevent_transfers(queue_.fd(), 0, nullptr), 0);
  refuses(EBADF, kevent_aio_recv(-1, pair_.ours(), buffer, 2, 0));
  refuses(EINVAL, kevent_aio_recv(file.fd(), pair_.ours(), buffer, 2, 0));
  const auto refuses_file = [&](int error, long result) {
    refuses(error, static_cast<int>(result));
  };
  const int q = queue_.fd();
  refuses_file(EBADF, kevent_aio_sendfile(q, pair_.ours(), -1, 0, 4));
  refuses_file(EINVAL, kevent_aio_sendfile(q, pair_.ours(), pair_.ours(), 0, 4));
  refuses_file(EINVAL, kevent_aio_sendfile(q, pair_.ours(), file.fd(), -1, 4));
  refuses_file(ENOTSOCK, kevent_aio_sendfile(q, file.fd(), file.fd(), 0, 4));
  refuses_file(ENOENT, kevent_aio_sendfile_path(q, pair_.ours(), "/nowhere", 0, 4));
  refuses_file(EISDIR, kevent_aio_sendfile_path(q, pair_.ours(), "/", 0, 4));
  ExpectNone();
}

TEST_F(Transfers, TheSocketIsClosed) {
  char buffers[2];
  ASSERT_EQ(Receive(pair_.ours(), &buffers[0], 1), 0);
  ASSERT_EQ(Receive(pair_.ours(), &buffers[1], 1), 0);
  close(pair_.ends[0]);
  ExpectEnd(&buffers[0], 0, ECANCELED);
  ExpectEnd(&buffers[1], 0, ECANCELED);
  pair_.ends[0] = -1;
}

TEST_F(Transfers, TheNumberBecomesAnothers) {
  const Pair other;
  char buffers[2];
  ASSERT_EQ(Receive(pair_.ours(), &buffers[0], 1), 0);
  ASSERT_EQ(dup2(other.ours(), pair_.ours()), pair_.ours());
  ASSERT_EQ(Receive(pair_.ours(), &buffers[1], 1), 0);
  other.Put("o");
  ExpectEnd(&buffers[0], 0, ECANCELED);
  ExpectEnd(&buffers[1], 1);
  EXPECT_EQ(buffers[1], 'o');
}

// The library does not see the system call.
TEST_F(Transfers, ANumberThatIsClosedUnseenIsNewAfterACancel) {
  const Pair other;
  char byte = '?';
  pair_.Put("ab");
  ASSERT_EQ(Receive(pair_.ours(), &byte, 1), 0);
  ExpectEnd(&byte, 1);
  ASSERT_EQ(Receive(pair_.ours(), &byte, 1), 0);
  ASSERT_EQ(Receive(pair_.ours(), &byte, 1), 0);
  ExpectEnd(&byte, 1);
  EXPECT_EQ(kevent_cancel_transfers(queue_.fd(), pair_.ours(), nullptr), AIO_CANCELED);
  ExpectEnd(&byte, 0, ECANCELED);
  ASSERT_EQ(syscall(SYS_dup3, other.ours(), pair_.ours(), 0), pair_.ours());
  other.Put("o");
  ASSERT_EQ(Receive(pair_.ours(), &byte, 1), 0);
  ExpectEnd(&byte, 1);
  EXPECT_EQ(byte, 'o');
}

// A transfer that was watched for one direction notices when it is to be watched for both.
TEST_F(Transfers, ANumberThatIsClosedUnseenIsNoticedByTheOtherDirection) {
  const Pair other;
  char byte = '?';
  ASSERT_EQ(Receive(pair_.ours(), &byte, 1), 0);
  ASSERT_EQ(syscall(SYS_dup3, other.ours(), pair_.ours(), 0), pair_.ours());
  const std::string text = Pattern(4 << 20);
  ASSERT_EQ(Send(pair_.ours(), text), 0);
  ExpectEnd(&byte, 0, ECANCELED);
  std::thread reader([&] { EXPECT_EQ(other.Get(text.size()), text); });
  ExpectEnd(text.data(), text.size());
  reader.join();
}

// A kevent on the other file marks the number anew, in another epoll than the transfer's.
TEST_F(Transfers, TheNumberBecomesAnothersAndIsWatchedAgain) {
  const Pair other;
  ukevent request = {};
  request.type = KEVENT_SOCKET;
  request.event = KEVENT_SOCKET_RECV;
  request.req_flags = KEVENT_REQ_ALWAYS_QUEUE | KEVENT_REQ_ET;
  request.id.raw[0] = static_cast<uint32_t>(pair_.ours());
  for (const bool begins_before_the_batch : {false, true}) {
    char buffers[2];
    ASSERT_EQ(kevent_ctl(queue_.fd(), KEVENT_CTL_ADD, 1, &request), 0);
    ASSERT_EQ(Receive(pair_.ours(), &buffers[0], 1), 0);
    ASSERT_EQ(dup2(other.ours(), pair_.ours()), pair_.ours());
    ASSERT_EQ(kevent_ctl(queue_.fd(), KEVENT_CTL_ADD, 1, &request), 0);
    if (!begins_before_the_batch) ExpectEnd(&buffers[0], 0, ECANCELED);
    ASSERT_EQ(Receive(pair_.ours(), &buffers[1], 1), 0);
    if (begins_before_the_batch) ExpectEnd(&buffers[0], 0, ECANCELED);
    other.Put("o");
    ukevent event = {};
    while (event.type != KEVENT_NAIO) {
      ASSERT_EQ(kevent_get_events(queue_.fd(), 1, 1, nullptr, &event, 0), 1);
    }
    EXPECT_EQ(event.ptr, &buffers[1]);
    EXPECT_EQ(event.ret_data[0], 1u);
    ASSERT_EQ(kevent_ctl(queue_.fd(), KEVENT_CTL_REMOVE, 1, &request), 0);
  }
}

TEST_F(Transfers, ClosedWhileAThreadSleeps) {
  char buffer;
  ASSERT_EQ(Receive(pair_.ours(), &buffer, 1), 0);
  ASSERT_EQ(Receive(pair_.ours(), &buffer, 1), 0);
  ukevent events[2];
  std::thread collector(
      [&] { EXPECT_EQ(kevent_get_events(queue_.fd(), 2, 2, nullptr, events, 0), 2); });
  close(pair_.ends[0]);
  pair_.ends[0] = -1;
  collector.join();
  EXPECT_EQ(events[0].ret_data[1], static_cast<uint32_t>(ECANCELED));
}

TEST_F(Transfers, Cancelled) {
  char buffers[3];
  EXPECT_EQ(kevent_cancel_transfers(queue_.fd(), pair_.ours(), nullptr), AIO_ALLDONE);
  for (char& buffer : buffers) ASSERT_EQ(Receive(pair_.ours(), &buffer, 1), 0);
  void* cookie = &buffers[1];
  EXPECT_EQ(kevent_cancel_transfers(queue_.fd(), pair_.ours(), &cookie), AIO_CANCELED);
  EXPECT_EQ(kevent_cancel_transfers(queue_.fd(), pair_.ours(), &cookie), AIO_ALLDONE);
  ExpectEnd(&buffers[1], 0, ECANCELED);
  pair_.Put("a");
  ExpectEnd(&buffers[0], 1);
  EXPECT_EQ(kevent_cancel_transfers(queue_.fd(), pair_.ours(), nullptr), AIO_CANCELED);
  ExpectEnd(&buffers[2], 0, ECANCELED);
  pair_.Put("b");
  ASSERT_EQ(Receive(pair_.ours(), &buffers[0], 1), 0);
  ExpectEnd(&buffers[0], 1);
}

TEST_F(Transfers, AChildHasNone) {
  char buffer;
  ASSERT_EQ(Receive(pair_.ours(), &buffer, 1), 0);
  const pid_t child = fork();
  if (child == 0) {
    pair_.Put("c");
    ukevent event;
    const timespec now = {0, 0};
    const bool none = kevent_get_events(queue_.fd(), 1, 1, &now, &event, 0) <= 0;
    _exit(none ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  ExpectEnd(&buffer, 1);
}

TEST_F(Transfers, TheQueueIsClosedWithTransfersInFlight) {
  for (int round = 0; round < 3; ++round) {
    Queue other;
    std::vector<std::unique_ptr<char>> buffers;
    for (int i = 0; i < 30'000; ++i) {
      buffers.push_back(std::make_unique<char>());
      ASSERT_EQ(kevent_aio_recv(other.fd(), pair_.ours(), buffers.back().get(), 1, 0), 0);
    }
  }
}

// The records that its transfers had are there for asynchronous I/O, too.
TEST_F(Transfers, AClosedQueueKeepsNoRecords) {
  const TemporaryFile file;
  file.Write("text");
  char bytes[2];
  {
    const Queue other;
    while (kevent_aio_recv(other.fd(), pair_.ours(), &bytes[0], 1, 0) == 0) continue;
    ASSERT_EQ(errno, EAGAIN);
  }
  aiocb control = {};
  control.aio_fildes = file.fd();
  control.aio_buf = &bytes[1];
  control.aio_nbytes = 1;
  control.aio_sigevent.sigev_notify = SIGEV_KEVENT;
  control.aio_sigevent.sigev_kevent_fd = queue_.fd();
  ASSERT_EQ(kevent_aio_read(&control), 0) << std::strerror(errno);
  ukevent event;
  ASSERT_EQ(kevent_get_events(queue_.fd(), 1, 1, nullptr, &event, 0), 1);
  EXPECT_EQ(event.type, static_cast<uint32_t>(KEVENT_AIO));
}

TEST_F(Transfers, AsManyAsThereAreRecords) {
  char buffer;
  int count = 0;
  while (Receive(pair_.ours(), &buffer, 1) == 0) ++count;
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_EQ(count, 65'536);
  EXPECT_EQ(kevent_cancel_transfers(queue_.fd(), pair_.ours(), nullptr), AIO_CANCELED);
  std::array<ukevent, 256> events;
  for (int got = 0; got < count;) {
    got += kevent_get_events(queue_.fd(), 1, events.size(), nullptr, events.data(), 0);
  }
  ExpectNone();
}

class Files : public Transfers, public testing::WithParamInterface<int> {
 protected:
  Files() { fcntl(pair_.ours(), F_SETFL, GetParam()); }
};

TEST_P(Files, AreSentWhole) {
  const std::string text = Pattern(6 << 20);
  const TemporaryFile file;
  file.Write(text);
  const int kept = dup(file.fd());
  ASSERT_EQ(kevent_aio_sendfile(queue_.fd(), pair_.ours(), kept, 0, text.size()), 0);
  close(kept);
  ASSERT_EQ(kevent_aio_sendfile(queue_.fd(), pair_.ours(), file.fd(), 100, 50), 0);
  const pid_t child = fork();
  if (child == 0) {
    _exit(pair_.Get(text.size()) == text && pair_.Get(50) == text.substr(100, 50) ? 0 : 1);
  }
  ExpectEnd(nullptr, text.size());
  ExpectEnd(nullptr, 50);
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_P(Files, EndWithTheFile) {
  const TemporaryFile file;
  file.Write("text");
  ASSERT_EQ(kevent_aio_sendfile(queue_.fd(), pair_.ours(), file.fd(), 1, 1 << 30), 0);
  ExpectEnd(nullptr, 3);
  EXPECT_EQ(pair_.Get(3), "ext");
  EXPECT_EQ(lseek(file.fd(), 0, SEEK_CUR), 0);
}

// The last part is less than was asked for, though the socket is not full.
TEST_P(Files, EndWithTheFileInALoop) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(listen(listener, 1), 0);
  ASSERT_EQ(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size), 0);
  const int theirs = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_EQ(connect(theirs, reinterpret_cast<sockaddr*>(&address), size), 0);
  const int ours = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
  fcntl(ours, F_SETFL, GetParam());
  const int loop = epoll_create1(EPOLL_CLOEXEC);
  epoll_event event = {EPOLLIN | EPOLLET, {}};
  ASSERT_EQ(epoll_ctl(loop, EPOLL_CTL_ADD, queue_.fd(), &event), 0);
  const TemporaryFile file;
  file.Write("text");
  const std::string before = Pattern(8 << 20);
  ASSERT_EQ(Send(ours, before), 0);
  ASSERT_EQ(kevent_aio_sendfile(queue_.fd(), ours, file.fd(), 0, 1000), 0);
  std::thread reader([theirs, bytes = before.size() + 4] {
    std::string part(1 << 20, '\0');
    for (size_t got = 0; got < bytes;) {
      const ssize_t count = read(theirs, part.data(), part.size());
      ASSERT_GT(count, 0);
      got += static_cast<size_t>(count);
    }
  });
  for (int ended = 0; ended != 2;) {
    ukevent events[4];
    ASSERT_EQ(epoll_wait(loop, &event, 1, -1), 1);
    ended += kevent_get_events(queue_.fd(), 0, 4, nullptr, events, 0);
  }
  reader.join();
  for (const int fd : {loop, ours, theirs, listener}) close(fd);
}

// A file of a disk, of which nothing is in the page cache if the file system lets go of it.
class OnDisk {
 public:
  explicit OnDisk(const std::string& text) : file_(mkostemp(name_.data(), O_CLOEXEC)) {
    EXPECT_GE(file_, 0);
    EXPECT_EQ(write(file_, text.data(), text.size()), static_cast<ssize_t>(text.size()));
    fsync(file_);
    Drop();
  }
  ~OnDisk() {
    unlink(name_.c_str());
    close(file_);
  }
  OnDisk(const OnDisk&) = delete;
  OnDisk& operator=(const OnDisk&) = delete;
  // Reads the first bytes into the page cache, and no others.
  void ReadFirst(size_t bytes) const {
    posix_fadvise(file_, 0, 0, POSIX_FADV_RANDOM);
    std::string first(bytes, '\0');
    EXPECT_EQ(pread(file_, first.data(), bytes, 0), static_cast<ssize_t>(bytes));
  }
  void Drop() const { posix_fadvise(file_, 0, 0, POSIX_FADV_DONTNEED); }
  const char* path() const { return name_.c_str(); }
  // This process's of the file.
  int descriptors() const {
    int count = 0;
    for (const int fd : OpenDescriptors()) {
      struct stat status = {};
      struct stat own = {};
      if (fstat(fd, &status) != 0 || fstat(file_, &own) != 0) continue;
      count += status.st_dev == own.st_dev && status.st_ino == own.st_ino;
    }
    return count;
  }

 private:
  std::string name_ = "/var/tmp/kevent.XXXXXX";
  const int file_;
};

TEST_P(Files, AreReadAhead) {
  const std::string text = Pattern(5 << 20);
  const OnDisk file(text);
  ASSERT_EQ(kevent_aio_sendfile_path(queue_.fd(), pair_.ours(), file.path(), 0, text.size()), 0);
  const pid_t child = fork();
  if (child == 0) _exit(pair_.Get(text.size()) == text ? 0 : 1);
  ExpectEnd(file.path(), text.size());
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

// kevent_ctl may harvest, too.  A program that only polls the descriptor calls nothing until the
// file's next part was read.
TEST_P(Files, GoOnInACallThatTakesAKeventBack) {
  const std::string text = Pattern(8 << 20);
  const OnDisk file(text);
  file.ReadFirst(size_t{1} << 16);
  std::string filler(1 << 20, 'f');
  size_t put = 0;
  for (ssize_t count; (count = send(pair_.ours(), filler.data(), filler.size(), MSG_DONTWAIT)) > 0;)
    put += static_cast<size_t>(count);
  ASSERT_EQ(kevent_aio_sendfile_path(queue_.fd(), pair_.ours(), file.path(), 0, text.size()), 0);
  ukevent request = {};
  request.type = KEVENT_UNOTIFY;
  request.event = KEVENT_MASK_ALL;
  ASSERT_EQ(kevent_ctl(queue_.fd(), KEVENT_CTL_ADD, 1, &request), 0);
  ASSERT_EQ(kevent_ctl(queue_.fd(), KEVENT_CTL_READY, 1, &request), 1);
  std::thread reader([&] {
    EXPECT_EQ(pair_.Get(put).size(), put);
    EXPECT_EQ(pair_.Get(text.size()), text);
  });
  pollfd writable = {pair_.ours(), POLLOUT, 0};
  ASSERT_EQ(poll(&writable, 1, -1), 1);
  ASSERT_EQ(kevent_ctl(queue_.fd(), KEVENT_CTL_REMOVE, 1, &request), 0);
  ukevent event = {};
  while (event.type != KEVENT_NAIO) {
    pollfd readable = {queue_.fd(), POLLIN, 0};
    ASSERT_EQ(poll(&readable, 1, -1), 1);
    kevent_get_events(queue_.fd(), 0, 1, nullptr, &event, 0);
  }
  EXPECT_EQ(event.ret_data[0], text.size());
  reader.join();
}

// Until the other side takes more, the pages that were there leave the page cache.
TEST_P(Files, WhosePagesLeaveAreReadAnew) {
  const std::string text = Pattern(3 << 20);
  const OnDisk file(text);
  file.ReadFirst(text.size());
  ASSERT_EQ(kevent_aio_sendfile_path(queue_.fd(), pair_.ours(), file.path(), 0, text.size()), 0);
  ukevent event = {};
  for (size_t got = 0; got < text.size();) {
    file.Drop();
    std::string part(65'536, '\0');
    const ssize_t count = recv(pair_.theirs(), part.data(), part.size(), MSG_DONTWAIT);
    if (count > 0) {
      EXPECT_EQ(part.substr(0, static_cast<size_t>(count)),
                text.substr(got, static_cast<size_t>(count)));
      got += static_cast<size_t>(count);
    }
    kevent_get_events(queue_.fd(), 0, 1, nullptr, &event, 0);
  }
  if (event.type == 0) event = Next();
  EXPECT_EQ(event.ret_data[0], text.size());
  EXPECT_EQ(event.ret_data[1], 0u);
}

enum class Ended { kCancelled, kSocketClosed, kOtherSideClosed };

TEST_P(Files, EndWhileTheyAreRead) {
  const std::string text = Pattern(3 << 20);
  for (int round = 0; round < 10; ++round) {
    for (const Ended how : {Ended::kCancelled, Ended::kSocketClosed, Ended::kOtherSideClosed}) {
      const OnDisk file(text);
      Pair pair;
      fcntl(pair.ours(), F_SETFL, GetParam());
      ASSERT_EQ(kevent_aio_sendfile_path(queue_.fd(), pair.ours(), file.path(), 0, text.size()), 0);
      if (how == Ended::kCancelled) kevent_cancel_transfers(queue_.fd(), pair.ours(), nullptr);
      if (how == Ended::kOtherSideClosed) pair.CloseTheirs();
      if (how == Ended::kSocketClosed) {
        close(pair.ends[0]);
        pair.ends[0] = -1;
      }
      const int error = how == Ended::kOtherSideClosed ? EPIPE : ECANCELED;
      EXPECT_EQ(Next().ret_data[1], static_cast<uint32_t>(error));
    }
  }
  ExpectNone();
}

// Records come back when the readers have ended.
TEST_P(Files, NothingIsLeftOfAClosedQueue) {
  const std::string text = Pattern(3 << 20);
  const OnDisk file(text);
  for (int round = 0; round < 30; ++round) {
    file.Drop();
    const Queue other;
    const Pair pair;
    fcntl(pair.ours(), F_SETFL, GetParam());
    for (int i = 0; i < 3; ++i) {
      ASSERT_EQ(kevent_aio_sendfile_path(other.fd(), pair.ours(), file.path(), 0, text.size()), 0);
    }
  }
  EXPECT_EQ(file.descriptors(), 1);
  char buffer;
  int count = 0;
  while (count < 65'536) {
    if (Receive(pair_.ours(), &buffer, 1) == 0) {
      ++count;
    } else {
      ASSERT_EQ(errno, EAGAIN);
      std::this_thread::yield();
    }
  }
}

INSTANTIATE_TEST_SUITE_P(BySockets, Files, testing::Values(0, O_NONBLOCK));

}  // namespace
}  // namespace kevent_test
