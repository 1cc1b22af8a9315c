// SPDX-License-Identifier: MIT

#include "core/descriptors/registry.h"

#include <algorithm>
#include <cerrno>

#include "core/system/system.h"

namespace kevent::core {
namespace {

constinit std::atomic<uint32_t> g_closes{0};

}  // namespace

constinit std::atomic<std::atomic<uint64_t>*> Registry::pages_[kMaxDescriptor / kPageEntries] = {};
constinit std::atomic<int> Registry::pages_end_{0};
constinit std::atomic<bool> Registry::any_{false};
constinit std::atomic<uint32_t> Registry::replacements_{0};
constinit std::atomic<uint32_t> Registry::making_{0};
constinit std::atomic<uint32_t> Registry::waiting_{0};

Registration Registration::Closing() {
  const uint32_t close = g_closes.fetch_add(1, std::memory_order_relaxed);
  return Registration(kClosingBit | (close & 0xffff));
}

int Registry::Reserve(int fd) {
  if (fd >= kMaxDescriptor) return EMFILE;
  const int number = fd / kPageEntries;
  std::atomic<std::atomic<uint64_t>*>& page = pages_[number];
  if (page.load(std::memory_order_acquire) != nullptr) return 0;

  constexpr size_t kPageBytes = kPageEntries * sizeof(std::atomic<uint64_t>);
  std::atomic<uint64_t>* fresh;
  const int error = sys::MapPages(kPageBytes, sys::OnFork::kKeep, &fresh);
  if (error < 0) return -error;
  int end = pages_end_.load(std::memory_order_seq_cst);
  while (end <= number &&
         !pages_end_.compare_exchange_weak(end, number + 1, std::memory_order_seq_cst)) {
  }
  std::atomic<uint64_t>* none = nullptr;
  if (!page.compare_exchange_strong(none, fresh)) {
    sys::UnmapPages(fresh, kPageBytes);
  }
  return 0;
}

Registration Registry::Replace(int fd, Registration by) {
  std::atomic<uint64_t>* const entry = Entry(fd);
  if (entry == nullptr) return Registration();
  uint64_t bits = entry->load(std::memory_order_seq_cst);
  while (!entry->compare_exchange_weak(bits, State(bits).With(by), std::memory_order_seq_cst)) {
  }
  return State(bits).registration();
}

bool Registry::Change(int fd, Registration from, Registration to) {
  std::atomic<uint64_t>* const entry = Entry(fd);
  if (entry == nullptr) return false;
  uint64_t bits = entry->load(std::memory_order_seq_cst);
  do {
    if (State(bits).registration().bits() != from.bits()) return false;
  } while (!entry->compare_exchange_weak(bits, State(bits).With(to), std::memory_order_seq_cst));
  return true;
}

bool Registry::ChangeUnreplaced(int fd, Registration from, Registration to) {
  std::atomic<uint64_t>* const entry = Entry(fd);
  if (entry == nullptr) return false;
  uint64_t bits = entry->load(std::memory_order_seq_cst);
  do {
    if (State(bits).registration().bits() != from.bits() || State(bits).replacing() != 0) {
      return false;
    }
  } while (!entry->compare_exchange_weak(bits, State(bits).With(to), std::memory_order_seq_cst));
  return true;
}

int Registry::Next(int from, int last) {
  if (from < 0) from = 0;
  const int end = pages_end_.load(std::memory_order_seq_cst) * kPageEntries;
  if (last < 0 || last >= end) last = end - 1;
  while (from <= last) {
    const std::atomic<uint64_t>* page = pages_[from / kPageEntries].load(std::memory_order_acquire);
    if (page == nullptr) {
      from = (from / kPageEntries + 1) * kPageEntries;
      continue;
    }
    const State state(page[from % kPageEntries].load(std::memory_order_seq_cst));
    if (!state.registration().none()) return from;
    ++from;
  }
  return -1;
}

// A count that a handler has left by siglongjmp is never taken back: the number is then never
// registered for anything new.  A number whose count has reached its limit is not either, as the
// count is not known any more.
Registration Registry::BeginReplacing(int fd) {
  if (fd < 0 || Reserve(fd) != 0) return Registration();
  std::atomic<uint64_t>* const entry = Entry(fd);
  uint64_t bits = entry->load(std::memory_order_seq_cst);
  uint32_t replacing;
  do {
    replacing = State(bits).replacing();
    if (replacing != State::kReplacing) replacing += State::kOneReplacing;
  } while (!entry->compare_exchange_weak(bits, State(bits).WithReplacing(replacing),
                                         std::memory_order_seq_cst));
  return State(bits).registration();
}

void Registry::EndReplacing(int fd, bool replaced) {
  std::atomic<uint64_t>* const entry = Entry(fd);
  if (entry == nullptr) return;
  const uint32_t number = replaced ? replacements_.fetch_add(1, std::memory_order_seq_cst) + 1 : 0;
  uint64_t bits = entry->load(std::memory_order_seq_cst);
  uint32_t replacing;
  uint64_t after;
  do {
    replacing = State(bits).replacing();
    if (replacing != State::kReplacing && replacing != 0) replacing -= State::kOneReplacing;
    after = State(bits).WithReplacing(replacing);
    // A faster thread may have counted a later replacement.
    const auto later = static_cast<int32_t>(number - State(bits).replaced());
    if (replaced && (State(bits).replaced() == 0 || later > 0)) {
      after = State::WithReplaced(after, number);
    }
  } while (!entry->compare_exchange_weak(bits, after, std::memory_order_seq_cst));
}

Registry::Claim Registry::ClaimNew(int fd, Registration registration, Registration left,
                                   Moment since) {
  if (!any_.load(std::memory_order_relaxed)) any_.store(true, std::memory_order_seq_cst);
  std::atomic<uint64_t>* const entry = Entry(fd);
  uint64_t bits = entry->load(std::memory_order_seq_cst);
  Claim claim;
  do {
    const State before(bits);
    // The difference is signed, as the count may have begun anew.
    const auto later = static_cast<int32_t>(before.replaced() - since.replacements_);
    claim.before = before.registration();
    claim.being_replaced = before.replacing() != 0;
    claim.replaced = before.replaced() != 0 && later > 0;
    claim.after = registration;
    if (claim.being_replaced) {
      claim.after = claim.replaced ? Registration::Internal(left.queue(), kRoleLeft) : left;
    }
  } while (!entry->compare_exchange_weak(bits, State(bits).With(claim.after),
                                         std::memory_order_seq_cst));
  return claim;
}

void Registry::ForgetCalls() {
  making_.store(0, std::memory_order_seq_cst);
  waiting_.store(0, std::memory_order_seq_cst);
  const int end = pages_end_.load(std::memory_order_seq_cst);
  for (int number = 0; number < end; ++number) {
    std::atomic<uint64_t>* page = pages_[number].load(std::memory_order_acquire);
    if (page == nullptr) continue;
    for (int i = 0; i < kPageEntries; ++i) {
      const State state(page[i].load(std::memory_order_relaxed));
      if (state.replacing() != 0) page[i].store(state.WithReplacing(0), std::memory_order_relaxed);
    }
  }
}

}  // namespace kevent::core
