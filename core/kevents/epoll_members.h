// SPDX-License-Identifier: MIT
//
// Members of a queue's epoll carry a token as their data.  The token of a kevent is its
// number and, in the upper half, its generation, which is odd; those of the engine's own
// members are below.

#ifndef KEVENT_CORE_KEVENTS_EPOLL_MEMBERS_H_
#define KEVENT_CORE_KEVENTS_EPOLL_MEMBERS_H_

#include <sys/epoll.h>

#include <cstdint>

namespace kevent::core {

// A member that is watched for nothing.  epoll reports errors and hang-ups unasked: at most once of
// such a member, since it is disabled with the first report (fs/eventpoll.c, EPOLLONESHOT).
constexpr uint32_t kMuted = EPOLLONESHOT;

// Upper halves that differ from every generation:
inline constexpr uint32_t kOverflowToken = 2;  // an overflow epoll; lower half: its index
inline constexpr uint32_t kSharedToken = 4;  // a descriptor that all kevents of a type share; lower
                                             // half: the type

inline constexpr uint64_t Token(uint32_t upper, uint32_t lower) {
  return uint64_t{upper} << 32 | lower;
}

inline constexpr uint64_t SharedToken(uint32_t type) { return Token(kSharedToken, type); }

// The tokens of the member that announces the queue.
inline constexpr uint64_t kAnnounced = Token(6, 0);
inline constexpr uint64_t kAnnouncedOnce = Token(8, 0);

}  // namespace kevent::core

#endif  // KEVENT_CORE_KEVENTS_EPOLL_MEMBERS_H_
