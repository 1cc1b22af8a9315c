// SPDX-License-Identifier: MIT
//
// getaddrinfo_a.  The look-ups are the C library's, asked for without a notification; threads of
// the engine wait for their end.  The C library's SIGEV_THREAD is of no use here: its thread begins
// with all signals unblocked, and so takes a signal that every thread of the program has blocked.

#ifndef KEVENT_CORE_LOOKUPS_LOOKUPS_H_
#define KEVENT_CORE_LOOKUPS_LOOKUPS_H_

#include <netdb.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "core/base/lock.h"
#include "core/operations/operation.h"

namespace kevent::core {

// Zeroed memory, ready for Init.  Its lock is only held with signals blocked.
//
// Each thread waits for one list, as gai_suspend cannot take another list while it waits.  The C
// library looks up 20 names at a time, in the order of the calls; so 20 threads are enough to wait
// for every list that is done, except one that was cancelled.
class Lookups {
 public:
  void Init();

  // Makes sure of a thread for one more list: 0 or EAGAIN.
  int Reserve();
  // Gives a reserved thread back, as its list did not begin.
  void Unreserve();
  // Gives the reserved thread this list, which has begun.
  void Await(uint32_t number);

  // Called before the program asks the C library anew with these requests, which have ended:
  // returns when no thread looks at one of them for an earlier list.  Such a thread may be about to
  // ask by gai_cancel if the C library is through with the request, and would cancel the new
  // look-up.
  static void AwaitLetGo(gaicb* const list[], int count);

  // The size of the list of requests that the record of a look-up holds.
  static size_t BytesOf(const Operation& lookup);
  static void FreeList(const Operation& lookup);

 private:
  static constexpr uint32_t kMaxThreads = 20;

  class LookedAt;
  static bool IsLookedAt(const gaicb* request);
  bool Next(uint32_t* number);
  void Run();

  Lock lock_;
  uint32_t threads_ ABSL_GUARDED_BY(lock_);
  uint32_t in_flight_ ABSL_GUARDED_BY(lock_);  // lists, including reserved ones
  uint32_t first_ ABSL_GUARDED_BY(lock_);  // number plus one; of the lists that no thread waits for
  uint32_t last_ ABSL_GUARDED_BY(lock_);
  std::atomic<uint32_t> bell_;  // counts the changes that the threads have to look at

  // The request that each thread looks at.  Static, since calls that come before any look-up of a
  // queue read it; a child of fork, which has none of the threads, clears it by Init.
  static constinit std::atomic<const gaicb*> looked_at_[kMaxThreads];
};

// The process's look-ups.
Lookups& NameLookups();

}  // namespace kevent::core

#endif  // KEVENT_CORE_LOOKUPS_LOOKUPS_H_
