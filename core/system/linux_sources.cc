// SPDX-License-Identifier: MIT
//
// The seam on Linux: the system's part of the sources of kevents.

#include <linux/futex.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "core/base/number_text.h"
#include "core/system/system.h"
#include "core/system/system_call.h"

namespace kevent::sys {

int PollNow(int fd, short events) {
  pollfd descriptor = {fd, events, 0};
  const timespec at_once = {0, 0};
  const int result = CallInt(SYS_ppoll, &descriptor, 1, &at_once, nullptr, 0);
  if (result < 0) return result;
  if ((descriptor.revents & POLLNVAL) != 0) return -EBADF;
  return static_cast<unsigned short>(descriptor.revents);
}

int FileMode(int fd) {
  struct stat status;
  const ErrnoKept kept;
  return fstat(fd, &status) == 0 ? static_cast<int>(status.st_mode) : -errno;
}

namespace {

// Has the pages faulted in as if they were written to: 0 or a negative errno, which is EINVAL for
// read-only pages and before Linux 5.14, and may be a sandbox's.
int PopulateForWriting(uintptr_t first, uintptr_t end, uintptr_t page) {
  constexpr int kPopulateWrite = 23;  // MADV_POPULATE_WRITE
  first &= ~(page - 1);
  return CallInt(SYS_madvise, first, end - first, kPopulateWrite);
}

// FUTEX_WAKE_OP writes a word of the program's, here by an atomic OR of 0.  It wakes no thread: the
// futex whose sleepers it wakes is a word of this thread's stack.
bool CanBeWritten(uintptr_t address) {
  uint32_t own = 0;
  constexpr uint32_t kOrZero = FUTEX_OP(FUTEX_OP_OR, 0, FUTEX_OP_CMP_LT, 0);
  const uintptr_t word = address & ~(sizeof own - 1);
  return CallInt(SYS_futex, &own, FUTEX_WAKE_OP | FUTEX_PRIVATE_FLAG, 1, 0, word, kOrZero) !=
         -EFAULT;
}

}  // namespace

bool IsWritable(void* address, size_t bytes) {
  const auto first = reinterpret_cast<uintptr_t>(address);
  if (bytes == 0) return true;
  if (bytes > UINTPTR_MAX - first) return false;
  const auto page = static_cast<uintptr_t>(getpagesize());
  // The page of this function's own frame can be written to: the kernel need not be asked about it.
  const uintptr_t own_page = reinterpret_cast<uintptr_t>(__builtin_frame_address(0)) & ~(page - 1);
  if (first >= own_page && first + bytes - own_page <= page) return true;
  const int result = PopulateForWriting(first, first + bytes, page);
  if (result == 0) return true;
  if (result == -EFAULT || result == -ENOMEM) return false;
  for (uintptr_t at = first; at - first < bytes; at = (at & ~(page - 1)) + page) {
    if (!CanBeWritten(at)) return false;
  }
  return CanBeWritten(first + bytes - 1);
}

// ---- Signals ----------------------------------------------------------------

int CreateSignalfd(int signal) {
  const SignalSet set = SignalSet{1} << (signal - 1);
  return CallInt(SYS_signalfd4, -1, &set, sizeof set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int SetSignalfd(int signalfd, SignalSet signals) {
  return CallInt(SYS_signalfd4, signalfd, &signals, sizeof signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

SignalSet PendingSignals() {
  SignalSet pending = 0;
  Call(SYS_rt_sigpending, &pending, sizeof pending);
  return pending;
}

int LetSignalsThrough(const sigset_t* mask) {
  const timespec at_once = {0, 0};
  return CallInt(SYS_ppoll, nullptr, 0, &at_once, mask, sizeof(SignalSet));
}

int TakeSignals(int signalfd, uint32_t* count, uint32_t* sender) {
  // One call takes at most this many queued instances of a real-time signal.
  signalfd_siginfo taken[16];
  const long bytes = Call(SYS_read, signalfd, taken, sizeof taken);
  if (bytes < 0) return static_cast<int>(bytes);
  *count = static_cast<uint32_t>(static_cast<size_t>(bytes) / sizeof taken[0]);
  if (*count == 0) return -EAGAIN;
  *sender = taken[*count - 1].ssi_pid;
  return 0;
}

// ---- Processes --------------------------------------------------------------

int CreatePidfd(int process) { return CallInt(SYS_pidfd_open, process, 0); }

int ExitStatus(int pidfd, int process, int* status) {
  constexpr int kByPidfd = 3;  // P_PIDFD, Linux 5.4
  // Children that end with another signal than SIGCHLD are found, too.
  constexpr int kOptions = WEXITED | WNOHANG | WNOWAIT | __WALL;
  siginfo_t info;
  info.si_pid = 0;
  int result = CallInt(SYS_waitid, kByPidfd, pidfd, &info, kOptions, nullptr);
  if (result == -EINVAL) {
    result = CallInt(SYS_waitid, P_PID, process, &info, kOptions, nullptr);
  }
  if (result < 0) return result;
  if (info.si_pid == 0) return -EAGAIN;
  // The bit for a core dump, as in the status of wait(2).
  constexpr int kCoreFlag = 0x80;
  switch (info.si_code) {
    case CLD_EXITED:
      *status = (info.si_status & 0xff) << 8;
      break;
    case CLD_DUMPED:
      *status = info.si_status | kCoreFlag;
      break;
    default:
      *status = info.si_status;
  }
  return 0;
}

// ---- Files ------------------------------------------------------------------

int CreateInotify() { return CallInt(SYS_inotify_init1, IN_CLOEXEC | IN_NONBLOCK); }

int InotifyAdd(int inotify, int fd, uint32_t mask) {
  // inotify takes names; this one is the file's, whatever its other names are.
  char name[32] = "/proc/self/fd/";
  AppendNumber(name, fd);
  return CallInt(SYS_inotify_add_watch, inotify, name, mask | IN_MASK_ADD);
}

void InotifyRemove(int inotify, int watch) { Call(SYS_inotify_rm_watch, inotify, watch); }

int ReadInotify(int inotify, void* buffer, size_t bytes) {
  return CallInt(SYS_read, inotify, buffer, bytes);
}

}  // namespace kevent::sys
