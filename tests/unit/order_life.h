// SPDX-License-Identifier: MIT
//
// Operations on a few files, against rules that are looked up one by one: which
// may begin, and that none that may is left waiting.

#ifndef KEVENT_TESTS_UNIT_ORDER_LIFE_H_
#define KEVENT_TESTS_UNIT_ORDER_LIFE_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <memory>
#include <vector>

#include "core/aio/io_ordering.h"
#include "tests/unit/choices.h"

namespace kevent_test {

class OrderLife {
 public:
  explicit OrderLife(Choices& choices)
      : choices_(choices), files_(std::make_unique<kevent::core::IoOrdering>()) {}

  // Asks for an operation, or ends one: completed if it has begun, else given up.
  void Step() {
    if (choices_.Below(2) == 0 || all_.empty()) {
      Ask();
    } else if (choices_.Below(8) == 0) {
      Mark(choices_.Below(all_.size()));
    } else {
      End(choices_.Below(all_.size()));
    }
    Compare();
  }

  // All of them, those first that have begun.
  void End() {
    while (!all_.empty()) {
      const auto begun =
          std::find_if(all_.begin(), all_.end(), [](const Known& known) { return known.begun; });
      ASSERT_NE(begun, all_.end()) << "nobody has begun, and some wait";
      End(static_cast<size_t>(begun - all_.begin()));
      Compare();
    }
  }

 private:
  using Transfer = kevent::sys::Transfer;
  using Kind = Transfer::Kind;
  using Operations = kevent::core::Operations;
  using Runnable = kevent::core::IoOrdering::Runnable;

  struct Known {
    uint32_t number;
    Kind kind;
    bool in_line;
    int priority;
    int fd;
    int64_t offset;  // kStream: none
    int64_t bytes;
    bool takes_turns = false;
    bool handed = false;  // begins when it has its turn
    bool begun = false;
    bool pooled = false;
    bool has_place() const { return !is_sync() && offset != Transfer::kStream; }
    bool meets(const Known& other) const {
      // Where one that appends will write, is not known.
      return in_line || other.in_line
                 ? bytes != 0 && other.bytes != 0
                 : offset < other.offset + other.bytes && other.offset < offset + bytes;
    }
    bool is_sync() const { return kind == Kind::kSync; }
  };

  void Ask() {
    Known known = {};
    known.kind = std::array{Kind::kRead, Kind::kWrite, Kind::kSync}[choices_.Below(3)];
    known.in_line = !known.is_sync() && choices_.Below(2) == 0;
    known.priority = -static_cast<int>(choices_.Below(3));
    known.fd = 3 + static_cast<int>(choices_.Below(3)) * 1024;  // of one bucket
    known.bytes = 1 + static_cast<int64_t>(choices_.Below(4));
    known.offset = static_cast<int64_t>(choices_.Below(12));
    // What appends has a place, though not that one; a stream's has none.
    const bool appends = known.kind == Kind::kWrite && choices_.Below(2) == 0;
    if (known.in_line && !appends) known.offset = Transfer::kStream;
    ASSERT_EQ(Operations::Allocate(&known.number), 0);
    kevent::core::Operation& operation = Operations::At(known.number);
    operation.transfer = {known.kind, known.fd, nullptr, static_cast<size_t>(known.bytes),
                          known.offset};
    operation.given_up = false;
    operation.in_line = known.in_line;
    known.takes_turns = known.kind == Kind::kWrite && !known.in_line && choices_.Below(4) != 0;
    operation.takes_turns = known.takes_turns;
    operation.has_turn = false;
    known.pooled = operation.pooled = choices_.Below(2) == 0;
    if (known.pooled) {
      EXPECT_EQ(files_->AddsToWanted(operation), SharesWith(known) == nullptr)
          << "takes a thread of its own";
    }
    operation.priority = known.priority;
    all_.push_back(known);
    Runnable runnable;
    ASSERT_EQ(files_->Add(known.number, &runnable), 0);
    Begin(&runnable);
  }

