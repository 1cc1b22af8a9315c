// SPDX-License-Identifier: MIT
//
// What the C library's new thread for a SIGEV_THREAD callback is like, and how a thread that is
// used again is made like it.

#ifndef KEVENT_ADAPTERS_THREADS_FRESH_H_
#define KEVENT_ADAPTERS_THREADS_FRESH_H_

#include <sched.h>
#include <signal.h>

#include <cstdint>

namespace kevent::threads {

// The floating-point environment (fenv.h), without libm.
struct FloatingPoint {
  unsigned char bytes[32];

  void Save();
  void Restore() const;
};

// What a new thread inherits from its maker, and a callback can change cheaply.
struct Inherited {
  char name[16];
  FloatingPoint floating_point;

  // Of the calling thread.
  void Save();
};

// What a new thread has that cannot be put back by a thread that has changed it, or not cheaply:
// such a thread is not used again.
class Traits {
 public:
  // Of the calling thread.
  void Save();
  bool AreStillTheThreads() const;

 private:
  uint64_t thread_specific_data_;  // a sum over all keys; another one when a value is another one
  int signal_stack_;               // sigaltstack: flags
  uint32_t policy_;
  int nice_;
  uint32_t priority_;
  cpu_set_t cpus_;
};

// The C library makes a timer's callbacks with all signals blocked and all others with none.
enum class Signals : uint8_t { kBlocked, kOpen };

// Makes the calling thread as a new one is: cancellation enabled and deferred, errno 0, the global
// locale, the inherited name and floating-point environment, the signal mask.
void MakeFresh(const Inherited& inherited, Signals signals);

// For the time between callbacks: no signal handler runs in the thread, and it cannot be cancelled.
void BlockSignals(sigset_t* before = nullptr);
void BlockCancellation();
// Acts on a request to cancel that the callback has left behind, which is not for the next one.
void ActOnCancellation();

void SetName(const char* name);

}  // namespace kevent::threads

#endif  // KEVENT_ADAPTERS_THREADS_FRESH_H_
