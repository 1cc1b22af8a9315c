// SPDX-License-Identifier: MIT
//
// Which library does the operations of a descriptor: libkevent's engine, or the C library.
//
// Operations of one descriptor that are in flight are all on one side, so that aio_fsync comes
// after all of them and writes that meet keep their order.  A descriptor is its number, as in both
// libraries.

#ifndef KEVENT_ADAPTERS_AIO_SIDES_H_
#define KEVENT_ADAPTERS_AIO_SIDES_H_

#include <cstdint>

namespace kevent::aio_adapter {

enum class Side : uint8_t { kEngine, kLibrary };

constexpr Side Other(Side side) { return side == Side::kEngine ? Side::kLibrary : Side::kEngine; }

// The side that suits the file: the engine for what is only read, for O_DIRECT, and for a number
// that is not open, whose operations fail at once.  Writes to the page cache are faster by the C
// library, and so all other descriptors are its own.
Side Suitable(int fd);

// Enters a call that begins an operation of the descriptor on this side; false if others are in
// flight, or are just beginning, on the other side.  A call that has entered leaves.
//
// May wait for a millisecond, to find out whether the C library has operations of the descriptor.
bool Enter(int fd, Side side);
void Leave(int fd, Side side);

// Enters on the suitable side or, where that cannot be, on the other one.
Side EnterAny(int fd);

// Goes over to the C library; false if other operations are in flight in the engine.
bool GoOver(int fd);

}  // namespace kevent::aio_adapter

#endif  // KEVENT_ADAPTERS_AIO_SIDES_H_
