// SPDX-License-Identifier: MIT
//
// Asynchronous I/O of the process: the operations in flight, and the threads that do them.  One
// thread has an io_uring; a few threads block for operations that an io_uring would not end, and
// for all if there is no io_uring.
//
// No thread of the program submits an operation that may not be done at once (for those that may,
// see core/aio/batched_reads.h): the kernel ends it in the thread that submitted it, whose
// epoll_wait then fails with EINTR although no handler has run.

#ifndef KEVENT_CORE_AIO_ENGINE_H_
#define KEVENT_CORE_AIO_ENGINE_H_

#include <aio.h>

#include <atomic>
#include <cstdint>

#include "core/aio/batched_reads.h"
#include "core/aio/io_ordering.h"
#include "core/aio/staff.h"
#include "core/base/lock.h"
#include "core/operations/operation.h"
#include "core/queue/notifier.h"

namespace kevent::core {

// Zeroed memory, ready for Init.  Its lock is only held with signals blocked.
class AioEngine {
 public:
  void Init();

  // Begins an operation that cannot be done at once, and makes the threads that it takes: 0, or an
  // errno if it was not begun.
  int Begin(uint32_t number);

  // Begins the operations of a list; those that could not be begun are left in `refused`.
  void BeginAll(IoOrdering::Runnable* operations, IoOrdering::Runnable* refused);

  // The reader for reads that are done at once.
  BatchedReads& reads() { return reads_; }
  // True if this read must not be done at once, as it meets a write in flight.
  bool IsBeingWritten(const sys::Transfer& read);

  // Cancels one operation of a descriptor or all: AIO_CANCELED and so on.  `closing`: an operation
  // that has not begun must not begin in any case.
  int Cancel(int fd, const aiocb* control, bool closing = false);

  // Cancels, with `closing`, the operations of all descriptors in [first, last].
  void Lose(unsigned first, unsigned last);

  // A thread to which this says that no operation is in flight sees all that the operations have
  // stored up to their ends.
  static bool any_in_flight() { return in_flight_.load(std::memory_order_acquire) != 0; }

  // Returns when aio_error, too, says that the operations which have ended by now have.
  void AwaitRetired() ABSL_LOCKS_EXCLUDED(lock_);

  // SetResult completes an operation, as the program sees it; Finish makes the notifications.
  static void SetResult(Operation* operation, int64_t result);
  void Finish(IoOrdering::Runnable* done);
  // True if operations by this descriptor number are in flight.
  bool IsInUse(int fd) ABSL_LOCKS_EXCLUDED(lock_);

  // Counts one member less of a list in flight.
  static void FinishMember(uint32_t list);

  // Sleeps until `done()`: 0, or -ETIMEDOUT or -EINTR.  As in the C library, a handler with
  // SA_RESTART does not end a sleep without a deadline.  A cancellation point.
  template <typename Done>
  int Await(const timespec* deadline, Done done) {
    int result = 0;
    sleepers_.fetch_add(1, std::memory_order_seq_cst);
    for (;;) {
      const uint32_t seen = finished_.load(std::memory_order_seq_cst);
      if (done()) break;
      if (result != 0) break;
      result = Sleep(seen, deadline);
    }
    const bool in_time = result == 0 || done();
    sleepers_.fetch_sub(1, std::memory_order_seq_cst);
    return in_time ? 0 : result;
  }

 private:
  using State = Operation::State;
  enum class Backend : uint8_t { kUnknown, kRing, kPool };
  // The part of the engine that is missing for an operation to begin.
  enum class Lack : uint8_t { kNothing, kBackend, kRingThread, kPoolThread, kTellingThread };
  static constexpr unsigned kRingBatch = 64;

  int Sleep(uint32_t seen, const timespec* deadline);
  static void Cancelled(void* engine);
  Lack BeginStaffed(bool chosen, IoOrdering::Runnable* operations, IoOrdering::Runnable* refused)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void Hand(IoOrdering::Runnable runnable) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  static uint32_t TakeHanded(IoOrdering::Runnable* handed);
  // The operations that an aio_cancel takes out, and those that may begin for it.
  struct Withdrawal {
    bool any_started = false;
    bool any_cancelled = false;
    // A write that a thread of the pool does by the descriptor: plus one, and its order.
    uint32_t write = 0;
    uint64_t write_order = 0;
    IoOrdering::Runnable cancelled;
    IoOrdering::Runnable next;
  };
  template <typename Visit>
  void ForEachMeant(int fd, const aiocb* control, State state, IoOrdering::From from, Visit visit)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  static bool IsBeingBegun(const aiocb* control);
  Withdrawal Withdraw(int fd, const aiocb* control, bool closing)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void AwaitWrite(uint32_t number, uint64_t order) ABSL_LOCKS_EXCLUDED(lock_);
  void TakeBack(IoOrdering::Runnable* handed, int fd, const aiocb* control, bool closing)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void Retire(uint32_t number, int64_t result) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void End(uint32_t number, int64_t result, Notifier* notifier, IoOrdering::Runnable* done,
           IoOrdering::Runnable* next) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  uint32_t GoOnWith(IoOrdering::Runnable* next, bool awaited) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  uint32_t HandOn(IoOrdering::Runnable next, bool takes_one) ABSL_LOCKS_EXCLUDED(lock_);
  uint32_t Ended(uint32_t number, int64_t result);
  static void Tell(uint32_t number, Notifier* notifier);
  static bool CompletesList(uint32_t list, bool failed);
  void WakeSuspended();
  void TellAll(IoOrdering::Runnable* done, const IoOrdering::Runnable& next)
      ABSL_LOCKS_EXCLUDED(lock_);
  static sys::Transfer Rest(const Operation& operation);
  static int64_t Do(const Operation& operation);

