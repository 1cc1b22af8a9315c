// SPDX-License-Identifier: MIT
//
// Ports without memory: what happens meanwhile is not lost.

#include <malloc.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <atomic>
#include <fstream>
#include <memory>
#include <string>

#include "tests/port/ports.h"
#include "tests/support/process.h"
#include "tests/support/threads.h"

namespace port_test {
namespace {

constexpr timespec kNow = {0, 0};

// While it lives the process gets no memory from the kernel.
class NoMemory {
 public:
  NoMemory() {
    size_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    CHILD_CHECK(getrlimit(RLIMIT_AS, &before_) == 0);
    const rlimit used = {pages * static_cast<size_t>(getpagesize()), before_.rlim_max};
    CHILD_CHECK(setrlimit(RLIMIT_AS, &used) == 0);
  }
  ~NoMemory() { CHILD_CHECK(setrlimit(RLIMIT_AS, &before_) == 0); }
  NoMemory(const NoMemory&) = delete;
  NoMemory& operator=(const NoMemory&) = delete;

 private:
  rlimit before_;
};

// While it lives malloc has none either.
class NoHeap {
 public:
  NoHeap() {
    for (size_t size = size_t{1} << 20; size >= sizeof(Chunk); size /= 2) {
      while (auto* const chunk = static_cast<Chunk*>(malloc(size))) {
        chunk->next = chunks_;
        chunks_ = chunk;
      }
    }
  }
  ~NoHeap() {
    while (chunks_ != nullptr) {
      Chunk* const next = chunks_->next;
      free(chunks_);
      chunks_ = next;
    }
  }
  NoHeap(const NoHeap&) = delete;
  NoHeap& operator=(const NoHeap&) = delete;

