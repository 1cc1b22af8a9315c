// SPDX-License-Identifier: MIT
//
// Random watchers of libev on the backend that is named, whose events are checked against books:
// what each descriptor is ready for is known from what was written, read and closed, and in each
// turn of the loop each watcher is called for exactly that.  Descriptors are closed, their numbers
// are those of other files, several numbers are one file; signals, children, asyncs and timers are
// counted; and a child of fork goes on with the loop that it has from its parent.

#include <ev.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace {

uint64_t seed = 0;
uint64_t step = 0;

void Must(bool holds, const char* what) {
  if (holds) return;
  std::printf("seed %llu, process %d, step %llu: %s (errno: %s)\n",
              static_cast<unsigned long long>(seed), getpid(),
              static_cast<unsigned long long>(step), what, std::strerror(errno));
  std::fflush(stdout);
  _exit(EXIT_FAILURE);
}

std::mt19937_64 generator;
size_t Below(size_t end) { return static_cast<size_t>(generator() % end); }
bool OneIn(size_t n) { return Below(n) == 0; }

// ---- Files, and what they are ready for ------------------------------------------

// What is watched, by one number or several, and the other end of it.
class File {
 public:
  enum Kind { kSocket, kPipe, kEventfd, kRegular, kKinds };

  // Sets `fd` to its number.
  File(Kind kind, int& fd) : kind_(kind) {
    std::array<int, 2> ends = {-1, -1};
    switch (kind) {
      case kSocket:
        Must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends.data()) == 0, "socketpair");
        break;
      case kPipe:
        Must(pipe2(ends.data(), O_NONBLOCK) == 0, "pipe2");
        break;
      case kEventfd:
        ends[0] = eventfd(0, EFD_NONBLOCK);
        break;
      default:
        ends[0] = memfd_create("watched", 0);
    }
    Must(ends[0] >= 0, "a descriptor");
    fd = ends[0];
    peer_ = ends[1];
  }
  ~File() {
    if (peer_ >= 0) close(peer_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  int Ready() const {
    if (kind_ == kRegular || hung_up_) return EV_READ | EV_WRITE;
    const bool writable = kind_ != kPipe && !full_;
    return (unread_ > 0 ? EV_READ : 0) | (writable ? EV_WRITE : 0);
  }

  // A child may close what it has from its parent; what happens to the file happens to both.
  void BecomeAnotherProcess() { shared_ = true; }

  bool Shared() const { return shared_; }

  // One of what can happen to it, by a number that it has.
  void Happen(int fd) {
    if (shared_ || kind_ == kRegular || hung_up_) return;
    switch (Below(8)) {
      case 0:
      case 1:
      case 2:
        return Give(fd);
      case 3:
      case 4:
      case 5:
        return Take(fd);
      case 6:
        if (kind_ == kSocket) full_ ? Drain() : Fill(fd);
        return;
      default:
        if (peer_ < 0 || !OneIn(3)) return;
        Must(close(peer_) == 0, "close");
        peer_ = -1;
        hung_up_ = true;
    }
  }

 private:
  void Give(int fd) {
    const uint64_t one = 1;
    if (kind_ == kEventfd) {
      Must(write(fd, &one, sizeof one) == sizeof one, "write");
      unread_ = 1;
      return;
    }
    if (unread_ > 100) return;
    const size_t size = 1 + Below(sizeof one);
    Must(write(peer_, &one, size) == static_cast<ssize_t>(size), "write");
    unread_ += size;
  }
  void Take(int fd) {
    std::array<char, 64> bytes;
    const ssize_t wanted = static_cast<ssize_t>(8 + Below(57));
    const ssize_t size = read(fd, bytes.data(), static_cast<size_t>(wanted));
    if (unread_ == 0) return Must(size == -1 && errno == EAGAIN, "read from an empty file");
    const bool counter = kind_ == kEventfd;
    const size_t there = std::min(unread_, static_cast<size_t>(wanted));
    Must(size == static_cast<ssize_t>(counter ? 8 : there), "read");
    unread_ -= counter ? 1 : there;
  }
  void Fill(int fd) {
    static const std::array<char, 4096> kBytes = {};
    while (write(fd, kBytes.data(), kBytes.size()) > 0) {
    }
    Must(errno == EAGAIN, "write");
    full_ = true;
  }
  void Drain() {
    std::array<char, 4096> bytes;
    while (read(peer_, bytes.data(), bytes.size()) > 0) {
    }
    Must(errno == EAGAIN, "read");
    full_ = false;
  }

  const Kind kind_;
  int peer_ = -1;
  size_t unread_ = 0;  // bytes; of an eventfd whether its count is above 0
  bool full_ = false;
  bool hung_up_ = false;
  bool shared_ = false;
};

// ---- The loop and the books --------------------------------------------------------

struct Watcher {
  ev_io io = {};
  int fd = -1;
  int events = 0;
  bool active = false;
  int called = 0;  // in this turn: for what
};

struct Counted {
  ev_timer timer = {};
  double due = 0;
  bool active = false;
};

class Test {
 public:
  explicit Test(unsigned backend)
      : loop_(ev_default_loop(backend)), epoll_(backend == EVBACKEND_EPOLL) {
    Must(loop_ != nullptr && ev_backend(loop_) == backend, "there is no loop with this backend");
    for (auto& watcher : watchers_) watcher = std::make_unique<Watcher>();
    ev_signal_init(
        &usr1_, [](struct ev_loop*, ev_signal*, int) { Self().signals_++; }, SIGUSR1);
    ev_signal_start(loop_, &usr1_);
    ev_async_init(&async_, [](struct ev_loop*, ev_async*, int) { Self().asyncs_++; });
    ev_async_start(loop_, &async_);
    ev_fork_init(&fork_, [](struct ev_loop*, ev_fork*, int) { Self().forks_++; });
    ev_fork_start(loop_, &fork_);
  }

  void Step() {
    step++;
    for (size_t i = 1 + Below(6); i > 0; --i) Change();
    Turn();
    if (OneIn(50)) SignalAndAsync();
    if (OneIn(100)) Sleep();
    if (OneIn(500)) Child();
    if (OneIn(1500)) Fork();
    if (OneIn(3000)) Many();
  }

  // Each timer that was started expires.
  void End() {
    for (const auto& timer : timers_) {
      while (timer.active) Sleep();
    }
    std::printf(
        "%llu steps, %llu calls of watchers, %llu timers, %llu forks of the loop: as the "
        "books have it\n",
        static_cast<unsigned long long>(step), static_cast<unsigned long long>(calls_),
        static_cast<unsigned long long>(expired_), static_cast<unsigned long long>(children_));
    Must(calls_ > 0, "nothing has happened");
  }

  static Test* self;

 private:
  static constexpr size_t kNumbers = 24;

  static Test& Self() { return *self; }

  // ---- Changes between two turns

  void Change() {
    switch (Below(16)) {
      case 0:
      case 1:
        return Open();
      case 2:
        return Close(Any(), OneIn(6));
      case 3:
        return Alias();
      case 4:
        return PutOver();
      case 5:
        return Reopen();
      case 6:
      case 7:
      case 8:
        return Start(*watchers_[Below(watchers_.size())]);
      case 9:
        return Stop(*watchers_[Below(watchers_.size())]);
      case 10:
        return StartTimer();
      default:
        if (const int fd = Any(); fd >= 0) files_[fd]->Happen(fd);
    }
  }

  int Any() {
    if (files_.empty()) return -1;
    auto it = files_.begin();
    std::advance(it, static_cast<long>(Below(files_.size())));
    return it->first;
  }

  static std::shared_ptr<File> NewFile(int& fd) {
    return std::make_shared<File>(static_cast<File::Kind>(Below(File::kKinds)), fd);
  }

  void Open() {
    if (files_.size() >= kNumbers) return Close(Any(), false);
    int fd;
    auto file = NewFile(fd);
    files_[fd] = file;
  }

  // libev asks for this before a descriptor is closed or put over.
  std::vector<Watcher*> StopAllOf(int fd) {
    std::vector<Watcher*> stopped;
    for (const auto& watcher : watchers_) {
      if (!watcher->active || watcher->fd != fd) continue;
      Stop(*watcher);
      stopped.push_back(watcher.get());
    }
    return stopped;
  }

  // Of a number that is closed while another, or another process, has the file open, epoll goes on
  // reporting, and libev's backend for it takes such events for those of the number's next file.
  bool MayClose(int fd) { return !epoll_ || !files_[fd]->Shared(); }

  // `unseen`: by a system call that no library sees.
  void Close(int fd, bool unseen) {
    if (fd < 0 || !MayClose(fd)) return;
    StopAllOf(fd);
    // What stays open under another number is watched until the number is closed in a way that is
    // seen; epoll has it so.
    if (unseen && files_[fd].use_count() == 1 && !another_process_) {
      Must(syscall(SYS_close, fd) == 0, "close");
    } else {
      Must(close(fd) == 0, "close");
    }
    files_.erase(fd);
  }

  // One more number of a file, perhaps in place of the first.
  void Alias() {
    const int fd = Any();
    if (epoll_ || fd < 0 || files_.size() >= kNumbers) return;
    const int other = dup(fd);
    Must(other >= 0, "dup");
    files_[other] = files_[fd];
    if (!OneIn(2)) return;
    const std::vector<Watcher*> watchers = StopAllOf(fd);
    Close(fd, false);
    for (Watcher* const watcher : watchers) Set(*watcher, other, watcher->events);
  }

  // Another file under the number of one, which is not closed by itself.
  void PutOver() {
    const int over = Any();
    const int fd = Any();
    if (epoll_ || over == fd) return;
    const std::vector<Watcher*> watchers = StopAllOf(over);
    Must(dup2(fd, over) == over, "dup2");
    files_[over] = files_[fd];
    for (Watcher* const watcher : watchers) Set(*watcher, over, watcher->events);
  }

  // Another file of, as a rule, the same number, watched as the one before.
  void Reopen() {
    const int fd = Any();
    if (fd < 0 || !MayClose(fd)) return;
    const std::vector<Watcher*> watchers = StopAllOf(fd);
    Close(fd, OneIn(6));
    int other;
    auto file = NewFile(other);
    files_[other] = file;
    for (Watcher* const watcher : watchers) Set(*watcher, other, watcher->events);
  }

  void Start(Watcher& watcher) {
    const int fd = Any();
    if (fd < 0) return;
    Stop(watcher);
    Set(watcher, fd, 1 + static_cast<int>(Below(3)));
  }

  void Set(Watcher& watcher, int fd, int events) {
    static_assert((EV_READ | EV_WRITE) == 3);
    watcher.fd = fd;
    watcher.events = events;
    watcher.active = true;
    ev_io_init(&watcher.io, OnIo, fd, events);
    watcher.io.data = &watcher;
    ev_io_start(loop_, &watcher.io);
  }

  void Stop(Watcher& watcher) {
    ev_io_stop(loop_, &watcher.io);
    watcher.active = false;
  }

  void StartTimer() {
    Counted& counted = timers_[Below(timers_.size())];
    if (counted.active && OneIn(2)) {
      ev_timer_stop(loop_, &counted.timer);
      counted.active = false;
      return;
    }
    ev_timer_stop(loop_, &counted.timer);
    const double after = static_cast<double>(Below(3000)) * 1e-6;
    ev_timer_init(&counted.timer, OnTimer, after, 0.);
    counted.timer.data = &counted;
    counted.due = ev_now(loop_) + after;
    counted.active = true;
    ev_timer_start(loop_, &counted.timer);
  }

  // ---- A turn

  static void OnIo(struct ev_loop*, ev_io* io, int events) {
    Self().Called(*static_cast<Watcher*>(io->data), events);
  }
  void Called(Watcher& watcher, int events) {
    Must(watcher.active, "a watcher was called that was stopped");
    Must(watcher.called == 0, "a watcher was called twice in a turn");
    Must(events == (files_.at(watcher.fd)->Ready() & watcher.events),
         "a watcher was called for what its descriptor is not ready for");
    watcher.called = events;
    calls_++;
    // Whoever is stopped by another is not called any more.
    if (OneIn(30)) Stop(*watchers_[Below(watchers_.size())]);
  }

  static void OnTimer(struct ev_loop*, ev_timer* timer, int) {
    auto& counted = *static_cast<Counted*>(timer->data);
    Must(counted.active, "a timer has expired that was stopped, or twice");
    // The loop's clock is CLOCK_MONOTONIC, and what it says of the time of day is made of it.
    Must(ev_now(Self().loop_) >= counted.due - 1e-3, "a timer has expired early");
    counted.active = false;
    Self().expired_++;
  }

  void Run(int flags) {
    for (const auto& watcher : watchers_) watcher->called = 0;
    ev_run(loop_, flags);
  }

  void Turn() {
    Run(EVRUN_NOWAIT);
    Must(AllCalled(), "a watcher was not called for what its descriptor is ready for");
    Must(forks_ == 0, "the loop says that it was forked");
  }
  bool AllCalled() {
    for (const auto& watcher : watchers_) {
      if (watcher->active &&
          watcher->called != (files_.at(watcher->fd)->Ready() & watcher->events)) {
        return false;
      }
    }
    return true;
  }

  // Several before a turn are one.
  void SignalAndAsync() {
    signals_ = asyncs_ = 0;
    const bool signal = OneIn(2);
    const bool async = OneIn(2);
    for (size_t i = 1 + Below(3); i > 0; --i) {
      if (signal) Must(raise(SIGUSR1) == 0, "raise");
      if (async) ev_async_send(loop_, &async_);
    }
    Run(EVRUN_NOWAIT);
    Must(signals_ == (signal ? 1 : 0), "a signal is lost, or came from nowhere");
    Must(asyncs_ == (async ? 1 : 0), "an async is lost, or came from nowhere");
  }

  // The loop is woken from its sleep, by a timer or another thread.
  void Sleep() {
    std::vector<Watcher*> were_active;
    for (const auto& watcher : watchers_) {
      if (watcher->active) were_active.push_back(watcher.get());
    }
    for (Watcher* const watcher : were_active) Stop(*watcher);
    signals_ = asyncs_ = 0;
    const size_t how = Below(3);
    const auto delay = std::chrono::microseconds(Below(600));
    const pthread_t sleeper = pthread_self();
    std::thread waker([&] {
      std::this_thread::sleep_for(delay);
      if (how == 0) ev_async_send(loop_, &async_);
      if (how == 1) pthread_kill(sleeper, SIGUSR1);
      if (how == 2) kill(getpid(), SIGUSR1);
    });
    // None of the descriptors that are ready has a watcher: besides what wakes the loop there are
    // the timers, and each descriptor may be dropped by a turn of its own.
    size_t turns = 0;
    for (; signals_ + asyncs_ == 0; ++turns) Run(EVRUN_ONCE);
    waker.join();
    Must(turns < 100, "the loop does not sleep though nothing happens");
    Must(signals_ + asyncs_ == 1, "one call to wake the loop was several");
    for (Watcher* const watcher : were_active) {
      if (OneIn(2)) Set(*watcher, watcher->fd, watcher->events);
    }
  }

  // ---- Children

  void Child() {
    const int code = static_cast<int>(Below(200));
    const pid_t pid = fork();
    Must(pid >= 0, "fork");
    if (pid == 0) _exit(code);
    ev_child child;
    struct Ended {
      int times = 0;
      int status = 0;
    } ended;
    ev_child_init(
        &child,
        [](struct ev_loop*, ev_child* self_child, int) {
          auto& told = *static_cast<Ended*>(self_child->data);
          told.times++;
          told.status = self_child->rstatus;
        },
        pid, 0);
    child.data = &ended;
    ev_child_start(loop_, &child);
    while (ended.times == 0) Run(EVRUN_ONCE);
    Run(EVRUN_NOWAIT);
    ev_child_stop(loop_, &child);
    Must(ended.times == 1 && WIFEXITED(ended.status) && WEXITSTATUS(ended.status) == code,
         "the end of a child");
  }

  // The child has the loop with all that is watched, and goes on by itself.
  void Fork() {
    if (another_process_) return;
    std::fflush(stdout);
    const auto seed_of_child = generator();
    const pid_t pid = fork();
    Must(pid >= 0, "fork");
    if (pid == 0) {
      generator.seed(seed_of_child);
      another_process_ = true;
      for (const auto& [fd, file] : files_) file->BecomeAnotherProcess();
      ev_loop_fork(loop_);
      Run(EVRUN_NOWAIT);
      Must(forks_ == 1, "the loop does not say that it was forked");
      forks_ = 0;
      for (int i = 0; i < 300; ++i) Step();
      _exit(EXIT_SUCCESS);
    }
    int status;
    while (waitpid(pid, &status, 0) != pid) Must(errno == EINTR, "waitpid");
    Must(status == 0, "a child has failed, see above");
    children_++;
    Turn();
  }

  // More descriptors are ready than a backend's array has room for in the beginning.
  void Many() {
    std::vector<int> fds(100 + Below(200));
    std::vector<Watcher> watchers(fds.size());
    for (size_t i = 0; i < fds.size(); ++i) {
      fds[i] = eventfd(1, EFD_NONBLOCK);
      Must(fds[i] >= 0, "eventfd");
      files_[fds[i]] = std::shared_ptr<File>();
      ev_io_init(
          &watchers[i].io,
          [](struct ev_loop*, ev_io* io, int events) {
            static_cast<Watcher*>(io->data)->called |= events;
          },
          fds[i], EV_READ);
      watchers[i].io.data = &watchers[i];
      ev_io_start(loop_, &watchers[i].io);
    }
    const auto all = [&] {
      size_t called = 0;
      for (const Watcher& watcher : watchers) called += watcher.called == EV_READ ? 1 : 0;
      return called == watchers.size();
    };
    // Each full batch makes the array larger; then one turn has all.
    for (int i = 0; i < 10; ++i) Run(EVRUN_NOWAIT);
    for (Watcher& watcher : watchers) watcher.called = 0;
    Run(EVRUN_NOWAIT);
    Must(all(), "a turn has not called all of many watchers");
    for (size_t i = 0; i < fds.size(); ++i) {
      ev_io_stop(loop_, &watchers[i].io);
      Must(close(fds[i]) == 0, "close");
      files_.erase(fds[i]);
    }
  }

  struct ev_loop* const loop_;
  const bool epoll_;
  std::map<int, std::shared_ptr<File>> files_;  // by their numbers
  std::array<std::unique_ptr<Watcher>, 32> watchers_;
  std::array<Counted, 8> timers_;
  ev_signal usr1_;
  ev_async async_;
  ev_fork fork_;
  int signals_ = 0;
  int asyncs_ = 0;
  int forks_ = 0;
  bool another_process_ = false;
  uint64_t calls_ = 0;
  uint64_t expired_ = 0;
  uint64_t children_ = 0;
};

Test* Test::self = nullptr;

[[noreturn]] void Usage(std::FILE* out, int status) {
  std::fputs(
      "usage: watchers --backend=epoll|kevent|port [--seconds=N] [--seed=N]\n\n"
      "Checks the events of random watchers of a loop of libev against books.\n\n"
      "  --backend=NAME  which of libev's backends the loop has\n"
      "  --seconds=N     for how long (10)\n"
      "  --seed=N        of what is random; printed, and another one each time if not given\n"
      "  --help          print this and exit\n",
      out);
  std::exit(status);
}

uint64_t Number(const char* text) {
  char* end;
  const uint64_t number = std::strtoull(text, &end, 10);
  if (*text != '\0' && *end == '\0') return number;
  std::fprintf(stderr, "watchers: '%s' is no number\n", text);
  Usage(stderr, 2);
}

// 0: there is none of that name.
unsigned Backend(const std::string& name) {
  if (name == "epoll") return EVBACKEND_EPOLL;
  // That of examples/backends/, whose name libev's own header does not have.
  if (name == "kevent") return 0x100;
  if (name == "port") return EVBACKEND_PORT;
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::array<option, 5> options = {{{"backend", required_argument, nullptr, 'b'},
                                          {"seconds", required_argument, nullptr, 's'},
                                          {"seed", required_argument, nullptr, 'r'},
                                          {"help", no_argument, nullptr, 'h'},
                                          {}}};
  std::string backend;
  uint64_t seconds = 10;
  seed = std::random_device()();
  for (int c; (c = getopt_long(argc, argv, "", options.data(), nullptr)) != -1;) {
    switch (c) {
      case 'b':
        backend = optarg;
        break;
      case 's':
        seconds = Number(optarg);
        break;
      case 'r':
        seed = Number(optarg);
        break;
      case 'h':
        Usage(stdout, 0);
      default:
        Usage(stderr, 2);
    }
  }
  if (optind != argc || Backend(backend) == 0) Usage(stderr, 2);
  std::printf("%s, seed %llu\n", backend.c_str(), static_cast<unsigned long long>(seed));
  std::fflush(stdout);
  generator.seed(seed);
  Test test(Backend(backend));
  Test::self = &test;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  while (std::chrono::steady_clock::now() < end) test.Step();
  std::printf("libev with %s, seed %llu: ", backend.c_str(), static_cast<unsigned long long>(seed));
  test.End();
}
