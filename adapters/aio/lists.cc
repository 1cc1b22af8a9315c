// SPDX-License-Identifier: MIT
//
// lio_listio.  All of a list is done on one side, if no two of its descriptors have operations in
// flight on different sides.  If some have, the list is taken apart.

#include <aio.h>
#include <kevent/kevent.h>
#include <pthread.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "adapters/aio/barrier.h"
#include "adapters/aio/errno_kept.h"
#include "adapters/aio/exported.h"
#include "adapters/aio/sides.h"

namespace kevent::aio_adapter {
namespace {

using List = aiocb* const*;

bool IsMember(const aiocb* control) {
  return control != nullptr && control->aio_lio_opcode != LIO_NOP;
}

bool IsForQueue(int mode, List list, int count, const sigevent* notification) {
  if (mode == LIO_NOWAIT && notification != nullptr && notification->sigev_notify == SIGEV_KEVENT) {
    return true;
  }
  return std::any_of(list, list + std::max(count, 0), [](const aiocb* control) {
    return IsMember(control) && control->aio_sigevent.sigev_notify == SIGEV_KEVENT;
  });
}

Side SuitableForAll(List list, int count) {
  int last = -1;
  for (int i = 0; i < count; ++i) {
    if (!IsMember(list[i]) || list[i]->aio_fildes == last) continue;
    last = list[i]->aio_fildes;
    if (Suitable(last) == Side::kLibrary) return Side::kLibrary;
  }
  return Side::kEngine;
}

void LeaveAll(List list, int count, Side side) {
  for (int i = 0; i < count; ++i) {
    if (IsMember(list[i])) Leave(list[i]->aio_fildes, side);
  }
}

bool EnterAll(List list, int count, Side side) {
  for (int i = 0; i < count; ++i) {
    if (!IsMember(list[i]) || Enter(list[i]->aio_fildes, side)) continue;
    LeaveAll(list, i, side);
    return false;
  }
  return true;
}

int BeginOn(Side side, int mode, List list, int count, sigevent* notification) {
  if (side == Side::kEngine) mode |= KEVENT_AIO_ENGINE;
  return kevent_lio_listio(mode, list, count, notification);
}

// The members on the two sides, each in the order of the list.
class Apart {
 public:
  ~Apart() { std::free(members_); }
  Apart(const Apart&) = delete;
  Apart& operator=(const Apart&) = delete;
  Apart(List list, int count)
      : members_(static_cast<aiocb**>(std::calloc(static_cast<size_t>(count), 2 * sizeof(void*)))),
        count_(count) {
    if (members_ == nullptr) return;
    for (int i = 0; i < count; ++i) {
      if (!IsMember(list[i])) continue;
      const auto side = static_cast<unsigned>(EnterAny(list[i]->aio_fildes));
      members_[side * count_ + counts_[side]++] = list[i];
    }
  }
  bool is_there() const { return members_ != nullptr; }
  List members(Side side) const { return members_ + (side == Side::kLibrary ? count_ : 0); }
  int count(Side side) const { return counts_[static_cast<unsigned>(side)]; }
  int count() const { return counts_[0] + counts_[1]; }
  template <typename Visit>
  void ForEach(Visit visit) const {
    for (const Side side : {Side::kEngine, Side::kLibrary}) {
      for (int i = 0; i < count(side); ++i) visit(members(side)[i], side);
    }
  }
  void LeaveAll() const {
    ForEach([](const aiocb* member, Side side) { Leave(member->aio_fildes, side); });
  }

 private:
  aiocb** const members_;
  const int count_;
  int counts_[2] = {0, 0};
};

// Begins both parts; 0, or what the first refused one has failed with.
int BeginBoth(const Apart& apart, int mode) {
  int error = 0;
  for (const Side side : {Side::kLibrary, Side::kEngine}) {
    const int part_mode = side == Side::kEngine ? mode : LIO_NOWAIT;
    if (BeginOn(side, part_mode, apart.members(side), apart.count(side), nullptr) != 0) {
      error = error == 0 ? errno : error;
    }
  }
  return error;
}

// Waits for members that are the C library's: 0, EINTR, or EIO if one has failed.  The C library
// ends an operation and notifies of it under a lock that aio_suspend takes: when this returns, both
// are done.
int Await(List members, int count) {
  int error = 0;
  for (int i = 0; i < count; ++i) {
    const aiocb* const one[] = {members[i]};
    do {
      if (kevent_aio_suspend(one, 1, nullptr) != 0 && errno == EINTR) return EINTR;
    } while (aio_error(members[i]) == EINPROGRESS);
    if (aio_error(members[i]) != 0) error = EIO;
  }
  return error;
}

int WaitApart(const Apart& apart) {
  const int error = BeginBoth(apart, LIO_WAIT);
  if (error == EINTR) return EINTR;
  const int other = Await(apart.members(Side::kLibrary), apart.count(Side::kLibrary));
  return other == EINTR ? EINTR : error != 0 || other != 0 ? EIO : 0;
}

int NotifyApart(const Apart& apart, const sigevent* notification) {
  if (notification == nullptr || notification->sigev_notify == SIGEV_NONE) {
    return BeginBoth(apart, LIO_NOWAIT);
  }
  Barrier* const barrier = Barrier::Make(*notification, apart.count());
  if (barrier == nullptr) return EAGAIN;
  const int error = BeginBoth(apart, LIO_NOWAIT);
  apart.ForEach([barrier](const aiocb* member, Side side) { barrier->Add(*member, side); });
  barrier->Complete();
  return error;
}

int Begin(int mode, List list, int count, sigevent* notification) {
  if ((mode != LIO_WAIT && mode != LIO_NOWAIT) || IsForQueue(mode, list, count, notification)) {
    return kevent_lio_listio(mode, list, count, notification);
  }
  const Side suitable = SuitableForAll(list, count);
  for (const Side side : {suitable, Other(suitable)}) {
    if (!EnterAll(list, count, side)) continue;
    const int result = BeginOn(side, mode, list, count, notification);
    LeaveAll(list, count, side);
    return result;
  }
  int error;
  {
    const ErrnoKept kept;
    const Apart apart(list, count);
    error = !apart.is_there()  ? EAGAIN
            : mode == LIO_WAIT ? WaitApart(apart)
                               : NotifyApart(apart, notification);
    apart.LeaveAll();
  }
  if (error != 0) errno = error;
  return error == 0 ? 0 : -1;
}

// LIO_WAIT is no cancellation point in the C library, and is one in libkevent.
int BeginUncancelled(int mode, List list, int count, sigevent* notification) {
  int before;
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
  const int result = Begin(mode, list, count, notification);
  pthread_setcancelstate(before, nullptr);
  return result;
}

}  // namespace
}  // namespace kevent::aio_adapter

using namespace kevent::aio_adapter;

KEVENT_EXPORT int lio_listio(int mode, aiocb* const list[], int count,
                             sigevent* notification) noexcept {
  return BeginUncancelled(mode, list, count, notification);
}

KEVENT_EXPORT int lio_listio64(int mode, aiocb64* const list[], int count,
                               sigevent* notification) noexcept {
  return BeginUncancelled(mode, reinterpret_cast<aiocb* const*>(list), count, notification);
}
