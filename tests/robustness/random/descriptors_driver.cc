// SPDX-License-Identifier: MIT
//
// Random threads of descriptor calls around live queues.
//
// Threads that own numbers put files under them, copy, replace and close them, one by
// one and by ranges; others make queues, set timers, collect, copy and close, watch
// pipes, and read asynchronously; one makes children in each way there is.  Each keeps
// exact books: a number is what its owner has put there, a queue reports what was set,
// no call fails but dup2 with EBUSY, no epoll of the program's reports what is not
// ready, and in the end nothing is open that was not open before.
//
// No thread uses a number that it does not own: an owner's low number is never free, and
// from kFirstInternal on the kernel gives numbers only to the library.

#include <absl/flags/flag.h>
#include <aio.h>
#include <fcntl.h>
#include <kevent/kevent.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tools/support/command_line.h"

ABSL_FLAG(uint32_t, seconds, 0,
          "for so many seconds; 0: 5, or 300 if KEVENT_LONG is in the environment");
ABSL_FLAG(uint64_t, seed, 0, "what the calls follow from; 0: a number that is printed");
ABSL_FLAG(
    bool, look, false,
    "only exit with 8 if a descriptor of the library's is open: for what the driver executes");

namespace {

// The library keeps its own numbers from here on (of 1 024 descriptors).
constexpr int kFirstInternal = 768;
// The signal that says so (F_GETSIG).
constexpr int kMark = 32;
constexpr int kOwners = 3;
// An owner's numbers that are always open, and those that come and go.
constexpr int kFirstLow = 40;
constexpr int kLowNumbers = 4;
constexpr int kFreeNumbers = 48;  // of each owner, from kFirstInternal on

std::atomic<bool> g_over{false};
std::atomic<bool> g_failed{false};
std::atomic<uint64_t> g_calls{0};
std::atomic<uint64_t> g_busy{0};
std::atomic<uint64_t> g_events{0};
uint64_t g_seed = 0;

[[gnu::format(printf, 2, 3)]] void Fail(int line, const char* format, ...) {
  const int error = errno;
  char text[4000];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  std::printf("line %d: %s (errno %d, %s); seed %llu\n", line, text, error, std::strerror(error),
              static_cast<unsigned long long>(g_seed));
  std::fflush(stdout);
  g_failed = true;
  g_over = true;
}

#define EXPECT(condition, ...)                            \
  do {                                                    \
    if (!(condition)) return Fail(__LINE__, __VA_ARGS__); \
  } while (false)

using Random = std::mt19937_64;

int Below(Random& random, int end) {
  return static_cast<int>(random() % static_cast<uint64_t>(end));
}

std::string FileOf(int fd) {
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  char target[256] = {};
  return readlink(link.c_str(), target, sizeof target - 1) > 0 ? target : "nothing";
}

struct File {
  explicit File(int descriptor) : fd(descriptor) {
    struct stat status = {};
    fstat(fd, &status);
    device = status.st_dev;
    inode = status.st_ino;
  }
  ~File() { close(fd); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  // The descriptor is of this very file and has no mark.
  bool Is(int descriptor) const {
    struct stat status = {};
    return fstat(descriptor, &status) == 0 && status.st_dev == device && status.st_ino == inode &&
           fcntl(descriptor, F_GETSIG) == 0;
  }

  const int fd;
  dev_t device;
  ino_t inode;
};

int PipeEnd() {
  std::array<int, 2> ends;
  if (pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0) return -1;
  close(ends[1]);
  return ends[0];
}

// ---- Owners of numbers -----------------------------------------------------------

// Replaces, copies and closes under its own numbers.  Files of one inode each, and
// kinds that the library has inside as well, which have no inode of their own.
class Owner {
 public:
  Owner(int index, uint64_t seed) : index_(index), random_(seed) {
    files_.push_back(std::make_unique<File>(memfd_create("driver", MFD_CLOEXEC)));
    files_.push_back(std::make_unique<File>(PipeEnd()));
    files_.push_back(std::make_unique<File>(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)));
    files_.push_back(std::make_unique<File>(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)));
    files_.push_back(std::make_unique<File>(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC)));
    files_.push_back(std::make_unique<File>(epoll_create1(EPOLL_CLOEXEC)));
    low_.fill(-1);
    high_.fill(-1);
    epoll_event silent = {};
    silent.events = EPOLLIN;
    silent.data.u64 = 0xdeadbeef;
    epoll_ctl(files_.back()->fd, EPOLL_CTL_ADD, files_[3]->fd, &silent);
    for (int i = 0; i < kLowNumbers; ++i) Replace(Low(i), &low_[static_cast<size_t>(i)]);
  }

  ~Owner() {
    for (int i = 0; i < kLowNumbers; ++i) Close(Low(i), &low_[static_cast<size_t>(i)]);
    for (int i = 0; i < kFreeNumbers; ++i) Close(High(i), &high_[static_cast<size_t>(i)]);
  }
  Owner(const Owner&) = delete;
  Owner& operator=(const Owner&) = delete;

  void Run() {
    while (!g_over) Step();
  }

 private:
  int Low(int i) const { return kFirstLow + index_ * kLowNumbers + i; }
  int High(int i) const { return kFirstInternal + index_ * kFreeNumbers + i; }

  void Step() {
    g_calls.fetch_add(1, std::memory_order_relaxed);
    const int i = Below(random_, kFreeNumbers);
    switch (Below(random_, 12)) {
      case 0: {
        const int low = Below(random_, kLowNumbers);
        return Replace(Low(low), &low_[static_cast<size_t>(low)]);
      }
      case 1:
      case 2:
      case 3:
      case 4:
        return Replace(High(i), &high_[static_cast<size_t>(i)]);
      case 5:
      case 6:
      case 7:
        return Close(High(i), &high_[static_cast<size_t>(i)]);
      case 8:
        return CloseSome(i);
      case 9:
        return Copy();
      case 10:
        return Look(High(i), high_[static_cast<size_t>(i)]);
      default:
        return EpollIsSilent();
    }
  }

  void Replace(int number, int* holds) {
    const int file = Below(random_, static_cast<int>(files_.size()));
    const bool cloexec = Below(random_, 2) == 0;
    const int fd = files_[static_cast<size_t>(file)]->fd;
    const int result = cloexec ? dup3(fd, number, O_CLOEXEC) : dup2(fd, number);
    if (result == -1 && errno == EBUSY) {
      ++g_busy;
      return;
    }
    EXPECT(result == number, "dup2 onto %d: %d", number, result);
    *holds = file;
    EXPECT(files_[static_cast<size_t>(file)]->Is(number), "%d is %s after dup2", number,
           FileOf(number).c_str());
    EXPECT(fcntl(number, F_GETFD) == (cloexec ? FD_CLOEXEC : 0), "flags of %d", number);
  }

  void Close(int number, int* holds) {
    if (*holds < 0) return;
    EXPECT(files_[static_cast<size_t>(*holds)]->Is(number), "%d became %s", number,
           FileOf(number).c_str());
    *holds = -1;
    EXPECT(close(number) == 0, "close of %d", number);
  }

  // A range of its own numbers, the library's among them.
  void CloseSome(int first) {
    const int last = first + Below(random_, kFreeNumbers - first);
    for (int i = first; i <= last; ++i) high_[static_cast<size_t>(i)] = -1;
    EXPECT(
        close_range(static_cast<unsigned>(High(first)), static_cast<unsigned>(High(last)), 0) == 0,
        "close_range");
  }

  void Copy() {
    const File& file =
        *files_[static_cast<size_t>(Below(random_, static_cast<int>(files_.size())))];
    const int copy = Below(random_, 2) == 0 ? dup(file.fd) : fcntl(file.fd, F_DUPFD_CLOEXEC, 0);
    EXPECT(copy >= 0, "dup");
    EXPECT(file.Is(copy), "the copy %d is %s", copy, FileOf(copy).c_str());
    EXPECT(close(copy) == 0, "close of a copy %d", copy);
  }

  void Look(int number, int holds) {
    if (holds < 0) return;
    EXPECT(files_[static_cast<size_t>(holds)]->Is(number), "%d became %s", number,
           FileOf(number).c_str());
  }

  void EpollIsSilent() {
    epoll_event event;
    const int count = epoll_wait(files_.back()->fd, &event, 1, 0);
    EXPECT(count == 0, "the program's epoll reports %d, %llx", count,
           static_cast<unsigned long long>(event.data.u64));
    itimerspec setting;
    EXPECT(timerfd_gettime(files_[4]->fd, &setting) == 0 && setting.it_value.tv_sec == 0 &&
               setting.it_value.tv_nsec == 0,
           "the program's timerfd was armed");
  }

  const int index_;
  Random random_;
  std::vector<std::unique_ptr<File>> files_;
  std::array<int, kLowNumbers> low_;
  std::array<int, kFreeNumbers> high_;
};

