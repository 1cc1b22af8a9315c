// SPDX-License-Identifier: MIT
//
// The seam on Linux: threads of the library's own, and the alarms of CPU time.

#include <linux/kcmp.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/base/timespec.h"
#include "core/system/kernel_signals.h"
#include "core/system/system.h"
#include "core/system/system_call.h"
#include "core/system/thread_name.h"

namespace kevent::sys {

using core::ToTimespec;

// ---- Processes and threads ------------------------------------------------

// The C library stores the id that it has for a thread as the owner of what the thread locks.
bool ThreadIdIsKnown() {
  pthread_mutex_t probe = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&probe);
  const int owner = probe.__data.__owner;
  pthread_mutex_unlock(&probe);
  return owner == ThreadId();
}

int ThreadPriority() {
  const ErrnoKept kept;
  int policy;
  sched_param parameters = {};
  pthread_getschedparam(pthread_self(), &policy, &parameters);
  return parameters.sched_priority;
}

int ProcessId() { return CallInt(SYS_getpid); }

int ThreadId() { return CallInt(SYS_gettid); }

bool HasAnotherTableThan(int thread) {
  // If the thread has ended, another process may have its id.
  return CallInt(SYS_tgkill, ProcessId(), thread, 0) == 0 &&
         CallInt(SYS_kcmp, ThreadId(), thread, KCMP_FILES, 0, 0) > 0;
}

bool ProcessExists(int id) { return CallInt(SYS_kill, id, 0) != -ESRCH; }

int AtForkInChild(void (*handler)()) {
  const ErrnoKept kept;
  return -pthread_atfork(nullptr, nullptr, handler);
}

// ---- The place of the library's own threads ---------------------------------

namespace {

constexpr SignalSet Bit(int signal) { return SignalSet{1} << (signal - 1); }

// A set of CPUs in the kernel's layout, large enough for any kernel's.
struct Cpus {
  int bytes;  // the size of the kernel's sets, or 0
  unsigned char mask[1024];
};

void GetCpus(int thread, Cpus* cpus) {
  const int bytes = CallInt(SYS_sched_getaffinity, thread, sizeof cpus->mask, cpus->mask);
  cpus->bytes = bytes < 0 ? 0 : bytes;
}

// The CPUs of the thread that loaded the library: the process was given these to run on.
constinit Cpus g_cpus = {};

__attribute__((constructor)) void NoteCpus() { GetCpus(0, &g_cpus); }

constinit char g_name_of_tellers_maker[kThreadName] = {};

// Gives the thread its name and the process's CPUs.  The thread that happens to make the first
// timer of a kind may be pinned to other CPUs, and that is no reason to run this one there.
// Nothing is set that is set already: sandboxes forbid these calls.
void TakePlace(const char* name) {
  if (std::strcmp(name, kTellingThread) == 0) Call(SYS_prctl, PR_GET_NAME, g_name_of_tellers_maker);
  Call(SYS_prctl, PR_SET_NAME, name);
  Cpus cpus;
  GetCpus(0, &cpus);
  if (g_cpus.bytes != 0 &&
      (cpus.bytes != g_cpus.bytes || std::memcmp(cpus.mask, g_cpus.mask, g_cpus.bytes) != 0)) {
    Call(SYS_sched_setaffinity, 0, g_cpus.bytes, g_cpus.mask);
  }
}

void TakePolicy(int policy) {
  if (policy != SCHED_OTHER) {
    const sched_param none = {};
    Call(SYS_sched_setscheduler, 0, SCHED_OTHER, &none);
  }
  // The system call answers 40 down to 1.
  constexpr int kZero = 20;
  const int process = CallInt(SYS_getpriority, PRIO_PROCESS, ProcessId());
  if (process > 0 && process != CallInt(SYS_getpriority, PRIO_PROCESS, 0)) {
    Call(SYS_setpriority, PRIO_PROCESS, 0, kZero - process);
  }
}

struct Start {
  void (*body)(void*);
  void* argument;
  const char* name;
  std::atomic<uint32_t> thread;
};

void* RunThread(void* start_argument) {
  auto* start = static_cast<Start*>(start_argument);
  const SignalSet all_but_setxid = ~Bit(kSetxidSignal);
  Call(SYS_rt_sigprocmask, SIG_SETMASK, &all_but_setxid, nullptr, sizeof(SignalSet));
  TakePlace(start->name);
  // If this thread has a real-time policy, which it has from its maker, then the maker waits for
  // it: it keeps that policy until the maker goes on.
  const int policy = CallInt(SYS_sched_getscheduler, 0);
  const bool real_time = policy == SCHED_FIFO || policy == SCHED_RR;
  if (!real_time) TakePolicy(policy);
  const auto body = start->body;
  void* const argument = start->argument;
  start->thread.store(static_cast<uint32_t>(CallInt(SYS_gettid)), std::memory_order_release);
  FutexWake(&start->thread);  // may be gone by now, and wakes no thread then
  if (real_time) TakePolicy(policy);
  body(argument);
  return nullptr;
}

// The stack of a thread of the library's own: several times the need of the library's functions,
// the C library's that they call, and the kernel's signal frame.
constexpr size_t kStack = size_t{256} << 10;

int Create(const pthread_attr_t& attributes, Start* start) {
  pthread_t thread;
  return pthread_create(&thread, &attributes, &RunThread, start);
}

}  // namespace

