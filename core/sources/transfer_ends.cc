// SPDX-License-Identifier: MIT

#include "core/sources/transfer_ends.h"

#include <atomic>
#include <cerrno>
#include <cstddef>

#include "core/operations/completions.h"
#include "core/operations/operation.h"
#include "core/transfers/advancing.h"

namespace kevent::core {

void GiveBack(EventSet& set, uint32_t number) {
  Operation& operation = Operations::At(number);
  if (operation.source_is_ours) set.Abandon(operation.source);
  operation.source = -1;
  operation.source_is_ours = false;
  if (operation.reader != 0) Operations::Free(operation.reader - 1);
  operation.reader = 0;
}

void End(EventSet& set, uint32_t number) {
  Operation& operation = Operations::At(number);
  GiveBack(set, number);
  operation.data[0] = static_cast<uint32_t>(operation.moved);
  set.completions().Post(number);
}

EventSet::Cancelled CancelLine(EventSet& set, Kevent& record, Direction line,
                               const uint64_t* cookie) {
  EventSet::Cancelled cancelled = {};
  uint32_t before = 0;
  for (uint32_t link = First(record, line); link != 0;) {
    Operation& operation = Operations::At(link - 1);
    const uint32_t next = operation.next.load(std::memory_order_relaxed);
    if (cookie != nullptr && operation.cookie != *cookie) {
      before = link;
    } else if (operation.reads_ahead) {
      operation.given_up = cancelled.any_later = true;
      before = link;
    } else {
      TakeOut(record, line, before, link);
      EndWith(operation, -ECANCELED);
      End(set, link - 1);
      cancelled.any = true;
    }
    link = next;
  }
  return cancelled;
}

void EndEmpty(EventSet& set, Kevent& record, Direction line) {
  while (const uint32_t link = First(record, line)) {
    Operation& operation = Operations::At(link - 1);
    size_t turn = kTurn;
    if (operation.transfer.bytes != 0 || operation.reads_ahead) return;
    if (Advance(set.transfers(), operation, &turn) != Advanced::kEnded) return;
    TakeOut(record, line, 0, link);
    End(set, link - 1);
  }
}

void EndAll(EventSet& set, Kevent& record) {
  for (const Direction line : {kIn, kOut}) {
    CancelLine(set, record, line, nullptr);
    for (uint32_t link = First(record, line); link != 0;) {
      Operation& left = Operations::At(link - 1);
      left.socket = 0;
      left.missing.store(1, std::memory_order_relaxed);  // no line will let go of it
      link = left.next.load(std::memory_order_relaxed);
    }
    SetFirst(record, line, 0);
  }
}

void EndReceipts(EventSet& set, Kevent& record, uint32_t error) {
  while (const uint32_t link = First(record, kIn)) {
    TakeOut(record, kIn, 0, link);
    EndWith(Operations::At(link - 1), -static_cast<int64_t>(error));
    End(set, link - 1);
  }
}

}  // namespace kevent::core
