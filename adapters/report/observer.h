// SPDX-License-Identifier: MIT
//
// What is counted of each call that adapters/observe/exports.inc puts before the others.  The call
// goes on as it came, but for two things: timer_settime gets a place for the old value where the
// program wants none (of clocks of CPU time), and with SIGEV_THREAD a function of this adapter,
// which counts and calls the program's, stands in the program's place.

#ifndef KEVENT_ADAPTERS_REPORT_OBSERVER_H_
#define KEVENT_ADAPTERS_REPORT_OBSERVER_H_

#include <aio.h>
#include <kevent/kevent.h>
#include <time.h>

#include <cerrno>

#include "adapters/observe/callers.h"
#include "adapters/observe/next.h"
#include "adapters/report/live_table.h"

namespace kevent::observe {

// The number of the thread, or report::kNoThread: it has none yet, or all have been given away.
extern constinit thread_local unsigned t_number;

class Observer {
  using Table = report::Table;
  using HotTimer = report::HotTimer;
  using Kind = report::Kind;

 public:
  using CreateCall = decltype(&::timer_create);
  using SetCall = decltype(&::timer_settime);
  using TimerCall = decltype(&::timer_delete);

  static int CreateTimer(CreateCall next, clockid_t clock, sigevent* notification, timer_t* timer,
                         const void* caller);

  // Async-signal-safe, as timer_settime is.  Of the settings that are counted here none fails, but
  // for those that race with timer_delete.  So nothing remains to be done after the call, which
  // makes every one of these calls a jump, for which no register is saved.
  [[gnu::always_inline]] static inline int SetTimer(const std::atomic<SetCall>& entry,
                                                    timer_t timer, int flags,
                                                    const itimerspec* value, itimerspec* old_value,
                                                    const void* caller) {
    Table* const table = report::CurrentTable();
    const SetCall next = entry.load(std::memory_order_acquire);
    const auto number = reinterpret_cast<uint64_t>(timer);
    if (ABSL_PREDICT_FALSE(table == nullptr || next == nullptr || !report::MayBeQueued(number))) {
      return SetOther(entry, timer, flags, value, old_value, caller);
    }
    HotTimer& hot = table->hot[number % report::kTimers];
    if (ABSL_PREDICT_FALSE(hot.tag.load(std::memory_order_relaxed) !=
                               report::TagOf(number, t_number) ||
                           value == nullptr || !Arms(*value))) {
      return SetOther(entry, timer, flags, value, old_value, caller);
    }
    if (ABSL_PREDICT_FALSE(CountOwn(hot.count))) {
      return Carry(entry, timer, flags, value, old_value);
    }
    return next(timer, flags, value, old_value);
  }

  static int SetTimers(decltype(&kevent_settime) next, unsigned num, kevent_setting* settings,
                       const void* caller);
  static int GetOverrun(TimerCall next, timer_t timer, const void* caller);
  static int DeleteTimer(TimerCall next, timer_t timer, const void* caller);

  // A call that starts one operation, whichever of the two control blocks it takes.
  template <typename Next, typename Control>
  static int Read(Next next, Control* control, const void* caller) {
    return Start(Kind::kRead, reinterpret_cast<aiocb*>(control), caller,
                 [&] { return next(control); });
  }
  template <typename Next, typename Control>
  static int Write(Next next, Control* control, const void* caller) {
    return Start(Kind::kWrite, reinterpret_cast<aiocb*>(control), caller,
                 [&] { return next(control); });
  }
  // With a notification beside the control block or without.
  template <typename Next, typename Control, typename... Notification>
  static int Sync(Next next, const void* caller, int operation, Control* control,
                  Notification... notification) {
    return Start(Kind::kSync, reinterpret_cast<aiocb*>(control), caller,
                 [&] { return next(operation, control, notification...); });
  }
  // With the list's notification, and with those of its members before it or without.
  template <typename Next, typename Control, typename... Notifications>
  static int List(Next next, const void* caller, int mode, Control* const list[], int count,
                  Notifications... notifications) {
    aiocb* const* const controls = reinterpret_cast<aiocb* const*>(list);
    BeforeList(controls, count, caller);
    const int result = next(mode, list, count, notifications...);
    AfterList(controls, count, result, caller);
    return result;
  }
  template <typename Next, typename Control>
  static ssize_t Return(Next next, Control* control) {
    const ssize_t result = next(control);
    Finished(control, result);
    return result;
  }

