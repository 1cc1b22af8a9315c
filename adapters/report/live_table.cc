// SPDX-License-Identifier: MIT

#include "adapters/report/live_table.h"

#include <kevent/kevent.h>

#include <cerrno>

#include "adapters/report/sums.h"

namespace kevent::report {

namespace {
constinit std::atomic<observe::FileHeader*> g_no_table{nullptr};
}  // namespace
constinit std::atomic<std::atomic<observe::FileHeader*>*> g_table_place{&g_no_table};

Table* MakeTable() {
  if (Table* const table = CurrentTable(); table != nullptr) return table;
  std::atomic<observe::FileHeader*>* const place = observe::FilePlace();
  if (place == nullptr) return nullptr;
  // Threads that are first at the same time make a file each, and the first file stays.
  observe::FileHeader* const file = observe::MapNewFile(kPrefix, sizeof(Table), kVersion);
  if (file == nullptr) return nullptr;
  observe::FileHeader* nothing = nullptr;
  if (!observe::HaveMemory(file, offsetof(Table, timers))) {
    observe::Discard(file, kPrefix, observe::Reason::kNoMemory);
    return nullptr;
  }
  if (place->compare_exchange_strong(nothing, file, std::memory_order_acq_rel)) {
    observe::Publish(file, kMagic);
  } else {
    observe::Discard(file, kPrefix, observe::Reason::kAnotherIsThere);
  }
  g_table_place.store(place, std::memory_order_release);
  return CurrentTable();
}

namespace {

__attribute__((constructor)) void EndEarlier() { observe::EndEarlier(kPrefix); }

template <size_t kRows, typename Row>
bool HaveRow(Count& has, std::array<Row, kRows>& rows, size_t row) {
  if (HasMemory(has.load(std::memory_order_acquire), row, kRows)) return true;
  constexpr size_t kRowsOfPart = kRows / kParts;
  const size_t part = PartOf(row, kRows);
  if (!observe::HaveMemory(&rows[part * kRowsOfPart], kRowsOfPart * sizeof(Row))) return false;
  has.fetch_or(uint64_t{1} << part, std::memory_order_release);
  return true;
}

// Makes the row of a timer that has ended this caller's.
bool TakeEnded(Table* table, size_t row) {
  Timer& timer = table->timers[row];
  State ended = State::kEnded;
  if (!timer.state.compare_exchange_strong(ended, State::kTaken)) return false;
  AddTo(table->sites[timer.site].ended, table->hot[row], timer);
  return true;
}

bool TakeFree(Table* table, size_t row) {
  State free = State::kFree;
  return table->timers[row].state.compare_exchange_strong(free, State::kTaken);
}

void Clear(HotTimer& hot, Timer& timer) {
  hot.tag = 0;
  hot.count = 0;
  for (Count* const count :
       {&timer.serial, &timer.settings, &timer.disarmings, &timer.disarmed_by, &timer.replaced,
        &timer.expirations, &timer.collections, &timer.overruns, &timer.lateness, &timer.most_late,
        &timer.callbacks, &timer.running, &timer.most_at_once, &timer.served, &timer.last_served}) {
    count->store(0, std::memory_order_relaxed);
  }
  for (std::atomic<int64_t>* const time :
       {&timer.setting.value, &timer.setting.interval, &timer.first}) {
    time->store(0, std::memory_order_relaxed);
  }
  timer.setting.flags = 0;
  timer.queue = -1;
  timer.thread = 0;
}

Notify NotifyOf(const sigevent* notification) {
  if (notification == nullptr) return Notify::kSignal;
  switch (notification->sigev_notify) {
    case SIGEV_SIGNAL:
      return Notify::kSignal;
    case SIGEV_NONE:
      return Notify::kNone;
    case SIGEV_THREAD:
      return Notify::kThread;
    case SIGEV_THREAD_ID:
      return Notify::kThreadId;
    case SIGEV_KEVENT:
      return Notify::kKevent;
    default:
      return Notify::kOther;
  }
}

}  // namespace

Timer* FindTimer(Table* table, uint64_t timer) {
  const uint64_t key = KeyOf(timer);
  const uint64_t farthest = table->farthest.load(std::memory_order_relaxed);
  for (size_t i = 0; i <= farthest; ++i) {
    const size_t row = (FirstRow(timer) + i) % kTimers;
    // Rows without memory are not looked at: that would take some.
    if (!HasMemory(table->has_timers.load(std::memory_order_acquire), row, kTimers)) continue;
    if (table->timers[row].key.load(std::memory_order_acquire) == key) return &table->timers[row];
  }
  return nullptr;
}

// Timers that have ended keep their rows until no other row near by is free.
Timer* TakeRow(Table* table, uint64_t timer) {
  for (const auto take : {TakeFree, TakeEnded}) {
    for (size_t i = 0; i < kMostRows; ++i) {
      const size_t row = (FirstRow(timer) + i) % kTimers;
      if (!HaveRow(table->has_timers, table->timers, row)) return nullptr;
      if (!take(table, row)) continue;
      Clear(table->hot[row], table->timers[row]);
      Raise(table->farthest, i);
      return &table->timers[row];
    }
  }
  return nullptr;
}

void OpenRow(Table* table, Timer* row, uint64_t timer) {
  row->timer = timer;
  row->serial = table->serial.fetch_add(1, std::memory_order_relaxed) + 1;
  row->state.store(State::kLive, std::memory_order_release);
  row->key.store(KeyOf(timer), std::memory_order_release);
}

void CloseRow(Table* table, Timer* row) {
  table->hot[RowOf(*table, *row)].tag = 0;
  row->key = 0;
}

Site* FindSite(Table* table, const void* caller, clockid_t clock, const sigevent* notification) {
  const Notify notify = NotifyOf(notification);
  int signal = 0;
  if (notify == Notify::kSignal || notify == Notify::kThreadId) {
    signal = notification == nullptr ? SIGALRM : notification->sigev_signo;
  }
  // Places of a program lie close together, and differ in the lower bits; the rest goes elsewhere.
  const uint64_t key = reinterpret_cast<uint64_t>(caller) ^ static_cast<uint64_t>(notify) << 60 ^
                       static_cast<uint64_t>(signal & 0xff) << 48 ^
                       uint64_t { static_cast<uint32_t>(clock) * 0x9e3779b9U } << 12;
  const uint64_t first = key * 0x9e3779b97f4a7c15 >> 32;
  for (size_t i = 0; i < kSites; ++i) {
    Site& site = table->sites[(first + i) % kSites];
    uint64_t found = 0;
    if (!site.key.compare_exchange_strong(found, key) && found != key) continue;
    // Whoever else is here at the same time writes the same.
    if (site.written.load(std::memory_order_acquire) == 0) {
      observe::FindPlace(caller, &site.place);
      site.clock = clock;
      site.notify = notify;
      site.signal = signal;
      site.written.store(1, std::memory_order_release);
    }
    return &site;
  }
  return nullptr;
}

Queue* FindQueue(Table* table, int descriptor) {
  const auto number = static_cast<unsigned>(descriptor);
  if (number >= kQueues || !HaveRow(table->has_queues, table->queues, number)) return nullptr;
  return &table->queues[number];
}

Flying* FindFlying(Table* table, const void* control, uint64_t expected, uint64_t wanted) {
  const auto address = reinterpret_cast<uint64_t>(control);
  for (size_t i = 0; i < kMostRows; ++i) {
    const size_t row = ((address >> 4) + i) % kOperations;
    if (!HaveRow(table->has_in_flight, table->in_flight, row)) return nullptr;
    Flying& flying = table->in_flight[row];
    uint64_t found = expected;
    if (flying.control.compare_exchange_strong(found, wanted)) return &flying;
  }
  return nullptr;
}

}  // namespace kevent::report
