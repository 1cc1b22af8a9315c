// SPDX-License-Identifier: MIT
//
// What an armer does after it has replaced the setting word.  It runs in any
// thread and in signal handlers, takes no lock, and makes a system call only
// when the deadline is earlier than what the kernel was told.

#include <absl/base/attributes.h>
#include <absl/base/optimization.h>
#include <sys/epoll.h>

#include <cerrno>

#include "core/queue.h"
#include "core/registry.h"
#include "core/signals_blocked.h"
#include "core/system.h"
#include "core/timespec.h"

namespace kevent::core {
namespace {

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
  const AxisDeadline indexed(timer.indexed.load(std::memory_order_seq_cst));
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
  Axis& axis = axes_[index];
  const KernelRegister::State armed = axis.armed.Load();
  if (armed.value() >= Earliness(deadline.deadline()) && armed.told()) return;

  // Readable already: whoever collects will look into the inbox.  The collector
  // looks there again after it has withdrawn the announcement, and the leader
  // after it has set held_ (model: ASKS_NOT_WHETHER_HELD).
  const KernelRegister::State announced = announced_.Load();
  if (announced.value() != 0 && announced.told() && !held_.load(std::memory_order_seq_cst)) return;
  WakeKernel(axis, deadline.deadline());
}

ABSL_ATTRIBUTE_NOINLINE void Queue::WakeKernel(Axis& axis, Nanoseconds deadline) {
  const SignalsBlocked blocked;  // model: SIGNALS_NOT_BLOCKED
  if (!Pin()) return;            // a closed queue: its timers go on silently
  Nanoseconds now;
  const bool due =
      sys::Now(axis.clock.load(std::memory_order_relaxed), &now) == 0 && deadline <= now;
  if (!due) {
    Lower(axis, deadline);
  } else if (held_.load(std::memory_order_seq_cst)) {
    Lower(axes_[kMonotonicAxis], 1);
  } else {
    Announce();
  }
  if (!open()) Ring();  // closed meanwhile: what was told may have silenced it
  Unpin();
}

void Queue::Wake() {
  // As in Armed: whoever collects looks for it after the withdrawal, and the
  // leader after it has set held_.
  const KernelRegister::State announced = announced_.Load();
  if (announced.value() != 0 && announced.told() && !held_.load(std::memory_order_seq_cst)) return;
  const SignalsBlocked blocked;
  if (!Pin()) return;
  if (held_.load(std::memory_order_seq_cst)) {
    Lower(axes_[kMonotonicAxis], 1);
  } else {
    Announce();
  }
  if (!open()) Ring();
  Unpin();
}

void Queue::Announce() {
  announced_.RaiseTo(1);
  if (!announced_.Load().told()) TellAnnounced();
}

// Before dup2 takes a number it waits until nobody who is not going to sleep is
// between reading it and his system calls.
class Queue::Telling {
 public:
  explicit Telling(Queue& queue) : count_(queue.telling_) {
    count_.fetch_add(1, std::memory_order_seq_cst);
  }
  ~Telling() { count_.fetch_sub(1, std::memory_order_seq_cst); }
  Telling(const Telling&) = delete;
  Telling& operator=(const Telling&) = delete;

