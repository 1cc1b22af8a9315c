// SPDX-License-Identifier: MIT
//
// A transfer on a socket moves the bytes that it can move without waiting.  Requires the lock of
// the transfer's queue.

#ifndef KEVENT_CORE_TRANSFERS_ADVANCING_H_
#define KEVENT_CORE_TRANSFERS_ADVANCING_H_

#include <cstddef>
#include <cstdint>

#include "core/operations/operation.h"
#include "core/system/system.h"
#include "core/transfers/transfers.h"

namespace kevent::core {

// The bytes that one socket may move in one direction before others have their turn.
constexpr size_t kTurn = sys::Transfer::kMostAtOnce;

// The bytes of a file that are read ahead at a time.
constexpr size_t kAhead = sys::Transfer::kMostAtOnce;

// kReads: the file's pages are to be read first.  kMoved: some bytes were moved, and others are
// missing.
enum class Advanced { kEnded, kWaits, kReads, kMoved };

// The place in the file of the next byte that is sent.
inline int64_t PlaceOf(const Operation& operation) {
  return operation.transfer.offset + static_cast<int64_t>(operation.moved);
}

// Notes the end, with an errno as a negative number.
inline Advanced EndWith(Operation& operation, int64_t error) {
  operation.data[1] = static_cast<uint32_t>(-error);
  return Advanced::kEnded;
}

// Moves up to *turn bytes, and takes them off *turn: never kMoved.
Advanced Advance(Transfers& transfers, Operation& operation, size_t* turn);

}  // namespace kevent::core

#endif  // KEVENT_CORE_TRANSFERS_ADVANCING_H_
