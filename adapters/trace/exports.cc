// SPDX-License-Identifier: MIT
//
// What is noted of each call.

#include <aio.h>
#include <kevent/kevent.h>

#include <cerrno>

#include "adapters/observe/callers.h"
#include "adapters/observe/lists.h"
#include "adapters/observe/next.h"
#include "adapters/observe/rings.h"
#include "adapters/trace/recorder.h"
#include "core/base/errno_kept.h"

namespace {

using kevent::core::ErrnoKept;
using kevent::observe::IsAdapter;
using kevent::trace::Note;
using kevent::trace::Now;
using kevent::trace::What;

uint64_t NumberOf(timer_t timer) { return reinterpret_cast<uint64_t>(timer); }

int64_t Nanoseconds(const timespec& time) {
  return static_cast<int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

void NoteSetting(uint64_t time, timer_t timer, int flags, const itimerspec& value) {
  const bool is_absolute = (flags & TIMER_ABSTIME) != 0;
  Note(is_absolute ? What::kSetAbsolute : What::kSet, time, NumberOf(timer),
       Nanoseconds(value.it_value), Nanoseconds(value.it_interval));
}

void NoteEvents(uint64_t time, const ukevent* events, int count) {
  for (int i = 0; i < count; ++i) {
    const ukevent& event = events[i];
    if (event.type == KEVENT_POSIX_TIMER) {
      Note(What::kCollected, time, event.id.raw_u64, event.ret_data[1], event.ret_data[0]);
    } else if (event.type == KEVENT_AIO) {
      Note(What::kOperationEnd, time, event.id.raw_u64, static_cast<int32_t>(event.ret_data[0]));
    }
  }
}

void NoteRing(uint64_t time, int kev_fd, int count) {
  for (auto i = static_cast<unsigned>(count); i > 0; --i) {
    ukevent event;
    if (kevent::observe::CopyFromRing(kev_fd, i, &event)) NoteEvents(time, &event, 1);
  }
}

enum class Kind : uint8_t { kRead, kWrite, kSync };

class Observer {
 public:
  template <typename Next>
  static int CreateTimer(Next next, clockid_t clock, sigevent* notification, timer_t* timer,
                         const void* caller) {
    const int result = next(clock, notification, timer);
    if (result != 0 || IsAdapter(caller)) return result;
    const ErrnoKept kept;
    kevent::trace::Begin();
    kevent::trace::NoteMade(What::kCreated, Now(), NumberOf(*timer), clock,
                            notification == nullptr ? SIGEV_SIGNAL : notification->sigev_notify,
                            kevent::trace::PlaceOf(caller));
    return result;
  }

  // The time is that before the call, so that a collection that another thread makes comes later.
  template <typename Entry>
  static int SetTimer(const Entry& entry, timer_t timer, int flags, const itimerspec* value,
                      itimerspec* old_value, const void* caller) {
    const auto next = kevent::observe::NextOf(entry);
    if (next == nullptr) {
      errno = EAGAIN;
      return -1;
    }
    const uint64_t time = Now();
    const int result = next(timer, flags, value, old_value);
    if (result == 0 && !IsAdapter(caller)) NoteSetting(time, timer, flags, *value);
    return result;
  }

  template <typename Next>
  static int SetTimers(Next next, unsigned num, kevent_setting* settings, const void* caller) {
    const uint64_t time = Now();
    const int result = next(num, settings);
    if (result <= 0 || IsAdapter(caller)) return result;
    for (unsigned i = 0; i < num; ++i) {
      if (settings[i].error != 0) continue;
      NoteSetting(time, settings[i].timer, settings[i].flags, settings[i].value);
    }
    return result;
  }

  template <typename Next>
  static int GetOverrun(Next next, timer_t timer, const void*) {
    return next(timer);
  }

  template <typename Next>
  static int DeleteTimer(Next next, timer_t timer, const void* caller) {
    const uint64_t time = Now();
    const int result = next(timer);
    if (result == 0 && !IsAdapter(caller)) Note(What::kDeleted, time, NumberOf(timer));
    return result;
  }

  template <typename Next, typename Control>
  static int Read(Next next, Control* control, const void* caller) {
    return Start(Kind::kRead, control, control->aio_nbytes, caller, [&] { return next(control); });
  }
  template <typename Next, typename Control>
  static int Write(Next next, Control* control, const void* caller) {
    return Start(Kind::kWrite, control, control->aio_nbytes, caller, [&] { return next(control); });
  }
  // The C library looks at a control block only if it knows the operation.
  template <typename Next, typename Control, typename... Notification>
  static int Sync(Next next, const void* caller, int operation, Control* control,
                  Notification... notification) {
    return Start(Kind::kSync, control, 0, caller,
                 [&] { return next(operation, control, notification...); });
  }
  template <typename Next, typename Control, typename... Notifications>
  static int List(Next next, const void* caller, int mode, Control* const list[], int count,
                  Notifications... notifications) {
    for (int i = 0; list != nullptr && i < count; ++i) {
      if (list[i] == nullptr || IsAdapter(caller)) continue;
      const int operation = list[i]->aio_lio_opcode;
      if (operation != LIO_READ && operation != LIO_WRITE) continue;
      BeginOperation(operation == LIO_READ ? Kind::kRead : Kind::kWrite, list[i],
                     list[i]->aio_nbytes);
    }
    const int result = next(mode, list, count, notifications...);
    if (result != 0 && list != nullptr && !IsAdapter(caller)) EndNotBegun(list, count);
    return result;
  }
  template <typename Next, typename Control>
  static ssize_t Return(Next next, Control* control) {
    const ssize_t result = next(control);
    EndOperation(control, result);
    return result;
  }

  template <typename Next>
  static int InitQueue(Next next, kevent_ring* ring, unsigned num, unsigned flags,
                       const void* caller) {
    const int result = next(ring, num, flags);
    if (result < 0 || IsAdapter(caller)) return result;
    const ErrnoKept kept;
    kevent::trace::Begin();
    kevent::observe::KeepRing(result, ring, num);
    kevent::trace::NoteMade(What::kQueueMade, Now(), static_cast<uint64_t>(result), 0, 0,
                            kevent::trace::PlaceOf(caller));
    return result;
  }

  template <typename Next>
  static int Control(Next next, int kev_fd, unsigned command, unsigned num, ukevent* arg,
                     const void* caller) {
    const uint64_t time = Now();
    const int result = next(kev_fd, command, num, arg);
    if (result < 0 || IsAdapter(caller)) return result;
    Note(What::kKevents, time, static_cast<uint64_t>(kev_fd), command, num);
    return result;
  }

  template <typename Next, typename... Mask>
  static int GetEvents(Next next, const void* caller, int kev_fd, unsigned min_nr, unsigned max_nr,
                       const timespec* timeout, ukevent* events, unsigned flags, Mask... mask) {
    if (IsAdapter(caller)) {
      return next(kev_fd, min_nr, max_nr, timeout, events, flags, mask...);
    }
    Note(What::kCollectBegin, Now(), static_cast<uint64_t>(kev_fd), min_nr, max_nr);
    const int result = next(kev_fd, min_nr, max_nr, timeout, events, flags, mask...);
    const uint64_t time = Now();
    NoteEvents(time, events, result);
    Note(What::kCollectEnd, time, static_cast<uint64_t>(kev_fd), result);
    return result;
  }

  template <typename Next>
  static int WaitForRing(Next next, int kev_fd, unsigned num, unsigned old_uidx,
                         const timespec* timeout, unsigned flags, const void* caller) {
    if (IsAdapter(caller)) return next(kev_fd, num, old_uidx, timeout, flags);
    Note(What::kCollectBegin, Now(), static_cast<uint64_t>(kev_fd), 1, num);
    const int result = next(kev_fd, num, old_uidx, timeout, flags);
    const uint64_t time = Now();
    if (result > 0) NoteRing(time, kev_fd, result);
    Note(What::kCollectEnd, time, static_cast<uint64_t>(kev_fd), result);
    return result;
  }

 private:
  template <typename Call>
  static int Start(Kind kind, const void* control, uint64_t bytes, const void* caller, Call call) {
    if (IsAdapter(caller)) return call();
    BeginOperation(kind, control, bytes);
    const int result = call();
    if (result != 0) EndOperation(control, result);
    return result;
  }
  static void BeginOperation(Kind kind, const void* control, uint64_t bytes) {
    const ErrnoKept kept;
    kevent::trace::Begin();
    Note(What::kOperationBegin, Now(), reinterpret_cast<uint64_t>(control),
         static_cast<int64_t>(kind), static_cast<int64_t>(bytes));
  }
  template <typename Control>
  static void EndNotBegun(Control* const list[], int count) {
    const ErrnoKept kept;
    kevent::observe::ForEachNotBegun(reinterpret_cast<aiocb* const*>(list), count, errno,
                                     [](const void* control) { EndOperation(control, -1); });
  }
  static void EndOperation(const void* control, ssize_t result) {
    Note(What::kOperationEnd, Now(), reinterpret_cast<uint64_t>(control), result);
  }
};

}  // namespace

// All of these go to the class above.
#include "adapters/observe/exports.inc"
