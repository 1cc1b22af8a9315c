// SPDX-License-Identifier: MIT

#include "adapters/kqueue/retrieve.h"

#include <fcntl.h>
#include <signal.h>

#include <cerrno>
#include <cstring>

#include "adapters/kqueue/filter.h"
#include "adapters/kqueue/watches.h"
#include "adapters/queues/deadline.h"
#include "adapters/queues/held.h"
#include "core/base/errno_kept.h"

namespace kevent::kqueue {
namespace {

// ---- Events of libkevent that are of no registration ---------------------------

Event OfNoRegistration(const ukevent& from) {
  Event to = {};
  to.ident = from.id.raw_u64;
  to.udata = from.ptr;
  // Each comes once.
  to.flags = EV_ONESHOT;
  switch (from.type) {
    case KEVENT_AIO:
      to.filter = EVFILT_AIO;
      to.flags |= EV_EOF;
      to.data = from.ret_data[1];
      return to;
    case KEVENT_LIO:
      to.filter = EVFILT_LIO;
      return to;
    default:
      to.filter = EVFILT_KEVENT;
      to.fflags = from.type;
      to.data = static_cast<int64_t>(uint64_t{from.ret_data[1]} << 32 | from.ret_data[0]);
      return to;
  }
}

bool IsOfRegistration(uint32_t type) {
  switch (type) {
    case KEVENT_POLL:
    case KEVENT_INODE:
    case KEVENT_TIMER:
    case KEVENT_SIGNAL:
    case KEVENT_PROCESS:
    case KEVENT_UNOTIFY:
      return true;
    default:
      return false;
  }
}

// The signals of a batch, which others are told of without the kqueue's lock.
class TakenSignals {
 public:
  void Note(const ukevent& event) {
    if (event.type != KEVENT_SIGNAL || event.ret_data[0] == 0) return;
    counts_[event.id.raw_u64] += event.ret_data[0];
    has_any_ = true;
  }
  void Share(const Kqueue* taker) {
    if (!has_any_) return;
    for (int signal = 1; signal < NSIG; ++signal) {
      if (counts_[signal] != 0) Kqueues::This()->ShareSignal(taker, signal, counts_[signal]);
    }
  }

 private:
  bool has_any_ = false;
  uint32_t counts_[NSIG] = {};
};

// ---- Events of registrations ------------------------------------------------------

class Translation {
 public:
  Translation(Kqueue* kqueue, int queue)
      : kqueue_(kqueue->number.load(std::memory_order_relaxed)),
        knotes_(kqueue->knotes),
        removals_(queue),
        changes_(queue),
        prompts_(queue),
        queue_(queue) {}

  // Whether the event is reported, in *to.
  bool Translate(const ukevent& from, Event* to) {
    const auto handle = reinterpret_cast<Handle>(from.ptr);
    if (!IsOfRegistration(from.type) || !knotes_.IsOurs(handle)) {
      *to = OfNoRegistration(from);
      return from.type != KEVENT_AIO ||
             Kqueues::This()->operations().Retrieve(from.id.raw_u64, kqueue_);
    }
    Knote* const knote = knotes_.At(handle);
    if (knote == nullptr) return false;
    uint16_t flags = 0;
    const Meaning meaning = knote->filter->meet(*knote, from, &flags);
    knote->is_prompted = false;
    if (meaning == Meaning::kGone) {
      Remove(knote);
      return false;
    }
    if (knote->is_disabled) {
      Keep(knote, meaning);
      return false;
    }
    if (meaning == Meaning::kNothing) {
      GoOn(knote);
      return false;
    }
    *to = {.ident = knote->ident,
           .filter = knote->filter->number,
           .flags = static_cast<uint16_t>(knote->flags | flags),
           .fflags = knote->pending_fflags,
           .data = knote->pending_data,
           .udata = knote->udata,
           .ext = {knote->ext[0], knote->ext[1], knote->ext[2], knote->ext[3]}};
    Reported(knote);
    return true;
  }

 private:
  ukevent RequestFor(const Knote* knote) { return RequestOf(knotes_, *knote); }

  // It was disabled after its event had been collected: the event is for when it is enabled.
  void Keep(Knote* knote, Meaning meaning) {
    if (meaning != Meaning::kReport) return;
    knote->is_active = true;
    if (knote->watch != Watch::kNothing) return;
    knote->watch = Watch::kUser;
    ukevent request = RequestFor(knote);
    kevent_ctl(queue_, KEVENT_CTL_ADD, 1, &request);
  }

  void GoOn(Knote* knote) {
    const bool is_ready_by_level = knote->watch == Watch::kDescriptor && !knote->Has(EV_CLEAR);
    if (knote->waits_for_edge || (!PausesWithEvent(*knote) && !is_ready_by_level)) return;
    knote->waits_for_edge = knote->watch == Watch::kDescriptor;
    changes_.Add(RequestFor(knote));
  }

