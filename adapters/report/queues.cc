// SPDX-License-Identifier: MIT

#include <algorithm>

#include "adapters/observe/callers.h"
#include "adapters/observe/rings.h"
#include "adapters/report/observer.h"
#include "adapters/report/sums.h"

namespace kevent::observe {

using report::Add;
using report::Queue;
using report::Raise;
using report::Table;
using report::Timer;

namespace {

void CountTimerEvent(Table* table, const ukevent& event) {
  Timer* const found = report::FindTimer(table, event.id.raw_u64);
  if (found == nullptr) return;
  Timer& timer = *found;
  const uint64_t overruns = event.ret_data[0];
  const uint64_t lateness = event.ret_data[1];
  Add(timer.collections);
  Add(timer.expirations, overruns + 1);
  if (overruns != 0) Add(timer.overruns, overruns);
  Add(timer.lateness, lateness);
  Raise(timer.most_late, lateness);
  table->sites[timer.site].lateness.Add(lateness);
  const uint64_t setting = report::SettingsOf(table->hot[report::RowOf(*table, timer)], timer);
  if (timer.last_served.exchange(setting) != setting) Add(timer.served);
}

}  // namespace

int Observer::InitQueue(decltype(&kevent_init) next, kevent_ring* ring, unsigned num,
                        unsigned flags, const void* caller) {
  const int result = next(ring, num, flags);
  Table* const table = result >= 0 && !IsAdapter(caller) ? report::MakeTable() : nullptr;
  if (table == nullptr) return result;
  const int before = errno;
  Queue* const queue = report::FindQueue(table, result);
  KeepRing(result, ring, num);
  if (queue == nullptr) {
    Add(table->dropped_queues);
  } else {
    FindPlace(caller, &queue->place);
    queue->known = 1;
    Add(queue->queues);
  }
  errno = before;
  return result;
}

int Observer::Control(decltype(&kevent_ctl) next, int kev_fd, unsigned command, unsigned num,
                      ukevent* arg, const void* caller) {
  const int result = next(kev_fd, command, num, arg);
  Table* const table = report::CurrentTable();
  if (result < 0 || table == nullptr || IsAdapter(caller)) return result;
  Queue* const queue = report::FindQueue(table, kev_fd);
  const unsigned kind = command & ~(KEVENT_CTL_REPLACE | KEVENT_CTL_BY_ID);
  if (queue != nullptr && kind < queue->commands.size()) {
    Add(queue->commands[kind], kind == KEVENT_CTL_READY && num == 0 ? 1 : num);
  }
  return result;
}

Observer::Collection::Collection(int kev_fd, bool may_sleep, const timespec* timeout)
    : table_(report::CurrentTable()),
      queue_(table_ == nullptr ? nullptr : report::FindQueue(table_, kev_fd)),
      may_sleep_(may_sleep &&
                 (timeout == nullptr || timeout->tv_sec != 0 || timeout->tv_nsec != 0)),
      begin_(queue_ != nullptr && may_sleep_ ? report::Now(CLOCK_MONOTONIC) : 0) {
  // Also when a thread is cancelled in it.
  if (queue_ == nullptr) return;
  Add(queue_->calls);
  if (may_sleep_) Add(queue_->waits);
}

void Observer::Collection::Returned(int result, const ukevent* events) const {
  if (queue_ == nullptr) return;
  if (may_sleep_) {
    Add(queue_->inside, static_cast<uint64_t>(report::Now(CLOCK_MONOTONIC) - begin_));
  }
  if (result < 0) {
    Add(errno == EINTR ? queue_->interrupted : queue_->failed);
    return;
  }
  queue_->batches.Add(static_cast<uint64_t>(result));
  if (result == 0) {
    Add(queue_->empty);
    return;
  }
  Add(queue_->events, static_cast<uint64_t>(result));
  if (events != nullptr) CountEvents(table_, queue_, events, static_cast<unsigned>(result));
}

void Observer::CountEvents(Table* table, Queue* queue, const ukevent* events, unsigned count) {
  for (unsigned i = 0; i < count; ++i) {
    const ukevent& event = events[i];
    Add(queue->types[std::min<size_t>(event.type, queue->types.size() - 1)]);
    if (event.type == KEVENT_POSIX_TIMER) {
      CountTimerEvent(table, event);
    } else if (event.type == KEVENT_AIO) {
      const bool failed = event.ret_data[0] == UINT32_MAX;
      Finished(reinterpret_cast<const void*>(event.id.raw_u64),
               failed ? -1 : static_cast<ssize_t>(event.ret_data[0]));
    }
  }
}

int Observer::WaitForRing(decltype(&kevent_wait) next, int kev_fd, unsigned num, unsigned old_uidx,
                          const timespec* timeout, unsigned flags, const void* caller) {
  if (IsAdapter(caller)) return next(kev_fd, num, old_uidx, timeout, flags);
  const Collection collection(kev_fd, true, timeout);
  const int result = next(kev_fd, num, old_uidx, timeout, flags);
  collection.Returned(result, nullptr);
  Table* const table = report::CurrentTable();
  Queue* const queue = result > 0 && table != nullptr ? report::FindQueue(table, kev_fd) : nullptr;
  if (queue == nullptr) return result;
  for (auto i = static_cast<unsigned>(result); i > 0; --i) {
    ukevent event;
    if (CopyFromRing(kev_fd, i, &event)) CountEvents(table, queue, &event, 1);
  }
  return result;
}

}  // namespace kevent::observe
