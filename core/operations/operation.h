// SPDX-License-Identifier: MIT
//
// An operation: it is begun by a call with a struct sigevent and completes once.  Asynchronous
// reads, writes and syncs, lists of them, and look-ups of names are operations.  A record is taken
// at the beginning, so that the completion needs no memory.

#ifndef KEVENT_CORE_OPERATIONS_OPERATION_H_
#define KEVENT_CORE_OPERATIONS_OPERATION_H_

#include <aio.h>
#include <kevent/kevent.h>
#include <signal.h>

#include <atomic>
#include <cstdint>

#include "core/system/system.h"

namespace kevent::core {

// Links are numbers of operations plus one; 0 ends a list.
struct Operation {
  std::atomic<uint32_t>
      next;  // in the free list, the completions of a queue, or a list that is handed on

  // ---- Its completion ----

  // kTransfer: a file was read ahead for the transfer whose number is `id`.
  enum class Notify : uint8_t { kNobody, kQueue, kElsewhere, kTransfer };
  Notify notify;
  uint32_t queue;
  uint32_t incarnation;  // of the queue named above
  uint32_t type;
  uint32_t event;
  uint64_t id;
  uint64_t cookie;
  uint32_t data[2];
  bool notifies_in_vain;  // by a signal that is none
  uint32_t member;        // its place among the operations that its call begins
  sigevent elsewhere;     // the notification that the C library would make: a signal or a thread

  // `list`: the list that the operation belongs to.  A list counts its operations that have not
  // completed, and those that have failed.
  uint32_t list;
  std::atomic<uint32_t> missing;
  std::atomic<uint32_t> failed;

  // ---- Of asynchronous I/O, under its lock (core/aio/engine.h) ----

  enum class State : uint8_t { kWaiting, kHanded, kTakenBack, kStarted };
  State state;
  bool begun;        // was started before, and goes on from there
  bool given_up;     // completes without being started
  bool file_lost;    // its descriptor was closed: it must not begin again
  bool blocks;       // is done in a thread, even if there is an io_uring
  bool pooled;       // counts among those that threads of the pool are kept for
  bool uncertain;    // is for the io_uring, which may end it in vain: then it is done in a thread
  bool by_thread;    // its notification, or its list's, is by a new thread (SIGEV_THREAD)
  bool in_line;      // on a stream or appending: done one after the other
  bool takes_turns;  // is done by one thread at a time with others of its file, in any order
                     // (unless `in_line`)
  bool has_turn;     // close waits for its end once it was started
  int priority;
  std::atomic<aiocb*> control;  // nullptr: completed
  std::atomic<uint32_t> uses;   // counts the operations that the record was taken for
  sys::Transfer transfer;       // for a look-up: the list's copy and its length
  size_t moved;                 // bytes, by a first part
  uint32_t file;                // number plus one; 0: in no file's list
  uint32_t file_before;         // neighbours in its file's list, oldest first
  uint32_t file_after;
  uint64_t order;        // counts the operations in the order in which the program asked for them
  uint32_t keepers;      // number of operations that it waits for
  uint32_t line_before;  // neighbours in the line that it waits in
  uint32_t line_after;
  uint32_t place_before;  // subtrees in the tree of operations on places (core/aio/interval_tree.h)
  uint32_t place_after;
  uint64_t places_end;

  // ---- Of a transfer on a socket, under its queue's lock (core/sources/transfer_source.cc) ----

  int flags;             // of recv or send
  int source;            // the file to send, or -1
  uint64_t source_file;  // tells the file from others
  bool source_is_ours;   // the file is the engine's, and is closed at the end
  // kWithAll: ends with its last byte; kWithSome: with the first that come, as a message does.
  enum class Ends : uint8_t { kNotKnown, kWithAll, kWithSome };
  Ends ends;
  bool needs_reading;  // its file's next page is not in the page cache
  bool reads_ahead;    // its file is being read into the page cache, by `reader`
  uint32_t reader;     // number plus one; 0: none
  uint32_t socket;     // the record in whose line it is, plus one; 0: in none
  uint32_t last;       // of the first in its line: the last there, plus one
  int64_t cached_end;  // the bytes of the file before this place are in the page cache
};

class Operations {
 public:
  static constexpr uint32_t kMax = 1u << 16;

  // Takes a fresh record: 0, EAGAIN when kMax are in flight, or another errno.  Callable from any
  // thread; takes no lock.
  static int Allocate(uint32_t* number);
  static void Free(uint32_t number);

  // Requires that the number was allocated once.
  static Operation& At(uint32_t number);
  static uint32_t NumberOf(const Operation& operation);
  // The record of this number, or nullptr if there never was one.
  static Operation* Find(uint32_t number);

 private:
  struct Table;
  static std::atomic<Table*> table_;
};

// A child of fork finds the table zeroed: no operation is in flight there.
struct Operations::Table {
  // The first free record, plus one, and a count that makes each head differ from the one before.
  std::atomic<uint64_t> free;
  std::atomic<uint32_t> used;  // numbers below were handed out once
  Operation records[kMax];
};

inline uint32_t Operations::NumberOf(const Operation& operation) {
  return static_cast<uint32_t>(&operation - table_.load(std::memory_order_acquire)->records);
}

inline Operation& Operations::At(uint32_t number) {
  return table_.load(std::memory_order_acquire)->records[number];
}

}  // namespace kevent::core

#endif  // KEVENT_CORE_OPERATIONS_OPERATION_H_
