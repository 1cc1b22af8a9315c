// SPDX-License-Identifier: MIT

#include "adapters/port/retrieve.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>

#include "adapters/port/put_back.h"
#include "adapters/port/queue.h"
#include "adapters/queues/deadline.h"
#include "adapters/queues/held.h"
#include "core/base/errno_kept.h"
#include "core/base/timespec.h"

namespace kevent::port {
namespace {

using core::ErrnoKept;
using queues::Deadline;

// Events that one call of kevent_get_events takes when more are not waited for.
constexpr unsigned kFew = 64;

// A kevent on inotify counts as one event of the queue, however many events of files it stands for:
// a call that waits for several looks at it so often.
constexpr core::Nanoseconds kLook = 10'000'000;

// ---- Translation -----------------------------------------------------------

// What the port keeps of an event of the library's own; false if it was withdrawn.
bool TakeKept(Ports* ports, int fd, const Name& name, port_event_t* event) {
  int error;
  const queues::Held held(ports->lock());
  Port* const port = ports->Find(fd, &error);
  if (port == nullptr) return false;
  if (name.kind() == Kind::kFile) return port->files.Take(name.number(), event);
  return port->kept.Take(name.number(), event) && !IsOfDeletedTimer(*event);
}

bool Translate(Ports* ports, int fd, const ukevent& from, port_event_t* to) {
  if (!IsOwn(from)) {
    *to = OfSource(from);
    return true;
  }
  const Name name(from);
  if (name.kind() != Kind::kUser) return TakeKept(ports, fd, name, to);
  *to = Event(PORT_SOURCE_USER, static_cast<int>(name.events()), 0, from.ptr);
  return true;
}

// The descriptors of the events are associated no more.
void NoteDescriptors(Ports* ports, int fd, const ukevent* events, unsigned count) {
  int error;
  const queues::Held held(ports->lock());
  Port* const port = ports->FindKnown(fd, &error);
  if (port == nullptr) return;
  for (unsigned i = 0; i < count; ++i) {
    if (events[i].type == KEVENT_POLL) {
      port->descriptors.Retrieved(static_cast<int>(events[i].id.raw[0]), events[i].ptr);
    }
  }
}

// To the event of a timer what was put back of it is added: a timer has one event.
void AddKeptExpirations(Ports* ports, int fd, port_event_t* event) {
  int error;
  const queues::Held held(ports->lock());
  Port* const port = ports->FindKnown(fd, &error);
  if (port != nullptr) port->kept.TakeExpirations(event);
}

unsigned TranslateAll(Ports* ports, int fd, const ukevent* from, unsigned count, port_event_t* to) {
  const bool has_descriptors = std::any_of(
      from, from + count, [](const ukevent& event) { return event.type == KEVENT_POLL; });
  if (has_descriptors) NoteDescriptors(ports, fd, from, count);
  unsigned translated = 0;
  for (unsigned i = 0; i < count; ++i) {
    if (!Translate(ports, fd, from[i], &to[translated])) continue;
    // Timers come before what was put back.
    if (from[i].type == KEVENT_POSIX_TIMER && ports->HasKept()) {
      AddKeptExpirations(ports, fd, &to[translated]);
    }
    ++translated;
  }
  return translated;
}

// What inotify has for the port is read; its events leave the batch.  Returns how many are left.
unsigned ReadFiles(Ports* ports, int fd, ukevent* events, unsigned count) {
  unsigned left = 0;
  for (unsigned i = 0; i < count; ++i) {
    if (events[i].type == KEVENT_POLL && Files::IsInotifys(events[i])) {
      int error;
      const queues::Held held(ports->lock());
      Port* const port = ports->Find(fd, &error);
      if (port != nullptr) port->files.Read(fd);
    } else {
      events[left++] = events[i];
    }
  }
  return left;
}

// ---- Retrieving ------------------------------------------------------------

class Retrieval {
 public:
  Retrieval(Ports* ports, int fd, port_event_t* list, unsigned max, unsigned wanted,
            const timespec* timeout)
      : ports_(ports), fd_(fd), list_(list), max_(max), wanted_(wanted), deadline_(timeout) {}

  // With room for the events that are wanted.
  int Run(ukevent* events, unsigned room) {
    for (;;) {
      unsigned found = 0;
      if (ports_->AreAlert() && TakesAlert(nullptr, &found)) return 0;
      if (ports_->HaveLeft() && TakesLeft(events, std::min(room, max_))) return 0;
      const bool looks = wanted_ > 1 && deadline_.waits() && ReadsFiles();
      const Deadline until = looks ? deadline_.In(kLook) : deadline_;
      const bool waits = wanted_ != 0 && until.waits();
      const int count =
          kevent_get_events(fd_, waits ? wanted_ : 0, std::min(room, max_),
                            waits ? until.moment() : nullptr, events, waits ? until.flags() : 0);
      if (count < 0) return Failure();
      const ErrnoKept kept;
      found = static_cast<unsigned>(count);
      if (ports_->AreAlert() && TakesAlert(events, &found)) return 0;
      unsigned left = ReadFiles(ports_, fd_, events, found);
      // What was read of files is in the queue now.
      const bool goes_on = left < found || (looks && until.HasPassed() && !deadline_.HasPassed());
      const Next next = Decide(events, &left, goes_on);
      if (next == Next::kWait) continue;
      if (next == Next::kInterrupted) return EINTR;
      got_ += TranslateAll(ports_, fd_, events, left, list_ + got_);
      if (found == std::min(room, max_)) TakeMore(events, room);
      if (got_ >= wanted_) return 0;
      if (next == Next::kLate) return ETIME;
      // Events that were withdrawn while they were on the way.
      if (got_ != 0) return 0;
    }
  }

