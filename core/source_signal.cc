// SPDX-License-Identifier: MIT
//
// KEVENT_SIGNAL: a signal that the program has blocked, by a signalfd.
// id.raw[0] is its number.

#include <sys/epoll.h>

#include <cerrno>

#include "core/kevent_set.h"
#include "core/queue.h"
#include "core/system.h"

namespace kevent::core {
namespace {

int Attach(KeventSet& set, uint32_t number, const ukevent&) {
  Kevent& record = set.At(number);
  // Only the kernel can take a signal from its handler.
  if ((record.key.id & KEVENT_SIGNAL_NOMASK) != 0) return -EOPNOTSUPP;
  const uint64_t signal = record.key.id;
  if (signal == 0 || signal > 64 || signal == SIGKILL || signal == SIGSTOP) return -EINVAL;
  // A signal that is not blocked would be delivered, and never come here.
  if ((set.callers_mask() >> (signal - 1) & 1) == 0) return -EINVAL;
  const auto create = [signal] { return sys::CreateSignalfd(static_cast<int>(signal)); };
  const int signalfd = set.AdoptAndWatch(number, EPOLLIN, create);
  if (signalfd < 0) return signalfd;
  const int deaf = set.ListenTo(number);
  if (deaf < 0) set.Unwatch(number);
  return deaf;
}

int Change(KeventSet&, uint32_t, const ukevent&) { return 0; }

void Detach(KeventSet& set, uint32_t number) {
  set.StopListening(number);
  set.Unwatch(number);
}

bool Harvest(KeventSet&, Kevent&, uint32_t) { return true; }

// Only now is the signal taken: what is not collected stays pending.
bool Deliver(KeventSet& set, Kevent& record, bool) {
  if (set.LetsThrough(record)) return false;
  // The number may be a stranger's, if the program has closed ours behind our back.
  if (set.Rewatch(set.NumberOf(record), EPOLLIN) < 0) return false;
  return sys::TakeSignals(record.fd, &record.found_data[0], &record.found_data[1]) == 0;
}

// Of several instances there may be more than one call takes.
bool Leaves(const Kevent& record, bool forced) { return forced || record.found_data[0] > 1; }

}  // namespace

int KeventSet::ListenTo(uint32_t number) {
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

void KeventSet::StopListening(uint32_t number) {
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

constexpr Source kSignalSource = {
    KEVENT_SIGNAL_DELIVERY, Attach, Change, Detach, Harvest, Deliver, Leaves};

}  // namespace kevent::core
