// SPDX-License-Identifier: MIT
//
// The process whose state and descriptors the calling thread sees.  Every room asks for it; the
// answers are those of core/process/process.cc.

#ifndef KEVENT_CORE_DESCRIPTORS_PROCESS_STATE_H_
#define KEVENT_CORE_DESCRIPTORS_PROCESS_STATE_H_

#include <absl/base/optimization.h>

#include <atomic>
#include <cstdint>

namespace kevent::core {

class Process {
 public:
  // True if the calling thread owns the state it sees, and the descriptors that are
  // registered.  False in a child of vfork, which runs in its parent's memory and
  // must change nothing there, and in a thread that has left the process's table of
  // descriptors.  In a child of fork that no handler has prepared (_Fork, clone),
  // prepares it.  Async-signal-safe.
  static bool Owns();
  static bool Owns(uint32_t queue);  // the descriptors of this queue
  // True once any thread has asked for a table of its own.
  static bool any_asked_for_table() { return any_asked_for_table_.load(std::memory_order_seq_cst); }
  // True unless the calling thread's table of descriptors is another than that of the process's
  // queues and of the library's threads, because the thread has left that table or was made by a
  // thread that has.  Takes one load as long as no thread has asked for a table, and then a
  // question to the kernel for each thread, until the answer is known.  That load comes after the
  // caller has counted itself as a user, for all threads (TakesTable).  Async-signal-safe.
  static bool SharesTable() {
    return ABSL_PREDICT_TRUE(!any_asked_for_table_.load(std::memory_order_seq_cst)) ||
           SharesTableNow();
  }
  // Called under the lock of the queues by a thread that is about to make one.  False if the
  // process has a table that is not the thread's; otherwise the thread's table is the process's
  // from here on, as long as there is a queue or a thread of the library.
  static bool TakesTable();
  // Prepares a child of fork that no handler has prepared, and does nothing elsewhere.  A thread
  // calls this before it waits for other threads' calls to end: such a child has the counts of its
  // parent's calls, which never end there.  Async-signal-safe.
  static void PrepareIfForked();
  // Called when the calling thread has asked for a table of descriptors of its own (unshare), which
  // it has from then on if other threads used its table.  Where no lock tells
  // (core/descriptors/kept_table.h), it owns nothing but what it makes.
  static void AskedForTable();

  // The process that the state belongs to; in a child of fork 0 until the child is prepared, and
  // the child's afterwards.  Makes no system call.
  static int id();

  // The process that has prepared the state last: in a child of fork that was not prepared, the
  // parent; 0 if there is no state.
  static int owner();

  // Maps the state and registers the fork handler, once; in a child that no handler has prepared,
  // prepares it.  Returns 0 or an errno.
  static int Start();

 private:
  static std::atomic<bool> any_asked_for_table_;
  static bool SharesTableNow();
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_DESCRIPTORS_PROCESS_STATE_H_
