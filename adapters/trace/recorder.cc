// SPDX-License-Identifier: MIT

#include "adapters/trace/recorder.h"

#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

namespace kevent::trace {
namespace {

constinit std::atomic<observe::FileHeader*> g_no_rings{nullptr};
constinit std::atomic<std::atomic<observe::FileHeader*>*> g_place{&g_no_rings};

// Of this thread, and of which file: that of a fork's parent is none of its child's.
constinit thread_local Rings* t_rings = nullptr;
constinit thread_local Ring* t_ring = nullptr;

// To look for a ring that has become free is a system call for each: a thread without one does that
// with one record of so many.
constexpr unsigned kLooksAgain = 1024;
constinit thread_local unsigned t_without = 0;  // records

Rings* CurrentRings() {
  return reinterpret_cast<Rings*>(
      g_place.load(std::memory_order_acquire)->load(std::memory_order_acquire));
}

bool IsGone(uint32_t thread) {
  return tgkill(getpid(), static_cast<pid_t>(thread), 0) != 0 && errno == ESRCH;
}

// Whether the ring has memory; those before it do.
bool HaveRing(Rings* rings, size_t number) {
  if (number < rings->have.load(std::memory_order_acquire)) return true;
  if (!observe::HaveMemory(&rings->rings[number], sizeof(Ring))) return false;
  uint64_t have = number;
  rings->have.compare_exchange_strong(have, number + 1, std::memory_order_acq_rel);
  return true;
}

// A ring that no thread has, or the thread that had it no longer runs.
Ring* TakeRing(Rings* rings) {
  const auto self = static_cast<uint32_t>(gettid());
  for (const bool may_be_anothers : {false, true}) {
    for (size_t i = 0; i < kRings; ++i) {
      if (!HaveRing(rings, i)) return nullptr;
      Ring& ring = rings->rings[i];
      uint32_t thread = 0;
      if (may_be_anothers) {
        thread = ring.thread.load();
        if (thread == kAllThreads || (thread != self && !IsGone(thread))) continue;
      }
      if (ring.thread.compare_exchange_strong(thread, self)) return &ring;
    }
  }
  return nullptr;
}

void NameWithoutRing(Rings* rings) {
  const auto self = static_cast<uint32_t>(gettid());
  for (std::atomic<uint32_t>& named : rings->without_ring) {
    uint32_t found = 0;
    if (named.compare_exchange_strong(found, self) || found == self) return;
  }
}

Ring* OwnRing() {
  Rings* const rings = CurrentRings();
  if (rings == nullptr) return nullptr;
  if (t_rings != rings || (t_ring == nullptr && ++t_without % kLooksAgain == 0)) {
    const int before = errno;
    t_ring = TakeRing(rings);
    t_rings = rings;
    errno = before;
    if (t_ring == nullptr) NameWithoutRing(rings);
  }
  if (t_ring == nullptr) rings->dropped.fetch_add(1, std::memory_order_relaxed);
  return t_ring;
}

}  // namespace

void Begin() {
  if (CurrentRings() != nullptr) return;
  std::atomic<observe::FileHeader*>* const place = observe::FilePlace();
  if (place == nullptr) return;
  observe::FileHeader* const file = observe::MapNewFile(kPrefix, sizeof(Rings), kVersion);
  if (file == nullptr) return;
  if (!observe::HaveMemory(file, offsetof(Rings, rings) + sizeof(Ring))) {
    return observe::Discard(file, kPrefix, observe::Reason::kNoMemory);
  }
  // Threads that are first at the same time make a file each, and the first file stays.
  reinterpret_cast<Rings*>(file)->rings[0].thread = kAllThreads;
  observe::FileHeader* nothing = nullptr;
  if (place->compare_exchange_strong(nothing, file, std::memory_order_acq_rel)) {
    observe::Publish(file, kMagic);
  } else {
    observe::Discard(file, kPrefix, observe::Reason::kAnotherIsThere);
  }
  g_place.store(place, std::memory_order_release);
}

uint32_t PlaceOf(const void* caller) {
  Rings* const rings = CurrentRings();
  if (rings == nullptr) return 0;
  const auto key = reinterpret_cast<uint64_t>(caller);
  // The first one remains empty: an unknown place.
  for (uint32_t i = 1; i < kPlaces; ++i) {
    PlaceEntry& entry = rings->places[i];
    uint64_t found = 0;
    if (!entry.key.compare_exchange_strong(found, key) && found != key) continue;
    // Whoever else is here at the same time writes the same.
    if (entry.written.load(std::memory_order_acquire) == 0) {
      observe::FindPlace(caller, &entry.place);
      entry.written.store(1, std::memory_order_release);
    }
    return i;
  }
  return 0;
}

uint64_t Now() { return observe::NanosecondsOf(CLOCK_MONOTONIC); }

namespace {

__attribute__((constructor)) void EndEarlier() { observe::EndEarlier(kPrefix); }

__attribute__((destructor)) void SayEnd() {
  if (Rings* const rings = CurrentRings(); rings != nullptr) rings->file.ended = Now();
}

// A signal handler or a thread that comes in between takes the next record.
void Write(Ring& ring, const Record& content, uint64_t time) {
  const uint64_t number = ring.written.fetch_add(1, std::memory_order_relaxed);
  Record& record = ring.records[number % kRecords];
  record.time.store(0, std::memory_order_release);
  record.id = content.id;
  record.first = content.first;
  record.second = content.second;
  record.thread = content.thread;
  record.what = content.what;
  record.place = content.place;
  record.time.store(time, std::memory_order_release);
}

}  // namespace

void Note(What what, uint64_t time, uint64_t id, int64_t first, int64_t second) {
  Ring* const ring = OwnRing();
  if (ring == nullptr) return;
  const uint32_t thread = ring->thread.load(std::memory_order_relaxed);
  Write(*ring, {{}, id, first, second, thread, what, 0, 0}, time);
}

void NoteMade(What what, uint64_t time, uint64_t id, int64_t first, int64_t second,
              uint32_t place) {
  Rings* const rings = CurrentRings();
  if (rings == nullptr) return;
  const auto thread = static_cast<uint32_t>(gettid());
  Write(rings->rings[0], {{}, id, first, second, thread, what, place, 0}, time);
}

}  // namespace kevent::trace
