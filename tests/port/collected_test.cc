// SPDX-License-Identifier: MIT
//
// Objects that are associated again when a thread has collected their event, and has yet to
// retrieve it.

#include <poll.h>

#include "tests/port/ports.h"
#include "tests/support/collecting_gate.h"

namespace port_test {
namespace {

// The new association has an event of its own, which is not lost when it is put back.
TEST(Collected, LeavesTheNextAssociationItsEvent) {
  const Port port;
  const Pipe pipe;
  pipe.Write();
  EXPECT_EQ(Associate(port, pipe.out.fd(), POLLIN, 1), 0);
  ChangeWhenCollected([&] { EXPECT_EQ(GetReady(port).size(), 1u); },
                      [&] { EXPECT_EQ(Associate(port, pipe.out.fd(), POLLIN, 1), 0); });
  unsigned count = 0;
  EXPECT_EQ(Error([&] { return port_getn(port.fd(), nullptr, 0, &count, nullptr); }), 0);
  EXPECT_EQ(count, 1u);
  EXPECT_THAT(GetReady(port),
              testing::ElementsAre(IsEvent(PORT_SOURCE_FD, pipe.out.fd(), POLLIN, 1)));
  EXPECT_TRUE(IsEmpty(port));
  EXPECT_EQ(Dissociate(port, pipe.out.fd()), ENOENT);
}

// The event is put back, and its number is a stranger's by now.
TEST(Collected, AssociatesNoFileThatHasTheNumberLater) {
  const Port port;
  const Pipe next;
  next.Write();
  const int number = fcntl(next.out.fd(), F_DUPFD_CLOEXEC, 100);
  EXPECT_EQ(Associate(port, number, POLLIN, 1), 0);
  ChangeWhenCollected(
      [&] {
        unsigned count = 0;
        port_getn(port.fd(), nullptr, 0, &count, nullptr);
      },
      [&] {
        close(number);
        EXPECT_EQ(fcntl(next.out.fd(), F_DUPFD_CLOEXEC, number), number);
      });
  EXPECT_TRUE(IsEmpty(port));
  close(number);
}

}  // namespace
}  // namespace port_test
