// SPDX-License-Identifier: MIT
//
// The program is about to close a number that kevents watch: each queue that watches it takes it
// out.

#include "core/descriptors/process_state.h"
#include "core/kevents/event_set.h"
#include "core/kevents/watched_fds.h"
#include "core/queue/queue.h"
#include "core/queue/queues.h"
#include "core/system/signals_blocked.h"

namespace kevent::core {
namespace {

// Takes the number out of every epoll of the queue's; the records stay, as for any descriptor that
// was closed.  The caller's table is that of the process, in which all queues are.
void TakeOut(Queue& queue, int fd) {
  if (!queue.Pin()) return;
  {
    const Queue::NumbersUsed used(queue);
    // If the program has closed the queue's epolls unseen, their numbers may be strangers'.
    if (queue.OwnsEpoll()) {
      if (EventSet* const set = queue.kevents(); set != nullptr) {
        set->UnwatchFd(fd);
        if (set->transfers().any_news()) queue.Wake();
      }
    }
  }
  queue.Unpin();
}

}  // namespace

void WatchedFds::UnwatchOf(int fd) {
  const SignalsBlocked blocked;  // a handler that leaves by siglongjmp would leave its pin behind
  // A child of vfork closes in its own table of descriptors, with its parent's memory.
  if (!Process::Owns()) return;
  const uint32_t watching = Close(fd);
  if (watching == 0) return;
  if (watching != kSeveral) return TakeOut(Queues::At(watching - 1), fd);
  Queue* queue;
  for (uint32_t number = 0; (queue = Queues::Find(number)) != nullptr; ++number) {
    TakeOut(*queue, fd);
  }
}

}  // namespace kevent::core
