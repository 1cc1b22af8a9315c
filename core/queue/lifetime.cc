// SPDX-License-Identifier: MIT

#include "core/queue/lifetime.h"

namespace kevent::core {

// Other threads go on meanwhile.  But while the incarnation is the same, neither names nor calls
// come back from zero: if there are some before and after, there were some in between.
const char* Lifetime::Check() const {
  const uint32_t incarnation = incarnation_.load();
  const uint32_t names = names_.load();
  const uint32_t calls = calls_.load();
  const bool internals_open = internals_open_.load();
  const bool still_used = calls_.load() != 0;
  const bool still_named = names_.load() != 0;
  if (incarnation_.load() != incarnation) return nullptr;

  constexpr uint32_t kMost = kOpen >> 1;
  if ((calls & ~kOpen) > kMost) return "it was unpinned more often than pinned";
  if (names > kMost) return "more names were dropped than added";
  if (calls != 0 && still_used && !internals_open) return "its internals are closed under a pin";
  if (names != 0 && still_named && (calls & kOpen) == 0) return "it is closed and has a name";
  return nullptr;
}

}  // namespace kevent::core
