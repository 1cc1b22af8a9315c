// SPDX-License-Identifier: MIT

#ifndef KEVENT_CORE_TRANSFERS_CACHED_PARTS_H_
#define KEVENT_CORE_TRANSFERS_CACHED_PARTS_H_

#include <cstdint>

namespace kevent::core {

// Parts of files whose pages were in the page cache a moment ago: asking the kernel costs a tenth
// of what sending them does, and it lets go of the pages first that were used longest ago.  Zeroed
// memory knows none.
class CachedParts {
 public:
  // The end of the part, or `place` if nothing is known.
  int64_t EndAt(uint64_t file, int64_t place, uint64_t now) const {
    const Part& part = parts_[SlotOf(file, place)];
    const bool is_known =
        part.file == file && part.begin <= place && place < part.end && now - part.when < kFresh;
    return is_known ? part.end : place;
  }
  void Note(uint64_t file, int64_t begin, int64_t end, uint64_t now) {
    parts_[SlotOf(file, begin)] = {file, begin, end, now};
  }

 private:
  static constexpr uint64_t kFresh = 100'000'000;  // nanoseconds
  static constexpr unsigned kSlots = 128;
  struct Part {
    uint64_t file;
    int64_t begin;
    int64_t end;
    uint64_t when;
  };
  static unsigned SlotOf(uint64_t file, int64_t place) {
    constexpr int kPartBits = 20;
    return static_cast<unsigned>((file ^ static_cast<uint64_t>(place >> kPartBits)) % kSlots);
  }
  Part parts_[kSlots];
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_TRANSFERS_CACHED_PARTS_H_
