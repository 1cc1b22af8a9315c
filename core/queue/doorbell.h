// SPDX-License-Identifier: MIT
//
// The doorbell makes the descriptor of a queue readable.
//
// It owns the epoll, of which the descriptors of the queue are names, and the engine's own members
// of it:
// - the pipe, which is always ready: while it is switched on the queue is readable.  It announces
//   what can be collected and no kernel timer tells of;
// - a KernelTimer (core/queue/kernel_timer.h) for each clock: the queue becomes readable when the
//   earliest deadline on that clock has come;
// - a SecondTimer (core/queue/second_timer.h) that takes turns with the monotonic one, if there was
//   a descriptor for it.
//
// Other members of the epoll are descriptors that kevents watch, which the doorbell does not touch.
//
// The announcement is a KernelRegister (core/base/kernel_register.h): its value says how the pipe
// is switched on, its mark if the kernel was told of that.
//
//   value     wanted, and not told yet           told
//   silent    a collector is switching it off    the pipe is off
//   once      an armer is switching it on        it is on until a harvest has taken its report
//   to stay   a collector is switching it on     it is on until a collector withdraws it
//
//   silent --Announce, by any thread--> once
//   silent, once --AnnounceToStay, by a collector--> once, to stay
//   once, to stay --Withdraw, by a collector--> silent
//
// The thread that wants a value tells it, or another thread that finds it untold; announcing_
// counts these threads.  If the kernel has no memory to switch the pipe on, the monotonic timer is
// set to a moment in the past and announces in its place (timerfd_announces_).
//
// The doorbell is held while the leader (core/queue/sleepers.h) sleeps on the timers with something
// due: then the epoll has to stay readable and cannot wake the leader.  Notify tells the leader in
// another way that something can be collected:
//
//   announcement       held: no                       held: yes
//   silent             Announce                       the monotonic timer is set to the past
//   on, wanted         the kernel is told             the monotonic timer is set to the past
//   on, told           nothing: a collector looks     the monotonic timer is set to the past
//
// An armer whose deadline is still to come lowers the timer of its clock in each case but the last
// of the left column.  Only collectors withdraw, and set a timer later (Rearm).
//
// A closed queue rings: the pipe is on to stay and the monotonic timer is in the past, so that each
// sleeper comes back.  A thread that tells the kernel anything after that rings again.
//
// Invariants, with the threads that are announcing left out:
// - an announcement that is wanted is told by some thread;
// - the timer announces only what is announced, and then it is in the past;
// - an open queue has epoll, pipe and monotonic timer, and each timer in use has a kernel object;
// - `ended` is true only for a clock of CPU time;
// - the second timer is set only while the first one is, so that a collector reads the clock;
// - numbers that were closed are gone.
//
// No lock is taken here.  Unless its comment says that it is for collectors, a function is
// async-signal-safe and may be called by any thread that has the queue pinned.  Functions for
// collectors are called by one thread at a time: a queue calls them under its lock.

#ifndef KEVENT_CORE_QUEUE_DOORBELL_H_
#define KEVENT_CORE_QUEUE_DOORBELL_H_

#include <poll.h>

#include <atomic>
#include <cstdint>

#include "core/base/kernel_register.h"
#include "core/base/seq_cst.h"
#include "core/descriptors/kept_table.h"
#include "core/descriptors/registry.h"
#include "core/queue/kernel_timer.h"
#include "core/queue/lifetime.h"
#include "core/queue/second_timer.h"
#include "core/timers/axis.h"
#include "core/timers/clocks.h"

namespace kevent::core {

class LineWriter;

// Adds one to a counter for as long as the object lives.
class Counted {
 public:
  explicit Counted(std::atomic<uint32_t>& count) : count_(&count) {
    count_->fetch_add(1, std::memory_order_seq_cst);
  }
  ~Counted() {
    if (count_ != nullptr) count_->fetch_sub(1, std::memory_order_seq_cst);
  }
  // The counter was wiped, as this is a child of fork, in which a handler has returned.
  void Forget() { count_ = nullptr; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;

 private:
  std::atomic<uint32_t>* count_;
};

// Zeroed memory is the doorbell of a queue that was never opened.
class alignas(64) Doorbell {
 public:
  // ---- Life ----

