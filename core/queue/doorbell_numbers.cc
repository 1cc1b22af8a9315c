// SPDX-License-Identifier: MIT
//
// The kernel objects of a doorbell and their numbers: making them, closing them, and moving
// them out of the way of a dup2.

#include <sys/epoll.h>

#include <cerrno>

#include "core/base/invariant.h"
#include "core/descriptors/internal_descriptors.h"
#include "core/queue/alarm_thread.h"
#include "core/queue/doorbell.h"
#include "core/system/system.h"

namespace kevent::core {

// ---- Life -------------------------------------------------------------------

void Doorbell::Init(uint32_t queue, const Lifetime* lifetime, std::atomic<int>* monotonic_timerfd) {
  queue_ = queue;
  lifetime_ = lifetime;
  monotonic_timerfd_ = monotonic_timerfd;
}

int Doorbell::Open() {
  held_.exchange(false);
  timerfd_announces_.store(false, std::memory_order_relaxed);
  left_a_number_.store(false, std::memory_order_relaxed);
  closed_numbers_.store(false, std::memory_order_relaxed);
  refusal_.store(0, std::memory_order_relaxed);
  exit_requested_.store(false, std::memory_order_relaxed);
  announced_.Reset();
  for (uint32_t i = 0; i < timer_count_.load(std::memory_order_relaxed); ++i) {
    timers_[i].kind.store(AxisKind::kUnused, std::memory_order_relaxed);
    timers_[i].armed.Reset();
  }
  timer_count_.store(0, std::memory_order_relaxed);

  int error = Adopt(AdoptDescriptor(queue_, kRoleEpoll, sys::CreateEpoll), &epoll_);
  if (error == 0) error = Adopt(AdoptAlwaysReady(), &always_ready_);
  uint8_t monotonic;
  bool made;
  if (error == 0) {
    error = FindOrMakeTimer({CLOCK_MONOTONIC, AxisKind::kTimerfd, false}, &monotonic, &made);
  }
  return error;
}

void Doorbell::Close() {
  const uint32_t count = timer_count();
  for (uint32_t i = 0; i < count; ++i) CloseSource(static_cast<uint8_t>(i));
  second_.Close(queue_);
  CloseAlwaysReady();
  CloseNumber(&epoll_, kRoleEpoll);
  // From here on a call of dup2 itself closes a number that it has left open.
  closed_numbers_.store(true, std::memory_order_seq_cst);
}

// ---- Numbers ----------------------------------------------------------------

bool Doorbell::Owns(int fd, uint16_t role) const { return OwnsDescriptor(fd, queue_, role); }

// Stores the number under which a descriptor was adopted; 0 or an errno.
int Doorbell::Adopt(int adopted, std::atomic<int>* number) {
  if (adopted < 0) return -adopted;
  number->store(adopted + 1, std::memory_order_release);
  return 0;
}

void Doorbell::CloseNumber(std::atomic<int>* number, uint16_t role) {
  const int fd = number->exchange(0, std::memory_order_acq_rel) - 1;
  if (fd >= 0) ReleaseDescriptor(fd, queue_, role);
}

std::atomic<int>* Doorbell::NumberOf(uint16_t role) {
  switch (role) {
    case kRoleEpoll:
      return &epoll_;
    case kRoleAlwaysReady:
      return &always_ready_;
    case kRoleSecondTimer:
      return second_.place_of_number();
    default:
      return role < kMaxAxes ? &timers_[role].source : nullptr;
  }
}

bool Doorbell::LeaveOpen() {
  left_a_number_.store(true, std::memory_order_seq_cst);
  // The queue may have closed the numbers that were left before this one was.
  return closed_numbers_.load(std::memory_order_seq_cst);
}

int Doorbell::BeginMove(int fd, uint16_t role, int* to) {
  if (NumberOf(role)->load(std::memory_order_acquire) != fd + 1) return EAGAIN;
  // The pipe is made anew rather than copied: a thread that closes a copy drops the table's lock.
  const int moved = role == kRoleAlwaysReady ? AdoptAlwaysReady() : CopyInternal(fd, queue_, role);
  if (moved < 0) return EBUSY;
  *to = moved;
  return 0;
}

// An epoll knows its members by number as well: a timerfd becomes a member under the new number
// before the old one goes.
int Doorbell::FinishMove(int fd, uint16_t role, int to, int error) {
  if (role < kMaxAxes || role == kRoleSecondTimer) error = sys::EpollAdd(epoll(), to, EPOLLIN);
  if (error != 0) {
    ReleaseDescriptor(to, queue_, role);
    return EBUSY;
  }
  NumberOf(role)->store(to + 1, std::memory_order_seq_cst);
  if (role == kMonotonicAxis) monotonic_timerfd_->store(to + 1, std::memory_order_release);
  Registry::Change(fd, Registration::Internal(queue_, role),
                   Registration::Internal(queue_, kRoleLeft));
  if (role != kRoleEpoll) sys::EpollDelete(epoll(), fd);
  if (role == kRoleAlwaysReady) TellAnnounced();
  CheckInDebugBuild(*this);
  return 0;
}

// ---- Timers -----------------------------------------------------------------

int Doorbell::FindOrMakeTimer(const ClockPlan& plan, uint8_t* index, bool* made) {
  *made = false;
  const uint32_t count = timer_count_.load(std::memory_order_relaxed);
  uint32_t unused = count;
  for (uint32_t i = 0; i < count; ++i) {
    const KernelTimer& timer = timers_[i];
    if (timer.kind.load(std::memory_order_relaxed) == AxisKind::kUnused) {
      unused = i;
    } else if (timer.clock.load(std::memory_order_relaxed) == plan.clock &&
               ServesNewTimers(static_cast<uint8_t>(i))) {
      *index = static_cast<uint8_t>(i);
      return 0;
    }
  }
  if (unused == kMaxAxes) return EAGAIN;
  *index = static_cast<uint8_t>(unused);
  if (const int error = MakeTimer(*index, plan); error != 0) return error;
  if (unused == count) timer_count_.store(count + 1, std::memory_order_release);
  *made = true;
  return 0;
}

// False for the alarm of a thread that has ended: timers on its clock may be left when a thread is
// made that has the same id.
bool Doorbell::ServesNewTimers(uint8_t index) {
  KernelTimer& timer = timers_[index];
  if (timer.kind.load(std::memory_order_relaxed) != AxisKind::kCpuTime) return true;
  if (!timer.IsPast()) return timer.OwnerLives();
  const bool lives = timer.OwnerLivesAndPutOff();
  // The alarm may have been put off before it expired.
  if (lives) NoteAlarm(index);
  return lives;
}

int Doorbell::MakeTimer(uint8_t index, const ClockPlan& plan) {
  KernelTimer& timer = timers_[index];
  timer.clock.store(plan.clock, std::memory_order_relaxed);
  timer.relative_on_monotonic.store(plan.relative_on_monotonic, std::memory_order_relaxed);
  timer.alarm_fired.store(false, std::memory_order_relaxed);
  timer.ended.store(false, std::memory_order_relaxed);
  const bool is_alarm = plan.kind == AxisKind::kCpuTime;
  const int error = is_alarm ? MakeAlarm(index, plan.clock) : MakeTimerfd(index, plan);
  if (error != 0) return error;
  // The register is reset last: calls of the clock's former timers may still tell something until
  // here, which is forgotten.
  timer.armed.Reset();
  timer.kind.store(plan.kind, std::memory_order_release);
  return 0;
}

int Doorbell::MakeAlarm(uint8_t index, clockid_t clock) {
  const int thread = Alarms().Reserve();
  if (thread < 0) return -thread;
  int alarm;
  const int value = static_cast<int>(queue_ << 8 | index);
  if (const int error = sys::CreateAlarm(clock, thread, value, &alarm); error < 0) {
    Alarms().Unreserve();
    return -error;
  }
  timers_[index].source.store(alarm + 1, std::memory_order_release);
  return 0;
}

int Doorbell::MakeTimerfd(uint8_t index, const ClockPlan& plan) {
  std::atomic<int>* const source = &timers_[index].source;
  const clockid_t base = plan.kind == AxisKind::kTai ? CLOCK_REALTIME : plan.clock;
  const auto create = [base] { return sys::CreateTimerfd(base); };
  if (const int error = Adopt(AdoptDescriptor(queue_, index, create), source); error != 0) {
    return error;
  }
  const int timerfd = source->load(std::memory_order_relaxed) - 1;
  if (index == kMonotonicAxis) monotonic_timerfd_->store(timerfd + 1, std::memory_order_release);
  int error = sys::EpollAdd(epoll(), timerfd, EPOLLIN);
  // The timerfd is disarmed already; but if a sandbox forbids to arm it, the queue is not made, as
  // it would never ring.
  if (error == 0) error = sys::ArmTimerfd(timerfd, 0, false);
  if (error < 0) CloseNumber(source, index);
  return -error;
}

void Doorbell::DropTimer(uint8_t index) {
  CloseSource(index);
  timers_[index].kind.store(AxisKind::kUnused, std::memory_order_release);
}

void Doorbell::CloseSource(uint8_t index) {
  KernelTimer& timer = timers_[index];
  if (timer.kind.load(std::memory_order_acquire) != AxisKind::kCpuTime) {
    CloseNumber(&timer.source, index);
  } else if (const int alarm = timer.source.exchange(0, std::memory_order_acq_rel); alarm != 0) {
    sys::DeleteAlarm(alarm - 1);
    Alarms().Unreserve();
  }
}

unsigned Doorbell::TimersToPoll(pollfd* descriptors) const {
  unsigned count = 0;
  for (uint32_t i = 0; i < timer_count(); ++i) {
    const AxisKind kind = timers_[i].kind.load(std::memory_order_acquire);
    if (kind == AxisKind::kUnused || kind == AxisKind::kCpuTime) continue;
    const int fd = timers_[i].source.load(std::memory_order_acquire) - 1;
    descriptors[count++] = {fd, POLLIN, 0};
  }
  return count;
}

// ---- The caller's table of descriptors -----------------------------------------

// Locks the pipe for this table (core/descriptors/kept_table.h).
//
// The pipe is locked before it is registered as kRoleAlwaysReady: a child of clone(CLONE_FILES),
// which finds the registry as it was at some moment, knows by a pipe without a lock that its parent
// has ended.
int Doorbell::AdoptAlwaysReady() const {
  const int fd = AdoptFullPipe(queue_, kRolePrivate);
  if (fd < 0) return fd;
  sys::LockTable(fd);
  Registry::Change(fd, Registration::Internal(queue_, kRolePrivate),
                   Registration::Internal(queue_, kRoleAlwaysReady));
  return fd;
}

// A queue that is being closed has the pipe until it is kept or closed.
Table Doorbell::CallersTable() const {
  for (;;) {
    const int fd = always_ready();
    Table table = TableOf(fd, queue_, kRoleAlwaysReady);
    if (table == Table::kUnknown) table = TableOf(fd, 0, kRoleTable);
    if (always_ready() == fd) return table;
  }
}

// The queue's epoll, of which a program may have given a copy to another process, is not to report
// the pipe for as long as that is kept.
void Doorbell::CloseAlwaysReady() {
  const int fd = always_ready();
  if (fd >= 0 && KeptTable::Keep(fd, queue_)) {
    if (OwnsEpoll()) sys::EpollDelete(epoll(), fd);
    always_ready_.store(0, std::memory_order_seq_cst);
  } else {
    CloseNumber(&always_ready_, kRoleAlwaysReady);
  }
}

}  // namespace kevent::core
