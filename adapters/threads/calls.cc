// SPDX-License-Identifier: MIT
//
// The functions that take the place of the C library's.  What a pool does not take, they hand
// through as it is.

#include <fcntl.h>

#include <cerrno>

#include "adapters/threads/next.h"
#include "adapters/threads/process.h"
#include "adapters/threads/submission.h"
#include "core/base/errno_kept.h"

#define KEVENT_EXPORT extern "C" __attribute__((__visibility__("default")))

namespace {

using kevent::core::ErrnoKept;
using kevent::threads::Announced;
using kevent::threads::Callback;
using kevent::threads::Pool;
using kevent::threads::Process;
using kevent::threads::Submission;
using kevent::threads::WantsThread;

Announced Announce(Callback::Of of, const sigevent& notification) {
  const ErrnoKept kept;
  return Announced::Try(of, notification);
}

// The two structures are one where off_t has 64 bits.
static_assert(sizeof(aiocb) == sizeof(aiocb64));
aiocb* Same(aiocb64* control) { return reinterpret_cast<aiocb*>(control); }
aiocb* Same(aiocb* control) { return control; }

void Add(Submission* submission, aiocb* control) {
  const ErrnoKept kept;
  submission->Add(control);
}

template <typename Control, typename Submit>
int SubmitOne(Control* control, Submit submit) {
  Submission submission;
  Add(&submission, Same(control));
  const int result = submit();
  if (result != 0) submission.TakeBack();
  return result;
}

// All operations are libkevent's, also those that want no thread: in the C library they would have
// no order with those that do, and aio_fsync would not wait for these.  A transfer is a list of
// one.
template <typename Next, typename Control>
int Transfer(Next next, int opcode, Control* control) {
  control->aio_lio_opcode = opcode;
  return SubmitOne(control, [=] {
    Control* const list[] = {control};
    return next(LIO_NOWAIT | KEVENT_AIO_ENGINE, list, 1, nullptr);
  });
}

bool IsMember(const aiocb* control) {
  return control != nullptr && control->aio_lio_opcode != LIO_NOP;
}

// With LIO_WAIT a callback could not begin before the call ends, for which others may wait: such a
// list is handed through.
//
// A call that fails does not say which of its operations it has begun, and whether the list's own
// callback comes.  So the records of such a call may be kept in vain.
template <typename Next, typename Control>
int SubmitList(Next next, int mode, Control* const list[], int count, sigevent* notification) {
  if (mode != LIO_WAIT && mode != LIO_NOWAIT) return next(mode, list, count, notification);
  const bool waits = mode == LIO_WAIT;
  mode |= KEVENT_AIO_ENGINE;
  if (waits) return next(mode, list, count, notification);
  Submission submission;
  for (int i = 0; i < count; ++i) {
    if (list[i] != nullptr && IsMember(Same(list[i]))) Add(&submission, Same(list[i]));
  }
  if (!WantsThread(notification)) return next(mode, list, count, notification);
  const Announced all = Announce(Callback::Of::kOperation, *notification);
  if (!all) return next(mode, list, count, notification);
  sigevent to_queue = all.ToQueue();
  return next(mode, list, count, &to_queue);
}

// The C library looks at the operation before it looks at the control block, which may be any
// pointer if that is wrong.
template <typename Next, typename Control>
int Sync(Next next, int operation, Control* control) {
  if (operation != O_SYNC && operation != O_DSYNC) return next(operation, control);
  return SubmitOne(control, [=] { return next(operation | KEVENT_AIO_ENGINE, control); });
}

}  // namespace

// ---- Timers ----------------------------------------------------------------

KEVENT_EXPORT int timer_create(clockid_t clock, sigevent* notification, timer_t* timer) noexcept {
  const auto next = KEVENT_NEXT(timer_create);
  if (!WantsThread(notification)) return next(clock, notification, timer);
  Announced announced = Announce(Callback::Of::kTimer, *notification);
  if (!announced) return next(clock, notification, timer);
  const int before = errno;
  sigevent to_queue = announced.ToQueue();
  timer_t made;
  if (next(clock, &to_queue, &made) != 0) {
    // Of a clock that libkevent does not know, the C library may know more.
    announced.TakeBack();
    errno = before;
    return next(clock, notification, timer);
  }
  Process::Existing()->callbacks().NameTimer(announced.callback(), made);
  *timer = made;
  return 0;
}

