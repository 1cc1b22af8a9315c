// SPDX-License-Identifier: MIT

#include "adapters/threads/process.h"

#include <sys/mman.h>
#include <unistd.h>

namespace kevent::threads {
namespace {

constinit std::atomic<Process*> g_process{nullptr};

Process* Map() {
  void* const pages = mmap(nullptr, sizeof(Process), PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (pages == MAP_FAILED) return nullptr;
  auto* const mapped = static_cast<Process*>(pages);
  Process* nobodys = nullptr;
  if (madvise(pages, sizeof(Process), MADV_WIPEONFORK) == 0 &&
      g_process.compare_exchange_strong(nobodys, mapped, std::memory_order_acq_rel)) {
    return mapped;
  }
  munmap(pages, sizeof(Process));
  return nobodys;
}

}  // namespace

Process* Process::Existing() { return g_process.load(std::memory_order_acquire); }

Process* Process::This() {
  Process* process = Existing();
  if (process == nullptr) process = Map();
  if (process != nullptr && process->id() == 0) {
    process->id_.store(getpid(), std::memory_order_relaxed);
  }
  return process;
}

Pool* Process::PoolWith(const Attributes& attributes) {
  // Not zeroed in a child of fork, in which they are queues still.
  static constinit std::atomic<int> s_queues[kPools] = {};
  const Locked locked(lock_);
  for (unsigned i = 0; i < kPools; ++i) {
    Pool& pool = pools_[i];
    if (!pool.is_used()) return pool.Open(attributes, &s_queues[i]) ? &pool : nullptr;
    if (pool.attributes() == attributes) return pool.HasQueue() ? &pool : nullptr;
  }
  return nullptr;
}

}  // namespace kevent::threads
