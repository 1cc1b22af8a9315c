// SPDX-License-Identifier: MIT
//
// Requests to kevent_ctl, for tests.

#ifndef KEVENT_TESTS_SUPPORT_KEVENTS_H_
#define KEVENT_TESTS_SUPPORT_KEVENTS_H_

#include <gtest/gtest.h>
#include <kevent/kevent.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <vector>

#include "tests/support/clock.h"

namespace kevent_test {

inline ukevent Request(uint32_t type, uint64_t id, uint32_t event, uint32_t req_flags = 0,
                       uintptr_t cookie = 0) {
  ukevent request = {};
  request.id.raw_u64 = id;
  request.type = type;
  request.event = event;
  request.req_flags = req_flags;
  request.ptr = reinterpret_cast<void*>(cookie);
  return request;
}

inline ukevent DescriptorRequest(uint32_t type, int fd, uint32_t event,
                                 uint32_t req_flags = KEVENT_REQ_ALWAYS_QUEUE,
                                 uintptr_t cookie = 0) {
  return Request(type, static_cast<uint32_t>(fd), event, req_flags, cookie);
}

inline ukevent TimerRequest(uint64_t key, const kevent_timer_spec* spec, uintptr_t cookie = 0,
                            uint32_t req_flags = 0) {
  ukevent request =
      Request(KEVENT_TIMER, key, KEVENT_TIMER_FIRED | KEVENT_TIMER_SPEC, req_flags, cookie);
  std::memcpy(request.ret_data, &spec, sizeof request.ret_data);
  return request;
}

// What comes back of one request: 0 when it was registered, else the negative
// errno of a broken one, or 1 when it was ready at once.
inline int Add(int queue, ukevent request, ukevent* returned = nullptr) {
  const int count = kevent_ctl(queue, KEVENT_CTL_ADD, 1, &request);
  if (returned != nullptr) *returned = request;
  EXPECT_GE(count, 0) << std::strerror(errno);
  EXPECT_TRUE((request.ret_flags & KEVENT_RET_DONE) != 0);
  const bool ready = (request.ret_flags & KEVENT_RET_READY) != 0;
  const bool broken = (request.ret_flags & KEVENT_RET_BROKEN) != 0;
  EXPECT_EQ(count, ready || broken ? 1 : 0);
  if (!broken) return ready ? 1 : 0;
  return static_cast<int>(request.ret_data[1]);
}

// What an entry says after a command: 0, the negative errno, or 1 when it was ready at once.
inline int ResultOf(const ukevent& entry) {
  EXPECT_TRUE((entry.ret_flags & KEVENT_RET_DONE) != 0);
  if ((entry.ret_flags & KEVENT_RET_BROKEN) != 0) return static_cast<int>(entry.ret_data[1]);
  return (entry.ret_flags & KEVENT_RET_READY) != 0 ? 1 : 0;
}

// The same for REMOVE and MODIFY: 0 or the negative errno.
inline int Control(int queue, unsigned command, ukevent request) {
  request.ret_flags = 0;
  const int count = kevent_ctl(queue, command, 1, &request);
  EXPECT_GE(count, 0) << std::strerror(errno);
  EXPECT_TRUE((request.ret_flags & KEVENT_RET_DONE) != 0);
  const bool broken = (request.ret_flags & KEVENT_RET_BROKEN) != 0;
  EXPECT_EQ(count, broken ? 1 : 0);
  if (!broken) return 0;
  return static_cast<int>(request.ret_data[1]);
}

inline bool Inject(int queue, ukevent request) {
  const int found = kevent_ctl(queue, KEVENT_CTL_READY, 1, &request);
  EXPECT_GE(found, 0) << std::strerror(errno);
  return found == 1;
}

inline std::vector<ukevent> Take(int queue, unsigned min = 0, unsigned max = 64,
                                 Nanos timeout = 10 * kSecond) {
  std::vector<ukevent> events(max);
  const timespec patience = ToTimespec(timeout);
  const int count = kevent_get_events(queue, min, max, &patience, events.data(), 0);
  EXPECT_GE(count, 0) << std::strerror(errno);
  events.resize(count < 0 ? 0 : static_cast<size_t>(count));
  return events;
}

}  // namespace kevent_test

#endif  // KEVENT_TESTS_SUPPORT_KEVENTS_H_
