// SPDX-License-Identifier: MIT
//
// The calls of asynchronous I/O, by the names that <sys/event.h> gives them.  SIGEV_KEVENT of a
// kqueue is that of its queue, so these note operations and pass them on to libkevent.

#include <aio.h>

#include <cerrno>

#include "adapters/kqueue/event.h"
#include "adapters/kqueue/kqueues.h"
#include "adapters/queues/exported.h"
#include "adapters/queues/operation_list.h"

namespace kevent::kqueue {
namespace {

using queues::OperationList;
using queues::Same;

constexpr int kFlags = EV_ONESHOT | EV_CLEAR | EV_DISPATCH;

bool IsNoted(const sigevent& notification) { return notification.sigev_notify == SIGEV_KEVENT; }

uintptr_t NameOf(const aiocb* control) { return reinterpret_cast<uintptr_t>(control); }

// Whether the notification goes to a kqueue, and to which: another queue's events are not retrieved
// here.
bool GoesToKqueue(const sigevent& notification, uint32_t* kqueue) {
  Found found = {};
  if (Find(notification.sigev_notify_kqueue, Known::kWillDo, &found) != 0) return false;
  *kqueue = found.number;
  return true;
}

// Before the call: the operation may end, and the block be another's, before it returns.
int Begin(aiocb* control, auto call) {
  if (control == nullptr || !IsNoted(control->aio_sigevent)) return call();
  const auto flags = static_cast<unsigned>(control->aio_sigevent.sigev_notify_kevent_flags);
  if ((flags & ~unsigned{kFlags}) != 0) {
    errno = EINVAL;
    return -1;
  }
  Kqueues* const kqueues = Kqueues::This();
  uint32_t kqueue;
  if (kqueues == nullptr || !GoesToKqueue(control->aio_sigevent, &kqueue)) return call();
  kqueues->operations().Begin(NameOf(control), kqueue);
  const int result = call();
  if (result != 0) kqueues->operations().Withdraw(NameOf(control), kqueue);
  return result;
}

int BeginMembers(Operations& operations, int mode, OperationList list, int count,
                 sigevent* notification) {
  queues::PerMember<sigevent> notifications(count);
  // The kqueue of each member that was noted; 0 for others.
  queues::PerMember<uint32_t> kqueues(count);
  sigevent* const all = notifications.all();
  uint32_t* const noted = kqueues.all();
  if (all == nullptr || noted == nullptr) {
    errno = EAGAIN;
    return -1;
  }
  for (int i = 0; i < count; ++i) {
    all[i].sigev_notify = SIGEV_NONE;
    if (!queues::IsMember(list[i])) continue;
    all[i] = list[i]->aio_sigevent;
    if (IsNoted(all[i]) && GoesToKqueue(all[i], &noted[i])) {
      operations.Begin(NameOf(list[i]), noted[i]);
    }
  }
  const int result = kevent_aio_start(mode, list, count, all, notification);
  if (result == 0) return result;
  // What could not be begun is told of in the notifications.
  for (int i = 0; i < count; ++i) {
    if (noted[i] != 0 && all[i].sigev_notify == SIGEV_NONE) {
      operations.Withdraw(NameOf(list[i]), noted[i]);
    }
  }
  return result;
}

int BeginList(int mode, OperationList list, int count, sigevent* notification) {
  Kqueues* const kqueues = Kqueues::This();
  if (kqueues == nullptr || list == nullptr || !queues::HasMember(list, count, IsNoted)) {
    return kevent_lio_listio(mode, list, count, notification);
  }
  return queues::Uncancelled(
      [&] { return BeginMembers(kqueues->operations(), mode, list, count, notification); });
}

ssize_t Return(aiocb* control) {
  const ssize_t result = aio_return(control);
  Kqueues* const kqueues = Kqueues::This();
  if (kqueues != nullptr) kqueues->operations().Returned(NameOf(control));
  return result;
}

}  // namespace
}  // namespace kevent::kqueue

using namespace kevent::kqueue;

KEVENT_EXPORT int kevent_kqueue_aio_read(aiocb* control) noexcept {
  return Begin(control, [&] { return kevent_aio_read(control); });
}
KEVENT_EXPORT int kevent_kqueue_aio_read64(aiocb64* control) noexcept {
  return kevent_kqueue_aio_read(Same(control));
}
KEVENT_EXPORT int kevent_kqueue_aio_write(aiocb* control) noexcept {
  return Begin(control, [&] { return kevent_aio_write(control); });
}
KEVENT_EXPORT int kevent_kqueue_aio_write64(aiocb64* control) noexcept {
  return kevent_kqueue_aio_write(Same(control));
}
KEVENT_EXPORT int kevent_kqueue_aio_fsync(int operation, aiocb* control) noexcept {
  return Begin(control, [&] { return kevent_aio_fsync(operation, control); });
}
KEVENT_EXPORT int kevent_kqueue_aio_fsync64(int operation, aiocb64* control) noexcept {
  return kevent_kqueue_aio_fsync(operation, Same(control));
}
KEVENT_EXPORT int kevent_kqueue_lio_listio(int mode, aiocb* const list[], int count,
                                           sigevent* notification) noexcept {
  return BeginList(mode, list, count, notification);
}
KEVENT_EXPORT int kevent_kqueue_lio_listio64(int mode, aiocb64* const list[], int count,
                                             sigevent* notification) noexcept {
  return BeginList(mode, Same(list), count, notification);
}
KEVENT_EXPORT ssize_t kevent_kqueue_aio_return(aiocb* control) noexcept { return Return(control); }
KEVENT_EXPORT ssize_t kevent_kqueue_aio_return64(aiocb64* control) noexcept {
  return Return(Same(control));
}
