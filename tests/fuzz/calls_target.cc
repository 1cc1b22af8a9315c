// SPDX-License-Identifier: MIT
//
// A libFuzzer target on the real system: the bytes are calls of the public interface,
// with whatever arguments, on descriptors of a range of the target's own.  What a call
// writes to ends where a page ends, after which nothing is mapped.  After each input
// all that was begun has ended, no descriptor of a queue is left, and a fresh queue works.

#include <aio.h>
#include <dirent.h>
#include <fcntl.h>
#include <kevent/kevent.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <map>
#include <string>

#include "tests/fuzz/bytes.h"

namespace {

using kevent_test::Bytes;

// Numbers that calls may be made on, whoever is there.
constexpr int kFirst = 100;
constexpr int kNumbers = 24;
constexpr uint32_t kSocketEvents = KEVENT_SOCKET_RECV | KEVENT_SOCKET_SEND;

[[noreturn]] void Fail(const char* what) {
  std::fprintf(stderr, "calls_target: %s (errno %d)\n", what, errno);
  std::abort();
}

// Memory that ends where a page does.
class Edge {
 public:
  Edge() {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    void* pages =
        mmap(nullptr, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) Fail("mmap");
    end_ = static_cast<char*>(pages) + page;
    if (mprotect(end_, page, PROT_NONE) != 0) Fail("mprotect");
  }
  // Room for so many, and no more.
  template <typename T>
  T* Room(size_t count) const {
    return reinterpret_cast<T*>(end_ - count * sizeof(T));
  }

 private:
  char* end_;
};

// How many epolls and timerfds are open: each queue has some of both.
std::map<std::string, int> OpenKinds() {
  std::map<std::string, int> kinds;
  DIR* directory = opendir("/proc/self/fd");
  if (directory == nullptr) Fail("opendir");
  while (const dirent* entry = readdir(directory)) {
    char target[64] = {};
    if (readlinkat(dirfd(directory), entry->d_name, target, sizeof target - 1) <= 0) continue;
    if (std::strcmp(target, "anon_inode:[eventpoll]") == 0 ||
        std::strcmp(target, "anon_inode:[timerfd]") == 0) {
      ++kinds[target];
    }
  }
  closedir(directory);
  return kinds;
}

void Pause() {
  const timespec moment = {0, 1'000'000};
  nanosleep(&moment, nullptr);
}

class Calls {
 public:
  explicit Calls(Bytes& bytes) : bytes_(bytes) {}

  void One() {
    switch (Pick(20)) {
      case 0:
        return Init();
      case 1:
        return CloseSome();
      case 2:
        return Copy();
      case 3:
      case 4:
      case 5:
        return Control();
      case 6:
      case 7:
        return Collect();
      case 8:
        return RingCalls();
      case 9:
        return MakeTimer();
      case 10:
      case 11:
        return UseTimer();
      case 12:
        return Open();
      case 13:
        return ReadOrWrite();
      case 14:
        return Flags();
      case 15:
        return Poll();
      case 16:
        return Operate();
      case 17:
      case 18:
        return TransferSome();
      default:
        return LookUp();
    }
  }

  void End() {
    for (timer_t& timer : timers_) {
      if (timer != nullptr) timer_delete(timer);
    }
    for (size_t i = 0; i < kOperations; ++i) {
      if (!begun_[i] || aio_error(&controls_[i]) != EINPROGRESS) continue;
      // aio_cancel wants an open descriptor, whatever it is of by now.
      const int fd = controls_[i].aio_fildes;
      const bool closed = fcntl(fd, F_GETFD) == -1;
      if (closed && dup2(STDERR_FILENO, fd) != fd) continue;  // it ends with EBADF
      aio_cancel(fd, &controls_[i]);
      if (closed) close(fd);
    }
    for (int number = kFirst; number < kFirst + kNumbers; ++number) close(number);
    for (int patience = 0; Busy(); ++patience) {
      // A look-up asks each name server for five seconds, twice (resolv.conf(5)).
      constexpr int kMilliseconds = 100'000;
      if (patience == kMilliseconds) {
        for (const aiocb& control : controls_) {
          std::fprintf(stderr, "number %d, operation %d, %zu bytes: %d\n", control.aio_fildes,
                       control.aio_lio_opcode, control.aio_nbytes, aio_error(&control));
        }
        for (const gaicb& answer : answers_) {
          std::fprintf(stderr, "look-up of %s: %d\n",
                       answer.ar_name != nullptr ? answer.ar_name : "-",
                       gai_error(const_cast<gaicb*>(&answer)));
        }
        Fail("an operation does not end");
      }
      Pause();
    }
    for (size_t i = 0; i < kOperations; ++i) {
      if (begun_[i]) aio_return(&controls_[i]);
      if (answers_[i].ar_result != nullptr) freeaddrinfo(answers_[i].ar_result);
    }
    // Signals that nobody has taken.
    const timespec none = {0, 0};
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGUSR1);
    sigaddset(&signals, SIGRTMIN + 3);
    while (sigtimedwait(&signals, nullptr, &none) > 0) {
    }
  }

