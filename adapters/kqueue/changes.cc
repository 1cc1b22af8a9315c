// SPDX-License-Identifier: MIT
//
// The changes of a changelist.  Settings of timers in a row go to the queue several at a time.

#include "adapters/kqueue/changes.h"

#include <fcntl.h>
#include <limits.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "adapters/kqueue/filter.h"
#include "adapters/kqueue/timer_setting.h"
#include "adapters/kqueue/watches.h"

namespace kevent::kqueue {
namespace {

constexpr uint16_t kLasting = EV_ONESHOT | EV_CLEAR | EV_DISPATCH | EV_RECEIPT;
// The number of changes whose outcomes are waited for together.
constexpr int kMany = 64;

// ---- Settings of timers, put off -----------------------------------------------

class TimerSettings {
 public:
  TimerSettings(Queue& queue, Knotes& knotes) : queue_(queue), knotes_(knotes) {}
  ~TimerSettings() { Flush(); }
  TimerSettings(const TimerSettings&) = delete;
  TimerSettings& operator=(const TimerSettings&) = delete;

  // The outcome is stored in *error, by the next Flush at the latest.
  void Add(unsigned command, const Knote& knote, int* error) {
    if (count_ == kMany || command != command_) Flush();
    command_ = command;
    specs_[count_] = SettingOf(knote);
    const kevent_timer_spec* const address = &specs_[count_];
    // Pausing is a request of its own: what is paused has no setting.
    Knote running = knote;
    running.is_disabled = false;
    running.is_active = false;
    errors_[count_] = error;
    handles_[count_] = knotes_.HandleOf(knote);
    ukevent& request = requests_[++count_];
    request = RequestOf(knotes_, knote, running);
    request.event |= KEVENT_TIMER_SPEC;
    std::memcpy(request.ret_data, &address, sizeof request.ret_data);
    if (!queue_.is_sure()) Flush();
  }

  // Whether settings of new timers are put off.
  bool HasNew() const { return count_ != 0 && command_ == KEVENT_CTL_ADD; }

  void Flush() {
    const unsigned count = count_;
    if (count == 0) return;
    count_ = 0;
    const int failed = queue_.Control(command_, requests_, count);
    for (unsigned i = 0; i < count; ++i) {
      const int error = failed != 0 ? failed : OutcomeOf(requests_[i + 1]);
      if (error == 0) continue;
      *errors_[i] = error;
      Knote* const knote = knotes_.At(handles_[i]);
      if (knote != nullptr && command_ == KEVENT_CTL_ADD) knotes_.Remove(knote);
    }
  }

 private:
  Queue& queue_;
  Knotes& knotes_;
  unsigned command_ = KEVENT_CTL_ADD;
  unsigned count_ = 0;
  ukevent requests_[kMany + 1];
  kevent_timer_spec specs_[kMany];
  Handle handles_[kMany];
  int* errors_[kMany];
};

constexpr unsigned kSetAgain = KEVENT_CTL_MODIFY | KEVENT_CTL_BY_ID;

// ---- One change -------------------------------------------------------------------

class Changes {
 public:
  Changes(Kqueue* kqueue, int fd)
      : queue_(fd, kqueue), knotes_(kqueue->knotes), settings_(queue_, knotes_) {}

  // Stores 0 or an errno in *error, by the next Finish at the latest; Queue::kIsAnother can be that
  // of the first change only, and is stored at once.
  void Make(const Event& change, int* error) {
    *error = 0;
    const int failed = Carry(change, error);
    if (failed != 0) *error = failed;
  }
  void Finish() { settings_.Flush(); }

 private:
  int Carry(const Event& change, int* error) {
    const Filter* const filter = FilterOf(change.filter);
    const bool adds = (change.flags & EV_ADD) != 0;
    if (filter == nullptr) return ErrorOfOther(change.filter, adds);
    if (adds && (change.flags & EV_KEEPUDATA) != 0) return EINVAL;
    if (filter->of_descriptor && change.ident > INT_MAX) return EBADF;
    Knote* const knote = Find(change.ident, *filter);
    if (knote == nullptr)
      return adds ? Attach(change, *filter, error) : ErrorOfNone(change, *filter);
    if (filter->of_descriptor && !IsThere(*knote)) {
      const int failed = Remove(knote);
      if (failed != 0) return failed;
      return adds ? Attach(change, *filter, error) : ErrorOfNone(change, *filter);
    }
    return (change.flags & EV_DELETE) != 0 ? Remove(knote) : Touch(knote, change, error);
  }

