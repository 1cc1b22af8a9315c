// SPDX-License-Identifier: MIT

#include "core/completions.h"

#include <cerrno>

#include "core/kevents.h"
#include "core/process.h"
#include "core/queue.h"
#include "core/timers.h"

namespace kevent::core {

// ---- Of one queue ---------------------------------------------------------------

void Completions::Post(uint32_t operation) {
  std::atomic<uint32_t>& next = Operations::At(operation).next;
  uint32_t last = posted_.load(std::memory_order_relaxed);
  do {
    next.store(last, std::memory_order_relaxed);
  } while (!posted_.compare_exchange_weak(last, operation + 1, std::memory_order_seq_cst));
}

void Completions::Harvest() {
  uint32_t link = any_posted() ? posted_.exchange(0, std::memory_order_seq_cst) : 0;
  if (link == 0) return;
  const uint32_t last = link;
  uint32_t after = 0;
  for (;;) {
    std::atomic<uint32_t>& next = Operations::At(link - 1).next;
    const uint32_t before = next.load(std::memory_order_relaxed);
    next.store(after, std::memory_order_relaxed);
    ++count_;
    if (before == 0) break;
    after = link;
    link = before;
  }
  if (last_ == 0) {
    first_ = link;
  } else {
    Operations::At(last_ - 1).next.store(link, std::memory_order_relaxed);
  }
  last_ = last;
}

uint32_t Completions::TakeFirst() {
  const uint32_t operation = first_ - 1;
  first_ = Operations::At(operation).next.load(std::memory_order_relaxed);
  if (first_ == 0) last_ = 0;
  --count_;
  return operation;
}

unsigned Completions::Deliver(unsigned max, ukevent* events) {
  unsigned count = 0;
  while (count < max && count_ != 0) {
    const uint32_t number = TakeFirst();
    const Operation& operation = Operations::At(number);
    ukevent& event = events[count++];
    event = {};
    event.id.raw_u64 = operation.id;
    event.type = operation.type;
    event.event = operation.event;
    event.ret_flags = KEVENT_RET_DONE;
    event.ret_data[0] = operation.data[0];
    event.ret_data[1] = operation.data[1];
    event.ptr = reinterpret_cast<void*>(operation.cookie);
    Operations::Free(number);
  }
  return count;
}

void Completions::Clear() {
  Harvest();
  while (count_ != 0) Operations::Free(TakeFirst());
}

// ---- Whoever is to be told --------------------------------------------------------

int PlanNotification(const sigevent& notification, Operation* operation) {
  operation->notify = Operation::Notify::kNobody;
  if (notification.sigev_notify == SIGEV_SIGNAL || notification.sigev_notify == SIGEV_THREAD) {
    operation->notify = Operation::Notify::kElsewhere;
    operation->elsewhere = notification;
  }
  if (!IsKeventNotification(&notification)) return 0;
  Queue* queue;
  if (const int error = PinQueue(notification.sigev_kevent_fd, &queue); error != 0) return error;
  KeventSet* set = queue->kevents();
  const int error = set == nullptr ? queue->OpenKevents(&set) : 0;
  operation->notify = Operation::Notify::kQueue;
  operation->queue = queue->number();
  operation->incarnation = queue->incarnation();
  operation->cookie = reinterpret_cast<uint64_t>(notification.sigev_value.sival_ptr);
  queue->Unpin();
  // What the first kevent of a queue takes, was not to be had.
  return error != 0 ? EAGAIN : 0;
}

// False when it was closed meanwhile.
bool Teller::Post(const Operation& operation, uint32_t number) {
  Queue& queue = Process::QueueAt(operation.queue);
  if (queue_ != &queue) {
    Wake();
    if (!queue.Pin()) return false;
    queue_ = &queue;
  }
  if (queue.incarnation() != operation.incarnation) return false;
  queue.kevents()->completions().Post(number);
  return true;
}

void Teller::Wake() {
  if (queue_ == nullptr) return;
  if (queue_->kevents() != nullptr && queue_->kevents()->anything_new()) queue_->Wake();
  queue_->Unpin();
  queue_ = nullptr;
}

void Teller::Complete(uint32_t number) {
  const Operation& operation = Operations::At(number);
  switch (operation.notify) {
    case Operation::Notify::kQueue:
      if (Post(operation, number)) return;
      break;
    case Operation::Notify::kElsewhere:
      Wake();  // that may sleep, and is a cancellation point
      sys::Notify(operation.elsewhere);
      break;
    case Operation::Notify::kNobody:
      break;
  }
  Operations::Free(number);
}

}  // namespace kevent::core
