// SPDX-License-Identifier: MIT
//
// Requests to kevent_ctl, as unit tests make them.

#ifndef KEVENT_TESTS_UNIT_KEVENT_REQUESTS_H_
#define KEVENT_TESTS_UNIT_KEVENT_REQUESTS_H_

#include <cstring>

#include "tests/unit/engine.h"

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

inline ukevent TimerRequest(uint64_t key, const kevent_timer_spec* spec, uint32_t req_flags = 0,
                            uintptr_t cookie = 0) {
  ukevent request =
      Request(KEVENT_TIMER, key, KEVENT_TIMER_FIRED | KEVENT_TIMER_SPEC, req_flags, cookie);
  std::memcpy(request.ret_data, &spec, sizeof request.ret_data);
  return request;
}

// 0 when it was registered, 1 when it was ready, or why it is broken; the whole
// call's negative errno likewise.
inline int Add(int queue, ukevent request) {
  const int count = kevent::core::ControlKevents(queue, KEVENT_CTL_ADD, 1, &request);
  if (count <= 0) return count;
  if ((request.ret_flags & KEVENT_RET_BROKEN) == 0) return 1;
  return static_cast<int>(request.ret_data[1]);
}

inline int Control(int queue, unsigned command, ukevent request) {
  const int result = kevent::core::ControlKevents(queue, command, 1, &request);
  if (result < 0) return result;
  return (request.ret_flags & KEVENT_RET_BROKEN) == 0 ? 0 : static_cast<int>(request.ret_data[1]);
}

}  // namespace kevent_test

#endif  // KEVENT_TESTS_UNIT_KEVENT_REQUESTS_H_
