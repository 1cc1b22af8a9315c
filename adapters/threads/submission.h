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
  // Not accepted: a pool can not make it, or there is none to be had.
  static Announced Try(Callback::Of of, const sigevent& notification);

  explicit operator bool() const { return callback_ != nullptr; }
  Callback* callback() const { return callback_; }
  // The notification that libkevent is to make.
  sigevent ToQueue() const;
  void TakeBack();

 private:
  Callback* callback_ = nullptr;
};

// During a call that submits asynchronous operations, those that want a thread have libkevent's
// kind of notification in their control blocks, from which libkevent copies it.
class Submission {
 public:
  Submission() = default;
  Submission(const Submission&) = delete;
  Submission& operator=(const Submission&) = delete;
  // Gives each control block its own notification back, and then lets the callbacks begin.
  ~Submission();

  void Add(aiocb* control);
  bool any() const { return latest_ != nullptr; }
  // The call has failed, and its only operation has not begun.
  void TakeBack();

 private:
  Callback* latest_ = nullptr;
  bool taken_back_ = false;
};

}  // namespace kevent::threads

#endif  // KEVENT_ADAPTERS_THREADS_SUBMISSION_H_
