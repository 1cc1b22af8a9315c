// SPDX-License-Identifier: MIT
//
// The kqueues of the process.

#ifndef KEVENT_ADAPTERS_KQUEUE_KQUEUES_H_
#define KEVENT_ADAPTERS_KQUEUE_KQUEUES_H_

#include <kevent/kevent.h>

#include <atomic>
#include <cerrno>
#include <cstdint>

#include "adapters/kqueue/knotes.h"
#include "adapters/kqueue/operations.h"
#include "adapters/kqueue/signals.h"
#include "adapters/queues/registry.h"

namespace kevent::kqueue {

// What a kqueue has beside its queue.
struct Kqueue {
  std::atomic<uint32_t> number;
  core::Lock lock;
  Knotes knotes ABSL_GUARDED_BY(lock);
};

class Kqueues : public queues::Registry<Kqueues, Kqueue> {
 public:
  static constexpr int kNotOne = EBADF;
  // As on FreeBSD, where a child has not even the descriptor.
  static constexpr bool kLivesInChild = false;
  static constexpr int kSweep = 16;

  static ukevent WitnessOf(Kqueue* kqueue, uint32_t number);
  static uint32_t NewNumber();
  void Begin(Kqueue* kqueue, uint32_t number);
  void Release(Kqueue* kqueue, uint32_t number);

  WatchedSignals& signals() { return signals_; }
  // The taker's queue has taken so many of a signal from the process: all others that watch it are
  // told, as on FreeBSD.
  void ShareSignal(const Kqueue* taker, int signal, uint32_t count);
  Operations& operations() { return operations_; }

 private:
  Operations operations_;
  WatchedSignals signals_;
};

// A kqueue, and which one it is: what it is kept in may become that of another.
struct Found {
  Kqueue* kqueue;
  uint32_t number;
};

// Stores the kqueue that fd is a descriptor of; 0 or an errno.  What is known of the number may be
// no more true.
enum class Known { kWillDo, kLookAgain };
int Find(int fd, Known known, Found* found);

}  // namespace kevent::kqueue

#endif  // KEVENT_ADAPTERS_KQUEUE_KQUEUES_H_