  void End(size_t i) {
    const Known known = all_[i];
    all_.erase(all_.begin() + static_cast<ptrdiff_t>(i));
    Runnable runnable;
    if (known.handed) {
      if (!known.begun) TakeBack(known.number);
      files_->Remove(known.number, &runnable);
    } else {
      files_->GiveUp(known.number, &runnable);
    }
    Operations::Free(known.number);
    Begin(&runnable);
  }

  // Out of those that wait for their turn.
  void TakeBack(uint32_t number) {
    Runnable* const waiting = files_->AwaitingTurn(number);
    Runnable others;
    bool found = false;
    while (const uint32_t link = waiting->Take()) {
      if (link - 1 == number) {
        found = true;
      } else {
        others.Append(link - 1);
      }
    }
    *waiting = others;
    EXPECT_TRUE(found) << "is handed on, has not begun, and waits nowhere";
  }

  void Begin(Runnable* runnable) {
    while (const uint32_t link = runnable->Take()) {
      const auto known = std::find_if(
          all_.begin(), all_.end(), [link](const Known& each) { return each.number == link - 1; });
      ASSERT_NE(known, all_.end()) << "begins what has ended";
      EXPECT_FALSE(known->begun) << "begins twice";
      EXPECT_TRUE(known->handed || MayBegin(*known)) << "begins too early";
      known->handed = true;
      const bool begins = files_->TakeTurn(known->number);
      EXPECT_EQ(begins, !known->takes_turns || !IsTurnTaken(*known)) << "who has the turn?";
      if (!begins) continue;
      known->begun = true;
      Operations::At(link - 1).state = kevent::core::Operation::State::kStarted;
    }
  }

  void Compare() const {
    for (const Known& known : all_) {
      EXPECT_TRUE(known.handed || !MayBegin(known)) << "leaves one waiting";
      EXPECT_TRUE(known.begun || !known.handed || IsTurnTaken(known))
          << "leaves the turn to nobody";
    }
    CompareThreads();
  }

  // Of those that share a thread the first has it for all; there is one for each that has begun.
  void CompareThreads() const {
    size_t pooled = 0;
    size_t wanted = 0;
    size_t begun = 0;
    for (const Known& known : all_) {
      if (!known.pooled) continue;
      ++pooled;
      begun += known.begun;
      const Known* first = SharesWith(known);
      wanted += first == nullptr || first == &known;
    }
    EXPECT_EQ(files_->pooled(), pooled);
    EXPECT_EQ(files_->threads_wanted(), wanted);
    EXPECT_LE(begun, wanted);
  }

  // The first that one thread is enough for with this one.
  const Known* SharesWith(const Known& known) const {
    for (const Known& other : all_) {
      if (!other.pooled || other.fd != known.fd) continue;
      const bool same_line = other.in_line && known.in_line && other.kind == known.kind;
      if (same_line || (other.takes_turns && known.takes_turns)) return &other;
    }
    return nullptr;
  }

  bool IsTurnTaken(const Known& known) const {
    return std::any_of(all_.begin(), all_.end(), [&known](const Known& other) {
      return other.takes_turns && other.begun && other.fd == known.fd;
    });
  }

  bool MayBegin(const Known& known) const {
    bool older = true;
    for (const Known& other : all_) {
      if (&other == &known) {
        older = false;
      } else if (other.fd == known.fd && KeepsBack(other, known, older)) {
        return false;
      }
    }
    return true;
  }

  static bool KeepsBack(const Known& other, const Known& known, bool older) {
    if (known.is_sync()) return older && !other.is_sync();
    if (!known.in_line) {
      const bool writes = known.kind == Kind::kWrite || other.kind == Kind::kWrite;
      return older && writes && other.has_place() && known.meets(other);
    }
    if (!other.in_line || other.kind != known.kind) return false;
    return other.begun || other.priority > known.priority ||
           (other.priority == known.priority && older);
  }

  // Marks one that was not.
  void Mark(size_t i) {
    all_[i].pooled = true;
    files_->MarkPooled(all_[i].number);
  }

  Choices& choices_;
  const std::unique_ptr<kevent::core::IoOrdering> files_;
  std::vector<Known> all_;  // in flight, oldest first
};

}  // namespace kevent_test

#endif  // KEVENT_TESTS_UNIT_ORDER_LIFE_H_
