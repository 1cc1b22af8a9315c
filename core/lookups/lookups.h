// SPDX-License-Identifier: MIT
//
// getaddrinfo_a.  The look-ups are the C library's, asked for without a
// notification; threads of ours wait for their end.  Its own way of telling is
// no way for us: a thread that begins with all signals unblocked, and so takes a
// signal that every thread of the program has blocked.

#ifndef KEVENT_CORE_LOOKUPS_LOOKUPS_H_
#define KEVENT_CORE_LOOKUPS_LOOKUPS_H_

#include <netdb.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "core/base/lock.h"
#include "core/operations/operation.h"

namespace kevent::core {

// Zeroed memory but for Init.  Its lock is only held with signals blocked.
//
// A thread waits for one list: gai_suspend takes none in addition.  The C library
// looks up 20 names at a time, in the order in which it was asked; so a list that
// is done has a thread if 20 have one, but for a list that was cancelled.
class Lookups {
 public:
  void Init();

  // A thread will be there for one list more: 0 or EAGAIN.
  int Reserve();
  // There is none.
  void Unreserve();
  // It is this one, and has begun.
  void Await(uint32_t number);

  // The program asks the C library anew with these requests, which have ended: returns
  // when no thread looks at one of them as of an earlier list.  Such a thread may be about
  // to ask by gai_cancel if the C library is through with it, and would cancel what the
  // program asks for now.
  static void AwaitLetGo(gaicb* const list[], int count);

  // The list of requests that the record of a look-up has.
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
  uint32_t in_flight_ ABSL_GUARDED_BY(lock_);  // lists, those reserved for included
  uint32_t first_ ABSL_GUARDED_BY(lock_);      // plus one; that nobody waits for
  uint32_t last_ ABSL_GUARDED_BY(lock_);
  std::atomic<uint32_t> bell_;  // counts what the threads have to look at

  // The request that each thread looks at.  Known to calls that come before any look-up
  // of a queue; a child of fork, which has none of the threads, clears it by Init.
  static constinit std::atomic<const gaicb*> looked_at_[kMaxThreads];
};

// The process's.
Lookups& NameLookups();

}  // namespace kevent::core

#endif  // KEVENT_CORE_LOOKUPS_LOOKUPS_H_
