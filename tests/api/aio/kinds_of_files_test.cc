// SPDX-License-Identifier: MIT
//
// An operation ends when read(2) or write(2) would, with what they would return, on
// every kind of file that there is: what they answer at once is the completion, also
// where the file is not ready, and will not be.

#include <fcntl.h>
#include <pty.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <termios.h>

#include <cerrno>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/aio.h"
#include "tests/support/process.h"
#include "tests/support/queue.h"

namespace kevent_test {
namespace {

// A way to get a descriptor, which may be refused; what else it needs stays open.
struct Kind {
  const char* name;
  int (*open)();
};

std::string Name() {
  static int count = 0;
  return testing::TempDir() + "/kevent." + std::to_string(getpid()) + "." + std::to_string(++count);
}

int Fifo(int flags) {
  const std::string name = Name();
  if (mkfifo(name.c_str(), 0600) != 0) return -1;
  const int fd = open(name.c_str(), flags | O_NONBLOCK | O_CLOEXEC);
  unlink(name.c_str());
  return fd;
}

int EndOfPipe(int end, int flags = 0) {
  int ends[2];
  return pipe2(ends, flags) == 0 ? ends[end] : -1;
}

int FullPipe() {
  int ends[2];
  if (pipe2(ends, O_NONBLOCK) != 0) return -1;
  const std::vector<char> bytes(4096);
  while (write(ends[1], bytes.data(), bytes.size()) > 0) {
  }
  return ends[1];
}

int EndOfSockets(int type) {
  int ends[2];
  return socketpair(AF_UNIX, type, 0, ends) == 0 ? ends[0] : -1;
}

int Terminal(bool master) {
  int main_end;
  int terminal;
  if (openpty(&main_end, &terminal, nullptr, nullptr, nullptr) != 0) return -1;
  return master ? main_end : terminal;
}

int File(int flags) {
  const std::string name = Name();
  const int fd = open(name.c_str(), O_CREAT | O_EXCL | flags, 0600);
  unlink(name.c_str());
  return fd;
}

int Signals() {
  sigset_t none;
  sigemptyset(&none);
  return signalfd(-1, &none, 0);
}

const Kind kKinds[] = {
    {"Eventfd", [] { return eventfd(0, 0); }},
    {"EventfdWithSomething", [] { return eventfd(3, 0); }},
    {"FullEventfd",
     [] {
       const int fd = eventfd(0, 0);
       const uint64_t most = UINT64_MAX - 1;
       EXPECT_EQ(write(fd, &most, sizeof most), 8);
       return fd;
     }},
    {"Timerfd", [] { return timerfd_create(CLOCK_MONOTONIC, 0); }},
    {"TimerfdThatHasExpired",
     [] {
       const int fd = timerfd_create(CLOCK_MONOTONIC, 0);
       const itimerspec past = {{0, 0}, {0, 1}};
       EXPECT_EQ(timerfd_settime(fd, TFD_TIMER_ABSTIME, &past, nullptr), 0);
       pollfd descriptor = {fd, POLLIN, 0};
       EXPECT_EQ(poll(&descriptor, 1, -1), 1);
       return fd;
     }},
    {"Signalfd", &Signals},
    {"Inotify", [] { return inotify_init1(0); }},
    {"Fanotify", [] { return fanotify_init(FAN_CLASS_NOTIF, O_RDONLY); }},
    {"Epoll", [] { return epoll_create1(0); }},
    {"Queue", [] { return kevent_init(nullptr, 0, 0); }},
    {"Pidfd", [] { return static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0)); }},
    {"Userfaultfd", [] { return static_cast<int>(syscall(SYS_userfaultfd, 0)); }},
    {"Memfd", [] { return memfd_create("kevent", 0); }},
    {"EmptyPipe", [] { return EndOfPipe(0); }},
    {"EmptyPipesOtherEnd", [] { return EndOfPipe(1); }},
    {"PipeOfPackets", [] { return EndOfPipe(0, O_DIRECT); }},
    {"PipeWithoutAWriter",
     [] {
       int ends[2];
       EXPECT_EQ(pipe(ends), 0);
       close(ends[1]);
       return ends[0];
     }},
    {"FullPipe", &FullPipe},
    {"Fifo", [] { return Fifo(O_RDWR); }},
    {"FifoThatNobodyWritesTo", [] { return Fifo(O_RDONLY); }},
    {"Stream", [] { return EndOfSockets(SOCK_STREAM); }},
    {"Datagrams", [] { return EndOfSockets(SOCK_DGRAM); }},
    {"Packets", [] { return EndOfSockets(SOCK_SEQPACKET); }},
    {"UnconnectedStream", [] { return socket(AF_INET, SOCK_STREAM, 0); }},
    {"UnconnectedDatagrams", [] { return socket(AF_INET, SOCK_DGRAM, 0); }},
    {"UnconnectedUnix", [] { return socket(AF_UNIX, SOCK_STREAM, 0); }},
    {"Listening",
     [] {
       const int fd = socket(AF_INET, SOCK_STREAM, 0);
       EXPECT_EQ(listen(fd, 1), 0);
       return fd;
     }},
    {"Terminal", [] { return Terminal(false); }},
    {"TerminalsMaster", [] { return Terminal(true); }},
    {"Null", [] { return open("/dev/null", O_RDWR); }},
    {"Zero", [] { return open("/dev/zero", O_RDWR); }},
    {"Full", [] { return open("/dev/full", O_RDWR); }},
    {"Random", [] { return open("/dev/urandom", O_RDONLY); }},
    {"Directory", [] { return open("/", O_RDONLY); }},
    {"Path", [] { return open("/", O_PATH); }},
    {"File", [] { return File(O_RDWR); }},
    {"FileToBeRead", [] { return File(O_RDONLY); }},
    {"FileToBeAppendedTo", [] { return File(O_RDWR | O_APPEND); }},
    {"Status", [] { return open("/proc/self/status", O_RDONLY); }},
    {"Mounts", [] { return open("/proc/self/mounts", O_RDONLY); }},
    {"Namespace", [] { return open("/proc/self/ns/net", O_RDONLY); }},
    {"Control", [] { return open("/proc/self/oom_score_adj", O_RDWR); }},
    {"NotOpen", [] { return 1000; }},
};

