// SPDX-License-Identifier: MIT
//
// The engine's state in this process: the queues by number, the timers, and
// what becomes of them when the process forks.

#ifndef KEVENT_CORE_PROCESS_H_
#define KEVENT_CORE_PROCESS_H_

#include <atomic>
#include <cstdint>

#include "core/aio_engine.h"
#include "core/alarm_thread.h"
#include "core/lookups.h"
#include "core/queue.h"
#include "core/slot_table.h"

namespace kevent::core {

class Process {
 public:
  // Maps the state and registers the fork handler, once; in a child that no
  // handler has prepared, prepares it.  0 or an errno.
  static int Start();

  // True if the calling thread owns the state it sees, and the descriptors that are
  // registered.  False in a child of vfork, which runs in its parent's memory and
  // must change nothing there, and in a thread that has left the process's table of
  // descriptors.  In a child of fork that no handler has prepared (_Fork, clone),
  // prepares it.  Async-signal-safe.
  static bool Owns();
  static bool Owns(uint32_t queue);  // the descriptors of this queue
  // Prepares a child of fork that no handler has prepared, and does nothing elsewhere.  A
  // thread calls this before it waits for others' calls to end: such a child has the counts
  // of its parent's, which never end there.  Async-signal-safe.
  static void PrepareIfForked();
  // The calling thread has a table of descriptors of its own from here on, if others
  // used the one that it had (unshare).  Where no lock of a queue tells (CallersTable),
  // it owns nothing.
  static void AskedForTable();

  // The process that the state belongs to; another one in a child of fork, once
  // it was prepared, and until then 0.  Makes no system call.
  static int id();

  // The process that has prepared the state last: in a child of fork that was not
  // prepared, the parent; 0 where there is no state.
  static int owner();

  // The queue with this number; requires that it was opened once.
  static Queue& QueueAt(uint32_t number);
  // The same, or nullptr from the first number on that was never opened.
  static Queue* FindQueue(uint32_t number);

  // Whether the descriptor is this queue's, whatever is registered for it: one
  // that was closed by a system call that we don't see, or by another thread
  // meanwhile, may be a stranger's.
  static bool IsNameOf(int fd, uint32_t queue);

  // Opens an unused queue under its internal numbers: 0 or an errno.
  static int OpenQueue(Queue** queue);

  // A queue was closed that has kevents, whose timers are the process's.
  // Async-signal-safe.
  static void HasUncleared();
  // Takes back what closed queues have.  The lock of a queue that is open may be held.
  static void ClearClosed();

  static SlotTable& slots();
  static AioEngine& aio();
  static Lookups& lookups();
  static AlarmThread& alarm_thread();

 private:
  static void PrepareChildOfFork();
  static void PrepareChild(bool of_fork);
  static void ClearClosedLocked();
  static bool SharesTableWithParent();
  static void DropWhatIsNotOurs();
  static void InheritNames(int fd);
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_PROCESS_H_
