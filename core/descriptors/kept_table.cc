// SPDX-License-Identifier: MIT

#include "core/descriptors/kept_table.h"

#include "core/descriptors/internal_descriptors.h"

namespace kevent::core {

constinit std::atomic<uint64_t> KeptTable::state_{0};

Table TableOf(int fd, uint32_t queue, uint16_t role) {
  if (fd < 0) return Table::kUnknown;
  const bool its = sys::InTableOf(fd);
  if (!OwnsDescriptor(fd, queue, role) || !sys::IsLocked(fd)) return Table::kUnknown;
  return its ? Table::kIts : Table::kAnother;
}

Table KeptTable::Callers() {
  const uint64_t state = state_.load(std::memory_order_seq_cst);
  const Table table = TableOf(Pipe(state), 0, kRoleTable);
  return Users(state) != 0 ? table : Table::kUnknown;
}

void KeptTable::DropPipe() {
  const int pipe = Pipe(state_.fetch_and(~uint64_t{UINT32_MAX}, std::memory_order_seq_cst));
  if (pipe < 0) return;
  if (TableOf(pipe, 0, kRoleTable) == Table::kIts) return ReleaseDescriptor(pipe, 0, kRoleTable);
  Registry::Change(pipe, Registration::Internal(0, kRoleTable), {});
}

// A thread with another table, which asked while the table's last user went, cannot close the pipe:
// the next user's end does, or the next thread that makes the first queue in that table.
void KeptTable::DropUser() {
  uint64_t state = state_.load(std::memory_order_seq_cst);
  uint64_t after;
  int gone;
  do {
    after = state - kOneUser;
    gone = Users(after) == 0 ? Pipe(state) : -1;
    if (gone >= 0 && !sys::InTableOf(gone)) gone = -1;
    if (gone >= 0) after = 0;
  } while (!state_.compare_exchange_weak(state, after, std::memory_order_seq_cst));
  if (gone >= 0) ReleaseDescriptor(gone, 0, kRoleTable);
}

// The role changes first, and the queue's number stays: whoever asks the queue for its table
// accepts both roles, and whoever finds the queue without a number finds the pipe here.
bool KeptTable::Keep(int fd, uint32_t queue) {
  uint64_t state = state_.load(std::memory_order_seq_cst);
  // A pipe that was kept and does not tell was closed by a system call that the library does not
  // see.
  const int lost = Pipe(state);
  if (Users(state) == 0 || TableOf(lost, 0, kRoleTable) != Table::kUnknown) return false;
  if (TableOf(fd, queue, kRoleAlwaysReady) == Table::kUnknown) return false;
  if (!Registry::Change(fd, Registration::Internal(queue, kRoleAlwaysReady),
                        Registration::Internal(0, kRoleTable))) {
    return false;
  }
  while (Users(state) != 0 && (Pipe(state) < 0 || Pipe(state) == lost)) {
    const uint64_t kept = uint64_t{Users(state)} << 32 | static_cast<uint32_t>(fd + 1);
    if (state_.compare_exchange_weak(state, kept, std::memory_order_seq_cst)) return true;
  }
  ReleaseDescriptor(fd, 0, kRoleTable);
  return true;
}

}  // namespace kevent::core
