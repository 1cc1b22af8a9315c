// SPDX-License-Identifier: MIT

#include "adapters/threads/fresh.h"

#include <limits.h>
#include <locale.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace kevent::threads {

// ---- Floating point --------------------------------------------------------

#if defined(__x86_64__)

// Of bytes the first 28 are the x87 unit's; fnstenv masks its exceptions.
void FloatingPoint::Save() {
  uint32_t vector;
  __asm__ volatile("fnstenv %0\n\tfldenv %0\n\tstmxcsr %1" : "=m"(bytes), "=m"(vector));
  std::memcpy(bytes + 28, &vector, sizeof vector);
}

void FloatingPoint::Restore() const {
  uint32_t vector;
  std::memcpy(&vector, bytes + 28, sizeof vector);
  __asm__ volatile("fldenv %0\n\tldmxcsr %1" : : "m"(bytes), "m"(vector));
}

#elif defined(__aarch64__)

void FloatingPoint::Save() {
  uint64_t registers[2];
  __asm__ volatile("mrs %0, fpcr\n\tmrs %1, fpsr" : "=r"(registers[0]), "=r"(registers[1]));
  std::memcpy(bytes, registers, sizeof registers);
}

void FloatingPoint::Restore() const {
  uint64_t registers[2];
  std::memcpy(registers, bytes, sizeof registers);
  __asm__ volatile("msr fpcr, %0\n\tmsr fpsr, %1" : : "r"(registers[0]), "r"(registers[1]));
}

#else
#error "FloatingPoint is written for x86-64 and aarch64"
#endif

void Inherited::Save() {
  prctl(PR_GET_NAME, name);
  floating_point.Save();
}

// ---- What is compared ------------------------------------------------------

namespace {

// There is no way to ask which keys have a value but one by one, and those of glibc are few.
uint64_t SumOfSpecificData() {
  uint64_t sum = 0;
  for (unsigned key = 0; key < PTHREAD_KEYS_MAX; ++key) {
    const void* const value = pthread_getspecific(key);
    if (value != nullptr) sum += (2 * uint64_t{key} + 1) * reinterpret_cast<uintptr_t>(value);
  }
  return sum;
}

// As the kernel has it (sched_setattr(2)); the C library knows no such call before 2.41.
struct SchedulingAttributes {
  uint32_t size;
  uint32_t policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime;
  uint64_t deadline;
  uint64_t period;
};

}  // namespace

void Traits::Save() {
  thread_specific_data_ = SumOfSpecificData();
  stack_t stack = {};
  sigaltstack(nullptr, &stack);
  signal_stack_ = stack.ss_flags;
  SchedulingAttributes attributes = {};
  syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0);
  policy_ = attributes.policy;
  nice_ = attributes.nice;
  priority_ = attributes.priority;
  CPU_ZERO(&cpus_);
  sched_getaffinity(0, sizeof cpus_, &cpus_);
}

bool Traits::AreStillTheThreads() const {
  Traits now;
  now.Save();
  return thread_specific_data_ == now.thread_specific_data_ && signal_stack_ == now.signal_stack_ &&
         policy_ == now.policy_ && nice_ == now.nice_ && priority_ == now.priority_ &&
         CPU_EQUAL(&cpus_, &now.cpus_) != 0;
}

// ---- What is put back ------------------------------------------------------

void BlockSignals(sigset_t* before) {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, before);
}

void BlockCancellation() {
  pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, nullptr);
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, nullptr);
}

void ActOnCancellation() {
  pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, nullptr);
  pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, nullptr);
  pthread_testcancel();
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, nullptr);
}

void SetName(const char* name) { prctl(PR_SET_NAME, name); }

void MakeFresh(const Inherited& inherited, Signals signals) {
  SetName(inherited.name);
  uselocale(LC_GLOBAL_LOCALE);
  inherited.floating_point.Restore();
  pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, nullptr);
  if (signals == Signals::kOpen) {
    sigset_t none;
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, nullptr);
  }
  errno = 0;
}

}  // namespace kevent::threads
