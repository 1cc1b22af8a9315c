// SPDX-License-Identifier: MIT
//
// Every kind of event in one queue, made ready in random order for ten seconds
// (KEVENT_TEST_SECONDS), with exact books: what was made to happen is what was
// reported, for each source by itself.

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/kevents.h"
#include "tests/support/queue.h"

namespace kevent_test {
namespace {

constexpr unsigned kOfEach = 8;

// A source with its cookie: makes something happen, and counts what the queue
// says of it.
struct Book {
  uint64_t made = 0;
  uint64_t reported = 0;
};

class Together : public testing::Test {
 protected:
  enum Kind : uintptr_t {
    kPosixTimer = 1,
    kTimer,
    kSocket,
    kPipe,
    kDirectory,
    kSignal,
    kProcess,
    kUser,
    kKinds,
  };
  static uintptr_t Cookie(Kind kind, unsigned index) { return kind << 8 | index; }

  Together() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    pthread_sigmask(SIG_BLOCK, &set, &mask_);
    std::string name = "/tmp/kevent_test.XXXXXX";
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    path_ = name;
    directory_ = open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (unsigned i = 0; i < kOfEach; ++i) {
      EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets_[i].data()), 0);
      EXPECT_EQ(pipe2(pipes_[i].data(), O_CLOEXEC), 0);
      timers_.emplace_back(fd_, Cookie(kPosixTimer, i));
      Register(DescriptorRequest(KEVENT_SOCKET, sockets_[i][0], KEVENT_SOCKET_RECV,
                                 i % 2 == 0 ? 0 : KEVENT_REQ_ET, Cookie(kSocket, i)));
      Register(DescriptorRequest(KEVENT_PIPE, pipes_[i][0], KEVENT_SOCKET_RECV,
                                 i % 2 == 0 ? 0 : KEVENT_REQ_ET, Cookie(kPipe, i)));
      const kevent_timer_spec never = {CLOCK_BOOTTIME, 0, Setting(0)};
      Register(TimerRequest(i, &never, Cookie(kTimer, i)));
      Register(Request(KEVENT_UNOTIFY, i, KEVENT_UNOTIFY_EVENT, 0, Cookie(kUser, i)));
    }
    Register(DescriptorRequest(KEVENT_INODE, directory_, KEVENT_INODE_CREATE | KEVENT_INODE_REMOVE,
                               0, Cookie(kDirectory, 0)));
    Register(Request(KEVENT_SIGNAL, static_cast<uint64_t>(SIGRTMIN), KEVENT_SIGNAL_DELIVERY, 0,
                     Cookie(kSignal, 0)));
  }
  ~Together() override {
    for (const auto& ends : {sockets_, pipes_}) {
      for (const auto& pair : ends) {
        close(pair[0]);
        close(pair[1]);
      }
    }
    close(directory_);
    EXPECT_EQ(system(("rm -rf " + path_).c_str()), 0);
    pthread_sigmask(SIG_SETMASK, &mask_, nullptr);
  }

  void Register(const ukevent& request) const { EXPECT_EQ(Add(fd_, request), 0); }

  Book& BookOf(uintptr_t cookie) { return books_[cookie]; }
  bool Outstanding(uintptr_t cookie) { return BookOf(cookie).made != BookOf(cookie).reported; }

  bool AnyOutstanding() const {
    return std::any_of(books_.begin(), books_.end(), [](const auto& entry) {
      return entry.second.made != entry.second.reported;
    });
  }

  // Makes something happen, if what it would coalesce with has been reported.
  void Make(Kind kind, unsigned i) {
    const bool single = kind == kDirectory || kind == kSignal;
    const uintptr_t cookie = Cookie(kind, single || kind == kProcess ? 0 : i);
    Book& book = BookOf(cookie);
    switch (kind) {
      case kPosixTimer:
        if (Outstanding(cookie)) return;
        i % 2 == 0 ? timers_[i].Expire()
                   : timers_[i].ArmIn(static_cast<Nanos>(1 + random_() % 300'000));
        break;
      case kTimer: {
        if (Outstanding(cookie)) return;
        const kevent_timer_spec soon = {CLOCK_BOOTTIME, 0,
                                        Setting(static_cast<Nanos>(1 + random_() % 300'000))};
        EXPECT_EQ(Control(fd_, KEVENT_CTL_MODIFY, TimerRequest(i, &soon, cookie)), 0);
        break;
      }
      case kSocket:
        ASSERT_EQ(write(sockets_[i][1], "x", 1), 1);
        break;
      case kPipe:
        ASSERT_EQ(write(pipes_[i][1], "x", 1), 1);
        break;
      case kDirectory: {
        const std::string name = "f" + std::to_string(book.made);
        close(openat(directory_, name.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
        unlinkat(directory_, name.c_str(), 0);
        ++book.made;
        break;
      }
      case kSignal:
        ASSERT_EQ(kill(getpid(), SIGRTMIN), 0);
        break;
      case kProcess: {
        const pid_t child = fork();
        if (child == 0) _exit(static_cast<int>(book.made % 100));
        statuses_[child] = static_cast<int>(book.made % 100);
        Register(
            Request(KEVENT_PROCESS, static_cast<uint32_t>(child), KEVENT_PROCESS_EXIT, 0, cookie));
        break;
      }
      default:
        if (Outstanding(cookie)) return;
        EXPECT_TRUE(Inject(fd_, Request(KEVENT_UNOTIFY, i, 1, 0, cookie)));
    }
    ++book.made;
  }

  // Enters an event into its book; what a descriptor has to read is read.
  void Enter(const ukevent& event) {
    const auto cookie = reinterpret_cast<uintptr_t>(event.ptr);
    const unsigned i = cookie & 0xff;
    Book& book = BookOf(cookie);
    EXPECT_EQ(event.ret_flags, KEVENT_RET_DONE);
    switch (cookie >> 8) {
      case kPosixTimer:
        EXPECT_EQ(event.type, KEVENT_POSIX_TIMER);
        EXPECT_EQ(event.id.raw_u64, timers_[i].id_bits());
        ++book.reported;
        break;
      case kTimer:
        EXPECT_EQ(event.type, KEVENT_TIMER);
        EXPECT_EQ(event.id.raw_u64, i);
        ++book.reported;
        break;
      case kSocket:
        EXPECT_EQ(event.type, KEVENT_SOCKET);
        EXPECT_EQ(event.id.raw[0], static_cast<uint32_t>(sockets_[i][0]));
        book.reported += Drain(sockets_[i][0]);
        break;
      case kPipe:
        EXPECT_EQ(event.type, KEVENT_PIPE);
        EXPECT_EQ(event.id.raw[0], static_cast<uint32_t>(pipes_[i][0]));
        book.reported += Drain(pipes_[i][0]);
        break;
      case kDirectory:
        EXPECT_EQ(event.type, KEVENT_INODE);
        book.reported += event.ret_data[1];
        break;
      case kSignal:
        EXPECT_EQ(event.type, KEVENT_SIGNAL);
        EXPECT_EQ(event.id.raw_u64, static_cast<uint64_t>(SIGRTMIN));
        book.reported += event.ret_data[0];
        break;
      case kProcess: {
        EXPECT_EQ(event.type, KEVENT_PROCESS);
        const auto child = static_cast<pid_t>(event.id.raw[0]);
        ASSERT_EQ(statuses_.count(child), 1);
        EXPECT_EQ(event.ret_data[0], static_cast<uint32_t>(statuses_[child]) << 8);
        EXPECT_EQ(waitpid(child, nullptr, 0), child);
        statuses_.erase(child);
        ++book.reported;
        break;
      }
      case kUser:
        EXPECT_EQ(event.type, KEVENT_UNOTIFY);
        EXPECT_EQ(event.id.raw_u64, i);
        ++book.reported;
        break;
      default:
        ADD_FAILURE() << "an event that nobody asked for, type " << event.type;
    }
    EXPECT_LE(book.reported, book.made) << "cookie " << cookie;
  }

  // Nothing may be read twice: an event without a byte is one too many.
  static uint64_t Drain(int fd) {
    char bytes[4096];
    const ssize_t count = read(fd, bytes, sizeof bytes);
    EXPECT_GT(count, 0);
    return count < 0 ? 0 : static_cast<uint64_t>(count);
  }

  std::mt19937_64 random_{20260822};
  sigset_t mask_;
  std::string path_;
  int directory_;
  const Queue queue_;
  const int fd_ = queue_.fd();
  std::array<std::array<int, 2>, kOfEach> sockets_;
  std::array<std::array<int, 2>, kOfEach> pipes_;
  std::vector<Timer> timers_;
  std::map<pid_t, int> statuses_;
  std::map<uintptr_t, Book> books_;
};

// Made ready in random order, all sources of all kinds are in one array.
TEST_F(Together, AllKindsInOneArray) {
  constexpr unsigned kSources = 5 * kOfEach + 3;
  std::vector<std::pair<Kind, unsigned>> sources;
  for (const Kind kind : {kPosixTimer, kTimer, kSocket, kPipe, kUser}) {
    for (unsigned i = 0; i < kOfEach; ++i) sources.emplace_back(kind, i);
  }
  for (const Kind kind : {kDirectory, kSignal, kProcess}) sources.emplace_back(kind, 0);
  for (int round = 0; round < 20 && !HasFailure(); ++round) {
    std::shuffle(sources.begin(), sources.end(), random_);
    for (const auto& [kind, i] : sources) Make(kind, i);
    const auto events = Take(fd_, kSources, 2 * kSources);
    EXPECT_EQ(events.size(), kSources);
    std::set<const void*> cookies;
    for (const ukevent& event : events) {
      cookies.insert(event.ptr);
      Enter(event);
    }
    EXPECT_EQ(cookies.size(), kSources) << "one is reported twice, and another not at all";
  }
  for (const auto& [cookie, book] : books_) EXPECT_EQ(book.made, book.reported);
}

TEST_F(Together, NoneLostNoneInvented) {
  const char* seconds = getenv("KEVENT_TEST_SECONDS");
  const Nanos end = Now(CLOCK_MONOTONIC) + (seconds == nullptr ? 10 : std::atoi(seconds)) * kSecond;
  while (Now(CLOCK_MONOTONIC) < end && !HasFailure()) {
    for (uint64_t n = random_() % 40; n > 0; --n) {
      const auto kind = static_cast<Kind>(1 + random_() % (kKinds - 1));
      if (kind == kProcess && random_() % 64 != 0) continue;
      Make(kind, static_cast<unsigned>(random_() % kOfEach));
    }
    // Sometimes room for one, sometimes for all; nothing may be left for ever.
    const auto max = static_cast<unsigned>(1 + random_() % 48);
    const auto min = static_cast<unsigned>(random_() % 3);
    for (const ukevent& event : Take(fd_, min < max ? min : max, max, 200 * kMicrosecond)) {
      Enter(event);
    }
  }
  while (AnyOutstanding() && !HasFailure()) {
    const auto events = Take(fd_, 1, 64, 60 * kSecond);  // a child may wait for a processor
    if (events.empty()) break;
    for (const ukevent& event : events) Enter(event);
  }
  for (const ukevent& event : Take(fd_)) Enter(event);
  uint64_t all = 0;
  for (const auto& [cookie, book] : books_) {
    EXPECT_EQ(book.made, book.reported) << "kind " << (cookie >> 8) << ", " << (cookie & 0xff);
    EXPECT_GT(book.made, 0);
    all += book.made;
  }
  EXPECT_EQ(books_.size(), 5 * kOfEach + 3);
  std::printf("%llu events of %zu sources\n", static_cast<unsigned long long>(all), books_.size());
}

}  // namespace
}  // namespace kevent_test
