// SPDX-License-Identifier: MIT
//
// What the system refuses for good: limits of the process, and system calls
// that a sandbox forbids.  A clear error, nothing left behind, and all works
// once the limit is lifted.

#include <aio.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netdb.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <fstream>
#include <iterator>
#include <string>

#include "tests/support/process.h"
#include "tests/support/queue.h"

namespace kevent_test {
namespace {

void Limit(int resource, rlim_t soft) {
  rlimit limit;
  CHILD_CHECK(getrlimit(static_cast<__rlimit_resource>(resource), &limit) == 0);
  limit.rlim_cur = soft;
  CHILD_CHECK(setrlimit(static_cast<__rlimit_resource>(resource), &limit) == 0);
}

rlim_t LimitOf(int resource) {
  rlimit limit;
  CHILD_CHECK(getrlimit(static_cast<__rlimit_resource>(resource), &limit) == 0);
  return limit.rlim_cur;
}

// Makes a system call fail with this errno, for good.
void Refuse(unsigned system_call, int error) {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, system_call, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(error)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter = {std::size(program), program};
  CHILD_CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  CHILD_CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0);
}

// A timer on this clock expires into the queue and is collected.
void UseTimer(int queue, clockid_t clock) {
  sigevent request;
  kevent_sigevent(&request, queue, nullptr);
  timer_t timer;
  CHILD_CHECK(timer_create(clock, &request, &timer) == 0);
  const itimerspec past = {{0, 0}, {0, 1}};
  CHILD_CHECK(timer_settime(timer, TIMER_ABSTIME, &past, nullptr) == 0);
  ukevent event;
  CHILD_CHECK(kevent_get_events(queue, 1, 1, nullptr, &event, 0) == 1);
  CHILD_CHECK(timer_delete(timer) == 0);
}

void UseQueue() {
  const int queue = kevent_init(nullptr, 0, 0);
  CHILD_CHECK(queue >= 0);
  for (const clockid_t clock : {CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME, CLOCK_TAI}) {
    UseTimer(queue, clock);
  }
  CHILD_CHECK(close(queue) == 0);
}

size_t Mappings() {
  std::ifstream maps("/proc/self/maps");
  size_t lines = 0;
  for (std::string line; std::getline(maps, line);) ++lines;
  return lines;
}

// One descriptor more each time, until a queue and a timer on each clock fit.
TEST(Limits, Descriptors) {
  ExpectChild([] {
    UseQueue();
    // No number is free below the highest.
    while (dup(STDIN_FILENO) < *OpenDescriptors().rbegin()) {
    }
    const std::set<int> before = OpenDescriptors();
    const rlim_t all = LimitOf(RLIMIT_NOFILE);
    const auto used = static_cast<rlim_t>(*before.rbegin()) + 1;
    int refused = 0;
    for (rlim_t more = 0;; ++more) {
      Limit(RLIMIT_NOFILE, used + more);
      const int queue = kevent_init(nullptr, 0, 0);
      const int error = errno;
      if (queue >= 0) CHILD_CHECK(close(queue) == 0);
      Limit(RLIMIT_NOFILE, all);
      CHILD_CHECK(OpenDescriptors() == before);
      if (queue >= 0) break;
      CHILD_CHECK(error == EMFILE);
      ++refused;
    }
    CHILD_CHECK(refused >= 4);
    UseQueue();
  });
}

// The first operation of a queue takes some: what is missing then is EAGAIN, as
// POSIX has it for aio_read, and nothing has begun.
TEST(Limits, DescriptorsOfAQueuesFirstOperation) {
  ExpectChild([] {
    const int queue = kevent_init(nullptr, 0, 0);
    const int file = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    const std::set<int> before = OpenDescriptors();
    const rlim_t all = LimitOf(RLIMIT_NOFILE);
    char byte;
    aiocb control = {};
    control.aio_fildes = file;
    control.aio_buf = &byte;
    control.aio_nbytes = 1;
    control.aio_lio_opcode = LIO_READ;
    kevent_sigevent(&control.aio_sigevent, queue, &control);
    aiocb* list[] = {&control};
    gaicb name = {};
    name.ar_name = "127.0.0.1";
    gaicb* names[] = {&name};
    Limit(RLIMIT_NOFILE, 3);
    CHILD_CHECK(aio_read(&control) == -1 && errno == EAGAIN);
    CHILD_CHECK(aio_error(&control) == EAGAIN);
    CHILD_CHECK(lio_listio(LIO_NOWAIT, list, 1, nullptr) == -1 && errno == EAGAIN);
    CHILD_CHECK(getaddrinfo_a(GAI_NOWAIT, names, 1, &control.aio_sigevent) == EAI_AGAIN);
    CHILD_CHECK(errno == EAGAIN);
    Limit(RLIMIT_NOFILE, all);
    CHILD_CHECK(OpenDescriptors() == before);
    ukevent event;
    CHILD_CHECK(kevent_get_events(queue, 0, 1, nullptr, &event, 0) == 0);
    CHILD_CHECK(aio_read(&control) == 0);
    CHILD_CHECK(kevent_get_events(queue, 1, 1, nullptr, &event, 0) == 1);
    CHILD_CHECK(event.ptr == &control && aio_return(&control) == 1);
  });
}

// A file that is kept takes one; a transfer that waits takes none.
TEST(Limits, DescriptorsOfTransfers) {
  ExpectChild([] {
    int ends[2];
    CHILD_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    const int queue = kevent_init(nullptr, 0, 0);
    const int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    const std::set<int> before = OpenDescriptors();
    const rlim_t all = LimitOf(RLIMIT_NOFILE);
    char byte;
    Limit(RLIMIT_NOFILE, 3);
    CHILD_CHECK(kevent_aio_recv(queue, ends[0], &byte, 1, 0) == -1 && errno == EAGAIN);
    Limit(RLIMIT_NOFILE, all);
    CHILD_CHECK(OpenDescriptors() == before);
    CHILD_CHECK(kevent_aio_recv(queue, ends[0], &byte, 1, 0) == 0);
    const std::set<int> with_kevents = OpenDescriptors();
    Limit(RLIMIT_NOFILE, 3);
    CHILD_CHECK(kevent_aio_recv(queue, ends[0], &byte, 1, 0) == 0);
    CHILD_CHECK(kevent_aio_sendfile_path(queue, ends[0], "/proc/self/exe", 0, 1) == -1);
    CHILD_CHECK(errno == EMFILE);
    // What the socket takes at once needs no descriptor.
    CHILD_CHECK(kevent_aio_sendfile(queue, ends[0], file, 0, 1) == 0);
    constexpr size_t kMore = size_t{1} << 30;
    std::string text(1 << 20, 'x');
    while (send(ends[0], text.data(), text.size(), MSG_DONTWAIT) > 0) {
    }
    CHILD_CHECK(kevent_aio_sendfile(queue, ends[0], file, 0, kMore) == -1 && errno == EMFILE);
    // Of a file of which a part was sent, the event tells.
    int others[2];
    Limit(RLIMIT_NOFILE, all);
    CHILD_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, others) == 0);
    Limit(RLIMIT_NOFILE, 3);
    CHILD_CHECK(kevent_aio_sendfile(queue, others[0], file, 0, kMore) == 0);
    Limit(RLIMIT_NOFILE, all);
    close(others[0]);
    size_t arrived = 0;
    for (ssize_t count; (count = read(others[1], text.data(), text.size())) > 0;)
      arrived += static_cast<size_t>(count);
    close(others[1]);
    CHILD_CHECK(OpenDescriptors() == with_kevents);
    ukevent event;
    CHILD_CHECK(kevent_get_events(queue, 1, 1, nullptr, &event, 0) == 1);
    CHILD_CHECK(event.event == KEVENT_NAIO_SENDFILE && event.ret_data[0] == 1);
    CHILD_CHECK(kevent_get_events(queue, 1, 1, nullptr, &event, 0) == 1);
    CHILD_CHECK(event.ret_data[0] == arrived && event.ret_data[1] == EMFILE);
    CHILD_CHECK(kevent_cancel_transfers(queue, ends[0], nullptr) == AIO_CANCELED);
    for (int i = 0; i < 2; ++i) {
      CHILD_CHECK(kevent_get_events(queue, 1, 1, nullptr, &event, 0) == 1);
      CHILD_CHECK(event.ret_data[1] == ECANCELED);
    }
  });
}

