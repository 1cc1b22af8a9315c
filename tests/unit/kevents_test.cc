// SPDX-License-Identifier: MIT
//
// kevent_ctl and what it registers, on the simulated system: every call that
// can fail is made to fail in turn, and a random life agrees with the model.

#include <sys/inotify.h>

#include <cstring>

#include "core/system.h"
#include "tests/unit/kevent_life.h"

namespace kevent_test {
namespace {

using kevent::core::CloseDescriptor;
using kevent::core::ControlKevents;

class Kevents : public EngineTest {};

TEST_F(Kevents, EveryFailureInTurnLeavesNothingHalfRegistered) {
  const int sockets[] = {Sim().OpenStranger(), Sim().OpenStranger()};
  const kevent_timer_spec spec = {CLOCK_BOOTTIME, 0, {{0, 0}, {1, 0}}};
  std::vector<ukevent> requests = {
      Request(KEVENT_SOCKET, static_cast<uint64_t>(sockets[0]), KEVENT_SOCKET_RECV,
              KEVENT_REQ_ALWAYS_QUEUE, 1),
      Request(KEVENT_SOCKET, static_cast<uint64_t>(sockets[0]), KEVENT_SOCKET_SEND,
              KEVENT_REQ_ALWAYS_QUEUE, 2),
      Request(KEVENT_POLL, static_cast<uint64_t>(sockets[1]), KEVENT_POLL_POLLIN),
      Request(KEVENT_TIMER, 7, KEVENT_TIMER_FIRED | KEVENT_TIMER_SPEC),
      Request(KEVENT_TIMER, 5, KEVENT_TIMER_FIRED),
      Request(KEVENT_PROCESS, 4321, KEVENT_PROCESS_EXIT),
      Request(KEVENT_INODE, static_cast<uint64_t>(sockets[1]), KEVENT_INODE_MODIFY),
      Request(KEVENT_UNOTIFY, 1, KEVENT_UNOTIFY_EVENT),
  };
  const kevent_timer_spec* address = &spec;
  std::memcpy(requests[3].ret_data, &address, sizeof requests[3].ret_data);

  int failed = 0;
  for (int n = 1;; ++n) {
    SCOPED_TRACE(testing::Message() << "failure " << n);
    const size_t before = Sim().open_descriptors();
    const int queue = kevent::core::InitQueue(nullptr, 0, 0);
    Sim().FailCall(n, ENOMEM);
    for (const ukevent& request : requests) {
      const size_t descriptors = Sim().open_descriptors();
      int result = Add(queue, request);
      if (result != 0) {
        ++failed;
        EXPECT_EQ(result, -ENOMEM);
        EXPECT_LE(Sim().open_descriptors(), descriptors + 2);  // what the queue keeps
        result = Add(queue, request);
      }
      EXPECT_EQ(result, 0) << "type " << request.type;
      EXPECT_EQ(Add(queue, request), -EEXIST) << "type " << request.type;
    }
    const bool was_met = !Sim().failure_pending();
    Sim().FailCall(0, 0);
    for (const ukevent& request : requests)
      EXPECT_EQ(Control(queue, KEVENT_CTL_REMOVE, request), 0);
    ukevent any = requests[0];
    EXPECT_EQ(ControlKevents(queue, KEVENT_CTL_REMOVE, 1, &any), -EINVAL);
    EXPECT_TRUE(Collect(queue).empty());
    EXPECT_EQ(CloseDescriptor(queue), 0);
    EXPECT_EQ(Sim().open_descriptors(), before);
    if (HasFailure() || !was_met) break;
  }
  EXPECT_GT(failed, 10);
  for (const int socket : sockets) kevent::sys::Close(socket);
}

TEST_F(Kevents, SignalsAndProcessesAndFiles) {
  ASSERT_EQ(Add(queue_, Request(KEVENT_PROCESS, 55, KEVENT_PROCESS_EXIT)), 0);
  const int file = Sim().OpenStranger();
  ASSERT_EQ(Add(queue_, Request(KEVENT_INODE, static_cast<uint64_t>(file), KEVENT_INODE_MODIFY)),
            0);
  EXPECT_TRUE(Collect(queue_).empty());
  Sim().Watching(55)->pending = 1;
  Sim().Happen(file, IN_MODIFY);
  Sim().Happen(file, IN_ATTRIB);
  Sim().Happen(file, IN_MODIFY);
  const auto events = Collect(queue_, 2, 8);
  ASSERT_EQ(events.size(), 2);
  for (const ukevent& event : events) {
    if (event.type == KEVENT_INODE) {
      EXPECT_EQ(event.ret_data[1], 2);
    }
  }
  // More than it could keep: everything may have happened.
  Sim().Happen(-1, IN_Q_OVERFLOW);
  const auto lost = Collect(queue_);
  ASSERT_EQ(lost.size(), 1);
  EXPECT_EQ(lost[0].ret_data[1], UINT32_MAX);
  kevent::sys::Close(file);
}

// One who waits for several of any kind is woken when they are complete.
TEST_F(Kevents, WaitingForSeveral) {
  const int socket = Sim().OpenStranger();
  ASSERT_EQ(Add(queue_, Request(KEVENT_POLL, static_cast<uint64_t>(socket), KEVENT_POLL_POLLIN)),
            0);
  ASSERT_EQ(Add(queue_, Request(KEVENT_UNOTIFY, 1, 1)), 0);
  const Handle timer = Create(queue_, CLOCK_MONOTONIC);
  ASSERT_EQ(SetIn(timer, kSecond), 0);
  Sim().SetReady(socket, KEVENT_POLL_POLLIN);
  ukevent user = Request(KEVENT_UNOTIFY, 1, 1);
  EXPECT_EQ(ControlKevents(queue_, KEVENT_CTL_READY, 1, &user), 1);
  const auto before = CallCount("Poll");
  EXPECT_EQ(Collect(queue_, 3, 8).size(), 3);
  EXPECT_LE(CallCount("Poll") - before, 4) << "looks again and again";
  EXPECT_EQ(Delete(timer), 0);
  kevent::sys::Close(socket);
}

// ---- A random life ----------------------------------------------------------------

TEST_F(Kevents, ARandomLifeIsThatOfTheModel) {
  const uint64_t first = FromEnvironment("KEVENT_TEST_SEED", 1);
  const uint64_t runs = FromEnvironment("KEVENT_TEST_RUNS", 1000);
  for (uint64_t seed = first; seed < first + runs && !HasFailure(); ++seed) {
    SCOPED_TRACE(testing::Message() << "KEVENT_TEST_SEED=" << seed);
    RandomChoices choices(seed);
    KeventLife life(choices);
    for (int i = 0; i < 300 && !HasFailure(); ++i) life.Step();
    life.CollectAll();
  }
}

}  // namespace
}  // namespace kevent_test
