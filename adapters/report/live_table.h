// SPDX-License-Identifier: MIT
//
// The table of this process, and the rows in it.

#ifndef KEVENT_ADAPTERS_REPORT_LIVE_TABLE_H_
#define KEVENT_ADAPTERS_REPORT_LIVE_TABLE_H_

#include <absl/base/optimization.h>
#include <signal.h>

#include "adapters/report/table.h"

namespace kevent::report {

// Where the process has its table, once it has made something that is counted; it is null in the
// child of a fork.  Async-signal-safe.
extern constinit std::atomic<std::atomic<observe::FileHeader*>*> g_table_place;
inline Table* CurrentTable() {
  return reinterpret_cast<Table*>(
      g_table_place.load(std::memory_order_acquire)->load(std::memory_order_acquire));
}

// The same; makes one if there is none, where the environment asks for it.  Not async-signal-safe.
Table* MakeTable();

inline size_t RowOf(const Table& table, const Timer& timer) {
  return static_cast<size_t>(&timer - table.timers.data());
}

// The live timer of this number, or nullptr.  Async-signal-safe.
Timer* FindTimer(Table* table, uint64_t timer);

// A row for a timer that has just been made; nullptr if there is none.  The caller gives it its key
// when it has filled it in (OpenRow).
Timer* TakeRow(Table* table, uint64_t timer);
void OpenRow(Table* table, Timer* row, uint64_t timer);
// The timer is no longer found.
void CloseRow(Table* table, Timer* row);

// The place in which timers like this one are created; nullptr if there is no room.
Site* FindSite(Table* table, const void* caller, clockid_t clock, const sigevent* notification);

// The queue of this descriptor; nullptr: there is no row for the number.
Queue* FindQueue(Table* table, int descriptor);

// A row of the operations in flight, near those of the control block, whose `control` was
// `expected` and has become `wanted`; nullptr if there is none near by.
Flying* FindFlying(Table* table, const void* control, uint64_t expected, uint64_t wanted);

inline void Raise(Count& most, uint64_t number) {
  uint64_t before = most.load(std::memory_order_relaxed);
  while (before < number &&
         !most.compare_exchange_weak(before, number, std::memory_order_relaxed)) {
  }
}
inline void Add(Count& count, uint64_t number = 1) {
  count.fetch_add(number, std::memory_order_relaxed);
}

inline int64_t Now(clockid_t clock) {
  timespec now = {};
  return clock_gettime(clock, &now) == 0 ? Nanoseconds(now) : 0;
}

}  // namespace kevent::report

#endif  // KEVENT_ADAPTERS_REPORT_LIVE_TABLE_H_