  static int InitQueue(decltype(&kevent_init) next, kevent_ring* ring, unsigned num, unsigned flags,
                       const void* caller);
  static int Control(decltype(&kevent_ctl) next, int kev_fd, unsigned command, unsigned num,
                     ukevent* arg, const void* caller);
  // With the signal mask of kevent_pget_events or without.
  template <typename Next, typename... Mask>
  static int GetEvents(Next next, const void* caller, int kev_fd, unsigned min_nr, unsigned max_nr,
                       const timespec* timeout, ukevent* events, unsigned flags, Mask... mask) {
    if (IsAdapter(caller)) {
      return next(kev_fd, min_nr, max_nr, timeout, events, flags, mask...);
    }
    const Collection collection(kev_fd, min_nr > 0, timeout);
    const int result = next(kev_fd, min_nr, max_nr, timeout, events, flags, mask...);
    collection.Returned(result, events);
    return result;
  }
  static int WaitForRing(decltype(&kevent_wait) next, int kev_fd, unsigned num, unsigned old_uidx,
                         const timespec* timeout, unsigned flags, const void* caller);

 private:
  // A call that collects.
  class Collection {
   public:
    Collection(int kev_fd, bool may_sleep, const timespec* timeout);
    // Leaves errno alone.  `events` may be null where they are counted elsewhere.
    void Returned(int result, const ukevent* events) const;

   private:
    Table* const table_;
    report::Queue* const queue_;
    bool may_sleep_;
    int64_t begin_;
  };

  // Counts what no other thread counts, but a signal handler of this one may: in one instruction,
  // without the cost of one that other processors see whole.  True if the count has begun anew.
  static bool CountOwn(std::atomic<uint16_t>& count) {
#if defined(__x86_64__)
    bool is_full;
    __asm__ volatile("addw $1, %0" : "+m"(count), "=@ccc"(is_full));
    return is_full;
#else
    return count.fetch_add(1, std::memory_order_relaxed) == UINT16_MAX;
#endif
  }

  // A setting that is valid and does not disarm.
  static bool Arms(const itimerspec& value) {
    constexpr auto kEnd = static_cast<uint64_t>(report::kBillion);
    return (value.it_value.tv_sec | value.it_value.tv_nsec) > 0 &&
           static_cast<uint64_t>(value.it_value.tv_nsec) < kEnd && value.it_interval.tv_sec >= 0 &&
           static_cast<uint64_t>(value.it_interval.tv_nsec) < kEnd;
  }

  // The same where the count has begun anew.
  static int Carry(const std::atomic<SetCall>& entry, timer_t timer, int flags,
                   const itimerspec* value, itimerspec* old_value);
  // Any other setting.
  static int SetOther(const std::atomic<SetCall>& entry, timer_t timer, int flags,
                      const itimerspec* value, itimerspec* old_value, const void* caller);

  template <typename Call>
  static int Start(Kind kind, const aiocb* control, const void* caller, Call call) {
    // The C library looks at a control block only if it knows the operation.
    const uint64_t bytes = kind == Kind::kSync ? 0 : control->aio_nbytes;
    const Started started = BeforeStart(kind, control, caller, bytes);
    const int result = call();
    if (result != 0) NotStarted(started, kind, control, bytes);
    return result;
  }
  // Whether the call is the program's and counted, and whether its end will be.
  enum class Started : uint8_t { kUncounted, kCountedWithoutRow, kCounted };
  static Started BeforeStart(Kind kind, const aiocb* control, const void* caller, uint64_t bytes);
  static void NotStarted(Started started, Kind kind, const aiocb* control, uint64_t bytes);
  static void BeforeList(aiocb* const list[], int count, const void* caller);
  static void AfterList(aiocb* const list[], int count, int result, const void* caller);
  static void Finished(const void* control, ssize_t result);
  static void CountEvents(Table* table, report::Queue* queue, const ukevent* events,
                          unsigned count);
};

}  // namespace kevent::observe

#endif  // KEVENT_ADAPTERS_REPORT_OBSERVER_H_