  // One whose setting is put off may not come to be.
  Knote* Find(uint64_t ident, const Filter& filter) {
    Knote* const found = knotes_.Find(ident, filter);
    if (found == nullptr || !settings_.HasNew()) return found;
    settings_.Flush();
    return knotes_.Find(ident, filter);
  }

  // Of what is reported and cannot be registered, and of what is unknown.
  static int ErrorOfOther(int16_t filter, bool adds) {
    if (filter != EVFILT_AIO && filter != EVFILT_LIO && filter != EVFILT_KEVENT) return EINVAL;
    return adds ? EPERM : ENOENT;
  }

  int ErrorOfNone(const Event& change, const Filter& filter) {
    const int failed = queue_.MakeSure();
    if (failed != 0) return failed;
    if (!filter.of_descriptor) return ENOENT;
    return kevent_fcntl(static_cast<int>(change.ident), F_GETFD) == -1 ? EBADF : ENOENT;
  }

  // False if the descriptor was closed, and its number is another file's, or nobody's.
  static bool IsThere(const Knote& knote) {
    FileState now;
    return LookAt(static_cast<int>(knote.ident), &now) == 0 && IsSameFile(now, knote.file);
  }

  int Attach(const Event& change, const Filter& filter, int* error) {
    Knote* const knote = knotes_.Add(change.ident, filter);
    if (knote == nullptr) return ENOMEM;
    knote->flags = static_cast<uint16_t>((change.flags & kLasting) | filter.flags);
    knote->is_disabled = (change.flags & EV_DISABLE) != 0;
    knote->udata = change.udata;
    std::memcpy(knote->ext, change.ext, sizeof knote->ext);
    TakeParameters(*knote, change);
    const int failed = filter.attach(*knote);
    if (failed != 0) {
      knotes_.Remove(knote);
      return failed;
    }
    return knote->watch == Watch::kTimer ? Set(KEVENT_CTL_ADD, knote, error) : Register(knote);
  }

  int Register(Knote* knote) {
    settings_.Flush();
    knote->is_prompted = knote->is_active;
    const ukevent request = RequestOf(knotes_, *knote);
    int failed = queue_.Control(KEVENT_CTL_ADD, request);
    if (failed == EEXIST) {
      // The kevent of a file that was closed unseen.
      queue_.Control(KEVENT_CTL_REMOVE, request);
      failed = queue_.Control(KEVENT_CTL_ADD, request);
    }
    if (failed != 0) Forget(knote);
    return failed;
  }

  // Sets the kevent of a timer, for what is said to be the first time or not.
  int Set(unsigned command, Knote* knote, int* error) {
    const Handle handle = knotes_.HandleOf(*knote);
    settings_.Add(command, *knote, error);
    if (!knote->is_disabled) return 0;
    settings_.Flush();
    return *error == 0 && knotes_.At(handle) == knote ? Modify(knote) : 0;
  }

  // What is refused leaves the registration as it was.
  int Touch(Knote* knote, const Event& change, int* error) {
    const bool adds = (change.flags & EV_ADD) != 0;
    const bool is_set = adds && knote->watch == Watch::kTimer;
    if (is_set && !HasSameClock(change.fflags, knote->fflags)) {
      return Replace(*knote, change, error);
    }
    const Knote before = *knote;
    int failed = knote->filter->touch(*knote, change);
    if (failed != 0) return failed;
    if ((change.flags & EV_KEEPUDATA) == 0) knote->udata = change.udata;
    if (is_set) knote->flags = FlagsAddedTo(*knote, change);
    if (adds) std::memcpy(knote->ext, change.ext, sizeof knote->ext);
    if ((change.flags & EV_DISABLE) != 0) {
      knote->is_disabled = true;
    } else if (adds || (change.flags & EV_ENABLE) != 0) {
      knote->is_disabled = false;
    }
    knote->waits_for_edge = false;
    if (is_set) {
      // An event of the former setting that a thread has collected and not translated is nobody's.
      Knotes::Rename(*knote);
      failed = Set(kSetAgain, knote, error);
      if (*error == Queue::kIsAnother || failed == Queue::kIsAnother) *knote = before;
      return failed;
    }
    failed = Modify(knote);
    // The kevent of a process goes with its event, which a thread has collected, and translates
    // when it has the lock.
    if (failed == ENOENT && knote->watch == Watch::kProcess) return 0;
    // Of a file ENOENT says that it has no name by its descriptor: proc(5) is not there.
    if ((failed == ENOENT || failed == EBADF) && !IsOnFile(knote->watch)) {
      // The descriptor was closed, and this one is another of the same file.
      Remove(knote);
      return adds ? Attach(change, *before.filter, error) : failed;
    }
    if (failed != 0) *knote = before;
    return failed;
  }

