// SPDX-License-Identifier: MIT

#include "core/queue/alarm_thread.h"

#include <cerrno>

#include "core/base/timespec.h"
#include "core/descriptors/kept_table.h"
#include "core/queue/queues.h"
#include "core/system/signals_blocked.h"
#include "core/system/system.h"

namespace kevent::core {
namespace {

// The value of the thread's own alarm.
constexpr int kLook = -1;

constexpr Nanoseconds kWhile = kNanosecondsPerSecond;

}  // namespace

int AlarmThread::Reserve() {
  const Locked locked(lock_);
  alarms_.fetch_add(1, std::memory_order_seq_cst);
  if (thread_ == 0) {
    const int thread = StartThread<&AlarmThread::Serve>(this, "kevent-timers");
    if (thread < 0) {
      alarms_.fetch_sub(1, std::memory_order_seq_cst);
      return thread;
    }
    thread_ = thread;
  }
  return thread_;
}

void AlarmThread::Unreserve() {
  const SignalsBlocked blocked;
  unreserving_.fetch_add(1, std::memory_order_seq_cst);
  if (alarms_.fetch_sub(1, std::memory_order_seq_cst) == 1) {
    // Without such an alarm the thread is about to begin, or to end, and looks by itself.
    const int look = look_.load(std::memory_order_seq_cst);
    if (look != 0) sys::ArmAlarm(look - 1, sys::MonotonicNow() + kWhile);
  }
  unreserving_.fetch_sub(1, std::memory_order_seq_cst);
}

// Decides that the thread ends, after a while without alarms.  Takes the lock that Reserve takes: a
// thread that has reserved finds this one there, or begins another.
bool AlarmThread::Leaves() {
  const Locked locked(lock_);
  if (alarms_.load(std::memory_order_seq_cst) != 0) return false;
  thread_ = 0;
  return true;
}

void AlarmThread::Serve() {
  int own;
  const bool has_own = sys::CreateAlarm(CLOCK_MONOTONIC, sys::ThreadId(), kLook, &own) == 0;
  if (has_own) look_.store(own + 1, std::memory_order_seq_cst);
  const timespec a_while = ToTimespec(kWhile);
  for (;;) {
    const bool idle = alarms_.load(std::memory_order_seq_cst) == 0;
    int value;
    const int result = sys::WaitForAlarm(&value, idle || !has_own ? &a_while : nullptr);
    if (result != 0 && result != -EAGAIN) return;  // no alarm is ever taken here
    if (result == 0 && value != kLook) {
      const auto number = static_cast<uint32_t>(value);
      Queues::At(number >> 8).AlarmFired(static_cast<uint8_t>(number));
    } else if (Leaves()) {
      break;
    }
  }
  // Another alarm thread may have begun, and have an alarm of its own.
  if (!has_own) return;
  int mine = own + 1;
  look_.compare_exchange_strong(mine, 0, std::memory_order_seq_cst);
  while (unreserving_.load(std::memory_order_seq_cst) != 0) sys::Pause();
  sys::DeleteAlarm(own);
}

}  // namespace kevent::core
