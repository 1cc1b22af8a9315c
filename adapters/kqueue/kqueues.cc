// SPDX-License-Identifier: MIT

#include "adapters/kqueue/kqueues.h"

#include "adapters/kqueue/filter.h"
#include "adapters/kqueue/watches.h"

namespace kevent::kqueue {

// No registration's id has that upper half (Knotes::IdOf).
ukevent Kqueues::WitnessOf(Kqueue* kqueue, uint32_t number) {
  ukevent witness = {};
  witness.id.raw[0] = number;
  witness.id.raw[1] = UINT32_MAX;
  witness.type = KEVENT_UNOTIFY;
  witness.ptr = kqueue;
  return witness;
}

uint32_t Kqueues::NewNumber() {
  static constinit std::atomic<uint32_t> s_last{0};
  uint32_t number;
  do {
    number = s_last.fetch_add(1, std::memory_order_relaxed) + 1;
  } while (number == 0);
  return number;
}

void Kqueues::Begin(Kqueue* kqueue, uint32_t number) {
  const queues::Held held(kqueue->lock);
  kqueue->knotes.Begin(number);
}

void Kqueues::Release(Kqueue* kqueue, uint32_t number) {
  operations_.Forget(number);
  const queues::Held held(kqueue->lock);
  kqueue->knotes.ForEach([](const Knote& knote) {
    if (knote.filter == &kSignalFilter) {
      UnblockSignal(static_cast<int>(knote.ident), End::kClosed);
    }
  });
  kqueue->knotes.Clear();
}

void Kqueues::ShareSignal(const Kqueue* taker, int signal, uint32_t count) {
  if (!signals_.AreSeveral(signal)) return;
  const queues::Held held(lock());
  ForEach([&](Kqueue& kqueue, int fd) {
    if (&kqueue == taker) return;
    const queues::Held held_too(kqueue.lock);
    Knote* const knote = kqueue.knotes.Find(static_cast<uint64_t>(signal), kSignalFilter);
    if (knote == nullptr) return;
    knote->pending_data += count;
    knote->is_active = true;
    if (knote->is_disabled) return;
    ukevent request = RequestOf(kqueue.knotes, *knote);
    kevent_ctl(fd, KEVENT_CTL_READY, 1, &request);
  });
}

int Find(int fd, Known known, Found* found) {
  Kqueues* const kqueues = Kqueues::This();
  if (kqueues == nullptr) return ENOMEM;
  found->kqueue = known == Known::kWillDo ? kqueues->KnownAs(fd) : nullptr;
  int error = 0;
  if (found->kqueue == nullptr) {
    const queues::Held held(kqueues->lock());
    found->kqueue = kqueues->Find(fd, &error);
  }
  if (found->kqueue != nullptr) found->number = found->kqueue->number.load();
  return error;
}

}  // namespace kevent::kqueue
