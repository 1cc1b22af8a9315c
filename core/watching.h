// SPDX-License-Identifier: MIT
//
// What the members of a queue's epoll carry as their data.  The engine's own
// carry their descriptor; a kevent's its number and, in the upper half, its
// generation, which is odd.

#ifndef KEVENT_CORE_WATCHING_H_
#define KEVENT_CORE_WATCHING_H_

#include <cstdint>

namespace kevent::core {

// Upper halves that no kevent has:
inline constexpr uint32_t kLayerToken = 2;  // an epoll within the queue's, its layer below
inline constexpr uint32_t kInotifyToken = 4;

inline constexpr uint64_t Token(uint32_t upper, uint32_t lower) {
  return uint64_t{upper} << 32 | lower;
}

// Of the member that announces the queue.
inline constexpr uint64_t kAnnounced = Token(6, 0);
inline constexpr uint64_t kAnnouncedOnce = Token(8, 0);

}  // namespace kevent::core

#endif  // KEVENT_CORE_WATCHING_H_
