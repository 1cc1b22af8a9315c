// SPDX-License-Identifier: MIT
//
// EVFILT_READ and EVFILT_WRITE: a kevent of the type KEVENT_POLL; for a regular file, which poll
// has as always ready, one of the type KEVENT_INODE, which is made ready where the file has another
// end than the offset, and for writing in any case.

#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "adapters/kqueue/filter.h"

namespace kevent::kqueue {
namespace {

int DescriptorOf(const Knote& knote) { return static_cast<int>(knote.ident); }

bool Asks(const Knote& knote, uint32_t note) { return (knote.fflags & note) != 0; }

// What cannot be known is there: poll fails where RLIMIT_NOFILE is 0, and an event that is taken
// for none does not come again.
uint32_t PollNow(int fd, short events) {
  pollfd poll_fd = {fd, events, 0};
  return static_cast<uint32_t>(poll(&poll_fd, 1, 0) < 0 ? events : poll_fd.revents);
}

int OptionOf(int fd, int option, int if_none) {
  int value;
  socklen_t size = sizeof value;
  return getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 ? value : if_none;
}

// What cannot be known is 1: there is something.
constexpr int64_t kSome = 1;

// Of a listening socket: Linux says it of TCP alone.
int64_t Backlog(int fd) {
  tcp_info info;
  socklen_t size = sizeof info;
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return kSome;
  return std::max<int64_t>(info.tcpi_unacked, kSome);
}

int64_t SpaceOfSocket(int fd) {
  int unsent = 0;
  if (ioctl(fd, SIOCOUTQ, &unsent) != 0) return kSome;
  return std::max<int64_t>(int64_t{OptionOf(fd, SO_SNDBUF, 0)} - unsent, kSome);
}

int64_t SpaceOfPipe(int fd) {
  const int size = kevent_fcntl(fd, F_GETPIPE_SZ);
  int unread = 0;
  if (size < 0 || ioctl(fd, FIONREAD, &unread) != 0) return kSome;
  return std::max<int64_t>(int64_t{size} - unread, kSome);
}

// ---- Sockets ------------------------------------------------------------------

// Linux has a stream socket that was never connected as hung up.  One whose connection has ended
// has its receiving side shut down as well.
bool HasEnded(uint32_t ready) { return (ready & POLLRDHUP) != 0; }

// Linux tells the error of a socket only to who takes it, who is the program: this says that there
// is one.
uint32_t ErrorOf(uint32_t ready) { return (ready & POLLERR) != 0 ? ECONNRESET : 0; }

Meaning ReadSocket(Knote& knote, uint32_t ready, uint16_t* flags) {
  const int fd = DescriptorOf(knote);
  if ((ready & (POLLIN | POLLRDHUP | POLLERR)) == 0) return Meaning::kNothing;
  int unread = 0;
  if (ioctl(fd, FIONREAD, &unread) != 0) {
    // So answers a socket that listens.
    knote.pending_data = errno == EINVAL ? Backlog(fd) : kSome;
    return Meaning::kReport;
  }
  knote.pending_data = unread;
  if (HasEnded(ready)) {
    *flags = EV_EOF;
    knote.pending_fflags = ErrorOf(ready);
    return Meaning::kReport;
  }
  if ((ready & POLLERR) != 0) return Meaning::kReport;
  if (Asks(knote, NOTE_LOWAT) && unread < knote.data) return Meaning::kNothing;
  // Another thread may have read it; but a datagram may have no bytes.
  const bool is_there = unread != 0 || (PollNow(fd, POLLIN) & POLLIN) != 0;
  return is_there ? Meaning::kReport : Meaning::kNothing;
}

Meaning WriteSocket(Knote& knote, uint32_t ready, uint16_t* flags) {
  const int fd = DescriptorOf(knote);
  if ((ready & POLLHUP) != 0) {
    if (!HasEnded(PollNow(fd, POLLRDHUP)) && (ready & POLLERR) == 0) return Meaning::kNothing;
    *flags = EV_EOF;
    knote.pending_fflags = ErrorOf(ready);
  }
  knote.pending_data = SpaceOfSocket(fd);
  const bool is_low = Asks(knote, NOTE_LOWAT) && knote.pending_data < knote.data;
  return is_low && *flags == 0 && (ready & POLLERR) == 0 ? Meaning::kNothing : Meaning::kReport;
}

// ---- Other descriptors ----------------------------------------------------------

Meaning ReadOther(Knote& knote, uint32_t ready, uint16_t* flags) {
  const int fd = DescriptorOf(knote);
  int unread = 0;
  const bool is_known = ioctl(fd, FIONREAD, &unread) == 0;
  knote.pending_data = is_known ? unread : kSome;
  if ((ready & (POLLHUP | POLLERR)) != 0) {
    *flags = EV_EOF;
    if ((ready & POLLIN) == 0 && !is_known) knote.pending_data = 0;
    return Meaning::kReport;
  }
  const bool is_there = (is_known && unread != 0) || (PollNow(fd, POLLIN) & POLLIN) != 0;
  return is_there ? Meaning::kReport : Meaning::kNothing;
}

// A pipe without a reader has an error.
Meaning WriteOther(Knote& knote, uint32_t ready, uint16_t* flags) {
  if ((ready & (POLLHUP | POLLERR)) != 0) *flags = EV_EOF;
  knote.pending_data = S_ISFIFO(knote.file.mode) ? SpaceOfPipe(DescriptorOf(knote)) : kSome;
  return Meaning::kReport;
}

// ---- Regular files --------------------------------------------------------------

Meaning ReadFile(Knote& knote) {
  const int fd = DescriptorOf(knote);
  FileState now;
  if (LookAt(fd, &now) != 0 || !IsSameFile(now, knote.file)) return Meaning::kGone;
  const off_t offset = lseek(fd, 0, SEEK_CUR);
  if (offset < 0) return Meaning::kNothing;
  knote.pending_data = now.size - offset;
  const bool is_there = knote.pending_data != 0 || Asks(knote, NOTE_FILE_POLL);
  return is_there ? Meaning::kReport : Meaning::kNothing;
}

Meaning WriteFile(Knote& knote) {
  FileState now;
  const bool is_there = LookAt(DescriptorOf(knote), &now) == 0 && IsSameFile(now, knote.file);
  return is_there ? Meaning::kReport : Meaning::kGone;
}

// ---- The filters ------------------------------------------------------------------

int Attach(Knote& knote) {
  const int error = LookAt(DescriptorOf(knote), &knote.file);
  if (error != 0) return error;
  if (S_ISDIR(knote.file.mode)) return EINVAL;
  if (!S_ISREG(knote.file.mode)) {
    knote.watch = Watch::kDescriptor;
    return 0;
  }
  knote.watch = Watch::kFile;
  knote.is_active = true;
  return 0;
}

int Touch(Knote& knote, const Event& change) {
  TakeParameters(knote, change);
  if (knote.watch == Watch::kFile) knote.is_active = true;
  return 0;
}

uint32_t EventsOfRead(const Knote& knote) {
  return knote.watch == Watch::kFile ? KEVENT_INODE_MODIFY : POLLIN | KEVENT_POLL_POLLRDHUP;
}

uint32_t EventsOfWrite(const Knote& knote) {
  return knote.watch == Watch::kFile ? KEVENT_INODE_MODIFY : KEVENT_POLL_POLLOUT;
}

template <Meaning (*kSocket)(Knote&, uint32_t, uint16_t*),
          Meaning (*kOther)(Knote&, uint32_t, uint16_t*), Meaning (*kFile)(Knote&)>
Meaning Meet(Knote& knote, const ukevent& event, uint16_t* flags) {
  ClearPending(knote);
  if (knote.watch == Watch::kFile) return kFile(knote);
  const bool is_socket = S_ISSOCK(knote.file.mode);
  return (is_socket ? kSocket : kOther)(knote, event.ret_data[0], flags);
}

}  // namespace

const Filter kReadFilter = {.number = EVFILT_READ,
                            .flags = 0,
                            .of_descriptor = true,
                            .attach = Attach,
                            .touch = Touch,
                            .events = EventsOfRead,
                            .meet = Meet<ReadSocket, ReadOther, ReadFile>,
                            .clear = ClearPending};

const Filter kWriteFilter = {.number = EVFILT_WRITE,
                             .flags = 0,
                             .of_descriptor = true,
                             .attach = Attach,
                             .touch = Touch,
                             .events = EventsOfWrite,
                             .meet = Meet<WriteSocket, WriteOther, WriteFile>,
                             .clear = ClearPending};

}  // namespace kevent::kqueue
