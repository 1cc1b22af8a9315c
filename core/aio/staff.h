// SPDX-License-Identifier: MIT
//
// The threads of the engine of asynchronous I/O, as they are counted.
//
// A thread that ends operations makes no thread, but for operations that were for the ring and are
// for the pool (core/aio/staffing.cc): making one takes memory, and the ending of an operation may
// be waited for by a handler that has interrupted malloc (aio_suspend).  So each thread that an
// operation in flight may take is there before the operation begins, and leaves only when no
// operation in flight may take it:
//
//   - the ring's thread, while an operation for the ring is in flight;
//   - in the pool, a thread for each operation that may be done at the same time as others
//     (IoOrdering::threads_wanted), up to PoolThreads::kMax: an operation that waits in a line
//     behind another of the pool's takes the thread of that one, and each other one has a thread
//     of its own although it waits;
//   - the telling thread, while an operation is in flight that is told of by a new thread.

#ifndef KEVENT_CORE_AIO_STAFF_H_
#define KEVENT_CORE_AIO_STAFF_H_

#include <algorithm>
#include <cstdint>

#include "core/base/invariant.h"

namespace kevent::core {

// A thread of which there is one.  Zeroed memory: it is absent.
class SingleThread {
 public:
  bool is_absent() const { return state_ == State::kAbsent; }
  // Only a running thread is relied on.
  bool is_running() const { return state_ == State::kRunning; }

  // Called before the thread is made; false if there is one, or another thread makes it.
  bool Claim() {
    if (state_ != State::kAbsent) return false;
    state_ = State::kStarting;
    return true;
  }
  // Called after that; the thread may have left already.
  void SetMade(bool made) {
    if (state_ == State::kStarting) state_ = made ? State::kRunning : State::kAbsent;
  }
  // Called by the thread, which does nothing after that.
  void Leave() { state_ = State::kAbsent; }

 private:
  enum class State : uint8_t { kAbsent, kStarting, kRunning };
  State state_;
};

// The threads of the pool.  Zeroed memory: there is none.
//
// A thread is counted before it looks for work: its maker reports it, and so does the thread itself
// when it begins, and the first of these two reports counts.  A thread that is not counted could
// take work, and the next work would wake none.  The reports of one thread need no name: as many
// threads are counted as were made or have begun, whichever is more.
class PoolThreads {
 public:
  static constexpr uint32_t kMax = 20;

  uint32_t count() const { return count_; }
  uint32_t idle() const { return idle_; }
  // True if there are as many as are wanted, or as there may be.
  bool Cover(uint32_t wanted) const { return count_ >= std::min(wanted, kMax); }

  // A thread was made; it has begun.
  void AddMade() {
    if (unbegun_ >= 0) Join();
    ++unbegun_;
  }
  void AddBegun() {
    if (unbegun_ <= 0) Join();
    --unbegun_;
  }

  void Join() {
    ++count_;
    ++idle_;
    CheckInDebugBuild(*this);
  }
  void Leave() {
    --count_;
    --idle_;
    CheckInDebugBuild(*this);
  }
  void TakeWork() {
    --idle_;
    CheckInDebugBuild(*this);
  }
  void EndWork() {
    ++idle_;
    CheckInDebugBuild(*this);
  }

  // Returns the first invariant that does not hold, or nullptr.
  const char* Check() const {
    if (idle_ > count_) return "more threads of the pool are free than there are";
    return count_ > kMax + 1 ? "too many threads in the pool" : nullptr;
  }

 private:
  uint32_t count_;
  uint32_t idle_;
  int32_t unbegun_;  // the reports of makers less those of threads
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_AIO_STAFF_H_
