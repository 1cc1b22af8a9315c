// SPDX-License-Identifier: MIT

#include "adapters/threads/attributes.h"

#include <sched.h>
#include <signal.h>

#include <algorithm>
#include <cstdint>

namespace kevent::threads {
namespace {

// The C library says of a stack that is not set that it ends at address 0.
bool HasStack(const pthread_attr_t& attributes) {
  void* lowest = nullptr;
  size_t bytes = 0;
  return pthread_attr_getstack(&attributes, &lowest, &bytes) != 0 ||
         reinterpret_cast<uintptr_t>(lowest) + bytes != 0;
}

bool HasScheduling(const pthread_attr_t& attributes) {
  int inherits = 0;
  return pthread_attr_getinheritsched(&attributes, &inherits) != 0 ||
         inherits != PTHREAD_INHERIT_SCHED;
}

// The C library says of CPUs that are not set that they are all that the set has room for, and of
// those that are set that none comes after them.
bool HasCpus(const pthread_attr_t& attributes) {
  cpu_set_t sets[2];
  if (pthread_attr_getaffinity_np(&attributes, sizeof sets, sets) != 0) return true;
  const auto* const bytes = reinterpret_cast<const unsigned char*>(sets);
  return std::any_of(bytes, bytes + sizeof sets, [](unsigned char byte) { return byte != 0xff; });
}

bool HasSignalMask(const pthread_attr_t& attributes) {
  sigset_t mask;
  return pthread_attr_getsigmask_np(&attributes, &mask) != PTHREAD_ATTR_NO_SIGMASK_NP;
}

bool CanShareGiven(const pthread_attr_t& given, Attributes* attributes) {
  if (HasStack(given) || HasScheduling(given) || HasCpus(given) || HasSignalMask(given)) {
    return false;
  }
  return pthread_attr_getstacksize(&given, &attributes->stack) == 0 &&
         pthread_attr_getguardsize(&given, &attributes->guard) == 0;
}

}  // namespace

bool CanShare(const pthread_attr_t* given, Attributes* attributes) {
  if (given != nullptr) return CanShareGiven(*given, attributes);
  pthread_attr_t usual;
  if (pthread_attr_init(&usual) != 0) return false;
  const bool can_share = CanShareGiven(usual, attributes);
  pthread_attr_destroy(&usual);
  return can_share;
}

}  // namespace kevent::threads
