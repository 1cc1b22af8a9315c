// SPDX-License-Identifier: MIT
//
// Who calls: the object and the function of an address.

#ifndef KEVENT_ADAPTERS_OBSERVE_CALLERS_H_
#define KEVENT_ADAPTERS_OBSERVE_CALLERS_H_

#include <cstdint>

namespace kevent::observe {

// As much as the loader knows, cut if it is longer.
struct Place {
  char object[160];    // the path of the file
  char function[96];   // empty: the object exports none there
  uint64_t in_object;  // offset of the address in the object
  uint64_t in_function;
};

// Not async-signal-safe.
void FindPlace(const void* address, Place* place);

// Whether an adapter of libkevent calls, for a call that the program has made already.
// Async-signal-safe after the constructors have run.
bool IsAdapter(const void* address);

}  // namespace kevent::observe

#endif  // KEVENT_ADAPTERS_OBSERVE_CALLERS_H_
