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
#include "adapters/aio/exported.h"
#include "adapters/aio/sides.h"
#include "adapters/errors/marks.h"

namespace kevent::aio_adapter {
namespace {

using errors::Mark;
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

// The descriptors of a list.  A control block may be the program's own again, and changed, as soon
// as its operation has begun, so their numbers are kept.
class Numbers {
 public:
  Numbers(List list, int count) : all_(Room(count)) {
    if (all_ == nullptr) return;
    for (int i = 0; i < count; ++i) {
      if (IsMember(list[i])) all_[count_++] = list[i]->aio_fildes;
    }
  }
  ~Numbers() {
    if (all_ != few_) std::free(all_);
  }
  Numbers(const Numbers&) = delete;
  Numbers& operator=(const Numbers&) = delete;
  bool is_there() const { return all_ != nullptr; }

  Side SuitableForAll() const {
    for (int i = 0; i < count_; ++i) {
      const bool is_same = i > 0 && all_[i] == all_[i - 1];
      if (!is_same && Suitable(all_[i]) == Side::kLibrary) return Side::kLibrary;
    }
    return Side::kEngine;
  }
  bool Enter(Side side) const {
    for (int i = 0; i < count_; ++i) {
      if (aio_adapter::Enter(all_[i], side)) continue;
      Leave(side, i);
      return false;
    }
    return true;
  }
  void Leave(Side side) const { Leave(side, count_); }

 private:
  static constexpr int kFew = 64;
  int* Room(int count) {
    if (count <= kFew) return few_;
    return static_cast<int*>(std::calloc(static_cast<size_t>(count), sizeof(int)));
  }
  void Leave(Side side, int count) const {
    for (int i = 0; i < count; ++i) aio_adapter::Leave(all_[i], side);
  }

  int few_[kFew];
  int* const all_;
  int count_ = 0;
};

int BeginOn(Side side, int mode, List list, int count, sigevent* notification) {
  const auto mark = side == Side::kEngine ? &Mark::AsLibkevents : &Mark::AsTheCLibrarys;
  std::for_each(list, list + std::max(count, 0), [mark](aiocb* control) {
    if (IsMember(control)) mark(control);
  });
  if (side == Side::kEngine) mode |= KEVENT_AIO_ENGINE;
  return kevent_lio_listio(mode, list, count, notification);
}

// What a member has asked for.
struct Asked {
  int fd;
  int priority;
};

// The members on the two sides, each in the order of the list.
class Apart {
 public:
  Apart(List list, int count)
      : members_(static_cast<aiocb**>(Room(count, sizeof(void*)))),
        asked_(static_cast<Asked*>(Room(count, sizeof(Asked)))),
        room_(count) {
    if (!is_there()) return;
    for (int i = 0; i < count; ++i) {
      if (!IsMember(list[i])) continue;
      const Asked asked = {list[i]->aio_fildes, list[i]->aio_reqprio};
      const Side side = EnterAny(asked.fd);
      const int place = First(side) + counts_[static_cast<unsigned>(side)]++;
      members_[place] = list[i];
      asked_[place] = asked;
    }
  }
  ~Apart() {
    if (is_there()) ForEach([](const Asked& asked, Side side) { Leave(asked.fd, side); });
    std::free(members_);
    std::free(asked_);
  }
  Apart(const Apart&) = delete;
  Apart& operator=(const Apart&) = delete;
  bool is_there() const { return members_ != nullptr && asked_ != nullptr; }
  List members(Side side) const { return members_ + First(side); }
  int count(Side side) const { return counts_[static_cast<unsigned>(side)]; }
  int count() const { return counts_[0] + counts_[1]; }
  template <typename Visit>
  void ForEach(Visit visit) const {
    for (const Side side : {Side::kEngine, Side::kLibrary}) {
      for (int i = 0; i < count(side); ++i) visit(asked_[First(side) + i], side);
    }
  }

 private:
  static void* Room(int count, size_t each) {
    return std::calloc(static_cast<size_t>(count) * 2, each);
  }
  int First(Side side) const { return side == Side::kLibrary ? room_ : 0; }

  aiocb** const members_;
  Asked* const asked_;
  const int room_;
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
  apart.ForEach(
      [barrier](const Asked& asked, Side side) { barrier->Add(asked.fd, asked.priority, side); });
  barrier->Complete();
  return error;
}

int BeginApart(int mode, List list, int count, const sigevent* notification) {
  const Apart apart(list, count);
  if (!apart.is_there()) return EAGAIN;
  return mode == LIO_WAIT ? WaitApart(apart) : NotifyApart(apart, notification);
}

int Fail(int error) {
  errno = error;
  return -1;
}

int Begin(int mode, List list, int count, sigevent* notification) {
  if ((mode != LIO_WAIT && mode != LIO_NOWAIT) || IsForQueue(mode, list, count, notification)) {
    return kevent_lio_listio(mode, list, count, notification);
  }
  const Numbers numbers(list, count);
  if (!numbers.is_there()) return Fail(EAGAIN);
  const Side suitable = numbers.SuitableForAll();
  for (const Side side : {suitable, Other(suitable)}) {
    if (!numbers.Enter(side)) continue;
    const int result = BeginOn(side, mode, list, count, notification);
    numbers.Leave(side);
    return result;
  }
  const int before = errno;
  const int error = BeginApart(mode, list, count, notification);
  errno = before;
  return error == 0 ? 0 : Fail(error);
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
