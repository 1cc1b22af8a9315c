// SPDX-License-Identifier: MIT

#include "core/queue/notifier.h"

#include <cerrno>

#include "core/base/notification.h"
#include "core/kevents/event_set.h"
#include "core/queue/queue.h"
#include "core/queue/queues.h"
#include "core/system/system.h"

namespace kevent::core {

int TakeOperation(uint32_t* number) {
  if (Operations::Allocate(number) == 0) return 0;
  Queues::ClearClosed();
  return Operations::Allocate(number);
}

int PlanNotification(const sigevent& notification, Operation* operation) {
  operation->notify = Operation::Notify::kNobody;
  operation->notifies_in_vain = notification.sigev_notify == SIGEV_SIGNAL &&
                                (notification.sigev_signo < 0 || notification.sigev_signo >= NSIG);
  if (notification.sigev_notify == SIGEV_SIGNAL || notification.sigev_notify == SIGEV_THREAD) {
    operation->notify = Operation::Notify::kElsewhere;
    operation->elsewhere = notification;
  }
  if (!IsKeventNotification(&notification)) return 0;
  Queue* queue;
  if (const int error = Queues::Pin(notification.sigev_kevent_fd, &queue); error != 0) return error;
  EventSet* set = queue->kevents();
  const int error = set == nullptr ? queue->OpenKevents(&set) : 0;
  operation->notify = Operation::Notify::kQueue;
  operation->queue = queue->number();
  operation->incarnation = queue->incarnation();
  operation->cookie = reinterpret_cast<uint64_t>(notification.sigev_value.sival_ptr);
  queue->Unpin();
  // The first kevent of a queue needs memory that was not to be had.
  return error != 0 ? EAGAIN : 0;
}

// The queue's kevents, pinned until Wake; nullptr if the queue was closed meanwhile.
EventSet* Notifier::SetOf(const Operation& operation) {
  Queue& queue = Queues::At(operation.queue);
  if (queue_ != &queue) {
    Wake();
    if (!queue.Pin()) return nullptr;
    queue_ = &queue;
  }
  return queue.incarnation() == operation.incarnation ? queue.kevents() : nullptr;
}

void Notifier::Wake() {
  if (queue_ == nullptr) return;
  if (queue_->kevents() != nullptr && queue_->kevents()->anything_new()) queue_->Wake();
  queue_->Unpin();
  queue_ = nullptr;
}

void Notifier::Complete(uint32_t number) {
  const Operation& operation = Operations::At(number);
  switch (operation.notify) {
    case Operation::Notify::kQueue:
      if (EventSet* const set = SetOf(operation); set != nullptr) {
        return set->completions().Post(number);
      }
      break;
    case Operation::Notify::kTransfer:
      if (EventSet* const set = SetOf(operation); set != nullptr) {
        return set->transfers().Resume(number);
      }
      return Transfers::LetGo(static_cast<uint32_t>(operation.id));
    case Operation::Notify::kElsewhere:
      Wake();  // waking may sleep
      sys::Notify(operation.elsewhere);
      break;
    case Operation::Notify::kNobody:
      break;
  }
  Operations::Free(number);
}

}  // namespace kevent::core
