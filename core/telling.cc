// SPDX-License-Identifier: MIT
//
// What an armer does after it has replaced the setting word.  It runs in any
// thread and in signal handlers, takes no lock, and makes a system call only
// when the deadline is earlier than what the kernel was told.

#include <absl/base/attributes.h>
#include <absl/base/optimization.h>
#include <sys/epoll.h>

#include <cerrno>
#include <utility>

#include "core/kevent_set.h"
#include "core/queue.h"
#include "core/registry.h"
#include "core/signals_blocked.h"
#include "core/system.h"
#include "core/timespec.h"
#include "core/watching.h"

namespace kevent::core {
namespace {

// What `announced_` holds: how the queue is announced as readable.
constexpr uint64_t kSilent = 0;
constexpr uint64_t kOnce = 1;  // until the kernel has reported it
constexpr uint64_t kToStay = 2;

// The nearest, in nanoseconds.
int64_t WholeSeconds(int64_t nanoseconds) {
  constexpr auto kSecond = static_cast<int64_t>(kNanosecondsPerSecond);
  const int64_t half = nanoseconds < 0 ? -kSecond / 2 : kSecond / 2;
  return (nanoseconds + half) / kSecond * kSecond;
}

}  // namespace

void Queue::Armed(uint32_t slot, TimerSlot& timer, AxisDeadline deadline) {
  // An entry of the index that comes up earlier on the same axis has the
  // collector read the word in time.  The collector clears `indexed` before it
  // reads the word for the last time.
  const AxisDeadline indexed(timer.indexed.load());
  if (indexed.deadline() != 0 && indexed.deadline() < deadline.deadline() &&
      indexed.on_monotonic_axis() == deadline.on_monotonic_axis()) {
    return;
  }
  // Wiped in a child of fork: a signal handler has forked and returned there.
  QueueMemory* const memory = memory_;
  if (ABSL_PREDICT_FALSE(memory == nullptr)) return;
  inbox_.Mark(memory->inbox, slot);

  const uint8_t index =
      deadline.on_monotonic_axis() ? kMonotonicAxis : timer.axis.load(std::memory_order_relaxed);
  KernelTimer& kernel_timer = kernel_timers_[index];
  const KernelRegister::State armed = kernel_timer.armed.Load();
  if (armed.value() >= Earliness(deadline.deadline()) && armed.told()) return;

  // Readable already: whoever collects will look into the inbox.  The collector
  // looks there again after it has withdrawn the announcement, and the leader
  // after it has set held_ (model: ASKS_NOT_WHETHER_HELD).
  const KernelRegister::State announced = announced_.Load();
  if (announced.value() != 0 && announced.told() && !held_.load()) return;
  WakeKernel(kernel_timer, deadline.deadline());
}

ABSL_ATTRIBUTE_NOINLINE void Queue::WakeKernel(KernelTimer& timer, Nanoseconds deadline) {
  const SignalsBlocked blocked;  // model: SIGNALS_NOT_BLOCKED
  if (!Pin()) return;            // a closed queue: its timers go on silently
  Nanoseconds now;
  const bool due =
      sys::Now(timer.clock.load(std::memory_order_relaxed), &now) == 0 && deadline <= now;
  if (due) {
    Notify();
  } else {
    Lower(timer, deadline);
    if (!open()) Ring();  // closed meanwhile: what was told may have silenced it
  }
  Unpin();
}

// Something can be collected that the kernel does not know of.  Requires a pin, or
// the lock of an open queue.
void Queue::Notify() {
  if (held_.load()) {
    Lower(kernel_timers_[kMonotonicAxis], 1);
  } else {
    Announce();
  }
  // Closed meanwhile: what was told may have silenced what rings for the sleepers.
  if (!open()) Ring();
}

void Queue::Wake() {
  // As in Armed: whoever collects looks for it after the withdrawal, and the
  // leader after it has set held_.
  const KernelRegister::State announced = announced_.Load();
  if (announced.value() != 0 && announced.told() && !held_.load()) return;
  const SignalsBlocked blocked;
  if (!Pin()) return;
  Notify();
  Unpin();
}

void Queue::Announce() {
  const Counted announcing(announcing_);
  announced_.RaiseTo(kOnce);
  if (!announced_.Load().told()) TellAnnounced();
}

// Makes system calls on the epoll and another internal number; again when dup2
// is about to take one of them meanwhile, since the calls may have come too late,
// and without what they did for the old one.
template <typename Calls>
void Queue::UntilUnmoved(const std::atomic<int>& number, Calls calls) {
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

void Queue::TellAnnounced() {
  announced_.Tell([this](uint64_t how) { how != kSilent ? SwitchOn(how) : SwitchOff(); });
}

// Makes the epoll readable, with a wake-up of whoever polls it, and a new edge
// for edge-triggered pollers.
//
// EPOLL_CTL_MOD wakes nobody while the member is linked as ready from last time,
// which it is until it is taken (fs/eventpoll.c, ep_modify).  Who is alone finds it
// taken.  Else it may be a slower thread's that has yet to look again, and whose
// wake-up may be long past: then it is added anew.
void Queue::SwitchOn(uint64_t how) {
  const uint32_t events = how == kOnce ? EPOLLIN | EPOLLONESHOT : EPOLLIN;
  const uint64_t token = how == kOnce ? kAnnouncedOnce : kAnnounced;
  UntilUnmoved(always_ready_, [this, events, token] {
    // Closed by a system call that we don't see, they may be a stranger's.
    if (!OwnsEpoll() || !Owns(always_ready(), kRoleAlwaysReady)) return;
    const bool alone = announcing_.load(std::memory_order_seq_cst) == 1;
    int result = alone && token == kAnnouncedOnce
                     ? sys::EpollModify(epoll(), always_ready(), events, token)
                     : -ENOENT;
    if (result == -ENOENT) result = AddAnew(events, token);
    // No memory for the member: a timerfd in the past needs none.
    const bool failed = result < 0;
    timerfd_announces_.store(failed, std::memory_order_seq_cst);
    if (failed) Lower(kernel_timers_[kMonotonicAxis], 1);
  });
}

int Queue::AddAnew(uint32_t events, uint64_t token) {
  const int result = sys::EpollAdd(epoll(), always_ready(), events, token);
  if (result != -EEXIST) return result;
  sys::EpollDelete(epoll(), always_ready());
  const int again = sys::EpollAdd(epoll(), always_ready(), events, token);
  return again == -EEXIST ? 0 : again;  // another thread's, added just now
}

// By anybody: what he took along might be for the collector.
void Queue::SwitchOff() {
  UntilUnmoved(always_ready_, [this] {
    if (OwnsEpoll()) sys::EpollDelete(epoll(), always_ready());
  });
  timerfd_announces_.store(false, std::memory_order_seq_cst);
}

// By a collector, who takes it where nothing else can be taken along: with what it
// takes to switch it on again, half of what deleting and adding costs.
//
// The kernel need not show it (fs/eventpoll.c from Linux 5.11 on, ep_poll: without a
// timeout the list of what is ready is looked at without its lock, and it is empty for
// a moment when another thread polls).  What was not seen to be taken is deleted: left
// on, it would make the queue readable for ever, and no new edge.
void Queue::TakeAnnouncement() {
  const KeventSet* const set = kevents();
  if (set != nullptr && set->watches()) return SwitchOff();
  UntilUnmoved(always_ready_, [this] {
    if (!OwnsEpoll()) return;
    epoll_event found[kMaxAxes + 1];
    const int count = sys::EpollTake(epoll(), found, axis_count() + 1);
    bool taken = false;
    for (int i = 0; i < count; ++i) taken = taken || found[i].data.u64 == kAnnouncedOnce;
    if (!taken) sys::EpollDelete(epoll(), always_ready());
  });
  timerfd_announces_.store(false, std::memory_order_seq_cst);
}

// Switches the announcement off; true when it was on.  Also where a harvest has
// taken it: since then another thread may have added it anew.
bool Queue::Withdraw() {
  if (Unannounced()) return false;
  const Counted announcing(announcing_);
  WantUnannounced();
  TellWithdrawn(false);
  return true;
}

// The same by a harvest, which takes the announcement along with what is ready;
// *more as Harvest says.
bool Queue::WithdrawByHarvest(unsigned wanted, KeventSet* set, bool* more) {
  if (Unannounced()) {
    *more = set->Harvest(wanted);
    return false;
  }
  const Counted announcing(announcing_);
  WantUnannounced();
  *more = set->Harvest(wanted);
  TellWithdrawn(set->TookAnnouncement());
  return true;
}

// What a slower thread has switched on late, and has yet to see that it is not
// wanted: that may take long, as it may have to wait for the very thread that
// finds the queue readable in vain again and again.
void Queue::WithdrawInVain() {
  if (announcing_.load(std::memory_order_seq_cst) == 0 || !Unannounced()) return;
  const Counted announcing(announcing_);
  announced_.Tell([this](uint64_t how) {
    lock_.AssertHeld();
    how != kSilent ? SwitchOn(how) : TakeAnnouncement();
  });
}

bool Queue::Unannounced() const {
  const KernelRegister::State seen = announced_.Load();
  return seen.value() == kSilent && seen.told();
}

void Queue::WantUnannounced() {
  KernelRegister::State seen = announced_.Load();
  while (seen.value() != kSilent && !announced_.Replace(seen, kSilent)) seen = announced_.Load();
}

void Queue::TellWithdrawn(bool taken) {
  const KernelRegister::State seen = announced_.Load();
  if (seen.told()) {
    // Announced and told by another thread meanwhile: that may be what was taken.
    if (taken && seen.value() != kSilent) AnnounceToStay();
    return;
  }
  announced_.Tell([this, &taken](uint64_t how) {
    lock_.AssertHeld();
    if (how != kSilent) return SwitchOn(how);
    if (!std::exchange(taken, false)) TakeAnnouncement();
  });
}

// What a harvest has taken is to be left on (model: WHAT_WAS_TAKEN_IS_LEFT_OFF): so
// that the next one does not take it again, which would wake a holding leader each
// time.
void Queue::AnnounceToStay() {
  const Counted announcing(announcing_);
  const KernelRegister::State seen = announced_.Load();
  if (seen.value() == kOnce) announced_.Replace(seen, kToStay);
  announced_.RaiseTo(kOnce);
  if (!announced_.Load().told()) TellAnnounced();
}

// Whether what is announced stays so when the timerfds are set; tries again.
bool Queue::AnnouncedByMember() {
  if (!timerfd_announces_.load(std::memory_order_seq_cst)) return true;
  if (announced_.Load().value() == 0) return true;
  SwitchOn(kToStay);
  return !timerfd_announces_.load(std::memory_order_seq_cst);
}

// Makes the internal epoll descriptor readable for a leader in either way of
// sleeping.  For a queue that is closed: nothing is to quieten it again (model:
// CLOSE_DOES_NOT_RING).
void Queue::Ring() {
  SwitchOn(kToStay);
  KernelTimer& monotonic = kernel_timers_[kMonotonicAxis];
  UntilUnmoved(monotonic.source, [this, &monotonic] { ArmSource(monotonic, 1); });
}

void Queue::Lower(KernelTimer& timer, Nanoseconds deadline) {
  timer.armed.RaiseTo(Earliness(deadline));
  if (!timer.armed.Load().told()) TellArmed(timer);
}

void Queue::TellArmed(KernelTimer& timer) {
  timer.armed.Tell([this, &timer](uint64_t earliness) {
    UntilUnmoved(timer.source,
                 [this, earliness, &timer] { ArmSource(timer, DeadlineOf(earliness)); });
  });
}

void Queue::ArmSource(KernelTimer& timer, Nanoseconds deadline) {
  const int source = timer.source.load(std::memory_order_acquire) - 1;
  if (source < 0) return;
  const AxisKind kind = timer.kind.load(std::memory_order_acquire);
  if (kind == AxisKind::kCpuTime) {
    return NoteRefusal(sys::ArmAlarm(source, deadline));
  }
  // Closed by a system call that we don't see, the number may be a stranger's.
  if (!Owns(source, IndexOf(timer))) return NoteRefusal(sys::MarkOf(source));
  if (kind != AxisKind::kTai || deadline == 0) {
    // Disarmed, it does not become readable when the clock is set either.
    return NoteRefusal(sys::ArmTimerfd(source, deadline, false));
  }
  // Again when the clock was set between reading the two clocks and arming.
  int result;
  do {
    Nanoseconds tai;
    Nanoseconds realtime;
    sys::Now(CLOCK_TAI, &tai);
    sys::Now(CLOCK_REALTIME, &realtime);
    // A whole number of seconds; the clocks are read one after the other, with
    // perhaps a preemption in between.
    const int64_t offset = WholeSeconds(static_cast<int64_t>(tai - realtime));
    const int64_t moment = static_cast<int64_t>(deadline) - offset;
    result = sys::ArmTimerfd(source, moment > 0 ? static_cast<Nanoseconds>(moment) : 1, true);
  } while (result == -ECANCELED);
  NoteRefusal(result);
}

// A sandbox that was made around the process after the queue, by whatever error it has;
// and not what the kernel says of a number that was closed or is a stranger's, or of a
// thread that has ended.
void Queue::NoteRefusal(int result) {
  if (result >= 0 || result == -EBADF || result == -EINVAL || result == -ESRCH) return;
  refusal_.store(result, std::memory_order_relaxed);
}

void Queue::AlarmFired(uint8_t index) {
  if (!Pin()) return;
  kernel_timers_[index].alarm_fired.store(true, std::memory_order_seq_cst);
  Notify();
  Unpin();
}

}  // namespace kevent::core
