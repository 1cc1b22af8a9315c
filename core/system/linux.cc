// SPDX-License-Identifier: MIT
//
// The seam on Linux.

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/auxv.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>

#include "core/base/timespec.h"
#include "core/system/kernel_signals.h"
#include "core/system/system.h"
#include "core/system/system_call.h"

namespace kevent::sys {

using core::ToTimespec;

// ---- Time -----------------------------------------------------------------

namespace {

uint64_t Nanoseconds(const timespec& time) {
  return static_cast<uint64_t>(time.tv_sec) * core::kNanosecondsPerSecond +
         static_cast<uint64_t>(time.tv_nsec);
}

}  // namespace

int Now(clockid_t clock, uint64_t* nanoseconds) {
  const ErrnoKept kept;
  timespec now;
  if (clock_gettime(clock, &now) != 0) return -errno;
  *nanoseconds = Nanoseconds(now);
  return 0;
}

// The call does not fail, so errno need not be kept: keeping it costs a call.
uint64_t MonotonicNow() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return Nanoseconds(now);
}

int ProbeTimerClock(clockid_t clock) {
  KernelSigevent event = {};
  event.notify = SIGEV_NONE;
  int id;
  const int result = CallInt(SYS_timer_create, clock, &event, &id);
  if (result == 0) Call(SYS_timer_delete, id);
  return result;
}

clockid_t ThreadCpuClock() {
  // The kernel's layout of a clock id: ~tid << 3, per thread (4), scheduler time (2).
  return ~CallInt(SYS_gettid) * 8 + 6;
}

// ---- Memory ---------------------------------------------------------------

namespace {

constexpr size_t kHugePage = size_t{2} << 20;

// Keeps `bytes` of whole pages, which begin at a huge page's boundary, of a mapping that has one
// huge page more.  Gives the other pages back.
void* Aligned(void* pages, size_t bytes) {
  auto* const first = static_cast<char*>(pages);
  const size_t before = -reinterpret_cast<uintptr_t>(first) % kHugePage;
  if (before != 0) munmap(first, before);
  if (before != kHugePage) munmap(first + before + bytes, kHugePage - before);
  return first + before;
}

}  // namespace

