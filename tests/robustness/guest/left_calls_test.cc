// SPDX-License-Identifier: MIT
//
// Descriptor calls that do not end: a signal handler leaves them by siglongjmp, or the
// child of vfork that makes them is killed.  What they close lingers, so that they are in
// the kernel for long.  A queue works on afterwards, and keeps no descriptor (kevent(7)).

#include <fcntl.h>
#include <kevent/kevent.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <csignal>

#include "tests/support/process.h"
#include "tests/support/queue.h"
#include "tests/support/watchdog.h"

namespace kevent_test {
namespace {

// A connection whose close waits for a peer that reads nothing.
class Lingering {
 public:
  // With the first free number from `lowest` on.
  explicit Lingering(int lowest = kAboveAll) {
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    CHILD_CHECK(bind(listener, any, size) == 0 && listen(listener, 1) == 0);
    CHILD_CHECK(getsockname(listener, any, &size) == 0);
    const int low = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHILD_CHECK(connect(low, any, size) == 0);
    CHILD_CHECK(accept(listener, nullptr, nullptr) >= 0);
    close(listener);
    fd_ = fcntl(low, F_DUPFD_CLOEXEC, lowest);
    CHILD_CHECK(fd_ >= 0 && close(low) == 0);
    std::array<char, 65536> bytes = {};
    while (send(fd_, bytes.data(), bytes.size(), MSG_DONTWAIT) > 0) {
    }
    const linger for_long = {1, 600};
    CHILD_CHECK(setsockopt(fd_, SOL_SOCKET, SO_LINGER, &for_long, sizeof for_long) == 0);
  }

  // That is open: for calls that close all from some number on.
  static constexpr int kAboveAll = 200;
  int fd() const { return fd_; }

 private:
  int fd_;
};

sigjmp_buf g_environment;

// A child of vfork is killed by a signal while its call lingers, of a file that its parent
// does not have.
template <typename Call>
void DieIn(int lowest, Call call) {
  const pid_t child = vfork();
  if (child == 0) {
    const Lingering lingering(lowest);
    signal(SIGALRM, SIG_DFL);
    const itimerval soon = {{0, 0}, {0, 100'000}};
    setitimer(ITIMER_REAL, &soon, nullptr);
    call(lingering.fd());
    _exit(0);
  }
  CHILD_CHECK(ExitStatus(child) == 128 + SIGALRM);
}

// The call, left by a handler while it lingers.
template <typename Call>
void Leave(Call call) {
  struct sigaction action = {};
  action.sa_handler = [](int) { siglongjmp(g_environment, 1); };
  CHILD_CHECK(sigaction(SIGALRM, &action, nullptr) == 0);
  if (sigsetjmp(g_environment, 1) == 0) {
    const itimerval soon = {{0, 0}, {0, 100'000}};
    CHILD_CHECK(setitimer(ITIMER_REAL, &soon, nullptr) == 0);
    call();
    CHILD_CHECK(!"left");
  }
}

void UseAFreshQueue() {
  const std::set<int> before = OpenDescriptors();
  for (int i = 0; i < 3; ++i) {
    const int queue = kevent_init(nullptr, 0, 0);
    CHILD_CHECK(queue >= 0);
    const int copy = dup(queue);
    CHILD_CHECK(copy >= 0);
    sigevent request;
    kevent_sigevent(&request, queue, nullptr);
    timer_t timer;
    CHILD_CHECK(timer_create(CLOCK_MONOTONIC, &request, &timer) == 0);
    const itimerspec past = {{0, 0}, {0, 1}};
    CHILD_CHECK(timer_settime(timer, TIMER_ABSTIME, &past, nullptr) == 0);
    ukevent event;
    CHILD_CHECK(kevent_get_events(copy, 1, 1, nullptr, &event, 0) == 1);
    CHILD_CHECK(timer_delete(timer) == 0);
    CHILD_CHECK(close(queue) == 0 && close(copy) == 0);
  }
  CHILD_CHECK(OpenDescriptors() == before);
}

const struct {
  const char* name;
  void (*call)(int);
} kCalls[] = {
    {"close", [](int fd) { close(fd); }},
    {"close_range",
     [](int fd) { close_range(static_cast<unsigned>(fd), static_cast<unsigned>(fd), 0); }},
    {"close_range_from", [](int fd) { close_range(static_cast<unsigned>(fd), ~0U, 0); }},
    {"closefrom", [](int fd) { closefrom(fd); }},
};

class LeftCalls : public testing::TestWithParam<size_t> {
 protected:
  static void Call(int fd) { kCalls[GetParam()].call(fd); }

 private:
  Watchdog watchdog_;
};

TEST_P(LeftCalls, BeforeThereIsAQueue) {
  ExpectChild([] {
    const Lingering lingering;
    Leave([&] { Call(lingering.fd()); });
    UseAFreshQueue();
  });
}

TEST_P(LeftCalls, OfAChildOfVforkBeforeThereIsAQueue) {
  ExpectChild([] {
    DieIn(Lingering::kAboveAll, &Call);
    UseAFreshQueue();
  });
}

class LeftCallsWithAQueue : public testing::Test {
 private:
  Watchdog watchdog_;
};

// Of the others the signals are blocked.
TEST_F(LeftCallsWithAQueue, Close) {
  ExpectChild([] {
    const Queue queue;
    const Lingering lingering;
    Leave([&] { close(lingering.fd()); });
    UseAFreshQueue();
  });
}

// The number is the next that the kernel gives the parent.
TEST_F(LeftCallsWithAQueue, Dup2OfAChildOfVfork) {
  ExpectChild([] {
    const Queue queue;
    DieIn(0, [](int fd) { dup2(STDERR_FILENO, fd); });
    UseAFreshQueue();
  });
}

INSTANTIATE_TEST_SUITE_P(, LeftCalls, testing::Range(size_t{0}, std::size(kCalls)),
                         [](const auto& test) { return kCalls[test.param].name; });

}  // namespace
}  // namespace kevent_test
