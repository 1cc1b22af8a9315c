// SPDX-License-Identifier: MIT

#include "core/calls/queue_calls.h"

#include <absl/base/optimization.h>
#include <fcntl.h>

#include <cerrno>
#include <cstdint>

#include "core/base/probe.h"
#include "core/base/timespec.h"
#include "core/calls/descriptor_calls.h"
#include "core/descriptors/internal_descriptors.h"
#include "core/descriptors/process_state.h"
#include "core/descriptors/registry.h"
#include "core/queue/queues.h"
#include "core/system/system.h"

namespace kevent::core {

namespace {

// Makes a descriptor for a new queue: its number, or a negative errno.
int NameAnew(Queue& queue) {
  for (;;) {
    const Taking taking;
    const Registry::Moment before = Registry::Now();
    const Queue::NumbersUsed used(queue);
    const int fd = sys::DuplicateFrom(queue.epoll(), 0, true);
    // EINVAL means here that no number can be given at all (fcntl(2)), not that an argument of the
    // caller's is wrong.
    if (fd == -EINVAL) return -EMFILE;
    if (fd < 0) return fd;
    if (const int error = Registry::Reserve(fd); error != 0) {
      sys::Close(fd);
      return -error;
    }
    if (NameNew(fd, before, queue.number())) return fd;
  }
}

}  // namespace

int InitQueue(kevent_ring* ring, unsigned num, unsigned flags) {
  if (flags != 0 || (ring == nullptr) != (num == 0)) return -EINVAL;
  if (num == 1) return -EINVAL;
  if (reinterpret_cast<uintptr_t>(ring) % alignof(kevent_ring) != 0) return -EINVAL;
  // Only the two ends of the ring are tried: the part in between may be very large.
  if (ring != nullptr && (!sys::IsWritable(ring, sizeof(kevent_ring)) ||
                          !sys::IsWritable(&ring->event[num - 1], sizeof(ukevent)))) {
    return -EFAULT;
  }
  if (const int error = Process::Start(); error != 0) return -error;
  const Making making;
  Queue* queue;
  if (const int error = Queues::Open(&queue); error != 0) return -error;
  if (ring != nullptr) queue->ring().Open(ring, num);
  queue->AddName();
  const int fd = NameAnew(*queue);
  if (fd < 0) queue->DropName();
  return fd;
}

namespace {

bool WaitsWell(const Queue::Request& request) {
  constexpr unsigned kAbsoluteMonotonic = KEVENT_FLAGS_ABSTIME | KEVENT_FLAGS_MONOTONIC;
  return (request.flags & ~kAbsoluteMonotonic) == 0 && request.flags != KEVENT_FLAGS_MONOTONIC &&
         (request.timeout == nullptr || IsValid(*request.timeout));
}

}  // namespace

int GetEvents(int kev_fd, const Queue::Request& request) {
  Queue* queue;
  if (const int error = Queues::Pin(kev_fd, &queue); error != 0) return -error;
  int error = 0;
  if (!WaitsWell(request) || request.min_nr > request.max_nr) {
    error = EINVAL;
  } else if (request.max_nr != 0 && request.events == nullptr) {
    error = EFAULT;
  }
  if (error != 0 || request.max_nr == 0) {
    queue->Unpin();
    return -error;
  }
  KEVENT_PROBE(collect_begin, kev_fd, request.min_nr, request.max_nr);
  const int count = queue->GetEvents(request);
  KEVENT_PROBE(collect_end, kev_fd, count);
  return count;
}

int WaitForRing(int kev_fd, unsigned num, unsigned old_uidx, const timespec* timeout,
                unsigned flags) {
  Queue* queue;
  if (const int error = Queues::Pin(kev_fd, &queue); error != 0) return -error;
  const Queue::Request request = {1, num, nullptr, timeout, flags, nullptr, true, old_uidx};
  const EventRing& ring = queue->ring();
  if (!WaitsWell(request) || !ring.exists() || num == 0 || num > ring.size()) {
    queue->Unpin();
    return -EINVAL;
  }
  KEVENT_PROBE(collect_begin, kev_fd, request.min_nr, request.max_nr);
  const int count = queue->GetEvents(request);
  KEVENT_PROBE(collect_end, kev_fd, count);
  return count;
}

int CommitRing(int kev_fd, unsigned new_uidx, unsigned over) {
  Queue* queue;
  if (const int error = Queues::Pin(kev_fd, &queue); error != 0) return -error;
  const int count = queue->CommitRing(new_uidx, over);
  queue->Unpin();
  return count;
}

}  // namespace kevent::core
