// SPDX-License-Identifier: MIT

#include "adapters/aio/barrier.h"

#include <fcntl.h>
#include <kevent/kevent.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>

namespace kevent::aio_adapter {
namespace {

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

int MakeThread(const pthread_attr_t* attributes, void* (*run)(void*), void* argument) {
  pthread_attr_t detached;
  pthread_attr_init(&detached);
  pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
  pthread_t thread;
  const int error =
      pthread_create(&thread, attributes != nullptr ? attributes : &detached, run, argument);
  pthread_attr_destroy(&detached);
  return error;
}

// A notification on its way to the thread that makes it.
struct Handover {
  const sigevent& notification;
  sem_t made;
  sem_t taken;
};

void Await(sem_t* semaphore) {
  while (sem_wait(semaphore) != 0) continue;  // EINTR
}

// The thread blocks no signal, as one of the C library's does.
void* Call(void* argument) {
  auto* const handover = static_cast<Handover*>(argument);
  Await(&handover->made);
  const sigevent notification = handover->notification;
  sem_post(&handover->taken);
  sigset_t none;
  sigemptyset(&none);
  pthread_sigmask(SIG_SETMASK, &none, nullptr);
  notification.sigev_notify_function(notification.sigev_value);
  return nullptr;
}

// Where no thread can be made, nobody is told, as by the C library.  The function begins when
// pthread_create has returned: it may end the life of the attributes, which the C library reads
// when the thread runs already (glibc 2.36, create_thread).
void NotifyByThread(const sigevent& notification) {
  Handover handover = {.notification = notification, .made = {}, .taken = {}};
  sem_init(&handover.made, 0, 0);
  sem_init(&handover.taken, 0, 0);
  if (MakeThread(notification.sigev_notify_attributes, &Call, &handover) == 0) {
    sem_post(&handover.made);
    Await(&handover.taken);
  }
  sem_destroy(&handover.made);
  sem_destroy(&handover.taken);
}

void Await(const aiocb& control) {
  const aiocb* const list[] = {&control};
  while (aio_error(&control) == EINPROGRESS) kevent_aio_suspend(list, 1, nullptr);
}

}  // namespace

Barrier* Barrier::Make(const sigevent& notification, int count) {
  void* const memory = std::malloc(sizeof(Barrier));
  void* const controls = std::calloc(static_cast<size_t>(count), sizeof(aiocb));
  if (memory != nullptr && controls != nullptr) {
    auto* const barrier = new (memory) Barrier;
    sem_init(&barrier->complete_, 0, 0);
    barrier->notification_ = notification;
    barrier->controls_ = static_cast<aiocb*>(controls);
    barrier->count_ = 0;
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int error = MakeThread(nullptr, &Run, barrier);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (error == 0) return barrier;
  }
  std::free(controls);
  std::free(memory);
  return nullptr;
}

// In the C library a read of no bytes comes after all of the same priority that were asked for
// before; in the engine a sync comes after all.
void Barrier::Add(int fd, int priority, Side side) {
  aiocb* const control = &controls_[count_];
  control->aio_fildes = fd;
  control->aio_sigevent.sigev_notify = SIGEV_NONE;
  int result;
  if (side == Side::kLibrary) {
    control->aio_reqprio = priority;
    result = kevent_aio_read(control);
  } else {
    result = kevent_aio_fsync(O_DSYNC | KEVENT_AIO_ENGINE, control);
  }
  if (result == 0) ++count_;
}

void* Barrier::Run(void* argument) {
  auto* const barrier = static_cast<Barrier*>(argument);
  while (sem_wait(&barrier->complete_) != 0) {
  }
  for (int i = 0; i < barrier->count_; ++i) Await(barrier->controls_[i]);
  const sigevent notification = barrier->notification_;
  sem_destroy(&barrier->complete_);
  std::free(barrier->controls_);
  std::free(barrier);
  if (notification.sigev_notify == SIGEV_SIGNAL) NotifyBySignal(notification);
  if (notification.sigev_notify == SIGEV_THREAD) NotifyByThread(notification);
  return nullptr;
}

}  // namespace kevent::aio_adapter