  void Reported(Knote* knote) {
    if (knote->Has(EV_ONESHOT)) {
      Remove(knote);
      return;
    }
    if (knote->watch == Watch::kNothing) {
      knotes_.Remove(knote);
      return;
    }
    if (knote->Has(EV_CLEAR)) knote->filter->clear(*knote);
    const bool is_paused = knote->Has(EV_DISPATCH);
    const bool waited_for_edge = knote->waits_for_edge;
    knote->is_disabled = is_paused;
    knote->waits_for_edge = false;
    if (waited_for_edge) {
      changes_.Add(RequestFor(knote));
    } else if (!is_paused && !knote->Has(EV_CLEAR) && SaysOnce(knote->watch)) {
      knote->is_active = true;
      knote->is_prompted = true;
      prompts_.Add(RequestFor(knote));
    } else if (is_paused && !knote->Has(EV_CLEAR) && SaysOnce(knote->watch)) {
      knote->is_active = true;
    }
  }

  void Remove(Knote* knote) {
    if (knote->watch != Watch::kNothing) removals_.Add(RequestFor(knote));
    if (knote->filter == &kSignalFilter) {
      removals_.Flush();
      UnblockSignal(static_cast<int>(knote->ident), End::kDeleted);
    }
    knotes_.Remove(knote);
  }

  const uint32_t kqueue_;
  Knotes& knotes_;
  Requests<KEVENT_CTL_REMOVE> removals_;
  Requests<KEVENT_CTL_MODIFY> changes_;
  Requests<KEVENT_CTL_READY> prompts_;
  const int queue_;
};

ukevent Nth(const unsigned char* from, int i) {
  ukevent event;
  std::memcpy(&event, from + static_cast<size_t>(i) * sizeof event, sizeof event);
  return event;
}

// Whether a batch is of the kqueue's queue: all of its events are of one, so one of a registration
// says it.
bool IsOf(Kqueue* kqueue, const unsigned char* from, int count)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(kqueue->lock) {
  bool is_known = true;
  for (int i = 0; i < count; ++i) {
    const ukevent event = Nth(from, i);
    if (!IsOfRegistration(event.type)) continue;
    if (kqueue->knotes.IsOurs(reinterpret_cast<Handle>(event.ptr))) return true;
    is_known = false;
  }
  return is_known;
}

// Translates in place.  The events of the queue lie at the end of the list, each behind the place
// that what it becomes is written to: they are smaller.
int TranslateAll(Kqueue* kqueue, int queue, const unsigned char* from, int count, Event* list,
                 TakenSignals* signals) ABSL_EXCLUSIVE_LOCKS_REQUIRED(kqueue->lock) {
  Translation translation(kqueue, queue);
  int translated = 0;
  for (int i = 0; i < count; ++i) {
    const ukevent event = Nth(from, i);
    signals->Note(event);
    Event reported;
    if (translation.Translate(event, &reported)) list[translated++] = reported;
  }
  return translated;
}

// EINVAL says that no queue has the number any more, or that a limit keeps the call from sleeping.
int Failure(int fd) {
  if (errno != EINVAL) return errno;
  return kevent_get_events(fd, 0, 0, nullptr, nullptr, 0) == 0 ? EINVAL : EBADF;
}

bool NeverWaits(int fd) {
  const int flags = kevent_fcntl(fd, F_GETFL);
  return flags == -1 || (flags & O_NONBLOCK) != 0;
}

}  // namespace

int Retrieve(Found found, int fd, Event* list, int max, const timespec* timeout, int* got) {
  static_assert(sizeof(ukevent) <= sizeof(Event));
  static_assert(alignof(ukevent) <= alignof(Event));
  // What is not reported is not written to: some programs look at an event whatever the result.  A
  // long list is its own room.
  constexpr int kFew = 64;
  alignas(ukevent) unsigned char few[kFew * sizeof(ukevent)];
  unsigned char* const end_of_list = reinterpret_cast<unsigned char*>(list) +
                                     static_cast<size_t>(max) * (sizeof(Event) - sizeof(ukevent));
  unsigned char* const room = max <= kFew ? few : end_of_list;
  const queues::Deadline deadline(timeout);
  for (;;) {
    const int count =
        kevent_get_events(fd, deadline.waits() ? 1 : 0, static_cast<unsigned>(max),
                          deadline.moment(), reinterpret_cast<ukevent*>(room), deadline.flags());
    if (count < 0) return Failure(fd);
    if (count == 0) {
      if (deadline.HasPassed() || NeverWaits(fd)) return 0;
      continue;
    }
    const core::ErrnoKept kept;
    TakenSignals signals;
    for (bool is_sure = false;;) {
      {
        const queues::Held held(found.kqueue->lock);
        if (found.kqueue->number.load(std::memory_order_relaxed) != found.number) return EBADF;
        if (is_sure || IsOf(found.kqueue, room, count)) {
          *got = TranslateAll(found.kqueue, fd, room, count, list, &signals);
          break;
        }
      }
      const Found before = found;
      if (Find(fd, Known::kLookAgain, &found) != 0) return EBADF;
      // It is the kqueue that it was: the program has registered kevents with its queue itself.
      is_sure = found.kqueue == before.kqueue && found.number == before.number;
    }
    signals.Share(found.kqueue);
    // Of what was collected nothing was to be reported; there may be more.
    const bool has_all = !deadline.waits() && count < max;
    if (*got != 0 || has_all) return 0;
  }
}

}  // namespace kevent::kqueue
