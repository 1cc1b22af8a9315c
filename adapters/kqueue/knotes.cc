// SPDX-License-Identifier: MIT

#include "adapters/kqueue/knotes.h"

#include <cstdlib>

#include "adapters/kqueue/filter.h"

namespace kevent::kqueue {

Knote* Knotes::Find(uint64_t ident, const Filter& filter) const {
  Knote* knote = by_ident_.First(ident);
  while (knote != nullptr && knote->filter != &filter) knote = by_ident_.Next(knote);
  return knote;
}

Knote* Knotes::At(Handle handle) const {
  const auto place = static_cast<uint32_t>(handle & kMostPlaces);
  if (place == 0 || place > used_) return nullptr;
  Knote* const knote = AtPlace(place);
  return knote->is_used && HandleOf(*knote) == handle ? knote : nullptr;
}

Knote* Knotes::Add(uint64_t ident, const Filter& filter) {
  if (!by_ident_.Reserve()) return nullptr;
  Knote* const knote = free_ != nullptr ? free_ : FreshPlace();
  if (knote == nullptr) return nullptr;
  if (knote == free_) free_ = knote->next;
  const uint32_t place = knote->place;
  const uint32_t generation = knote->generation;
  *knote = {};
  knote->place = place;
  knote->generation = generation;
  knote->is_used = true;
  knote->ident = ident;
  knote->filter = &filter;
  by_ident_.Insert(knote);
  return knote;
}

void Knotes::Remove(Knote* knote) {
  by_ident_.Remove(knote);
  ++knote->generation;
  knote->is_used = false;
  knote->next = free_;
  free_ = knote;
}

void Knotes::Clear() {
  by_ident_.Close();
  for (Knote* const block : blocks_) std::free(block);
  *this = {};
}

// nullptr if there is none.
Knote* Knotes::FreshPlace() {
  if (used_ == kMostPlaces) return nullptr;
  const unsigned block = BlockOf(used_ + 1);
  if (blocks_[block] == nullptr) {
    blocks_[block] = static_cast<Knote*>(std::calloc(SizeOf(block), sizeof(Knote)));
    if (blocks_[block] == nullptr) return nullptr;
  }
  Knote* const knote = AtPlace(++used_);
  knote->place = used_;
  return knote;
}

}  // namespace kevent::kqueue
