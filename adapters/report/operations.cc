// SPDX-License-Identifier: MIT

#include <optional>

#include "adapters/observe/callers.h"
#include "adapters/observe/lists.h"
#include "adapters/report/observer.h"

namespace kevent::observe {

using report::Add;
using report::Flying;
using report::Kind;
using report::Operations;
using report::Raise;
using report::Table;

namespace {

Operations& Of(Table* table, Kind kind) { return table->operations[static_cast<size_t>(kind)]; }

// A row that is being written or read: the addresses of control blocks are even.  Who has claimed
// it alone says what became of the operation, whether its callback, a signal handler and another
// thread ask for the result at the same time or its call fails meanwhile.
Flying* Claim(Table* table, const void* control, uint64_t expected) {
  return report::FindFlying(table, control, expected, reinterpret_cast<uint64_t>(control) | 1);
}

// False: there is no row for it.
bool TakeOff(Table* table, Kind kind, const aiocb* control, uint64_t bytes) {
  // A control block that is used again was finished, although its result was never asked for.
  const auto address = reinterpret_cast<uint64_t>(control);
  Flying* flying = Claim(table, control, address);
  const bool is_new = flying == nullptr;
  if (is_new) flying = Claim(table, control, 0);
  if (flying == nullptr) {
    Add(table->dropped_operations);
    return false;
  }
  flying->kind = kind;
  flying->asked = bytes;
  flying->begin = static_cast<uint64_t>(report::Now(CLOCK_MONOTONIC));
  if (is_new) Raise(table->most_flying, table->flying.fetch_add(1) + 1);
  flying->control.store(address, std::memory_order_release);
  return true;
}

struct Flight {
  Kind kind;
  uint64_t begin;
  uint64_t bytes;
};

// Nothing if its end was counted before.
std::optional<Flight> Land(Table* table, const void* control) {
  Flying* const flying = Claim(table, control, reinterpret_cast<uint64_t>(control));
  if (flying == nullptr) return std::nullopt;
  const Flight flight = {flying->kind, flying->begin, flying->asked};
  table->flying.fetch_sub(1);
  flying->control.store(0, std::memory_order_release);
  return flight;
}

void CountNotStarted(Table* table, Kind kind, uint64_t bytes) {
  Of(table, kind).started.fetch_sub(1);
  Of(table, kind).asked.fetch_sub(bytes);
  Add(Of(table, kind).failed);
}

bool IsOperation(const aiocb* control) {
  return control != nullptr &&
         (control->aio_lio_opcode == LIO_READ || control->aio_lio_opcode == LIO_WRITE);
}

Kind KindOf(const aiocb* control) {
  return control->aio_lio_opcode == LIO_READ ? Kind::kRead : Kind::kWrite;
}

}  // namespace

// Counted before the operation begins: it may be over, and its control block gone, before the call
// returns.
Observer::Started Observer::BeforeStart(Kind kind, const aiocb* control, const void* caller,
                                        uint64_t bytes) {
  if (IsAdapter(caller)) return Started::kUncounted;
  Table* const table = report::MakeTable();
  if (table == nullptr) return Started::kUncounted;
  const int before = errno;
  Add(Of(table, kind).started);
  Add(Of(table, kind).asked, bytes);
  const bool has_row = TakeOff(table, kind, control, bytes);
  errno = before;
  return has_row ? Started::kCounted : Started::kCountedWithoutRow;
}

void Observer::NotStarted(Started started, Kind kind, const aiocb* control, uint64_t bytes) {
  Table* const table = report::CurrentTable();
  if (table == nullptr || started == Started::kUncounted) return;
  if (started == Started::kCounted && !Land(table, control)) return;
  CountNotStarted(table, kind, bytes);
}

void Observer::BeforeList(aiocb* const list[], int count, const void* caller) {
  if (list == nullptr || IsAdapter(caller)) return;
  for (int i = 0; i < count; ++i) {
    if (IsOperation(list[i])) BeforeStart(KindOf(list[i]), list[i], caller, list[i]->aio_nbytes);
  }
}

void Observer::AfterList(aiocb* const list[], int count, int result, const void* caller) {
  Table* const table = report::CurrentTable();
  if (list == nullptr || table == nullptr || IsAdapter(caller)) return;
  Add(table->lists);
  if (result == 0) return;
  const int error = errno;
  ForEachNotBegun(list, count, error, [table](const aiocb* control) {
    const std::optional<Flight> flight = Land(table, control);
    if (flight) CountNotStarted(table, flight->kind, flight->bytes);
  });
  errno = error;
}

// Async-signal-safe, as aio_return is.
void Observer::Finished(const void* control, ssize_t result) {
  Table* const table = report::CurrentTable();
  if (table == nullptr || table->flying == 0) return;
  const std::optional<Flight> flight = Land(table, control);
  if (!flight) return;
  Operations& operations = Of(table, flight->kind);
  const uint64_t time = static_cast<uint64_t>(report::Now(CLOCK_MONOTONIC)) - flight->begin;
  Add(operations.finished);
  Add(operations.time, time);
  Raise(operations.longest, time);
  if (result < 0) {
    Add(operations.errors);
  } else {
    Add(operations.done, static_cast<uint64_t>(result));
  }
}

}  // namespace kevent::observe
