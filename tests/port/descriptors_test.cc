// SPDX-License-Identifier: MIT
//
// PORT_SOURCE_FD: port_associate(3C), port_dissociate(3C) of illumos, and what libevent, libev,
// libuv and nginx rely on.

#include <poll.h>
#include <sys/socket.h>

#include "tests/port/ports.h"

namespace port_test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

TEST(Descriptors, AreReportedWhenSomethingComes) {
  const Port port;
  const Pipe pipe;
  EXPECT_EQ(Associate(port, pipe.out.fd(), POLLIN, 7), 0);
  EXPECT_TRUE(port_test::IsEmpty(port));
  pipe.Write();
  EXPECT_THAT(Get(port), IsEvent(PORT_SOURCE_FD, pipe.out.fd(), POLLIN, 7));
}

TEST(Descriptors, AreReportedAtOnceIfTheyAreReady) {
  const Port port;
  const Pipe pipe;
  pipe.Write();
  EXPECT_EQ(Associate(port, pipe.out.fd(), POLLIN, 7), 0);
  EXPECT_THAT(GetReady(port), ElementsAre(IsEvent(PORT_SOURCE_FD, pipe.out.fd(), POLLIN, 7)));
}

TEST(Descriptors, AreNoLongerAssociatedWhenTheirEventWasRetrieved) {
  const Port port;
  const Pipe pipe;
  pipe.Write();
  EXPECT_EQ(Associate(port, pipe.out.fd(), POLLIN), 0);
  Get(port);
  pipe.Write();
  EXPECT_TRUE(port_test::IsEmpty(port));
  EXPECT_EQ(Dissociate(port, pipe.out.fd()), ENOENT);
  EXPECT_EQ(Associate(port, pipe.out.fd(), POLLIN, 8), 0);
  EXPECT_THAT(Get(port), IsEvent(PORT_SOURCE_FD, pipe.out.fd(), POLLIN, 8));
}

TEST(Descriptors, HaveOneEventHoweverMuchComes) {
  const Port port;
  const Pipe pipe;
  EXPECT_EQ(Associate(port, pipe.out.fd(), POLLIN), 0);
  for (int i = 0; i < 10; ++i) pipe.Write();
  EXPECT_EQ(GetReady(port).size(), 1u);
  EXPECT_TRUE(port_test::IsEmpty(port));
}

// epoll does not take such a file.
TEST(Descriptors, OfRegularFilesEndWithTheirClose) {
  const Port port;
  const auto open_file = [] { return open("/proc/self/exe", O_RDONLY | O_CLOEXEC); };
  const int file = open_file();
  for (const int events : {POLLIN, POLLPRI}) {
    EXPECT_EQ(Associate(port, file, events, 7), 0);
    close(file);
    EXPECT_TRUE(port_test::IsEmpty(port));
    ASSERT_EQ(open_file(), file);
    EXPECT_EQ(Associate(port, file, events, 8), 0);
    close(file);
    ASSERT_EQ(open_file(), file);
    EXPECT_EQ(Dissociate(port, file), ENOENT);
    EXPECT_TRUE(port_test::IsEmpty(port));
  }
  close(file);
}

TEST(Descriptors, HaveEventsAndUserReplaced) {
  const Port port;
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  const Descriptor one(ends[0]);
  const Descriptor other(ends[1]);
  EXPECT_EQ(Associate(port, one.fd(), POLLIN, 1), 0);
  EXPECT_EQ(Associate(port, one.fd(), POLLOUT, 2), 0);
  EXPECT_THAT(GetReady(port), ElementsAre(IsEvent(PORT_SOURCE_FD, one.fd(), POLLOUT, 2)));
}

// An event of the former association that was not retrieved is withdrawn with it.
TEST(Descriptors, HaveAReadyEventReplaced) {
  const Port port;
  const Pipe pipe;
  pipe.Write();
  EXPECT_EQ(Associate(port, pipe.out.fd(), POLLIN, 1), 0);
  EXPECT_EQ(Associate(port, pipe.out.fd(), POLLPRI, 2), 0);
  EXPECT_TRUE(port_test::IsEmpty(port));
  EXPECT_EQ(Associate(port, pipe.out.fd(), POLLIN, 3), 0);
  EXPECT_THAT(GetReady(port), ElementsAre(IsEvent(PORT_SOURCE_FD, pipe.out.fd(), POLLIN, 3)));
}

