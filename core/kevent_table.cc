// SPDX-License-Identifier: MIT

#include "core/kevent_table.h"

#include <algorithm>
#include <cerrno>

#include "core/system.h"

namespace kevent::core {
namespace {

constexpr uint32_t kFirstSize = 1024;

// Spreads what programs choose: pointers, small numbers, periods.
uint64_t Mix(uint64_t value) {
  constexpr uint64_t kOdd = 0x9e3779b97f4a7c15;  // 2^64 by the golden ratio
  value ^= value >> 32;
  value *= kOdd;
  value ^= value >> 29;
  return value * kOdd;
}

uint32_t HashOf(const KeventKey& key) {
  return static_cast<uint32_t>(Mix(key.id + Mix(key.cookie + Mix(key.type + 1))) >> 32);
}

}  // namespace

uint32_t& KeventTable::Bucket(const KeventKey& key) {
  const uint32_t mask = pages_->buckets.size.load(std::memory_order_relaxed) - 1;
  return pages_->buckets.entries.load(std::memory_order_relaxed)[HashOf(key) & mask];
}

uint32_t KeventTable::Find(const KeventKey& key) {
  if (size() == 0) return 0;
  for (uint32_t link = Bucket(key); link != 0; link = At(link - 1).same_hash) {
    if (At(link - 1).key == key) return link;
  }
  return 0;
}

int KeventTable::Insert(const KeventKey& key, uint32_t* number) {
  if (size() >= pages_->buckets.size.load(std::memory_order_relaxed)) {
    if (const int error = GrowBuckets(); error != 0) return error;
  }
  if (const int error = AllocateNumber(number); error != 0) return error;
  Kevent& record = At(*number);
  ++record.generation;
  record.key = key;
  record.ready = record.by_level = record.forced = record.ended = false;
  record.injected = record.fd_is_ours = record.nests = record.leaving = false;
  record.fd = -1;
  record.layer = 0;
  record.same_descriptor = record.told_to_others = 0;
  record.round = record.met = 0;
  record.handle = 0;
  record.found_flags = record.found_data[0] = record.found_data[1] = 0;
  uint32_t& bucket = Bucket(key);
  record.same_hash = bucket;
  bucket = *number + 1;
  size_.fetch_add(1, std::memory_order_relaxed);
  return 0;
}

void KeventTable::Erase(uint32_t number) {
  Kevent& record = At(number);
  uint32_t* link = &Bucket(record.key);
  while (*link != number + 1) link = &At(*link - 1).same_hash;
  *link = record.same_hash;
  ++record.generation;
  record.same_hash = first_free_;
  first_free_ = number + 1;
  size_.fetch_sub(1, std::memory_order_relaxed);
}

int KeventTable::AllocateNumber(uint32_t* number) {
  if (first_free_ != 0) {
    *number = first_free_ - 1;
    first_free_ = At(*number).same_hash;
    return 0;
  }
  const uint32_t index = used_ >> KeventPages::kChunkBits;
  if (index == KeventPages::kMaxChunks) return ENOMEM;
  if (pages_->chunks[index].load(std::memory_order_relaxed) == nullptr) {
    void* chunk = sys::MapPages(sizeof(Kevent) * KeventPages::kPerChunk, sys::OnFork::kWipe);
    if (chunk == nullptr) return ENOMEM;
    pages_->chunks[index].store(static_cast<Kevent*>(chunk), std::memory_order_release);
  }
  *number = used_++;
  return 0;
}

// Replaces an array by a larger one, zeroed, or with what it held.
int KeventTable::Enlarge(KeventPages::Array& array, uint32_t size, bool keep) {
  auto* entries =
      static_cast<uint32_t*>(sys::MapPages(size * sizeof(uint32_t), sys::OnFork::kWipe));
  if (entries == nullptr) return ENOMEM;
  uint32_t* const old = array.entries.load(std::memory_order_relaxed);
  const uint32_t old_size = array.size.load(std::memory_order_relaxed);
  if (keep && old != nullptr) std::copy_n(old, old_size, entries);
  array.entries.store(entries, std::memory_order_release);
  array.size.store(size, std::memory_order_release);
  if (old != nullptr) sys::UnmapPages(old, old_size * sizeof(uint32_t));
  return 0;
}

int KeventTable::GrowBuckets() {
  const uint32_t size = pages_->buckets.size.load(std::memory_order_relaxed);
  if (const int error = Enlarge(pages_->buckets, size == 0 ? kFirstSize : size * 2, false);
      error != 0) {
    return error;
  }
  ForEach([this](uint32_t number) {
    Kevent& record = At(number);
    uint32_t& bucket = Bucket(record.key);
    record.same_hash = bucket;
    bucket = number + 1;
  });
  return 0;
}

int KeventTable::ReserveWatchers(int fd) {
  const uint32_t size = pages_->watchers.size.load(std::memory_order_relaxed);
  const auto needed = static_cast<uint32_t>(fd) + 1;
  if (needed <= size) return 0;
  return Enlarge(pages_->watchers, std::max({kFirstSize, size * 2, needed}), true);
}

}  // namespace kevent::core