 private:
  static constexpr size_t kTimers = 6;
  static constexpr size_t kOperations = 6;
  static constexpr unsigned kRing = 5;

  uint64_t Pick(uint64_t limit) { return bytes_.Below(limit); }
  bool Chance() { return Pick(2) == 0; }
  int Number() { return kFirst + static_cast<int>(Pick(kNumbers)); }
  // Sometimes one that nobody has.
  int AnyNumber() {
    switch (Pick(12)) {
      case 0:
        return -1;
      case 1:
        return 1 << 20;
      case 2:
        // The library keeps its own where there is room.
        return 128 + static_cast<int>(Pick(1024));
      default:
        return Number();
    }
  }
  static bool IsQueue(int fd) { return kevent_get_events(fd, 0, 0, nullptr, nullptr, 0) == 0; }
  // Into the range, whatever is there.
  void Keep(int fd) {
    if (fd < 0) return;
    dup2(fd, Number());
    close(fd);
  }

  // ---- Descriptors ----

  void Init() {
    switch (Pick(5)) {
      case 0:
        kevent_init(kRingPages, static_cast<unsigned>(Pick(4)), 0);  // 0 and 1 are refused
        break;
      case 1:
        Keep(kevent_init(kRingPages, kRing, 0));
        return;
      case 2:
        if (kevent_init(nullptr, 0, 1 + static_cast<unsigned>(Pick(255))) != -1) Fail("flags");
        return;
      default:
        Keep(kevent_init(nullptr, 0, 0));
        return;
    }
    // A ring of two or three: the number is the lowest.
    for (int fd = 3; fd < kFirst; ++fd) {
      if (IsQueue(fd)) Keep(fd);
    }
  }

  void CloseSome() {
    const int number = AnyNumber();
    switch (Pick(5)) {
      case 0:
        close_range(static_cast<unsigned>(Number()), kFirst + kNumbers - 1, 0);
        break;
      case 1:
        if (number >= kFirst && number < kFirst + kNumbers) syscall(SYS_close, number);
        break;
      default:
        close(number);
    }
  }

  void Copy() {
    const int from = AnyNumber();
    const int to = Number();
    switch (Pick(5)) {
      case 0:
        Keep(dup(from));
        break;
      case 1:
        dup3(from, to, Chance() ? O_CLOEXEC : 0);
        break;
      case 2:
        Keep(fcntl(from, Chance() ? F_DUPFD : F_DUPFD_CLOEXEC, to));
        break;
      case 3:
        // The copy of a queue is one that the library does not see: F_SETSIG on it would
        // take away the mark by which the queue's descriptors are known.
        if (!IsQueue(from)) syscall(SYS_dup3, from, to, 0);
        break;
      default:
        dup2(from, to);
    }
  }