// In a sandbox without the calls that ask for cached pages, and without sendfile's, files are sent
// all the same, or the event says why not.
TEST(Limits, CallsThatSendFilesMakeUse) {
  struct {
    unsigned call;
    int error;
    int socket_flags;
    uint32_t result;
  } const cases[] = {
      {SYS_mincore, EPERM, SOCK_NONBLOCK, 0},
      {SYS_mincore, ENOSYS, 0, 0},
      {SYS_preadv2, ENOSYS, 0, 0},
      {SYS_preadv2, EPERM, SOCK_NONBLOCK, 0},
      {SYS_sendfile, EPERM, 0, 0},
      {SYS_sendfile, EPERM, SOCK_NONBLOCK, EPERM},
      {SYS_mmap, ENOMEM, SOCK_NONBLOCK, 0},
  };
  for (const auto& one : cases) {
    ExpectChild([&one] {
      int ends[2];
      CHILD_CHECK(socketpair(AF_UNIX, SOCK_STREAM | one.socket_flags, 0, ends) == 0);
      const int queue = kevent_init(nullptr, 0, 0);
      const int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
      char byte;
      CHILD_CHECK(kevent_aio_recv(queue, ends[0], &byte, 1, 0) == 0);  // makes room for kevents
      Refuse(one.call, one.error);
      CHILD_CHECK(kevent_aio_sendfile(queue, ends[0], file, 1, 3) == 0);
      ukevent event;
      CHILD_CHECK(kevent_get_events(queue, 1, 1, nullptr, &event, 0) == 1);
      CHILD_CHECK(event.ret_data[1] == one.result);
      char name[3];
      CHILD_CHECK(one.result != 0 || (read(ends[1], name, 3) == 3 && name[0] == 'E'));
    });
  }
}

