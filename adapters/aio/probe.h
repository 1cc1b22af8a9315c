// SPDX-License-Identifier: MIT
//
// Whether the C library has operations of a descriptor in flight, which it does not say.

#ifndef KEVENT_ADAPTERS_AIO_PROBE_H_
#define KEVENT_ADAPTERS_AIO_PROBE_H_

namespace kevent::aio_adapter {

// True if the C library may have some.  The answer counts for those that were asked for before the
// call.  Waits for it for a millisecond, and not again until all that were in flight then have
// ended.
bool IsBusyInLibrary(int fd);

}  // namespace kevent::aio_adapter

#endif  // KEVENT_ADAPTERS_AIO_PROBE_H_
