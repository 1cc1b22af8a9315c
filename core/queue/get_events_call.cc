// SPDX-License-Identifier: MIT
//
// One call of kevent_get_events or kevent_wait: it looks into the queue, sleeps while it has
// found fewer events than it wants, and looks again.

#include <absl/base/optimization.h>
#include <fcntl.h>
#include <pthread.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/base/timespec.h"
#include "core/descriptors/internal_descriptors.h"
#include "core/descriptors/process_state.h"
#include "core/queue/queue.h"
#include "core/system/call_deadline.h"
#include "core/system/system.h"

namespace kevent::core {

// The state of one call, on the stack of its thread, and the steps that it takes.
class GetEventsCall {
 public:
  GetEventsCall(Queue& queue, const Queue::Request& request)
      : queue_(queue),
        request_(request),
        deadline_(request.timeout, request.flags),
        sleeper_(request.min_nr) {}

  int Run();

 private:
  // A call that has collected nothing returns, or takes a place among the sleepers;
  // kSleepIfPrepared: it takes one if nothing is due and its sleep needs nothing that Prepare
  // makes.
  enum class Then { kReturn, kSleep, kSleepIfPrepared };

  bool InChild() const { return Process::id() != process_; }
  int CollectOrSleep();
  int StatusFlags() const;
  int SleepUntilEnough();
  int Look(unsigned min, Then then);
  int LookLocked(unsigned min, Then then);
  int GiveUp();
  unsigned Collect(unsigned min, unsigned* due) ABSL_EXCLUSIVE_LOCKS_REQUIRED(queue_.lock_);
  bool OthersHaveConsumed() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(queue_.lock_);
  const EventSet* Listening() const;
  bool NeedsTimer() const {
    return request_.mask != nullptr || deadline_.clock() != CLOCK_MONOTONIC;
  }
  int LetSignalsThrough() const;
  int Prepare();
  int SleepCancellably();
  int Sleep();
  int SleepOnFutex();
  void ChooseDescriptors() ABSL_EXCLUSIVE_LOCKS_REQUIRED(queue_.lock_);
  int SleepOnDescriptors();
  int AskAfterDescriptors();
  bool IsOurs(int fd) const;
  void CloseTimer();
  static void Cancelled(void* call);