 private:
  std::atomic<uint32_t>& count_;
};

// Makes system calls on the epoll and another internal number; again when dup2
// is about to take one of them meanwhile, since the calls may have come too late,
// and without what they did for the old one.
template <typename Calls>
void Queue::UntilUnmoved(const std::atomic<int>& number, uint16_t role, Calls calls) {
  const Telling telling(*this);
  for (;;) {
    const int before = number.load(std::memory_order_seq_cst);
    const int epoll_before = epoll_.load(std::memory_order_seq_cst);
    calls();
    const bool moved = number.load(std::memory_order_seq_cst) != before;
    if (!moved && epoll_.load(std::memory_order_seq_cst) == epoll_before) return;
    if (moved && Owns(before - 1, role)) sys::EpollDelete(epoll(), before - 1);
  }
}

void Queue::TellAnnounced() {
  announced_.Tell([this](uint64_t on) {
    UntilUnmoved(always_ready_, kRoleAlwaysReady, [this, on] {
      if (on != 0) return SwitchOn();
      if (OwnsEpoll()) sys::EpollDelete(epoll(), always_ready());
      timerfd_announces_.store(false, std::memory_order_seq_cst);
    });
  });
}

// Makes the epoll readable, with a wake-up of whoever polls it, and a new edge
// for edge-triggered pollers.
//
// Not by switching the event mask of a permanent member: EPOLL_CTL_MOD wakes
// nobody while the member is still linked as ready from last time, which it is
// until somebody polls (fs/eventpoll.c, ep_modify).  A member that is there is
// a slower thread's that has yet to look again: its wake-up may be long past.
void Queue::SwitchOn() {
  // Closed by a system call that we don't see, they may be a stranger's.
  if (!OwnsEpoll() || !Owns(always_ready(), kRoleAlwaysReady)) return;
  int result = sys::EpollAdd(epoll(), always_ready(), EPOLLIN);
  if (result == -EEXIST) {
    sys::EpollDelete(epoll(), always_ready());
    result = sys::EpollAdd(epoll(), always_ready(), EPOLLIN);
  }
  // No memory for the member: a timerfd in the past needs none.
  const bool failed = result < 0 && result != -EEXIST;
  timerfd_announces_.store(failed, std::memory_order_seq_cst);
  if (failed) Lower(axes_[kMonotonicAxis], 1);
}

// Whether what is announced stays so when the timerfds are set; tries again.
bool Queue::AnnouncedByMember() {
  if (!timerfd_announces_.load(std::memory_order_seq_cst)) return true;
  if (announced_.Load().value() == 0) return true;
  UntilUnmoved(always_ready_, kRoleAlwaysReady, [this] { SwitchOn(); });
  return !timerfd_announces_.load(std::memory_order_seq_cst);
}

// Makes the internal epoll descriptor readable for a leader in either way of
// sleeping.  For a queue that is closed: nothing is to quieten it again (model:
// CLOSE_DOES_NOT_RING).
void Queue::Ring() {
  UntilUnmoved(always_ready_, kRoleAlwaysReady, [this] { SwitchOn(); });
  Axis& monotonic = axes_[kMonotonicAxis];
  UntilUnmoved(monotonic.source, kMonotonicAxis, [this, &monotonic] { ArmSource(monotonic, 1); });
}

void Queue::Lower(Axis& axis, Nanoseconds deadline) {
  axis.armed.RaiseTo(Earliness(deadline));
  if (!axis.armed.Load().told()) TellArmed(axis);
}

void Queue::TellArmed(Axis& axis) {
  axis.armed.Tell([this, &axis](uint64_t earliness) {
    UntilUnmoved(axis.source, IndexOf(axis),
                 [this, earliness, &axis] { ArmSource(axis, DeadlineOf(earliness)); });
  });
}

void Queue::ArmSource(Axis& axis, Nanoseconds deadline) {
  const int source = axis.source.load(std::memory_order_acquire) - 1;
  if (source < 0) return;
  const AxisKind kind = axis.kind.load(std::memory_order_acquire);
  if (kind == AxisKind::kCpuTime) {
    sys::ArmAlarm(source, deadline);
    return;
  }
  // Closed by a system call that we don't see, the number may be a stranger's.
  if (!Owns(source, IndexOf(axis))) return;
  if (kind != AxisKind::kTai || deadline == 0) {
    // Disarmed, it does not become readable when the clock is set either.
    sys::ArmTimerfd(source, deadline, false);
    return;
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
}

void Queue::AlarmFired(uint8_t index) {
  if (!Pin()) return;
  axes_[index].alarm_fired.store(true, std::memory_order_seq_cst);
  if (held_.load(std::memory_order_seq_cst)) {
    Lower(axes_[kMonotonicAxis], 1);
  } else {
    Announce();
  }
  Unpin();
}

}  // namespace kevent::core
