// SPDX-License-Identifier: MIT
//
// Sleeping: what comes at each instruction of a call that is
// going to sleep, or is waking up, wakes it.

#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <optional>

#include "tests/concurrency/every_instruction/stepper.h"
#include "tests/support/queue.h"

namespace kevent_test {
namespace {

using Found = std::vector<uintptr_t>;

pid_t ThreadId() { return static_cast<pid_t>(syscall(SYS_gettid)); }

// Whether a thread is asleep in one of the system calls that collectors sleep
// in (proc_pid_syscall(5)).
bool Sleeps(pid_t thread) {
  char text[64] = {};
  std::snprintf(text, sizeof text, "/proc/self/task/%d/syscall", thread);
  const int file = open(text, O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  const ssize_t length = read(file, text, sizeof text - 1);
  close(file);
  if (length <= 0 || text[0] == 'r') return false;  // "running"
  const long number = std::atol(text);
  return number == SYS_ppoll || number == SYS_futex;
}

class GoingToSleep : public SteppedTest {};

// Waits until the intruder has come to the thread; or it sleeps without: true.
bool AwaitAsleepAlone(const Stepper& stepper, const std::atomic<pid_t>& thread) {
  for (;; usleep(20)) {
    const bool sleeps = thread != 0 && Sleeps(thread);
    // In this order: it sleeps also while the intruder is there.
    if (stepper.interrupted()) return false;
    if (sleeps) return true;
  }
}

Found CookiesOf(const std::array<ukevent, 8>& events, int count) {
  Found found;
  for (int i = 0; i < count; ++i) found.push_back(Cookie(events[i]));
  return found;
}

void Append(Found& found, const Found& more) {
  found.insert(found.end(), more.begin(), more.end());
  std::sort(found.begin(), found.end());
}

// Timers, by cookie.
enum : uintptr_t { kIntruders = 1, kRescuers, kDueBefore, kLast };

// With a second completion to wait for, the leader holds the first.
TEST_F(GoingToSleep, SettingWakesTheLeader) {
  for (const bool holds : {false, true}) {
    for (Stepper stepper(Intruder::kOtherThread); stepper.Next();) {
      const Queue queue;
      const Timer timer(queue.fd(), kIntruders);
      const Timer rescue(queue.fd(), kRescuers);
      const Timer due_before(queue.fd(), kDueBefore);
      if (holds) due_before.Expire();
      Found expected;
      if (holds) expected.push_back(kDueBefore);

      const std::atomic<pid_t> self = ThreadId();
      bool rescued = false;
      Thread rescuer([&] {
        if (!AwaitAsleepAlone(stepper, self)) return;
        rescued = true;
        rescue.Expire();
      });
      std::array<ukevent, 8> events;
      int count = 0;
      const unsigned min = holds ? 2 : 1;
      stepper.Run([&] { count = kevent_get_events(queue.fd(), min, 8, nullptr, events.data(), 0); },
                  [&] { timer.Expire(); });
      rescuer.Join();
      EXPECT_GE(count, static_cast<int>(min));
      Found found = CookiesOf(events, count);
      Append(found, CollectReady(queue.fd()));
      if (stepper.interrupted()) expected.push_back(kIntruders);
      if (rescued) expected.push_back(kRescuers);
      std::sort(expected.begin(), expected.end());
      EXPECT_EQ(found, expected);
    }
  }
}

// A thread that sleeps as the leader already, and what it has collected.
class Leader {
 public:
  explicit Leader(int queue)
      : thread_([this, queue] {
          id_ = ThreadId();
          count_ = kevent_get_events(queue, 1, 8, nullptr, events_.data(), 0);
          returned_ = true;
        }) {
    while (id_ == 0 || !Sleeps(id_)) usleep(20);
  }
  bool returned() const { return returned_; }
  Thread& thread() { return thread_; }
  Found found() {
    thread_.Join();
    return CookiesOf(events_, count_);
  }

 private:
  std::atomic<pid_t> id_ = 0;
  std::atomic<bool> returned_ = false;
  std::array<ukevent, 8> events_;
  int count_ = 0;
  Thread thread_;  // last: it uses the others
};

// Two events, the second when one thread has returned with the first: it is for
// the other, whichever that is.
TEST_F(GoingToSleep, FollowerSucceedsALeaderThatReturns) {
  for (Stepper stepper(Intruder::kOtherThread); stepper.Next();) {
    const Queue queue;
    const Timer timer(queue.fd(), kIntruders);
    const Timer rescue(queue.fd(), kRescuers);
    const Timer last(queue.fd(), kLast);
    Leader leader(queue.fd());

    const std::atomic<pid_t> self = ThreadId();
    std::atomic<bool> returned = false;
    bool rescued = false;
    Thread rescuer([&] {
      if (AwaitAsleepAlone(stepper, self)) {
        rescued = true;
        rescue.Expire();
      }
      while (!returned && !leader.returned()) usleep(20);
      last.Expire();
    });
    std::array<ukevent, 8> events;
    int count = 0;
    stepper.Run([&] { count = kevent_get_events(queue.fd(), 1, 8, nullptr, events.data(), 0); },
                [&] { timer.Expire(); });
    returned = true;
    rescuer.Join();
    Found found = CookiesOf(events, count);
    EXPECT_FALSE(found.empty());
    Append(found, leader.found());
    Append(found, CollectReady(queue.fd()));
    Found expected;
    if (stepper.interrupted()) expected.push_back(kIntruders);
    if (rescued) expected.push_back(kRescuers);
    expected.push_back(kLast);
    EXPECT_EQ(found, expected);
  }
}

TEST_F(GoingToSleep, FollowerSucceedsALeaderThatIsCancelled) {
  for (Stepper stepper(Intruder::kOtherThread); stepper.Next();) {
    const Queue queue;
    const Timer last(queue.fd(), kLast);
    Leader leader(queue.fd());
    const std::atomic<pid_t> self = ThreadId();
    Thread rescuer([&] {
      if (AwaitAsleepAlone(stepper, self)) leader.thread().Cancel();
      leader.thread().Join();
      last.Expire();
    });
    std::array<ukevent, 8> events;
    int count = 0;
    stepper.Run([&] { count = kevent_get_events(queue.fd(), 1, 8, nullptr, events.data(), 0); },
                [&] { leader.thread().Cancel(); });
    EXPECT_EQ(CookiesOf(events, count), Found{kLast});
  }
}

// A thread that is cancelled takes no event along and leaves its place to
// others, to one that leads already or to one that comes later.
TEST_F(GoingToSleep, CancelledThreadLosesNothing) {
  for (const bool led : {false, true}) {
    for (Stepper stepper(Intruder::kOtherThread); stepper.Next();) {
      const Queue queue;
      const Timer timer(queue.fd(), kIntruders);
      const Timer rescue(queue.fd(), kRescuers);
      const Timer last(queue.fd(), kLast);
      std::optional<Leader> leader;
      if (led) leader.emplace(queue.fd());

      std::atomic<pid_t> id = 0;
      std::array<ukevent, 8> events;
      int count = 0;
      Thread thread([&] {
        id = ThreadId();
        stepper.Run([&] { count = kevent_get_events(queue.fd(), 1, 8, nullptr, events.data(), 0); },
                    [&] {
                      timer.Expire();
                      thread.Cancel();
                    });
      });
      const bool rescued = AwaitAsleepAlone(stepper, id);
      if (rescued) {
        rescue.Expire();
        while (!thread.finished() && !(led && leader->returned())) usleep(20);
      } else {
        thread.Join();
      }
      Found found;
      if (!led) {
        found = CollectReady(queue.fd());
        leader.emplace(queue.fd());
      }
      last.Expire();
      Append(found, leader->found());
      thread.Join();
      Append(found, CookiesOf(events, count));
      Append(found, CollectReady(queue.fd()));
      Found expected;
      if (stepper.interrupted()) expected.push_back(kIntruders);
      if (rescued) expected.push_back(kRescuers);
      expected.push_back(kLast);
      EXPECT_EQ(found, expected);
    }
  }
}

}  // namespace
}  // namespace kevent_test