// ---- Queues ----------------------------------------------------------------------

constexpr timespec kLong = {60, 0};  // beyond which an event is lost

class QueueUser {
 public:
  explicit QueueUser(uint64_t seed) : random_(seed) {}

  void Run() {
    // Beside busier threads it is stopped for long wherever it is.
    if (Below(random_, 2) == 0) setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), 19);
    while (!g_over) Live();
  }

 private:
  // One queue from kevent_init to its last close.
  void Live() {
    const int queue = kevent_init(nullptr, 0, 0);
    EXPECT(queue >= 0, "kevent_init");
    names_ = {queue};
    constexpr std::array kClocks = {CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME, CLOCK_TAI};
    timers_.clear();
    for (int i = 1 + Below(random_, 3); i > 0 && !g_over; --i) {
      sigevent request;
      kevent_sigevent(&request, queue, nullptr);
      timer_t timer;
      EXPECT(timer_create(kClocks[static_cast<size_t>(Below(random_, 4))], &request, &timer) == 0,
             "timer_create");
      timers_.push_back(timer);
    }
    for (int i = Below(random_, 40); i > 0 && !g_over; --i) Step();
    for (timer_t timer : timers_) EXPECT(timer_delete(timer) == 0, "timer_delete");
    for (const int name : names_) EXPECT(close(name) == 0, "close of a queue, %d", name);
  }

  int Name() {
    return names_[static_cast<size_t>(Below(random_, static_cast<int>(names_.size())))];
  }

  void Step() {
    switch (Below(random_, 10)) {
      case 0: {
        const int copy = Below(random_, 2) == 0 ? dup(Name()) : fcntl(Name(), F_DUPFD_CLOEXEC, 0);
        EXPECT(copy >= 0, "dup of a queue");
        names_.push_back(copy);
        return;
      }
      case 1: {
        if (names_.size() == 1) return;
        const int name = names_.back();
        names_.pop_back();
        EXPECT(close(name) == 0, "close of a copy, %d", name);
        return;
      }
      case 2:
        EXPECT(fcntl(Name(), F_SETSIG, SIGUSR1) == 0 && fcntl(Name(), F_GETSIG) == SIGUSR1,
               "F_SETSIG on a queue");
        return;
      case 3: {
        // Onto a copy of its own, and with another thread's epoll there in between.
        if (names_.size() == 1) return;
        const int name = names_.back();
        const int epoll = epoll_create1(EPOLL_CLOEXEC);
        EXPECT(dup2(epoll, name) == name, "dup2 over a queue");
        EXPECT(dup2(names_.front(), name) == name, "dup2 of a queue");
        EXPECT(close(epoll) == 0, "close of an epoll");
        return;
      }
      case 4:
        return WatchAPipe();
      case 5:
        return ReadAsynchronously();
      default:
        return Expire();
    }
  }

  // Several timers, soon or already; as many events come.
  void Expire() {
    const auto flags = fcntl(names_.front(), F_GETFL);
    EXPECT(flags >= 0, "F_GETFL of a queue");
    for (timer_t timer : timers_) {
      const itimerspec soon = {{0, 0}, {0, 1 + Below(random_, 50'000)}};
      EXPECT(timer_settime(timer, 0, &soon, nullptr) == 0, "timer_settime");
    }
    unsigned left = static_cast<unsigned>(timers_.size());
    sigset_t none;
    sigemptyset(&none);
    while (left != 0) {
      const int name = Name();
      const int how = Below(random_, 4);
      std::array<ukevent, 4> events;
      const unsigned least = how == 0 ? left : 1;
      if (how == 3) {
        pollfd descriptor = {name, POLLIN, 0};
        EXPECT(poll(&descriptor, 1, 60'000) == 1 && descriptor.revents == POLLIN, "poll of %d: %x",
               name, descriptor.revents);
      }
      const int count = how == 1
                            ? kevent_pget_events(name, least, left, &kLong, events.data(), 0, &none)
                            : kevent_get_events(name, least, left, &kLong, events.data(), 0);
      EXPECT(count >= static_cast<int>(least), "kevent_get_events of %d: %d of %u; %s", name, count,
             left, StateOfTimers().c_str());
      left -= static_cast<unsigned>(count);
      g_events.fetch_add(static_cast<uint64_t>(count), std::memory_order_relaxed);
    }
  }

  // For the report of a failure.
  std::string StateOfTimers() {
    std::string text;
    for (timer_t timer : timers_) {
      itimerspec left = {};
      timer_gettime(timer, &left);
      text += std::to_string(left.it_value.tv_sec) + "." + std::to_string(left.it_value.tv_nsec) +
              " s left of one, " + std::to_string(timer_getoverrun(timer)) + " overruns; ";
    }
    pollfd descriptor = {names_.front(), POLLIN, 0};
    text += poll(&descriptor, 1, 0) == 1 ? "readable; " : "not readable; ";
    std::array<ukevent, 4> events;
    const timespec at_once = {0, 0};
    text += std::to_string(kevent_get_events(names_.front(), 0, 4, &at_once, events.data(), 0));
    text += " events come now";
    for (int fd = kFirstInternal; fd < 1024; ++fd) {
      if (syscall(SYS_fcntl, fd, F_GETSIG) == kMark) {
        text += "\n" + std::to_string(fd) + " is an internal, " + FileOf(fd);
      }
    }
    return text;
  }

  void WatchAPipe() {
    std::array<int, 2> ends;
    EXPECT(pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) == 0, "pipe2");
    ukevent request = {};
    request.type = KEVENT_PIPE;
    request.event = KEVENT_SOCKET_RECV;
    request.req_flags = KEVENT_REQ_ALWAYS_QUEUE | KEVENT_REQ_ONESHOT;
    request.id.raw[0] = static_cast<uint32_t>(ends[0]);
    const int answered = kevent_ctl(Name(), KEVENT_CTL_ADD, 1, &request);
    EXPECT(answered == 0, "kevent_ctl of the pipe %d: %d, flags %x, data %u %u; %s", ends[0],
           answered, request.ret_flags, request.ret_data[0], request.ret_data[1],
           FileOf(ends[0]).c_str());
    EXPECT(write(ends[1], "x", 1) == 1, "write");
    ukevent event;
    const int count = kevent_get_events(Name(), 1, 1, &kLong, &event, 0);
    EXPECT(count == 1 && event.type == KEVENT_PIPE, "a pipe that is ready: %d", count);
    EXPECT(close(ends[0]) == 0 && close(ends[1]) == 0, "close of a pipe");
  }

  void ReadAsynchronously() {
    const int file = memfd_create("read", MFD_CLOEXEC);
    EXPECT(file >= 0 && write(file, "libkevent", 9) == 9, "memfd_create");
    std::array<char, 16> text = {};
    aiocb control = {};
    control.aio_fildes = file;
    control.aio_buf = text.data();
    control.aio_nbytes = text.size();
    kevent_sigevent(&control.aio_sigevent, Name(), &control);
    EXPECT(aio_read(&control) == 0, "aio_read");
    ukevent event;
    const int count = kevent_get_events(Name(), 1, 1, &kLong, &event, 0);
    EXPECT(count == 1 && event.ptr == &control, "a read that has ended: %d", count);
    EXPECT(aio_error(&control) == 0 && aio_return(&control) == 9, "aio_return");
    EXPECT(close(file) == 0, "close of a file");
  }

  Random random_;
  std::vector<int> names_;
  std::vector<timer_t> timers_;
};

// ---- Children ----------------------------------------------------------------------

// A queue of its own, whose parent's half is looked at after each child.
class Parent {
 public:
  explicit Parent(uint64_t seed) : random_(seed) {}

  void Run() {
    queue_ = kevent_init(nullptr, 0, 0);
    EXPECT(queue_ >= 0, "kevent_init");
    sigevent request;
    kevent_sigevent(&request, queue_, nullptr);
    EXPECT(timer_create(CLOCK_MONOTONIC, &request, &timer_) == 0, "timer_create");
    while (!g_over) Step();
    EXPECT(timer_delete(timer_) == 0, "timer_delete");
    EXPECT(close(queue_) == 0, "close");
  }

 private:
  void Step() {
    const itimerspec soon = {{0, 0}, {0, 1'000'000}};
    EXPECT(timer_settime(timer_, 0, &soon, nullptr) == 0, "timer_settime");
    switch (Below(random_, 5)) {
      case 0:
        Await(fork(), [this] { return UseInherited(); });
        break;
      case 1:
        Clone(CLONE_VM | CLONE_VFORK, &Parent::CloseEverything);
        break;
      case 2:
        Clone(CLONE_FILES, &Parent::UseNone);
        break;
      case 3:
        LeaveTheTable();
        break;
      default:
        Await(fork(), [] {
          execl("/proc/self/exe", "descriptors_driver", "--look", nullptr);
          return 1;
        });
    }
    ukevent event;
    const int count = kevent_get_events(queue_, 1, 1, &kLong, &event, 0);
    EXPECT(count == 1, "the parent's timer after a child: %d", count);
  }

  template <typename Child>
  void Await(pid_t child, Child in_child) {
    if (child == 0) _exit(in_child());
    EXPECT(child > 0, "a child");
    int status = -1;
    pid_t ended;
    do {
      ended = waitpid(child, &status, __WALL);
    } while (ended == -1 && errno == EINTR);
    EXPECT(ended == child && status == 0, "a child ended with %x", static_cast<unsigned>(status));
  }

  void Clone(int flags, int (*in_child)(void*)) {
    constexpr size_t kStack = 256 * 1024;
    char* stack = static_cast<char*>(mmap(nullptr, kStack, PROT_READ | PROT_WRITE,
                                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0));
    EXPECT(stack != MAP_FAILED, "mmap");
    Await(clone(in_child, stack + kStack, flags | SIGCHLD, this), [] { return 0; });
    munmap(stack, kStack);
  }

  // In a child of fork: the number names a queue of its own, which is empty.
  int UseInherited() {
    ukevent event;
    const timespec at_once = {0, 0};
    if (kevent_get_events(queue_, 0, 1, &at_once, &event, 0) != 0) return 2;
    sigevent request;
    kevent_sigevent(&request, queue_, nullptr);
    timer_t timer;
    if (timer_create(CLOCK_MONOTONIC, &request, &timer) != 0) return 3;
    const itimerspec soon = {{0, 0}, {0, 1000}};
    if (timer_settime(timer, 0, &soon, nullptr) != 0) return 4;
    if (kevent_get_events(queue_, 1, 1, &kLong, &event, 0) != 1) return 5;
    return close(queue_) == 0 ? 0 : 6;
  }

  // With our memory and a table of its own.
  static int CloseEverything(void* parent) {
    close(static_cast<Parent*>(parent)->queue_);
    closefrom(3);
    return 0;
  }

  // With memory of its own and our table, in which queues are the parent's alone.  It
  // makes none, whose numbers the owners would not know of.
  static int UseNone(void* parent) {
    ukevent event;
    const timespec at_once = {0, 0};
    const int queue = static_cast<Parent*>(parent)->queue_;
    const int count = kevent_get_events(queue, 0, 1, &at_once, &event, 0);
    return count == -1 && (errno == EINVAL || errno == EBADF) ? 0 : 7;
  }

  void LeaveTheTable() {
    std::thread([this] {
      EXPECT(unshare(CLONE_FILES) == 0, "unshare");
      EXPECT(close(queue_) == 0, "close in a table of one's own");
      closefrom(kFirstLow);
    }).join();
  }

  Random random_;
  int queue_ = -1;
  timer_t timer_ = {};
};

// ---- The whole -----------------------------------------------------------------------

// All but what the library keeps for the process.
std::set<int> OpenNumbers() {
  std::set<int> open;
  for (int fd = 0; fd < 1024; ++fd) {
    if (syscall(SYS_fcntl, fd, F_GETFD) < 0) continue;
    if (FileOf(fd) != "anon_inode:[io_uring]") open.insert(fd);
  }
  return open;
}

// In a program that was executed: nothing is open that is the library's.  Copies of
// queues may be, low, by dup, as any descriptor's.
int Look() {
  for (int fd = kFirstInternal; fd < 1024; ++fd) {
    if (syscall(SYS_fcntl, fd, F_GETSIG) == kMark) return 8;
  }
  return 0;
}

void Round(Random& random) {
  g_over = false;
  std::vector<std::thread> threads;
  threads.reserve(kOwners + 3);
  for (int i = 0; i < kOwners; ++i) {
    threads.emplace_back([i, seed = random()] { Owner(i, seed).Run(); });
  }
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([seed = random()] { QueueUser(seed).Run(); });
  }
  threads.emplace_back([seed = random()] { Parent(seed).Run(); });
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(300);
  while (!g_over && std::chrono::steady_clock::now() < end) poll(nullptr, 0, 10);
  g_over = true;
  for (std::thread& thread : threads) thread.join();
}

}  // namespace

