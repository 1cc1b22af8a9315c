// SPDX-License-Identifier: MIT
//
// Operations in flight by the bytes of a file that they are on, so that those which meet some bytes
// are found without a look at the others: a treap by the first byte, in which each node knows where
// its subtree ends.  Its ranks are hashes of the numbers, so the depth is logarithmic whatever the
// order of the calls.

#ifndef KEVENT_CORE_AIO_INTERVAL_TREE_H_
#define KEVENT_CORE_AIO_INTERVAL_TREE_H_

#include <cstdint>

#include "core/operations/operation.h"

namespace kevent::core {

// Zeroed memory is an empty tree.
class IntervalTree {
 public:
  // A range of bytes of a file.
  struct Span {
    uint64_t begin;
    uint64_t end;
    bool Overlaps(const Span& other) const { return begin < other.end && other.begin < end; }
  };
  static Span SpanOf(const Operation& operation);

  void Add(uint32_t number);
  void Remove(uint32_t number);
  // Calls visit(number) for each operation that meets the span, the first byte first.
  template <typename Visit>
  void ForEachMeeting(const Span& span, Visit visit) const {
    ForEachMeetingBelow(root_, span, visit);
  }

 private:
  template <typename Visit>
  static void ForEachMeetingBelow(uint32_t link, const Span& span, Visit visit) {
    if (link == 0) return;
    const Operation& operation = Operations::At(link - 1);
    if (operation.places_end <= span.begin) return;
    ForEachMeetingBelow<Visit&>(operation.place_before, span, visit);
    const Span own = SpanOf(operation);
    if (own.begin >= span.end) return;
    if (own.Overlaps(span)) visit(link - 1);
    ForEachMeetingBelow<Visit&>(operation.place_after, span, visit);
  }
  static bool IsBefore(uint32_t link, uint32_t other);
  static void Update(uint32_t link);
  // Splits a subtree into the operations before `at`, and the others.
  static void Split(uint32_t link, uint32_t at, uint32_t* before, uint32_t* others);
  static uint32_t Without(uint32_t root, uint32_t link);
  static uint32_t Merge(uint32_t before, uint32_t after);

  uint32_t root_;  // a number plus one
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_AIO_INTERVAL_TREE_H_