bool HasIoUring() {
  alignas(8) char parameters[120] = {};
  const long fd = syscall(SYS_io_uring_setup, 1, parameters);
  if (fd >= 0) close(static_cast<int>(fd));
  return fd >= 0 && dlopen("liburing.so.2", RTLD_NOW) != nullptr;
}

// A lack at the first operation, when the loader or the kernel takes some for io_uring, is
// forgotten when they are there: more reads can wait than there are threads that block.
TEST(Limits, DescriptorsOfIoUring) {
  ExpectChild([] {
    alarm(250);
    const int queue = kevent_init(nullptr, 0, 0);
    ukevent user = {};
    user.type = KEVENT_UNOTIFY;
    user.event = 1;
    CHILD_CHECK(kevent_ctl(queue, KEVENT_CTL_ADD, 1, &user) == 0);  // what a first kevent takes
    constexpr int kReads = 21;
    static aiocb controls[kReads + 1];
    static char bytes[kReads + 1];
    int ends[kReads + 1][2];
    for (auto& pipe_ends : ends) CHILD_CHECK(pipe(pipe_ends) == 0);
    const auto prepare = [&](int i) {
      controls[i].aio_fildes = ends[i][0];
      controls[i].aio_buf = &bytes[i];
      controls[i].aio_nbytes = 1;
      kevent_sigevent(&controls[i].aio_sigevent, queue, &controls[i]);
    };
    prepare(kReads);
    const rlim_t all = LimitOf(RLIMIT_NOFILE);
    for (rlim_t limit = 0; limit < 2; ++limit) {
      Limit(RLIMIT_NOFILE, limit);
      CHILD_CHECK(aio_read(&controls[kReads]) == -1 && errno == EAGAIN);
      Limit(RLIMIT_NOFILE, all);
    }
    for (int i = 0; i < kReads; ++i) {
      prepare(i);
      CHILD_CHECK(aio_read(&controls[i]) == 0);
    }
    CHILD_CHECK(write(ends[kReads - 1][1], "x", 1) == 1);
    ukevent event;
    if (!HasIoUring()) return;  // as many wait as there are threads, and no more
    CHILD_CHECK(kevent_get_events(queue, 1, 1, nullptr, &event, 0) == 1);
    CHILD_CHECK(event.ptr == &controls[kReads - 1]);
  });
}

