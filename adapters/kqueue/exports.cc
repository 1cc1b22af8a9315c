// SPDX-License-Identifier: MIT
//
// The calls of <sys/event.h>.

#include <fcntl.h>
#include <pthread.h>

#include <cerrno>

#include "adapters/kqueue/changes.h"
#include "adapters/kqueue/event.h"
#include "adapters/kqueue/kqueues.h"
#include "adapters/kqueue/retrieve.h"
#include "adapters/kqueue/watches.h"
#include "adapters/queues/exported.h"
#include "adapters/queues/held.h"
#include "core/base/errno_kept.h"
#include "core/base/timespec.h"

namespace kevent::kqueue {
namespace {

int Fail(int error) {
  errno = error;
  return -1;
}

int Create() {
  Kqueues* const kqueues = Kqueues::This();
  return kqueues == nullptr ? Fail(ENOMEM) : kqueues->Create();
}

int Change(const Found& found, int fd, const Event* list, int count, Event* reports, int room,
           int* reported, bool* goes_on) {
  const core::ErrnoKept kept;
  const queues::Held held(found.kqueue->lock);
  if (found.kqueue->number.load() != found.number) return EBADF;
  return Carry(found.kqueue, fd, list, count, reports, room, reported, goes_on);
}

// 0 or an errno; *got is the result of the call.
int ChangeAndRetrieve(int fd, const Event* changes, int change_count, Event* events, int room,
                      const timespec* timeout, int* got) {
  if (change_count < 0 || room < 0) return EINVAL;
  if (changes == nullptr && change_count != 0) return EFAULT;
  if (events == nullptr && room != 0) return EFAULT;
  Found found = {};
  int error = Find(fd, Known::kWillDo, &found);
  if (error != 0) return error;
  if (change_count != 0) {
    bool goes_on = true;
    do {
      error = Change(found, fd, changes, change_count, events, room, got, &goes_on);
    } while (error == Queue::kIsAnother && (error = Find(fd, Known::kLookAgain, &found)) == 0);
    if (error != 0 || !goes_on || *got != 0) return error;
  }
  if (room == 0) return 0;
  if (timeout != nullptr && !core::IsValid(*timeout)) return EINVAL;
  return Retrieve(found, fd, events, room, timeout, got);
}

}  // namespace
}  // namespace kevent::kqueue

KEVENT_EXPORT int kqueue() { return kevent::kqueue::Create(); }

KEVENT_EXPORT int kqueuex(unsigned flags) {
  if ((flags & ~KQUEUE_CLOEXEC) != 0) return kevent::kqueue::Fail(EINVAL);
  return kevent::kqueue::Create();
}

KEVENT_EXPORT int kqueue1(int flags) {
  if ((flags & ~O_CLOEXEC) != 0) return kevent::kqueue::Fail(EINVAL);
  return kevent::kqueue::Create();
}

// The function kevent, see event.h.
KEVENT_EXPORT int kqueue_event(int fd, const struct kqueue_event* changes, int change_count,
                               struct kqueue_event* events, int room, const timespec* timeout) {
  // Before anything was changed.
  if (room != 0) pthread_testcancel();
  int got = 0;
  const int error =
      kevent::kqueue::ChangeAndRetrieve(fd, changes, change_count, events, room, timeout, &got);
  return error == 0 ? got : kevent::kqueue::Fail(error);
}
