// SPDX-License-Identifier: MIT

#include "adapters/port/put_back.h"

#include <limits.h>

#include <algorithm>
#include <cerrno>

#include "adapters/port/queue.h"

namespace kevent::port {

port_event_t OfSource(const ukevent& event) {
  switch (event.type) {
    case KEVENT_POSIX_TIMER: {
      const uint32_t overruns = std::min(event.ret_data[0], uint32_t{INT_MAX - 1});
      return Event(PORT_SOURCE_TIMER, static_cast<int>(overruns + 1), event.id.raw_u64, event.ptr);
    }
    case KEVENT_MQ:
      return Event(PORT_SOURCE_MQ, 0, event.id.raw_u64, event.ptr);
    case KEVENT_AIO:
    case KEVENT_LIO:
      return Event(PORT_SOURCE_AIO, 0, event.id.raw_u64, event.ptr);
    default:
      return Event(PORT_SOURCE_FD, static_cast<int>(event.ret_data[0]), event.id.raw[0], event.ptr);
  }
}

bool IsOfDeletedTimer(const port_event_t& event) {
  itimerspec setting;
  return event.portev_source == PORT_SOURCE_TIMER &&
         kevent_timer_gettime(reinterpret_cast<timer_t>(event.portev_object), &setting) != 0;
}

namespace {

// 0 or an errno.
int PutBack(Port* port, int fd, const ukevent& event) {
  if (event.type == KEVENT_POLL) {
    return port->descriptors.PutBack(fd, static_cast<int>(event.id.raw[0]));
  }
  ukevent request = event;
  uint32_t number = 0;
  if (!IsOwn(event)) {
    const port_event_t kept = OfSource(event);
    if (IsOfDeletedTimer(kept)) return 0;
    if (kept.portev_source == PORT_SOURCE_TIMER && port->kept.AddExpirations(kept)) return 0;
    Ports::This()->NoteKept();
    void* ptr = nullptr;
    number = port->kept.Keep(kept, &ptr);
    if (number == 0) return ENOMEM;
    request = Name(Kind::kKept, number, 0).Request(ptr);
  }
  const int error = Control(fd, KEVENT_CTL_ADD, &request);
  port_event_t not_kept;
  if (error != 0 && number != 0) port->kept.Take(number, &not_kept);
  return error;
}

}  // namespace

unsigned PutBack(Port* port, int fd, ukevent* events, unsigned count) {
  unsigned left = 0;
  for (unsigned i = 0; i < count; ++i) {
    const int error = PutBack(port, fd, events[i]);
    if (error == EAGAIN || error == ENOMEM) events[left++] = events[i];
  }
  return left;
}

unsigned PutBackLeft(Ports* ports, Port* port, int fd) {
  LeftEvents left = port->left;
  left.count = PutBack(port, fd, left.events, left.count);
  ports->SetLeft(port, left);
  return left.count;
}

}  // namespace kevent::port
