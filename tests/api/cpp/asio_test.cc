// SPDX-License-Identifier: MIT
//
// A queue in an io_context of Asio (kevent/loops/asio.hpp), where the library is there.

#include <gtest/gtest.h>

// Asio has fences, of which TSan knows nothing, as gcc says.
#if __has_include(<asio.hpp>) && !defined(__SANITIZE_THREAD__)

#include <unistd.h>

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

// A queue whose number is closed, while another one keeps it open, cannot be collected any more.
TEST(Asio, CeasesWithTheNumberOfItsQueue) {
  const kevent_test::Watchdog watchdog;
  asio::io_context context;
  const int queue = kevent_init(nullptr, 0, 0);
  const int copy = dup(queue);
  ukevent ready = {};
  ready.type = KEVENT_UNOTIFY;
  ready.event = KEVENT_UNOTIFY_EVENT;
  ready.req_flags = KEVENT_REQ_READY;
  ASSERT_EQ(kevent_ctl(queue, KEVENT_CTL_ADD, 1, &ready), 0);
  const kevent::loops::AsioSource source(context, queue, [](std::span<ukevent>) { ADD_FAILURE(); });
  close(queue);
  EXPECT_EQ(context.run(), 1U);
  close(copy);
}

}  // namespace

#else

TEST(Asio, IsNotHere) { GTEST_SKIP() << "there is no <asio.hpp>"; }

#endif