// A clock's first timer takes a descriptor: without one, none of it is left.
TEST(Limits, DescriptorsOfAClock) {
  ExpectChild([] {
    const int queue = kevent_init(nullptr, 0, 0);
    const std::set<int> before = OpenDescriptors();
    const rlim_t all = LimitOf(RLIMIT_NOFILE);
    Limit(RLIMIT_NOFILE, 0);  // those that are open stay open
    sigevent request;
    kevent_sigevent(&request, queue, nullptr);
    timer_t timer;
    CHILD_CHECK(timer_create(CLOCK_BOOTTIME, &request, &timer) == -1 && errno == EMFILE);
    ukevent event;
    const timespec hour = {3600, 0};
    sigset_t none;
    sigemptyset(&none);
    CHILD_CHECK(kevent_pget_events(queue, 1, 1, &hour, &event, 0, &none) == -1 && errno == EMFILE);
    UseTimer(queue, CLOCK_MONOTONIC);
    // Clocks of CPU time have none.
    CHILD_CHECK(timer_create(CLOCK_PROCESS_CPUTIME_ID, &request, &timer) == 0);
    CHILD_CHECK(timer_delete(timer) == 0);
    Limit(RLIMIT_NOFILE, all);
    CHILD_CHECK(OpenDescriptors() == before);
    UseTimer(queue, CLOCK_BOOTTIME);
    CHILD_CHECK(close(queue) == 0);
  });
}

TEST(Limits, Memory) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizer maps more than any limit";
#endif
  ExpectChild([] {
    const rlim_t all = LimitOf(RLIMIT_AS);
    const std::set<int> before = OpenDescriptors();
    Limit(RLIMIT_AS, 1);  // what is mapped stays mapped
    CHILD_CHECK(kevent_init(nullptr, 0, 0) == -1 && errno == ENOMEM);
    Limit(RLIMIT_AS, all);
    CHILD_CHECK(OpenDescriptors() == before);

    const int queue = kevent_init(nullptr, 0, 0);
    CHILD_CHECK(queue >= 0);
    sigevent request;
    kevent_sigevent(&request, queue, nullptr);
    Limit(RLIMIT_AS, 1);
    timer_t timer;
    CHILD_CHECK(timer_create(CLOCK_MONOTONIC, &request, &timer) == -1 && errno == ENOMEM);
    Limit(RLIMIT_AS, all);
    UseTimer(queue, CLOCK_MONOTONIC);
    // Full: what is there goes on.
    std::vector<timer_t> timers;
    timers.reserve(100'000);
    Limit(RLIMIT_AS, 1);
    while (timer_create(CLOCK_MONOTONIC, &request, &timer) == 0) timers.push_back(timer);
    CHILD_CHECK(errno == ENOMEM && !timers.empty());
    const itimerspec past = {{0, 0}, {0, 1}};
    for (const timer_t each : timers)
      CHILD_CHECK(timer_settime(each, TIMER_ABSTIME, &past, nullptr) == 0);
    size_t collected = 0;
    ukevent events[64];
    for (int n; (n = kevent_get_events(queue, 0, 64, nullptr, events, 0)) > 0;) {
      collected += static_cast<size_t>(n);
    }
    CHILD_CHECK(collected == timers.size());
    for (const timer_t each : timers) CHILD_CHECK(timer_delete(each) == 0);
    Limit(RLIMIT_AS, all);
    CHILD_CHECK(close(queue) == 0);
  });
}

// Timers of ours count against no limit of signals.
TEST(Limits, QueuedSignals) {
  ExpectChild([] {
    Limit(RLIMIT_SIGPENDING, 0);
    UseQueue();
    // The kernel's timer behind CPU-time clocks does, and says so.
    const int queue = kevent_init(nullptr, 0, 0);
    sigevent request;
    kevent_sigevent(&request, queue, nullptr);
    timer_t timer;
    CHILD_CHECK(timer_create(CLOCK_PROCESS_CPUTIME_ID, &request, &timer) == -1 && errno == EAGAIN);
    // So does the one that is made to learn whether there may be alarms, before anything
    // else that is against them.
    for (const clockid_t clock : {CLOCK_REALTIME_ALARM, CLOCK_BOOTTIME_ALARM}) {
      CHILD_CHECK(timer_create(clock, &request, &timer) == -1 && errno == EAGAIN);
    }
    UseTimer(queue, CLOCK_MONOTONIC);
    CHILD_CHECK(close(queue) == 0);
  });
}