int main(int argc, char** argv) {
  kevent::tools::ParseCommandLine(
      argc, argv,
      "Runs random calls on descriptors around live queues, and keeps exact books of what every\n"
      "number must be.  Exits with 0 if they balance, with 1 and a message if they do not.");
  if (absl::GetFlag(FLAGS_look)) return Look();
  uint32_t seconds = absl::GetFlag(FLAGS_seconds);
  if (seconds == 0) seconds = std::getenv("KEVENT_LONG") != nullptr ? 300 : 5;
  g_seed = absl::GetFlag(FLAGS_seed);
  if (g_seed == 0) g_seed = std::random_device()();
  std::printf("seed %llu\n", static_cast<unsigned long long>(g_seed));
  std::fflush(stdout);
  const std::set<int> before = OpenNumbers();
  Random random(g_seed);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  unsigned rounds = 0;
  while (!g_failed && std::chrono::steady_clock::now() < end) {
    Round(random);
    ++rounds;
    // A thread of the library's may have yet to let go of a queue that it has told of
    // an operation.
    std::set<int> after = OpenNumbers();
    for (int i = 0; i < 3000 && after != before; ++i) {
      poll(nullptr, 0, 10);
      after = OpenNumbers();
    }
    if (!g_failed && after != before) {
      for (const int fd : after) {
        if (before.count(fd) == 0) std::printf("%d: %s\n", fd, FileOf(fd).c_str());
      }
      Fail(__LINE__, "%zu descriptors are open after round %u, %zu before", after.size(), rounds,
           before.size());
    }
  }
  std::printf("%u rounds: %llu steps of owners, %llu events, %llu times EBUSY\n", rounds,
              static_cast<unsigned long long>(g_calls), static_cast<unsigned long long>(g_events),
              static_cast<unsigned long long>(g_busy));
  return g_failed ? 1 : 0;
}
