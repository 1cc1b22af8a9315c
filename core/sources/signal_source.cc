// SPDX-License-Identifier: MIT
//
// KEVENT_SIGNAL: a signal that the program has blocked, by a signalfd.
// id.raw[0] is its number.

#include <sys/epoll.h>

#include <cerrno>

#include "core/kevents/epoll_members.h"
#include "core/kevents/event_set.h"
#include "core/system/system.h"

namespace kevent::core {
namespace {

int Attach(EventSet& set, uint32_t number, const ukevent&) {
  Kevent& record = set.At(number);
  // KEVENT_SIGNAL_NOMASK is refused: only the kernel can take a signal from its handler.
  if ((record.key.id & KEVENT_SIGNAL_NOMASK) != 0) return -EOPNOTSUPP;
  const uint64_t signal = record.key.id;
  if (signal == 0 || signal > 64 || signal == SIGKILL || signal == SIGSTOP) return -EINVAL;
  // A signal that is not blocked would be delivered, and never reach the signalfd.
  if ((set.callers_mask() >> (signal - 1) & 1) == 0) return -EINVAL;
  const auto create = [signal] { return sys::CreateSignalfd(static_cast<int>(signal)); };
  const int signalfd = set.AdoptAndWatch(number, record.paused ? kMuted : EPOLLIN, create);
  if (signalfd < 0) return signalfd;
  if (record.paused) return 0;
  const int deaf = set.ListenTo(number);
  if (deaf < 0) set.Unwatch(number);
  return deaf;
}

// Signals stay pending meanwhile.
void Pause(EventSet& set, uint32_t number) {
  if (set.ListensTo(number)) set.StopListening(number);
  set.Rewatch(number, kMuted);
}

// The signalfd is watched last, and only when the record listens: a ready one would make the queue
// readable for a kevent that stays paused.
int Change(EventSet& set, uint32_t number, const ukevent&) {
  if (set.At(number).paused) return Pause(set, number), 0;
  const bool listened = set.ListensTo(number);
  if (!listened) {
    if (const int deaf = set.ListenTo(number); deaf < 0) return deaf;
  }
  const int error = set.Rewatch(number, EPOLLIN);
  if (error < 0 && !listened) set.StopListening(number);
  return error;
}

void Detach(EventSet& set, uint32_t number) {
  if (set.ListensTo(number)) set.StopListening(number);
  set.Unwatch(number);
}

// The signal is taken only here, so one that is not collected stays pending.
bool Deliver(EventSet& set, Kevent& record, bool) {
  if (set.LetsThrough(record)) return false;
  // The number may be a stranger's, if the program has closed the signalfd by a system
  // call of its own.
  if (set.Rewatch(set.NumberOf(record), EPOLLIN) < 0) return false;
  return sys::TakeSignals(record.fd, &record.found_data[0], &record.found_data[1]) == 0;
}

// Of several kevents of one signal, the first in the list takes it.
bool Counts(EventSet& set, uint32_t number, uint64_t* counted) {
  const Kevent& record = set.At(number);
  if (record.forced) return true;
  const uint64_t bit = uint64_t{1} << (record.key.id - 1);
  const bool taken = (*counted & bit) != 0;
  *counted |= bit;
  return !taken && !set.LetsThrough(record);
}

// Several instances were pending: there may be more than one collection takes.
bool Leaves(const Kevent& record, bool forced) { return forced || record.found_data[0] > 1; }

}  // namespace

// A signal that was sent to one thread is ready for that thread alone, and epoll drops it when any
// other thread polls: so each harvest looks at the signals that are pending for its own thread.
void EventSet::HarvestSignals() {
  signals_pending_ = sys::PendingSignals() & waited_for_ & ~let_through_;
  for (sys::SignalSet left = signals_pending_; left != 0; left &= left - 1) {
    for (uint32_t link = signal_first_[__builtin_ctzll(left)]; link != 0;) {
      Kevent& record = At(link - 1);
      if (record.round != round_ || record.ready) {
        record.round = round_;
        MakeReady(link - 1, true);
      }
      link = record.next_watch;
    }
  }
}

int EventSet::ListenTo(uint32_t number) {
  Kevent& record = At(number);
  const sys::SignalSet bit = sys::SignalSet{1} << (record.key.id - 1);
  if (signals() < 0) {
    const int signalfd =
        Adopt([&record] { return sys::CreateSignalfd(static_cast<int>(record.key.id)); });
    if (signalfd < 0) return signalfd;
    signals_.store(signalfd + 1, std::memory_order_release);
    queue_->RecallAll();
  } else if ((waited_for_ & bit) == 0) {
    const int error = sys::SetSignalfd(signals(), waited_for_ | bit);
    if (error < 0) return error;
  }
  waited_for_ |= bit;
  uint32_t& first = signal_first_[record.key.id - 1];
  record.next_watch = first;
  first = number + 1;
  return 0;
}

bool EventSet::ListensTo(uint32_t number) {
  uint32_t link = signal_first_[At(number).key.id - 1];
  while (link != 0 && link != number + 1) link = At(link - 1).next_watch;
  return link != 0;
}

void EventSet::StopListening(uint32_t number) {
  const Kevent& record = At(number);
  uint32_t* link = &signal_first_[record.key.id - 1];
  while (*link != number + 1) link = &At(*link - 1).next_watch;
  *link = record.next_watch;
  if (signal_first_[record.key.id - 1] != 0) return;
  waited_for_ &= ~(sys::SignalSet{1} << (record.key.id - 1));
  if (waited_for_ != 0) {
    sys::SetSignalfd(signals(), waited_for_);
  } else {
    Abandon(signals_.exchange(0, std::memory_order_acq_rel) - 1);
  }
}

constexpr Source kSignalSource = {.events = KEVENT_SIGNAL_DELIVERY,
                                  .attach = Attach,
                                  .change = Change,
                                  .pause = Pause,
                                  .detach = Detach,
                                  .deliver = Deliver,
                                  .counts = Counts,
                                  .leaves = Leaves};

}  // namespace kevent::core