size_t ResidentBytes() {
  size_t mapped = 0;
  size_t resident = 0;
  std::ifstream("/proc/self/statm") >> mapped >> resident;
  return resident * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

// What kevent(7) says that locked memory takes; with MCL_ONFAULT it is what is used.
TEST(Limits, LockedMemory) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizer's memory cannot be locked";
#endif
  for (const int how : {MCL_FUTURE, MCL_FUTURE | MCL_ONFAULT}) {
    ExpectChild([how] {
      if (mlockall(how) != 0) return;  // not allowed here
      const size_t before = ResidentBytes();
      const int queue = kevent_init(nullptr, 0, 0);
      if (queue < 0 && errno == ENOMEM) return;  // RLIMIT_MEMLOCK
      CHILD_CHECK(queue >= 0);
      UseTimer(queue, CLOCK_MONOTONIC);
      int ends[2];
      CHILD_CHECK(pipe(ends) == 0);
      static char byte;
      static aiocb controls[2];
      for (int i = 0; i < 2; ++i) {
        controls[i].aio_fildes = ends[i];
        controls[i].aio_buf = &byte;
        controls[i].aio_nbytes = 1;
        kevent_sigevent(&controls[i].aio_sigevent, queue, nullptr);
        if ((i == 0 ? aio_read : aio_write)(&controls[i]) != 0) {
          CHILD_CHECK(errno == EAGAIN);  // RLIMIT_MEMLOCK
          return;
        }
      }
      ukevent events[2];
      CHILD_CHECK(kevent_get_events(queue, 2, 2, nullptr, events, 0) == 2);
      const size_t taken = ResidentBytes() - before;
      const size_t most = (how & MCL_ONFAULT) != 0 ? size_t{4} << 20 : size_t{29} << 20;
      CHILD_CHECK(taken < most);
    });
  }
}

// A sandbox that knows no queue's system calls: its error at kevent_init.
TEST(Sandbox, RefusesAQueueClearly) {
  for (const unsigned system_call : {unsigned{SYS_timerfd_create}, unsigned{SYS_pipe2},
                                     unsigned{SYS_epoll_create1}, unsigned{SYS_epoll_ctl}}) {
    for (const int error : {EPERM, ENOSYS, EACCES}) {
      SCOPED_TRACE(testing::Message() << "system call " << system_call << ", errno " << error);
      ExpectChild([=] {
        const std::set<int> before = OpenDescriptors();
        Refuse(system_call, error);
        for (int again = 0; again < 2; ++again) {
          CHILD_CHECK(kevent_init(nullptr, 0, 0) == -1 && errno == error);
          CHILD_CHECK(OpenDescriptors() == before);
        }
      });
    }
  }
}

// Nothing is mapped again and again by what fails again and again.
// The C library's closefrom has a way of its own then.
TEST(Sandbox, WithoutCloseRange) {
  ExpectChild([] {
    const int queue = kevent_init(nullptr, 0, 0);
    CHILD_CHECK(queue >= 0);
    const int file = dup(0);
    Refuse(SYS_close_range, ENOSYS);
    CHILD_CHECK(close_range(static_cast<unsigned>(queue), ~0U, 0) == -1 && errno == ENOSYS);
    UseTimer(queue, CLOCK_MONOTONIC);
    closefrom(file);
    CHILD_CHECK(fcntl(file, F_GETFD) == -1);
    UseTimer(queue, CLOCK_MONOTONIC);
    closefrom(queue);
    ukevent event;
    CHILD_CHECK(kevent_get_events(queue, 0, 1, nullptr, &event, 0) == -1 && errno == EBADF);
  });
}

TEST(Sandbox, FailureTakesNoMemory) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizer maps as it pleases";
#endif
  ExpectChild([] {
    Refuse(SYS_timerfd_create, EPERM);
    CHILD_CHECK(kevent_init(nullptr, 0, 0) == -1);
    const size_t before = Mappings();
    for (int i = 0; i < 100; ++i) CHILD_CHECK(kevent_init(nullptr, 0, 0) == -1);
    CHILD_CHECK(Mappings() <= before + 1);
  });
}

// io_uring is not needed.
TEST(Sandbox, WithoutIoUring) {
  ExpectChild([] {
    Refuse(SYS_io_uring_setup, EPERM);
    UseQueue();
  });
}

}  // namespace
}  // namespace kevent_test
