// SPDX-License-Identifier: MIT
//
// The order of asynchronous operations on one descriptor.  Operations on a stream, and writes to
// the end of a file (O_APPEND), go one after the other, reads and writes each in a line of their
// own, and in a line by priority and then as they were asked for.  Operations on places of a file
// have no order (POSIX 2.8.2), but if one could see what another writes it waits for those that
// were asked for before it: so a program finds what it has written, as with the C library, which
// does all operations of a descriptor one after the other.  A sync waits for all operations that
// were asked for before it (POSIX aio_fsync).
//
// Writes to the page cache of a file wait for each other in the kernel, so those of one descriptor
// take turns, whatever the order in which they may begin: the thread that has done one does the
// next, and no other thread wakes up only to wait.  Appending writes, which are in a line, take
// turns as well: close waits for the write that has the turn.
//
// All functions need the lock of the engine.

#ifndef KEVENT_CORE_AIO_IO_ORDERING_H_
#define KEVENT_CORE_AIO_IO_ORDERING_H_

#include <atomic>
#include <cstdint>

#include "core/aio/interval_tree.h"
#include "core/operations/operation.h"

namespace kevent::core {

// Zeroed memory is an empty set.
class IoOrdering {
 public:
  // Operations that may begin, in their order: linked by `next`.
  struct Runnable {
    uint32_t first = 0;
    uint32_t last = 0;
    uint32_t count = 0;
    void Append(uint32_t number);
    void Append(const Runnable& more);
    void Prepend(uint32_t number);
    uint32_t Take();  // number plus one; 0: none
  };

  // Adds an operation, as its transfer is asked for: 0 or ENOMEM.
  int Add(uint32_t number, Runnable* runnable);
  // Removes an operation that has completed.
  void Remove(uint32_t number, Runnable* runnable);
  // Removes an operation that waits, and completes without having begun.
  void GiveUp(uint32_t number, Runnable* runnable);

  // The number is about to be closed: operations in flight go on, in their order, and those that
  // are asked for from now on are of another file.
  void Detach(int fd);

  // The file that has this number, plus one; 0: no file with operations has it.
  uint32_t Find(int fd) const;

  // The number of operations that were ever added: those that are there have this order or less.
  uint64_t newest() const { return orders_; }
  // A descriptor in [first, last] with an operation of order `newest` or less that takes it for
  // open, or -1.  Looks from `bucket` on, and stores there where it found the descriptor.
  int AnyInUse(unsigned first, unsigned last, uint64_t newest, uint32_t* bucket) const;

  // How many of the operations marked `pooled` may be done at the same time: those in one line are
  // done one after the other.  A thread for each is enough, whatever the order in which they end.
  uint32_t threads_wanted() const { return threads_wanted_; }
  // True if one more such operation, which is not added yet, adds to that number.
  bool AddsToWanted(const Operation& operation) const;
  // The number of operations marked `pooled`.
  uint32_t pooled() const { return pooled_; }
  // Marks an operation that was added without that mark.
  void MarkPooled(uint32_t number);

  // True if this operation, which may begin, does not wait for others of its file that take turns
  // with it.  One that waits is handed on by Remove when it has the turn.
  bool TakeTurn(uint32_t number);
  // The operations of an operation's file that wait for their turn.
  Runnable* AwaitingTurn(uint32_t number);

  // True if this read must wait for a write in flight.
  bool IsBeingWritten(const sys::Transfer& read) const;
  // True if there is a write that a read may have to wait for.
  static bool any_writes() { return writes_.load(std::memory_order_acquire) != 0; }
  static void Forget() { writes_.store(0, std::memory_order_relaxed); }

  // Calls visit(number) for each operation of a descriptor; visit may remove it.
  enum class From : uint8_t { kOldest, kNewest };
  template <typename Visit>
  void ForEach(int fd, From from, Visit visit) {
    const uint32_t file = Find(fd);
    if (file == 0) return;
    uint32_t link = from == From::kOldest ? At(file).first : At(file).last;
    while (link != 0) {
      const uint32_t number = link - 1;
      const Operation& operation = Operations::At(number);
      link = from == From::kOldest ? operation.file_after : operation.file_before;
      visit(number);
    }
  }

 private:
  struct Line {
    bool busy;
    uint32_t first;  // the first that waits
    uint32_t last;
    uint32_t pooled;  // number of its operations, waiting or not, that are marked so
  };
  struct Turns {
    bool taken;
    Runnable waiting;
    uint32_t pooled;  // number of the file's operations that take turns and are marked so
  };
  struct File {
    int fd;
    uint32_t same_hash;  // next in the bucket, or the next free file
    uint32_t first;      // operations, oldest first
    uint32_t last;
    Line lines[2];
    Turns turns;
    IntervalTree reads;
    IntervalTree writes;
    bool is_detached;    // no number names it any more
    bool tracks_reads;   // reads on places are in `reads`: only a write asks there
    uint32_t kept_back;  // number of operations on places that wait
  };
  static constexpr uint32_t kBuckets = 1u << 10;

  static Line& LineOf(File& file, const Operation& operation) {
    return file.lines[operation.transfer.kind == sys::Transfer::Kind::kWrite ? 1 : 0];
  }
  static uint32_t* PooledWith(File& file, const Operation& operation);
  static void PassTurn(File& file, Runnable* runnable);
  void CountPooled(File& file, const Operation& operation);
  void DiscountPooled(File& file, const Operation& operation);
  uint32_t FindOrMake(int fd);
  void Unhash(uint32_t file);
  void Drop(uint32_t file);
  static void Enqueue(Line& line, uint32_t number);
  static void Dequeue(Line& line, uint32_t number);
  static bool HasPlace(const Operation& operation);
  static void TrackReads(File& file);
  static void EnterPlace(File& file, uint32_t number);
  static void LeavePlace(File& file, uint32_t number);
  static uint32_t CountKeepers(const File& file, const Operation& newer);
  static void Unlink(File& file, uint32_t number);
  static void ReleaseKeptBack(File& file, const Operation& done, Runnable* runnable);
  void Leave(uint32_t number, Runnable* runnable);
  static bool NothingButSyncs(uint32_t link);
  static void ReleaseSyncs(uint32_t link, Runnable* runnable);

  static std::atomic<uint32_t> writes_;  // number of writes on places, in flight

  // As many files as there can be operations; zeroed in a child of fork.
  static std::atomic<File*> files_;
  static File& At(uint32_t link) { return files_.load(std::memory_order_relaxed)[link - 1]; }

  uint64_t orders_;
  uint32_t pooled_;
  uint32_t threads_wanted_;
  uint32_t used_;
  uint32_t first_free_;
  uint32_t buckets_[kBuckets];
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_AIO_IO_ORDERING_H_
