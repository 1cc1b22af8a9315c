// SPDX-License-Identifier: MIT
//
// What was begun by a call with a struct sigevent and completes once: an
// asynchronous read, write or sync, a list of them, a look-up of names.  A record
// is taken when it begins, so that its completion needs no memory.

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
      next;  // that are free, that completed into one queue, or that are handed on

  // ---- Its completion ----

  enum class Notify : uint8_t { kNobody, kQueue, kElsewhere };
  Notify notify;
  uint32_t queue;
  uint32_t incarnation;  // of that queue
  uint32_t type;
  uint32_t event;
  uint64_t id;
  uint64_t cookie;
  uint32_t data[2];
  sigevent elsewhere;  // as the C library would: a signal or a thread

  // The list it belongs to; and a list's own: how many have not completed, how
  // many have failed.
  uint32_t list;
  std::atomic<uint32_t> missing;
  std::atomic<uint32_t> failed;

  // ---- Of asynchronous I/O, under its lock (core/aio/engine.h) ----

  enum class State : uint8_t { kWaiting, kHanded, kTakenBack, kStarted };
  State state;
  bool begun;      // was started before, and is to go on
  bool given_up;   // to be done without doing anything
  bool file_lost;  // its descriptor was closed: it must not begin again
  bool blocks;     // in a thread, also where there is an io_uring
  bool in_line;    // of a stream or appending: one after the other
  int priority;
  std::atomic<aiocb*> control;  // nullptr: completed
  sys::Transfer transfer;       // of look-ups: the list's copy, how many it has
  size_t moved;                 // by a first part
  uint32_t file;                // plus one; 0: it is in no file's list
  uint32_t file_before;         // operations of this file, oldest first
  uint32_t file_after;
  uint64_t order;        // in which they were asked for
  uint32_t keepers;      // how many it waits for
  uint32_t line_before;  // that wait in its line
  uint32_t line_after;
  uint32_t place_before;  // subtrees of those on places (core/aio/interval_tree.h)
  uint32_t place_after;
  uint64_t places_end;
};

class Operations {
 public:
  static constexpr uint32_t kMax = 1u << 16;

  // A fresh record: 0, EAGAIN when kMax are in flight, or another errno.  From any
  // thread; takes no lock.
  static int Allocate(uint32_t* number);
  static void Free(uint32_t number);

  // Requires that it was allocated once.
  static Operation& At(uint32_t number);
  static uint32_t NumberOf(const Operation& operation);
  // The record of this number if there ever was one.
  static Operation* Find(uint32_t number);

 private:
  struct Table;
  static std::atomic<Table*> table_;
};

// A child of fork finds it zeroed: no operation is in flight there.
struct Operations::Table {
  // The first that is free, plus one, and a count that makes each head another.
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
