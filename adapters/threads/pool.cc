// SPDX-License-Identifier: MIT

#include "adapters/threads/pool.h"

#include <fcntl.h>
#include <kevent/kevent.h>
#include <pthread.h>
#include <setjmp.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "adapters/threads/process.h"

namespace kevent::threads {
namespace {

constexpr const char* kIdleName = "kevent-sigev";
constexpr timespec kSpareLeaves = {1, 0};
constexpr timespec kTriesAgain = {0, 1'000'000};

// Programs take the lowest numbers, and select(2) works up to 1023.
int LowestDescriptor() {
  constexpr rlim_t kBelow = 1024;
  rlimit limit = {kBelow, kBelow};
  getrlimit(RLIMIT_NOFILE, &limit);
  return static_cast<int>(std::min(limit.rlim_cur, kBelow) / 4 * 3);
}

// Returns a descriptor, or -1.
int MakeQueue() {
  const int made = kevent_init(nullptr, 0, 0);
  if (made < 0) return -1;
  const int moved = kevent_fcntl(made, F_DUPFD_CLOEXEC, LowestDescriptor());
  kevent_close(made);
  return moved;
}

bool IsQueue(int descriptor) {
  return kevent_get_events(descriptor, 0, 0, nullptr, nullptr, 0) == 0;
}

// The program's allocator may keep something for each thread that has used it, as thread-specific
// data that no callback has set.
void UseAllocator() {
  void* volatile nothing = std::malloc(1);
  std::free(nothing);
}

}  // namespace

// ---- The pool --------------------------------------------------------------

bool Pool::Open(const Attributes& attributes, std::atomic<int>* queue) {
  if (queue->load(std::memory_order_relaxed) != 0 && !IsQueue(*queue)) *queue = 0;
  queue_ = queue;
  if (!HasQueue()) {
    queue_ = nullptr;
    return false;
  }
  attributes_ = attributes;
  inherited_.Save();
  return true;
}

bool Pool::HasQueue() {
  if (queue() != 0) return true;
  const int made = MakeQueue();
  if (made < 0) return false;
  const Locked locked(lock_);
  queue_->store(made, std::memory_order_release);
  return true;
}

bool Pool::Expect() {
  bool has_thread;
  {
    const Locked locked(lock_);
    ++expected_;
    has_thread = threads_ > 0;
  }
  if (has_thread || Start()) return true;
  Forget();
  return false;
}

void Pool::Forget() {
  bool tells;
  {
    const Locked locked(lock_);
    tells = --expected_ == 0 && one_waits_until_told_;
    if (tells) one_waits_until_told_ = false;
  }
  if (tells) kevent_ctl(queue(), KEVENT_CTL_READY, 0, nullptr);
}

// ---- A thread comes --------------------------------------------------------

// The caller is a thread of the pool.
bool Pool::StartAnother() {
  {
    const Locked locked(lock_);
    ++starting_;
  }
  const bool started = Start();
  const Locked locked(lock_);
  --starting_;
  return started;
}

bool Pool::Start() {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, attributes_.stack);
  pthread_attr_setguardsize(&attributes, attributes_.guard);
  sigset_t before;
  BlockSignals(&before);
  pthread_t thread;
  const bool started = pthread_create(&thread, &attributes, &Run, this) == 0;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_attr_destroy(&attributes);
  if (started) {
    const Locked locked(lock_);
    ++threads_;
    ++idle_;
  }
  return started;
}

void* Pool::Run(void* pool) {
  BlockCancellation();
  UseAllocator();
  static_cast<Pool*>(pool)->Serve();
  return nullptr;
}

// ---- A thread makes callbacks ----------------------------------------------

struct Pool::Made {
  Begun callback;
  Pool* pool;
  int process;
  jmp_buf goes_on;

  // The callback has forked, and its thread is the only one of the child, in which it ends when the
  // callback does, as the C library's.
  bool is_in_child() const { return Process::Existing()->id() != process; }
};

