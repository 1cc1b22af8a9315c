// SPDX-License-Identifier: MIT
//
// Closing against transferring: a socket whose number becomes another's, at any instruction of the
// call that does its transfer, has the transfer end once, and the other socket keeps its bytes.

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <tuple>

#include "tests/concurrency/every_instruction/stepper.h"
#include "tests/support/queue.h"

namespace kevent_test {
namespace {

class Pair {
 public:
  Pair() { EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends_.data()), 0); }
  ~Pair() {
    for (const int end : ends_) close(end);
  }
  Pair(const Pair&) = delete;
  Pair& operator=(const Pair&) = delete;
  int ours() const { return ends_[0]; }
  // Nobody may have the other end any more.
  void Put(char byte) const { std::ignore = send(ends_[1], &byte, 1, MSG_NOSIGNAL); }

 private:
  std::array<int, 2> ends_;
};

char Next(int socket) {
  char byte = '?';
  EXPECT_EQ(recv(socket, &byte, 1, MSG_DONTWAIT), 1);
  return byte;
}

class Transferring : public SteppedTest {};

TEST_F(Transferring, TheNumberBecomesAnothersWhileItIsReceived) {
  for (Stepper stepper(Intruder::kSignalHandler); stepper.Next();) {
    const Queue queue;
    const Pair pair;
    const Pair strangers;
    char byte = '?';
    ASSERT_EQ(kevent_aio_recv(queue.fd(), pair.ours(), &byte, 1, 0), 0);
    pair.Put('o');
    strangers.Put('s');
    ukevent event = {};
    int count = 0;
    stepper.Run([&] { count = kevent_get_events(queue.fd(), 0, 1, nullptr, &event, 0); },
                [&] { dup2(strangers.ours(), pair.ours()); });
    if (count == 0) count = kevent_get_events(queue.fd(), 1, 1, nullptr, &event, 0);
    ASSERT_EQ(count, 1);
    if (event.ret_data[1] == 0) {
      EXPECT_EQ(event.ret_data[0], 1u);
      EXPECT_EQ(byte, 'o');
    } else {
      EXPECT_EQ(event.ret_data[1], static_cast<uint32_t>(ECANCELED));
      EXPECT_EQ(byte, '?');
    }
    if (stepper.interrupted()) {
      EXPECT_EQ(Next(pair.ours()), 's');
    }
    EXPECT_EQ(kevent_get_events(queue.fd(), 0, 1, nullptr, &event, 0), 0);
  }
}

// What the call itself does with the number is the program's affair; it ends once all the same.
TEST_F(Transferring, TheNumberBecomesAnothersWhileATransferBegins) {
  for (Stepper stepper(Intruder::kSignalHandler); stepper.Next();) {
    const Queue queue;
    const Pair pair;
    const Pair strangers;
    char byte = '?';
    int begun = -1;
    stepper.Run([&] { begun = kevent_aio_recv(queue.fd(), pair.ours(), &byte, 1, 0); },
                [&] { dup2(strangers.ours(), pair.ours()); });
    ASSERT_EQ(begun, 0);
    pair.Put('o');
    strangers.Put('s');
    ukevent event = {};
    ASSERT_EQ(kevent_get_events(queue.fd(), 1, 1, nullptr, &event, 0), 1);
    const bool is_strangers = event.ret_data[1] == 0 && byte == 's';
    const bool is_ours = event.ret_data[1] == 0 && byte == 'o' && !stepper.interrupted();
    const bool is_lost = event.ret_data[1] == ECANCELED && stepper.interrupted();
    EXPECT_TRUE(is_strangers || is_ours || is_lost) << event.ret_data[1] << byte;
    EXPECT_EQ(kevent_get_events(queue.fd(), 0, 1, nullptr, &event, 0), 0);
  }
}

}  // namespace
}  // namespace kevent_test
