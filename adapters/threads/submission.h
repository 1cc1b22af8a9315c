// SPDX-License-Identifier: MIT
//
// What a call of the program announces to a pool before it goes on to libkevent.

#ifndef KEVENT_ADAPTERS_THREADS_SUBMISSION_H_
#define KEVENT_ADAPTERS_THREADS_SUBMISSION_H_

#include <aio.h>
#include <signal.h>

#include "adapters/threads/callbacks.h"

namespace kevent::threads {

inline bool WantsThread(const sigevent* notification) {
  return notification != nullptr && notification->sigev_notify == SIGEV_THREAD;
}

// A callback that has to be made, and has a thread that will make it.
class Announced {
 public:
  // Not accepted: a pool can not make it, or there is none to be had.  Leaves errno alone.
  static Announced Try(Callback::Of of, const sigevent& notification);

  explicit operator bool() const { return callback_ != nullptr; }
  Callback* callback() const { return callback_; }
  // The notification that libkevent is to make.
  sigevent ToQueue() const;
  // Leaves errno alone.
  void TakeBack();

 private:
  Callback* callback_ = nullptr;
};

// The notification that libkevent is to make in place of the program's, which it is unless a
// callback of it was announced.
class Notification {
 public:
  void Announce(const sigevent& programs) {
    if (WantsThread(&programs)) announced_ = Announced::Try(Callback::Of::kOperation, programs);
    made_ = announced_ ? announced_.ToQueue() : programs;
  }
  sigevent* made() { return &made_; }
  void TakeBack() {
    if (announced_) announced_.TakeBack();
  }

 private:
  Announced announced_;
  sigevent made_ = {};
};

// The notifications of a list's operations, beside their control blocks.
class Notifications {
 public:
  // Marks the blocks as those of operations that libkevent does.
  Notifications(aiocb* const list[], int count);
  ~Notifications();
  Notifications(const Notifications&) = delete;
  Notifications& operator=(const Notifications&) = delete;

  // False if there is no memory for them.
  bool are_there() const { return made_ != nullptr && announced_ != nullptr; }
  sigevent* made() { return made_; }
  // The call has returned, and none is left of operations that have not begun.
  void TakeBackWhatHasNotBegun();

 private:
  static constexpr int kFew = 16;

  const int count_;
  sigevent few_made_[kFew];
  Announced few_announced_[kFew];
  sigevent* const made_;
  Announced* const announced_;
};

}  // namespace kevent::threads

#endif  // KEVENT_ADAPTERS_THREADS_SUBMISSION_H_
