// SPDX-License-Identifier: MIT
//
// How completions reach the program: the one thing in which the two runs of a
// scenario differ.

#ifndef KEVENT_TESTS_COMPAT_GLIBC_AIO_WAY_H_
#define KEVENT_TESTS_COMPAT_GLIBC_AIO_WAY_H_

#include <signal.h>

namespace aio_conformance {

class Way {
 public:
  virtual ~Way() = default;
  // Asks for a notification with this cookie.
  virtual sigevent Request(void* cookie) const = 0;
  // The next one: false when none has come for so many milliseconds.
  virtual bool Next(int milliseconds, void** cookie) = 0;
};

// A blocked real-time signal, accepted by sigtimedwait(2).
class SignalWay : public Way {
 public:
  SignalWay();
  sigevent Request(void* cookie) const override;
  bool Next(int milliseconds, void** cookie) override;

 private:
  sigset_t set_;
};

class QueueWay : public Way {
 public:
  QueueWay();
  ~QueueWay() override;
  QueueWay(const QueueWay&) = delete;
  QueueWay& operator=(const QueueWay&) = delete;
  sigevent Request(void* cookie) const override;
  bool Next(int milliseconds, void** cookie) override;

 private:
  const int fd_;
};

}  // namespace aio_conformance

#endif  // KEVENT_TESTS_COMPAT_GLIBC_AIO_WAY_H_
