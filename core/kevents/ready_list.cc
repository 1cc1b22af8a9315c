// SPDX-License-Identifier: MIT

#include "core/kevents/ready_list.h"

namespace kevent::core {

void ReadyList::Add(KeventTable& table, uint32_t number, bool level_triggered) {
  Kevent& record = table.At(number);
  if (record.ready) {
    if (record.level_triggered && !level_triggered) {
      record.level_triggered = false;
      ++latched_;
    }
    return;
  }
  record.ready = true;
  record.level_triggered = level_triggered;
  record.ready_before = last_;
  record.ready_after = 0;
  (last_ == 0 ? first_ : table.At(last_ - 1).ready_after) = number + 1;
  last_ = number + 1;
  ++size_;
  if (!level_triggered) ++latched_;
}

void ReadyList::Remove(KeventTable& table, uint32_t number) {
  Kevent& record = table.At(number);
  if (!record.ready) return;
  record.ready = false;
  (record.ready_before == 0 ? first_ : table.At(record.ready_before - 1).ready_after) =
      record.ready_after;
  (record.ready_after == 0 ? last_ : table.At(record.ready_after - 1).ready_before) =
      record.ready_before;
  --size_;
  if (!record.level_triggered) --latched_;
}

const char* ReadyList::Check(KeventTable& table) const {
  unsigned size = 0;
  unsigned latched = 0;
  uint32_t before = 0;
  for (uint32_t link = first_; link != 0; link = table.At(link - 1).ready_after) {
    const Kevent& record = table.At(link - 1);
    if (!record.ready) return "a kevent that is not ready is among those that are";
    if (record.ready_before != before) return "the ready kevents are linked one way only";
    if (++size > size_) return "more kevents are ready than are counted";
    if (!record.level_triggered) ++latched;
    before = link;
  }
  if (last_ != before) return "the last of the ready kevents is another one";
  if (size != size_) return "fewer kevents are ready than are counted";
  if (latched != latched_) return "another number of kevents is latched";
  return nullptr;
}

}  // namespace kevent::core