  Queue& queue_;
  const Queue::Request& request_;
  const CallDeadline deadline_;
  Sleeper sleeper_;
  const int process_ = Process::id();
  bool signals_pending_ = false;  // a signal of this queue's kevents is pending, as this thread has
                                  // found
  bool to_return_ = false;        // the call returns with the events that there are
  bool woken_ = false;            // a descriptor woke the thread, and nothing was found since
  bool enlisted_ = false;         // it has a place among the sleepers, as the last look has left it
  pollfd descriptors_[kMaxAxes + 2];
  unsigned own_count_ = 0;  // the first of them are the queue's own: the call ends when one is
                            // closed
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
  const bool sleeps = may_sleep && interrupted == 0;
  const int result =
      Look(sleeps ? request_.min_nr : 0, sleeps ? Then::kSleepIfPrepared : Then::kReturn);
  if (result != 0 || !may_sleep || to_return_) return result;
  if (interrupted != 0) return interrupted;
  const int flags = StatusFlags();
  if (InChild()) return -EINTR;
  if (flags < 0) {  // closed by a system call that the library does not see
    GiveUp();
    return flags;
  }
  const bool nonblocking = (flags & O_NONBLOCK) != 0;
  if (EventSet* set = queue_.kevents(); nonblocking && set != nullptr) {
    set->transfers().set_told_by_edges();
  }
  if (nonblocking && enlisted_) return GiveUp();
  if (nonblocking || deadline_.passed()) return Look(0, Then::kReturn);
  return SleepUntilEnough();
}

// Most calls have their place when they come here, and sleep at once.
int GetEventsCall::SleepUntilEnough() {
  if (!enlisted_) {
    if (const int error = Prepare(); error != 0) return -error;
  }
  int result;
  for (;;) {
    result = enlisted_ ? 0 : Look(request_.min_nr, Then::kSleep);
    if (result != 0 || to_return_) break;
    enlisted_ = false;
    int woken = SleepCancellably();
    if (woken == 0 && !InChild()) woken = LetSignalsThrough();
    // A signal handler may have forked: in the child the queue is a new one, which knows of no
    // call, and the timerfd was closed.
    if (InChild()) return -EINTR;
    if (woken == 0) {
      Prepare();  // for signals, if kevents wait for them by now
      continue;
    }
    result = Look(0, Then::kReturn);
    if (result == 0 && woken != -ETIMEDOUT) result = woken;
    break;
  }
  CloseTimer();
  return result;
}

// The status flags of the queue's file.  The epoll's number is another file's as soon as a call of
// dup2 has had it moved, so the number counts as used meanwhile.
int GetEventsCall::StatusFlags() const {
  Doorbell::NumbersUsed used(queue_.doorbell_);
  const int flags = sys::StatusFlags(queue_.epoll());
  if (InChild()) used.Forget();
  return flags;
}

// Collects if at least `min` events are due, and returns their number, or -EBADF when the queue
// was closed.  A thread that has collected nothing takes a place among the sleepers, or gives up
// the one it has, as `then` says.
int GetEventsCall::LookLocked(unsigned min, Then then) {
  Locked locked(queue_.lock_);
  if (!queue_.open()) {
    queue_.Leave(sleeper_);
    return -EBADF;
  }
  queue_.StopHolding(sleeper_);
  enlisted_ = false;
  if (queue_.doorbell_.TakeExitRequest() || OthersHaveConsumed()) to_return_ = true;
  unsigned due;
  const unsigned claimed = Collect(to_return_ ? 0 : min, &due);
  const bool sleeps = then == Then::kSleep || (then == Then::kSleepIfPrepared && due == 0 &&
                                               !NeedsTimer() && Listening() == nullptr);
  if (claimed != 0 || to_return_ || !sleeps) {
    queue_.Leave(sleeper_);
  } else {
    enlisted_ = true;
    const EventSet* const listening = Listening();
    signals_pending_ = listening != nullptr && listening->signals_pending();
    const bool promoted = sleeper_.woken.load() != 0;
    queue_.Enlist(sleeper_, due);
    ChooseDescriptors();
    if (promoted && sleeper_.timer >= 0) {
      // The timerfd rang for the promotion: it is set back to the timeout.
      sys::ArmTimerfd(sleeper_.timer, deadline_.infinite() ? 0 : deadline_.end(), false);
    }
  }
  // A thread that closes the queue makes it readable, so that the leader looks; this collection
  // may have withdrawn that.
  if (!queue_.open()) queue_.doorbell_.Ring();
  return static_cast<int>(claimed);
}

int GetEventsCall::Look(unsigned min, Then then) {
  const int result = LookLocked(min, then);
  queue_.BeginReadsOfTransfers();
  return result;
}

// Returns without events from a call that has found none and has a place among the sleepers.
int GetEventsCall::GiveUp() {
  Locked locked(queue_.lock_);
  queue_.Leave(sleeper_);
  return 0;
}

unsigned GetEventsCall::Collect(unsigned min, unsigned* due) {
  if (EventSet* set = queue_.kevents(); set != nullptr) {
    sys::SignalSet blocked = ~sys::SignalSet{0};
    if (request_.mask != nullptr) std::memcpy(&blocked, request_.mask, sizeof blocked);
    set->set_let_through(~blocked);
    if (request_.min_nr != 1 || deadline_.zero()) set->transfers().set_told_by_edges();
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
  // A full ring counts as a number of events that is not reached: the events that are ready
  // stay in the queue.
  if (moved == 0) {
    queue_.Collect(2, 0, nullptr, due);
    *due = std::max(*due, 1u);
  }
  return moved;
}

bool GetEventsCall::OthersHaveConsumed() const {
  return request_.into_ring && queue_.ring_.consumer() != request_.old_uidx;
}

// The queue's kevents if some of them wait for signals, or nullptr.
const EventSet* GetEventsCall::Listening() const {
  const EventSet* set = queue_.kevents();
  return set != nullptr && set->signals() >= 0 ? set : nullptr;
}

// A queue that waits for signals looks for pending ones, so the handlers of those that the
// request's mask lets through run before that.  0, or -EINTR when one has run.
int GetEventsCall::LetSignalsThrough() const {
  if (request_.mask == nullptr || Listening() == nullptr) return 0;
  return sys::LetSignalsThrough(request_.mask);
}

// A futex wait sets no signal mask, as ppoll does, hears of no signal to this thread, and has no
// timeout that follows the steps of CLOCK_REALTIME.  A call that needs one of these sleeps on a
// timerfd of its own, which rings at the timeout, or when the thread is woken.  Returns 0 or an
// errno.
int GetEventsCall::Prepare() {
  if (sleeper_.timer >= 0) return 0;
  const bool needed = NeedsTimer();
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

// Cancellation acts only while the thread sleeps, when it has claimed nothing.
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

// Returns 0 if there may be something to collect, or -ETIMEDOUT, -EINTR, or the error for which the
// thread cannot sleep.
int GetEventsCall::Sleep() {
  switch (sleeper_.role) {
    case Sleeper::Role::kNone:
      return sleeper_.error;
    case Sleeper::Role::kFollower:
      return sleeper_.timer < 0 ? SleepOnFutex() : SleepOnDescriptors();
    case Sleeper::Role::kLeader:
    case Sleeper::Role::kHoldingLeader: {
      // If the kernel refuses to be told of deadlines, it would not wake the leader at the next
      // one.
      const int refusal = queue_.doorbell_.refusal();
      return refusal != 0 ? refusal : SleepOnDescriptors();
    }
  }
  return -EBADF;
}

int GetEventsCall::SleepOnFutex() {
  const timespec end = ToTimespec(deadline_.end());
  return sys::FutexWaitCancellably(sleeper_.woken.address(), 0,
                                   deadline_.infinite() ? nullptr : &end);
}

// The descriptors are chosen under the lock, so that a call of dup2 in another thread that is
// about to take one of them knows that the leader sleeps on it.
void GetEventsCall::ChooseDescriptors() {
  unsigned count = 0;
  // An epoll may not report a signal to this thread, so the thread sleeps on the signalfd itself;
  // but not while a signal is pending that is not enough for the call, which would wake it again
  // and again.
  const EventSet* const listening = signals_pending_ ? nullptr : Listening();
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
  if (woken_) {
    if (const int error = AskAfterDescriptors(); error <= 0) return error;
  }
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

// The thread was woken in vain: the descriptor that is ready may be a stranger's, under a number
// that was closed by a system call that the library does not see.  Returns -EBADF then, 0 if there
// are others to choose, 1 if the thread can sleep on these.
int GetEventsCall::AskAfterDescriptors() {
  for (unsigned i = 0; i < own_count_; ++i) {
    if (!IsOurs(descriptors_[i].fd)) return -EBADF;
  }
  if (own_count_ == sleeper_.descriptor_count) return 1;
  // Another thread that removes the last kevent of a signal closes the signalfd.
  const int signalfd = descriptors_[own_count_].fd;
  if (IsOurs(signalfd)) return 1;
  Locked locked(queue_.lock_);
  const EventSet* const listening = Listening();
  const bool is_chosen = listening != nullptr && listening->signals() == signalfd;
  return is_chosen && !IsOurs(signalfd) ? -EBADF : 0;
}

bool GetEventsCall::IsOurs(int fd) const {
  const Registration found = Registry::Get(fd);
  return found.is_internal() && found.queue() == queue_.number() && sys::IsMarked(fd);
}

}  // namespace kevent::core
