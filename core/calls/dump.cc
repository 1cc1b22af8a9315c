// SPDX-License-Identifier: MIT

#include "core/calls/dump.h"

#include <cerrno>

#include "core/base/line_writer.h"
#include "core/base/timespec.h"
#include "core/kevents/event_set.h"
#include "core/queue/queue.h"
#include "core/queue/queues.h"
#include "core/system/signals_blocked.h"
#include "core/system/system.h"

namespace kevent::core {

namespace {

void WriteMoment(LineWriter& out, Nanoseconds moment) {
  char fraction[] = ".000000000";
  uint64_t rest = moment % kNanosecondsPerSecond;
  for (size_t i = sizeof fraction - 2; i != 0; --i, rest /= 10) {
    fraction[i] = static_cast<char>('0' + rest % 10);
  }
  out << moment / kNanosecondsPerSecond << fraction;
}

// Names a clock of CPU time by its number, which has a thread or process in it.
void WriteClock(LineWriter& out, clockid_t clock) {
  switch (clock) {
    case CLOCK_REALTIME:
      out << "CLOCK_REALTIME";
      break;
    case CLOCK_MONOTONIC:
      out << "CLOCK_MONOTONIC";
      break;
    case CLOCK_BOOTTIME:
      out << "CLOCK_BOOTTIME";
      break;
    case CLOCK_TAI:
      out << "CLOCK_TAI";
      break;
    case CLOCK_REALTIME_ALARM:
      out << "CLOCK_REALTIME_ALARM";
      break;
    case CLOCK_BOOTTIME_ALARM:
      out << "CLOCK_BOOTTIME_ALARM";
      break;
    default:
      out << "clock " << clock;
  }
}

const char* NameOf(AxisKind kind) {
  switch (kind) {
    case AxisKind::kUnused:
      return "unused";
    case AxisKind::kTimerfd:
    case AxisKind::kSettable:
      return "timerfd";
    case AxisKind::kTai:
      return "timerfd of CLOCK_REALTIME";
    case AxisKind::kCpuTime:
      return "POSIX timer";
  }
  return "?";
}

void WriteMomentOrNothing(LineWriter& out, Nanoseconds moment) {
  if (moment != 0) {
    WriteMoment(out, moment);
  } else {
    out << "nothing";
  }
}

void DumpTimer(LineWriter& out, const KernelTimer& timer) {
  const AxisKind kind = timer.kind.load();
  if (kind == AxisKind::kUnused) return;
  const KernelRegister::State armed = timer.armed.Load();
  out << "  ";
  WriteClock(out, timer.clock.load());
  out << ": " << NameOf(kind) << " " << timer.source.load() - 1 << ", armed for ";
  WriteMomentOrNothing(out, DeadlineOf(armed.value()));
  out << (armed.told() ? "" : " (the kernel is not told yet)");
  Nanoseconds now;
  if (sys::Now(timer.clock.load(), &now) == 0) {
    out << ", now ";
    WriteMoment(out, now);
  }
  out << (timer.ended.load() ? ", ended\n" : "\n");
}

}  // namespace

void Doorbell::Dump(LineWriter& out) const {
  const KernelRegister::State announced = announced_.Load();
  out << "  epoll " << epoll() << ", always ready " << always_ready() << ", announced as "
      << announced.value() << (announced.told() ? "" : " (the kernel is not told yet)") << ", by "
      << announcing_.load() << " threads" << (held_.load() ? "; a leader holds" : "") << "\n";
  if (const int refusal = refusal_.load(); refusal != 0) {
    out << "  the kernel refuses to be told of deadlines: error " << -refusal << "\n";
  }
  for (uint32_t i = 0; i < timer_count(); ++i) DumpTimer(out, timers_[i]);
  second_.Dump(out);
}

void SecondTimer::Dump(LineWriter& out) const {
  if (!exists()) return;
  out << "  CLOCK_MONOTONIC: second timerfd " << number() << ", armed for ";
  WriteMomentOrNothing(out, told());
  out << "\n";
}

void Queue::Dump(LineWriter& out) {
  out << "  " << lifetime_.names() << " descriptors, " << lifetime_.pins()
      << " calls on the way, this one included\n";
  doorbell_.Dump(out);
  if (!lock_.TryAcquire()) {
    out << "  the lock is held: no more can be read\n";
    return;
  }
  DumpLocked(out);
  lock_.Release();
}

void Queue::DumpLocked(LineWriter& out) {
  out << "  " << index_.timers() - stock_.size() << " timers, " << deleted_.load()
      << " of them deleted\n";
  for (uint32_t i = 0; i < axis_count(); ++i) {
    const KernelTimer& timer = doorbell_.timer(static_cast<uint8_t>(i));
    if (timer.kind.load() == AxisKind::kUnused) continue;
    out << "  ";
    WriteClock(out, timer.clock.load());
    const uint32_t in_stock = i == kMonotonicAxis ? stock_.size() : 0;
    out << ": " << index_.members(static_cast<uint8_t>(i)) - in_stock
        << " timers may have deadlines on it";
    if (const HeapEntry* top = index_.Earliest(static_cast<uint8_t>(i)); top != nullptr) {
      out << "; the first comes up at ";
      WriteMoment(out, top->deadline());
    }
    out << "\n";
  }
  out << (sleepers_.has_leader() ? "  a thread sleeps on the descriptors\n"
                                 : "  no thread sleeps on the descriptors\n");
  if (EventSet* const set = kevents(); set != nullptr) {
    out << "  " << set->registered() << " kevents, " << set->ready_count()
        << " events of kevents and operations ready\n";
    const EventSet::TransferCounts transfers = set->CountTransfers();
    if (transfers.sockets != 0) {
      out << "  " << transfers.in_flight << " transfers in flight; for transfers "
          << transfers.sockets << " of these kevents watch sockets\n";
    }
  }
  if (ring_.exists()) out << "  a ring of " << ring_.size() << (ring_.full() ? ", full\n" : "\n");
}

namespace {

// Room for two lines for each clock.
constexpr size_t kRoom = size_t{1} << 17;
static_assert(kRoom / kMaxAxes > size_t{2} * 200);

// Describes the queue: 0, or an errno without any text.
int Describe(int kev_fd, LineWriter& out) {
  const SignalsBlocked blocked;
  Queue* queue;
  if (const int error = Queues::Pin(kev_fd, &queue); error != 0) return error;
  out << "kevent queue " << kev_fd << ": number " << queue->number() << ", incarnation "
      << queue->incarnation() << "\n";
  queue->Dump(out);
  queue->Unpin();
  return 0;
}

// Writes all of the text: 0 or a negative errno.
int WriteAll(int fd, const char* text, size_t size) {
  while (size != 0) {
    const int written = sys::Write(fd, text, size);
    if (written <= 0) return written == 0 ? -EIO : written;
    text += written;
    size -= static_cast<size_t>(written);
  }
  return 0;
}

}  // namespace

int DumpQueue(int kev_fd, int fd) {
  char* text;
  if (const int error = sys::MapPages(kRoom, sys::OnFork::kKeep, &text); error < 0) return error;
  LineWriter out(text, kRoom);
  int result = -Describe(kev_fd, out);
  if (result == 0) result = WriteAll(fd, text, out.size());
  sys::UnmapPages(text, kRoom);
  return result;
}

}  // namespace kevent::core
