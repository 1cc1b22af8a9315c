// SPDX-License-Identifier: MIT
//
// Ports that tests hold by value, and retrieving from them.

#ifndef KEVENT_TESTS_PORT_PORTS_H_
#define KEVENT_TESTS_PORT_PORTS_H_

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <port.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <ostream>
#include <utility>
#include <vector>

#include "tests/support/clock.h"
#include "tests/support/descriptor.h"

namespace port_test {

using namespace kevent_test;

class Port : public Descriptor {
 public:
  Port() : Descriptor(port_create()) {
    EXPECT_GE(fd(), 0) << "port_create: " << std::strerror(errno);
  }
};

struct Pipe {
  Pipe() {
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    out = Descriptor(ends[0]);
    in = Descriptor(ends[1]);
  }
  void Write(char byte = 'x') const { EXPECT_EQ(write(in.fd(), &byte, 1), 1); }
  char Read() const {
    char byte = 0;
    EXPECT_EQ(read(out.fd(), &byte, 1), 1);
    return byte;
  }

  Descriptor out;
  Descriptor in;
};

inline void* Cookie(uintptr_t number) { return reinterpret_cast<void*>(number); }
inline uintptr_t User(const port_event_t& event) {
  return reinterpret_cast<uintptr_t>(event.portev_user);
}

// The errno of a call, or 0 if it has succeeded and has left errno alone.
template <typename Call>
int Error(Call call) {
  errno = -1;
  if (call() == 0) {
    EXPECT_EQ(errno, -1) << "a success has set errno";
    return 0;
  }
  return errno;
}

inline int Associate(const Port& port, int fd, int events, uintptr_t user = 0) {
  return Error([&] {
    return port_associate(port.fd(), PORT_SOURCE_FD, static_cast<uintptr_t>(fd), events,
                          Cookie(user));
  });
}

inline int Dissociate(const Port& port, int fd) {
  return Error(
      [&] { return port_dissociate(port.fd(), PORT_SOURCE_FD, static_cast<uintptr_t>(fd)); });
}

// What port_getn has done.
struct Got {
  int error;
  unsigned nget;
  std::vector<port_event_t> events;  // as many as nget says
};

inline Got GetN(int port, unsigned wanted, unsigned max, std::optional<Nanos> timeout) {
  constexpr port_event_t kUntouched = {-1, 999, 999, 999, nullptr};
  Got got = {0, wanted, std::vector<port_event_t>(max + 1, kUntouched)};
  const timespec limit = ToTimespec(timeout.value_or(0));
  got.error = Error([&] {
    return port_getn(port, got.events.data(), max, &got.nget, timeout ? &limit : nullptr);
  });
  EXPECT_LE(got.nget, max);
  EXPECT_EQ(got.events[got.nget].portev_source, kUntouched.portev_source)
      << "more was written than nget says";
  got.events.resize(got.nget);
  return got;
}

// One event that has to come.
inline port_event_t Get(const Port& port) {
  port_event_t event = {};
  EXPECT_EQ(Error([&] { return port_get(port.fd(), &event, nullptr); }), 0);
  return event;
}

// What is there.
inline std::vector<port_event_t> GetReady(const Port& port, unsigned max = 64) {
  const Got got = GetN(port.fd(), 0, max, 0);
  EXPECT_EQ(got.error, 0);
  return got.events;
}

inline bool IsEmpty(const Port& port) {
  port_event_t event;
  constexpr timespec kNow = {0, 0};
  return Error([&] { return port_get(port.fd(), &event, &kNow); }) == ETIME;
}

inline std::vector<uintptr_t> Users(const std::vector<port_event_t>& events) {
  std::vector<uintptr_t> users;
  users.reserve(events.size());
  for (const port_event_t& event : events) users.push_back(User(event));
  return users;
}

MATCHER_P4(IsEvent, source, object, events, user, "") {
  return arg.portev_source == source && arg.portev_object == static_cast<uintptr_t>(object) &&
         arg.portev_events == events && User(arg) == static_cast<uintptr_t>(user);
}

}  // namespace port_test

inline void PrintTo(const port_event_t& event, std::ostream* os) {
  *os << "{source " << event.portev_source << ", object " << event.portev_object << ", events 0x"
      << std::hex << event.portev_events << std::dec << ", user " << event.portev_user << "}";
}

#endif  // KEVENT_TESTS_PORT_PORTS_H_