int MapPages(size_t bytes, OnFork on_fork, void** pages) {
  const ErrnoKept kept;
  const auto page = static_cast<size_t>(getpagesize());
  bytes = (bytes + page - 1) / page * page;
  // A large mapping gets room for moving it to where huge pages can be.
  const size_t mapped = bytes >= kHugePage ? bytes + kHugePage : bytes;
  void* found = mmap(nullptr, mapped, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  // EAGAIN: no memory may be locked any more.
  if (found == MAP_FAILED) return errno == EAGAIN ? -ENOMEM : -errno;
  if (bytes >= kHugePage) found = Aligned(found, bytes);
  if (on_fork == OnFork::kWipe) {
    const int error = CallInt(SYS_madvise, found, bytes, MADV_WIPEONFORK);
    if (error < 0) {
      UnmapPages(found, bytes);
      // EINVAL means that the kernel does not know the advice: the arguments are right.
      return error == -EINVAL ? -ENOSYS : error;
    }
  }
  *pages = found;
  return 0;
}

void UnmapPages(void* pages, size_t bytes) { Call(SYS_munmap, pages, bytes); }

void PreferHugePages(void* pages, size_t bytes) {
  Call(SYS_madvise, pages, bytes, MADV_HUGEPAGE);  // a wish: if it fails, memory is slower
}

// ---- Descriptors ----------------------------------------------------------

int CreateEpoll() { return CallInt(SYS_epoll_create1, EPOLL_CLOEXEC); }

int UnreadBytes(int fd) {
  int bytes = 0;
  const int result = CallInt(SYS_ioctl, fd, FIONREAD, &bytes);
  return result < 0 ? result : bytes;
}

int CreateAlwaysReady() { return CallInt(SYS_eventfd2, 1, EFD_CLOEXEC | EFD_NONBLOCK); }

int CreatePipe(int* writer) {
  int ends[2];
  const int result = CallInt(SYS_pipe2, ends, O_CLOEXEC | O_NONBLOCK);
  if (result < 0) return result;
  *writer = ends[1];
  return ends[0];
}

int CreateTimerfd(clockid_t clock) {
  return CallInt(SYS_timerfd_create, clock, TFD_CLOEXEC | TFD_NONBLOCK);
}

int DescriptorLimit() {
  rlimit limit;
  if (Call(SYS_prlimit64, 0, RLIMIT_NOFILE, nullptr, &limit) < 0) return INT_MAX;
  return limit.rlim_cur < INT_MAX ? static_cast<int>(limit.rlim_cur) : INT_MAX;
}

int Write(int fd, const char* text, size_t bytes) { return CallInt(SYS_write, fd, text, bytes); }

int LowestInternal() {
  // Programs take the lowest numbers, and select(2) works up to 1023; the
  // kernel's table grows with the highest number, and fork copies it.
  constexpr int kBelow = 1024;
  return std::min(DescriptorLimit(), kBelow) / 4 * 3;
}

// The mark is the signal number by which a file would announce I/O.  No file of the engine's
// announces any, and the C library keeps this number from every program.
int Mark(int fd) {
  const int result = CallInt(SYS_fcntl, fd, F_SETSIG, kReservedSignal);
  return result < 0 ? result : std::min(MarkOf(fd), 0);
}

int MarkOf(int fd) { return CallInt(SYS_fcntl, fd, F_GETSIG); }
bool IsMarked(int fd) { return MarkOf(fd) == kReservedSignal; }

namespace {

// True if a lock on the file would meet another one, as `command` says; false if that cannot be
// known.
bool MeetsLock(int fd, int command) {
  struct flock lock = {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return CallInt(SYS_fcntl, fd, command, &lock) == 0 && lock.l_type != F_UNLCK;
}

}  // namespace

int LockTable(int fd) {
  struct flock whole = {};
  whole.l_type = F_RDLCK;
  whole.l_whence = SEEK_SET;
  return CallInt(SYS_fcntl, fd, F_SETLK, &whole);
}

// F_GETLK passes over the locks of the caller's own table.
bool InTableOf(int fd) { return !MeetsLock(fd, F_GETLK); }

// F_OFD_GETLK asks for a lock of the open file itself, which every table's lock conflicts with.
bool IsLocked(int fd) { return MeetsLock(fd, F_OFD_GETLK); }

int EpollAdd(int epoll, int fd, uint32_t events, uint64_t token) {
  epoll_event event = {.events = events, .data = {.u64 = token}};
  return CallInt(SYS_epoll_ctl, epoll, EPOLL_CTL_ADD, fd, &event);
}

int EpollModify(int epoll, int fd, uint32_t events, uint64_t token) {
  epoll_event event = {.events = events, .data = {.u64 = token}};
  return CallInt(SYS_epoll_ctl, epoll, EPOLL_CTL_MOD, fd, &event);
}

int EpollDelete(int epoll, int fd) {
  epoll_event unused = {};
  return CallInt(SYS_epoll_ctl, epoll, EPOLL_CTL_DEL, fd, &unused);
}

int EpollTake(int epoll, epoll_event* events, unsigned max) {
  return CallInt(SYS_epoll_pwait, epoll, events, max, 0, nullptr, 0);
}

namespace {

// LINUX_VERSION_CODE, from the note in the object that the kernel maps into each process: without a
// system call, which a sandbox would have to allow.  0 if it is not known.
uint32_t KernelVersion() {
  const auto* const image = reinterpret_cast<const char*>(getauxval(AT_SYSINFO_EHDR));
  if (image == nullptr) return 0;
  const auto* const header = reinterpret_cast<const ElfW(Ehdr)*>(image);
  const auto* const segments = reinterpret_cast<const ElfW(Phdr)*>(image + header->e_phoff);
  for (int i = 0; i < header->e_phnum; ++i) {
    if (segments[i].p_type != PT_NOTE) continue;
    const char* place = image + segments[i].p_offset;
    const char* const end = place + segments[i].p_filesz;
    constexpr auto kPadded = [](size_t bytes) { return (bytes + 3) & ~size_t{3}; };
    while (static_cast<size_t>(end - place) > sizeof(ElfW(Nhdr))) {
      ElfW(Nhdr) note;
      std::memcpy(&note, place, sizeof note);
      const char* const name = place + sizeof note;
      const char* const content = name + kPadded(note.n_namesz);
      constexpr char kLinux[] = "Linux";
      uint32_t version;
      if (note.n_type == 0 && note.n_namesz == sizeof kLinux && note.n_descsz == sizeof version &&
          std::memcmp(name, kLinux, sizeof kLinux) == 0) {
        std::memcpy(&version, content, sizeof version);
        return version;
      }
      place = content + kPadded(note.n_descsz);
    }
  }
  return 0;
}

constexpr uint32_t VersionCode(uint32_t major, uint32_t minor) { return major << 16 | minor << 8; }

constinit bool g_take_may_miss = true;
constinit bool g_reads_may_end_in_vain = true;

__attribute__((constructor)) void NoteVersion() {
  const uint32_t version = KernelVersion();
  g_take_may_miss = version == 0 || (version >= VersionCode(5, 11) && version < VersionCode(6, 18));
  g_reads_may_end_in_vain =
      version == 0 || (version >= VersionCode(5, 9) && version < VersionCode(5, 11));
}

}  // namespace

// From Linux 5.11 on (e59d3c64cba6), a call that does not wait looks at the list of ready members
// without the list's lock; from 6.18 on it takes the lock again.
bool EpollTakeMayMiss() { return g_take_may_miss; }

bool ReadsMayEndInVain() { return g_reads_may_end_in_vain; }

int ArmTimerfd(int timerfd, uint64_t moment, bool until_clock_set) {
  const itimerspec setting = {{0, 0}, ToTimespec(moment)};
  const int flags = TFD_TIMER_ABSTIME | (until_clock_set ? TFD_TIMER_CANCEL_ON_SET : 0);
  return CallInt(SYS_timerfd_settime, timerfd, flags, &setting, nullptr);
}

int Close(int fd) { return CallInt(SYS_close, fd); }

int CloseRange(unsigned first, unsigned last, int flags) {
  return CallInt(SYS_close_range, first, last, flags);
}

int Unshare(int flags) { return CallInt(SYS_unshare, flags); }

int Duplicate(int fd) { return CallInt(SYS_dup, fd); }

int DuplicateFrom(int fd, int lowest, bool close_on_exec) {
  return CallInt(SYS_fcntl, fd, close_on_exec ? F_DUPFD_CLOEXEC : F_DUPFD, lowest);
}

int DuplicateTo(int fd, int target, int flags) { return CallInt(SYS_dup3, fd, target, flags); }

int DescriptorFlags(int fd) { return CallInt(SYS_fcntl, fd, F_GETFD); }

int StatusFlags(int fd) { return CallInt(SYS_fcntl, fd, F_GETFL); }

int SetStatusFlags(int fd, int flags) { return CallInt(SYS_fcntl, fd, F_SETFL, flags); }

int Fcntl(int fd, int command, void* argument) { return CallInt(SYS_fcntl, fd, command, argument); }

// ---- Sleeping -------------------------------------------------------------

int Poll(pollfd* descriptors, unsigned count, const timespec* timeout, const sigset_t* mask) {
  const ErrnoKept kept;
  const int result = ppoll(descriptors, count, timeout, mask);
  return result >= 0 ? result : -errno;
}

bool IsReadable(int fd) {
  pollfd descriptor = {fd, POLLIN, 0};
  const timespec at_once = {0, 0};
  return Call(SYS_ppoll, &descriptor, 1, &at_once, nullptr, 0) == 1 &&
         (descriptor.revents & POLLIN) != 0;
}

void Pause() {
  const timespec while_others_run = {0, 100'000};
  Call(SYS_ppoll, nullptr, 0, &while_others_run, nullptr, 0);
}

namespace {

int Wait(const std::atomic<uint32_t>* word, uint32_t expected, const timespec* deadline) {
  const int result = CallInt(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, expected,
                             deadline, nullptr, FUTEX_BITSET_MATCH_ANY);
  return result == -EAGAIN ? 0 : result;
}

int WaitCancellably(const std::atomic<uint32_t>* word, uint32_t expected,
                    const timespec* deadline) {
  // The C library has no cancellation point that sleeps on a futex: the thread may be cancelled
  // anywhere between these two lines, where it owns nothing.
  int type;
  pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &type);
  const int result = Wait(word, expected, deadline);
  pthread_setcanceltype(type, &type);
  return result;
}

// The kernel restarts a futex wait without a timeout after a handler with SA_RESTART, and not one
// with a timeout (signal(7)): so there is always one.
constexpr timespec kFar = ToTimespec(core::kLatest);

}  // namespace

int FutexWait(const std::atomic<uint32_t>* word, uint32_t expected, const timespec* deadline) {
  return Wait(word, expected, deadline == nullptr ? &kFar : deadline);
}

int FutexWaitCancellably(const std::atomic<uint32_t>* word, uint32_t expected,
                         const timespec* deadline) {
  return WaitCancellably(word, expected, deadline == nullptr ? &kFar : deadline);
}

int FutexWaitCancellablyRestarted(const std::atomic<uint32_t>* word, uint32_t expected) {
  return WaitCancellably(word, expected, nullptr);
}

void FutexWake(const std::atomic<uint32_t>* word) {
  Call(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, nullptr, nullptr, 0);
}

void FutexWakeAll(const std::atomic<uint32_t>* word) {
  Call(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, INT_MAX, nullptr, nullptr, 0);
}

// ---- Signals --------------------------------------------------------------

SignalSet BlockAllSignals() {
  const SignalSet all = ~SignalSet{0};
  SignalSet before = 0;
  Call(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, sizeof(SignalSet));
  return before;
}

void RestoreSignals(SignalSet set) {
  Call(SYS_rt_sigprocmask, SIG_SETMASK, &set, nullptr, sizeof(SignalSet));
}

}  // namespace kevent::sys
