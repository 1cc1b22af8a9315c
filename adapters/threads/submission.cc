// SPDX-License-Identifier: MIT

#include "adapters/threads/submission.h"

#include <kevent/kevent.h>

#include "adapters/threads/process.h"

namespace kevent::threads {

Announced Announced::Try(Callback::Of of, const sigevent& notification) {
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
  Pool* const pool = callback_->pool;
  Process::Existing()->callbacks().Remove(callback_);
  pool->Forget();
  callback_ = nullptr;
}

void Submission::Add(aiocb* control) {
  if (!WantsThread(&control->aio_sigevent)) return;
  const Announced announced = Announced::Try(Callback::Of::kOperation, control->aio_sigevent);
  if (!announced) return;
  Callback* const callback = announced.callback();
  callback->gate.Close();
  callback->control = control;
  callback->submitted_before = latest_;
  latest_ = callback;
  const sigevent to_queue = announced.ToQueue();
  control->aio_sigevent.sigev_notify = to_queue.sigev_notify;
  control->aio_sigevent.sigev_kevent_fd = to_queue.sigev_kevent_fd;
  control->aio_sigevent.sigev_value = to_queue.sigev_value;
}

void Submission::TakeBack() { taken_back_ = true; }

Submission::~Submission() {
  for (Callback* callback = latest_; callback != nullptr;) {
    // The callback may begin when the gate is open, and the record may be another's.
    Callback* const before = callback->submitted_before;
    sigevent& notification = callback->control->aio_sigevent;
    notification.sigev_notify = SIGEV_THREAD;
    notification.sigev_notify_function = callback->function;
    notification.sigev_value = callback->value;
    Pool* const pool = callback->pool;
    callback->gate.Open();
    if (taken_back_) {
      Process::Existing()->callbacks().Remove(callback);
      pool->Forget();
    }
    callback = before;
  }
}

}  // namespace kevent::threads
