// SPDX-License-Identifier: MIT
//
// Tells the kernel that something can be collected in a queue, and when something will be.

#include "core/queue/doorbell.h"

#include <sys/epoll.h>

#include <cerrno>
#include <utility>

#include "core/base/invariant.h"
#include "core/base/timespec.h"
#include "core/kevents/epoll_members.h"
#include "core/system/system.h"

namespace kevent::core {
namespace {

// The nearest whole second, in nanoseconds.
int64_t WholeSeconds(int64_t nanoseconds) {
  constexpr auto kSecond = static_cast<int64_t>(kNanosecondsPerSecond);
  const int64_t half = nanoseconds < 0 ? -kSecond / 2 : kSecond / 2;
  return (nanoseconds + half) / kSecond * kSecond;
}

}  // namespace

// ---- Armers -----------------------------------------------------------------

void Doorbell::NotifyAt(uint8_t index, Nanoseconds deadline) {
  Nanoseconds now;
  const clockid_t clock = timers_[index].clock.load(std::memory_order_relaxed);
  if (sys::Now(clock, &now) == 0 && deadline <= now) return Notify();
  Lower(index, deadline);
  if (!lifetime_->open()) Ring();  // closed meanwhile: this telling may have silenced it
}

void Doorbell::Notify() {
  if (held_.load()) {
    Lower(kMonotonicAxis, 1);
  } else {
    Announce();
  }
  // Closed meanwhile: this telling may have silenced the timer that rings for the sleepers.
  if (!lifetime_->open()) Ring();
}

void Doorbell::NoteAlarm(uint8_t index) {
  timers_[index].alarm_fired.store(true, std::memory_order_seq_cst);
  Notify();
}

void Doorbell::Ring() {
  SwitchOn(kToStay);
  UntilUnmoved(timers_[kMonotonicAxis].source, [this] { ArmSource(kMonotonicAxis, 1); });
}

// ---- The announcement -------------------------------------------------------

void Doorbell::Announce() {
  const Counted announcing(announcing_);
  announced_.RaiseTo(kOnce);
  if (!announced_.Load().told()) TellAnnounced();
}

void Doorbell::AnnounceToStay() {
  const Counted announcing(announcing_);
  const KernelRegister::State seen = announced_.Load();
  if (seen.value() == kOnce) announced_.Replace(seen, kToStay);
  announced_.RaiseTo(kOnce);
  if (!announced_.Load().told()) TellAnnounced();
}

bool Doorbell::Withdraw(Members members) {
  if (Unannounced()) return false;
  {
    const Counted announcing(announcing_);
    WantUnannounced();
    TellWithdrawn(members, false);
  }
  CheckInDebugBuild(*this);
  return true;
}

void Doorbell::WithdrawInVain(Members members) {
  if (announcing_.load(std::memory_order_seq_cst) == 0 || !Unannounced()) return;
  const Counted announcing(announcing_);
  announced_.Tell([this, members](uint64_t how) {
    how != kSilent ? SwitchOn(how) : TakeAnnouncement(members);
  });
}

bool Doorbell::Unannounced() const {
  const KernelRegister::State seen = announced_.Load();
  return seen.value() == kSilent && seen.told();
}

void Doorbell::WantUnannounced() {
  KernelRegister::State seen = announced_.Load();
  while (seen.value() != kSilent && !announced_.Replace(seen, kSilent)) seen = announced_.Load();
}

void Doorbell::TellWithdrawn(Members members, bool taken) {
  const KernelRegister::State seen = announced_.Load();
  if (seen.told()) {
    // Another thread has announced the queue and told the kernel meanwhile; the harvest may have
    // taken that announcement.
    if (taken && seen.value() != kSilent) AnnounceToStay();
    return;
  }
  announced_.Tell([this, members, &taken](uint64_t how) {
    if (how != kSilent) return SwitchOn(how);
    if (!std::exchange(taken, false)) return TakeAnnouncement(members);
    timerfd_announces_.store(false, std::memory_order_seq_cst);
  });
}

void Doorbell::TellAnnounced() {
  announced_.Tell([this](uint64_t how) { how != kSilent ? SwitchOn(how) : SwitchOff(); });
}

// Makes system calls on the epoll and another internal number.  If dup2 is about to take one of the
// numbers meanwhile, makes them again: the calls may have come too late, and what they did for the
// old number does not hold for the new one.
template <typename Calls>
void Doorbell::UntilUnmoved(const std::atomic<int>& number, Calls calls) {
  const NumbersUsed used(*this);
  for (;;) {
    const int before = number.load(std::memory_order_seq_cst);
    const int epoll_before = epoll_.load(std::memory_order_seq_cst);
    calls();
    const bool moved = number.load(std::memory_order_seq_cst) != before;
    if (!moved && epoll_.load(std::memory_order_seq_cst) == epoll_before) return;
    if (moved && Owns(before - 1, kRoleLeft)) sys::EpollDelete(epoll(), before - 1);
  }
}

// Makes the epoll readable, wakes the threads that poll it, and makes a new edge for edge-triggered
// pollers.
//
// EPOLL_CTL_MOD wakes no thread while the member is linked as ready from last time, which it is
// until it is taken (fs/eventpoll.c, ep_modify).  A thread that is alone in announcing finds it
// taken.  If it is not alone, the member may have been switched on by a slower thread that has yet
// to look again, with a wake-up that is long past: then the member is added anew.
void Doorbell::SwitchOn(uint64_t how) {
  const uint32_t events = how == kOnce ? EPOLLIN | EPOLLONESHOT : EPOLLIN;
  const uint64_t token = how == kOnce ? kAnnouncedOnce : kAnnounced;
  UntilUnmoved(always_ready_, [this, events, token] {
    // Numbers that were closed by a system call that the library does not see may be a stranger's.
    if (!OwnsEpoll() || !Owns(always_ready(), kRoleAlwaysReady)) return;
    const bool alone = announcing_.load(std::memory_order_seq_cst) == 1;
    int result = alone && token == kAnnouncedOnce
                     ? sys::EpollModify(epoll(), always_ready(), events, token)
                     : -ENOENT;
    if (result == -ENOENT) result = AddAnew(events, token);
    // If the kernel has no memory for the member, a timerfd in the past announces: that needs none.
    const bool failed = result < 0;
    timerfd_announces_.store(failed, std::memory_order_seq_cst);
    if (failed) Lower(kMonotonicAxis, 1);
  });
}

int Doorbell::AddAnew(uint32_t events, uint64_t token) {
  const int result = sys::EpollAdd(epoll(), always_ready(), events, token);
  if (result != -EEXIST) return result;
  sys::EpollDelete(epoll(), always_ready());
  const int again = sys::EpollAdd(epoll(), always_ready(), events, token);
  return again == -EEXIST ? 0 : again;  // another thread has added it just now
}

// Any thread may run this, so it deletes the member: taking its report could take along events that
// are for a collector.
void Doorbell::SwitchOff() {
  UntilUnmoved(always_ready_, [this] {
    if (OwnsEpoll()) sys::EpollDelete(epoll(), always_ready());
  });
  timerfd_announces_.store(false, std::memory_order_seq_cst);
}

// A collector takes the report if nothing else can be taken along: taking it and switching the
// member on again costs half of deleting and adding.
//
// The kernel may fail to show the report (fs/eventpoll.c from Linux 5.11 on, ep_poll: without a
// timeout the list of ready members is looked at without its lock, and it is empty for a moment
// when another thread polls).  So a member that was not seen to be taken is deleted: left on, it
// would make the queue readable for ever, and no new edge.
void Doorbell::TakeAnnouncement(Members members) {
  if (members == Members::kOthers) return SwitchOff();
  UntilUnmoved(always_ready_, [this] {
    if (!OwnsEpoll()) return;
    epoll_event found[kMaxAxes + 2];
    const int count = sys::EpollTake(epoll(), found, own_members());
    bool taken = false;
    for (int i = 0; i < count; ++i) taken = taken || found[i].data.u64 == kAnnouncedOnce;
    if (!taken) sys::EpollDelete(epoll(), always_ready());
  });
  timerfd_announces_.store(false, std::memory_order_seq_cst);
}

bool Doorbell::TimerAnnounces() const {
  return timerfd_announces_.load(std::memory_order_seq_cst) && announced_.Load().value() != kSilent;
}

bool Doorbell::TimersAreFree() {
  if (!TimerAnnounces()) return true;
  SwitchOn(kToStay);
  return !timerfd_announces_.load(std::memory_order_seq_cst);
}

// ---- Kernel timers ----------------------------------------------------------

void Doorbell::Lower(uint8_t index, Nanoseconds deadline) {
  KernelTimer& timer = timers_[index];
  timer.armed.RaiseTo(Earliness(deadline));
  if (!timer.armed.Load().told()) TellArmed(index);
}

// The second timer is set after the first: one of them is always no later than the next deadline.
bool Doorbell::Rearm(uint8_t index, const NextDeadlines& next, Nanoseconds now,
                     bool found_nothing) {
  if (index != kMonotonicAxis || (second_.told() == 0 && next.second == 0)) {
    return SetLater(index, next.first, now, found_nothing);
  }
  const bool one_has_come =
      second_.HasCome(now) || KernelTimer::HasCome(timers_[index].armed.Load(), now);
  const bool covered = second_.Covers(next);
  const bool later = SetLater(index, covered ? next.second : next.first, now, found_nothing);
  if (!covered && one_has_come) NoteRefusal(second_.SetAhead(queue_, next));
  return later;
}

bool Doorbell::SetLater(uint8_t index, Nanoseconds next, Nanoseconds now, bool found_nothing) {
  KernelTimer& timer = timers_[index];
  const uint64_t wanted = Earliness(next);
  KernelRegister::State seen = timer.armed.Load();
  bool spent = KernelTimer::HasCome(seen, now);
  if (timer.alarm_fired.load(std::memory_order_seq_cst) &&
      timer.alarm_fired.exchange(false, std::memory_order_seq_cst)) {
    spent = true;
  }
  if (!spent && found_nothing && seen.value() != 0) {
    // After a wake-up in vain by the second timer, there is to be none by the first: it is put off
    // before it has come, which the caller is told (model: PUT_OFF_WITHOUT_LOOKING_AGAIN).
    const bool in_vain = index == kMonotonicAxis && second_.HasCome(now);
    spent = in_vain ? seen.value() != wanted : timer.IsReadableInVain();
  }

  // Only a timerfd stays readable.
  const bool stays = timer.kind.load(std::memory_order_acquire) != AxisKind::kCpuTime;
  while (spent &&
         !(stays && KernelTimer::HasCome(seen, now) ? timer.armed.ReplaceAndPromise(seen, wanted)
                                                    : timer.armed.Replace(seen, wanted))) {
    seen = timer.armed.Load();
    spent = KernelTimer::HasCome(seen, now);
  }
  if (!spent) {
    timer.armed.RaiseTo(wanted);
  } else if (index == kMonotonicAxis && TimerAnnounces()) {
    // An armer has found the kernel without memory since the collector withdrew the announcement.
    timer.armed.RaiseTo(Earliness(1));
  }
  if (!timer.armed.Load().told()) TellArmed(index);
  return spent && wanted < seen.value();
}

void Doorbell::TellArmed(uint8_t index) {
  timers_[index].armed.Tell([this, index](uint64_t earliness) {
    UntilUnmoved(timers_[index].source,
                 [this, earliness, index] { ArmSource(index, DeadlineOf(earliness)); });
  });
}

void Doorbell::ArmSource(uint8_t index, Nanoseconds deadline) {
  const int source = timers_[index].source.load(std::memory_order_acquire) - 1;
  if (source < 0) return;
  const AxisKind kind = timers_[index].kind.load(std::memory_order_acquire);
  if (kind == AxisKind::kCpuTime) {
    return NoteRefusal(sys::ArmAlarm(source, deadline));
  }
  // A number that was closed by a system call that the library does not see may be a stranger's.
  if (!Owns(source, index)) return NoteRefusal(sys::MarkOf(source));
  if (kind != AxisKind::kTai || deadline == 0) {
    // A disarmed timerfd does not become readable when the clock is set either.
    return NoteRefusal(sys::ArmTimerfd(source, deadline, false));
  }
  // The clocks are read again if the clock was set between reading them and arming.
  int result;
  do {
    Nanoseconds tai;
    Nanoseconds realtime;
    sys::Now(CLOCK_TAI, &tai);
    sys::Now(CLOCK_REALTIME, &realtime);
    // The offset is a whole number of seconds; the clocks are read one after the other, with
    // perhaps a preemption in between.
    const int64_t offset = WholeSeconds(static_cast<int64_t>(tai - realtime));
    const int64_t moment = static_cast<int64_t>(deadline) - offset;
    result = sys::ArmTimerfd(source, moment > 0 ? static_cast<Nanoseconds>(moment) : 1, true);
  } while (result == -ECANCELED);
  NoteRefusal(result);
}

// A sandbox that was made around the process after the queue refuses, by whatever error it has.
// The kernel's answers for a number that was closed or is a stranger's, or for a thread that has
// ended, are no refusal.
void Doorbell::NoteRefusal(int result) {
  if (result >= 0 || result == -EBADF || result == -EINVAL || result == -ESRCH) return;
  refusal_.store(result, std::memory_order_relaxed);
}

// ---- Invariants -------------------------------------------------------------

// Armers go on meanwhile, and so may the last pin of a closed queue, which closes the numbers.
const char* Doorbell::Check() const {
  if (lifetime_ == nullptr) return nullptr;
  const uint32_t incarnation = lifetime_->incarnation();
  const bool open = lifetime_->open();
  const char* broken = CheckAnnouncement();
  if (broken == nullptr && open) broken = CheckNumbers();
  if (broken == nullptr && open) broken = CheckTimers();
  if (broken == nullptr && closed_numbers_.load() && (epoll_.load() | always_ready_.load()) != 0) {
    broken = "its numbers were closed, and it has one";
  }
  const bool as_before = lifetime_->open() == open && lifetime_->incarnation() == incarnation;
  return as_before ? broken : nullptr;
}

// While the register is unchanged and no thread is announcing, the kernel has been told, whatever
// the other threads did before.
const char* Doorbell::CheckAnnouncement() const {
  constexpr uint32_t kMost = UINT32_MAX / 2;
  if (telling_.load() > kMost) return "more threads have finished with its numbers than begun";
  if (announcing_.load() > kMost) return "more threads have finished announcing than begun";
  const KernelRegister::State seen = announced_.Load();
  if (seen.value() > kToStay) return "it is announced in a way that there is not";
  const bool timer_announces = timerfd_announces_.load();
  const KernelRegister::State armed = timers_[kMonotonicAxis].armed.Load();
  if (announcing_.load() != 0 || !(announced_.Load() == seen) || !lifetime_->open()) return nullptr;
  if (!seen.told()) return "nobody tells the kernel of the announcement";
  if (!timer_announces) return nullptr;
  if (seen.value() == kSilent) return "the timer announces what is not announced";
  return armed.value() == Earliness(1) ? nullptr : "the timer that announces is set to come later";
}

const char* Doorbell::CheckNumbers() const {
  if (epoll_.load() == 0) return "it is open and has no epoll";
  if (always_ready_.load() == 0) return "it is open and cannot be announced";
  if (timers_[kMonotonicAxis].source.load() != monotonic_timerfd_->load()) {
    return "the number of its monotonic timer is not the one that outlives a fork";
  }
  return nullptr;
}

const char* Doorbell::CheckTimers() const {
  const uint32_t count = timer_count_.load();
  if (count == 0 || timers_[kMonotonicAxis].clock.load() != CLOCK_MONOTONIC) {
    return "it is open and has no monotonic timer";
  }
  for (uint32_t i = 0; i < kMaxAxes; ++i) {
    const KernelTimer& timer = timers_[i];
    const AxisKind kind = timer.kind.load();
    if (kind == AxisKind::kUnused) continue;
    if (i >= count) return "a timer is in use that is not counted";
    if (timer.source.load() == 0) return "a timer has no kernel object";
    if (timer.ended.load() && kind != AxisKind::kCpuTime)
      return "a clock has ended that is no thread's";
  }
  if (second_.told() != 0 && timers_[kMonotonicAxis].armed.Load().value() == 0) {
    return "the second timer is set, and the first one is not";
  }
  return second_.Check();
}

}  // namespace kevent::core
