// SPDX-License-Identifier: MIT

#include "adapters/port/count.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "adapters/port/put_back.h"
#include "adapters/port/queue.h"
#include "adapters/queues/held.h"

namespace kevent::port {
namespace {

// How many of the events are of timers of which another is kept.
unsigned MergedTimers(Port& port, const ukevent* events, unsigned count) {
  if (port.kept.empty()) return 0;
  return static_cast<unsigned>(std::count_if(events, events + count, [&](const ukevent& event) {
    return event.type == KEVENT_POSIX_TIMER && port.kept.Has(OfSource(event));
  }));
}

// Takes all events of the queue into memory that is the caller's; false if there is not enough.
bool TakeAll(int fd, ukevent** events, unsigned* count) {
  unsigned size = 0;
  for (;;) {
    if (*count == size) {
      const unsigned larger = size == 0 ? 64 : size * 2;
      auto* const moved =
          static_cast<ukevent*>(std::realloc(*events, size_t{larger} * sizeof(ukevent)));
      if (moved == nullptr) return false;
      *events = moved;
      size = larger;
    }
    const int more = kevent_get_events(fd, 0, size - *count, nullptr, *events + *count, 0);
    if (more <= 0) return true;
    *count += static_cast<unsigned>(more);
    if (*count < size) return true;
  }
}

// A queue does not say how many events it has: all are taken and put back.
int Count(Ports* ports, Port* port, int fd, unsigned* count) {
  if (PutBackLeft(ports, port, fd) != 0) return EAGAIN;
  port->files.Read(fd);
  ukevent* events = nullptr;
  unsigned taken = 0;
  const bool has_all = TakeAll(fd, &events, &taken);
  unsigned left = 0;
  for (unsigned i = 0; i < taken; ++i) {
    if (events[i].type == KEVENT_POLL && Files::IsInotifys(events[i])) continue;
    events[left++] = events[i];
  }
  if (has_all) *count = left - MergedTimers(*port, events, left);
  left = PutBack(port, fd, events, left);
  ports->SetLeft(port, {events, left});
  port->is_woken |= left != 0;
  return has_all ? 0 : EAGAIN;
}

}  // namespace

// Under the lock under which descriptors are associated and dissociated.
int Count(Ports* ports, int fd, unsigned* count) {
  int error;
  bool has_left;
  {
    const queues::Held held(ports->lock());
    Port* const port = ports->Find(fd, &error);
    if (port == nullptr) return error;
    error = Count(ports, port, fd, count);
    has_left = port->left.count != 0;
  }
  if (has_left) Wake(fd);
  return error;
}

}  // namespace kevent::port
