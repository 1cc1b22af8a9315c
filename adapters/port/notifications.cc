// SPDX-License-Identifier: MIT
//
// SIGEV_PORT of the calls that take a struct sigevent: a notification to the queue that the port
// is.

#include <aio.h>
#include <kevent/kevent.h>
#include <port.h>

#include <cerrno>

#include "adapters/port/ports.h"
#include "adapters/queues/exported.h"
#include "adapters/queues/held.h"
#include "adapters/queues/operation_list.h"

namespace kevent::port {
namespace {

using queues::OperationList;
using queues::Same;

bool IsForPort(const sigevent* notification) {
  return notification != nullptr && notification->sigev_notify == SIGEV_PORT;
}

// 0 or an errno.  What the port_notify_t says is copied; it need not outlive the call.
int Redirect(const sigevent& asked, sigevent* to) {
  const auto* const notify = static_cast<const port_notify_t*>(asked.sigev_value.sival_ptr);
  if (notify == nullptr) return EFAULT;
  Ports* const ports = Ports::This();
  if (ports == nullptr) return EAGAIN;
  int error;
  {
    const queues::Held held(ports->lock());
    ports->Find(notify->portnfy_port, &error);
  }
  if (error == 0) kevent_sigevent(to, notify->portnfy_port, notify->portnfy_user);
  return error;
}

int Fail(int error) {
  errno = error;
  return -1;
}

// The call with a notification to the queue.
int Redirected(const sigevent& asked, auto call) {
  sigevent notification;
  const int error = Redirect(asked, &notification);
  return error == 0 ? call(&notification) : Fail(error);
}

// Beside the control block, which is the program's own once its operation has ended.
int Transfer(aiocb* control, int opcode) {
  return Redirected(control->aio_sigevent, [&](sigevent* notification) {
    const int before = errno;
    // As the C library does.
    control->aio_lio_opcode = opcode;
    const int result = kevent_aio_start(LIO_NOWAIT, &control, 1, notification, nullptr);
    if (result == 0) {
      errno = before;
    } else if (errno == EIO) {
      errno = aio_error(control);
    }
    return result;
  });
}

int Read(aiocb* control) {
  return IsForPort(&control->aio_sigevent) ? Transfer(control, LIO_READ) : kevent_aio_read(control);
}

int Write(aiocb* control) {
  return IsForPort(&control->aio_sigevent) ? Transfer(control, LIO_WRITE)
                                           : kevent_aio_write(control);
}

int Sync(int operation, aiocb* control) {
  if (!IsForPort(&control->aio_sigevent)) return kevent_aio_fsync(operation, control);
  return Redirected(control->aio_sigevent, [&](const sigevent* notification) {
    return kevent_aio_start_fsync(operation, control, notification);
  });
}

bool IsListForPort(int mode, OperationList list, int count, const sigevent* notification) {
  if (mode != LIO_WAIT && IsForPort(notification)) return true;
  return queues::HasMember(list, count,
                           [](const sigevent& of_member) { return IsForPort(&of_member); });
}

// The notifications of a list's members, those to ports redirected: 0 or an errno.
int Redirect(OperationList list, int count, sigevent* all) {
  if (all == nullptr) return EAGAIN;
  for (int i = 0; i < count; ++i) {
    if (!queues::IsMember(list[i])) continue;
    const sigevent& asked = list[i]->aio_sigevent;
    all[i] = asked;
    const int error = IsForPort(&asked) ? Redirect(asked, &all[i]) : 0;
    if (error != 0) return error;
  }
  return 0;
}

int BeginMembers(int mode, OperationList list, int count, sigevent* notification) {
  queues::PerMember<sigevent> notifications(count);
  int error = Redirect(list, count, notifications.all());
  sigevent of_list;
  if (error == 0 && mode != LIO_WAIT && IsForPort(notification)) {
    error = Redirect(*notification, &of_list);
    notification = &of_list;
  }
  if (error != 0) return Fail(error);
  return kevent_aio_start(mode, list, count, notifications.all(), notification);
}

int BeginList(int mode, OperationList list, int count, sigevent* notification) {
  if (list == nullptr || !IsListForPort(mode, list, count, notification)) {
    return kevent_lio_listio(mode, list, count, notification);
  }
  return queues::Uncancelled([&] { return BeginMembers(mode, list, count, notification); });
}

}  // namespace
}  // namespace kevent::port

using namespace kevent::port;

KEVENT_EXPORT int kevent_port_timer_create(clockid_t clock, sigevent* notification,
                                           timer_t* timer) noexcept {
  if (!IsForPort(notification)) return kevent_timer_create(clock, notification, timer);
  return Redirected(*notification, [&](sigevent* redirected) {
    return kevent_timer_create(clock, redirected, timer);
  });
}

KEVENT_EXPORT int kevent_port_mq_notify(int message_queue, const sigevent* notification) noexcept {
  if (!IsForPort(notification)) return kevent_mq_notify(message_queue, notification);
  return Redirected(*notification, [&](const sigevent* redirected) {
    return kevent_mq_notify(message_queue, redirected);
  });
}

KEVENT_EXPORT int kevent_port_aio_read(aiocb* control) noexcept { return Read(control); }
KEVENT_EXPORT int kevent_port_aio_read64(aiocb64* control) noexcept { return Read(Same(control)); }
KEVENT_EXPORT int kevent_port_aio_write(aiocb* control) noexcept { return Write(control); }
KEVENT_EXPORT int kevent_port_aio_write64(aiocb64* control) noexcept {
  return Write(Same(control));
}
KEVENT_EXPORT int kevent_port_aio_fsync(int operation, aiocb* control) noexcept {
  return Sync(operation, control);
}
KEVENT_EXPORT int kevent_port_aio_fsync64(int operation, aiocb64* control) noexcept {
  return Sync(operation, Same(control));
}
KEVENT_EXPORT int kevent_port_lio_listio(int mode, aiocb* const list[], int count,
                                         sigevent* notification) noexcept {
  return BeginList(mode, list, count, notification);
}
KEVENT_EXPORT int kevent_port_lio_listio64(int mode, aiocb64* const list[], int count,
                                           sigevent* notification) noexcept {
  return BeginList(mode, Same(list), count, notification);
}
