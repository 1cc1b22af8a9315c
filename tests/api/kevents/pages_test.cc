// SPDX-License-Identifier: MIT
//
// The manual pages of kevent_ctl, kevent_get_events and kevent_wait, sentence by
// sentence, where no other test has them; and what pages say in numbers and in programs,
// beside the header and the examples.

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <map>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

#include "tests/support/kevents.h"
#include "tests/support/queue.h"
#include "tests/support/threads.h"

namespace kevent_test {
namespace {

std::string Contents(const std::string& path) {
  const std::string here = __FILE__;  // tests/api/kevents/
  const std::string root = here.substr(0, here.rfind('/')) + "/../../../";
  std::ifstream file(root + path);
  std::ostringstream contents;
  contents << file.rdbuf();
  EXPECT_FALSE(contents.str().empty()) << path;
  return contents.str();
}

int ErrorOf(int result) { return result == -1 ? errno : 0; }

// ---- Numbers and programs ----------------------------------------------------------

using Values = std::map<std::string, unsigned long long>;

Values ValuesIn(const std::string& text, const char* line) {
  const std::regex pattern(line, std::regex::multiline);
  Values values;
  for (auto found = std::sregex_iterator(text.begin(), text.end(), pattern);
       found != std::sregex_iterator(); ++found) {
    values[(*found)[1]] = std::stoull((*found)[2], nullptr, 0);
  }
  return values;
}

TEST(Pages, HaveTheValuesOfTheHeader) {
  Values header = ValuesIn(Contents("include/kevent/kevent.h"),
                           R"(^#define (KEVENT_\w+) (0x[0-9a-f]+|[0-9]+)(?:u|ULL)?(?: |$))");
  for (const char* part : {"MAJOR", "MINOR", "PATCH"}) {
    header.erase(std::string("KEVENT_VERSION_") + part);
  }
  const Values page =
      ValuesIn(Contents("man/kevent_values.7"), "^(KEVENT_\\w+)\t(0x[0-9a-f]+|[0-9]+)$");
  EXPECT_GT(header.size(), 60);
  EXPECT_EQ(page, header);
  // As the compiler has them.
  EXPECT_EQ(page.at("KEVENT_CTL_READY"), KEVENT_CTL_READY);
  EXPECT_EQ(page.at("KEVENT_REQ_READY"), KEVENT_REQ_READY);
  EXPECT_EQ(page.at("KEVENT_RET_NO_STATUS"), KEVENT_RET_NO_STATUS);
  EXPECT_EQ(page.at("KEVENT_FLAGS_MONOTONIC"), KEVENT_FLAGS_MONOTONIC);
  EXPECT_EQ(page.at("KEVENT_SIGNAL_NOMASK"), KEVENT_SIGNAL_NOMASK);
  EXPECT_EQ(page.at("KEVENT_POLL_POLLRDHUP"), KEVENT_POLL_POLLRDHUP);
}

TEST(Pages, HaveTheLayoutsOfTheHeader) {
  const Values page = ValuesIn(Contents("man/kevent_values.7"), "^([a-z][\\w.]+)\t([0-9]+)\t");
  const Values layout = {
      {"sigev_value", offsetof(struct sigevent, sigev_value)},
      {"sigev_signo", offsetof(struct sigevent, sigev_signo)},
      {"sigev_notify", offsetof(struct sigevent, sigev_notify)},
      {"sigev_kevent_fd", offsetof(struct sigevent, sigev_kevent_fd)},
      {"id.raw_u64", offsetof(ukevent, id)},
      {"type", offsetof(ukevent, type)},
      {"event", offsetof(kevent_ring, event)},  // the later of two of that name
      {"req_flags", offsetof(ukevent, req_flags)},
      {"ret_flags", offsetof(ukevent, ret_flags)},
      {"ret_data", offsetof(ukevent, ret_data)},
      {"ptr", offsetof(ukevent, ptr)},
      {"clockid", offsetof(kevent_timer_spec, clockid)},
      {"flags", offsetof(kevent_transfer, flags)},  // the last of three of that name
      {"timer", offsetof(kevent_setting, timer)},
      {"error", offsetof(kevent_transfer, error)},  // the later of two of that name
      {"value", offsetof(kevent_setting, value)},
      {"itimerspec", offsetof(kevent_timer_spec, itimerspec)},
      {"operation", offsetof(kevent_transfer, operation)},
      {"socket", offsetof(kevent_transfer, socket)},
      {"buffer", offsetof(kevent_transfer, buffer)},
      {"path", offsetof(kevent_transfer, path)},
      {"size", offsetof(kevent_transfer, size)},
      {"offset", offsetof(kevent_transfer, offset)},
      {"file", offsetof(kevent_transfer, file)},
      {"cookie", offsetof(kevent_transfer, cookie)},
      {"ring_kidx", offsetof(kevent_ring, ring_kidx)},
      {"ring_over", offsetof(kevent_ring, ring_over)},
  };
  EXPECT_EQ(page, layout);
  EXPECT_EQ(offsetof(ukevent, event), 12);
  EXPECT_EQ(sizeof(struct sigevent), 64);
  EXPECT_EQ(sizeof(ukevent), 40);
  EXPECT_EQ(alignof(ukevent), 8);
  EXPECT_EQ(sizeof(kevent_timer_spec), 40);
  EXPECT_EQ(offsetof(kevent_timer_spec, flags), 4);
  EXPECT_EQ(sizeof(kevent_setting), 48);
  EXPECT_EQ(alignof(kevent_setting), 8);
  EXPECT_EQ(offsetof(kevent_setting, flags), 8);
  EXPECT_EQ(offsetof(kevent_setting, error), 12);
  EXPECT_EQ(sizeof(kevent_transfer), 64);
  EXPECT_EQ(alignof(kevent_transfer), 8);
  EXPECT_EQ(sizeof(kevent_ring), 8);
  EXPECT_EQ(alignof(kevent_ring), 8);
  EXPECT_EQ(SIGEV_KEVENT, 8);
}

// The suite runs the program.
TEST(Pages, ShareTheRingAsTheExampleDoes) {
  const std::string page = Contents("man/kevent_wait.3");
  const size_t start = page.find(".EX\n/* One thread at a time calls");
  ASSERT_NE(start, std::string::npos);
  std::string shown = page.substr(start + 4, page.find(".EE", start) - start - 4);
  shown = std::regex_replace(shown, std::regex(R"(\\-)"), "-");
  shown = std::regex_replace(shown, std::regex(R"(\\e)"), "\\");
  EXPECT_NE(Contents("examples/ring_consumers.c").find(shown), std::string::npos) << shown;
}

// 249 in one queue beside CLOCK_MONOTONIC.
TEST(Pages, CountTheClocksOfAQueue) {
  constexpr int kClocks = 249;
  const Queue queue;
  std::array<int, 2> gate;
  ASSERT_EQ(pipe(gate.data()), 0);
  std::vector<pthread_t> threads(kClocks + 1);
  for (pthread_t& thread : threads) {
    const auto wait = [](void* fd) -> void* {
      char byte;
      (void)!read(*static_cast<int*>(fd), &byte, 1);
      return nullptr;
    };
    ASSERT_EQ(pthread_create(&thread, nullptr, wait, gate.data()), 0);
  }
  std::vector<timer_t> timers;
  struct sigevent notification;
  kevent_sigevent(&notification, queue.fd(), nullptr);
  for (size_t i = 0; i < threads.size(); ++i) {
    clockid_t clock;
    ASSERT_EQ(pthread_getcpuclockid(threads[i], &clock), 0);
    timer_t timer;
    if (timer_create(clock, &notification, &timer) != 0) {
      EXPECT_EQ(errno, EAGAIN);
      break;
    }
    timers.push_back(timer);
  }
  EXPECT_EQ(timers.size(), kClocks);
  timer_t timer;
  EXPECT_EQ(timer_create(CLOCK_MONOTONIC, &notification, &timer), 0);
  timers.push_back(timer);
  for (const timer_t made : timers) EXPECT_EQ(timer_delete(made), 0);
  close(gate[1]);
  for (const pthread_t thread : threads) pthread_join(thread, nullptr);
  close(gate[0]);
}

// ---- kevent_ctl(3) -------------------------------------------------------------------

class CtlPage : public testing::Test {
 protected:
  static ukevent User(uint64_t id, uint32_t req_flags = 0) {
    return Request(KEVENT_UNOTIFY, id, KEVENT_UNOTIFY_EVENT, req_flags);
  }
  const Queue queue_;
  const int fd_ = queue_.fd();
};

TEST_F(CtlPage, TypesThatCannotBeRegistered) {
  for (const uint32_t type : {KEVENT_POSIX_TIMER, KEVENT_AIO, KEVENT_NAIO, KEVENT_MQ, KEVENT_LIO,
                              KEVENT_GAI, KEVENT_MAX, 1000}) {
    ukevent returned;
    EXPECT_EQ(Add(fd_, Request(type, 1, 1), &returned), -ENOSYS) << type;
    EXPECT_EQ(returned.ret_flags, KEVENT_RET_BROKEN | KEVENT_RET_DONE);
  }
}

TEST_F(CtlPage, UnknownBitsAreOfTheEntry) {
  EXPECT_EQ(Add(fd_, Request(KEVENT_UNOTIFY, 1, 2)), -EINVAL);
  EXPECT_EQ(Add(fd_, Request(KEVENT_UNOTIFY, 1, 1, 0x80)), -EINVAL);
  EXPECT_EQ(Add(fd_, Request(KEVENT_UNOTIFY, 1, KEVENT_MASK_ALL)), 0);
  EXPECT_EQ(Control(fd_, KEVENT_CTL_MODIFY, Request(KEVENT_UNOTIFY, 1, 2)), -EINVAL);
  EXPECT_EQ(Control(fd_, KEVENT_CTL_MODIFY, Request(KEVENT_UNOTIFY, 1, 1, 0x80)), -EINVAL);
  // And the kevent is as it was.
  ASSERT_TRUE(Inject(fd_, User(1)));
  const auto events = Take(fd_);
  ASSERT_EQ(events.size(), 1);
  EXPECT_EQ(events[0].event, KEVENT_UNOTIFY_EVENT);
  EXPECT_EQ(events[0].req_flags, 0);
}

TEST_F(CtlPage, NumbersOfEntries) {
  ukevent entry = User(1);
  EXPECT_EQ(ErrorOf(kevent_ctl(fd_, KEVENT_CTL_ADD, 16'777'217, &entry)), EINVAL);
  for (const unsigned command : {KEVENT_CTL_REMOVE, KEVENT_CTL_MODIFY, KEVENT_CTL_READY}) {
    EXPECT_EQ(ErrorOf(kevent_ctl(fd_, command, 16'777'217, &entry)), EINVAL);
    EXPECT_EQ(kevent_ctl(fd_, command, 1, &entry), command == KEVENT_CTL_READY ? 0 : 1);
    EXPECT_EQ(ResultOf(entry), -ENOENT);
  }
  ASSERT_EQ(Add(fd_, User(1)), 0);
  EXPECT_EQ(ErrorOf(kevent_ctl(fd_, 4, 1, &entry)), EINVAL);
  EXPECT_TRUE(Take(fd_).empty());
  EXPECT_TRUE(Inject(fd_, User(1)));
}

TEST_F(CtlPage, ReadySaysWhichItHasNotFound) {
  for (const uint64_t id : {1, 2, 3, 4}) ASSERT_EQ(Add(fd_, User(id)), 0);
  std::array<ukevent, 4> entries = {User(1), User(7, 0x55), User(3), User(8, 0x66)};
  errno = 77;
  EXPECT_EQ(kevent_ctl(fd_, KEVENT_CTL_READY, 4, entries.data()), 2);
  EXPECT_EQ(errno, 77);
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(ResultOf(entries[i]), i % 2 == 0 ? 0 : -ENOENT);
  EXPECT_EQ(Take(fd_).size(), 2);
}

// The cookie alone tells them apart; only type, id and ptr are looked at.
TEST_F(CtlPage, ReadyLooksAtTheKeyAlone) {
  ASSERT_EQ(Add(fd_, User(1, KEVENT_REQ_ONESHOT)), 0);
  ukevent request = User(1, 0xffff);
  request.event = 0;
  EXPECT_TRUE(Inject(fd_, request));
  const auto events = Take(fd_);
  ASSERT_EQ(events.size(), 1);
  EXPECT_EQ(events[0].req_flags, KEVENT_REQ_ONESHOT);
}

TEST_F(CtlPage, RequestsToReturnBeforeOneHasReturnedCountOnce) {
  for (int i = 0; i < 3; ++i) EXPECT_EQ(kevent_ctl(fd_, KEVENT_CTL_READY, 0, nullptr), 0);
  EXPECT_TRUE(Readable(fd_));
  EXPECT_TRUE(Take(fd_, 1).empty());
  EXPECT_FALSE(Readable(fd_));
  EXPECT_TRUE(Take(fd_, 1, 1, kMillisecond).empty());
  // With what is ready, though it is less than was asked for.
  ASSERT_EQ(Add(fd_, User(1, KEVENT_REQ_READY)), 0);
  EXPECT_EQ(kevent_ctl(fd_, KEVENT_CTL_READY, 0, nullptr), 0);
  EXPECT_EQ(Take(fd_, 2, 2).size(), 1);
}

TEST_F(CtlPage, ClosedDescriptorsDoNotCountAsRegistered) {
  std::array<int, 2> ends;
  ASSERT_EQ(pipe(ends.data()), 0);
  const ukevent request = DescriptorRequest(KEVENT_PIPE, ends[0], KEVENT_SOCKET_RECV);
  ASSERT_EQ(Add(fd_, request), 0);
  EXPECT_EQ(Add(fd_, request), -EEXIST);
  const int copy = dup(ends[0]);
  close(ends[0]);
  ASSERT_EQ(dup2(copy, ends[0]), ends[0]);
  EXPECT_EQ(Add(fd_, request), 0);
  for (const int fd : {ends[0], ends[1], copy}) close(fd);
}

// ---- kevent_get_events(3) ------------------------------------------------------------

class CollectingPage : public CtlPage {
 protected:
  int Get(unsigned min, unsigned max, const timespec* timeout, unsigned flags = 0) const {
    ukevent events[4];
    return kevent_get_events(fd_, min, max, timeout, events, flags);
  }
  static timespec In(clockid_t clock, long seconds) {
    timespec moment;
    clock_gettime(clock, &moment);
    moment.tv_sec += seconds;
    return moment;
  }
};

TEST_F(CollectingPage, WhatIsCheckedInAnyCase) {
  ASSERT_EQ(Add(fd_, User(1, KEVENT_REQ_READY)), 0);
  const timespec negative = {-1, 0};
  const timespec beyond = {0, 1'000'000'000};
  const timespec below = {0, -1};
  for (const unsigned min : {0U, 1U}) {
    for (const timespec* bad : {&negative, &beyond, &below}) {
      EXPECT_EQ(ErrorOf(Get(min, 1, bad)), EINVAL);
      EXPECT_EQ(ErrorOf(Get(min, 1, bad, KEVENT_FLAGS_ABSTIME)), EINVAL);
    }
    EXPECT_EQ(ErrorOf(Get(min, 1, nullptr, KEVENT_FLAGS_MONOTONIC)), EINVAL);
    EXPECT_EQ(ErrorOf(Get(min, 1, nullptr, 4)), EINVAL);
  }
  EXPECT_EQ(ErrorOf(Get(2, 1, nullptr)), EINVAL);
  EXPECT_EQ(ErrorOf(kevent_get_events(fd_, 0, 1, nullptr, nullptr, 0)), EFAULT);
  // For max_nr 0 the descriptor and the flags.
  EXPECT_EQ(ErrorOf(kevent_get_events(-1, 0, 0, nullptr, nullptr, 0)), EBADF);
  EXPECT_EQ(ErrorOf(kevent_get_events(STDIN_FILENO, 0, 0, nullptr, nullptr, 0)), EINVAL);
  EXPECT_EQ(ErrorOf(kevent_get_events(fd_, 0, 0, nullptr, nullptr, 4)), EINVAL);
  EXPECT_EQ(kevent_get_events(fd_, 0, 0, nullptr, nullptr, 0), 0);
  // Nothing was done.
  errno = 77;
  EXPECT_EQ(Get(1, 1, nullptr), 1);
  EXPECT_EQ(errno, 77);
}

TEST_F(CollectingPage, CallsThatDoNotSleep) {
  const timespec none = {0, 0};
  EXPECT_EQ(Get(1, 1, &none), 0);
  EXPECT_EQ(Get(0, 1, nullptr), 0);
  // A moment that has passed.
  for (const timespec& past : {timespec{0, 0}, timespec{1, 0}}) {
    EXPECT_EQ(Get(1, 1, &past, KEVENT_FLAGS_ABSTIME), 0);
    EXPECT_EQ(Get(1, 1, &past, KEVENT_FLAGS_ABSTIME | KEVENT_FLAGS_MONOTONIC), 0);
  }
  ASSERT_EQ(fcntl(fd_, F_SETFL, O_NONBLOCK), 0);
  EXPECT_EQ(Get(1, 1, nullptr), 0);
  const timespec later = In(CLOCK_REALTIME, 1000);
  EXPECT_EQ(Get(1, 1, &later, KEVENT_FLAGS_ABSTIME), 0);
}

// ---- kevent_wait(3) --------------------------------------------------------------------

class RingPage : public testing::Test {
 protected:
  static constexpr unsigned kSize = 4;
  RingPage() {
    for (uint64_t id = 0; id < 12; ++id) EXPECT_EQ(Add(fd_, User(id)), 0);
  }
  ~RingPage() override { close(fd_); }
  static ukevent User(uint64_t id) { return Request(KEVENT_UNOTIFY, id, KEVENT_UNOTIFY_EVENT); }
  void Ready(uint64_t first, uint64_t last) const {
    for (uint64_t id = first; id <= last; ++id) EXPECT_TRUE(Inject(fd_, User(id)));
  }

  struct alignas(kevent_ring) {
    char bytes[sizeof(kevent_ring) + kSize * sizeof(ukevent)];
  } memory_ = {};
  kevent_ring* const ring_ = reinterpret_cast<kevent_ring*>(&memory_);
  const int fd_ = kevent_init(ring_, kSize, 0);
};

TEST_F(RingPage, OthersTakePastAFullRing) {
  Ready(0, 7);
  const timespec none = {0, 0};
  EXPECT_EQ(kevent_wait(fd_, kSize, 0, &none, 0), kSize);
  EXPECT_EQ(kevent_wait(fd_, kSize, 0, &none, 0), 0);
  const auto events = Take(fd_);
  ASSERT_EQ(events.size(), 4);
  for (unsigned i = 0; i < kSize; ++i) {
    EXPECT_EQ(events[i].id.raw_u64, 4 + i);
    EXPECT_EQ(ring_->event[i].id.raw_u64, i);
    EXPECT_EQ(events[i].ret_flags & KEVENT_RET_COPY_FAILED, 0);
  }
}

TEST_F(RingPage, ASleepEndsAsThatOfOtherCallsDoes) {
  const timespec none = {0, 0};
  // For want of events, and for want of room.
  for (const bool full : {false, true}) {
    SCOPED_TRACE(full ? "full" : "empty");
    if (full) {
      Ready(0, 5);
      ASSERT_EQ(kevent_wait(fd_, kSize, 0, &none, 0), kSize);
    }
    int error = -1;
    int result = -2;
    const auto wait = [&] {
      result = kevent_wait(fd_, kSize, 0, nullptr, 0);
      error = ErrorOf(result);
    };
    {
      Thread thread(wait);
      thread.AwaitAsleep();
      EXPECT_EQ(kevent_ctl(fd_, KEVENT_CTL_READY, 0, nullptr), 0);
    }
    EXPECT_EQ(result, 0);
    struct sigaction action = {};
    action.sa_handler = [](int) {};
    struct sigaction before;
    ASSERT_EQ(sigaction(SIGUSR1, &action, &before), 0);
    {
      Thread thread(wait);
      while (!thread.finished()) {
        thread.AwaitAsleep();
        thread.Kill(SIGUSR1);
      }
    }
    EXPECT_EQ(error, EINTR);
    sigaction(SIGUSR1, &before, nullptr);
    ASSERT_EQ(fcntl(fd_, F_SETFL, O_NONBLOCK), 0);
    wait();
    EXPECT_EQ(result, 0);
    ASSERT_EQ(fcntl(fd_, F_SETFL, 0), 0);
  }
  int error = 0;
  {
    Thread thread([&] { error = ErrorOf(kevent_wait(fd_, kSize, 0, nullptr, 0)); });
    thread.AwaitAsleep();
    close(fd_);
  }
  EXPECT_EQ(error, EBADF);
  dup2(STDIN_FILENO, fd_);  // for the destructor
}

TEST_F(RingPage, AnIndexThatIsNotUpToDateDoesNotSleepAndMovesWhatIsReady) {
  EXPECT_EQ(kevent_wait(fd_, kSize, 3, nullptr, 0), 0);
  Ready(0, 1);
  EXPECT_EQ(kevent_wait(fd_, kSize, 3, nullptr, 0), 2);
  EXPECT_EQ(ring_->ring_kidx, 2);
}

}  // namespace
}  // namespace kevent_test
