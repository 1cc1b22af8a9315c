// SPDX-License-Identifier: MIT
//
// timer_settime, timer_gettime and timer_getoverrun in a signal
// handler that comes at random instants, also while the thread is inside the
// same calls on the same timer, and another thread collects.
//
// 5 000 interruptions; a million with KEVENT_LONG in the environment.

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <optional>
#include <set>

#include "tests/support/process.h"
#include "tests/support/queue.h"
#include "tests/support/threads.h"
#include "tests/support/watchdog.h"

namespace kevent_test {
namespace {

constexpr size_t kTimers = 4;
// Cookies: owner * kTimers + number.
enum Owner : uintptr_t { kThread, kHandler, kBoth, kOwners };

bool Long() { return std::getenv("KEVENT_LONG") != nullptr; }
int Interruptions() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  constexpr int kFew = 1'000;  // the sanitizer's handler runs before ours
#else
  constexpr int kFew = 5'000;
#endif
  return Long() ? 1'000'000 : kFew;
}

// Timers, and how often each was set and reported.
struct Books {
  explicit Books(int queue) {
    for (uintptr_t i = 0; i < kOwners * kTimers; ++i) timers.emplace_back(queue, i);
  }
  std::vector<Timer> timers;
  std::array<std::atomic<uint64_t>, kOwners * kTimers> armed{};
  std::array<std::atomic<uint64_t>, kOwners * kTimers> reported{};
};

Books* g_books;
std::atomic<int> g_handled{0};
std::atomic<int> g_depth{0};  // handlers within each other, on one stack
constexpr int kDeepest = 8;
std::atomic<bool> g_errno_changed{false};
std::atomic<bool> g_failed{false};
bool g_leaves = false;
sigjmp_buf g_environment;
volatile sig_atomic_t g_can_leave = 0;

void SetPast(uintptr_t number) {
  const itimerspec setting = {{0, 0}, {0, 1}};
  if (timer_settime(g_books->timers[number].id(), TIMER_ABSTIME, &setting, nullptr) != 0) {
    g_failed = true;
  }
}

// Sets a timer again once its last expiration was reported.  In one step from the
// look to the count: handlers of later signals run inside of this one.
void SetIfReported(uintptr_t number) {
  uint64_t reported = g_books->reported[number].load();
  if (!g_books->armed[number].compare_exchange_strong(reported, reported + 1)) return;
  SetPast(number);
}

// All three calls, on timers of the owner and on one that both set.
void UseTimers(Owner owner, int turn) {
  errno = 77;
  const uintptr_t number = owner * kTimers + static_cast<uintptr_t>(turn) % kTimers;
  const uintptr_t common = kBoth * kTimers + static_cast<uintptr_t>(turn) % kTimers;
  SetIfReported(number);
  g_books->armed[common].fetch_add(2);
  SetPast(common);
  kevent_setting again = {g_books->timers[common].id(), TIMER_ABSTIME, -1, {{0, 0}, {0, 1}}};
  if (kevent_settime(1, &again) != 1 || again.error != 0) g_failed = true;
  itimerspec left;
  if (timer_gettime(g_books->timers[number].id(), &left) != 0) g_failed = true;
  if (timer_getoverrun(g_books->timers[common].id()) != 0) g_failed = true;
  if (errno != 77) g_errno_changed = true;
}

void OnSignal(int) {
  const int before = errno;
  ++g_depth;
  const int turn = g_handled.fetch_add(1);
  UseTimers(kHandler, turn);
  errno = before;
  if (g_leaves && g_can_leave != 0 && turn % 3 == 0) siglongjmp(g_environment, 1);
  --g_depth;
}

// Another thread, which interrupts this one again and again: each time when the last
// signal has been taken, also within its handler, and never more than kDeepest deep: a
// handler that is slower than the storm would nest until the stack is used up.
class Storm {
 public:
  explicit Storm(int interruptions = Interruptions())
      : victim_(static_cast<pid_t>(syscall(SYS_gettid))),
        interruptions_(interruptions),
        thread_([this] { Run(); }) {}

  bool over() const { return over_; }

 private:
  void Run() {
    for (int i = 0; i < interruptions_; ++i) {
      syscall(SYS_tgkill, getpid(), victim_, SIGUSR1);
      while (g_handled.load() <= i || g_depth.load() >= kDeepest) sched_yield();
    }
    over_ = true;
  }

  const pid_t victim_;
  const int interruptions_;
  std::atomic<bool> over_{false};
  Thread thread_;
};

class HandlerStorm : public testing::Test {
 protected:
  HandlerStorm() : books_(queue_.fd()) {
    if (!Long()) watchdog_.emplace();
    g_books = &books_;
    g_handled = 0;
    g_depth = 0;
    g_errno_changed = false;
    g_failed = false;
    struct sigaction action = {};
    action.sa_handler = OnSignal;
    action.sa_flags = SA_RESTART | SA_NODEFER;
    sigaction(SIGUSR1, &action, &before_);
  }
  ~HandlerStorm() override { sigaction(SIGUSR1, &before_, nullptr); }

