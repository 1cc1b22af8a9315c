// SPDX-License-Identifier: MIT

#include "core/queue/queues.h"

#include <absl/base/optimization.h>
#include <sys/epoll.h>

#include <cerrno>

#include "core/descriptors/internal_descriptors.h"
#include "core/descriptors/names.h"
#include "core/descriptors/process_state.h"
#include "core/descriptors/registry.h"
#include "core/system/system.h"

namespace kevent::core {
// Constant-initialised: calls may come before any constructor of the library.
constinit std::atomic<Queue*> Queues::queues_[kMaxQueues] = {};

namespace {

// A fork leaves these as they are.
constinit std::atomic<QueueMemory*> g_queue_memory[kMaxQueues] = {};

}  // namespace

int Queues::Map(uint32_t number) {
  QueueMemory* memory = g_queue_memory[number].load(std::memory_order_relaxed);
  if (memory == nullptr) {
    const int error = sys::MapPages(sizeof(QueueMemory), sys::OnFork::kKeep, &memory);
    if (error < 0) return -error;
    g_queue_memory[number].store(memory, std::memory_order_release);
  }
  Queue* queue;
  const int error = sys::MapPages(sizeof(Queue), sys::OnFork::kWipe, &queue);
  if (error < 0) return -error;
  queues_[number].store(queue, std::memory_order_release);
  return 0;
}

Queue* Queues::Find(uint32_t number) {
  return number < kMaxQueues ? queues_[number].load(std::memory_order_acquire) : nullptr;
}

void Queues::HasUncleared() { State().any_uncleared.store(true, std::memory_order_seq_cst); }

// Another thread that holds the lock may clear them instead.
void Queues::ClearClosed() {
  Lock& lock = State().lock;
  if (!lock.TryAcquire()) return;
  ClearClosedLocked();
  lock.Release();
}

void Queues::ClearClosedLocked() {
  if (!State().any_uncleared.exchange(false, std::memory_order_seq_cst)) return;
  for (uint32_t number = 0; number < kMaxQueues; ++number) {
    Queue* const queue = queues_[number].load(std::memory_order_acquire);
    if (queue == nullptr) return;
    queue->Reusable();
  }
}

int Queues::Open(Queue** opened) {
  Locked locked(State().lock);
  if (!Process::TakesTable()) return EBADF;
  ClearClosedLocked();
  for (uint32_t number = 0; number < kMaxQueues; ++number) {
    Queue* queue = queues_[number].load(std::memory_order_acquire);
    if (queue == nullptr) {
      if (const int error = Map(number); error != 0) return error;
      queue = &At(number);
    } else if (!queue->Reusable()) {
      continue;
    }
    if (const int error = queue->Open(number, g_queue_memory[number]); error != 0) return error;
    *opened = queue;
    return 0;
  }
  return EMFILE;
}

int Queues::OpenAnew(uint32_t number) {
  Queue& queue = At(number);
  return queue.open() ? 0 : queue.Open(number, g_queue_memory[number]);
}

int Queues::Pin(int kev_fd, Queue** queue) {
  for (bool prepared = false;; prepared = true) {
    const Registration found = Registry::Get(kev_fd);
    if (!found.is_name()) {
      return found.is_closing() || !IsOpen(kev_fd) ? EBADF : EINVAL;
    }
    if (ABSL_PREDICT_FALSE(!SeesCloses()) && !StillNamed(kev_fd, found)) {
      // In another table than the queue's the number is another file's, or none's.
      return Process::SharesTable() && IsOpen(kev_fd) ? EINVAL : EBADF;
    }
    Queue& named = At(found.queue());
    const bool pinned = named.Pin();
    // If the descriptor was closed in between, the queue may be another one by now.
    const bool still_named = Registry::Get(kev_fd).bits() == found.bits();
    const bool at_home = !pinned || Process::SharesTable();
    if (pinned && still_named && at_home) {
      *queue = &named;
      return 0;
    }
    if (pinned) named.Unpin();
    if (!at_home) return EBADF;
    if (prepared && still_named) return EBADF;
    // In a child of fork that no handler has prepared, the queue is prepared before it is used.
    Process::Owns();
  }
}

// ---- Names, as descriptors ask for them (core/descriptors/names.h) --------------------------

// Modifying a member as it is changes nothing, and an epoll without that member refuses, whichever
// epoll it is.
bool IsNameOf(int fd, uint32_t queue) {
  const std::atomic<int>& number = g_queue_memory[queue].load()->monotonic_timerfd;
  for (;;) {
    const int member = number.load() - 1;
    if (sys::IsMarked(fd) && OwnsDescriptor(member, queue, kMonotonicAxis) &&
        sys::EpollModify(fd, member, EPOLLIN) == 0) {
      return true;
    }
    // A failure counts only if dup2 in another thread has not had the member moved meanwhile.
    if (number.load() - 1 == member) return false;
  }
}

void DropName(uint32_t queue) { Queues::At(queue).DropName(); }

bool MayCloseLeft(uint32_t queue, int fd) { return Queues::At(queue).MayCloseLeft(fd); }

}  // namespace kevent::core
