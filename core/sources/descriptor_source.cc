// SPDX-License-Identifier: MIT
//
// KEVENT_POLL, KEVENT_SOCKET and KEVENT_PIPE: descriptors that can be polled.
// id.raw[0] is the descriptor.

#include <sys/epoll.h>
#include <sys/stat.h>

#include <cerrno>

#include "core/descriptors/internal_descriptors.h"
#include "core/kevents/event_set.h"
#include "core/kevents/watched_fds.h"
#include "core/system/system.h"

namespace kevent::core {
namespace {

static_assert(KEVENT_POLL_POLLIN == POLLIN && KEVENT_POLL_POLLIN == EPOLLIN);
static_assert(KEVENT_POLL_POLLPRI == POLLPRI && KEVENT_POLL_POLLPRI == EPOLLPRI);
static_assert(KEVENT_POLL_POLLOUT == POLLOUT && KEVENT_POLL_POLLOUT == EPOLLOUT);
static_assert(KEVENT_POLL_POLLERR == POLLERR && KEVENT_POLL_POLLERR == EPOLLERR);
static_assert(KEVENT_POLL_POLLHUP == POLLHUP && KEVENT_POLL_POLLHUP == EPOLLHUP);
static_assert(KEVENT_POLL_POLLRDNORM == EPOLLRDNORM && KEVENT_POLL_POLLRDBAND == EPOLLRDBAND);
static_assert(KEVENT_POLL_POLLWRNORM == EPOLLWRNORM && KEVENT_POLL_POLLWRBAND == EPOLLWRBAND);
static_assert(KEVENT_POLL_POLLMSG == EPOLLMSG && KEVENT_POLL_POLLRDHUP == EPOLLRDHUP);

constexpr uint32_t kPollEvents =
    KEVENT_POLL_POLLIN | KEVENT_POLL_POLLPRI | KEVENT_POLL_POLLOUT | KEVENT_POLL_POLLERR |
    KEVENT_POLL_POLLHUP | KEVENT_POLL_POLLNVAL | KEVENT_POLL_POLLRDNORM | KEVENT_POLL_POLLRDBAND |
    KEVENT_POLL_POLLWRNORM | KEVENT_POLL_POLLWRBAND | KEVENT_POLL_POLLMSG | KEVENT_POLL_POLLREMOVE |
    KEVENT_POLL_POLLRDHUP;
// The events that epoll watches for on request; it reports errors and hang-ups unasked.
constexpr uint32_t kWatchable = kPollEvents & ~(KEVENT_POLL_POLLNVAL | KEVENT_POLL_POLLREMOVE);
constexpr uint32_t kUnasked = KEVENT_POLL_POLLERR | KEVENT_POLL_POLLHUP;
// poll answers this for a file that has nothing to poll, such as a regular one.
constexpr uint32_t kAlways =
    KEVENT_POLL_POLLIN | KEVENT_POLL_POLLOUT | KEVENT_POLL_POLLRDNORM | KEVENT_POLL_POLLWRNORM;

bool IsPoll(const Kevent& record) { return record.key.type == KEVENT_POLL; }

int DescriptorOf(const Kevent& record) { return static_cast<int>(record.key.id); }

// The events that a record waits for, as poll has them.
uint32_t PollEvents(const Kevent& record) {
  if (IsPoll(record)) return record.event & kWatchable;
  uint32_t events = 0;
  if ((record.event & (KEVENT_SOCKET_RECV | KEVENT_SOCKET_ACCEPT)) != 0) events |= POLLIN;
  if ((record.event & KEVENT_SOCKET_SEND) != 0) events |= POLLOUT;
  return events;
}

// An edge that says that nothing more will come concerns every record that waits for input, so
// epoll is asked to tell it from others (EPOLLRDHUP).
uint32_t EpollEvents(const Kevent& record) {
  const uint32_t events = PollEvents(record);
  if ((record.req_flags & KEVENT_REQ_ET) == 0) return EventSet::WatchedEvents(record, events);
  const bool asks = (events & POLLIN) != 0 && (record.req_flags & KEVENT_REQ_DISPATCH) == 0;
  return EventSet::WatchedEvents(record, events | EPOLLET | (asks ? EPOLLRDHUP : 0u));
}

// True if a hang-up has left something to read: it is reported first.
bool HasUnread(const Kevent& record, uint32_t events) {
  const bool reads = (record.event & (KEVENT_SOCKET_RECV | KEVENT_SOCKET_ACCEPT)) != 0;
  return reads && (events & POLLIN) != 0 && (events & POLLERR) == 0 &&
         sys::UnreadBytes(DescriptorOf(record)) > 0;
}

// Notes in the record what was found in poll's answer; false if that is nothing.
bool Describe(Kevent& record, uint32_t events) {
  uint32_t found;
  record.found_flags = 0;
  if (IsPoll(record)) {
    found = events & (record.event | kUnasked);
  } else {
    const uint32_t readable = KEVENT_SOCKET_RECV | KEVENT_SOCKET_ACCEPT;
    found = ((events & POLLIN) != 0 ? record.event & readable : 0) |
            ((events & POLLOUT) != 0 ? record.event & KEVENT_SOCKET_SEND : 0);
    if ((events & kUnasked) != 0 && !HasUnread(record, events)) {
      record.found_flags = KEVENT_RET_BROKEN;
    }
  }
  record.found_data[0] = found;
  record.found_data[1] = 0;
  return found != 0 || record.found_flags != 0;
}

uint32_t EventsOfAlwaysReady(const Kevent& record) {
  return EventSet::WatchedEvents(
      record, EPOLLIN | ((record.req_flags & KEVENT_REQ_ET) != 0 ? EPOLLET : 0u));
}

// True for a file that cannot be polled whose number was closed since.  Watch has marked the number
// before epoll refused the file, so the close has counted.
bool WasClosed(const Kevent& record) {
  const bool in_epoll = record.fd >= 0 && !record.fd_is_ours;
  return !in_epoll && WatchedFds::Closings(DescriptorOf(record)) != record.handle;
}

// A file that cannot be polled is watched as a descriptor that is always ready.
int AttachAlwaysReady(EventSet& set, uint32_t number) {
  const Kevent& record = set.At(number);
  if ((record.event & kAlways) == 0) return 0;
  const int fd = set.AdoptAndWatch(number, EventsOfAlwaysReady(record), sys::CreateAlwaysReady);
  return fd < 0 ? fd : 0;
}

// fstat gives an epoll no type.  Of the files without a type, only an epoll can be asked to delete
// a member, and answers that it has none (ENOENT).
bool IsEpoll(EventSet& set, int fd, int mode) {
  return (mode & S_IFMT) == 0 && sys::EpollDelete(fd, set.queue().always_ready()) == -ENOENT;
}

int Attach(EventSet& set, uint32_t number, const ukevent&) {
  Kevent& record = set.At(number);
  const int fd = DescriptorOf(record);
  if (record.key.id >> 32 != 0) return -EINVAL;
  if (IsInternal(fd)) return -EBADF;
  const int file = sys::FileMode(fd);
  if (file < 0) return file;
  if (record.key.type == KEVENT_SOCKET && !S_ISSOCK(static_cast<mode_t>(file))) return -ENOTSOCK;
  if (record.key.type == KEVENT_PIPE && !S_ISFIFO(static_cast<mode_t>(file))) return -EINVAL;
  if (!record.paused && (record.req_flags & (KEVENT_REQ_ALWAYS_QUEUE | KEVENT_REQ_READY)) == 0) {
    const int events = sys::PollNow(fd, static_cast<short>(PollEvents(record)));
    if (events < 0) return events;
    if (Describe(record, static_cast<uint32_t>(events))) {
      return (record.found_flags & KEVENT_RET_BROKEN) != 0 ? -EPIPE : Source::kReadyNow;
    }
  }
  record.handle = WatchedFds::Closings(fd);
  const int result = set.Watch(number, fd, EpollEvents(record));
  if (result == -EPERM) return AttachAlwaysReady(set, number);
  if (result < 0 || !IsEpoll(set, fd, file)) return result;
  const int error = set.Nest(number);
  if (error < 0) set.Unwatch(number);
  return error;
}

// True for a file that epoll takes: the number is another one's than that of a record which is
// watched as always ready.
bool CanBePolled(int mode) {
  const int type = mode & S_IFMT;
  return mode >= 0 && (type == S_IFSOCK || type == S_IFIFO || type == 0);
}

int Change(EventSet& set, uint32_t number, const ukevent&) {
  Kevent& record = set.At(number);
  if (record.fd >= 0 && !record.fd_is_ours) return set.Rewatch(number, EpollEvents(record));
  if (CanBePolled(sys::FileMode(DescriptorOf(record)))) return -ENOENT;
  if ((record.event & kAlways) == 0) return set.Unwatch(number), 0;
  if (record.fd < 0) return AttachAlwaysReady(set, number);
  return set.Rewatch(number, EventsOfAlwaysReady(record));
}

bool Harvest(EventSet& set, Kevent& record, uint32_t epoll_events) {
  if (!record.fd_is_ours) return Describe(record, epoll_events);
  if (WasClosed(record)) return set.Leave(set.NumberOf(record)), false;
  record.found_data[0] = record.event & kAlways;
  return true;
}

bool Deliver(EventSet&, Kevent& record, bool check) {
  if (record.fd_is_ours) return !WasClosed(record);
  if (!check) return true;
  const int events = sys::PollNow(record.fd, static_cast<short>(PollEvents(record)));
  return events < 0 || Describe(record, static_cast<uint32_t>(events));
}

// The three types differ in their bits; a socket or a pipe can always be polled.
constexpr Source SourceOfDescriptors(uint32_t events, bool watches_any_file = false) {
  return {.events = events,
          .was_closed = WasClosed,
          .watches_any_file = watches_any_file,
          .attach = Attach,
          .change = Change,
          .changes_in_place = true,
          .harvest = Harvest,
          .deliver = Deliver};
}

}  // namespace

constexpr Source kDescriptorSource = SourceOfDescriptors(kPollEvents, true);
constexpr Source kSocketSource =
    SourceOfDescriptors(KEVENT_SOCKET_RECV | KEVENT_SOCKET_ACCEPT | KEVENT_SOCKET_SEND);
constexpr Source kPipeSource = SourceOfDescriptors(KEVENT_SOCKET_RECV | KEVENT_SOCKET_SEND);

}  // namespace kevent::core
