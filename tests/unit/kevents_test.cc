// SPDX-License-Identifier: MIT
//
// kevent_ctl and what it registers, on the simulated system; a random life agrees
// with the model.

#include <sys/inotify.h>

#include <algorithm>
#include <map>
#include <vector>

#include "core/system/system.h"
#include "tests/unit/kevent_life.h"

namespace kevent_test {
namespace {

using kevent::core::ControlKevents;

class Kevents : public EngineTest {};

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

// Each watch of very many is found, and given back with the last of its kevents.
TEST_F(Kevents, ManyFilesAndSeveralKeventsOnEach) {
  constexpr unsigned kFiles = 1500;
  constexpr unsigned kEach = 3;
  std::vector<int> files(kFiles);
  for (int& file : files) file = Sim().OpenStranger();
  const auto request = [&files](unsigned file, unsigned cookie) {
    return Request(KEVENT_INODE, static_cast<uint64_t>(files[file]), KEVENT_INODE_MODIFY, 0,
                   cookie);
  };
  for (unsigned cookie = 0; cookie < kEach; ++cookie) {
    for (unsigned i = 0; i < kFiles; ++i) ASSERT_EQ(Add(queue_, request(i, cookie)), 0);
  }
  const int before = CallCount("InotifyRemove");
  RandomChoices choices(1);
  for (unsigned left = kEach; left > 0; --left) {
    for (const int file : files) Sim().Happen(file, IN_MODIFY);
    EXPECT_EQ(Collect(queue_, 0, kFiles * kEach).size(), kFiles * left);
    Sim().Happen(-1, IN_Q_OVERFLOW);
    EXPECT_EQ(Collect(queue_, 0, kFiles * kEach).size(), kFiles * left);
    // Of each file another one: the first, the last, or one between.
    for (unsigned i = 0; i < kFiles; ++i) {
      unsigned cookie = static_cast<unsigned>(choices.Below(kEach));
      while (Control(queue_, KEVENT_CTL_REMOVE, request(i, cookie)) != 0 && !HasFailure()) {
        cookie = (cookie + 1) % kEach;
      }
    }
    EXPECT_EQ(CallCount("InotifyRemove") - before, left == 1 ? kFiles : 0);
  }
  for (const int file : files) kevent::sys::Close(file);
}

// The timers of kevents are the process's, and are there again for any queue, whichever
// numbers the queues that are made later have.
TEST_F(Kevents, TimersOfClosedQueuesAreGivenBack) {
  constexpr uint64_t kEach = 500;
  const int three[] = {kevent::core::InitQueue(nullptr, 0, 0),
                       kevent::core::InitQueue(nullptr, 0, 0),
                       kevent::core::InitQueue(nullptr, 0, 0)};
  for (const int queue : three) {
    for (uint64_t i = 1; i <= kEach; ++i) {
      ASSERT_EQ(Add(queue, Request(KEVENT_TIMER, i, KEVENT_TIMER_FIRED)), 0);
    }
  }
  const uint32_t last = Create(queue_, CLOCK_MONOTONIC).slot();
  for (const int queue : three) ASSERT_EQ(kevent::core::CloseDescriptor(queue), 0);
  const int after = kevent::core::InitQueue(nullptr, 0, 0);
  uint32_t beyond = 0;
  for (uint64_t i = 0; i < 3 * kEach; ++i) {
    const Handle timer = Create(after, CLOCK_MONOTONIC);
    ASSERT_NE(timer.bits(), 0);
    if (timer.slot() > last) ++beyond;
  }
  // But for the few that rest, lest a slot comes back at once.
  EXPECT_LE(beyond, 64);
  EXPECT_EQ(kevent::core::CloseDescriptor(after), 0);
}

// Timers are set together, as by kevent_settime, as many as are registered under the lock at once.
TEST_F(Kevents, ManyTimersOfOneCall) {
  constexpr size_t kTimers = 200;
  constexpr int kParts = 4;
  const Handle first = Create(queue_, CLOCK_BOOTTIME);  // makes the timerfd of the clock
  std::vector<kevent_timer_spec> specs(kTimers);
  std::vector<ukevent> requests;
  for (size_t i = 0; i < kTimers; ++i) {
    specs[i] = {CLOCK_BOOTTIME, 0, {{0, 0}, ToTimespec((kTimers - i) * kMillisecond)}};
    requests.push_back(TimerRequest(i, &specs[i]));
  }
  const auto control = [&](unsigned command) {
    Sim().calls.clear();
    Sim().reading_takes = 1;
    const int result = ControlKevents(queue_, command, kTimers, requests.data());
    Sim().reading_takes = 0;
    return result;
  };
  for (const unsigned command : {KEVENT_CTL_ADD, KEVENT_CTL_MODIFY}) {
    const uint64_t begin = Sim().Now(CLOCK_BOOTTIME);
    ASSERT_EQ(control(command), 0);
    EXPECT_EQ(CallCount("ArmTimerfd"), command == KEVENT_CTL_ADD ? kParts : 0);
    EXPECT_LT(Sim().Now(CLOCK_BOOTTIME), begin + kTimers);  // a few readings for each part
    for (size_t i = 0; i < kTimers; ++i) {
      requests[i] = TimerRequest(i, &specs[i]);
      specs[i].itimerspec.it_value = ToTimespec((kTimers - i) * 2 * kMillisecond);
    }
  }
  Sim().Advance(2 * kTimers * kMillisecond);
  EXPECT_EQ(Collect(queue_, 0, kTimers).size(), kTimers);
  EXPECT_EQ(Delete(first), 0);
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

// ---- Harvesting --------------------------------------------------------------------

// Sockets that are readable, each with a kevent of these requests' flags and
// cookies.
class Sockets {
 public:
  explicit Sockets(unsigned count) : numbers_(count) {
    for (int& number : numbers_) number = Sim().OpenStranger();
  }
  ~Sockets() {
    for (const int number : numbers_) kevent::sys::Close(number);
  }
  int operator[](unsigned i) const { return numbers_[i]; }
  ukevent Request(unsigned i, uint32_t req_flags = 0, uintptr_t cookie = 0) const {
    return kevent_test::Request(KEVENT_POLL, static_cast<uint64_t>(numbers_[i]), KEVENT_POLL_POLLIN,
                                req_flags, cookie);
  }
  void MakeReady() const {
    for (const int number : numbers_) Sim().SetReady(number, KEVENT_POLL_POLLIN);
  }

 private:
  std::vector<int> numbers_;
};

constexpr timespec kPatience = {1, 0};

// However many members say nothing new, what lies behind them is found.
TEST_F(Kevents, WhatIsBehindTheMadeReadyIsFound) {
  constexpr unsigned kMany = 300;
  const Sockets sockets(kMany + 1);
  for (unsigned i = 0; i <= kMany; ++i) ASSERT_EQ(Add(queue_, sockets.Request(i)), 0);
  sockets.MakeReady();
  for (unsigned i = 0; i < kMany; ++i) {
    ukevent request = sockets.Request(i);
    ASSERT_EQ(ControlKevents(queue_, KEVENT_CTL_READY, 1, &request), 1);
  }
  const uint64_t before = Sim().Now(CLOCK_MONOTONIC);
  EXPECT_EQ(Collect(queue_, kMany + 1, kMany + 1, &kPatience).size(), kMany + 1);
  EXPECT_EQ(Sim().Now(CLOCK_MONOTONIC), before) << "has slept with all of them ready";
}

TEST_F(Kevents, WhatIsBehindTheShadowedIsFound) {
  constexpr unsigned kMany = 300;
  const Sockets sockets(kMany);
  const int last = Sim().OpenStranger();
  for (unsigned i = 0; i < kMany; ++i) {
    ASSERT_EQ(Add(queue_, sockets.Request(i, 0, 1)), 0);
    ASSERT_EQ(Add(queue_, sockets.Request(i, 0, 2)), 0);
  }
  const auto id = static_cast<uint64_t>(last);
  ASSERT_EQ(Add(queue_, Request(KEVENT_POLL, id, KEVENT_POLL_POLLPRI, 0, 1)), 0);
  ASSERT_EQ(Add(queue_, Request(KEVENT_POLL, id, KEVENT_POLL_POLLIN, 0, 2)), 0);
  sockets.MakeReady();
  Sim().SetReady(last, KEVENT_POLL_POLLIN);
  EXPECT_EQ(Collect(queue_, kMany + 1, kMany + 1, &kPatience).size(), kMany + 1);
  kevent::sys::Close(last);
}

// A file that outlives its descriptor stays a member, and has nothing to say.
TEST_F(Kevents, WhatIsBehindFilesWithoutDescriptorsIsFound) {
  constexpr unsigned kMany = 300;
  std::vector<int> copies;
  for (unsigned i = 0; i < kMany; ++i) {
    const int socket = Sim().OpenStranger();
    const ukevent request =
        Request(KEVENT_POLL, static_cast<uint64_t>(socket), KEVENT_POLL_POLLIN, 0, i);
    ASSERT_EQ(Add(queue_, request), 0);
    Sim().SetReady(socket, KEVENT_POLL_POLLIN);
    copies.push_back(kevent::sys::Duplicate(socket));
    kevent::sys::Close(socket);
    ASSERT_EQ(Control(queue_, KEVENT_CTL_REMOVE, request), 0);
  }
  EXPECT_TRUE(Collect(queue_).empty());
  const Sockets sockets(2);
  for (unsigned i = 0; i < 2; ++i) ASSERT_EQ(Add(queue_, sockets.Request(i)), 0);
  sockets.MakeReady();
  for (const unsigned max : {1u, 2u, 8u}) {
    EXPECT_EQ(Collect(queue_, 0, max).size(), std::min(max, 2u)) << "room for " << max;
  }
  // Some of them, the first also, cease to be ready.
  for (unsigned i = 0; i < kMany; i += 2) Sim().SetReady(copies[i], 0);
  EXPECT_EQ(Collect(queue_, 2, 2, &kPatience).size(), 2);
  for (const int copy : copies) kevent::sys::Close(copy);
}

// One who collects few at a time comes to all of them, in turn.
TEST_F(Kevents, WhatStaysReadyHasItsTurn) {
  const Sockets sockets(8);
  for (unsigned i = 0; i < 8; ++i) ASSERT_EQ(Add(queue_, sockets.Request(i, 0, i)), 0);
  const Handle timer = Create(queue_, CLOCK_MONOTONIC);
  sockets.MakeReady();
  for (const unsigned max : {1u, 2u, 3u, 5u}) {
    std::map<void*, unsigned> found;
    for (unsigned i = 0; i < 80; ++i) {
      if (i % 3 == 0) {
        ASSERT_EQ(Set(timer, TIMER_ABSTIME, 1), 0);
      }
      for (const ukevent& event : Collect(queue_, 0, max)) {
        if (event.type == KEVENT_POLL) ++found[event.ptr];
      }
    }
    ASSERT_EQ(found.size(), 8) << "room for " << max;
    unsigned least = found.begin()->second;
    unsigned most = least;
    for (const auto& [cookie, count] : found) {
      least = std::min(least, count);
      most = std::max(most, count);
    }
    EXPECT_LE(most - least, 2) << "room for " << max;
  }
  EXPECT_EQ(Delete(timer), 0);
}

// One activity is told to one of the kevents on a descriptor, in however many
// calls they are met, and what the first does not wait for to the next.
TEST_F(Kevents, AnEdgeIsToldToOne) {
  const int socket = Sim().OpenStranger();
  const auto id = static_cast<uint64_t>(socket);
  constexpr uint32_t kIn = KEVENT_POLL_POLLIN;
  constexpr uint32_t kOut = KEVENT_POLL_POLLOUT;
  ASSERT_EQ(Add(queue_, Request(KEVENT_POLL, id, kIn, KEVENT_REQ_ET, 1)), 0);
  ASSERT_EQ(Add(queue_, Request(KEVENT_POLL, id, kIn | kOut, KEVENT_REQ_ET, 2)), 0);
  const auto cookies = [this](unsigned max) {
    std::vector<uintptr_t> found;
    for (int i = 0; i < 4; ++i) {
      for (const ukevent& event : Collect(queue_, 0, max)) {
        found.push_back(reinterpret_cast<uintptr_t>(event.ptr));
      }
    }
    std::sort(found.begin(), found.end());
    return found;
  };
  for (const unsigned max : {1u, 2u, 8u}) {
    SCOPED_TRACE(testing::Message() << "room for " << max);
    Sim().SetReady(socket, kIn);
    EXPECT_EQ(cookies(max), (std::vector<uintptr_t>{1}));
    Sim().SetReady(socket, kIn);
    EXPECT_EQ(cookies(max), (std::vector<uintptr_t>{1}));
    Sim().SetReady(socket, kIn | kOut);
    EXPECT_EQ(cookies(max), (std::vector<uintptr_t>{1, 2}));
  }
  // The first of them gone, the second is told of all.
  Sim().SetReady(socket, kIn);
  EXPECT_EQ(Collect(queue_, 0, 1).size(), 1);
  ASSERT_EQ(Control(queue_, KEVENT_CTL_REMOVE, Request(KEVENT_POLL, id, kIn, 0, 1)), 0);
  Sim().SetReady(socket, kIn);
  EXPECT_EQ(cookies(8), (std::vector<uintptr_t>{2}));
  kevent::sys::Close(socket);
}

// ---- A last look ---------------------------------------------------------------------

// Whether one who waits for several has slept to the end of his patience.
bool SleepsFor(int queue, unsigned min, size_t* found) {
  const uint64_t before = Sim().Now(CLOCK_MONOTONIC);
  *found = Collect(queue, min, 8, &kPatience).size();
  return Sim().Now(CLOCK_MONOTONIC) - before == kSecond;
}

TEST_F(Kevents, WhatIsNotReportedDoesNotCount) {
  const Sockets sockets(3);
  constexpr uint32_t kChecked = KEVENT_REQ_ET | KEVENT_REQ_LAST_CHECK;
  ukevent user = Request(KEVENT_UNOTIFY, 1, KEVENT_UNOTIFY_EVENT);
  ASSERT_EQ(Add(queue_, user), 0);
  for (unsigned i = 0; i < 3; ++i) ASSERT_EQ(Add(queue_, sockets.Request(i, kChecked)), 0);
  size_t found;
  // Made ready, though the source is not.
  ukevent request = sockets.Request(0);
  ASSERT_EQ(ControlKevents(queue_, KEVENT_CTL_READY, 1, &request), 1);
  ASSERT_EQ(ControlKevents(queue_, KEVENT_CTL_READY, 1, &user), 1);
  EXPECT_TRUE(SleepsFor(queue_, 2, &found));
  EXPECT_EQ(found, 1);
  // Found ready by one who waits for more, and ready no more.
  sockets.MakeReady();
  const Handle timer = Create(queue_, CLOCK_MONOTONIC);
  ASSERT_EQ(SetIn(timer, kSecond / 2), 0);
  Sim().before_call = [&sockets](const std::string& function) {
    if (function == "Poll") Sim().SetReady(sockets[0], 0);
  };
  EXPECT_TRUE(SleepsFor(queue_, 4, &found));
  EXPECT_EQ(found, 3);
  EXPECT_EQ(Delete(timer), 0);
}

// Made ready and expired, a timer is one event to those who wait for two.
TEST_F(Kevents, ATimerThatWasMadeReadyIsOneEvent) {
  const kevent_timer_spec spec = {CLOCK_MONOTONIC, TIMER_ABSTIME, {{0, 0}, {0, 1}}};
  for (const uint32_t flags : {0u, uint32_t{KEVENT_REQ_ONESHOT}}) {
    const ukevent timer = TimerRequest(1, &spec, flags);
    for (int i = 0; i < 2; ++i) {  // whoever has the first turn
      ASSERT_EQ(Add(queue_, timer), 0);
      ukevent ready = timer;
      ASSERT_EQ(ControlKevents(queue_, KEVENT_CTL_READY, 1, &ready), 1);
      size_t found;
      EXPECT_TRUE(SleepsFor(queue_, 2, &found));
      EXPECT_EQ(found, 1);
      EXPECT_TRUE(Collect(queue_).empty());
      if (flags == 0) {
        EXPECT_EQ(Control(queue_, KEVENT_CTL_REMOVE, timer), 0);
      }
      ukevent user = Request(KEVENT_UNOTIFY, 1, KEVENT_UNOTIFY_EVENT, KEVENT_REQ_ONESHOT);
      ASSERT_EQ(Add(queue_, user), 0);  // changes whose turn it is
      ASSERT_EQ(ControlKevents(queue_, KEVENT_CTL_READY, 1, &user), 1);
      EXPECT_EQ(Collect(queue_).size(), 1);
    }
  }
}

// An edge that waits in the queue is dropped with the descriptor.
TEST_F(Kevents, AnEdgeOfAClosedDescriptorIsNotReported) {
  const int socket = Sim().OpenStranger();
  const auto id = static_cast<uint64_t>(socket);
  ASSERT_EQ(Add(queue_, Request(KEVENT_POLL, id, KEVENT_POLL_POLLIN, KEVENT_REQ_ET)), 0);
  Sim().SetReady(socket, KEVENT_POLL_POLLIN);
  size_t found;
  bool closed = false;
  Sim().before_call = [&](const std::string& function) {
    if (function == "Poll" && !closed) {
      closed = true;
      kevent::sys::Close(socket);
    }
  };
  EXPECT_TRUE(SleepsFor(queue_, 2, &found));
  EXPECT_TRUE(closed);
  EXPECT_EQ(found, 0);
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