  // Until `over`, and until nothing has come for a while after that.
  void CollectUntil(const std::atomic<bool>& over) {
    const timespec tick = {0, 1'000'000};
    std::array<ukevent, 8> events;
    for (bool last = false; !last;) {
      last = over.load();
      for (int n; (n = kevent_get_events(queue_.fd(), 1, 8, &tick, events.data(), 0)) > 0;) {
        for (int i = 0; i < n; ++i) books_.reported[Cookie(events[i])].fetch_add(1);
      }
    }
  }

  // Whatever happened before, each timer now expires exactly once.
  void ExpectEachExpiresOnce() {
    for (const Timer& timer : books_.timers) timer.Disarm();
    EXPECT_TRUE(CollectReady(queue_.fd()).empty());
    for (uintptr_t i = 0; i < books_.timers.size(); ++i) SetPast(i);
    std::vector<uintptr_t> cookies = CollectReady(queue_.fd());
    EXPECT_EQ(cookies.size(), books_.timers.size());
  }

  std::optional<Watchdog> watchdog_;
  const Queue queue_;
  Books books_;

 private:
  struct sigaction before_;
};

TEST_F(HandlerStorm, LosesAndDoublesNothing) {
  g_leaves = false;
  std::atomic<bool> over{false};
  {
    const Thread collector([&] { CollectUntil(over); });
    const Storm storm;
    for (int turn = 0; !storm.over(); ++turn) UseTimers(kThread, turn);
    over = true;
  }
  EXPECT_FALSE(g_failed);
  EXPECT_FALSE(g_errno_changed);
  for (uintptr_t i = 0; i < kBoth * kTimers; ++i) {
    EXPECT_EQ(books_.reported[i], books_.armed[i]) << "timer " << i;
    EXPECT_GT(books_.armed[i], 0);
  }
  for (uintptr_t i = kBoth * kTimers; i < kOwners * kTimers; ++i) {
    EXPECT_LE(books_.reported[i], books_.armed[i]) << "timer " << i;
    EXPECT_GT(books_.reported[i], 0);
  }
  ExpectEachExpiresOnce();
}

// close, dup2 and the like of names of the queue, while the thread is inside the
// same calls on the same numbers.
TEST_F(HandlerStorm, ClosesAndDuplicatesWhileTheThreadDoes) {
  constexpr int kFirst = 100;  // four numbers, names of the queue or closed
  const std::set<int> before = OpenDescriptors();
  static int s_queue;
  s_queue = queue_.fd();
  static const auto use = [](int turn) {
    const int number = kFirst + turn % 4;
    const int other = kFirst + (turn / 4) % 4;
    switch (turn / 16 % 4) {
      case 0:
        if (dup2(s_queue, number) != number) g_failed = true;
        break;
      case 1:
        if (close(number) != 0 && errno != EBADF) g_failed = true;
        break;
      case 2:
        if (dup2(number, other) < 0 && errno != EBADF) g_failed = true;
        break;
      default: {
        const int copy = fcntl(s_queue, F_DUPFD_CLOEXEC, 200);
        if (copy < 200 || close(copy) != 0) g_failed = true;
      }
    }
  };
  struct sigaction action = {};
  action.sa_handler = [](int) {
    const int error = errno;
    use(g_handled * 7);
    errno = error;
    g_handled.fetch_add(1);
  };
  action.sa_flags = SA_RESTART;
  ASSERT_EQ(sigaction(SIGUSR1, &action, nullptr), 0);
  {
    const Storm storm(Interruptions() / 5);
    for (int turn = 0; !storm.over(); ++turn) {
      use(turn);
      SetPast(static_cast<uintptr_t>(turn) % (kOwners * kTimers));
    }
  }
  EXPECT_FALSE(g_failed);
  for (int number = kFirst; number < kFirst + 4; ++number) close(number);
  EXPECT_EQ(OpenDescriptors(), before);
  ExpectEachExpiresOnce();  // its names are counted: it is still there
}

// Handlers that never return to the call that they have interrupted.
TEST_F(HandlerStorm, LeavesByLongJumpWithoutHarm) {
  g_leaves = true;
  std::atomic<bool> over{false};
  volatile int turn = 0;
  {
    const Thread collector([&] { CollectUntil(over); });
    const Storm storm;
    sigsetjmp(g_environment, 1);
    g_depth = 0;  // a jump leaves all the handlers at once
    // On a slow machine the storm may be over before the turns have begun.
    while (!storm.over() || turn <= 100) {
      g_can_leave = 1;
      SetPast(static_cast<uintptr_t>(turn) % (kOwners * kTimers));
      g_can_leave = 0;
      turn = turn + 1;
    }
    over = true;
  }
  EXPECT_FALSE(g_failed);
  ExpectEachExpiresOnce();
}

}  // namespace
}  // namespace kevent_test
