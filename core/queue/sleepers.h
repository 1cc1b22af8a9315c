// SPDX-License-Identifier: MIT
//
// The threads that sleep in calls on one queue, and which of them is woken next.
//
// One thread, the leader, sleeps on the descriptors of the queue.  The others, the followers,
// sleep each on a futex or a timerfd of its own: a level-triggered member of an epoll would wake
// all of them for one event.  A follower is promoted, that is made leader and woken,
//   - when the leader leaves: then it is the one that asks for fewest events, the oldest of
//     equals;
//   - when the leader finds events, but fewer than it asks for, which are enough for that one.
//
//   state      leader_  in the list  role                               woken
//   away       no       no           any                                any
//   follower   no       yes          kFollower                          0; 1: woken to look again
//   promoted   yes      no           kFollower                          1
//   leader     yes      no           kLeader, kHoldingLeader or kNone   0
//
//   away --Enlist--> leader      if there is none
//   away --Enlist--> follower    otherwise
//   follower --> promoted        by what the leader does
//   promoted --Enlist--> leader
//   leader --Enlist--> follower  in favour of one that is promoted
//   each --Leave--> away
//
// Sleepers knows neither the epoll nor the kernel timers of the queue: the queue says how its
// leader sleeps (core/queue/waiting.cc), and what it has to undo when the leader leaves.
//
// All of it is guarded by the lock of the queue, but for what Sleeper says.

#ifndef KEVENT_CORE_QUEUE_SLEEPERS_H_
#define KEVENT_CORE_QUEUE_SLEEPERS_H_

#include <poll.h>

#include <cstdint>

#include "core/base/seq_cst.h"

namespace kevent::core {

// One thread in kevent_get_events, on whose stack this lies.  Only the sleeper's own thread writes
// `error`, `timer`, `role` and the descriptors, under the lock of the queue, and so may read them
// without it; other threads read them under the lock.
class Sleeper {
 public:
  enum class Role {
    kNone,           // it does not sleep: it looks again, or returns `error`
    kLeader,         // on the epoll of the queue
    kHoldingLeader,  // on the kernel timers, because the epoll has to stay readable
    kFollower,       // on `timer` if it has one, or on `woken`
  };

  explicit Sleeper(unsigned min) : min_nr(min) {}

  // Has the thread look again, now or before it sleeps.
  void Wake();

  bool SleepsOn(int fd) const {
    for (unsigned i = 0; i < descriptor_count; ++i) {
      if (descriptors[i].fd == fd) return true;
    }
    return false;
  }

  const unsigned min_nr;      // number of events that it asks for
  SeqCst<uint32_t> woken{0};  // its thread reads it, and sleeps on it, without the lock
  int error = 0;              // the reason for which it cannot sleep, as a negative errno, or 0
  int timer = -1;             // a timerfd that wakes it in place of `woken`, or -1
  Role role = Role::kNone;
  // The descriptors that the thread sleeps on, if it does not sleep on `woken`.
  const pollfd* descriptors = nullptr;
  unsigned descriptor_count = 0;

 private:
  friend class Sleepers;

  bool linked_ = false;  // in the list of followers
  Sleeper* previous_ = nullptr;
  Sleeper* next_ = nullptr;
};

// Zeroed memory means that there are no sleepers.
class Sleepers {
 public:
  // Gives the sleeper a place, after it has found `due` events, fewer than it asks for, or confirms
  // the place that it has.  True if it leads: then its role is kLeader.
  [[nodiscard]] bool Enlist(Sleeper& sleeper, unsigned due);

  // Takes the sleeper's place away, if it has one.
  void Leave(Sleeper& sleeper);

  void WakeFollowers();

  bool IsLeader(const Sleeper& sleeper) const { return leader_ == &sleeper; }
  bool has_leader() const { return leader_ != nullptr; }
  bool LeaderSleepsOn(int fd) const { return leader_ != nullptr && leader_->SleepsOn(fd); }

  // Returns the first invariant that does not hold, or nullptr.
  const char* Check() const;

 private:
  Sleeper* LeastDemanding() const;
  void Promote(Sleeper& follower);
  void Append(Sleeper& sleeper);
  void Unlink(Sleeper& sleeper);

  Sleeper* leader_;
  Sleeper* first_;  // the oldest of the followers
  Sleeper* last_;
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_QUEUE_SLEEPERS_H_