  // Called once for each queue object. *monotonic_timerfd outlives a fork, and is the number of the
  // monotonic timer, plus one.
  void Init(uint32_t queue, const Lifetime* lifetime, std::atomic<int>* monotonic_timerfd);

  // Makes epoll, pipe and monotonic timer, while the queue is opening: 0 or an errno.
  int Open();

  // Closes all numbers, when the last pin is gone.  Async-signal-safe.
  void Close();

  // ---- Numbers ----

  int epoll() const { return epoll_.load(std::memory_order_acquire) - 1; }
  int always_ready() const { return always_ready_.load(std::memory_order_acquire) - 1; }

  // True if the number of the epoll is not a stranger's.
  bool OwnsEpoll() const { return Owns(epoll(), kRoleEpoll); }

  // The table of descriptors that the queue lives in, by the lock on its pipe.
  Table CallersTable() const;

  // While the object lives, dup2 does not take a number that was read after its construction.
  class NumbersUsed : private Counted {
   public:
    explicit NumbersUsed(Doorbell& doorbell) : Counted(doorbell.telling_) {}
    using Counted::Forget;
  };
  bool numbers_are_used() const { return telling_.load(std::memory_order_seq_cst) != 0; }

  // True if an internal descriptor with this role can be moved to another number.
  bool CanMove(uint16_t role) { return NumberOf(role) != nullptr; }

  // Moves the descriptor, and registers the old number, which stays open, as left: 0, EAGAIN if
  // another call has moved it, or EBUSY if it cannot be moved.  `move_member(to)` moves the epoll
  // where that is a member itself: 0 or a negative errno.  For collectors.
  template <typename MoveMember>
  int Move(int fd, uint16_t role, MoveMember move_member) {
    int to;
    if (const int error = BeginMove(fd, role, &to); error != 0) return error;
    return FinishMove(fd, role, to, role == kRoleEpoll ? move_member(to) : 0);
  }

  // Notes that a number that was left stays open.  True if the doorbell has closed its numbers
  // already, and so may not close this one.
  bool LeaveOpen();
  bool has_left_a_number() const { return left_a_number_.load(std::memory_order_seq_cst); }

  // ---- Timers ----

  uint32_t timer_count() const { return timer_count_.load(std::memory_order_acquire); }
  const KernelTimer& timer(uint8_t index) const { return timers_[index]; }
  KernelTimer& timer(uint8_t index) { return timers_[index]; }

  // Finds the timer for a clock, or makes it: 0 or an errno.  For collectors.
  int FindOrMakeTimer(const ClockPlan& plan, uint8_t* index, bool* made);
  void DropTimer(uint8_t index);

  // Makes the second timer if it is lacking and can be had.  For collectors.
  void MakeSecondTimer() { second_.Make(queue_, epoll()); }
  const SecondTimer& second_timer() const { return second_; }

  // The most members of the epoll that are the engine's own.
  uint32_t own_members() const { return timer_count() + 1 + (second_.exists() ? 1 : 0); }

  // Lists the timerfds that armers lower, for a leader that holds; returns their number.
  unsigned TimersToPoll(pollfd* descriptors) const;

  // ---- Armers ----

  // True if the queue is readable by the announcement, so that a collector will look for every
  // timer that was marked before.  It looks again after it has withdrawn the announcement, and the
  // leader after it holds (model: ASKS_NOT_WHETHER_HELD).
  bool WillBeHeard() const { return IsAnnounced() && !held_.load(); }

