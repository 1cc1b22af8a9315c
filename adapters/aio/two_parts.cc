// SPDX-License-Identifier: MIT
//
// Both sides tell the end of a part by a thread that they make for it.  The last one is as good as
// the one that the program has asked for: it has the signal mask of such a thread, and can make one
// that has the program's attributes.

#include "adapters/aio/two_parts.h"

#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <new>

namespace kevent::aio_adapter {
namespace {

struct Call {
  void (*function)(sigval);
  sigval value;
};

void* Run(void* argument) {
  const Call call = *static_cast<Call*>(argument);
  std::free(argument);
  call.function(call.value);
  return nullptr;
}

void NotifyByThread(const sigevent& notification) {
  void* const memory = std::malloc(sizeof(Call));
  if (memory == nullptr) return;
  auto* call = new (memory) Call{notification.sigev_notify_function, notification.sigev_value};
  pthread_t thread;
  if (pthread_create(&thread, notification.sigev_notify_attributes, &Run, call) != 0) {
    std::free(call);
  }
}

// As the C library does (glibc: __aio_sigqueue).
void NotifyBySignal(const sigevent& notification) {
  siginfo_t info;
  std::memset(&info, 0, sizeof info);
  info.si_signo = notification.sigev_signo;
  info.si_code = SI_ASYNCIO;
  info.si_pid = getpid();
  info.si_uid = getuid();
  info.si_value = notification.sigev_value;
  syscall(SYS_rt_sigqueueinfo, info.si_pid, info.si_signo, &info);
}

}  // namespace

bool TwoParts::Make(const sigevent& notification, sigevent* of_part) {
  void* const memory = std::malloc(sizeof(TwoParts));
  if (memory == nullptr) return false;
  auto* parts = new (memory) TwoParts;
  parts->left_.store(2);
  parts->notification_ = notification;
  std::memset(of_part, 0, sizeof *of_part);
  of_part->sigev_notify = SIGEV_THREAD;
  of_part->sigev_notify_function = &EndPart;
  of_part->sigev_value.sival_ptr = parts;
  return true;
}

void TwoParts::EndPart(sigval value) {
  auto* parts = static_cast<TwoParts*>(value.sival_ptr);
  if (parts->left_.fetch_sub(1) != 1) return;
  const sigevent notification = parts->notification_;
  std::free(parts);
  if (notification.sigev_notify == SIGEV_SIGNAL) {
    NotifyBySignal(notification);
  } else if (notification.sigev_notify_attributes == nullptr) {
    notification.sigev_notify_function(notification.sigev_value);
  } else {
    NotifyByThread(notification);
  }
}

}  // namespace kevent::aio_adapter
