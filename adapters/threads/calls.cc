// SPDX-License-Identifier: MIT
//
// The functions that take the place of the C library's.  What a pool does not take, they hand
// through as it is.

#include <fcntl.h>
#include <kevent/kevent.h>
#include <pthread.h>

#include <cerrno>

#include "adapters/errors/marks.h"
#include "adapters/threads/next.h"
#include "adapters/threads/process.h"
#include "adapters/threads/submission.h"
#include "core/base/errno_kept.h"

#define KEVENT_EXPORT extern "C" __attribute__((__visibility__("default")))

namespace {

using kevent::core::ErrnoKept;
using kevent::errors::Mark;
using kevent::threads::Announced;
using kevent::threads::Callback;
using kevent::threads::Notification;
using kevent::threads::Notifications;
using kevent::threads::Pool;
using kevent::threads::Process;
using kevent::threads::WantsThread;

// The two structures are one where off_t has 64 bits.
static_assert(sizeof(aiocb) == sizeof(aiocb64));
aiocb* Same(aiocb64* control) { return reinterpret_cast<aiocb*>(control); }

// The program's control blocks may be its own again before the call returns, so libkevent gets the
// notifications beside them, and nothing here touches a block once its operation may have begun.
//
// All operations are libkevent's, also those that want no thread: in the C library they would have
// no order with those that do, and aio_fsync would not wait for these.

template <typename Start>
int StartOne(const aiocb* control, Start start) {
  Notification notification;
  notification.Announce(control->aio_sigevent);
  const int result = start(notification.made());
  if (result != 0) notification.TakeBack();
  return result;
}

// A transfer is a list of one.
int Transfer(int opcode, aiocb* control) {
  control->aio_lio_opcode = opcode;
  Mark::AsLibkevents(control);
  return StartOne(control, [control](sigevent* notification) {
    return kevent_aio_start(LIO_NOWAIT, &control, 1, notification, nullptr);
  });
}

// The C library looks at the operation before it looks at the control block, which may be any
// pointer if that is wrong.
int Sync(int operation, aiocb* control) {
  if (operation != O_SYNC && operation != O_DSYNC) return kevent_aio_fsync(operation, control);
  Mark::AsLibkevents(control);
  return StartOne(control, [=](const sigevent* notification) {
    return kevent_aio_start_fsync(operation, control, notification);
  });
}

int StartList(int mode, aiocb* const list[], int count, sigevent* notification) {
  Notifications members(list, count);
  if (!members.are_there()) {
    errno = EAGAIN;
    return -1;
  }
  Notification all;
  const bool tells = mode == LIO_NOWAIT && notification != nullptr;
  if (tells) all.Announce(*notification);
  const int result =
      kevent_aio_start(mode, list, count, members.made(), tells ? all.made() : nullptr);
  if (result != 0) {
    members.TakeBackWhatHasNotBegun();
    if (all.made()->sigev_notify == SIGEV_NONE) all.TakeBack();
  }
  return result;
}

// LIO_WAIT is no cancellation point in the C library, and is one in libkevent.
int StartListUncancelled(int mode, aiocb* const list[], int count, sigevent* notification) {
  if (mode != LIO_WAIT && mode != LIO_NOWAIT) {
    return kevent_lio_listio(mode, list, count, notification);
  }
  int before;
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
  const int result = StartList(mode, list, count, notification);
  pthread_setcancelstate(before, nullptr);
  return result;
}

}  // namespace

// ---- Timers ----------------------------------------------------------------

KEVENT_EXPORT int timer_create(clockid_t clock, sigevent* notification, timer_t* timer) noexcept {
  const auto next = KEVENT_NEXT(timer_create);
  if (!WantsThread(notification)) return next(clock, notification, timer);
  Announced announced = Announced::Try(Callback::Of::kTimer, *notification);
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
  Announced announced = Announced::Try(Callback::Of::kMessage, *notification);
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

KEVENT_EXPORT int aio_read(aiocb* control) noexcept { return Transfer(LIO_READ, control); }

KEVENT_EXPORT int aio_read64(aiocb64* control) noexcept {
  return Transfer(LIO_READ, Same(control));
}

KEVENT_EXPORT int aio_write(aiocb* control) noexcept { return Transfer(LIO_WRITE, control); }

KEVENT_EXPORT int aio_write64(aiocb64* control) noexcept {
  return Transfer(LIO_WRITE, Same(control));
}

KEVENT_EXPORT int aio_fsync(int operation, aiocb* control) noexcept {
  return Sync(operation, control);
}

KEVENT_EXPORT int aio_fsync64(int operation, aiocb64* control) noexcept {
  return Sync(operation, Same(control));
}

KEVENT_EXPORT int lio_listio(int mode, aiocb* const list[], int count,
                             sigevent* notification) noexcept {
  return StartListUncancelled(mode, list, count, notification);
}

KEVENT_EXPORT int lio_listio64(int mode, aiocb64* const list[], int count,
                               sigevent* notification) noexcept {
  return StartListUncancelled(mode, reinterpret_cast<aiocb* const*>(list), count, notification);
}

// ---- Look-ups --------------------------------------------------------------

KEVENT_EXPORT int getaddrinfo_a(int mode, gaicb* list[], int count, sigevent* notification) {
  const auto next = KEVENT_NEXT(getaddrinfo_a);
  // GAI_WAIT makes no notification.
  if (mode != GAI_NOWAIT || !WantsThread(notification)) {
    return next(mode, list, count, notification);
  }
  Announced announced = Announced::Try(Callback::Of::kOperation, *notification);
  if (!announced) return next(mode, list, count, notification);
  sigevent to_queue = announced.ToQueue();
  const int result = next(mode, list, count, &to_queue);
  if (result != 0) announced.TakeBack();
  return result;
}
