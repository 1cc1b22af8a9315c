// SPDX-License-Identifier: MIT
//
// Sleeping for completions.  One thread per queue, the leader, sleeps on the
// kernel objects; the followers sleep on a futex each and are promoted one at
// a time, because level-triggered members of an epoll would wake them all.
//
// Normally the leader sleeps on the queue's internal epoll descriptor.  When
// something is due but fewer than it asked for, that descriptor has to stay
// readable for others: then it "holds", and sleeps on the timerfds, which are
// set to the next deadlines that are not yet due.

#include <absl/base/optimization.h>
#include <fcntl.h>
#include <pthread.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/internal_descriptors.h"
#include "core/process.h"
#include "core/queue.h"
#include "core/system.h"
#include "core/timespec.h"

namespace kevent::core {
namespace {

// The moment at which a call gives up, which its timeout says.
class CallDeadline {
 public:
  explicit CallDeadline(const Queue::Request& request)
      : infinite_(request.timeout == nullptr),
        clock_((request.flags & KEVENT_FLAGS_ABSTIME) != 0 &&
                       (request.flags & KEVENT_FLAGS_MONOTONIC) == 0
                   ? CLOCK_REALTIME
                   : CLOCK_MONOTONIC) {
    if (infinite_) return;
    end_ = ToNanoseconds(*request.timeout);
    const bool relative = (request.flags & KEVENT_FLAGS_ABSTIME) == 0;
    if (relative && end_ != 0) end_ = AddSaturating(Now(), end_);
  }

  bool infinite() const { return infinite_; }
  bool zero() const { return !infinite_ && end_ == 0; }
  clockid_t clock() const { return clock_; }
  Nanoseconds end() const { return end_; }
  Nanoseconds left() const {
    const Nanoseconds now = Now();
    return now >= end_ ? 0 : end_ - now;
  }
  bool passed() const { return !infinite_ && left() == 0; }

 private:
  Nanoseconds Now() const {
    Nanoseconds now = 0;
    sys::Now(clock_, &now);
    return now;
  }

  bool infinite_;
  clockid_t clock_;
  Nanoseconds end_ = 0;
};

}  // namespace

// One call of kevent_get_events: what it keeps while it sleeps, and what a
// cancelled thread gives back.
class GetEventsCall {
 public:
  GetEventsCall(Queue& queue, const Queue::Request& request)
      : queue_(queue), request_(request), deadline_(request), sleeper_(request.min_nr) {}

  int Run();

 private:
  enum class Then { kReturn, kSleep };

  bool InChild() const { return Process::id() != process_; }
  int CollectOrSleep();
  int StatusFlags() const;
  int Look(unsigned min, Then then);
  unsigned Collect(unsigned min, unsigned* due) ABSL_EXCLUSIVE_LOCKS_REQUIRED(queue_.lock_);
  bool OthersHaveConsumed() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(queue_.lock_);
  const KeventSet* Listening() const;
  int LetSignalsThrough() const;
  int Prepare();
  int SleepCancellably();
  int Sleep();
  int SleepOnFutex();
  void ChooseDescriptors() ABSL_EXCLUSIVE_LOCKS_REQUIRED(queue_.lock_);
  int SleepOnDescriptors();
  bool AreOurs() const;
  void CloseTimer();
  static void Cancelled(void* call);

