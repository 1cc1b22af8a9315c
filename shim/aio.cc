// SPDX-License-Identifier: MIT
//
// aio_error and aio_return are not replaced: the C library's functions read their answers from the
// control block.

#include <cerrno>

#include "core/calls/aio_calls.h"
#include "core/system/system.h"
#include "shim/edge.h"
#include "shim/libc.h"

namespace core = kevent::core;
namespace sys = kevent::sys;
using kevent::shim::Finish;

namespace {

// Inside the look-up of the C library's functions there is no I/O.
int NotYet() { return Finish(-EAGAIN); }

bool WantsQueue(const aiocb* control) { return core::IsKeventNotification(&control->aio_sigevent); }

// The two structures are one where off_t has 64 bits.
static_assert(sizeof(aiocb) == sizeof(aiocb64));
aiocb* Same(aiocb64* control) { return reinterpret_cast<aiocb*>(control); }
aiocb* Same(aiocb* control) { return control; }
const aiocb* const* Same(const aiocb64* const list[]) {
  return reinterpret_cast<const aiocb* const*>(list);
}
aiocb* const* Same(aiocb64* const list[]) { return reinterpret_cast<aiocb* const*>(list); }

template <typename Libc>
int Pass(Libc libc, auto... arguments) {
  return libc != nullptr ? libc(arguments...) : NotYet();
}

// The answer of aio_cancel for a descriptor on which both libraries may have operations.
int Both(int ours, int theirs) {
  if (theirs < 0) return theirs;
  if (ours == AIO_NOTCANCELED || theirs == AIO_NOTCANCELED) return AIO_NOTCANCELED;
  return ours == AIO_CANCELED || theirs == AIO_CANCELED ? AIO_CANCELED : AIO_ALLDONE;
}

// The C library looks at the operation and the descriptor before it looks at the control block,
// which may be any pointer if they are wrong.
template <typename Libc, typename Control>
int Sync(Libc libc, int operation, Control* control) {
  const int plain = operation & ~KEVENT_AIO_ENGINE;
  const bool is_known = plain == O_SYNC || plain == O_DSYNC;
  if (is_known && (plain != operation || WantsQueue(Same(control)))) {
    return Finish(-core::StartSync(operation, Same(control)));
  }
  return Pass(libc, operation, control);
}

template <typename Libc, typename Control>
int Cancel(Libc libc, int fd, Control* control) {
  if (sys::StatusFlags(fd) < 0) return Pass(libc, fd, control);
  if (core::IsTheEngines(fd)) return Finish(-EBADF);
  if (control == nullptr) {
    const int theirs = Pass(libc, fd, control);
    return theirs < 0 ? theirs : Both(core::CancelOperations(fd, nullptr), theirs);
  }
  const aiocb* ours = Same(control);
  if (!core::IsOurs(ours) || ours->aio_fildes != fd) return Pass(libc, fd, control);
  return core::CancelOperations(fd, ours);
}

int SuspendTheirs(const aiocb* const list[], int count, const timespec* timeout) {
  const auto libc = KEVENT_LIBC(aio_suspend);
  return libc != nullptr ? libc(list, count, timeout) : NotYet();
}

int Suspend(const aiocb* const list[], int count, const timespec* timeout) {
  if (!core::AnyOurs(list, count)) return SuspendTheirs(list, count, timeout);
  return Finish(-core::SuspendFor(list, count, timeout, &SuspendTheirs));
}

}  // namespace

KEVENT_EXPORT int aio_read(aiocb* control) noexcept {
  if (WantsQueue(control)) return Finish(-core::StartRead(control));
  return Pass(KEVENT_LIBC(aio_read), control);
}

KEVENT_EXPORT int aio_read64(aiocb64* control) noexcept {
  if (WantsQueue(Same(control))) return Finish(-core::StartRead(Same(control)));
  return Pass(KEVENT_LIBC(aio_read64), control);
}

KEVENT_EXPORT int aio_write(aiocb* control) noexcept {
  if (WantsQueue(control)) return Finish(-core::StartWrite(control));
  return Pass(KEVENT_LIBC(aio_write), control);
}

KEVENT_EXPORT int aio_write64(aiocb64* control) noexcept {
  if (WantsQueue(Same(control))) return Finish(-core::StartWrite(Same(control)));
  return Pass(KEVENT_LIBC(aio_write64), control);
}

KEVENT_EXPORT int aio_fsync(int operation, aiocb* control) noexcept {
  return Sync(KEVENT_LIBC(aio_fsync), operation, control);
}

KEVENT_EXPORT int aio_fsync64(int operation, aiocb64* control) noexcept {
  return Sync(KEVENT_LIBC(aio_fsync64), operation, control);
}

KEVENT_EXPORT int aio_cancel(int fd, aiocb* control) noexcept {
  return Cancel(KEVENT_LIBC(aio_cancel), fd, control);
}

KEVENT_EXPORT int aio_cancel64(int fd, aiocb64* control) noexcept {
  return Cancel(KEVENT_LIBC(aio_cancel64), fd, control);
}

KEVENT_EXPORT int aio_suspend(const aiocb* const list[], int count, const timespec* timeout) {
  return Suspend(list, count, timeout);
}

KEVENT_EXPORT int aio_suspend64(const aiocb64* const list[], int count, const timespec* timeout) {
  return Suspend(Same(list), count, timeout);
}

KEVENT_EXPORT int lio_listio(int mode, aiocb* const list[], int count,
                             sigevent* notification) noexcept {
  if (core::ListIsForEngine(mode, list, count, notification)) {
    return Finish(-core::StartList(mode, list, count, notification));
  }
  return Pass(KEVENT_LIBC(lio_listio), mode, list, count, notification);
}

KEVENT_EXPORT int lio_listio64(int mode, aiocb64* const list[], int count,
                               sigevent* notification) noexcept {
  if (core::ListIsForEngine(mode, Same(list), count, notification)) {
    return Finish(-core::StartList(mode, Same(list), count, notification));
  }
  return Pass(KEVENT_LIBC(lio_listio64), mode, list, count, notification);
}

// A cancellation point, with LIO_WAIT.
KEVENT_EXPORT int kevent_aio_start(int mode, aiocb* const list[], int count,
                                   sigevent* notifications, sigevent* notification) {
  return Finish(-core::StartListBeside(mode, list, count, notifications, notification));
}

KEVENT_EXPORT int kevent_aio_start_fsync(int operation, aiocb* control,
                                         const sigevent* notification) noexcept {
  if (operation != O_SYNC && operation != O_DSYNC) return Finish(-EINVAL);
  return Finish(-core::StartSyncBeside(operation, control, *notification));
}

KEVENT_EXPORT int kevent_aio_pending(int fd) noexcept { return core::AnyPending(fd) ? 1 : 0; }

KEVENT_OWN_NAME(aio_read);
KEVENT_OWN_NAME(aio_read64);
KEVENT_OWN_NAME(aio_write);
KEVENT_OWN_NAME(aio_write64);
KEVENT_OWN_NAME(aio_fsync);
KEVENT_OWN_NAME(aio_fsync64);
KEVENT_OWN_NAME(aio_cancel);
KEVENT_OWN_NAME(aio_cancel64);
KEVENT_OWN_NAME(aio_suspend);
// aio_suspend64 is a cancellation point, though the C library's header says that it throws nothing.
KEVENT_SECOND_NAME_OF(aio_suspend64)
int kevent_aio_suspend64(const aiocb64* const list[], int count, const timespec* timeout);
KEVENT_OWN_NAME(lio_listio);
KEVENT_OWN_NAME(lio_listio64);