  // True if a collector will look by this deadline.
  bool WillBeHeardBy(uint8_t index, Nanoseconds deadline) const {
    const KernelRegister::State armed = timers_[index].armed.Load();
    if (armed.value() >= Earliness(deadline) && armed.will_be_told()) return true;
    return WillBeHeard();
  }

  // Has a collector look by this deadline.
  void NotifyAt(uint8_t index, Nanoseconds deadline);

  // Tells that something can be collected of which no kernel timer tells.  Requires a pin, or the
  // lock of an open queue.
  void Notify();

  // Notes that the alarm of this timer has expired.
  void NoteAlarm(uint8_t index);

  // Has a leader look again that holds, since the descriptors it sleeps on have changed.  The
  // kernel needs no memory for that.
  void Recall() {
    if (held_.load()) Lower(kMonotonicAxis, 1);
  }

  // Makes the epoll readable for a leader in either way of sleeping, as the queue is closed:
  // nothing may quieten it again (model: CLOSE_DOES_NOT_RING).
  void Ring();

  // Has one sleeping call return, or the next call that would sleep.
  void RequestExit() { exit_requested_.store(true, std::memory_order_seq_cst); }
  bool TakeExitRequest() {
    return exit_requested() && exit_requested_.exchange(false, std::memory_order_seq_cst);
  }
  bool exit_requested() const { return exit_requested_.load(std::memory_order_seq_cst); }

  // The reason for which the kernel cannot be told of deadlines any more, as a negative errno, or
  // 0.
  int refusal() const { return refusal_.load(std::memory_order_relaxed); }

  // ---- Collectors ----

  bool IsAnnounced() const {
    const KernelRegister::State seen = announced_.Load();
    return seen.value() != kSilent && seen.told();
  }

  // Announces the queue even if it is held: other threads than the leader need it.
  void Announce();

  // Leaves an announcement on that a harvest has taken (model: WHAT_WAS_TAKEN_IS_LEFT_OFF), so that
  // the next harvest does not take it again, which would wake a holding leader each time.
  void AnnounceToStay();

  // Says if the epoll has only the doorbell's own members, or others, too, that a look at it would
  // take along.
  enum class Members { kOwn, kOthers };

  // Switches the announcement off; true if it was on.  Also called after a harvest has taken it:
  // since then another thread may have added it anew.
  bool Withdraw(Members members);

  // Withdraws by a harvest, which takes the announcement along with the events: `harvest()` is true
  // if it has.  False if there was no announcement yet: if one is made and taken meanwhile,
  // AnnounceToStay leaves it on if anything is left to collect.
  template <typename Harvest>
  bool WithdrawBy(Harvest harvest) {
    if (Unannounced()) {
      harvest();
      return false;
    }
    const Counted announcing(announcing_);
    WantUnannounced();
    TellWithdrawn(Members::kOthers, harvest());
    return true;
  }

  // Switches off an announcement that a slower thread has switched on late, and has yet to see that
  // it is not wanted.  That may take long: the slower thread may have to wait for the very thread
  // that finds the queue readable in vain again and again.
  void WithdrawInVain(Members members);

  // True if Rearm on this clock asks for the second of the next deadlines.  For collectors.
  bool UsesSecondDeadline(uint8_t index, Nanoseconds next, Nanoseconds now) const {
    if (index != kMonotonicAxis || next == 0 || !second_.exists()) return false;
    const bool is_turn = second_.told() == next || second_.HasCome(now) ||
                         KernelTimer::HasCome(timers_[index].armed.Load(), now);
    // The leader sleeps on the first timer (model: LEFT_WHILE_HELD).
    return is_turn && !held_.load();
  }

  // Sets a timer to the next deadline, if the moment that it is set to has come by now or is later
  // than that.  Otherwise it stays: one wake-up in vain is cheaper than telling the kernel of every
  // timer that was put off.  On the monotonic clock the next deadline may be left to the second
  // timer.  True if the timer was set later.  For collectors.
  bool Rearm(uint8_t index, const NextDeadlines& next, Nanoseconds now, bool found_nothing);

