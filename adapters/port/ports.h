// SPDX-License-Identifier: MIT
//
// The ports of the process.

#ifndef KEVENT_ADAPTERS_PORT_PORTS_H_
#define KEVENT_ADAPTERS_PORT_PORTS_H_

#include <port.h>

#include <atomic>
#include <cerrno>
#include <cstdint>

#include "adapters/port/descriptors.h"
#include "adapters/port/files.h"
#include "adapters/port/kept.h"
#include "adapters/queues/registry.h"

namespace kevent::port {

// Events that were counted and could not be put back into the queue, for lack of memory.
struct LeftEvents {
  ukevent* events;
  unsigned count;
};

// What a port has beside its queue.
struct Port {
  std::atomic<uint32_t> number;
  bool is_alert;
  bool is_woken;  // a call was made to return that had no other cause, and may not have yet
  port_event_t alert;
  KeptEvents kept;
  LeftEvents left;
  Descriptors descriptors;
  Files files;
};

class Ports : public queues::Registry<Ports, Port> {
 public:
  static constexpr int kNotOne = EBADFD;
  // A child's queue has the number, and is a port, too.
  static constexpr bool kLivesInChild = true;
  // An inotify instance of a closed port goes with the next port that is made.
  static constexpr int kSweep = 0;

  static ukevent WitnessOf(Port* port, uint32_t number);
  static uint32_t NewNumber();
  void Begin(Port*, uint32_t) {}
  void Release(Port* port, uint32_t number);

  // Whether any port is in alert mode: as a rule none is.
  bool AreAlert() const { return alerts_.load() != 0; }
  // Whether any event was ever put back that a port keeps.
  bool HasKept() const { return has_kept_.load(std::memory_order_relaxed); }
  void NoteKept() { has_kept_.store(true, std::memory_order_relaxed); }
  // Whether any port has events that are left.
  bool HaveLeft() const { return left_.load() != 0; }
  // Under the lock.
  void SetAlert(Port* port, bool is_alert);
  // If left.count is 0 its memory is freed.
  void SetLeft(Port* port, LeftEvents left);

 private:
  std::atomic<bool> has_kept_;
  std::atomic<int> alerts_;  // number of ports in alert mode
  std::atomic<int> left_;    // number of ports with events that are left
};

}  // namespace kevent::port

#endif  // KEVENT_ADAPTERS_PORT_PORTS_H_