  // ---- The making of threads ----
  bool IsForRing(uint32_t number) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  bool IsUncertain(uint32_t number) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  uint32_t ThreadsWanted() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  Lack LackOf(uint32_t number) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  int Supply(Lack lack, int loaded) ABSL_LOCKS_EXCLUDED(lock_);
  int Choose(int loaded) ABSL_EXCLUSIVE_LOCKS_REQUIRED(staffing_) ABSL_LOCKS_EXCLUDED(lock_);
  template <auto kRun>
  int StartOne(SingleThread* thread, const char* name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(staffing_)
      ABSL_LOCKS_EXCLUDED(lock_);
  int StartRing() ABSL_EXCLUSIVE_LOCKS_REQUIRED(staffing_) ABSL_LOCKS_EXCLUDED(lock_);
  int StartTelling() ABSL_EXCLUSIVE_LOCKS_REQUIRED(staffing_) ABSL_LOCKS_EXCLUDED(lock_);
  void RunAddedThread() ABSL_LOCKS_EXCLUDED(lock_);
  int AddThread() ABSL_EXCLUSIVE_LOCKS_REQUIRED(staffing_) ABSL_LOCKS_EXCLUDED(lock_);
  bool IsShort() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void StaffUp() ABSL_LOCKS_EXCLUDED(lock_);

  // ---- The thread that has the io_uring ----
  int OpenRing() ABSL_EXCLUSIVE_LOCKS_REQUIRED(staffing_) ABSL_LOCKS_EXCLUDED(lock_);
  bool HasRing() ABSL_EXCLUSIVE_LOCKS_REQUIRED(staffing_) ABSL_LOCKS_EXCLUDED(lock_);
  void RingBell() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void LeaveToPool() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void LoseRing() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  static bool EndedInVain(const Operation& operation, int64_t result);
  static bool GoesOn(Operation* operation, int64_t* result);
  bool HasUnrung() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void Take(const sys::RingResult* completed, int count);
  sys::Sleep Turn();
  bool Woken(int count) ABSL_LOCKS_EXCLUDED(lock_);
  bool MayGoOn(int count) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  bool RingMayBeNeeded() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void PutBack(uint32_t number) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  bool FillRing() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void EmptyRing() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void RunRing();

  // ---- The threads that block ----
  void WakePool() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  bool AwaitWork(uint32_t* number) ABSL_LOCKS_EXCLUDED(lock_);
  bool JoinPool();
  void RunPool();

  // ---- The thread that notifies by new threads ----
  static bool IsToldByThread(uint32_t number);
  static void TellButByThread(uint32_t number, Notifier* notifier, IoOrdering::Runnable* by_thread);
  void LeaveToTell(const IoOrdering::Runnable& by_thread, uint32_t count)
      ABSL_LOCKS_EXCLUDED(lock_);
  bool AwaitEnded(IoOrdering::Runnable* ended) ABSL_LOCKS_EXCLUDED(lock_);
  void RunTelling();

  static std::atomic<uint32_t> in_flight_;  // that have begun

  // Held while a thread is made or the ring opened, which takes memory and may take long.  close
  // and the end of an operation wait for the other locks, for a handler perhaps that has
  // interrupted malloc: they are not held meanwhile.  close does not take this one, and a thread
  // that ends operations only when some that were for the ring are for the pool, which has too few
  // threads for them (core/aio/staffing.cc).
  Lock staffing_ ABSL_ACQUIRED_BEFORE(lock_);
  Lock lock_;
  // Held by the ring's thread while the kernel does not have all operations that it has taken.  It
  // is acquired under the other lock, and held without it.
  Lock submitting_;
  Backend backend_ ABSL_GUARDED_BY(lock_);
  IoOrdering files_ ABSL_GUARDED_BY(lock_);
  // Operations that were handed on and not started.
  IoOrdering::Runnable for_ring_ ABSL_GUARDED_BY(lock_);
  IoOrdering::Runnable for_pool_ ABSL_GUARDED_BY(lock_);
  int ring_ ABSL_GUARDED_BY(lock_);
  bool ring_is_open_ ABSL_GUARDED_BY(lock_);
  bool ring_is_lost_ ABSL_GUARDED_BY(lock_);
  SingleThread ring_thread_ ABSL_GUARDED_BY(lock_);
  bool asleep_ ABSL_GUARDED_BY(lock_);         // the ring's thread
  bool unrung_ ABSL_GUARDED_BY(lock_);         // a bell for that thread has failed
  uint32_t in_kernel_ ABSL_GUARDED_BY(lock_);  // operations that the ring was given
  PoolThreads pool_ ABSL_GUARDED_BY(lock_);
  uint32_t blocking_ ABSL_GUARDED_BY(lock_);   // operations in flight that only the pool does
  uint32_t uncertain_ ABSL_GUARDED_BY(lock_);  // those that the ring may end in vain
  std::atomic<uint32_t> bell_;                 // counts the operations that were handed to the pool

  SingleThread telling_thread_ ABSL_GUARDED_BY(lock_);
  // Operations in flight with such a notification, and ended ones that are not left to the thread
  // yet.
  uint32_t told_by_thread_ ABSL_GUARDED_BY(lock_);
  IoOrdering::Runnable to_tell_ ABSL_GUARDED_BY(lock_);
  std::atomic<uint32_t> telling_bell_;  // counts what was left to that thread

  BatchedReads reads_;

  std::atomic<uint32_t> finished_;  // counts completions
  std::atomic<uint32_t> sleepers_;  // number of threads that wait for completions
};

// The process's engine.
AioEngine& Aio();

}  // namespace kevent::core

#endif  // KEVENT_CORE_AIO_ENGINE_H_
