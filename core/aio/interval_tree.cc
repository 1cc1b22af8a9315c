// SPDX-License-Identifier: MIT

#include "core/aio/interval_tree.h"

#include <algorithm>

namespace kevent::core {
namespace {

Operation& At(uint32_t link) { return Operations::At(link - 1); }

// The operation of higher rank is nearer to the root.  The hash is a bijection, so no two ranks are
// the same.
uint32_t Rank(uint32_t link) {
  uint32_t hash = link * 0x9e3779b1u;
  hash ^= hash >> 15;
  hash *= 0x85ebca6bu;
  return hash ^ hash >> 13;
}

}  // namespace

// The place of a write with O_APPEND is not known.
IntervalTree::Span IntervalTree::SpanOf(const Operation& operation) {
  if (operation.in_line) return {0, UINT64_MAX};
  const auto begin = static_cast<uint64_t>(operation.transfer.offset);
  return {begin, begin + operation.transfer.bytes};
}

bool IntervalTree::IsBefore(uint32_t link, uint32_t other) {
  const uint64_t begin = SpanOf(At(link)).begin;
  const uint64_t others = SpanOf(At(other)).begin;
  return begin != others ? begin < others : link < other;
}

void IntervalTree::Update(uint32_t link) {
  Operation& operation = At(link);
  uint64_t end = SpanOf(operation).end;
  if (operation.place_before != 0) end = std::max(end, At(operation.place_before).places_end);
  if (operation.place_after != 0) end = std::max(end, At(operation.place_after).places_end);
  operation.places_end = end;
}

void IntervalTree::Split(uint32_t link, uint32_t at, uint32_t* before, uint32_t* others) {
  if (link == 0) {
    *before = *others = 0;
    return;
  }
  if (IsBefore(link, at)) {
    *before = link;
    Split(At(link).place_after, at, &At(link).place_after, others);
  } else {
    *others = link;
    Split(At(link).place_before, at, before, &At(link).place_before);
  }
  Update(link);
}

uint32_t IntervalTree::Merge(uint32_t before, uint32_t after) {
  if (before == 0) return after;
  if (after == 0) return before;
  if (Rank(before) > Rank(after)) {
    At(before).place_after = Merge(At(before).place_after, after);
    Update(before);
    return before;
  }
  At(after).place_before = Merge(before, At(after).place_before);
  Update(after);
  return after;
}

void IntervalTree::Add(uint32_t number) {
  const uint32_t link = number + 1;
  At(link).place_before = At(link).place_after = 0;
  Update(link);
  uint32_t before;
  uint32_t others;
  Split(root_, link, &before, &others);
  root_ = Merge(Merge(before, link), others);
}

void IntervalTree::Remove(uint32_t number) {
  const uint32_t link = number + 1;
  root_ = Without(root_, link);
}

// The subtrees above may end earlier then.
uint32_t IntervalTree::Without(uint32_t root, uint32_t link) {
  if (root == link) return Merge(At(link).place_before, At(link).place_after);
  uint32_t& below = IsBefore(root, link) ? At(root).place_after : At(root).place_before;
  below = Without(below, link);
  Update(root);
  return root;
}

}  // namespace kevent::core
