// SPDX-License-Identifier: MIT

#include "core/kevents/kevent_table.h"

#include <algorithm>
#include <cerrno>

#include "core/system/system.h"

namespace kevent::core {
namespace {

constexpr uint32_t kFirstSize = 1024;

// Spreads the values that programs choose: pointers, small numbers, periods.
uint64_t Mix(uint64_t value) {
  constexpr uint64_t kOdd = 0x9e3779b97f4a7c15;  // 2^64 divided by the golden ratio
  value ^= value >> 32;
  value *= kOdd;
  value ^= value >> 29;
  return value * kOdd;
}

uint32_t HashOf(const KeventKey& key) {
  const uint64_t rest = key.cookie + key.serial + Mix(key.type + 1);
  return static_cast<uint32_t>(Mix(key.id + Mix(rest)) >> 32);
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

// The link to the first record of this type and id, or to the place for it.
uint32_t* KeventTable::LinkOf(uint32_t type, uint64_t id) {
  const uint32_t mask = pages_->ids.size.load(std::memory_order_relaxed) - 1;
  uint32_t* link = pages_->ids.entries.load(std::memory_order_relaxed) +
                   (static_cast<uint32_t>(Mix(id + Mix(type)) >> 32) & mask);
  while (*link != 0 && (At(*link - 1).key.type != type || At(*link - 1).key.id != id)) {
    link = &At(*link - 1).next_id;
  }
  return link;
}

uint32_t KeventTable::FirstById(uint32_t type, uint64_t id) {
  return size() == 0 ? 0 : *LinkOf(type, id);
}

void KeventTable::LinkId(uint32_t number) {
  Kevent& record = At(number);
  uint32_t* const link = LinkOf(record.key.type, record.key.id);
  record.same_id_before = record.next_id = 0;
  record.same_id_after = *link;
  if (*link != 0) {
    Kevent& second = At(*link - 1);
    second.same_id_before = number + 1;
    record.next_id = second.next_id;
  }
  *link = number + 1;
}

void KeventTable::UnlinkId(uint32_t number) {
  const Kevent& record = At(number);
  const uint32_t before = record.same_id_before;
  const uint32_t after = record.same_id_after;
  if (after != 0) At(after - 1).same_id_before = before;
  if (before != 0) {
    At(before - 1).same_id_after = after;
    return;
  }
  if (after != 0) At(after - 1).next_id = record.next_id;
  *LinkOf(record.key.type, record.key.id) = after != 0 ? after : record.next_id;
}

void KeventTable::LinkKey(uint32_t number) {
  Kevent& record = At(number);
  uint32_t& bucket = Bucket(record.key);
  record.same_hash = bucket;
  bucket = number + 1;
}

void KeventTable::UnlinkKey(uint32_t number) {
  const Kevent& record = At(number);
  uint32_t* link = &Bucket(record.key);
  while (*link != number + 1) link = &At(*link - 1).same_hash;
  *link = record.same_hash;
}

void KeventTable::SetCookie(uint32_t number, uint64_t cookie) {
  UnlinkKey(number);
  At(number).key.cookie = cookie;
  LinkKey(number);
}

int KeventTable::Insert(const KeventKey& key, uint32_t* number) {
  if (size() >= pages_->buckets.size.load(std::memory_order_relaxed)) {
    if (const int error = GrowBuckets(); error != 0) return error;
  }
  if (const int error = AllocateNumber(number); error != 0) return error;
  Kevent& record = At(*number);
  ++record.generation;
  record.key = key;
  record.ready = record.level_triggered = record.forced = record.ended = false;
  record.injected = record.fd_is_ours = record.nests = record.leaving = false;
  record.paused = record.silenced = false;
  record.fd = -1;
  record.epoll_index = 0;
  record.same_descriptor = record.told_to_others = 0;
  record.round = record.met = 0;
  record.handle = 0;
  record.found_flags = record.found_data[0] = record.found_data[1] = 0;
  LinkKey(*number);
  LinkId(*number);
  size_.fetch_add(1, std::memory_order_relaxed);
  return 0;
}

void KeventTable::Erase(uint32_t number) {
  Kevent& record = At(number);
  UnlinkId(number);
  UnlinkKey(number);
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
    Kevent* chunk;
    const int error =
        sys::MapPages(sizeof(Kevent) * KeventPages::kPerChunk, sys::OnFork::kWipe, &chunk);
    if (error < 0) return -error;
    pages_->chunks[index].store(chunk, std::memory_order_release);
  }
  *number = used_++;
  return 0;
}

// Replaces an array by a larger one, which is zeroed or, if `keep`, begins with the old entries.
int KeventTable::Enlarge(KeventPages::Array& array, uint32_t size, bool keep) {
  uint32_t* entries;
  const int error = sys::MapPages(size * sizeof(uint32_t), sys::OnFork::kWipe, &entries);
  if (error < 0) return -error;
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
  const uint32_t larger = size == 0 ? kFirstSize : size * 2;
  if (pages_->ids.size.load(std::memory_order_relaxed) < larger) {
    if (const int error = Enlarge(pages_->ids, larger, false); error != 0) return error;
    ForEach([this](uint32_t number) { LinkId(number); });
  }
  if (const int error = Enlarge(pages_->buckets, larger, false); error != 0) return error;
  ForEach([this](uint32_t number) { LinkKey(number); });
  return 0;
}

int KeventTable::ReserveWatchers(int fd) {
  const uint32_t size = pages_->watchers.size.load(std::memory_order_relaxed);
  const auto needed = static_cast<uint32_t>(fd) + 1;
  if (needed <= size) return 0;
  return Enlarge(pages_->watchers, std::max({kFirstSize, size * 2, needed}), true);
}

// ---- inotify watches -----------------------------------------------------------

// The link to the first record with this watch, or to the place for it.
uint32_t* KeventTable::LinkOf(int watch) {
  const uint32_t mask = pages_->watches.size.load(std::memory_order_relaxed) - 1;
  uint32_t* link = pages_->watches.entries.load(std::memory_order_relaxed) +
                   (static_cast<uint32_t>(watch) & mask);
  while (*link != 0 && WatchOf(At(*link - 1)) != watch) link = &At(*link - 1).next_watch;
  return link;
}

uint32_t KeventTable::FirstOf(int watch) {
  return pages_->watches.size.load(std::memory_order_relaxed) == 0 ? 0 : *LinkOf(watch);
}

int KeventTable::ReserveWatch() {
  const uint32_t size = pages_->watches.size.load(std::memory_order_relaxed);
  if (watch_count_ < size) return 0;
  if (const int error = Enlarge(pages_->watches, size == 0 ? kFirstSize : size * 2, true);
      error != 0) {
    return error;
  }
  // Each old list is divided into two.
  uint32_t* const entries = pages_->watches.entries.load(std::memory_order_relaxed);
  for (uint32_t i = 0; i < size; ++i) {
    for (uint32_t* link = &entries[i]; *link != 0;) {
      const uint32_t first = *link;
      Kevent& record = At(first - 1);
      if ((static_cast<uint32_t>(WatchOf(record)) & size) == 0) {
        link = &record.next_watch;
        continue;
      }
      *link = record.next_watch;
      record.next_watch = entries[i + size];
      entries[i + size] = first;
    }
  }
  return 0;
}

void KeventTable::LinkWatch(uint32_t number, int watch) {
  Kevent& record = At(number);
  record.handle = static_cast<uint64_t>(watch);
  uint32_t* const link = LinkOf(watch);
  record.same_before = 0;
  record.same_descriptor = *link;
  if (*link == 0) {
    record.next_watch = 0;
    ++watch_count_;
  } else {
    Kevent& second = At(*link - 1);
    second.same_before = number + 1;
    record.next_watch = second.next_watch;
  }
  *link = number + 1;
}

bool KeventTable::UnlinkWatch(uint32_t number) {
  const Kevent& record = At(number);
  const uint32_t before = record.same_before;
  const uint32_t after = record.same_descriptor;
  if (after != 0) At(after - 1).same_before = before;
  if (before != 0) {
    At(before - 1).same_descriptor = after;
    return true;
  }
  uint32_t* const link = LinkOf(WatchOf(record));
  if (after == 0) {
    *link = record.next_watch;
    --watch_count_;
    return false;
  }
  At(after - 1).next_watch = record.next_watch;
  *link = after;
  return true;
}

void KeventTable::ForgetWatches() {
  const uint32_t size = pages_->watches.size.load(std::memory_order_relaxed);
  std::fill_n(pages_->watches.entries.load(std::memory_order_relaxed), size, 0);
  watch_count_ = 0;
}

const char* KeventTable::Check() {
  uint32_t registered = 0;
  bool all_found = true;
  ForEach([&](uint32_t number) {
    ++registered;
    all_found = all_found && Find(At(number).key) == number + 1;
    uint32_t same = FirstById(At(number).key.type, At(number).key.id);
    while (same != 0 && same != number + 1) same = At(same - 1).same_id_after;
    all_found = all_found && same != 0;
  });
  if (registered != size()) return "another number of kevents is registered";
  if (!all_found) return "a kevent is not found by its key";
  uint32_t free = 0;
  for (uint32_t link = first_free_; link != 0; link = At(link - 1).same_hash) {
    if (At(link - 1).generation % 2 != 0) return "the record of a kevent is free";
    if (++free > used_) return "the free records go round in a circle";
  }
  if (free != used_ - registered) return "a record is neither free nor a kevent's";
  return nullptr;
}

}  // namespace kevent::core