TEST(Descriptors, AreAssociatedAnewWhenTheNumberIsAnotherFiles) {
  const Port port;
  const Pipe other;
  other.Write();
  auto pipe = std::make_unique<Pipe>();
  const int number = pipe->out.fd();
  EXPECT_EQ(Associate(port, number, POLLIN, 1), 0);
  pipe.reset();
  const Descriptor again(fcntl(other.out.fd(), F_DUPFD_CLOEXEC, number));
  ASSERT_EQ(again.fd(), number);
  EXPECT_TRUE(port_test::IsEmpty(port));
  EXPECT_EQ(Associate(port, number, POLLIN, 2), 0);
  EXPECT_THAT(GetReady(port), ElementsAre(IsEvent(PORT_SOURCE_FD, number, POLLIN, 2)));
}

// As poll(2) has it, regular files are always ready; their numbers come again, too.
TEST(Descriptors, OfRegularFilesAreReadyAndCanBeReused) {
  const Port port;
  Descriptor file(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  const int number = file.fd();
  EXPECT_EQ(Associate(port, number, POLLIN | POLLOUT, 1), 0);
  EXPECT_THAT(GetReady(port), ElementsAre(IsEvent(PORT_SOURCE_FD, number, POLLIN | POLLOUT, 1)));
  EXPECT_EQ(Associate(port, number, POLLIN, 2), 0);
  file.Close();
  const Pipe pipe;
  const Descriptor again(fcntl(pipe.out.fd(), F_DUPFD_CLOEXEC, number));
  if (again.fd() == number) {
    EXPECT_EQ(Associate(port, number, POLLIN, 3), 0);
    EXPECT_TRUE(port_test::IsEmpty(port));
    pipe.Write();
  } else {
    ASSERT_EQ(pipe.out.fd(), number);
    EXPECT_EQ(Associate(port, number, POLLIN, 3), 0);
    EXPECT_TRUE(port_test::IsEmpty(port));
    pipe.Write();
  }
  EXPECT_THAT(GetReady(port), ElementsAre(IsEvent(PORT_SOURCE_FD, number, POLLIN, 3)));
}

TEST(Descriptors, ReportHangUpUnasked) {
  const Port port;
  Pipe pipe;
  EXPECT_EQ(Associate(port, pipe.out.fd(), 0, 1), 0);
  pipe.Write();
  EXPECT_TRUE(port_test::IsEmpty(port));
  pipe.in.Close();
  EXPECT_THAT(GetReady(port), ElementsAre(IsEvent(PORT_SOURCE_FD, pipe.out.fd(), POLLHUP, 1)));
}

TEST(Descriptors, ReportErrorsUnasked) {
  const Port port;
  Pipe pipe;
  pipe.out.Close();
  EXPECT_EQ(Associate(port, pipe.in.fd(), POLLIN, 1), 0);
  EXPECT_THAT(GetReady(port), ElementsAre(IsEvent(PORT_SOURCE_FD, pipe.in.fd(), POLLERR, 1)));
}

// nginx logs anything else as strange.
TEST(Descriptors, ReportNothingBeyondWhatWasAsked) {
  const Port port;
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  const Descriptor one(ends[0]);
  Descriptor other(ends[1]);
  ASSERT_EQ(write(other.fd(), "x", 1), 1);
  EXPECT_EQ(shutdown(other.fd(), SHUT_WR), 0);
  EXPECT_EQ(Associate(port, one.fd(), POLLIN, 1), 0);
  EXPECT_THAT(GetReady(port), ElementsAre(IsEvent(PORT_SOURCE_FD, one.fd(), POLLIN, 1)));
  EXPECT_EQ(Associate(port, one.fd(), POLLIN | POLLRDNORM, 1), 0);
  EXPECT_THAT(GetReady(port),
              ElementsAre(IsEvent(PORT_SOURCE_FD, one.fd(), POLLIN | POLLRDNORM, 1)));
}

TEST(Descriptors, AreAskedAgainWhenTheirEventIsRetrieved) {
  const Port port;
  const Pipe pipe;
  EXPECT_EQ(Associate(port, pipe.out.fd(), POLLIN, 1), 0);
  pipe.Write();
  pipe.Read();
  EXPECT_TRUE(port_test::IsEmpty(port));
  EXPECT_EQ(Dissociate(port, pipe.out.fd()), 0);
}

TEST(Descriptors, AreDissociated) {
  const Port port;
  const Pipe pipe;
  EXPECT_EQ(Associate(port, pipe.out.fd(), POLLIN), 0);
  EXPECT_EQ(Dissociate(port, pipe.out.fd()), 0);
  pipe.Write();
  EXPECT_TRUE(port_test::IsEmpty(port));
  EXPECT_EQ(Dissociate(port, pipe.out.fd()), ENOENT);
}

TEST(Descriptors, HaveAReadyEventWithdrawnWhenTheyAreDissociated) {
  const Port port;
  const Pipe pipe;
  pipe.Write();
  EXPECT_EQ(Associate(port, pipe.out.fd(), POLLIN), 0);
  EXPECT_EQ(Dissociate(port, pipe.out.fd()), 0);
  EXPECT_TRUE(port_test::IsEmpty(port));
}

TEST(Descriptors, AreDissociatedByClose) {
  const Port port;
  Pipe pipe;
  pipe.Write();
  EXPECT_EQ(Associate(port, pipe.out.fd(), POLLIN), 0);
  const int number = pipe.out.fd();
  pipe.out.Close();
  EXPECT_TRUE(port_test::IsEmpty(port));
  // libevent takes EBADFD for a descriptor that the program has closed.
  EXPECT_EQ(Dissociate(port, number), EBADFD);
}

TEST(Descriptors, OfSeveralPortsHaveAnEventInEach) {
  const Port one;
  const Port other;
  const Pipe pipe;
  EXPECT_EQ(Associate(one, pipe.out.fd(), POLLIN, 1), 0);
  EXPECT_EQ(Associate(other, pipe.out.fd(), POLLIN, 2), 0);
  pipe.Write();
  EXPECT_THAT(Get(one), IsEvent(PORT_SOURCE_FD, pipe.out.fd(), POLLIN, 1));
  EXPECT_THAT(Get(other), IsEvent(PORT_SOURCE_FD, pipe.out.fd(), POLLIN, 2));
}

TEST(Descriptors, MayBeThoseOfOtherPorts) {
  const Port outer;
  const Port inner;
  EXPECT_EQ(Associate(outer, inner.fd(), POLLIN, 5), 0);
  EXPECT_TRUE(port_test::IsEmpty(outer));
  EXPECT_EQ(port_send(inner.fd(), 1, nullptr), 0);
  EXPECT_THAT(Get(outer), IsEvent(PORT_SOURCE_FD, inner.fd(), POLLIN, 5));
  EXPECT_THAT(Get(inner), IsEvent(PORT_SOURCE_USER, 0u, 1, 0));
  EXPECT_EQ(Associate(outer, inner.fd(), POLLIN, 5), 0);
  EXPECT_TRUE(port_test::IsEmpty(outer));
}

TEST(Descriptors, OfAPortCannotBeInsideIt) {
  const Port port;
  EXPECT_EQ(Associate(port, port.fd(), POLLIN), ELOOP);
}

TEST(Descriptors, ThatAreManyHaveAnEventEach) {
  const Port port;
  std::vector<Pipe> pipes(200);
  for (size_t i = 0; i < pipes.size(); ++i) {
    EXPECT_EQ(Associate(port, pipes[i].out.fd(), POLLIN, i + 1), 0);
    pipes[i].Write();
  }
  std::set<uintptr_t> users;
  while (users.size() < pipes.size()) {
    const Got got = GetN(port.fd(), 1, 16, std::nullopt);
    ASSERT_EQ(got.error, 0);
    for (const uintptr_t user : Users(got.events)) EXPECT_TRUE(users.insert(user).second) << user;
  }
  EXPECT_TRUE(port_test::IsEmpty(port));
}

// ---- Bad input -------------------------------------------------------------

TEST(DescriptorErrors, OfThePort) {
  const Pipe pipe;
  const auto object = static_cast<uintptr_t>(pipe.out.fd());
  const int closed = fcntl(pipe.out.fd(), F_DUPFD_CLOEXEC, 900);
  close(closed);
  for (const int port : {-1, closed, 1 << 24}) {
    EXPECT_EQ(Error([&] { return port_associate(port, PORT_SOURCE_FD, object, POLLIN, nullptr); }),
              EBADF);
    EXPECT_EQ(Error([&] { return port_dissociate(port, PORT_SOURCE_FD, object); }), EBADF);
    EXPECT_EQ(Error([&] { return port_associate(port, 99, object, POLLIN, nullptr); }), EBADF);
  }
  const int no_port = pipe.in.fd();
  EXPECT_EQ(Error([&] { return port_associate(no_port, PORT_SOURCE_FD, object, POLLIN, nullptr); }),
            EBADFD);
  EXPECT_EQ(Error([&] { return port_dissociate(no_port, PORT_SOURCE_FD, object); }), EBADFD);
}

// A queue of kevent_init is no port.
TEST(DescriptorErrors, OfAQueueThatIsNoPort) {
  const Descriptor made(kevent_init(nullptr, 0, 0));
  // A number that was no port before.
  const Descriptor queue(fcntl(made.fd(), F_DUPFD_CLOEXEC, 500));
  const Pipe pipe;
  EXPECT_EQ(Error([&] {
              return port_associate(queue.fd(), PORT_SOURCE_FD,
                                    static_cast<uintptr_t>(pipe.out.fd()), POLLIN, nullptr);
            }),
            EBADFD);
  EXPECT_EQ(Error([&] { return port_send(queue.fd(), 1, nullptr); }), EBADFD);
}

TEST(DescriptorErrors, OfTheObject) {
  const Port port;
  Pipe pipe;
  const int closed = pipe.out.fd();
  pipe.out.Close();
  for (const uintptr_t object :
       {static_cast<uintptr_t>(closed), uintptr_t{1} << 24, uintptr_t{1} << 40, UINTPTR_MAX}) {
    EXPECT_EQ(
        Error([&] { return port_associate(port.fd(), PORT_SOURCE_FD, object, POLLIN, nullptr); }),
        EBADFD);
    EXPECT_EQ(Error([&] { return port_dissociate(port.fd(), PORT_SOURCE_FD, object); }), EBADFD);
  }
}

TEST(DescriptorErrors, OfTheSource) {
  const Port port;
  const Pipe pipe;
  const auto object = static_cast<uintptr_t>(pipe.out.fd());
  for (const int source : {-1, 0, PORT_SOURCE_AIO, PORT_SOURCE_TIMER, PORT_SOURCE_USER,
                           PORT_SOURCE_ALERT, PORT_SOURCE_MQ, 8}) {
    EXPECT_EQ(Error([&] { return port_associate(port.fd(), source, object, POLLIN, nullptr); }),
              EINVAL);
    EXPECT_EQ(Error([&] { return port_dissociate(port.fd(), source, object); }), EINVAL);
  }
}

// poll(2) ignores bits that it does not know.
TEST(DescriptorErrors, UnknownEventsAreIgnored) {
  const Port port;
  const Pipe pipe;
  pipe.Write();
  EXPECT_EQ(Associate(port, pipe.out.fd(), POLLIN | 0x40000000, 1), 0);
  EXPECT_THAT(GetReady(port), ElementsAre(IsEvent(PORT_SOURCE_FD, pipe.out.fd(), POLLIN, 1)));
}

}  // namespace
}  // namespace port_test
