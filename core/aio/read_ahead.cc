// SPDX-License-Identifier: MIT
//
// Reading files into the page cache for transfers that send them (core/sources/transfer_source.cc):
// operations of the engine that end in a queue's list of transfers to go on with.

#include <cerrno>

#include "core/aio/engine.h"
#include "core/operations/operation.h"
#include "core/queue/notifier.h"
#include "core/transfers/transfers.h"

namespace kevent::core {
namespace {

void Prepare(Operation* reader) {
  reader->notify = Operation::Notify::kTransfer;
  reader->notifies_in_vain = false;
  reader->type = 0;
  reader->list = 0;
  reader->data[0] = reader->data[1] = 0;
  reader->begun = reader->given_up = reader->file_lost = false;
  reader->blocks = true;
  reader->pooled = reader->uncertain = reader->by_thread = false;
  reader->in_line = reader->takes_turns = reader->has_turn = false;
  reader->priority = 0;
  reader->moved = 0;
  reader->file = 0;
  reader->control.store(nullptr, std::memory_order_relaxed);
}

}  // namespace

void BeginReadsAhead(uint32_t first) {
  for (uint32_t link = first; link != 0;) {
    const uint32_t number = link - 1;
    Operation& reader = Operations::At(number);
    link = reader.line_after;
    Prepare(&reader);
    if (Aio().Begin(number) == 0) continue;
    reader.data[1] = EAGAIN;
    Notifier().Complete(number);
  }
}

}  // namespace kevent::core
