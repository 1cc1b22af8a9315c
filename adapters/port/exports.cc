// SPDX-License-Identifier: MIT
//
// The calls of <port.h> on ports.

#include <port.h>

#include <algorithm>
#include <cerrno>

#include "adapters/port/count.h"
#include "adapters/port/ports.h"
#include "adapters/port/queue.h"
#include "adapters/port/retrieve.h"
#include "adapters/queues/exported.h"
#include "adapters/queues/held.h"
#include "core/base/errno_kept.h"
#include "core/base/timespec.h"

namespace kevent::port {
namespace {

using core::ErrnoKept;

int OnPort(int fd, auto action) {
  Ports* const ports = Ports::This();
  if (ports == nullptr) return ENOMEM;
  int error;
  const queues::Held held(ports->lock());
  Port* const port = ports->Find(fd, &error);
  return port == nullptr ? error : action(ports, port);
}

// For calls that need nothing but the queue.
int OnQueue(int fd, auto action) {
  Ports* const ports = Ports::This();
  if (ports == nullptr) return ENOMEM;
  const int error = ports->Check(fd);
  return error == 0 ? action() : error;
}

// Whether the number is still the port's is looked at with the first association of a descriptor:
// later ones, of which there are many, modify what the queue has.
int AssociateDescriptor(int fd, uintptr_t object, int events, void* user) {
  Ports* const ports = Ports::This();
  if (ports == nullptr) return ENOMEM;
  int error;
  const queues::Held held(ports->lock());
  Port* port = ports->FindKnown(fd, &error);
  if (port != nullptr && !port->descriptors.Knows(object)) port = ports->Find(fd, &error);
  return port == nullptr ? error : port->descriptors.Associate(fd, object, events, user);
}

int Associate(int fd, int source, uintptr_t object, int events, void* user) {
  switch (source) {
    case PORT_SOURCE_FD:
      return AssociateDescriptor(fd, object, events, user);
    case PORT_SOURCE_FILE:
      return OnPort(fd, [&](Ports*, Port* port) {
        return port->files.Associate(fd, reinterpret_cast<file_obj_t*>(object), events, user);
      });
    default:
      return OnPort(fd, [](Ports*, Port*) { return EINVAL; });
  }
}

int Dissociate(int fd, int source, uintptr_t object) {
  switch (source) {
    case PORT_SOURCE_FD:
      return OnPort(fd,
                    [&](Ports*, Port* port) { return port->descriptors.Dissociate(fd, object); });
    case PORT_SOURCE_FILE:
      return OnPort(fd, [&](Ports*, Port* port) { return port->files.Dissociate(fd, object); });
    default:
      return OnPort(fd, [](Ports*, Port*) { return EINVAL; });
  }
}

int SendUser(int fd, int events, void* user) {
  return OnQueue(fd, [&] {
    uint32_t number;
    return Send(fd, Kind::kUser, static_cast<uint32_t>(events), user, &number);
  });
}

int Alert(int fd, int flags, int events, void* user) {
  if ((flags & ~PORT_ALERT_INVALID) != 0 || flags == PORT_ALERT_INVALID) return EINVAL;
  const int error = OnPort(fd, [&](Ports* ports, Port* port) {
    if (events == 0) {
      ports->SetAlert(port, false);
      return 0;
    }
    if (flags == PORT_ALERT_UPDATE && port->is_alert) return EBUSY;
    port->alert = {events, PORT_SOURCE_ALERT, 0, 0, user};
    port->is_woken = true;
    ports->SetAlert(port, true);
    return 0;
  });
  if (error == 0 && events != 0) Wake(fd);
  return error;
}

int GetMany(int fd, port_event_t* list, unsigned max, unsigned wanted, const timespec* timeout,
            unsigned* got) {
  Ports* const ports = Ports::This();
  if (ports == nullptr) return ENOMEM;
  const int error = ports->Check(fd);
  if (error != 0) return error;
  if (timeout != nullptr && !core::IsValid(*timeout)) return EINVAL;
  return max == 0 ? Count(ports, fd, got) : Retrieve(ports, fd, list, max, wanted, timeout, got);
}

int Result(int error, int before) {
  errno = error == 0 ? before : error;
  return error == 0 ? 0 : -1;
}

}  // namespace
}  // namespace kevent::port

using namespace kevent::port;

KEVENT_EXPORT int port_create() {
  Ports* const ports = Ports::This();
  if (ports == nullptr) return Result(ENOMEM, 0);
  return ports->Create();
}

KEVENT_EXPORT int port_associate(int port, int source, uintptr_t object, int events, void* user) {
  const int before = errno;
  return Result(Associate(port, source, object, events, user), before);
}

KEVENT_EXPORT int port_dissociate(int port, int source, uintptr_t object) {
  const int before = errno;
  return Result(Dissociate(port, source, object), before);
}

KEVENT_EXPORT int port_get(int port, port_event_t* event, const timespec_t* timeout) {
  const int before = errno;
  if (event == nullptr) return Result(EFAULT, 0);
  unsigned got = 0;
  return Result(GetMany(port, event, 1, 1, timeout, &got), before);
}

KEVENT_EXPORT int port_getn(int port, port_event_t list[], uint_t max, uint_t* nget,
                            const timespec_t* timeout) {
  const int before = errno;
  if (nget == nullptr || (list == nullptr && max != 0)) return Result(EINVAL, 0);
  const unsigned wanted = *nget;
  if (max != 0 && (wanted > max || wanted > kMostWanted)) return Result(EINVAL, 0);
  unsigned got = 0;
  const int error = GetMany(port, list, max, wanted, timeout, &got);
  *nget = got;
  return Result(error, before);
}

KEVENT_EXPORT int port_send(int port, int events, void* user) {
  const int before = errno;
  return Result(SendUser(port, events, user), before);
}

KEVENT_EXPORT int port_sendn(int ports[], int errors[], uint_t nent, int events, void* user) {
  if (nent == 0) return Result(EINVAL, 0);
  if (ports == nullptr || errors == nullptr) return Result(EFAULT, 0);
  const ErrnoKept kept;
  unsigned sent = 0;
  for (unsigned i = 0; i < nent; ++i) {
    const int error = SendUser(ports[i], events, user);
    if (error == 0) {
      ++sent;
      if (sent <= i) errors[i] = 0;
      continue;
    }
    // The first that fails: all before it were sent.
    if (sent == i) std::fill(errors, errors + i, 0);
    errors[i] = error;
  }
  return static_cast<int>(sent);
}

KEVENT_EXPORT int port_alert(int port, int flags, int events, void* user) {
  const int before = errno;
  return Result(Alert(port, flags, events, user), before);
}
