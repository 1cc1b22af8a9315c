// SPDX-License-Identifier: MIT

#include "tests/compat/glibc_aio/way.h"

#include <kevent/kevent.h>
#include <time.h>
#include <unistd.h>

namespace aio_conformance {
namespace {

timespec Span(int milliseconds) { return {milliseconds / 1000, milliseconds % 1000 * 1'000'000L}; }

}  // namespace

SignalWay::SignalWay() {
  sigemptyset(&set_);
  sigaddset(&set_, SIGRTMIN);
  pthread_sigmask(SIG_BLOCK, &set_, nullptr);
}

sigevent SignalWay::Request(void* cookie) const {
  sigevent request = {};
  request.sigev_notify = SIGEV_SIGNAL;
  request.sigev_signo = SIGRTMIN;
  request.sigev_value.sival_ptr = cookie;
  return request;
}

bool SignalWay::Next(int milliseconds, void** cookie) {
  const timespec limit = Span(milliseconds);
  siginfo_t info;
  if (sigtimedwait(&set_, &info, &limit) != SIGRTMIN) return false;
  *cookie = info.si_value.sival_ptr;
  return true;
}

QueueWay::QueueWay() : fd_(kevent_init(nullptr, 0, 0)) {}

QueueWay::~QueueWay() { close(fd_); }

sigevent QueueWay::Request(void* cookie) const {
  sigevent request;
  kevent_sigevent(&request, fd_, cookie);
  return request;
}

bool QueueWay::Next(int milliseconds, void** cookie) {
  const timespec limit = Span(milliseconds);
  ukevent event;
  if (kevent_get_events(fd_, 1, 1, &limit, &event, 0) != 1) return false;
  *cookie = event.ptr;
  return true;
}

}  // namespace aio_conformance
