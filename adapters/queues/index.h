// SPDX-License-Identifier: MIT
//
// An index of items by a key, with the links in the items: no memory is taken for an item.

#ifndef KEVENT_ADAPTERS_QUEUES_INDEX_H_
#define KEVENT_ADAPTERS_QUEUES_INDEX_H_

#include <cstdint>
#include <cstdlib>

namespace kevent::queues {

// Several items may have one key.  Zeroed memory is an empty index.
template <typename Item, auto kKey, auto kNext>
class Index {
 public:
  // Makes room for one more; false if there is none.
  bool Reserve() {
    if (count_ < size()) return true;
    const unsigned bits = buckets_ == nullptr ? 6 : bits_ + 1;
    auto** const larger = static_cast<Item**>(std::calloc(size_t{1} << bits, sizeof(Item*)));
    if (larger == nullptr) return buckets_ != nullptr;  // longer chains
    Item** const before = buckets_;
    const size_t size_before = size();
    buckets_ = larger;
    bits_ = bits;
    for (size_t i = 0; before != nullptr && i < size_before; ++i) {
      for (Item* item = before[i]; item != nullptr;) {
        Item* const next = item->*kNext;
        Link(item);
        item = next;
      }
    }
    std::free(before);
    return true;
  }

  // Requires that Reserve has made room.
  void Insert(Item* item) {
    Link(item);
    ++count_;
  }

  void Remove(Item* item) {
    Item** link = Bucket(item->*kKey);
    while (*link != item) link = &((*link)->*kNext);
    *link = item->*kNext;
    --count_;
  }

  // The first item with the key, and the next after one of them; nullptr: there is none.
  Item* First(uint64_t key) const {
    return buckets_ == nullptr ? nullptr : WithKey(*Bucket(key), key);
  }
  static Item* Next(const Item* item) { return WithKey(item->*kNext, item->*kKey); }

  // Calls visit(item) for each with the key.
  void ForEachOf(uint64_t key, auto visit) const {
    for (Item* item = First(key); item != nullptr; item = Next(item)) visit(item);
  }

  // Calls visit(item) for each, which may remove that item.
  void ForEach(auto visit) {
    for (size_t i = 0; i < size(); ++i) {
      for (Item* item = buckets_[i]; item != nullptr;) {
        Item* const next = item->*kNext;
        visit(item);
        item = next;
      }
    }
  }

  bool empty() const { return count_ == 0; }

  // Forgets all items.
  void Close() {
    std::free(buckets_);
    *this = {};
  }

 private:
  size_t size() const { return buckets_ == nullptr ? 0 : size_t{1} << bits_; }

  Item** Bucket(uint64_t key) const {
    constexpr uint64_t kGoldenRatio = 0x9E3779B97F4A7C15;  // spreads keys that are near each other
    return &buckets_[key * kGoldenRatio >> (64 - bits_)];
  }

  void Link(Item* item) {
    Item** const bucket = Bucket(item->*kKey);
    item->*kNext = *bucket;
    *bucket = item;
  }

  static Item* WithKey(Item* item, uint64_t key) {
    while (item != nullptr && item->*kKey != key) item = item->*kNext;
    return item;
  }

  Item** buckets_;
  size_t count_;
  unsigned bits_;
};

}  // namespace kevent::queues

#endif  // KEVENT_ADAPTERS_QUEUES_INDEX_H_
