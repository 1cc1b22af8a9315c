// SPDX-License-Identifier: MIT

#include "adapters/port/queue.h"

#include <atomic>

namespace kevent::port {
namespace {

// An errno of libkevent's calls as one of event ports.
int OfPorts(int fd, int error) {
  switch (error) {
    case EINVAL: {
      const int of_queue = CheckQueue(fd);
      return of_queue == 0 ? EINVAL : of_queue;
    }
    case ENOSPC:
    case ENOMEM:
      return EAGAIN;
    default:
      return error;
  }
}

}  // namespace

uint32_t Name::NewNumber() {
  static constinit std::atomic<uint32_t> s_last{0};
  uint32_t number;
  do {
    number = Number(s_last.fetch_add(1, std::memory_order_relaxed) + 1);
  } while (number == 0);
  return number;
}

// A collection of nothing looks at the descriptor only.
int CheckQueue(int fd) {
  if (kevent_get_events(fd, 0, 0, nullptr, nullptr, 0) == 0) return 0;
  return errno == EINVAL ? EBADFD : errno;
}

int Control(int fd, unsigned command, ukevent* request) {
  const int refused = kevent_ctl(fd, command, 1, request);
  if (refused == -1) return OfPorts(fd, errno);
  if (refused == 0) return 0;
  return OfPorts(fd, -static_cast<int>(request->ret_data[1]));
}

int Send(int fd, Kind kind, uint32_t events, void* ptr, uint32_t* number) {
  for (;;) {
    *number = Name::NewNumber();
    ukevent request = Name(kind, *number, events).Request(ptr);
    const int error = Control(fd, KEVENT_CTL_ADD, &request);
    if (error != EEXIST) return error;
  }
}

}  // namespace kevent::port
