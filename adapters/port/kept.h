// SPDX-License-Identifier: MIT
//
// Events that were taken from a port and are put back: the queue keeps each as an event of the
// library's own, by which it is found here.

#ifndef KEVENT_ADAPTERS_PORT_KEPT_H_
#define KEVENT_ADAPTERS_PORT_KEPT_H_

#include <port.h>

#include <cstdint>

#include "adapters/queues/index.h"

namespace kevent::port {

// Zeroed memory is an empty one.  Under the lock of the ports.
class KeptEvents {
 public:
  // A name for the event, with a pointer; 0 if there is no memory.
  uint32_t Keep(const port_event_t& event, void** ptr);
  // A timer has one event at most.  Adds expirations to the event that is kept of it: whether there
  // is one.
  bool AddExpirations(const port_event_t& event);
  // Adds to an event of a timer the expirations that are kept of it, which go with it.
  void TakeExpirations(port_event_t* event);
  // Whether one is kept of the event's timer.
  bool Has(const port_event_t& event) { return OfTimer(event.portev_object) != nullptr; }
  bool empty() const { return by_name_.empty(); }
  // Whether there is one of that name, which is the caller's from then on.
  bool Take(uint32_t name, port_event_t* event);
  void Drop();

 private:
  struct Kept {
    Kept* next;
    uint64_t name;
    port_event_t event;
  };
  Kept* OfTimer(uintptr_t timer);

  queues::Index<Kept, &Kept::name, &Kept::next> by_name_;
};

}  // namespace kevent::port

#endif  // KEVENT_ADAPTERS_PORT_KEPT_H_
