// SPDX-License-Identifier: MIT

#include "core/calls/message_queue_calls.h"

#include "core/queue/queue.h"
#include "core/queue/queues.h"
#include "core/system/signals_blocked.h"

namespace kevent::core {

int NotifyOfMessage(int message_queue, const sigevent& notification) {
  Queue* queue;
  if (const int error = Queues::Pin(notification.sigev_kevent_fd, &queue); error != 0) return error;
  EventSet* set = nullptr;
  int error = queue->OpenKevents(&set);
  if (error == 0) {
    const SignalsBlocked blocked;
    const auto cookie = reinterpret_cast<uint64_t>(notification.sigev_value.sival_ptr);
    const auto id = static_cast<uint32_t>(message_queue);
    queue->WithKevents([&] { error = -set->AddInternal(KEVENT_MQ, id, cookie, KEVENT_MQ_NOTIFY); });
  }
  queue->Unpin();
  return error;
}

}  // namespace kevent::core