  Queue& queue_;
  const Queue::Request& request_;
  const CallDeadline deadline_;
  Sleeper sleeper_;
  const int process_ = Process::id();
  bool signals_pending_ = false;  // as this thread found, for kevents of this queue
  bool to_return_ = false;        // with whatever there is
  bool woken_ = false;            // by a descriptor, and nothing was found since
  pollfd descriptors_[kMaxAxes + 2];
  unsigned own_count_ = 0;  // of them, those that are to be open
};

int Queue::GetEvents(const Request& request) {
  GetEventsCall call(*this, request);
  return call.Run();
}

int GetEventsCall::Run() {
  const int result = CollectOrSleep();
  if (!InChild()) queue_.Unpin();
  return result;
}

int GetEventsCall::CollectOrSleep() {
  const bool may_sleep = request_.min_nr != 0 && !deadline_.zero();
  int interrupted = 0;
  if (ABSL_PREDICT_FALSE(request_.mask != nullptr)) {
    interrupted = LetSignalsThrough();
    if (InChild()) return -EINTR;
  }
  int result = Look(may_sleep && interrupted == 0 ? request_.min_nr : 0, Then::kReturn);
  if (result != 0 || !may_sleep || to_return_) return result;
  if (interrupted != 0) return interrupted;
  const int flags = StatusFlags();
  if (flags < 0) return flags;  // closed by a system call that we don't see
  if (deadline_.passed() || (flags & O_NONBLOCK) != 0) return Look(0, Then::kReturn);

  if (const int error = Prepare(); error != 0) return -error;
  for (;;) {
    result = Look(request_.min_nr, Then::kSleep);
    if (result != 0 || to_return_) break;
    int woken = SleepCancellably();
    if (woken == 0 && !InChild()) woken = LetSignalsThrough();
    // A signal handler that forked: this is its child, where the queue is a new
    // one that knows of no call, and the timerfd was closed.
    if (InChild()) return -EINTR;
    if (woken == 0) {
      Prepare();  // for signals, if they are waited for by now
      continue;
    }
    result = Look(0, Then::kReturn);
    if (result == 0 && woken != -ETIMEDOUT) result = woken;
    break;
  }
  CloseTimer();
  return result;
}

// Of the queue's file.  Its number is another file's as soon as dup2 has it moved.
int GetEventsCall::StatusFlags() const {
  const Queue::NumbersUsed used(queue_);
  return sys::StatusFlags(queue_.epoll());
}

// Collects if at least `min` are due.  If nothing was collected, takes or keeps
// a place among the sleepers, or gives it up, as `then` says.  The number of
// events, or -EBADF when the queue was closed.
int GetEventsCall::Look(unsigned min, Then then) {
  Locked locked(queue_.lock_);
  if (!queue_.open()) {
    queue_.Leave(sleeper_);
    return -EBADF;
  }
  queue_.StopHolding(sleeper_);
  if (queue_.TakeExitRequest() || OthersHaveConsumed()) to_return_ = true;
  unsigned due;
  const unsigned claimed = Collect(to_return_ ? 0 : min, &due);
  if (claimed != 0 || then == Then::kReturn || to_return_) {
    queue_.Leave(sleeper_);
  } else {
    const KeventSet* const listening = Listening();
    signals_pending_ = listening != nullptr && listening->signals_pending();
    const bool promoted = sleeper_.woken.load() != 0;
    queue_.Enlist(sleeper_, due);
    ChooseDescriptors();
    if (promoted && sleeper_.timer >= 0) {
      // It was rung for that: back to the timeout.
      sys::ArmTimerfd(sleeper_.timer, deadline_.infinite() ? 0 : deadline_.end(), false);
    }
  }
  // Closed meanwhile: what the closing thread switched on for the leader may
  // just have been switched off.
  if (!queue_.open()) queue_.Ring();
  return static_cast<int>(claimed);
}

unsigned GetEventsCall::Collect(unsigned min, unsigned* due) {
  if (KeventSet* set = queue_.kevents(); set != nullptr) {
    sys::SignalSet blocked = ~sys::SignalSet{0};
    if (request_.mask != nullptr) std::memcpy(&blocked, request_.mask, sizeof blocked);
    set->set_let_through(~blocked);
  }
  if (!request_.into_ring) return queue_.Collect(min, request_.max_nr, request_.events, due);
  EventRing& ring = queue_.ring_;
  unsigned moved = 0;
  while (moved < request_.max_nr && ring.room() != 0) {
    const unsigned room = std::min(ring.room(), request_.max_nr - moved);
    const unsigned count = queue_.Collect(min, room, ring.next(), due);
    ring.Advance(count);
    moved += count;
    if (count < room) return moved;
  }
  // A full ring is as a number of events that is not reached: what is ready
  // stays where it is.
  if (moved == 0) {
    queue_.Collect(2, 0, nullptr, due);
    *due = std::max(*due, 1u);
  }
  return moved;
}

bool GetEventsCall::OthersHaveConsumed() const {
  return request_.into_ring && queue_.ring_.consumer() != request_.old_uidx;
}

// The queue's kevents, if some wait for signals.
const KeventSet* GetEventsCall::Listening() const {
  const KeventSet* set = queue_.kevents();
  return set != nullptr && set->signals() >= 0 ? set : nullptr;
}

// Where the queue waits for signals, those that the request's mask lets through are
// handled before it looks for them.
int GetEventsCall::LetSignalsThrough() const {
  if (request_.mask == nullptr || Listening() == nullptr) return 0;
  return sys::LetSignalsThrough(request_.mask);
}

// ppoll's mask, a timeout that follows the steps of CLOCK_REALTIME and signals to this
// thread take a descriptor to sleep on: a timerfd, which rings at the timeout or when
// the thread is promoted.
int GetEventsCall::Prepare() {
  if (sleeper_.timer >= 0) return 0;
  const bool needed = request_.mask != nullptr || deadline_.clock() != CLOCK_MONOTONIC;
  if (!needed && Listening() == nullptr) return 0;
  const int timer = AdoptDescriptor(queue_.number(), kRolePrivate,
                                    [this] { return sys::CreateTimerfd(deadline_.clock()); });
  if (timer < 0) return needed ? -timer : 0;
  const Nanoseconds end = deadline_.infinite() ? 0 : deadline_.end();
  if (const int error = sys::ArmTimerfd(timer, end, false); error < 0) {
    ReleaseDescriptor(timer, queue_.number(), kRolePrivate);
    return needed ? -error : 0;
  }
  Locked locked(queue_.lock_);
  sleeper_.timer = timer;
  return 0;
}

void GetEventsCall::CloseTimer() {
  if (sleeper_.timer >= 0) ReleaseDescriptor(sleeper_.timer, queue_.number(), kRolePrivate);
}

// Cancellation acts in the sleep alone, where this thread has claimed nothing.
int GetEventsCall::SleepCancellably() {
  int woken;
  pthread_cleanup_push(&GetEventsCall::Cancelled, this);
  woken = Sleep();
  pthread_cleanup_pop(0);
  return woken;
}

void GetEventsCall::Cancelled(void* call) {
  auto* self = static_cast<GetEventsCall*>(call);
  {
    Locked locked(self->queue_.lock_);
    self->queue_.Leave(self->sleeper_);
  }
  self->CloseTimer();
  self->queue_.Unpin();
}

// 0 when there may be something to collect, or -ETIMEDOUT, -EINTR, or why it
// cannot sleep.
int GetEventsCall::Sleep() {
  switch (sleeper_.role) {
    case Sleeper::Role::kNone:
      return sleeper_.error;
    case Sleeper::Role::kFollower:
      return sleeper_.timer < 0 ? SleepOnFutex() : SleepOnDescriptors();
    case Sleeper::Role::kLeader:
    case Sleeper::Role::kHoldingLeader: {
      // Nothing would wake it at the deadline.
      const int refusal = queue_.refusal_.load(std::memory_order_relaxed);
      return refusal != 0 ? refusal : SleepOnDescriptors();
    }
  }
  return -EBADF;
}

int GetEventsCall::SleepOnFutex() {
  const timespec end = ToTimespec(deadline_.end());
  return sys::FutexWait(sleeper_.woken.address(), 0, deadline_.infinite() ? nullptr : &end);
}

// Under the lock, so that dup2 in another thread, which is about to take one of them,
// knows of it.
void GetEventsCall::ChooseDescriptors() {
  unsigned count = 0;
  // Of a signal to this thread an epoll may not tell it.  What is pending and not enough
  // for it is not to wake it again and again.
  const KeventSet* const listening = signals_pending_ ? nullptr : Listening();
  const int signals = listening == nullptr ? -1 : listening->signals();
  if (sleeper_.timer >= 0) descriptors_[count++] = {sleeper_.timer, POLLIN, 0};
  if (sleeper_.role == Sleeper::Role::kLeader) {
    descriptors_[count++] = {queue_.epoll(), POLLIN, 0};
  } else if (sleeper_.role == Sleeper::Role::kHoldingLeader) {
    count += queue_.HoldersDescriptors(descriptors_ + count);
  }
  own_count_ = count;
  if (signals >= 0) descriptors_[count++] = {signals, POLLIN, 0};
  sleeper_.descriptors = descriptors_;
  sleeper_.descriptor_count = count;
}

int GetEventsCall::SleepOnDescriptors() {
  timespec left;
  const timespec* timeout = nullptr;
  if (!deadline_.infinite() && deadline_.clock() == CLOCK_MONOTONIC) {
    left = ToTimespec(deadline_.left());
    timeout = &left;
  }
  // Woken in vain: what wakes it may be a stranger's, under a number that was
  // closed by a system call that the library does not see.
  if (woken_ && !AreOurs()) return -EBADF;
  const unsigned count = sleeper_.descriptor_count;
  const int ready = sys::Poll(descriptors_, count, timeout, request_.mask);
  if (ready < 0) return ready;
  if (ready == 0) return -ETIMEDOUT;
  woken_ = true;
  for (unsigned i = 0; i < own_count_; ++i) {
    if ((descriptors_[i].revents & POLLNVAL) != 0) return -EBADF;
  }
  return sleeper_.woken.load() == 0 && deadline_.passed() ? -ETIMEDOUT : 0;
}

bool GetEventsCall::AreOurs() const {
  for (unsigned i = 0; i < sleeper_.descriptor_count; ++i) {
    const int fd = descriptors_[i].fd;
    const Registration found = Registry::Get(fd);
    if (!found.is_internal() || found.queue() != queue_.number() || !sys::IsMarked(fd))
      return false;
  }
  return true;
}

// ---- Who sleeps how -----------------------------------------------------------

// A place for a thread that found `due` completions, fewer than it wants.
void Queue::Enlist(Sleeper& sleeper, unsigned due) {
  if (leader_ == nullptr) {
    Unlink(sleeper);
    leader_ = &sleeper;
  }
  if (leader_ == &sleeper && due != 0) {
    // Somebody else may be content with what is due.
    Sleeper* other = LeastDemanding();
    if (other != nullptr && other->min_nr <= due) Promote(*other);
  }
  sleeper.woken.exchange(0);
  if (leader_ != &sleeper) {
    Append(sleeper);
    sleeper.role = Sleeper::Role::kFollower;
  } else if (due == 0) {
    sleeper.role = Sleeper::Role::kLeader;
  } else {
    const int error = Hold();
    sleeper.error = error == -EAGAIN ? 0 : error;
    sleeper.role = error == 0 ? Sleeper::Role::kHoldingLeader : Sleeper::Role::kNone;
  }
}

// Leaves the descriptor readable and sets the kernel's timers to what is not
// yet due.  -EAGAIN when an armer came in between: look again; or why the leader
// cannot sleep so: the kernel has no memory.
int Queue::Hold() {
  KeventSet* const set = kevents();
  if (set != nullptr) {
    if (const int error = set->WatchEdges(); error < 0) return error;
  }
  held_.exchange(true);
  // To announce what the kernel knows would wake this leader, who sleeps on
  // whatever happens to the epoll; and so would what is not there, each time that
  // it looks: for want of room in the ring it may hold with nothing due.
  if ((set == nullptr || set->ready_by_level() == 0) && ReadableMembers() != 0) Announce();
  if (!AnnouncedByMember()) {
    held_.exchange(false);
    return -ENOMEM;
  }
  for (uint32_t i = 0; i < axis_count_.load(std::memory_order_relaxed); ++i) {
    Rearm(axes_[i], NextNotDue(axes_[i]), true);
  }
  // An armer that saw the queue announced, and not held, has marked before
  // (model: HOLDS_WITHOUT_LOOKING_AGAIN).
  return LookAgain() ? -EAGAIN : 0;
}

void Queue::StopHolding(const Sleeper& sleeper) {
  if (leader_ != &sleeper || !held_.load()) return;
  held_.exchange(false);
  // What comes after this wakes it again.
  if (KeventSet* set = kevents(); set != nullptr) set->TakeEdges();
}

// Has a holding leader look again; what wakes it needs no memory.
void Queue::Recall() {
  lock_.AssertHeld();
  if (held_.load()) Lower(axes_[kMonotonicAxis], 1);
}

void Queue::RecallAll() {
  lock_.AssertHeld();
  for (Sleeper* sleeper = first_; sleeper != nullptr; sleeper = sleeper->next) Rouse(*sleeper);
  if (leader_ == nullptr) return;
  Recall();
  if (!held_.load()) Announce();
}

// What a holding leader sleeps on: what becomes readable with what is new.
unsigned Queue::HoldersDescriptors(pollfd* descriptors) const {
  if (const KeventSet* set = kevents(); set != nullptr) {
    descriptors[0] = {set->edges(), POLLIN, 0};
    // For Recall.
    const int monotonic = axes_[kMonotonicAxis].source.load(std::memory_order_acquire) - 1;
    descriptors[1] = {monotonic, POLLIN, 0};
    return 2;
  }
  unsigned count = 0;
  for (uint32_t i = 0; i < axis_count_.load(std::memory_order_acquire); ++i) {
    const AxisKind kind = axes_[i].kind.load(std::memory_order_acquire);
    if (kind == AxisKind::kUnused || kind == AxisKind::kCpuTime) continue;
    const int fd = axes_[i].source.load(std::memory_order_acquire) - 1;
    descriptors[count++] = {fd, POLLIN, 0};
  }
  return count;
}

// Gives up whatever place it has.  A leader is succeeded (model:
// LEADER_IS_NOT_SUCCEEDED).
void Queue::Leave(Sleeper& sleeper) {
  Unlink(sleeper);
  if (leader_ != &sleeper) return;
  leader_ = nullptr;
  held_.exchange(false);
  if (KeventSet* set = kevents(); set != nullptr) set->IgnoreEdges();
  if (Sleeper* next = LeastDemanding(); next != nullptr) Promote(*next);
}

Sleeper* Queue::LeastDemanding() {
  Sleeper* least = first_;
  for (Sleeper* sleeper = first_; sleeper != nullptr; sleeper = sleeper->next) {
    if (sleeper->min_nr < least->min_nr) least = sleeper;
  }
  return least;
}

int Queue::CommitRing(unsigned new_uidx, unsigned over) {
  Locked locked(lock_);
  const bool was_full = ring_.exists() && ring_.full();
  const int count = ring_.Commit(new_uidx, over);
  // Who waits for room holds.
  if (was_full && count > 0) Recall();
  return count;
}

// Makes a follower the leader, and wakes it.
void Queue::Promote(Sleeper& sleeper) {
  Unlink(sleeper);
  leader_ = &sleeper;
  Rouse(sleeper);
}

void Queue::Rouse(Sleeper& sleeper) {
  sleeper.woken.exchange(1);
  if (sleeper.timer >= 0) {
    sys::ArmTimerfd(sleeper.timer, 1, false);
  } else {
    sys::FutexWake(sleeper.woken.address());
  }
}

void Queue::Append(Sleeper& sleeper) {
  if (sleeper.linked) return;
  sleeper.linked = true;
  sleeper.next = nullptr;
  sleeper.previous = last_;
  (last_ == nullptr ? first_ : last_->next) = &sleeper;
  last_ = &sleeper;
}

void Queue::Unlink(Sleeper& sleeper) {
  if (!sleeper.linked) return;
  sleeper.linked = false;
  (sleeper.previous == nullptr ? first_ : sleeper.previous->next) = sleeper.next;
  (sleeper.next == nullptr ? last_ : sleeper.next->previous) = sleeper.previous;
}

}  // namespace kevent::core