  // As on FreeBSD a registration keeps the flags that it was made with; but whether a timer has a
  // period is a part of its setting.
  static uint16_t FlagsAddedTo(const Knote& timer, const Event& change) {
    return static_cast<uint16_t>(timer.flags | (change.flags & EV_ONESHOT));
  }

  // A timer of another clock is another one, which is made before the former goes.
  int Replace(const Knote& former, const Event& change, int* error) {
    const Handle handle = knotes_.HandleOf(former);
    Event lasting = change;
    lasting.flags =
        static_cast<uint16_t>((change.flags & ~kLasting) | FlagsAddedTo(former, change));
    const int failed = Attach(lasting, *former.filter, error);
    settings_.Flush();
    if (failed != 0 || *error != 0) return failed;
    return Remove(knotes_.At(handle));
  }

  int Modify(Knote* knote) {
    settings_.Flush();
    knote->is_prompted = knote->is_active && !knote->is_disabled;
    const int failed = knote->watch == Watch::kVnode ? Pause(*knote) : 0;
    return failed != 0 ? failed : queue_.Control(KEVENT_CTL_MODIFY, RequestOf(knotes_, *knote));
  }

  // A modified kevent forgets what has happened and was not collected, but not one that is paused.
  int Pause(const Knote& knote) {
    ukevent request = RequestOf(knotes_, knote);
    request.event = KEVENT_MASK_EMPTY;
    request.req_flags = 0;
    return queue_.Control(KEVENT_CTL_MODIFY, request);
  }

  int Remove(Knote* knote) {
    settings_.Flush();
    const int failed = queue_.MakeSure();
    if (failed != 0) return failed;
    if (knote->watch != Watch::kNothing) {
      queue_.Control(KEVENT_CTL_REMOVE, RequestOf(knotes_, *knote));
    }
    Forget(knote);
    return 0;
  }

  void Forget(Knote* knote) {
    if (knote->filter == &kSignalFilter) {
      UnblockSignal(static_cast<int>(knote->ident), End::kDeleted);
    }
    knotes_.Remove(knote);
  }

  Queue queue_;
  Knotes& knotes_;
  TimerSettings settings_;
};

}  // namespace

int Carry(Kqueue* kqueue, int fd, const Event* list, int count, Event* reports, int room,
          int* reported, bool* goes_on) {
  Changes changes(kqueue, fd);
  *reported = 0;
  *goes_on = true;
  for (int begin = 0; begin < count; begin += kMany) {
    Event made[kMany];
    int errors[kMany];
    const int end = std::min(count - begin, kMany);
    int done = 0;
    int wanted = *reported;  // places for reports, of what is known so far
    while (done < end && wanted <= room) {
      made[done] = list[begin + done];
      changes.Make(made[done], &errors[done]);
      if (errors[done] == Queue::kIsAnother) return Queue::kIsAnother;
      if (errors[done] != 0 || (made[done].flags & EV_RECEIPT) != 0) ++wanted;
      ++done;
    }
    changes.Finish();
    for (int i = 0; i < done; ++i) {
      if (errors[i] == 0 && (made[i].flags & EV_RECEIPT) == 0) continue;
      if (*reported == room) {
        *goes_on = false;
        return errors[i];
      }
      Event& report = reports[(*reported)++];
      report = made[i];
      report.flags = EV_ERROR;
      report.data = errors[i];
    }
  }
  return 0;
}

}  // namespace kevent::kqueue
