// SPDX-License-Identifier: MIT

#include "adapters/observe/callers.h"
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

void TakeOff(Table* table, Kind kind, const aiocb* control) {
  // A control block that is used again was finished, although its result was never asked for.
  const auto address = reinterpret_cast<uint64_t>(control);
  Flying* flying = report::FindFlying(table, control, address, address);
  const bool is_new = flying == nullptr;
  if (is_new) flying = report::FindFlying(table, control, 0, address);
  if (flying == nullptr) {
    Add(table->dropped_operations);
    return;
  }
  flying->kind = kind;
  flying->begin = static_cast<uint64_t>(report::Now(CLOCK_MONOTONIC));
  if (is_new) Raise(table->most_flying, table->flying.fetch_add(1) + 1);
}

void Land(Table* table, const void* control) {
  const auto address = reinterpret_cast<uint64_t>(control);
  if (report::FindFlying(table, control, address, 0) != nullptr) table->flying.fetch_sub(1);
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
bool Observer::BeforeStart(Kind kind, const aiocb* control, const void* caller, uint64_t bytes) {
  if (IsAdapter(caller)) return false;
  Table* const table = report::MakeTable();
  if (table == nullptr) return false;
  const int before = errno;
  TakeOff(table, kind, control);
  Add(Of(table, kind).started);
  Add(Of(table, kind).asked, bytes);
  errno = before;
  return true;
}

void Observer::NotStarted(Kind kind, const aiocb* control, uint64_t bytes) {
  Table* const table = report::CurrentTable();
  if (table == nullptr) return;
  Land(table, control);
  Of(table, kind).started.fetch_sub(1);
  Of(table, kind).asked.fetch_sub(bytes);
  Add(Of(table, kind).failed);
}

void Observer::BeforeList(aiocb* const list[], int count, const void* caller) {
  if (list == nullptr || IsAdapter(caller)) return;
  for (int i = 0; i < count; ++i) {
    if (IsOperation(list[i])) BeforeStart(KindOf(list[i]), list[i], caller, list[i]->aio_nbytes);
  }
}

// With EIO and EINTR the operations have begun, and aio_return says of each what became of it. With
// other errors some have: those that have not have the call's error.  A control block whose result
// the program has seen already may be gone, and is not looked at.
void Observer::AfterList(aiocb* const list[], int count, int result, const void* caller) {
  Table* const table = report::CurrentTable();
  if (list == nullptr || table == nullptr || IsAdapter(caller)) return;
  Add(table->lists);
  const int error = errno;
  if (result == 0 || error == EIO || error == EINTR) return;
  for (int i = 0; i < count; ++i) {
    const auto address = reinterpret_cast<uint64_t>(list[i]);
    if (address == 0 || report::FindFlying(table, list[i], address, address) == nullptr) continue;
    if (!IsOperation(list[i]) || aio_error(list[i]) != error) continue;
    NotStarted(KindOf(list[i]), list[i], list[i]->aio_nbytes);
  }
  errno = error;
}

// Async-signal-safe, as aio_return is.
void Observer::Finished(const void* control, ssize_t result) {
  Table* const table = report::CurrentTable();
  if (table == nullptr || table->flying == 0) return;
  const auto address = reinterpret_cast<uint64_t>(control);
  Flying* const flying = report::FindFlying(table, control, address, address);
  if (flying == nullptr) return;
  Operations& operations = Of(table, flying->kind);
  const auto time = static_cast<uint64_t>(report::Now(CLOCK_MONOTONIC)) - flying->begin.load();
  Land(table, control);
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
