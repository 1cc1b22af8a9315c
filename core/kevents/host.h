// SPDX-License-Identifier: MIT
//
// The queue that a set of kevents is part of, as far as the set needs it.

#ifndef KEVENT_CORE_KEVENTS_HOST_H_
#define KEVENT_CORE_KEVENTS_HOST_H_

#include <time.h>

#include <cstdint>

#include "core/timers/clocks.h"
#include "core/timers/handle.h"

namespace kevent::core {

class SettingBatch;

// Queue is the only class that derives from this, and answers (core/queue/kevent_host.cc).  All
// functions need its lock, except the numbers.
class KeventHost {
 public:
  uint32_t number() const;
  int epoll() const;
  int always_ready() const;
  // The most members of the queue's epoll that are the engine's own.
  uint32_t own_members() const;
  // The number of the engine's own members that make the descriptor readable, as its collector has
  // told them and read the clocks.
  unsigned ReadableMembers() const;

  // Wakes sleeping threads to look again: the leader that holds, or all of them.
  void Recall();
  void RecallAll();

  // Timers of kevents are timers of the queue.
  int AddKeventTimer(const ClockPlan& plan, uint32_t record, Handle* handle);
  // Sets a timer with the others of its call (core/calls/setting_batch.cc): 0 or an errno.
  int SetKeventTimer(Handle handle, int flags, const itimerspec& value, SettingBatch* batch);
  void DeleteKeventTimer(Handle handle);
  // Has the timer be neither counted nor collected, though its deadline stays; and again.  `batch`:
  // the settings of the call, which may have one of this timer; nullptr in a collection.
  void UnscheduleKeventTimer(Handle handle, SettingBatch* batch);
  void ScheduleKeventTimer(Handle handle);
  // True if the timer would be collected, as the clocks were read.
  bool IsDue(uint32_t slot) const;

 protected:
  KeventHost() = default;
  ~KeventHost() = default;
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_KEVENTS_HOST_H_
