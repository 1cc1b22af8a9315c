// SPDX-License-Identifier: MIT
//
// A queue in an io_context of Asio (kevent/loops/asio.hpp), where the library is there.

#include <gtest/gtest.h>

// Asio has fences, of which TSan knows nothing, as gcc says.
#if __has_include(<asio.hpp>) && !defined(__SANITIZE_THREAD__)

#include <asio.hpp>
#include <kevent/kevent.hpp>
#include <kevent/loops/asio.hpp>
#include <span>

#include "tests/support/watchdog.h"

namespace {

TEST(Asio, GoesOnAfterAnException) {
  const kevent_test::Watchdog watchdog;
  asio::io_context context;
  const kevent::Queue queue;
  const kevent::UserEvent event(queue, nullptr);
  int batches = 0;
  const kevent::loops::AsioSource source(context, queue.fd(), [&](std::span<ukevent> events) {
    EXPECT_EQ(events.size(), 1U);
    if (++batches == 1) throw 1;
  });
  event.notify();
  EXPECT_THROW(context.run_one(), int);
  event.notify();
  context.run_one();
  EXPECT_EQ(batches, 2);
}

}  // namespace

#else

TEST(Asio, IsNotHere) { GTEST_SKIP() << "there is no <asio.hpp>"; }

#endif
