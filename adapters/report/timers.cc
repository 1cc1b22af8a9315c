// SPDX-License-Identifier: MIT

#include <sys/resource.h>

#include "adapters/observe/callers.h"
#include "adapters/report/callbacks.h"
#include "adapters/report/observer.h"
#include "adapters/report/sums.h"

namespace kevent::observe {

using report::Add;
using report::Callback;
using report::IsQueued;
using report::Notify;
using report::Site;
using report::State;
using report::Table;
using report::Timer;

constinit thread_local unsigned t_number = report::kNoThread;

namespace {

uint64_t NumberOf(timer_t timer) { return reinterpret_cast<uint64_t>(timer); }

void CountFailure(Table* table, Site* site, int error) {
  Add(site->failed);
  if (error != EAGAIN) return;
  Add(site->again);
  rlimit limit = {};
  if (getrlimit(RLIMIT_SIGPENDING, &limit) == 0) table->most_signals = limit.rlim_cur;
}

void AddTimer(Table* table, Site* site, timer_t number, const sigevent* notification,
              Callback* callback) {
  Timer* const timer = report::TakeRow(table, NumberOf(number));
  if (timer == nullptr) {
    Add(table->dropped_timers);
    return;
  }
  timer->site = static_cast<uint32_t>(site - table->sites.data());
  if (site->notify == Notify::kKevent) {
    timer->queue = notification->sigev_kevent_fd;
  } else if (site->notify == Notify::kThreadId) {
    timer->thread = notification->_sigev_un._tid;
  }
  report::OpenRow(table, timer, NumberOf(number));
  if (callback != nullptr) {
    callback->serial = timer->serial.load();
    callback->timer.store(timer, std::memory_order_release);
  }
}

// A setting of one of the C library's timers.
struct Arming {
  int64_t first;  // expiration, on the timer's clock; 0: disarmed
  int64_t interval;
};

int64_t FirstOf(int flags, const itimerspec& value, int64_t now) {
  const int64_t first = report::Nanoseconds(value.it_value);
  return first == 0 || (flags & TIMER_ABSTIME) != 0 ? first : first + now;
}

// The setting before gives way to the next in one step: a signal handler or another thread that
// sets the timer in the same moment finds one of the two, and each is settled once.
Arming Begin(Timer& timer, int64_t first) {
  const int64_t interval = timer.setting.interval;
  return {timer.first.exchange(first), interval};
}

// How often a timer of the C library's has expired since it was set, as what is left of the setting
// and its clock say.
void Settle(const Site& site, Timer& timer, const Arming& ended, const itimerspec& left) {
  const auto& [first, interval] = ended;
  if (first == 0) return;
  const int64_t remaining = report::Nanoseconds(left.it_value);
  if (interval <= 0) {
    Add(remaining == 0 ? timer.expirations : timer.replaced);
    return;
  }
  const int64_t now = report::Now(site.clock);
  const int64_t next = now + remaining;
  // The clock was read a moment after the timer was, both times.
  const int64_t count = now == 0 ? 0 : (next - first + interval / 2) / interval;
  Add(count > 0 ? timer.expirations : timer.replaced, count > 0 ? static_cast<uint64_t>(count) : 1);
}

// The same by the clock alone.
void SettleBy(int64_t now, Timer& timer, const Arming& ended) {
  const auto& [first, interval] = ended;
  if (first == 0) return;
  if (now < first) {
    Add(timer.replaced);
  } else {
    Add(timer.expirations, interval > 0 ? static_cast<uint64_t>((now - first) / interval) + 1 : 1);
  }
}

// Reading the clock is no system call, and costs less than asking the timer.
bool IsCheap(clockid_t clock) {
  return clock == CLOCK_MONOTONIC || clock == CLOCK_REALTIME || clock == CLOCK_BOOTTIME;
}

void Remember(Timer& timer, int flags, const itimerspec& value) {
  timer.setting.value = report::Nanoseconds(value.it_value);
  timer.setting.interval = report::Nanoseconds(value.it_interval);
  timer.setting.flags = flags;
}

// Gives this thread a number, from which the counts of timers know it; there are few.
void NumberThread() {
  static constinit std::atomic<unsigned> last{0};
  if (t_number != report::kNoThread) return;
  if (last.load(std::memory_order_relaxed) >= report::kNoThread - 1) return;
  const unsigned number = last.fetch_add(1) + 1;
  if (number < report::kNoThread) t_number = number;
}

// The thread that sets a timer in a queue first counts its own settings from then on.
void Claim(Table* table, const Timer& timer) {
  NumberThread();
  const uint64_t number = timer.timer;
  const size_t row = report::RowOf(*table, timer);
  if (t_number == report::kNoThread || row != report::FirstRow(number)) return;
  uint16_t nobody = 0;
  table->hot[row].tag.compare_exchange_strong(nobody, report::TagOf(number, t_number));
}

void CountDisarming(Table* table, Timer& timer) {
  Add(timer.disarmings);
  timer.disarmed_by = report::SettingsOf(table->hot[report::RowOf(*table, timer)], timer);
}

void CountSetting(Table* table, Timer& timer, int flags, const itimerspec& value) {
  Add(timer.settings);
  Remember(timer, flags, value);
  if (timer.setting.value == 0) CountDisarming(table, timer);
}

}  // namespace

int Observer::CreateTimer(CreateCall next, clockid_t clock, sigevent* notification, timer_t* timer,
                          const void* caller) {
  Table* const table = IsAdapter(caller) ? nullptr : report::MakeTable();
  if (table == nullptr) return next(clock, notification, timer);
  Site* const site = report::FindSite(table, caller, clock, notification);
  if (site == nullptr) {
    Add(table->dropped_sites);
    return next(clock, notification, timer);
  }
  Callback* callback = nullptr;
  sigevent counting;
  if (site->notify == Notify::kThread && notification->sigev_notify_function != nullptr) {
    counting = *notification;
    callback = report::CountCallbacks(table, &counting);
    if (callback == nullptr) Add(table->dropped_callbacks);
  }
  const int result = next(clock, callback != nullptr ? &counting : notification, timer);
  const int error = errno;
  if (result == 0) {
    AddTimer(table, site, *timer, notification, callback);
  } else {
    CountFailure(table, site, error);
  }
  errno = error;
  return result;
}

int Observer::Carry(const std::atomic<SetCall>& entry, timer_t number, int flags,
                    const itimerspec* value, itimerspec* old_value) {
  Timer* const timer = report::FindTimer(report::CurrentTable(), NumberOf(number));
  if (timer != nullptr) Add(timer->settings, uint64_t{UINT16_MAX} + 1);
  return NextOf(entry)(number, flags, value, old_value);
}

int Observer::SetOther(const std::atomic<SetCall>& entry, timer_t number, int flags,
                       const itimerspec* value, itimerspec* old_value, const void* caller) {
  const SetCall next = NextOf(entry);
  if (next == nullptr) {
    errno = EAGAIN;
    return -1;
  }
  Table* const table = report::CurrentTable();
  Timer* const timer =
      table == nullptr || IsAdapter(caller) ? nullptr : report::FindTimer(table, NumberOf(number));
  if (timer == nullptr) return next(number, flags, value, old_value);
  const int before = errno;
  itimerspec left;
  const Site& site = table->sites[timer->site];
  const bool wants_left = !IsQueued(*timer) && old_value == nullptr && !IsCheap(site.clock);
  const int64_t first = timer->first;
  const int64_t now = IsQueued(*timer) ? 0 : report::Now(site.clock);
  const int result = next(number, flags, value, wants_left ? &left : old_value);
  if (result != 0) return result;
  if (IsQueued(*timer)) {
    CountSetting(table, *timer, flags, *value);
    Claim(table, *timer);
  } else {
    const Arming ended = Begin(*timer, FirstOf(flags, *value, now));
    // What is left is that of another setting if a signal handler or another thread has set the
    // timer during the call.
    if (IsCheap(site.clock) || ended.first != first) {
      SettleBy(now, *timer, ended);
    } else {
      Settle(site, *timer, ended, wants_left ? left : *old_value);
    }
    CountSetting(table, *timer, flags, *value);
  }
  errno = before;
  return result;
}

// What was left of the settings before is not known: of the C library's timers these count neither
// as expired nor as replaced.
int Observer::SetTimers(decltype(&kevent_settime) next, unsigned num, kevent_setting* settings,
                        const void* caller) {
  const int result = next(num, settings);
  Table* const table = report::CurrentTable();
  if (result <= 0 || table == nullptr || IsAdapter(caller)) return result;
  const int before = errno;
  for (unsigned i = 0; i < num; ++i) {
    const kevent_setting& setting = settings[i];
    Timer* const timer =
        setting.error == 0 ? report::FindTimer(table, NumberOf(setting.timer)) : nullptr;
    if (timer == nullptr) continue;
    CountSetting(table, *timer, setting.flags, setting.value);
    if (IsQueued(*timer)) continue;
    const int64_t now = report::Now(table->sites[timer->site].clock);
    Begin(*timer, FirstOf(setting.flags, setting.value, now));
  }
  errno = before;
  return result;
}

int Observer::GetOverrun(TimerCall next, timer_t number, const void* caller) {
  const int result = next(number);
  Table* const table = report::CurrentTable();
  if (result <= 0 || table == nullptr || IsAdapter(caller)) return result;
  Timer* const timer = report::FindTimer(table, NumberOf(number));
  // Those of queues come with the events.
  if (timer != nullptr && !IsQueued(*timer)) {
    Add(timer->overruns, static_cast<uint64_t>(result));
  }
  return result;
}

// The row ends first: once the timer is gone its number may be another's.
int Observer::DeleteTimer(TimerCall next, timer_t number, const void* caller) {
  Table* const table = report::CurrentTable();
  Timer* const timer =
      table == nullptr || IsAdapter(caller) ? nullptr : report::FindTimer(table, NumberOf(number));
  if (timer == nullptr) return next(number);
  const int before = errno;
  itimerspec left = {};
  const auto get = KEVENT_NEXT(timer_gettime);
  if (!IsQueued(*timer) && get != nullptr && get(number, &left) == 0) {
    Settle(table->sites[timer->site], *timer, Begin(*timer, 0), left);
  }
  errno = before;
  report::CloseRow(table, timer);
  const int result = next(number);
  if (result == 0) {
    timer->state.store(State::kEnded, std::memory_order_release);
  } else {
    timer->key = report::KeyOf(NumberOf(number));
  }
  return result;
}

namespace {

// What the C library's timers have done by the end is known as long as they are there.
__attribute__((destructor)) void SettleAll() {
  Table* const table = report::CurrentTable();
  const auto get = KEVENT_NEXT(timer_gettime);
  if (table == nullptr || get == nullptr) return;
  for (size_t row = 0; row < report::kTimers; ++row) {
    if (!report::HasMemory(table->has_timers, row, report::kTimers)) continue;
    Timer& timer = table->timers[row];
    itimerspec left = {};
    const int64_t first = timer.first;
    if (timer.key == 0 || first == 0 || get(timer_t(timer.timer), &left) != 0) continue;
    // A timer that still runs has not been replaced.
    const Site& site = table->sites[timer.site];
    if (report::Nanoseconds(left.it_value) != 0 && report::Now(site.clock) < first) continue;
    Settle(site, timer, Begin(timer, 0), left);
  }
  table->settled = 1;
  table->file.ended = NanosecondsOf(CLOCK_MONOTONIC);
}

}  // namespace
}  // namespace kevent::observe