  unsigned got() const { return got_; }

 private:
  enum class Next { kTake, kLate, kWait, kInterrupted };

  int Failure() const {
    if (errno != EINVAL) return errno;
    const int error = CheckQueue(fd_);
    return error == 0 ? EINVAL : error;
  }

  // Whether the port is in alert mode: events that were taken are put back.  Those that cannot be
  // are left, and retrieved.
  bool TakesAlert(ukevent* events, unsigned* count) {
    int error;
    {
      const queues::Held held(ports_->lock());
      Port* const port = ports_->Find(fd_, &error);
      if (port == nullptr || !port->is_alert) return false;
      *count = PutBack(port, fd_, events, *count);
      if (*count == 0) *list_ = port->alert;
      port->is_woken |= events != nullptr;
    }
    // The alert is for all who wait; of a call that makes one return, the next is to know.
    if (events != nullptr) Wake(fd_);
    if (*count != 0) return false;
    got_ = 1;
    return true;
  }

  // Whether events were left, and there is still no memory to put them back: they are retrieved.
  bool TakesLeft(ukevent* events, unsigned room) {
    int error;
    unsigned count;
    bool has_more;
    const ErrnoKept kept;
    {
      const queues::Held held(ports_->lock());
      Port* const port = ports_->Find(fd_, &error);
      if (port == nullptr || PutBackLeft(ports_, port, fd_) == 0) return false;
      LeftEvents left = port->left;
      count = std::min(room, left.count);
      left.count -= count;
      std::copy_n(left.events + left.count, count, events);
      has_more = left.count != 0;
      ports_->SetLeft(port, left);
      port->is_woken |= has_more;
    }
    // The queue has nothing that tells of the others.
    if (has_more) Wake(fd_);
    got_ += TranslateAll(ports_, fd_, events, count, list_ + got_);
    return got_ != 0;
  }

  // Whether the port has files, whose events are read and sent to it then.
  bool ReadsFiles() {
    int error;
    const ErrnoKept kept;
    const queues::Held held(ports_->lock());
    Port* const port = ports_->Find(fd_, &error);
    if (port == nullptr || !port->files.are_watched()) return false;
    port->files.Read(fd_);
    return true;
  }

  // What to do with the events that are left.
  Next Decide(ukevent* events, unsigned* count, bool goes_on) {
    if (*count >= wanted_ && (*count != 0 || !goes_on)) return Next::kTake;
    if (goes_on) return Restore(events, count) ? Next::kWait : Next::kTake;
    if (deadline_.HasPassed() || (kevent_fcntl(fd_, F_GETFL) & O_NONBLOCK) != 0) return Next::kLate;
    // A signal ends a wait with some, and is EINTR of the call with none.
    const bool was_interrupted = !WasWoken() && *count != 0;
    if (!Restore(events, count)) return Next::kTake;
    return was_interrupted ? Next::kInterrupted : Next::kWait;
  }

  // Whether all could be put back; *count is of those that could not.
  bool Restore(ukevent* events, unsigned* count) {
    if (*count == 0) return true;
    int error;
    const queues::Held held(ports_->lock());
    Port* const port = ports_->Find(fd_, &error);
    if (port == nullptr) return false;
    *count = PutBack(port, fd_, events, *count);
    return *count == 0;
  }

  // Whether the call was made to return by one that announced an alert, not by a signal.
  bool WasWoken() {
    int error;
    const queues::Held held(ports_->lock());
    Port* const port = ports_->Find(fd_, &error);
    if (port == nullptr || !port->is_woken) return false;
    port->is_woken = false;
    return true;
  }

  // What is there, as far as there is room.
  void TakeMore(ukevent* events, unsigned room) {
    while (got_ < max_) {
      const unsigned size = std::min(room, max_ - got_);
      const int count = kevent_get_events(fd_, 0, size, nullptr, events, 0);
      if (count <= 0) return;
      const unsigned left = ReadFiles(ports_, fd_, events, static_cast<unsigned>(count));
      got_ += TranslateAll(ports_, fd_, events, left, list_ + got_);
      if (static_cast<unsigned>(count) < size) return;
    }
  }

  Ports* const ports_;
  const int fd_;
  port_event_t* const list_;
  const unsigned max_;
  const unsigned wanted_;
  const Deadline deadline_;
  unsigned got_ = 0;
};

int RunWithMuchRoom(Retrieval* retrieval, unsigned wanted) {
  auto* const events = static_cast<ukevent*>(__builtin_alloca(wanted * sizeof(ukevent)));
  return retrieval->Run(events, wanted);
}

}  // namespace

int Retrieve(Ports* ports, int fd, port_event_t* list, unsigned max, unsigned wanted,
             const timespec* timeout, unsigned* got) {
  Retrieval retrieval(ports, fd, list, max, wanted, timeout);
  int error;
  if (wanted <= kFew) {
    ukevent events[kFew];
    error = retrieval.Run(events, kFew);
  } else {
    error = RunWithMuchRoom(&retrieval, wanted);
  }
  *got = retrieval.got();
  return error;
}

}  // namespace kevent::port
