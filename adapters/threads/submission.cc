// SPDX-License-Identifier: MIT

#include "adapters/threads/submission.h"

#include <kevent/kevent.h>

#include <cstdlib>

#include "adapters/errors/marks.h"
#include "adapters/threads/process.h"
#include "core/base/errno_kept.h"

namespace kevent::threads {

Announced Announced::Try(Callback::Of of, const sigevent& notification) {
  const core::ErrnoKept kept;
  Announced announced;
  Attributes attributes;
  if (!CanShare(notification.sigev_notify_attributes, &attributes)) return announced;
  Process* const process = Process::This();
  Pool* const pool = process == nullptr ? nullptr : process->PoolWith(attributes);
  if (pool == nullptr || !pool->Expect()) return announced;
  announced.callback_ = process->callbacks().Add(of, notification, pool);
  if (!announced) pool->Forget();
  return announced;
}

sigevent Announced::ToQueue() const {
  sigevent notification;
  kevent_sigevent(&notification, callback_->pool->queue(), callback_->cookie());
  return notification;
}

void Announced::TakeBack() {
  const core::ErrnoKept kept;
  Pool* const pool = callback_->pool;
  Process::Existing()->callbacks().Remove(callback_);
  pool->Forget();
  callback_ = nullptr;
}

namespace {

// Zeroed memory is a notification of nobody, and a callback that was not announced.
template <typename Element>
Element* Room(int count, int few, Element* few_elements) {
  if (count <= few) return few_elements;
  return static_cast<Element*>(std::calloc(static_cast<size_t>(count), sizeof(Element)));
}

bool IsMember(const aiocb* control) {
  return control != nullptr && control->aio_lio_opcode != LIO_NOP;
}

}  // namespace

Notifications::Notifications(aiocb* const list[], int count)
    : count_(count),
      made_(Room(count, kFew, few_made_)),
      announced_(Room(count, kFew, few_announced_)) {
  if (!are_there()) return;
  for (int i = 0; i < count; ++i) {
    if (!IsMember(list[i])) continue;
    errors::Mark::AsLibkevents(list[i]);
    const sigevent& programs = list[i]->aio_sigevent;
    if (WantsThread(&programs)) {
      announced_[i] = Announced::Try(Callback::Of::kOperation, programs);
    }
    made_[i] = announced_[i] ? announced_[i].ToQueue() : programs;
  }
}

void Notifications::TakeBackWhatHasNotBegun() {
  for (int i = 0; i < count_; ++i) {
    if (announced_[i] && made_[i].sigev_notify == SIGEV_NONE) announced_[i].TakeBack();
  }
}

Notifications::~Notifications() {
  if (made_ != few_made_) std::free(made_);
  if (announced_ != few_announced_) std::free(announced_);
}

}  // namespace kevent::threads
