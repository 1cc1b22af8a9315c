// SPDX-License-Identifier: MIT
//
// The C library does the operations of a descriptor one after the other, by priority
// (glibc: __aio_enqueue_request).  So a read of no bytes that has the lowest priority ends when all
// before it have ended.

#include "adapters/aio/probe.h"

#include <aio.h>
#include <kevent/kevent.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>

#include "core/base/errno_kept.h"

namespace kevent::aio_adapter {
namespace {

using core::ErrnoKept;

// One that has not ended when its caller has waited for long enough is left in flight.
struct Probe {
  std::atomic<int> fd_plus_one;  // 0: free
  std::atomic<bool> is_left;
  aiocb control[1];  // gcc takes no aiocb, which ends with an array of no elements, by itself
};
struct Probes {
  Probe all[64];
};

constinit std::atomic<Probes*> g_probes = nullptr;

// In a child of fork none is in flight: the kernel wipes them.
Probes* MapProbes() {
  void* pages =
      mmap(nullptr, sizeof(Probes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) return nullptr;
  Probes* probes = nullptr;
  if (madvise(pages, sizeof(Probes), MADV_WIPEONFORK) == 0 &&
      g_probes.compare_exchange_strong(probes, static_cast<Probes*>(pages))) {
    return static_cast<Probes*>(pages);
  }
  munmap(pages, sizeof(Probes));
  return probes;
}

bool HasEnded(const Probe& probe) { return aio_error(probe.control) != EINPROGRESS; }

// The descriptor's probe or a free one, for this thread alone; nullptr if there is none, or if the
// descriptor's is in flight.
Probe* Take(Probes* probes, int fd) {
  for (Probe& probe : probes->all) {
    if (probe.fd_plus_one.load() != fd + 1) continue;
    bool left = true;
    const bool is_over = probe.is_left.load() && HasEnded(probe);
    return is_over && probe.is_left.compare_exchange_strong(left, false) ? &probe : nullptr;
  }
  for (Probe& probe : probes->all) {
    int none = 0;
    if (probe.fd_plus_one.compare_exchange_strong(none, fd + 1)) return &probe;
    // One that was left for another descriptor, and has ended since, is as good as free.
    bool left = true;
    if (!probe.is_left.load() || !HasEnded(probe) ||
        !probe.is_left.compare_exchange_strong(left, false)) {
      continue;
    }
    probe.fd_plus_one.store(fd + 1);
    return &probe;
  }
  return nullptr;
}

// An operation that a thread of real-time scheduling asks for comes before those of others.
bool IsRealTime() {
  int policy;
  sched_param parameters = {};
  pthread_getschedparam(pthread_self(), &policy, &parameters);
  return parameters.sched_priority != 0;
}

// The calls that begin operations are no cancellation points, and aio_suspend is one.
bool EndsSoon(const aiocb& control) {
  const aiocb* const list[] = {&control};
  constexpr timespec kPatience = {0, 1'000'000};
  int before;
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
  kevent_aio_suspend(list, 1, &kPatience);
  pthread_setcancelstate(before, nullptr);
  return aio_error(&control) != EINPROGRESS;
}

}  // namespace

bool IsBusyInLibrary(int fd) {
  const ErrnoKept kept;
  if (IsRealTime()) return true;
  Probes* probes = g_probes.load(std::memory_order_acquire);
  if (probes == nullptr) probes = MapProbes();
  Probe* const probe = probes == nullptr ? nullptr : Take(probes, fd);
  if (probe == nullptr) return true;
  aiocb* const control = probe->control;
  std::memset(control, 0, sizeof *control);
  control->aio_fildes = fd;
  control->aio_reqprio = static_cast<int>(sysconf(_SC_AIO_PRIO_DELTA_MAX));
  control->aio_sigevent.sigev_notify = SIGEV_NONE;
  const bool has_begun = kevent_aio_read(control) == 0;
  if (has_begun && !EndsSoon(*control)) {
    probe->is_left.store(true);
    return true;
  }
  probe->fd_plus_one.store(0);
  return !has_begun;
}

}  // namespace kevent::aio_adapter