class KindsOfFiles : public testing::TestWithParam<Kind> {
 protected:
  // The call's answer for such a file, without waiting: a negative errno, or how much.
  static int Plain(bool writes, size_t bytes) {
    const int fd = Open(true);
    const ssize_t result = writes ? write(fd, bytes_, bytes) : read(fd, bytes_, bytes);
    return result < 0 ? -errno : static_cast<int>(result);
  }

  static int Open(bool nonblock) {
    const int fd = GetParam().open();
    CHILD_CHECK(fd >= 0);
    const int flags = fcntl(fd, F_GETFL);
    if (flags >= 0) fcntl(fd, F_SETFL, nonblock ? flags | O_NONBLOCK : flags & ~O_NONBLOCK);
    return fd;
  }

  // The calls, which take no offset, are at the beginning of such a file.
  static bool HasPlaces() {
    const int fd = GetParam().open();
    struct stat status;
    return fstat(fd, &status) == 0 && (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode));
  }

  // Whether a call without O_NONBLOCK has that answer as well.
  static bool IsAtOnce(int plain) { return plain != -EAGAIN; }

  void Compare(int queue, bool writes, size_t bytes, bool nonblock, off_t offset) {
    const int plain = Plain(writes, bytes);
    const int fd = Open(nonblock);
    // What waits is left behind with its process.
    static std::vector<std::unique_ptr<aiocb>> controls;
    aiocb* control = controls.emplace_back(std::make_unique<aiocb>()).get();
    Prepare(control, queue, fd, bytes_, bytes, offset);
    const int begun = writes ? aio_write(control) : aio_read(control);
    const auto say = [&](const char* what, int result) {
      dprintf(STDERR_FILENO, "%s: %s of %zu at %ld%s: %s %d (%s) instead of %d (%s)\n",
              GetParam().name, writes ? "write" : "read", bytes, static_cast<long>(offset),
              nonblock ? ", O_NONBLOCK" : "", what, result,
              result < 0 ? strerrorname_np(-result) : "", plain,
              plain < 0 ? strerrorname_np(-plain) : "");
      failed_ = true;
    };
    if (begun != 0) {
      if (-errno != plain) say("refused with", -errno);
      return;
    }
    if (!nonblock && !IsAtOnce(plain)) {
      if (ErrorOf(*control) != EINPROGRESS) say("ended with", -ErrorOf(*control));
      aio_cancel(fd, control);
      return;
    }
    ukevent event;
    for (;;) {
      if (kevent_get_events(queue, 1, 1, nullptr, &event, 0) == 1 && event.ptr == control) break;
    }
    const int error = ErrorOf(*control);
    const auto result = static_cast<int>(aio_return(control));
    if ((error != 0 ? -error : result) != plain) say("ended with", error != 0 ? -error : result);
  }

  static inline char bytes_[4096] = "0 text";
  bool failed_ = false;
};

TEST_P(KindsOfFiles, AreReadAndWrittenAsByTheCalls) {
  {
    const int fd = GetParam().open();
    if (fd < 0) GTEST_SKIP() << "not to be had here: " << std::strerror(errno);
    if (fcntl(fd, F_GETFD) >= 0) close(fd);
  }
  for (const bool writes : {false, true}) {
    // In a process for each, so that what waits is left behind.
    ExpectChild([&] {
      alarm(250);
      signal(SIGPIPE, SIG_IGN);
      const int queue = kevent_init(nullptr, 0, 0);
      for (const size_t bytes :
           {size_t{0}, size_t{1}, size_t{4}, size_t{8}, size_t{64}, size_t{600}}) {
        for (const bool nonblock : {true, false}) {
          for (const off_t offset : {off_t{0}, off_t{500}}) {
            if (offset != 0 && HasPlaces()) continue;
            Compare(queue, writes, bytes, nonblock, offset);
          }
        }
      }
      CHILD_CHECK(!failed_);
    });
  }
}

INSTANTIATE_TEST_SUITE_P(Of, KindsOfFiles, testing::ValuesIn(kKinds),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace kevent_test
