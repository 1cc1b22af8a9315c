// SPDX-License-Identifier: MIT
//
// The seam on Linux: transfers of bytes, and the announcement of messages.

#include <fcntl.h>
#include <linux/netlink.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <tuple>

#include "core/base/number_text.h"
#include "core/system/broken_pipe.h"
#include "core/system/system.h"
#include "core/system/system_call.h"
#include "core/system/thread_name.h"

namespace kevent::sys {

// ---- Transfers ----------------------------------------------------------------

namespace {

// Reads or writes at the transfer's place, if the file has places.
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

// Reads pages into the cache, by reading what is not used: an error only if there are none before.
int64_t ReadAhead(const Transfer& transfer) {
  char unused[16384];
  size_t moved = 0;
  while (moved < transfer.bytes) {
    const size_t bytes = std::min(sizeof unused, transfer.bytes - moved);
    const long result = Call(SYS_pread64, transfer.fd, unused, bytes,
                             transfer.offset + static_cast<int64_t>(moved));
    if (result < 0 && moved == 0) return result;
    if (result <= 0) break;
    moved += static_cast<size_t>(result);
  }
  return static_cast<int64_t>(moved);
}

int64_t Try(const Transfer& transfer) {
  switch (transfer.kind) {
    case Transfer::Kind::kReadAhead:
      return ReadAhead(transfer);
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

// Signals are blocked, as in a thread of the library's own: job control sends none to a thread that
// blocks them.
int64_t PerformWithoutSignals(const Transfer& transfer) {
  return WithoutBrokenPipe(transfer.bytes, [&] { return Perform(transfer); });
}

int64_t ReadAtOnce(const Transfer& transfer) {
  const iovec where = {transfer.buffer, transfer.bytes};
  // The system call takes the offset in two halves.
  return Call(SYS_preadv2, transfer.fd, &where, 1, transfer.offset, transfer.offset >> 32,
              RWF_NOWAIT);
}

bool EndsBefore(const Transfer& read) {
  struct stat status;
  const ErrnoKept kept;
  return fstat(read.fd, &status) == 0 && S_ISREG(status.st_mode) && read.offset < status.st_size;
}

// ---- What a file is ---------------------------------------------------------------

namespace {

bool IsStream(int fd) { return Call(SYS_lseek, fd, 0, SEEK_CUR) == -ESPIPE; }

// Asks as an io_uring does before it begins.
bool IsReady(const Transfer& transfer) {
  const short events = transfer.kind == Transfer::Kind::kRead ? POLLIN : POLLOUT;
  const int found = PollNow(transfer.fd, events);
  return found > 0 && (found & (events | POLLERR | POLLHUP)) != 0;
}

bool HasTimeout(const Transfer& transfer) {
  timeval timeout = {0, 0};
  socklen_t bytes = sizeof timeout;
  const int option = transfer.kind == Transfer::Kind::kRead ? SO_RCVTIMEO : SO_SNDTIMEO;
  return Call(SYS_getsockopt, transfer.fd, SOL_SOCKET, option, &timeout, &bytes) == 0 &&
         (timeout.tv_sec != 0 || timeout.tv_usec != 0);
}

// True for a pipe without a name.  On a pipe with a name a transfer may end at once, of which no
// poll tells: no process has opened it for writing yet.
bool IsPipe(int fd) {
  constexpr long kPipefs = 0x50495045;  // PIPEFS_MAGIC
  struct statfs status;
  return Call(SYS_fstatfs, fd, &status) == 0 && status.f_type == kPipefs;
}

// Files of the kernel's own without a type, by their names in /proc.  A transfer of enough bytes
// waits as long as they are not ready.
struct Known {
  const char* name;
  size_t least_read;
  bool takes_eight;  // a write is of 8 bytes, and no other number (eventfd)
};
constexpr Known kKnown[] = {
    {"anon_inode:[eventfd]", 8, true},     {"anon_inode:[timerfd]", 8, false},
    {"anon_inode:[signalfd]", 128, false}, {"anon_inode:inotify", 1, false},
    {"anon_inode:[fanotify]", 1, false},
};

const Known* FindKnown(int fd) {
  char path[32] = "/proc/self/fd/";
  AppendNumber(path, fd);
  char name[32] = {};
  if (Call(SYS_readlinkat, AT_FDCWD, path, name, sizeof name - 1) < 0) return nullptr;
  for (const Known& known : kKnown) {
    if (std::strcmp(known.name, name) == 0) return &known;
  }
  return nullptr;
}

Nature NatureOfUntyped(const Transfer& transfer) {
  const Known* known = FindKnown(transfer.fd);
  if (known == nullptr) return {IsStream(transfer.fd), false};
  if (transfer.kind == Transfer::Kind::kRead) return {true, transfer.bytes >= known->least_read};
  return {true, known->takes_eight && transfer.bytes == 8};
}

// True for a write that ends in the page cache.  One that waits for the device does so without the
// inode's lock.
bool IsBuffered(const Transfer& transfer, int status_flags) {
  return transfer.kind == Transfer::Kind::kWrite && (status_flags & (O_DIRECT | O_DSYNC)) == 0;
}

}  // namespace

Nature NatureOf(const Transfer& transfer, int status_flags) {
  const bool is_stream = IsStream(transfer.fd);
  const bool nonblock = (status_flags & O_NONBLOCK) != 0;
  // A file that is ready, as any file of a disk is, answers an io_uring as it does a call.  But an
  // io_uring takes a transfer of no bytes for done.
  const bool is_nothing = transfer.bytes == 0;
  const int mode = FileMode(transfer.fd);
  if (mode < 0) return {is_stream, false};
  if (!is_stream && !is_nothing && S_ISREG(mode) && IsBuffered(transfer, status_flags)) {
    return {false, false, true};
  }
  // Files without a type are left out: an epoll may not be ready any more when the io_uring asks.
  const bool has_type = (mode & S_IFMT) != 0;
  if (has_type && !is_stream && !nonblock && !is_nothing && IsReady(transfer)) return {false, true};
  switch (mode & S_IFMT) {
    case S_IFSOCK:
      return {true, !HasTimeout(transfer)};
    case S_IFIFO:
      return {true, !is_nothing && IsPipe(transfer.fd)};
    case S_IFREG:
    case S_IFBLK:
    case S_IFDIR:
      return {is_stream, !is_nothing && IsReady(transfer)};
    case 0:
      return NatureOfUntyped(transfer);
    default:
      return {is_stream, false};  // character devices: terminals end by time, others as they like
  }
}

// ---- Notifications --------------------------------------------------------------

namespace {

struct Notification {
  void (*function)(sigval);
  sigval value;
  const char* name;  // the thread's, as the C library's would have it, if not its maker's
  std::atomic<uint32_t> made;
  std::atomic<uint32_t> taken;
};

void Await(std::atomic<uint32_t>* word) {
  while (word->load(std::memory_order_acquire) == 0) FutexWait(word, 0, nullptr);
}

void Tell(std::atomic<uint32_t>* word) {
  word->store(1, std::memory_order_release);
  FutexWake(word);  // may be gone by now, and wakes no thread then
}

void* RunNotification(void* argument) {
  auto* notification = static_cast<Notification*>(argument);
  Await(&notification->made);
  const auto function = notification->function;
  const sigval value = notification->value;
  if (notification->name[0] != 0) Call(SYS_prctl, PR_SET_NAME, notification->name);
  Tell(&notification->taken);
  RestoreSignals(0);  // unblocks what the maker has blocked
  function(value);
  return nullptr;
}

// The function begins when pthread_create has returned: it may end the life of the attributes,
// which the C library reads when the thread runs already (glibc 2.36, create_thread).
void StartNotification(const sigevent& event) {
  const ErrnoKept kept;
  Notification notification = {
      event.sigev_notify_function, event.sigev_value, MakersName(), {0}, {0}};
  pthread_attr_t detached;
  const pthread_attr_t* attributes = event.sigev_notify_attributes;
  if (attributes == nullptr) {
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    attributes = &detached;
  }
  pthread_t thread;
  if (pthread_create(&thread, attributes, &RunNotification, &notification) == 0) {
    Tell(&notification.made);
    Await(&notification.taken);
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

namespace {

// Calls gai_suspend far below the stack of this thread's later calls.
[[gnu::noinline]] int SuspendFarBelow(const gaicb* const list[], const timespec* timeout) {
  volatile char between[size_t{16} << 10];
  between[0] = 0;
  between[sizeof between - 1] = 0;
  const int result = gai_suspend(list, 1, timeout);
  between[0] = 1;
  return result;
}

}  // namespace

void AwaitLookup(gaicb* request) {
  // If gai_cancel takes a request out, no thread that sleeps for it is woken, and it stays in
  // progress (glibc 2.36): gai_suspend alone tells, by EAI_ALLDONE.  No other result of gai_suspend
  // says that the look-up has ended: a timeout is EAI_SYSTEM there, and EAI_AGAIN in its manual.
  constexpr timespec kSlice = {0, 100'000'000};
  const gaicb* const list[] = {request};
  bool timed_out = false;
  while (gai_error(request) == EAI_INPROGRESS) {
    const int result = SuspendFarBelow(list, &kSlice);
    if (result == EAI_ALLDONE) break;
    timed_out = timed_out || result != 0;
  }
  // A look-up that ends when gai_suspend times out still has an entry in that function's frame,
  // which the C library is about to follow (2.36): until the C library is through with the request,
  // the frame is left as it is.  gai_cancel tells that, and takes nothing out: the program does not
  // begin anew a request that was seen in progress (Lookups::AwaitLetGo).  Any other request may be
  // begun anew at any moment, so gai_cancel is not called for it.
  if (!timed_out || gai_error(request) == EAI_INPROGRESS) return;
  while (gai_cancel(request) == EAI_NOTCANCELED) Pause();
}

// ---- Message queues -------------------------------------------------------------

namespace {

// The kernel sends NOTIFY_COOKIE_LEN bytes (ipc/mqueue.c): the program's own, except the last,
// which tells the reason.
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
