// SPDX-License-Identifier: MIT
//
// The ring that a program may give a queue: written by kevent_wait, freed by kevent_commit, read by
// the program's threads without a call.  All functions need the queue's lock.

#ifndef KEVENT_CORE_OPERATIONS_EVENT_RING_H_
#define KEVENT_CORE_OPERATIONS_EVENT_RING_H_

#include <kevent/kevent.h>

#include <atomic>
#include <cerrno>

namespace kevent::core {

// Zeroed memory means that there is no ring.
class EventRing {
 public:
  void Open(kevent_ring* ring, unsigned size) {
    ring_ = ring;
    size_ = size;
    ring->ring_kidx = ring->ring_over = 0;
  }

  bool exists() const { return ring_ != nullptr; }
  unsigned size() const { return size_; }
  unsigned consumer() const { return consumer_; }
  bool full() const { return used_ == size_; }

  // The place of the next events, and how many of them fit before the ring wraps around.
  ukevent* next() const { return ring_->event + producer_; }
  unsigned room() const {
    const unsigned free = size_ - used_;
    const unsigned to_end = size_ - producer_;
    return free < to_end ? free : to_end;
  }

  // Says that `count` events were written at next().
  void Advance(unsigned count) {
    used_ += count;
    producer_ = (producer_ + count) % size_;
    Publish(ring_->ring_kidx, producer_);
  }

  // Frees the events before new_uidx; returns how many, or a negative errno.
  int Commit(unsigned new_uidx, unsigned over) {
    if (!exists()) return 0;
    if (new_uidx >= size_) return -EINVAL;
    if (over != over_ && over + 1 != over_) return -EOVERFLOW;
    if (over != over_) {
      // The caller read the ring before another thread passed its end.
      return new_uidx <= consumer_ ? 0 : -EOVERFLOW;
    }
    unsigned count = (new_uidx + size_ - consumer_) % size_;
    if (count == 0 && full()) count = size_;
    if (count > used_) return -EINVAL;
    if (consumer_ + count >= size_) Publish(ring_->ring_over, ++over_);
    consumer_ = new_uidx;
    used_ -= count;
    return static_cast<int>(count);
  }

 private:
  // Release order: a thread that sees the word also sees the events that were written before it.
  static void Publish(unsigned& word, unsigned value) {
    std::atomic_ref<unsigned>(word).store(value, std::memory_order_release);
  }

  kevent_ring* ring_;
  unsigned size_;
  unsigned producer_;
  unsigned consumer_;
  unsigned used_;
  unsigned over_;
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_OPERATIONS_EVENT_RING_H_
