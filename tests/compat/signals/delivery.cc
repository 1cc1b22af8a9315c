// SPDX-License-Identifier: MIT

#include "tests/compat/signals/delivery.h"

#include <kevent/kevent.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

namespace conformance {

int Delivery::Set(timer_t timer, int flags, const itimerspec* setting, itimerspec* old) {
  return timer_settime(timer, flags, setting, old);
}
namespace {

[[noreturn]] void Fatal(const char* what) {
  std::perror(what);
  std::exit(2);
}

}  // namespace

SignalDelivery::SignalDelivery() : signal_(SIGRTMIN + 2) {
  sigemptyset(&set_);
  sigaddset(&set_, signal_);
  if (pthread_sigmask(SIG_BLOCK, &set_, nullptr) != 0) Fatal("pthread_sigmask");
}

sigevent SignalDelivery::Request(uintptr_t cookie) const {
  sigevent request = {};
  request.sigev_notify = SIGEV_SIGNAL;
  request.sigev_signo = signal_;
  request.sigev_value.sival_ptr = reinterpret_cast<void*>(cookie);
  return request;
}

bool SignalDelivery::Pending() const {
  sigset_t pending;
  sigpending(&pending);
  return sigismember(&pending, signal_) == 1;
}

int SignalDelivery::Collect(Nanos timeout, Completion* completion) {
  const timespec limit = kevent_test::ToTimespec(timeout);
  siginfo_t info = {};
  const int saved_errno = errno;
  if (sigtimedwait(&set_, &info, timeout < 0 ? nullptr : &limit) < 0) {
    if (errno != EAGAIN) return -errno;
    errno = saved_errno;  // a timeout is no failure
    return 0;
  }
  if (info.si_code != SI_TIMER) return -EPROTO;
  *completion = {reinterpret_cast<uintptr_t>(info.si_value.sival_ptr), info.si_overrun};
  return 1;
}

QueueDelivery::QueueDelivery(bool batches) : fd_(kevent_init(nullptr, 0, 0)), batches_(batches) {
  if (fd_ < 0) Fatal("kevent_init");
}

QueueDelivery::~QueueDelivery() { close(fd_); }

// It returns no old value, and takes no NULL.
int QueueDelivery::Set(timer_t timer, int flags, const itimerspec* setting, itimerspec* old) {
  if (!batches_ || setting == nullptr || old != nullptr) {
    return Delivery::Set(timer, flags, setting, old);
  }
  kevent_setting entry = {timer, flags, -1, *setting};
  const int set = kevent_settime(1, &entry);
  if (set == 1 && entry.error == 0) return 0;
  errno = set == 0 ? entry.error : EPROTO;
  return -1;
}

sigevent QueueDelivery::Request(uintptr_t cookie) const {
  sigevent request;
  kevent_sigevent(&request, fd_, reinterpret_cast<void*>(cookie));
  return request;
}

bool QueueDelivery::Pending() const {
  pollfd descriptor = {fd_, POLLIN, 0};
  return poll(&descriptor, 1, 0) == 1;
}

int QueueDelivery::Collect(Nanos timeout, Completion* completion) {
  const timespec limit = kevent_test::ToTimespec(timeout);
  ukevent event = {};
  const int count = kevent_get_events(fd_, 1, 1, timeout < 0 ? nullptr : &limit, &event, 0);
  if (count < 0) return -errno;
  if (count == 0) return 0;
  if (count != 1 || event.type != KEVENT_POSIX_TIMER || event.event != KEVENT_TIMER_FIRED ||
      event.ret_flags != KEVENT_RET_DONE || event.req_flags != 0) {
    return -EPROTO;
  }
  *completion = {reinterpret_cast<uintptr_t>(event.ptr), event.ret_data[0]};
  return 1;
}

}  // namespace conformance
