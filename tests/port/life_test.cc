// SPDX-License-Identifier: MIT
//
// The life of a port: port_create(3C) of illumos, duplicates, close, fork.

#include <poll.h>
#include <sys/resource.h>

#include "tests/port/ports.h"
#include "tests/support/process.h"
#include "tests/support/threads.h"

namespace port_test {
namespace {

using testing::ElementsAre;

TEST(Life, BeginsWithADescriptorThatIsClosedByExec) {
  const Port port;
  EXPECT_NE(fcntl(port.fd(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST(Life, LeavesNoDescriptorBehind) {
  const std::set<int> before = OpenDescriptors();
  for (int i = 0; i < 100; ++i) {
    Port port;
    const Pipe pipe;
    EXPECT_EQ(Associate(port, pipe.out.fd(), POLLIN), 0);
    EXPECT_EQ(port_send(port.fd(), 1, nullptr), 0);
  }
  EXPECT_EQ(OpenDescriptors(), before);
}

TEST(Life, FailsWithoutDescriptors) {
  rlimit limit;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  const std::set<int> before = OpenDescriptors();
  const int lowest = dup(0);
  close(lowest);
  const rlimit less = {static_cast<rlim_t>(lowest), limit.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &less), 0);
  EXPECT_EQ(Error([] { return port_create(); }), EMFILE);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_EQ(OpenDescriptors(), before);
}

TEST(Life, IsOneForADuplicate) {
  Port port;
  const Descriptor copy(fcntl(port.fd(), F_DUPFD_CLOEXEC, 0));
  EXPECT_EQ(port_send(copy.fd(), 1, Cookie(1)), 0);
  EXPECT_THAT(Get(port), IsEvent(PORT_SOURCE_USER, 0u, 1, 1));
  port.Close();
  EXPECT_EQ(port_send(copy.fd(), 2, Cookie(2)), 0);
  EXPECT_THAT(GetN(copy.fd(), 1, 4, 0).events, ElementsAre(IsEvent(PORT_SOURCE_USER, 0u, 2, 2)));
}

TEST(Life, OfADuplicateThatWasNotUsedYetGoesOnWhenOthersAreMade) {
  Port port;
  const Descriptor copy(fcntl(port.fd(), F_DUPFD_CLOEXEC, 0));
  port.Close();
  { const Port other; }
  EXPECT_EQ(Error([&] { return port_send(copy.fd(), 2, Cookie(2)); }), 0);
  EXPECT_THAT(GetN(copy.fd(), 1, 4, 0).events, ElementsAre(IsEvent(PORT_SOURCE_USER, 0u, 2, 2)));
}

// What is no event of the queue's is kept, too.
TEST(Life, OfADuplicateThatWasNotUsedYetKeepsItsAlert) {
  Port port;
  const Descriptor copy(fcntl(port.fd(), F_DUPFD_CLOEXEC, 50));
  ASSERT_EQ(port_alert(port.fd(), PORT_ALERT_SET, 3, Cookie(4)), 0);
  port.Close();
  const Port other;
  EXPECT_THAT(GetN(copy.fd(), 1, 4, 0).events, ElementsAre(IsEvent(PORT_SOURCE_ALERT, 0u, 3, 4)));
}

TEST(Life, OfANumberThatBecomesAnotherPortsIsTheOthers) {
  Port one;
  const Port other;
  const Pipe watched;
  const Pipe pipe;
  pipe.Write();
  EXPECT_EQ(Associate(one, watched.out.fd(), POLLIN), 0);
  ASSERT_EQ(dup2(other.fd(), one.fd()), one.fd());
  EXPECT_EQ(Associate(one, pipe.out.fd(), POLLIN, 1), 0);
  EXPECT_EQ(Dissociate(other, pipe.out.fd()), 0);
  EXPECT_EQ(Associate(one, pipe.out.fd(), POLLIN, 2), 0);
  unsigned count = 0;
  EXPECT_EQ(Error([&] { return port_getn(other.fd(), nullptr, 0, &count, nullptr); }), 0);
  EXPECT_EQ(count, 1u);
  EXPECT_THAT(Get(other), IsEvent(PORT_SOURCE_FD, pipe.out.fd(), POLLIN, 2));
}

TEST(Life, EndsWithClose) {
  Port port;
  const int number = port.fd();
  EXPECT_EQ(Error([&] { return port_alert(number, PORT_ALERT_SET, 1, nullptr); }), 0);
  EXPECT_EQ(port_send(number, 1, nullptr), 0);
  port.Close();
  EXPECT_EQ(Error([&] { return port_send(number, 1, nullptr); }), EBADF);
  EXPECT_EQ(Error([&] { return port_associate(number, 99, 0, POLLIN, nullptr); }), EBADF);
  EXPECT_EQ(Error([&] { return port_dissociate(number, PORT_SOURCE_FD, 0); }), EBADF);
  EXPECT_EQ(GetN(number, 1, 1, 0).error, EBADF);
  const Port again;
  ASSERT_EQ(again.fd(), number);
  EXPECT_TRUE(IsEmpty(again));
}

TEST(Life, EndsForANumberThatIsAnotherFiles) {
  Port port;
  const Pipe pipe;
  const int number = port.fd();
  port.Close();
  const Descriptor file(fcntl(pipe.out.fd(), F_DUPFD_CLOEXEC, number));
  ASSERT_EQ(file.fd(), number);
  EXPECT_EQ(Error([&] { return port_send(number, 1, nullptr); }), EBADFD);
  EXPECT_EQ(GetN(number, 1, 1, 0).error, EBADFD);
  EXPECT_EQ(Error([&] { return port_alert(number, PORT_ALERT_SET, 1, nullptr); }), EBADFD);
}

// ---- fork ------------------------------------------------------------------

TEST(Fork, GivesTheChildAnEmptyPortThatWorks) {
  const Port port;
  const Pipe pipe;
  pipe.Write();
  EXPECT_EQ(Associate(port, pipe.out.fd(), POLLIN, 1), 0);
  EXPECT_EQ(port_send(port.fd(), 1, Cookie(2)), 0);
  ExpectChild([&] {
    CHILD_CHECK(GetN(port.fd(), 1, 4, 0).error == ETIME);
    CHILD_CHECK(Associate(port, pipe.out.fd(), POLLIN, 3) == 0);
    const Got got = GetN(port.fd(), 1, 4, 0);
    CHILD_CHECK(got.error == 0 && got.nget == 1 && User(got.events[0]) == 3);
    CHILD_CHECK(port_send(port.fd(), 1, Cookie(4)) == 0);
    CHILD_CHECK(port_alert(port.fd(), PORT_ALERT_SET, 1, nullptr) == 0);
    CHILD_CHECK(GetN(port.fd(), 1, 4, 0).events[0].portev_source == PORT_SOURCE_ALERT);
    CHILD_CHECK(port_alert(port.fd(), PORT_ALERT_SET, 0, nullptr) == 0);
    const Got sent = GetN(port.fd(), 1, 4, 0);
    CHILD_CHECK(sent.nget == 1 && User(sent.events[0]) == 4);
    const int another = port_create();
    CHILD_CHECK(another >= 0);
    CHILD_CHECK(close(another) == 0);
  });
  EXPECT_EQ(GetReady(port).size(), 2u);
}

TEST(Fork, LeavesTheAlertToTheParent) {
  const Port port;
  EXPECT_EQ(Error([&] { return port_alert(port.fd(), PORT_ALERT_SET, 1, nullptr); }), 0);
  ExpectChild([&] { CHILD_CHECK(GetN(port.fd(), 1, 1, 0).error == ETIME); });
  EXPECT_EQ(Get(port).portev_source, PORT_SOURCE_ALERT);
}

TEST(Fork, GivesOnePortToTheNumbersOfOne) {
  const Port port;
  const Descriptor copy(fcntl(port.fd(), F_DUPFD_CLOEXEC, 0));
  EXPECT_EQ(port_send(copy.fd(), 1, nullptr), 0);
  ExpectChild([&] {
    CHILD_CHECK(port_alert(port.fd(), PORT_ALERT_SET, 1, nullptr) == 0);
    CHILD_CHECK(GetN(copy.fd(), 1, 1, 0).error == 0);
  });
}

// While other threads are inside the library.
TEST(Fork, WorksWhileOtherThreadsUsePorts) {
  const Port port;
  std::atomic<bool> stop{false};
  std::vector<std::unique_ptr<Thread>> threads(2);
  for (auto& thread : threads) {
    thread = std::make_unique<Thread>([&] {
      const Pipe pipe;
      while (!stop) {
        Associate(port, pipe.out.fd(), POLLIN);
        port_alert(port.fd(), PORT_ALERT_SET, 1, nullptr);
        port_alert(port.fd(), PORT_ALERT_SET, 0, nullptr);
        const Port other;
        GetReady(port);
      }
    });
  }
  for (int i = 0; i < 20; ++i) {
    ExpectChild([&] {
      CHILD_CHECK(port_send(port.fd(), 1, Cookie(1)) == 0);
      CHILD_CHECK(GetN(port.fd(), 1, 1, std::nullopt).error == 0);
      const int another = port_create();
      CHILD_CHECK(another >= 0);
    });
  }
  stop = true;
}

}  // namespace
}  // namespace port_test