// False if the callback has called pthread_exit, or was cancelled, and the thread is still needed.
bool Pool::Make(Made* made) {
  bool has_returned;
  pthread_cleanup_push(&EndedByCallback, made);
  if (_setjmp(made->goes_on) == 0) {
    MakeFresh(made->pool->inherited_, made->callback.signals);
    made->callback.function(made->callback.value);
    BlockSignals();
    ActOnCancellation();
    has_returned = true;
  } else {
    has_returned = false;
  }
  pthread_cleanup_pop(0);
  return has_returned;
}

void Pool::EndedByCallback(void* made_argument) {
  auto* const made = static_cast<Made*>(made_argument);
  BlockSignals();
  BlockCancellation();
  if (made->is_in_child() || made->pool->HandOn()) return;
  // There is no thread to take its place.  The handler is called at the depth of Make, which has it
  // registered still.
  _longjmp(made->goes_on, 1);
}

void Pool::Serve() {
  Process* const process = Process::Existing();
  Made made = {.callback = {}, .pool = this, .process = process->id(), .goes_on = {}};
  Traits at_first;
  at_first.Save();
  bool retires = false;
  void* cookie;
  while (Await(&cookie)) {
    TakeFromIdle();
    if (process->callbacks().Begin(cookie, &made.callback)) {
      if (made.callback.was_the_only_one) Forget();
      const bool has_returned = Make(&made);
      if (made.is_in_child()) return;
      retires = retires || !has_returned || !at_first.AreStillTheThreads();
      if (retires && HandOn()) return;
    }
    ReturnToIdle();
  }
}

void Pool::TakeFromIdle() {
  bool was_last;
  {
    const Locked locked(lock_);
    was_last = --idle_ + starting_ <= 0;
  }
  if (was_last) StartAnother();
}

void Pool::ReturnToIdle() {
  const Locked locked(lock_);
  ++idle_;
}

// True if the thread, which is not idle, may end: no event can come, or there is another thread for
// it.  One that makes a thread comes back itself if it cannot.
bool Pool::HandOn() {
  {
    const Locked locked(lock_);
    if (expected_ == 0 || idle_ + starting_ > 0) {
      --threads_;
      return true;
    }
  }
  if (!StartAnother()) return false;
  const Locked locked(lock_);
  --threads_;
  return true;
}

// ---- A thread waits --------------------------------------------------------

// False if the thread is to end; then it is not counted any more.
bool Pool::Await(void** cookie) {
  bool until_told = false;
  for (;;) {
    const int queue = this->queue();
    ukevent event;
    int got = 0;
    if (!until_told) got = kevent_get_events(queue, 0, 1, nullptr, &event, 0);
    if (got == 0) {
      SetName(kIdleName);
      const timespec* const timeout = until_told ? nullptr : &kSpareLeaves;
      got = kevent_get_events(queue, 1, 1, timeout, &event, 0);
    }
    if (got == 1) {
      *cookie = event.ptr;
      return true;
    }
    if (got == 0) {
      if (!IsWantedStill(&until_told)) return false;
    } else if (errno == EBADF || errno == EINVAL) {
      if (!FindAnotherQueue(queue)) return false;
    } else if (errno != EINTR) {
      nanosleep(&kTriesAgain, nullptr);
    }
  }
}

// An idle thread has had nothing to do for a second, or was told that nothing can come any more.
// The last one stays as long as something can come, and then waits without waking up.
bool Pool::IsWantedStill(bool* until_told) {
  bool tells_others;
  {
    const Locked locked(lock_);
    if (expected_ > 0 && idle_ <= 1) {
      one_waits_until_told_ = true;
      *until_told = true;
      return true;
    }
    --idle_;
    --threads_;
    tells_others = expected_ == 0 && idle_ > 0;
  }
  if (tells_others) kevent_ctl(queue(), KEVENT_CTL_READY, 0, nullptr);
  return false;
}

// The queue was closed.  True if there is another one by now; otherwise the thread is to end.
bool Pool::FindAnotherQueue(int closed) {
  const Locked locked(lock_);
  if (queue() == closed && !IsQueue(closed)) queue_->store(0, std::memory_order_release);
  if (queue() != 0) return true;
  --idle_;
  --threads_;
  return false;
}

}  // namespace kevent::threads
