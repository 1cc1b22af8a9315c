// SPDX-License-Identifier: MIT
//
// Kqueues that tests hold by value, changes to them, and what is retrieved.

#ifndef KEVENT_TESTS_KQUEUE_KQUEUES_H_
#define KEVENT_TESTS_KQUEUE_KQUEUES_H_

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/event.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <initializer_list>
#include <optional>
#include <ostream>
#include <utility>
#include <vector>

#include "tests/support/clock.h"
#include "tests/support/descriptor.h"

namespace kqueue_test {

using namespace kevent_test;
using Event = struct ::kevent;

inline void* Cookie(uintptr_t number) { return reinterpret_cast<void*>(number); }
inline uintptr_t Udata(const Event& event) { return reinterpret_cast<uintptr_t>(event.udata); }

inline Event Change(uintptr_t ident, int filter, int flags, unsigned fflags = 0, int64_t data = 0,
                    uintptr_t udata = 0) {
  Event change;
  EV_SET(&change, ident, filter, flags, fflags, data, Cookie(udata));
  return change;
}

class Kqueue : public Descriptor {
 public:
  Kqueue() : Descriptor(kqueue()) { EXPECT_GE(fd(), 0) << "kqueue: " << std::strerror(errno); }

  // The same kqueue by another number, which no call has named yet.
  Kqueue Duplicate() const { return Kqueue(fcntl(fd(), F_DUPFD_CLOEXEC, 50)); }

  // The errno of a call with these changes, or 0 if it has succeeded and has left errno alone.
  int Make(std::vector<Event> changes) const {
    errno = -1;
    const int result =
        kevent(fd(), changes.data(), static_cast<int>(changes.size()), nullptr, 0, nullptr);
    if (result == -1) return errno;
    EXPECT_EQ(result, 0);
    EXPECT_EQ(errno, -1) << "a success has set errno";
    return 0;
  }
  int Make(uintptr_t ident, int filter, int flags, unsigned fflags = 0, int64_t data = 0,
           uintptr_t udata = 0) const {
    return Make({Change(ident, filter, flags, fflags, data, udata)});
  }
  int MakeFd(int fd, int filter, int flags, unsigned fflags = 0, int64_t data = 0,
             uintptr_t udata = 0) const {
    return Make(static_cast<uintptr_t>(fd), filter, flags, fflags, data, udata);
  }

  // What is retrieved within the time.
  std::vector<Event> Retrieve(Nanos timeout, int max = 64) const {
    const timespec limit = ToTimespec(timeout);
    return Retrieve(max, &limit);
  }
  std::vector<Event> Ready(int max = 64) const { return Retrieve(0, max); }
  // Waits for as long as it takes.
  std::vector<Event> Await(int max = 64) const { return Retrieve(max, nullptr); }

 private:
  explicit Kqueue(int duplicate) : Descriptor(duplicate) { EXPECT_GE(fd(), 0); }

  std::vector<Event> Retrieve(int max, const timespec* timeout) const {
    std::vector<Event> events(static_cast<size_t>(max));
    const int count = kevent(fd(), nullptr, 0, events.data(), max, timeout);
    EXPECT_GE(count, 0) << std::strerror(errno);
    events.resize(static_cast<size_t>(std::max(count, 0)));
    return events;
  }
};

struct Pipe {
  Pipe() {
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    out = Descriptor(ends[0]);
    in = Descriptor(ends[1]);
  }
  void Write(int count = 1) const {
    for (int i = 0; i < count; ++i) EXPECT_EQ(write(in.fd(), "x", 1), 1);
  }
  void Read(int count = 1) const {
    char byte;
    for (int i = 0; i < count; ++i) EXPECT_EQ(read(out.fd(), &byte, 1), 1);
  }

  Descriptor out;
  Descriptor in;
};

struct Pair {
  explicit Pair(int type = SOCK_STREAM) {
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    here = Descriptor(ends[0]);
    there = Descriptor(ends[1]);
  }
  Descriptor here;
  Descriptor there;
};

// A file without a name.
class File : public Descriptor {
 public:
  File() : Descriptor(open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)) { EXPECT_GE(fd(), 0); }
};

MATCHER_P4(IsEvent, ident, filter, data, udata, "") {
  return arg.ident == static_cast<uintptr_t>(ident) && arg.filter == filter && arg.data == data &&
         Udata(arg) == static_cast<uintptr_t>(udata) && (arg.flags & (EV_ERROR | EV_EOF)) == 0;
}
MATCHER_P4(IsEnd, ident, filter, data, udata, "") {
  return arg.ident == static_cast<uintptr_t>(ident) && arg.filter == filter && arg.data == data &&
         Udata(arg) == static_cast<uintptr_t>(udata) && (arg.flags & EV_EOF) != 0;
}
MATCHER_P(HasFflags, fflags, "") { return arg.fflags == static_cast<unsigned>(fflags); }
MATCHER_P3(IsReport, ident, filter, error, "") {
  return arg.ident == static_cast<uintptr_t>(ident) && arg.filter == filter &&
         arg.flags == EV_ERROR && arg.data == error;
}

}  // namespace kqueue_test

inline void PrintTo(const struct kevent& event, std::ostream* os) {
  *os << "{ident " << event.ident << ", filter " << event.filter << std::hex << ", flags 0x"
      << event.flags << ", fflags 0x" << event.fflags << std::dec << ", data " << event.data
      << ", udata " << event.udata << "}";
}

#endif  // KEVENT_TESTS_KQUEUE_KQUEUES_H_