 private:
  struct Chunk {
    Chunk* next;
  };
  const NoMemory no_memory_;
  Chunk* chunks_ = nullptr;
};

// A timer that has expired, whose event takes memory to be put back.
timer_t Expired(const Port& port) {
  port_notify_t notify = {port.fd(), nullptr};
  sigevent notification = {};
  notification.sigev_notify = SIGEV_PORT;
  notification.sigev_value.sival_ptr = &notify;
  timer_t timer;
  CHILD_CHECK(timer_create(CLOCK_MONOTONIC, &notification, &timer) == 0);
  const itimerspec past = {{0, 0}, {0, 1}};
  CHILD_CHECK(timer_settime(timer, TIMER_ABSTIME, &past, nullptr) == 0);
  return timer;
}

bool IsReadable(const Port& port) {
  pollfd descriptor = {port.fd(), POLLIN, 0};
  return poll(&descriptor, 1, 0) == 1;
}

// To count takes all events, and puts them back.
TEST(Limits, OfMemoryLeaveEventsThatAreCounted) {
  constexpr unsigned kTimers = 40;
  constexpr unsigned kFew = 16;
  ExpectChild([] {
    const Port port;
    for (unsigned i = 0; i < kTimers; ++i) Expired(port);
    port_event_t list[kTimers];
    unsigned count = 0;
    unsigned got = 1;
    void* const room = malloc(64 * sizeof(ukevent));
    {
      const NoHeap no_heap;
      // For the events that are taken, and nothing else.
      free(room);
      CHILD_CHECK(port_getn(port.fd(), nullptr, 0, &count, nullptr) == 0 && count == kTimers);
      CHILD_CHECK(port_getn(port.fd(), list, kFew, &got, &kNow) == 0 && got == kFew);
      CHILD_CHECK(port_getn(port.fd(), nullptr, 0, &count, nullptr) == -1 && errno == EAGAIN);
    }
    CHILD_CHECK(port_getn(port.fd(), nullptr, 0, &count, nullptr) == 0);
    CHILD_CHECK(count == kTimers - kFew);
    got = count;
    CHILD_CHECK(port_getn(port.fd(), list, kTimers, &got, &kNow) == 0 && got == count);
    CHILD_CHECK(IsEmpty(port));
  });
}

// For those that the next call does not have there are others, who sleep or poll.
TEST(Limits, OfMemoryLeaveThePortReadable) {
  ExpectChild([] {
    const Port port;
    for (int i = 0; i < 3; ++i) Expired(port);
    unsigned count = 0;
    void* const room = malloc(64 * sizeof(ukevent));
    const NoHeap no_heap;
    free(room);
    CHILD_CHECK(port_getn(port.fd(), nullptr, 0, &count, nullptr) == 0 && count == 3);
    for (int i = 0; i < 3; ++i) {
      CHILD_CHECK(IsReadable(port));
      // As a call does that was about to sleep.
      ukevent none;
      CHILD_CHECK(kevent_get_events(port.fd(), 0, 1, nullptr, &none, 0) == 0);
      port_event_t event;
      CHILD_CHECK(port_get(port.fd(), &event, &kNow) == 0);
    }
  });
}

TEST(Limits, OfMemoryLeaveNoEventOfATimerThatIsDeleted) {
  ExpectChild([] {
    const Port port;
    const timer_t timer = Expired(port);
    unsigned count = 0;
    void* const room = malloc(64 * sizeof(ukevent));
    const NoHeap no_heap;
    free(room);
    CHILD_CHECK(port_getn(port.fd(), nullptr, 0, &count, nullptr) == 0 && count == 1);
    CHILD_CHECK(timer_delete(timer) == 0);
    port_event_t event;
    CHILD_CHECK(port_get(port.fd(), &event, &kNow) == -1 && errno == ETIME);
  });
}

// The first of them has what it cannot put back.
TEST(Limits, OfMemoryLetAnAlertReachAllWhoWait) {
  ExpectChild([] {
    // One heap for all threads.
    CHILD_CHECK(mallopt(M_ARENA_MAX, 1) == 1);
    const Port port;
    Expired(port);
    std::atomic<int> alerts{0};
    std::atomic<int> expirations{0};
    std::unique_ptr<Thread> waiters[4];
    for (auto& waiter : waiters) {
      waiter = std::make_unique<Thread>([&] {
        port_event_t list[3];
        unsigned got = 3;
        CHILD_CHECK(port_getn(port.fd(), list, 3, &got, nullptr) == 0 && got == 1);
        ++(list[0].portev_source == PORT_SOURCE_ALERT ? alerts : expirations);
      });
    }
    for (const auto& waiter : waiters) waiter->AwaitAsleep();
    const NoHeap no_heap;
    CHILD_CHECK(port_alert(port.fd(), PORT_ALERT_SET, 1, nullptr) == 0);
    for (const auto& waiter : waiters) waiter->Join();
    CHILD_CHECK(alerts >= 3 && alerts + expirations == 4);
  });
}

// They are seen, and their events made, when another is associated.
TEST(Limits, OfMemoryLeaveEventsOfFiles) {
  std::string name = testing::TempDir() + "/port_limits.XXXXXX";
  const Descriptor file(mkstemp(name.data()));
  ASSERT_GE(file.fd(), 0);
  ExpectChild([&] {
    const Port port;
    file_obj_t watched = {};
    watched.fo_name = name.data();
    file_obj_t other = watched;
    const auto associate = [&](file_obj_t* object) {
      return port_associate(port.fd(), PORT_SOURCE_FILE, reinterpret_cast<uintptr_t>(object),
                            FILE_MODIFIED, object);
    };
    CHILD_CHECK(associate(&watched) == 0);
    unsigned sent = 0;
    {
      const NoMemory no_memory;
      while (port_send(port.fd(), 1, nullptr) == 0) ++sent;
      CHILD_CHECK(errno == EAGAIN);
      CHILD_CHECK(write(file.fd(), "x", 1) == 1);
      associate(&other);
    }
    unsigned of_file = 0;
    for (port_event_t event; port_get(port.fd(), &event, &kNow) == 0;) {
      if (event.portev_source == PORT_SOURCE_USER) {
        --sent;
      } else {
        CHILD_CHECK(event.portev_source == PORT_SOURCE_FILE && event.portev_user == &watched);
        CHILD_CHECK(event.portev_events == FILE_MODIFIED);
        ++of_file;
      }
    }
    CHILD_CHECK(of_file == 1 && sent == 0);
  });
  EXPECT_EQ(unlink(name.c_str()), 0);
}

}  // namespace
}  // namespace port_test
