// SPDX-License-Identifier: MIT
//
// What this library asks of the queue that a port is, and the events that it sends there itself.

#ifndef KEVENT_ADAPTERS_PORT_QUEUE_H_
#define KEVENT_ADAPTERS_PORT_QUEUE_H_

#include <kevent/kevent.h>
#include <port.h>

#include <cerrno>
#include <cstdint>

namespace kevent::port {

// ---- Events that the library sends to a port -------------------------------

// Each is a kevent of the type KEVENT_UNOTIFY; what it is stands in its id.
enum class Kind : uint32_t {
  kPort = 1,  // paused for ever: the queue is the port at ptr
  kUser,      // of port_send, with ptr as user
  kFile,      // of the watch at ptr
  kKept,      // an event that was taken and put back, at ptr
};

class Name {
 public:
  // Numbers of a kind may come again: two kevents of a port differ in some part of their names.
  Name(Kind kind, uint32_t number, uint32_t events)
      : events_(events), what_(static_cast<uint32_t>(kind) << kNumberBits | Number(number)) {}
  explicit Name(const ukevent& event) : events_(event.id.raw[0]), what_(event.id.raw[1]) {}

  Kind kind() const { return static_cast<Kind>(what_ >> kNumberBits); }
  uint32_t number() const { return Number(what_); }
  uint32_t events() const { return events_; }

  // A new number, of 28 bits and never 0.
  static uint32_t NewNumber();

  ukevent Request(void* ptr) const {
    ukevent request = {};
    request.id.raw[0] = events_;
    request.id.raw[1] = what_;
    request.type = KEVENT_UNOTIFY;
    request.event = KEVENT_UNOTIFY_EVENT;
    request.req_flags = KEVENT_REQ_READY | KEVENT_REQ_ONESHOT;
    request.ptr = ptr;
    return request;
  }
  // The kevent without an event, until it is modified.
  ukevent Paused(void* ptr) const {
    ukevent request = Request(ptr);
    request.event = KEVENT_MASK_EMPTY;
    request.req_flags = 0;
    return request;
  }

 private:
  static constexpr unsigned kNumberBits = 28;
  static uint32_t Number(uint32_t word) { return word & ((1u << kNumberBits) - 1); }

  uint32_t events_;
  uint32_t what_;
};

// ---- Calls: 0, or an errno of event ports ----------------------------------

// EBADF: not open; EBADFD: open, and no queue.
int CheckQueue(int fd);

// One entry of kevent_ctl.
int Control(int fd, unsigned command, ukevent* request);

// Adds a ready event under the name, or a like one that is free.
int Send(int fd, Kind kind, uint32_t events, void* ptr, uint32_t* number);

// Has one call that waits return, or else the next.
inline void Wake(int fd) { kevent_ctl(fd, KEVENT_CTL_READY, 0, nullptr); }

}  // namespace kevent::port

#endif  // KEVENT_ADAPTERS_PORT_QUEUE_H_
