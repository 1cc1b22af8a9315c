// SPDX-License-Identifier: MIT
//
// The seam on Linux: transfers of bytes, and the announcement of messages.

#include <linux/netlink.h>
#include <netdb.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <termios.h>
#include <unistd.h>

#include <cstring>
#include <tuple>

#include "core/system.h"
#include "core/system_call.h"

namespace kevent::sys {

// ---- Transfers ----------------------------------------------------------------

namespace {

// At its place if it has one.
int64_t Move(const Transfer& transfer) {
  const bool read = transfer.kind == Transfer::Kind::kRead;
  const auto [fd, buffer, bytes] = std::tuple(transfer.fd, transfer.buffer, transfer.bytes);
  if (transfer.offset != Transfer::kStream) {
    const int64_t result =
        Call(read ? SYS_pread64 : SYS_pwrite64, fd, buffer, bytes, transfer.offset);
    if (result != -ESPIPE) return result;
  }
  return Call(read ? SYS_read : SYS_write, fd, buffer, bytes);
}

int64_t Try(const Transfer& transfer) {
  switch (transfer.kind) {
    case Transfer::Kind::kNothing:
      return 0;
    case Transfer::Kind::kSync:
      return Call(SYS_fsync, transfer.fd);
    case Transfer::Kind::kSyncData:
      return Call(SYS_fdatasync, transfer.fd);
    case Transfer::Kind::kRead:
    case Transfer::Kind::kWrite:
      break;
  }
  return Move(transfer);
}

}  // namespace

int64_t Perform(const Transfer& transfer) {
  int64_t result;
  do {
    result = Try(transfer);
  } while (result == -EINTR);
  return result;
}

namespace {

constexpr SignalSet kBrokenPipe = SignalSet{1} << (SIGPIPE - 1);

bool IsPending(SignalSet signals) {
  SignalSet pending = 0;
  Call(SYS_rt_sigpending, &pending, sizeof pending);
  return (pending & signals) != 0;
}

}  // namespace

// As in a thread of its own: blocked there, job control's are not sent.
int64_t PerformWithoutSignals(const Transfer& transfer) {
  const SignalSet before = BlockAllSignals();
  const bool was_pending = IsPending(kBrokenPipe);
  const int64_t result = Perform(transfer);
  if (result == -EPIPE && !was_pending) {
    // The thread's own comes before one that was sent to the process meanwhile.
    const timespec at_once = {0, 0};
    Call(SYS_rt_sigtimedwait, &kBrokenPipe, nullptr, &at_once, sizeof kBrokenPipe);
  }
  RestoreSignals(before);
  return result;
}

int64_t ReadAtOnce(const Transfer& transfer) {
  const iovec where = {transfer.buffer, transfer.bytes};
  // The offset in two halves, as the system call has it.
  return Call(SYS_preadv2, transfer.fd, &where, 1, transfer.offset, transfer.offset >> 32,
              RWF_NOWAIT);
}

bool IsStream(int fd) { return Call(SYS_lseek, fd, 0, SEEK_CUR) == -ESPIPE; }

bool MayEndByTime(const Transfer& transfer) {
  const int mode = FileMode(transfer.fd);
  if (mode < 0) return false;
  if (S_ISCHR(mode)) {
    termios setting;
    return Call(SYS_ioctl, transfer.fd, TCGETS, &setting) == 0;
  }
  if (!S_ISSOCK(mode)) return false;
  timeval timeout = {0, 0};
  socklen_t bytes = sizeof timeout;
  const int option = transfer.kind == Transfer::Kind::kRead ? SO_RCVTIMEO : SO_SNDTIMEO;
  return Call(SYS_getsockopt, transfer.fd, SOL_SOCKET, option, &timeout, &bytes) == 0 &&
         (timeout.tv_sec != 0 || timeout.tv_usec != 0);
}

// ---- Notifications --------------------------------------------------------------

namespace {

struct Notification {
  void (*function)(sigval);
  sigval value;
  std::atomic<uint32_t> taken;
};

void* RunNotification(void* argument) {
  auto* notification = static_cast<Notification*>(argument);
  const auto function = notification->function;
  const sigval value = notification->value;
  notification->taken.store(1, std::memory_order_release);
  FutexWake(&notification->taken);  // gone from here on: a wake of nobody
  RestoreSignals(0);                // whatever the thread that made it has blocked
  function(value);
  return nullptr;
}

void StartNotification(const sigevent& event) {
  Notification notification = {event.sigev_notify_function, event.sigev_value, {0}};
  pthread_attr_t detached;
  const pthread_attr_t* attributes = event.sigev_notify_attributes;
  if (attributes == nullptr) {
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    attributes = &detached;
  }
  pthread_t thread;
  if (pthread_create(&thread, attributes, &RunNotification, &notification) == 0) {
    while (notification.taken.load(std::memory_order_acquire) == 0) {
      FutexWait(&notification.taken, 0, nullptr);
    }
  }
  if (attributes == &detached) pthread_attr_destroy(&detached);
}

}  // namespace

void Notify(const sigevent& event) {
  if (event.sigev_notify == SIGEV_THREAD) return StartNotification(event);
  if (event.sigev_notify != SIGEV_SIGNAL) return;
  siginfo_t info;
  std::memset(&info, 0, sizeof info);
  info.si_signo = event.sigev_signo;
  info.si_code = SI_ASYNCIO;
  info.si_pid = ProcessId();
  info.si_uid = getuid();
  info.si_value = event.sigev_value;
  Call(SYS_rt_sigqueueinfo, info.si_pid, event.sigev_signo, &info);
}

// ---- Look-ups of names ----------------------------------------------------------

void AwaitLookup(gaicb* request) {
  // A request that gai_cancel takes out wakes nobody who sleeps for it, and stays in
  // progress (glibc 2.36): gai_suspend alone tells, by EAI_ALLDONE.  No other result of
  // gai_suspend says that the look-up has ended: a timeout is EAI_SYSTEM there, and
  // EAI_AGAIN in its manual.
  constexpr timespec kSlice = {0, 100'000'000};
  const gaicb* const list[] = {request};
  while (gai_error(request) == EAI_INPROGRESS) {
    if (gai_suspend(list, 1, &kSlice) == EAI_ALLDONE) return;
  }
}

// ---- Message queues -------------------------------------------------------------

namespace {

// ipc/mqueue.c: what the kernel sends, NOTIFY_COOKIE_LEN bytes of the program's
// own of which the last says why.
constexpr size_t kCookieBytes = 32;
constexpr char kWokenUp = 1;

}  // namespace

int CreateAnnouncer() {
  return CallInt(SYS_socket, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
}

int AnnounceMessage(int message_queue, int announcer) {
  const char cookie[kCookieBytes] = {};
  sigevent event;
  std::memset(&event, 0, sizeof event);
  event.sigev_notify = SIGEV_THREAD;
  event.sigev_signo = announcer;
  event.sigev_value.sival_ptr = const_cast<char*>(cookie);
  return CallInt(SYS_mq_notify, message_queue, &event);
}

int Announcement(int announcer) {
  char cookie[kCookieBytes];
  const int result = CallInt(SYS_recvfrom, announcer, cookie, sizeof cookie,
                             MSG_DONTWAIT | MSG_PEEK, nullptr, nullptr);
  if (result < 0) return result;
  return result == sizeof cookie && cookie[kCookieBytes - 1] == kWokenUp ? 1 : 0;
}

}  // namespace kevent::sys
