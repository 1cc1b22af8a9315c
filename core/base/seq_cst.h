// SPDX-License-Identifier: MIT
//
// A variable by which threads agree without a lock.  All threads see all accesses to all such
// variables in one order, and no write is a plain store, which a store buffer could hold back.  The
// model has no store buffers; so the members that it is made of
// (tests/concurrency/model/members.txt, which names the exception) are of this type, or pairs
// (core/base/atomic_pair.h), which have no other accesses either.

#ifndef KEVENT_CORE_BASE_SEQ_CST_H_
#define KEVENT_CORE_BASE_SEQ_CST_H_

#include <atomic>

namespace kevent::core {

// Zeroed memory is a zero.
template <typename T>
class SeqCst {
 public:
  SeqCst() = default;
  explicit constexpr SeqCst(T value) : value_(value) {}

  T load() const { return value_.load(std::memory_order_seq_cst); }
  // Serves as the store, too: on x86-64 a sequentially consistent store compiles to just this.
  T exchange(T value) { return value_.exchange(value, std::memory_order_seq_cst); }
  bool compare_exchange_weak(T& expected, T desired) {
    return value_.compare_exchange_weak(expected, desired, std::memory_order_seq_cst);
  }
  T fetch_add(T value) { return value_.fetch_add(value, std::memory_order_seq_cst); }
  T fetch_sub(T value) { return value_.fetch_sub(value, std::memory_order_seq_cst); }
  T fetch_and(T value) { return value_.fetch_and(value, std::memory_order_seq_cst); }
  T fetch_or(T value) { return value_.fetch_or(value, std::memory_order_seq_cst); }

  // For a futex, which the kernel names by its address.
  const std::atomic<T>* address() const { return &value_; }

 private:
  std::atomic<T> value_;
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_BASE_SEQ_CST_H_
