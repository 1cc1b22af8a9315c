// SPDX-License-Identifier: MIT

#include "adapters/port/ports.h"

#include <cstdlib>

#include "adapters/port/queue.h"

namespace kevent::port {

ukevent Ports::WitnessOf(Port* port, uint32_t number) {
  return Name(Kind::kPort, number, 0).Paused(port);
}

uint32_t Ports::NewNumber() { return Name::NewNumber(); }

void Ports::SetAlert(Port* port, bool is_alert) {
  if (port->is_alert == is_alert) return;
  port->is_alert = is_alert;
  alerts_.fetch_add(is_alert ? 1 : -1);
}

void Ports::SetLeft(Port* port, LeftEvents left) {
  left_.fetch_add((left.count != 0 ? 1 : 0) - (port->left.count != 0 ? 1 : 0));
  if (left.count == 0) {
    std::free(left.events);
    left.events = nullptr;
  }
  port->left = left;
}

void Ports::Release(Port* port, uint32_t) {
  SetAlert(port, false);
  SetLeft(port, {port->left.events, 0});
  port->kept.Drop();
  port->descriptors.Close();
  port->files.Close();
}

}  // namespace kevent::port
