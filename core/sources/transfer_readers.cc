// SPDX-License-Identifier: MIT
//
// A file whose pages are not in memory is read ahead for the transfer that sends it, by a reader:
// an operation of the engine of asynchronous I/O, which ends in a list that the next harvest takes.

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>

#include "core/kevents/event_set.h"
#include "core/operations/operation.h"
#include "core/sources/transfer_ends.h"
#include "core/sources/transfer_line.h"
#include "core/transfers/advancing.h"
#include "core/transfers/transfers.h"

namespace kevent::core {

// Has the engine read the file ahead, when the lock was given up.
void EventSet::ReadAhead(uint32_t number) {
  Operation& operation = Operations::At(number);
  const int64_t place = PlaceOf(operation);
  const size_t left = operation.transfer.bytes - operation.moved;
  Operation& reader = Operations::At(operation.reader - 1);
  reader.transfer = {sys::Transfer::Kind::kReadAhead, operation.source, nullptr,
                     std::min(left, kAhead), place};
  reader.queue = operation.queue;
  reader.incarnation = operation.incarnation;
  reader.id = number;
  operation.reads_ahead = true;
  uint32_t first = transfers_.to_read_.load(std::memory_order_relaxed);
  do {
    reader.line_after = first;
  } while (!transfers_.to_read_.compare_exchange_weak(first, operation.reader,
                                                      std::memory_order_acq_rel));
}

// A file that cannot be read, or that no thread can be had for, ends its transfer.
void EventSet::TakeReader(uint32_t number) {
  const Operation& reader = Operations::At(number);
  const auto reads_for = static_cast<uint32_t>(reader.id);
  Operation& operation = Operations::At(reads_for);
  operation.reads_ahead = false;
  const uint32_t socket = operation.socket;
  const bool is_given_up = operation.given_up || socket == 0;
  if (is_given_up || reader.data[1] != 0) {
    if (socket != 0) TakeOut(At(socket - 1), kOut, 0, reads_for + 1);
    EndWith(operation, is_given_up ? -ECANCELED : -static_cast<int64_t>(reader.data[1]));
    End(*this, reads_for);
  }
  if (socket != 0) RunTransfers(socket - 1, false, true);
}

void EventSet::TakeReaders() {
  uint32_t link = transfers_.resumed_.exchange(0, std::memory_order_seq_cst);
  while (link != 0) {
    const uint32_t number = link - 1;
    link = Operations::At(number).next.load(std::memory_order_relaxed);
    TakeReader(number);
  }
}

// The queue was closed, and with it what readers have ended for, or have not begun for.
void EventSet::ForgetReaders() {
  for (uint32_t link = TakeReadsAhead(); link != 0;) {
    const uint32_t reader = link - 1;
    link = Operations::At(reader).line_after;
    Transfers::LetGo(static_cast<uint32_t>(Operations::At(reader).id));
  }
  for (uint32_t link = transfers_.resumed_.exchange(0, std::memory_order_seq_cst); link != 0;) {
    const uint32_t reader = link - 1;
    link = Operations::At(reader).next.load(std::memory_order_relaxed);
    Transfers::LetGo(static_cast<uint32_t>(Operations::At(reader).id));
  }
}

}  // namespace kevent::core
