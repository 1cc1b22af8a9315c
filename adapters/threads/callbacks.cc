// SPDX-License-Identifier: MIT

#include "adapters/threads/callbacks.h"

#include <sys/mman.h>

namespace kevent::threads {

// ---- Records ---------------------------------------------------------------

namespace {

constexpr uint32_t kChunk = 1024;
constexpr uint32_t kChunks = 1u << 14;

// Records stay where they are, and keep their generation, also in the child of a fork, which hands
// all of them out anew.
constinit Callback* g_chunks[kChunks] = {};

Callback& At(uint32_t number) { return g_chunks[number / kChunk][number % kChunk]; }

bool HasChunkOf(uint32_t number) {
  if (number >= kChunks * kChunk) return false;
  Callback*& chunk = g_chunks[number / kChunk];
  if (chunk != nullptr) return true;
  void* const pages = mmap(nullptr, sizeof(Callback) * kChunk, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) return false;
  chunk = static_cast<Callback*>(pages);
  return true;
}

// Takes it out of the list that begins with *link, if it is there.
void Unlink(uint32_t* link, const Callback& callback) {
  while (*link != 0 && *link != callback.number + 1) link = &At(*link - 1).next;
  if (*link != 0) *link = callback.next;
}

}  // namespace

Callback* Callbacks::Take() {
  if (free_ != 0) {
    Callback& callback = At(free_ - 1);
    free_ = callback.next;
    return &callback;
  }
  if (!HasChunkOf(used_)) return nullptr;
  Callback& callback = At(used_);
  callback.number = used_++;
  return &callback;
}

Callback* Callbacks::Add(Callback::Of of, const sigevent& notification, Pool* pool) {
  const Locked locked(lock_);
  Callback* const callback = Take();
  if (callback == nullptr) return nullptr;
  ++callback->generation;
  callback->function = notification.sigev_notify_function;
  callback->value = notification.sigev_value;
  callback->pool = pool;
  callback->of = of;
  callback->next = 0;
  callback->timer = nullptr;
  return callback;
}

void Callbacks::Free(Callback* callback) {
  if (callback->of == Callback::Of::kTimer) Unlink(BucketOf(callback->timer), *callback);
  if (callback->of == Callback::Of::kMessage) Unlink(&messages_, *callback);
  ++callback->generation;
  callback->next = free_;
  free_ = callback->number + 1;
}

void Callbacks::Remove(Callback* callback) {
  const Locked locked(lock_);
  Free(callback);
}

Callback* Callbacks::Find(void* cookie) {
  const auto bits = reinterpret_cast<uint64_t>(cookie);
  const auto link = static_cast<uint32_t>(bits);
  if (link == 0 || link > used_) return nullptr;
  Callback& callback = At(link - 1);
  return callback.generation == bits >> 32 ? &callback : nullptr;
}

// ---- Timers ----------------------------------------------------------------

uint32_t* Callbacks::BucketOf(timer_t timer) {
  // The golden ratio brings bits of all places to the highest ones.
  static_assert(kBuckets == 1u << 16);
  return &buckets_[reinterpret_cast<uint64_t>(timer) * 0x9e3779b97f4a7c15 >> 48];
}

void Callbacks::NameTimer(Callback* callback, timer_t timer) {
  const Locked locked(lock_);
  callback->timer = timer;
  uint32_t* const bucket = BucketOf(timer);
  callback->next = *bucket;
  *bucket = callback->number + 1;
}

Pool* Callbacks::RemoveTimer(timer_t timer) {
  const Locked locked(lock_);
  for (uint32_t link = *BucketOf(timer); link != 0; link = At(link - 1).next) {
    Callback& callback = At(link - 1);
    if (callback.timer != timer) continue;
    Free(&callback);
    return callback.pool;
  }
  return nullptr;
}

// ---- Message queues --------------------------------------------------------

void Callbacks::NameMessageQueue(Callback* callback, mqd_t queue) {
  const Locked locked(lock_);
  callback->message_queue = queue;
  callback->next = messages_;
  messages_ = callback->number + 1;
}

Pool* Callbacks::RemoveOldMessage(mqd_t queue, unsigned latest) {
  const Locked locked(lock_);
  for (uint32_t link = messages_; link != 0; link = At(link - 1).next) {
    Callback& callback = At(link - 1);
    if (callback.message_queue != queue || latest-- != 0) continue;
    Free(&callback);
    return callback.pool;
  }
  return nullptr;
}

// ---- Events ----------------------------------------------------------------

bool Callbacks::Begin(void* cookie, Begun* begun) {
  const Locked locked(lock_);
  Callback* const callback = Find(cookie);
  if (callback == nullptr) return false;
  const bool is_the_only_one = callback->of != Callback::Of::kTimer;
  *begun = {callback->function, callback->value, callback->signals(), is_the_only_one};
  if (is_the_only_one) Free(callback);
  return true;
}

}  // namespace kevent::threads