  // Held: the leader sleeps on the timers.
  bool held() const { return held_.load(); }
  void Hold() { held_.exchange(true); }
  void StopHolding() { held_.exchange(false); }

  // True if an announcement stays when the timers are set: if a timer announces in the pipe's
  // place, tries again to switch the pipe on.
  bool TimersAreFree();

  // ---- For tests and people ----

  // Returns the first invariant that does not hold, or nullptr; armers may go on meanwhile.  For
  // collectors.
  const char* Check() const;

  void Dump(LineWriter& out) const;

 private:
  // The values of announced_: how the pipe is switched on.
  static constexpr uint64_t kSilent = 0;
  static constexpr uint64_t kOnce = 1;  // until the kernel has reported it
  static constexpr uint64_t kToStay = 2;

  void Lower(uint8_t index, Nanoseconds deadline);
  bool SetLater(uint8_t index, Nanoseconds next, Nanoseconds now, bool found_nothing);
  void TellArmed(uint8_t index);
  void ArmSource(uint8_t index, Nanoseconds deadline);
  void NoteRefusal(int result);

  template <typename Calls>
  void UntilUnmoved(const std::atomic<int>& number, Calls calls);
  void TellAnnounced();
  void SwitchOn(uint64_t how);
  int AddAnew(uint32_t events, uint64_t token);
  void SwitchOff();
  void TakeAnnouncement(Members members);
  bool Unannounced() const;
  void WantUnannounced();
  void TellWithdrawn(Members members, bool taken);
  bool TimerAnnounces() const;

  bool Owns(int fd, uint16_t role) const;
  std::atomic<int>* NumberOf(uint16_t role);
  static int Adopt(int adopted, std::atomic<int>* number);
  int AdoptAlwaysReady() const;
  void CloseAlwaysReady();
  void CloseNumber(std::atomic<int>* number, uint16_t role);
  int BeginMove(int fd, uint16_t role, int* to);
  int FinishMove(int fd, uint16_t role, int to, int error);
  bool ServesNewTimers(uint8_t index);
  int MakeTimer(uint8_t index, const ClockPlan& plan);
  int MakeAlarm(uint8_t index, clockid_t clock);
  int MakeTimerfd(uint8_t index, const ClockPlan& plan);
  void CloseSource(uint8_t index);

  const char* CheckAnnouncement() const;
  const char* CheckNumbers() const;
  const char* CheckTimers() const;

  uint32_t queue_;
  // Internal numbers plus one, so that zeroed memory names none.
  std::atomic<int> epoll_;
  std::atomic<int> always_ready_;
  std::atomic<int> refusal_;

  // How the pipe is switched on to announce the queue as readable.
  KernelRegister announced_;
  std::atomic<uint32_t> announcing_;     // number of threads that have changed that and not told it
                                         // yet
  std::atomic<bool> timerfd_announces_;  // the kernel has no memory for the pipe
  // The leader sleeps on the timerfds with something due: `announced_` does not
  // wake it.
  SeqCst<bool> held_;
  std::atomic<bool> exit_requested_;

  // The last pin has closed the numbers: a number that a dup2 leaves now is for that call to close.
  std::atomic<bool> closed_numbers_;
  // A dup2 that failed with EBUSY in the end has left an old number open.
  std::atomic<bool> left_a_number_;
  // The number of threads that have read internal numbers without the lock, and have yet to make
  // the system calls on them: dup2 waits for them before it takes a number.
  std::atomic<uint32_t> telling_;
  std::atomic<uint32_t> timer_count_;  // of the timers below, some of which may be unused

  const Lifetime* lifetime_;
  std::atomic<int>* monotonic_timerfd_;

  SecondTimer second_;
  KernelTimer timers_[kMaxAxes];
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_QUEUE_DOORBELL_H_