const char* MakersName() {
  char own[kThreadName];
  Call(SYS_prctl, PR_GET_NAME, own);
  return std::strcmp(own, kTellingThread) == 0 ? g_name_of_tellers_maker : "";
}

int StartThread(void (*body)(void*), void* argument, const char* name) {
  const ErrnoKept kept;
  Start start = {body, argument, name, {0}};
  pthread_attr_t attributes;
  if (const int error = pthread_attr_init(&attributes); error != 0) return -error;
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  size_t usual = kStack;
  pthread_attr_getstacksize(&attributes, &usual);
  pthread_attr_setstacksize(&attributes, kStack);
  // Signals are blocked before the thread begins: no handler of the program ever runs in it.
  const SignalSet before = BlockAllSignals();
  int error = Create(attributes, &start);
  if (error == EINVAL) {
    // The stack has no room for the program's thread-local storage, which the C library puts there
    // as well.
    pthread_attr_setstacksize(&attributes, usual);
    error = Create(attributes, &start);
  }
  if (error == 0) {
    while (start.thread.load(std::memory_order_acquire) == 0) {
      FutexWait(&start.thread, 0, nullptr);
    }
  }
  RestoreSignals(before);
  pthread_attr_destroy(&attributes);
  return error != 0 ? -error : static_cast<int>(start.thread.load(std::memory_order_relaxed));
}

// ---- CPU-time alarms ------------------------------------------------------

int CreateAlarm(clockid_t clock, int tid, int value, int* alarm) {
  KernelSigevent event = {};
  event.notify = SIGEV_SIGNAL | SIGEV_THREAD_ID;
  event.signal = kReservedSignal;
  event.value.sival_int = value;
  event.thread = tid;
  return CallInt(SYS_timer_create, clock, &event, alarm);
}

int ArmAlarm(int alarm, uint64_t moment) {
  const itimerspec setting = {{0, 0}, ToTimespec(moment)};
  return CallInt(SYS_timer_settime, alarm, TIMER_ABSTIME, &setting, nullptr);
}

void DeleteAlarm(int alarm) { Call(SYS_timer_delete, alarm); }

int WaitForAlarm(int* value, const timespec* timeout) {
  const SignalSet reserved = Bit(kReservedSignal);
  for (;;) {
    siginfo_t info;
    const int result = CallInt(SYS_rt_sigtimedwait, &reserved, &info, timeout, sizeof(SignalSet));
    if (result == kReservedSignal && info.si_code == SI_TIMER) {
      *value = info.si_value.sival_int;
      return 0;
    }
    if (result < 0 && result != -EINTR) return result;
  }
}

}  // namespace kevent::sys
