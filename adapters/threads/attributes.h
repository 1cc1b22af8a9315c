// SPDX-License-Identifier: MIT

#ifndef KEVENT_ADAPTERS_THREADS_ATTRIBUTES_H_
#define KEVENT_ADAPTERS_THREADS_ATTRIBUTES_H_

#include <pthread.h>

#include <cstddef>

namespace kevent::threads {

// What the threads of a pool have in common, in bytes.  The detach state makes no difference: no
// program ever learns the id of such a thread in time to join it.
struct Attributes {
  size_t stack;
  size_t guard;

  bool operator==(const Attributes&) const = default;
};

// False if the attributes ask for what one thread alone can have, or for what the threads of a
// pool would have to be made for: a stack of the program's own, scheduling, CPUs, a signal mask.
// `given` may be null, as in a struct sigevent: then they are those of pthread_create.
bool CanShare(const pthread_attr_t* given, Attributes* attributes);

}  // namespace kevent::threads

#endif  // KEVENT_ADAPTERS_THREADS_ATTRIBUTES_H_
