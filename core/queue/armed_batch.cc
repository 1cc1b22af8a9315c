// SPDX-License-Identifier: MIT

#include "core/queue/armed_batch.h"

namespace kevent::core {

// Finds the place of a clock, or makes one.
void ArmedBatch::Find(Queue& queue, uint8_t axis) {
  for (last_ = 0; last_ < count_; ++last_) {
    if (earliest_[last_].queue == &queue && earliest_[last_].axis == axis) return;
  }
  if (count_ == kMost) Tell();
  last_ = count_++;
  earliest_[last_] = {&queue, axis, kLatest};
}

void ArmedBatch::Mark() {
  if (bits_ == 0) return;
  queue_->MarkWord(word_, bits_);
  bits_ = 0;
}

void ArmedBatch::Tell() {
  Mark();  // model: TOLD_BEFORE_ALL_ARE_MARKED
  for (uint32_t i = 0; i < count_; ++i) {
    earliest_[i].queue->NotifyBy(earliest_[i].axis, earliest_[i].deadline);
  }
  count_ = 0;
}

}  // namespace kevent::core