  void Open() {
    int ends[2];
    switch (Pick(6)) {
      case 0:
        if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return;
        break;
      case 1:
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) != 0) return;
        break;
      case 2:
        return Keep(eventfd(static_cast<unsigned>(Pick(2)), EFD_NONBLOCK));
      case 3:
        return Keep(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      case 4:
        return Keep(memfd_create("calls", MFD_CLOEXEC));
      default: {
        const int epoll = epoll_create1(EPOLL_CLOEXEC);
        epoll_event wanted = {EPOLLIN | (Chance() ? unsigned{EPOLLET} : 0U), {}};
        epoll_ctl(epoll, EPOLL_CTL_ADD, Number(), &wanted);
        return Keep(epoll);
      }
    }
    Keep(ends[0]);
    Keep(ends[1]);
  }

  void ReadOrWrite() {
    char bytes[64] = {};
    const int number = Number();
    // Nothing of what is opened here blocks but what was told to.
    const int flags = fcntl(number, F_GETFL);
    if (flags == -1) return;
    fcntl(number, F_SETFL, flags | O_NONBLOCK);
    pollfd ready = {number, POLLIN | POLLOUT, 0};
    if (poll(&ready, 1, 0) != 1) return;
    if (Chance()) {
      (void)!write(number, bytes, 8);
    } else {
      (void)!read(number, bytes, sizeof bytes);
    }
  }

  void Flags() {
    const int number = Number();
    const int flags = fcntl(number, F_GETFL);
    switch (Pick(6)) {
      case 0:
        // Of queues alone: an operation on another that waits cannot be cancelled.
        if (IsQueue(number)) fcntl(number, F_SETFL, flags ^ O_NONBLOCK);
        break;
      case 1:
        fcntl(number, F_SETFD, Chance() ? FD_CLOEXEC : 0);
        break;
      case 2:
        fcntl(number, F_SETSIG, Chance() ? 0 : SIGUSR1);
        break;
      case 3:
        fcntl(number, F_SETOWN, getpid());
        break;
      case 4:
        kill(getpid(), Chance() ? SIGUSR1 : SIGRTMIN + 3);
        break;
      default:
        pthread_kill(pthread_self(), SIGUSR1);
    }
  }

  void Poll() {
    pollfd descriptors[3] = {{Number(), POLLIN, 0}, {Number(), POLLOUT, 0}, {Number(), POLLIN, 0}};
    poll(descriptors, 3, 0);
    epoll_event* events = kEdge.Room<epoll_event>(2);
    epoll_wait(Number(), events, 2, 0);
  }

  // ---- Kevents ----

  ukevent Entry() {
    static constexpr uint32_t kTypes[] = {KEVENT_SOCKET,  KEVENT_INODE,   KEVENT_TIMER,
                                          KEVENT_POLL,    KEVENT_PIPE,    KEVENT_SIGNAL,
                                          KEVENT_UNOTIFY, KEVENT_PROCESS, KEVENT_KEVENT};
    ukevent entry = {};
    entry.type = Pick(16) == 0 ? static_cast<uint32_t>(Pick(64)) : kTypes[Pick(9)];
    entry.event = Pick(8) == 0 ? static_cast<uint32_t>(Pick(UINT32_MAX)) : 1;
    entry.req_flags = Pick(3) == 0 ? static_cast<uint32_t>(Pick(0x42)) : 0;
    entry.ptr = reinterpret_cast<void*>(Pick(3));
    switch (entry.type) {
      case KEVENT_SIGNAL:
        entry.id.raw_u64 = Chance() ? SIGUSR1 : Pick(70);
        break;
      case KEVENT_PROCESS:
        entry.id.raw[0] = static_cast<uint32_t>(Chance() ? getpid() : static_cast<int>(Pick(3)));
        break;
      case KEVENT_UNOTIFY:
        entry.id.raw_u64 = Pick(4);
        break;
      case KEVENT_TIMER: {
        entry.event = Pick(4) == 0 ? entry.event & ~KEVENT_TIMER_SPEC : KEVENT_TIMER_FIRED;
        if (Chance()) {
          spec_ = {static_cast<clockid_t>(Pick(12)), static_cast<int>(Pick(3)), Setting()};
          const kevent_timer_spec* address = &spec_;
          std::memcpy(entry.ret_data, &address, sizeof(void*));
          entry.event |= KEVENT_TIMER_SPEC;
        }
        entry.id.raw[0] = static_cast<uint32_t>(Pick(2));
        entry.id.raw[1] = static_cast<uint32_t>(Pick(1'100'000'000));
        break;
      }
      default:
        entry.id.raw[0] = static_cast<uint32_t>(AnyNumber());
        if (Pick(16) == 0) entry.id.raw[1] = 1;
        if (entry.type <= KEVENT_PIPE && Chance()) entry.event = kSocketEvents;
    }
    return entry;
  }

  void Control() {
    const auto num = static_cast<unsigned>(Pick(4));
    ukevent* entries = kEdge.Room<ukevent>(num);
    for (unsigned i = 0; i < num; ++i) entries[i] = Entry();
    const unsigned command = Pick(16) == 0 ? static_cast<unsigned>(Pick(256))
                             : Chance()    ? KEVENT_CTL_ADD
                                           : static_cast<unsigned>(Pick(4));
    kevent_ctl(AnyNumber(), command, Pick(32) == 0 ? static_cast<unsigned>(Pick(70'000)) : num,
               command == KEVENT_CTL_READY || num != 0 ? entries : nullptr);
  }

  // Sleeps for a millisecond at most.
  void Collect() {
    const auto max = static_cast<unsigned>(Pick(4));
    const auto min = static_cast<unsigned>(Pick(4));
    ukevent* events = kEdge.Room<ukevent>(max);
    timespec timeout = {0, static_cast<long>(Pick(2) * Pick(1'000'000))};
    const timespec* limit = min == 0 && Chance() ? nullptr : &timeout;
    auto flags = Pick(8) == 0 ? static_cast<unsigned>(Pick(8)) : 0U;
    if ((flags & KEVENT_FLAGS_ABSTIME) != 0) timeout.tv_sec = static_cast<time_t>(Pick(1000));
    const int queue = AnyNumber();
    int count;
    if (Pick(4) == 0) {
      sigset_t mask;
      sigfillset(&mask);
      if (Chance()) sigdelset(&mask, SIGUSR1);
      count = kevent_pget_events(queue, min, max, limit, events, flags, &mask);
    } else {
      count = kevent_get_events(queue, min, max, limit, events, flags);
    }
    if (count > static_cast<int>(max)) Fail("more events than there is room for");
    for (int i = 0; i < count; ++i) {
      if ((events[i].ret_flags & KEVENT_RET_DONE) == 0) Fail("an event that is not done");
    }
  }

  void RingCalls() {
    const timespec timeout = {0, static_cast<long>(Pick(100'000))};
    const int queue = AnyNumber();
    if (Chance()) {
      kevent_wait(queue, static_cast<unsigned>(Pick(kRing + 2)), static_cast<unsigned>(Pick(kRing)),
                  &timeout, static_cast<unsigned>(Pick(16) == 0 ? Pick(4) * 2 : 0));
    } else {
      kevent_commit(queue, static_cast<unsigned>(Pick(kRing + 1)),
                    Chance() ? kRingPages->ring_over : static_cast<unsigned>(Pick(4)));
    }
  }

  // ---- Timers ----

  itimerspec Setting() {
    return {{0, static_cast<long>(Pick(3) == 0 ? Pick(1'000'001) : 0)},
            {static_cast<time_t>(Pick(2)), static_cast<long>(Pick(1'000'000'001))}};
  }

  void MakeTimer() {
    timer_t& timer = timers_[Pick(kTimers)];
    if (timer != nullptr && timer_delete(timer) != 0) Fail("timer_delete");
    timer = nullptr;
    struct sigevent event;
    kevent_sigevent(&event, AnyNumber(), &timer);
    timer_t made;
    const auto clock = static_cast<clockid_t>(Pick(14) - 2);
    if (timer_create(clock, &event, &made) == 0) timer = made;
  }

  void UseTimer() {
    const timer_t timer = timers_[Pick(kTimers)];
    if (timer == nullptr) return;
    itimerspec* value = kEdge.Room<itimerspec>(1);
    switch (Pick(5)) {
      case 0:
        if (timer_gettime(timer, value) != 0) Fail("timer_gettime");
        break;
      case 2:
        SetMany();
        break;
      case 1:
        if (timer_getoverrun(timer) < 0) Fail("timer_getoverrun");
        break;
      default: {
        const itimerspec setting = Setting();
        const int flags = Pick(3) == 0 ? static_cast<int>(Pick(4)) : 0;
        timer_settime(timer, flags, &setting, Chance() ? value : nullptr);
      }
    }
  }

  // Of timers that are there and of some that are not.
  void SetMany() {
    const auto count = static_cast<unsigned>(Pick(40));
    kevent_setting* settings = kEdge.Room<kevent_setting>(count);
    for (unsigned i = 0; i < count; ++i) {
      settings[i] = {timers_[Pick(kTimers)], static_cast<int>(Pick(3)), -1, Setting()};
      if (settings[i].timer == nullptr) settings[i].timer = timers_[Pick(kTimers)];
      if (settings[i].timer == nullptr) return;  // the C library takes it for an address
    }
    const int set = kevent_settime(count, settings);
    int good = 0;
    for (unsigned i = 0; i < count; ++i) good += settings[i].error == 0 ? 1 : 0;
    if (set != good) Fail("kevent_settime");
  }

  // ---- Operations ----

  bool Busy() {
    bool busy = false;
    for (size_t i = 0; i < kOperations; ++i) {
      if (begun_[i] && aio_error(&controls_[i]) == EINPROGRESS) busy = true;
      if (asked_[i] && gai_error(&answers_[i]) == EAI_INPROGRESS) busy = true;
    }
    return busy;
  }

  void Operate() {
    const size_t which = Pick(kOperations);
    aiocb& control = controls_[which];
    if (begun_[which]) {
      if (Pick(4) == 0) aio_cancel(control.aio_fildes, Chance() ? &control : nullptr);
      if (aio_error(&control) == EINPROGRESS) return;
      aio_return(&control);
      begun_[which] = false;
    }
    std::memset(&control, 0, sizeof control);
    control.aio_fildes = AnyNumber();
    control.aio_buf = buffers_[which];
    control.aio_nbytes = Pick(3) == 0 ? Pick(sizeof buffers_[which] + 1) : 8;
    control.aio_offset = Pick(4) == 0 ? static_cast<off_t>(Pick(64)) - 2 : 0;
    control.aio_reqprio = Pick(16) == 0 ? static_cast<int>(Pick(40)) - 2 : 0;
    kevent_sigevent(&control.aio_sigevent, AnyNumber(), &control);
    int result;
    switch (Pick(5)) {
      case 0:
        result = aio_fsync(Pick(8) == 0 ? 77 : O_SYNC, &control);
        break;
      case 1: {
        control.aio_lio_opcode = static_cast<int>(Pick(4));
        aiocb* list[] = {&control};
        struct sigevent event;
        kevent_sigevent(&event, AnyNumber(), &control);
        result = lio_listio(LIO_NOWAIT, list, 1, Chance() ? &event : nullptr);
        // What became of it is in the block, if it was begun.
        if (control.aio_lio_opcode == LIO_NOP || result != 0) return;
        break;
      }
      case 2:
      case 3:
        result = aio_write(&control);
        break;
      default:
        result = aio_read(&control);
    }
    begun_[which] = result == 0;
  }

  // On what may be a socket, from and to memory that stays.
  void TransferSome() {
    static char s_bytes[1 << 17];
    if (Pick(4) == 0) {
      void* cookie = Chance() ? s_bytes : nullptr;
      kevent_cancel_transfers(AnyNumber(), AnyNumber(), Chance() ? &cookie : nullptr);
      return;
    }
    const auto count = static_cast<unsigned>(Pick(Chance() ? 2 : 40));
    kevent_transfer* transfers = kEdge.Room<kevent_transfer>(count);
    for (unsigned i = 0; i < count; ++i) {
      transfers[i] = {};
      transfers[i].operation = Pick(12) == 0 ? static_cast<unsigned>(Pick(20)) : 1u << Pick(4);
      transfers[i].socket = AnyNumber();
      transfers[i].flags = Pick(4) == 0 ? 1u << Pick(32) : 0;
      transfers[i].error = -1;
      transfers[i].buffer = s_bytes;
      transfers[i].path = Chance() ? "/proc/self/exe" : "/etc/passwd";
      transfers[i].size = Pick(3) == 0 ? Pick(sizeof s_bytes) : 1 + Pick(8);
      transfers[i].offset = Pick(4) == 0 ? static_cast<off_t>(Pick(64)) - 2 : 0;
      transfers[i].file = AnyNumber();
      transfers[i].cookie = Chance() ? s_bytes : nullptr;
    }
    const int begun = kevent_transfers(AnyNumber(), count, transfers);
    int good = 0;
    for (unsigned i = 0; i < count; ++i) good += transfers[i].error == 0 ? 1 : 0;
    if (begun >= 0 && begun != good) Fail("kevent_transfers");
  }

  void LookUp() {
    const size_t which = Pick(kOperations);
    if (asked_[which] && gai_error(&answers_[which]) == EAI_INPROGRESS) return;
    if (answers_[which].ar_result != nullptr) freeaddrinfo(answers_[which].ar_result);
    static constexpr addrinfo kNumeric = {AI_NUMERICHOST, 0, 0, 0, 0, nullptr, nullptr, nullptr};
    answers_[which] = {};
    answers_[which].ar_name = Chance() ? "127.0.0.1" : "no number";
    answers_[which].ar_request = &kNumeric;
    gaicb* list[] = {&answers_[which]};
    struct sigevent event;
    kevent_sigevent(&event, AnyNumber(), list);
    asked_[which] = getaddrinfo_a(GAI_NOWAIT, list, 1, Chance() ? &event : nullptr) == 0;
  }

  Bytes& bytes_;
  static const Edge kEdge;
  static kevent_ring* const kRingPages;
  kevent_timer_spec spec_ = {};
  std::array<timer_t, kTimers> timers_ = {};
  aiocb controls_[kOperations] = {};
  bool begun_[kOperations] = {};
  char buffers_[kOperations][64] = {};
  gaicb answers_[kOperations] = {};
  bool asked_[kOperations] = {};
};

const Edge Calls::kEdge;

// All queues with a ring have this one: where they write is what matters, not what.
kevent_ring* MakeRing() {
  static const Edge edge;
  constexpr size_t kBytes = sizeof(kevent_ring) + 5 * sizeof(ukevent);
  return reinterpret_cast<kevent_ring*>(edge.Room<char>(kBytes));
}
kevent_ring* const Calls::kRingPages = MakeRing();

void FreshQueueWorks() {
  const int queue = kevent_init(nullptr, 0, 0);
  if (queue < 0) Fail("no fresh queue");
  ukevent request = {};
  request.type = KEVENT_UNOTIFY;
  request.event = KEVENT_UNOTIFY_EVENT;
  request.req_flags = KEVENT_REQ_READY;
  if (kevent_ctl(queue, KEVENT_CTL_ADD, 1, &request) != 0) Fail("a fresh queue takes no kevent");
  struct sigevent event;
  kevent_sigevent(&event, queue, nullptr);
  timer_t timer;
  if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0) Fail("a fresh queue takes no timer");
  const itimerspec past = {{0, 0}, {0, 1}};
  if (timer_settime(timer, TIMER_ABSTIME, &past, nullptr) != 0) Fail("timer_settime");
  ukevent events[2];
  const timespec patience = {10, 0};
  if (kevent_get_events(queue, 2, 2, &patience, events, 0) != 2) Fail("a fresh queue is deaf");
  if (timer_delete(timer) != 0) Fail("timer_delete");
  if (close(queue) != 0) Fail("close");
}

bool Prepare() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGUSR1);
  sigaddset(&signals, SIGRTMIN + 3);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  struct sigaction action = {};
  action.sa_handler = [](int) {};
  sigaction(SIGUSR1, &action, nullptr);
  sigaction(SIGIO, &action, nullptr);
  sigaction(SIGRTMIN + 3, &action, nullptr);  // libFuzzer has a thread that has not blocked it
  signal(SIGPIPE, SIG_IGN);
  const rlimit few = {1024, 1024};
  setrlimit(RLIMIT_NOFILE, &few);
  FreshQueueWorks();
  return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const bool prepared = Prepare();
  (void)prepared;
  Bytes bytes(data, size);
  const auto before = OpenKinds();
  {
    Calls calls(bytes);
    for (int count = 0; !bytes.empty() && count < 400; ++count) calls.One();
    calls.End();
  }
  FreshQueueWorks();
  // A thread of the library's may still be using a queue: it closes what it was the last
  // to use.
  for (int patience = 0; OpenKinds() != before; ++patience) {
    if (patience < 3000) {
      Pause();
      continue;
    }
    for (const auto& [kind, count] : OpenKinds()) {
      std::fprintf(stderr, "%d %s\n", count, kind.c_str());
    }
    Fail("descriptors are left open");
  }
  return 0;
}
