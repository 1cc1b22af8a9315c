// SPDX-License-Identifier: MIT

#include "adapters/report/callbacks.h"

#include <pthread.h>
#include <sys/mman.h>

#include "adapters/report/live_table.h"

namespace kevent::report {
namespace {

constexpr size_t kCallbacks = 65536;

// The row, while it is still this timer's.
Timer* RowOfCallback(const Callback& callback) {
  Timer* const timer = callback.timer.load(std::memory_order_acquire);
  const bool is_its = timer != nullptr && timer->serial == callback.serial;
  return is_its ? timer : nullptr;
}

// A callback may end by pthread_exit, or be cancelled.
void Returned(void* argument) {
  Timer* const timer = RowOfCallback(*static_cast<Callback*>(argument));
  if (timer != nullptr && timer->running != 0) timer->running.fetch_sub(1);
}

void Count1(const Callback& callback) {
  Timer* const timer = RowOfCallback(callback);
  if (timer == nullptr) return;
  Add(timer->callbacks);
  Raise(timer->most_at_once, timer->running.fetch_add(1) + 1);
}

void CallProgram(sigval value) {
  auto* const callback = static_cast<Callback*>(value.sival_ptr);
  // In the child of a fork the table is the parent's.
  const bool counts = CurrentTable() == callback->table;
  if (!counts) return callback->function(callback->value);
  Count1(*callback);
  pthread_cleanup_push(Returned, callback);
  callback->function(callback->value);
  pthread_cleanup_pop(1);
}

Callback* AllCallbacks() {
  static constinit std::atomic<Callback*> all{nullptr};
  Callback* found = all.load(std::memory_order_acquire);
  if (found != nullptr) return found;
  void* const memory = mmap(nullptr, kCallbacks * sizeof(Callback), PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  auto* const made = static_cast<Callback*>(memory);
  if (all.compare_exchange_strong(found, made)) return made;
  munmap(memory, kCallbacks * sizeof(Callback));
  return found;
}

}  // namespace

Callback* CountCallbacks(Table* table, sigevent* notification) {
  static constinit std::atomic<size_t> used{0};
  Callback* const all = AllCallbacks();
  if (all == nullptr || used.load() >= kCallbacks) return nullptr;
  const size_t number = used.fetch_add(1);
  if (number >= kCallbacks) return nullptr;
  Callback& callback = all[number];
  callback.function = notification->sigev_notify_function;
  callback.value = notification->sigev_value;
  callback.table = table;
  notification->sigev_notify_function = CallProgram;
  notification->sigev_value.sival_ptr = &callback;
  return &callback;
}

}  // namespace kevent::report
