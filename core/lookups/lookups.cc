// SPDX-License-Identifier: MIT

#include "core/lookups/lookups.h"

#include <algorithm>
#include <cerrno>
#include <iterator>

#include "core/descriptors/kept_table.h"
#include "core/descriptors/process_state.h"
#include "core/operations/operation.h"
#include "core/queue/notifier.h"
#include "core/system/signals_blocked.h"
#include "core/system/system.h"

namespace kevent::core {

constinit std::atomic<const gaicb*> Lookups::looked_at_[kMaxThreads] = {};

void Lookups::Init() {
  lock_.Init();
  for (auto& request : looked_at_) request.store(nullptr, std::memory_order_seq_cst);
}

// Says for its lifetime that this thread looks at the request.
class Lookups::LookedAt {
 public:
  explicit LookedAt(const gaicb* request) : place_(looked_at_) {
    // There are as many places as threads: a free one is found.
    for (;; place_ = place_ + 1 == looked_at_ + kMaxThreads ? looked_at_ : place_ + 1) {
      const gaicb* none = nullptr;
      if (place_->compare_exchange_strong(none, request, std::memory_order_seq_cst)) return;
    }
  }
  ~LookedAt() { place_->store(nullptr, std::memory_order_seq_cst); }
  LookedAt(const LookedAt&) = delete;
  LookedAt& operator=(const LookedAt&) = delete;

 private:
  std::atomic<const gaicb*>* place_;
};

bool Lookups::IsLookedAt(const gaicb* request) {
  return std::any_of(std::begin(looked_at_), std::end(looked_at_), [request](const auto& place) {
    return place.load(std::memory_order_seq_cst) == request;
  });
}

void Lookups::AwaitLetGo(gaicb* const list[], int count) {
  for (int i = 0; i < count; ++i) {
    if (list[i] == nullptr || !IsLookedAt(list[i])) continue;
    // A child of fork has its parent's marks, and none of the threads that have set them.
    Process::PrepareIfForked();
    // The program may not ask anew with a request in progress, so its end is not waited for.
    while (IsLookedAt(list[i]) && gai_error(list[i]) != EAI_INPROGRESS) sys::Pause();
  }
}

int Lookups::Reserve() {
  const SignalsBlocked blocked;
  const TableUser user;
  if (!Process::SharesTable()) return EAGAIN;  // the queue was closed meanwhile
  const Locked locked(lock_);
  if (threads_ <= in_flight_ && threads_ < kMaxThreads) {
    // Another list's thread would be of no use: that list may be looked up for ever.
    if (StartThread<&Lookups::Run>(this, "kevent-gai") < 0) return EAGAIN;
    ++threads_;
  }
  ++in_flight_;
  return 0;
}

void Lookups::Unreserve() {
  const SignalsBlocked blocked;
  const Locked locked(lock_);
  --in_flight_;
  bell_.fetch_add(1, std::memory_order_seq_cst);
  sys::FutexWake(&bell_);
}

void Lookups::Await(uint32_t number) {
  const SignalsBlocked blocked;
  const Locked locked(lock_);
  Operations::At(number).next.store(0, std::memory_order_relaxed);
  if (last_ == 0) {
    first_ = number + 1;
  } else {
    Operations::At(last_ - 1).next.store(number + 1, std::memory_order_relaxed);
  }
  last_ = number + 1;
  bell_.fetch_add(1, std::memory_order_seq_cst);
  sys::FutexWake(&bell_);
}

// Takes the next list that no thread waits for; false if this thread is to end, since there are
// more threads than lists.
bool Lookups::Next(uint32_t* number) {
  for (;;) {
    uint32_t seen;
    {
      const Locked locked(lock_);
      if (first_ != 0) {
        *number = first_ - 1;
        first_ = Operations::At(*number).next.load(std::memory_order_relaxed);
        if (first_ == 0) last_ = 0;
        return true;
      }
      if (threads_ > in_flight_) {
        --threads_;
        return false;
      }
      seen = bell_.load(std::memory_order_seq_cst);
    }
    sys::FutexWait(&bell_, seen, nullptr);
  }
}

size_t Lookups::BytesOf(const Operation& lookup) { return lookup.transfer.bytes * sizeof(void*); }

void Lookups::FreeList(const Operation& lookup) {
  if (lookup.transfer.bytes != 0) sys::UnmapPages(lookup.transfer.buffer, BytesOf(lookup));
}

void Lookups::Run() {
  uint32_t number;
  while (Next(&number)) {
    const Operation& lookup = Operations::At(number);
    auto* const* const list = static_cast<gaicb**>(lookup.transfer.buffer);
    for (size_t i = 0; i < lookup.transfer.bytes; ++i) {
      const LookedAt looked_at(list[i]);
      sys::AwaitLookup(list[i]);
    }
    FreeList(lookup);
    Notifier().Complete(number);
    const Locked locked(lock_);
    --in_flight_;
  }
}

}  // namespace kevent::core
