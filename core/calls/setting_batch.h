// SPDX-License-Identifier: MIT
//
// The settings that one call makes: each clock is read once, and each queue is told once, at the
// end of the batch.

#ifndef KEVENT_CORE_CALLS_SETTING_BATCH_H_
#define KEVENT_CORE_CALLS_SETTING_BATCH_H_

#include <time.h>

#include <cstdint>

#include "core/base/timespec.h"
#include "core/calls/new_setting.h"
#include "core/calls/timer_calls.h"
#include "core/queue/armed_batch.h"
#include "core/timers/handle.h"

namespace kevent::core {

// On the stack of the call.  Async-signal-safe.
class SettingBatch {
 public:
  // Sets one timer, as SetTimer: 0 or an errno.
  int Set(Handle handle, int flags, const itimerspec& value);
  // Has a collector that looks from now on find what was set.
  void Mark() { armed_.Mark(); }

  // Sets timers in the order of the array, stores the error of each, and returns how many were set.
  // `set_elsewhere` as for SetTimers.
  unsigned SetAll(unsigned num, kevent_setting* settings, SetElsewhere set_elsewhere);

 private:
  // The clocks as they were read for the first setting that asked for them, so that no timer
  // expires early: its time counts from within the call.
  class Time {
   public:
    Nanoseconds monotonic();
    bool Read(clockid_t clock, const TimerSlot& timer, Queue& queue, Nanoseconds* now);

   private:
    struct Reading {
      clockid_t clock;
      const KernelTimer* owner;  // of a clock of CPU time, whose id may be another thread's later
      bool lives;
      Nanoseconds now;
    };
    // Clocks of CPU time that a call reads anew if it sets timers on more of them in turn.
    static constexpr uint32_t kMost = 8;

    Nanoseconds monotonic_ = 0;
    uint32_t count_ = 0;
    Reading readings_[kMost];
  };

  // A part of the array.  It is gone through in steps, as a swap waits for all that comes before it
  // in the processor and lets nothing overtake: what can overlap is done for all first.
  static constexpr unsigned kPart = 16;
  struct Part {
    unsigned num;
    kevent_setting* settings;
    TimerSlot* timers[kPart];  // nullptr: the handle is of no timer of the library
  };
  void Armed(const NewSetting& setting) {
    armed_.Add(*setting.queue, setting.slot, *setting.timer, setting.deadline());
  }
  static void Find(unsigned num, kevent_setting* settings, Part* part);

  // A part of one-shot settings on the monotonic clock, in place of such settings, of timers of one
  // queue.  Most settings are of this kind, which takes few questions.
  struct OneShots {
    Queue* queue;
    uint64_t order;  // of the first
    PackedSetting before[kPart];
    PackedSetting after[kPart];
  };
  // False if one of them is something else: then no timer was set.
  bool PrepareOneShots(const Part& part, OneShots* prepared);
  unsigned SetOneShots(const Part& part, OneShots& prepared);
  unsigned SetAny(const Part& part, SetElsewhere set_elsewhere);

  Time time_;
  ArmedBatch armed_;
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_CALLS_SETTING_BATCH_H_
