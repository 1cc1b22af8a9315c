// SPDX-License-Identifier: MIT
//
// The two lines of operations that the record of a socket has, one for each direction.

#ifndef KEVENT_CORE_SOURCES_TRANSFER_LINE_H_
#define KEVENT_CORE_SOURCES_TRANSFER_LINE_H_

#include <atomic>
#include <cstdint>

#include "core/kevents/kevent_table.h"
#include "core/operations/operation.h"
#include "core/system/system.h"

namespace kevent::core {

// The first of a socket's operations in each direction, plus one: the halves of record.handle.
enum Direction : unsigned { kIn = 0, kOut = 32 };

inline Direction DirectionOf(const Operation& operation) {
  return operation.transfer.kind == sys::Transfer::Kind::kRead ? kIn : kOut;
}

inline uint32_t First(const Kevent& record, Direction line) {
  return static_cast<uint32_t>(record.handle >> line);
}

inline void SetFirst(Kevent& record, Direction line, uint32_t link) {
  record.handle = (record.handle & ~(uint64_t{UINT32_MAX} << line)) | uint64_t{link} << line;
}

inline void Append(Kevent& record, uint32_t number) {
  const Direction line = DirectionOf(Operations::At(number));
  const uint32_t first = First(record, line);
  Operations::At(number).next.store(0, std::memory_order_relaxed);
  if (first == 0) {
    SetFirst(record, line, number + 1);
    Operations::At(number).last = number + 1;
    return;
  }
  uint32_t& last = Operations::At(first - 1).last;
  Operations::At(last - 1).next.store(number + 1, std::memory_order_relaxed);
  last = number + 1;
}

// Takes an operation out, which comes after `before`, or first if that is 0.
inline void TakeOut(Kevent& record, Direction line, uint32_t before, uint32_t link) {
  const uint32_t next = Operations::At(link - 1).next.load(std::memory_order_relaxed);
  if (before != 0) {
    Operations::At(before - 1).next.store(next, std::memory_order_relaxed);
    uint32_t& last = Operations::At(First(record, line) - 1).last;
    if (last == link) last = before;
    return;
  }
  if (next != 0) Operations::At(next - 1).last = Operations::At(link - 1).last;
  SetFirst(record, line, next);
}

}  // namespace kevent::core

#endif  // KEVENT_CORE_SOURCES_TRANSFER_LINE_H_
