// SPDX-License-Identifier: MIT
//
// Tables of descriptors, which a lock distinguishes: a lock on a file (fcntl, F_SETLK) belongs to a
// table, and not to a process.  Linux drops the locks of a table when one of its descriptors of the
// file is closed (fs/locks.c, flc_owner).
//
// Each queue has a pipe with such a lock.  Threads of the library's own can outlive the queues, and
// so can operations, which such threads do by descriptors of the program's: until the last of those
// threads has ended, a thread with another table must not make a queue, whose operations they would
// do by numbers of their table.  So the pipe of a queue that is closed meanwhile is kept.
//
// All functions but StartThread are async-signal-safe.

#ifndef KEVENT_CORE_DESCRIPTORS_KEPT_TABLE_H_
#define KEVENT_CORE_DESCRIPTORS_KEPT_TABLE_H_

#include <atomic>
#include <cstdint>

#include "core/descriptors/registry.h"
#include "core/system/system.h"

namespace kevent::core {

// A table that a lock belongs to, as the calling thread sees it: the thread's own, another, or
// either, if the lock is gone.
enum class Table { kIts, kAnother, kUnknown };

// The table of the lock on this descriptor, which has one as long as it has that role in the queue.
// In another table the number may be of another file, perhaps of one of the engine's, too: then it
// has no lock, or the lock is another table's.
Table TableOf(int fd, uint32_t queue, uint16_t role);

class KeptTable {
 public:
  // The table has one user more, or one less: a thread of the library's own, or a call that hands
  // something to such a thread.  With the last one the pipe goes.
  static void AddUser() { state_.fetch_add(kOneUser, std::memory_order_seq_cst); }
  static void DropUser();
  static bool has_users() { return Users(state_.load(std::memory_order_seq_cst)) != 0; }

  // Keeps the pipe of a queue that is being closed, if the table has users and no other pipe is
  // kept; true if the number is the queue's no longer.  Until this returns the pipe tells its table
  // without a gap.
  static bool Keep(int fd, uint32_t queue);

  // The table of the pipe that is kept; kUnknown if there is none, or the table has no users.
  static Table Callers();
  // Closes the pipe of a table without users, as the process's table is the caller's from here on;
  // forgets it if that is another table, in which the number may be anything.
  static void DropPipe();

  // Called in a child of fork, which has none of its parent's threads.
  static void Forget() { state_.store(0, std::memory_order_seq_cst); }

 private:
  // The number of users and, below it, the number of the pipe plus one, or 0.
  static constexpr uint64_t kOneUser = uint64_t{1} << 32;
  static uint32_t Users(uint64_t state) { return static_cast<uint32_t>(state >> 32); }
  static int Pipe(uint64_t state) { return static_cast<int>(state & UINT32_MAX) - 1; }

  static constinit std::atomic<uint64_t> state_;
};

// A call that hands something to a thread of the library's own, for as long as the object lives.
class TableUser {
 public:
  TableUser() { KeptTable::AddUser(); }
  ~TableUser() { KeptTable::DropUser(); }
  TableUser(const TableUser&) = delete;
  TableUser& operator=(const TableUser&) = delete;
};

// Starts a thread of the library's own (sys::StartThread) with a function of the object's.  The
// thread uses its maker's table.
template <auto kBody, typename Object>
int StartThread(Object* object, const char* name) {
  const auto body = [](void* argument) {
    (static_cast<Object*>(argument)->*kBody)();
    KeptTable::DropUser();
  };
  KeptTable::AddUser();
  const int thread = sys::StartThread(body, object, name);
  if (thread < 0) KeptTable::DropUser();
  return thread;
}

}  // namespace kevent::core

#endif  // KEVENT_CORE_DESCRIPTORS_KEPT_TABLE_H_
