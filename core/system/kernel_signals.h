// SPDX-License-Identifier: MIT
//
// Signals and their sigevent in the kernel's interface, which are missing in the C library's
// headers.

#ifndef KEVENT_CORE_SYSTEM_KERNEL_SIGNALS_H_
#define KEVENT_CORE_SYSTEM_KERNEL_SIGNALS_H_

#include <signal.h>

namespace kevent::sys {

// The signal that the C library reserves for cancellation and for its
// SIGEV_THREAD helper (glibc: SIGCANCEL, SIGTIMER): no program can name it.
inline constexpr int kReservedSignal = 32;
// The signal by which setuid and its family reach every thread (SIGSETXID).
inline constexpr int kSetxidSignal = 33;

// struct sigevent as the kernel reads it.
struct KernelSigevent {
  sigval value;
  int signal;
  int notify;
  int thread;
  char padding[64 - sizeof(sigval) - 3 * sizeof(int)];
};
static_assert(sizeof(KernelSigevent) == 64);

}  // namespace kevent::sys

#endif  // KEVENT_CORE_SYSTEM_KERNEL_SIGNALS_H_
