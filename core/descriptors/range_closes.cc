// SPDX-License-Identifier: MIT

#include "core/descriptors/range_closes.h"

#include <pthread.h>

namespace kevent::core {
namespace {

// Waits until the call has ended, or forgets it.
void AwaitEnd(std::atomic<uint64_t>* slot, uint64_t call, WaitDeadline* deadline) {
  while (slot->load(std::memory_order_seq_cst) == call) {
    if (deadline->passed()) {
      slot->compare_exchange_strong(call, 0, std::memory_order_seq_cst);
      return;
    }
    sys::Pause();
  }
}

}  // namespace

constinit RangeCloses::Slot RangeCloses::slots_[kSlots] = {};
constinit std::atomic<uint64_t> RangeCloses::calls_{0};
constinit std::atomic<uint32_t> RangeCloses::taking_{0};
constinit std::atomic<uint32_t> RangeCloses::waits_begun_{0};
constinit std::atomic<uint32_t> RangeCloses::waits_over_{0};

// The C library's address of a thread is a multiple of 64, and no other thread's as long as this
// thread is there.  A child of vfork has its parent's.
uint64_t RangeCloses::Thread() { return static_cast<uint64_t>(pthread_self()) >> 6 << kCallBits; }

bool RangeCloses::IsOfThisThread(uint64_t call) {
  constexpr uint64_t kThread = ~uint64_t{0} << kCallBits;
  return (call & kThread) == Thread();
}

bool RangeCloses::AnyOfThisThread() {
  for (const Slot& slot : slots_) {
    const uint64_t call = slot.load(std::memory_order_seq_cst);
    if (call != 0 && IsOfThisThread(call)) return true;
  }
  return false;
}

// A thread that waits may wait for a call that this one has interrupted.
void RangeCloses::StandBack() {
  const uint32_t begun = waits_begun_.load(std::memory_order_seq_cst);
  // The difference is signed, as later waits may be over as well.
  const auto any_waits = [begun] {
    return static_cast<int32_t>(begun - waits_over_.load(std::memory_order_seq_cst)) > 0;
  };
  if (!any_waits() || AnyOfThisThread()) return;
  constexpr uint64_t kSecond = 1'000'000'000;
  WaitDeadline deadline(kSecond);
  while (any_waits() && !deadline.passed()) sys::Pause();
}

RangeCloses::Call::Call() {
  StandBack();
  constexpr uint64_t kCalls = (uint64_t{1} << kCallBits) - 1;
  const uint64_t call = calls_.fetch_add(1, std::memory_order_relaxed);
  own_ = Thread() | (call & kCalls);
  for (unsigned i = 0; i < kSlots && slot_ == nullptr; ++i) {
    Slot* const slot = &slots_[(call + i) % kSlots];
    uint64_t none = 0;
    if (slot->compare_exchange_strong(none, own_, std::memory_order_seq_cst)) slot_ = slot;
  }
  WaitDeadline deadline;
  while (taking_.load(std::memory_order_seq_cst) != 0 && !deadline.passed()) sys::Pause();
}

// The place may be another call's by now, if this one was forgotten.
RangeCloses::Call::~Call() {
  uint64_t own = own_;
  if (slot_ != nullptr) slot_->compare_exchange_strong(own, 0, std::memory_order_seq_cst);
}

RangeCloses::Slot* RangeCloses::OfAnotherThread(uint64_t* call) {
  for (Slot& slot : slots_) {
    *call = slot.load(std::memory_order_seq_cst);
    if (*call != 0 && !IsOfThisThread(*call)) return &slot;
  }
  return nullptr;
}

void RangeCloses::BeginTaking() {
  taking_.fetch_add(1, std::memory_order_seq_cst);
  uint64_t call;
  if (OfAnotherThread(&call) != nullptr) AwaitOthers();
}

// Calls that saw no waiting thread may still begin, one for each thread: so there is another look
// when this thread is counted as taking.
void RangeCloses::AwaitOthers() {
  waits_begun_.fetch_add(1, std::memory_order_seq_cst);
  WaitDeadline deadline;
  uint64_t call;
  do {
    taking_.fetch_sub(1, std::memory_order_seq_cst);
    while (Slot* const slot = OfAnotherThread(&call)) AwaitEnd(slot, call, &deadline);
    taking_.fetch_add(1, std::memory_order_seq_cst);
  } while (OfAnotherThread(&call) != nullptr);
  waits_over_.fetch_add(1, std::memory_order_seq_cst);
}

void RangeCloses::Forget() {
  for (Slot& slot : slots_) slot.store(0, std::memory_order_seq_cst);
  taking_.store(0, std::memory_order_seq_cst);
  waits_begun_.store(0, std::memory_order_seq_cst);
  waits_over_.store(0, std::memory_order_seq_cst);
}

}  // namespace kevent::core