KEVENT_EXPORT int timer_delete(timer_t timer) noexcept {
  Process* const process = Process::Existing();
  Pool* const pool = process == nullptr ? nullptr : process->callbacks().RemoveTimer(timer);
  const int result = KEVENT_NEXT(timer_delete)(timer);
  if (pool != nullptr) {
    const ErrnoKept kept;
    pool->Forget();
  }
  return result;
}

// ---- Message queues --------------------------------------------------------

namespace {

// The kernel ends a registration without a word when the queue is closed.  Those that are kept
// have ended so, or their callback is yet to come.
constexpr unsigned kMessagesKept = 16;

void RemoveOldMessages(mqd_t queue, unsigned latest) {
  const ErrnoKept kept;
  Process* const process = Process::Existing();
  if (process == nullptr) return;
  while (Pool* const pool = process->callbacks().RemoveOldMessage(queue, latest)) pool->Forget();
}

}  // namespace

KEVENT_EXPORT int mq_notify(mqd_t queue, const sigevent* notification) noexcept {
  const auto next = KEVENT_NEXT(mq_notify);
  if (!WantsThread(notification)) {
    const int result = next(queue, notification);
    if (result == 0 && notification == nullptr) RemoveOldMessages(queue, 0);
    return result;
  }
  Announced announced = Announce(Callback::Of::kMessage, *notification);
  if (!announced) return next(queue, notification);
  const int before = errno;
  Process::Existing()->callbacks().NameMessageQueue(announced.callback(), queue);
  const sigevent to_queue = announced.ToQueue();
  if (next(queue, &to_queue) != 0) {
    announced.TakeBack();
    errno = before;
    return next(queue, notification);
  }
  RemoveOldMessages(queue, kMessagesKept);
  return 0;
}

// ---- Asynchronous I/O ------------------------------------------------------

KEVENT_EXPORT int aio_read(aiocb* control) noexcept {
  return Transfer(KEVENT_NEXT(lio_listio), LIO_READ, control);
}

KEVENT_EXPORT int aio_read64(aiocb64* control) noexcept {
  return Transfer(KEVENT_NEXT(lio_listio64), LIO_READ, control);
}

KEVENT_EXPORT int aio_write(aiocb* control) noexcept {
  return Transfer(KEVENT_NEXT(lio_listio), LIO_WRITE, control);
}

KEVENT_EXPORT int aio_write64(aiocb64* control) noexcept {
  return Transfer(KEVENT_NEXT(lio_listio64), LIO_WRITE, control);
}

KEVENT_EXPORT int aio_fsync(int operation, aiocb* control) noexcept {
  return Sync(KEVENT_NEXT(aio_fsync), operation, control);
}

KEVENT_EXPORT int aio_fsync64(int operation, aiocb64* control) noexcept {
  return Sync(KEVENT_NEXT(aio_fsync64), operation, control);
}

KEVENT_EXPORT int lio_listio(int mode, aiocb* const list[], int count,
                             sigevent* notification) noexcept {
  return SubmitList(KEVENT_NEXT(lio_listio), mode, list, count, notification);
}

KEVENT_EXPORT int lio_listio64(int mode, aiocb64* const list[], int count,
                               sigevent* notification) noexcept {
  return SubmitList(KEVENT_NEXT(lio_listio64), mode, list, count, notification);
}

// ---- Look-ups --------------------------------------------------------------

KEVENT_EXPORT int getaddrinfo_a(int mode, gaicb* list[], int count, sigevent* notification) {
  const auto next = KEVENT_NEXT(getaddrinfo_a);
  // GAI_WAIT makes no notification.
  if (mode != GAI_NOWAIT || !WantsThread(notification)) {
    return next(mode, list, count, notification);
  }
  Announced announced = Announce(Callback::Of::kOperation, *notification);
  if (!announced) return next(mode, list, count, notification);
  sigevent to_queue = announced.ToQueue();
  const int result = next(mode, list, count, &to_queue);
  if (result != 0) announced.TakeBack();
  return result;
}
