// SPDX-License-Identifier: MIT

#include "adapters/aio/sides.h"

#include <fcntl.h>
#include <kevent/kevent.h>
#include <sys/mman.h>

#include <atomic>

#include "adapters/aio/probe.h"
#include "core/base/errno_kept.h"

namespace kevent::aio_adapter {
namespace {

using core::ErrnoKept;

// Numbers from here on are the C library's.
constexpr int kNumbers = 1 << 16;

// The state of a descriptor.  Zeroed memory is that of one without operations.
struct State {
  Side side = Side::kEngine;
  bool was_librarys = false;  // the C library may have operations of it in flight
  uint32_t entered = 0;       // number of calls that have entered and not left
  uint32_t changes = 0;       // differs from each state before that a thread may still look at

  static constexpr unsigned kEnteredBits = 30;
  static State Of(uint64_t word) {
    State state;
    state.side = (word & 1) != 0 ? Side::kLibrary : Side::kEngine;
    state.was_librarys = (word & 2) != 0;
    state.entered = static_cast<uint32_t>(word >> 2) & ((1u << kEnteredBits) - 1);
    state.changes = static_cast<uint32_t>(word >> 32);
    return state;
  }
  uint64_t Word() const {
    return (side == Side::kLibrary ? 1 : 0) | (was_librarys ? 2 : 0) | uint64_t{entered} << 2 |
           uint64_t{changes} << 32;
  }
};

using Words = std::atomic<uint64_t>[kNumbers];
constinit std::atomic<Words*> g_words = nullptr;

// The kernel wipes the states in a child of fork, which has no operation in flight.
Words* MapWords() {
  const ErrnoKept kept;
  void* pages = mmap(nullptr, sizeof(Words), PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (pages == MAP_FAILED) return nullptr;
  Words* words = nullptr;
  if (madvise(pages, sizeof(Words), MADV_WIPEONFORK) == 0 &&
      g_words.compare_exchange_strong(words, static_cast<Words*>(pages))) {
    return static_cast<Words*>(pages);
  }
  munmap(pages, sizeof(Words));
  return words;
}

// The word of a descriptor; nullptr: its operations are the C library's.
std::atomic<uint64_t>* WordOf(int fd) {
  if (fd < 0 || fd >= kNumbers) return nullptr;
  Words* words = g_words.load(std::memory_order_acquire);
  if (words == nullptr) words = MapWords();
  return words == nullptr ? nullptr : &(*words)[fd];
}

// Replaces the state unless another thread has; then `state` is what it has left.
bool Replace(std::atomic<uint64_t>* word, State* state, State next) {
  uint64_t expected = state->Word();
  next.changes = state->changes + 1;
  if (word->compare_exchange_strong(expected, next.Word())) return true;
  *state = State::Of(expected);
  return false;
}

bool IsInFlight(int fd, const State& state) {
  if (state.side == Side::kEngine) return kevent_aio_pending(fd) != 0;
  return state.was_librarys && IsBusyInLibrary(fd);
}

}  // namespace

Side Suitable(int fd) {
  const ErrnoKept kept;
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY) return Side::kEngine;
  return (flags & O_DIRECT) != 0 ? Side::kEngine : Side::kLibrary;
}

bool Enter(int fd, Side side) {
  std::atomic<uint64_t>* const word = WordOf(fd);
  if (word == nullptr) return fd < 0 || side == Side::kLibrary;
  State state = State::Of(word->load());
  for (;;) {
    State next = state;
    if (state.side != side) {
      if (state.entered != 0 || IsInFlight(fd, state)) return false;
      next.side = side;
      next.was_librarys = false;
    }
    ++next.entered;
    if (Replace(word, &state, next)) return true;
  }
}

void Leave(int fd, Side side) {
  std::atomic<uint64_t>* const word = WordOf(fd);
  if (word == nullptr) return;
  State state = State::Of(word->load());
  State next;
  do {
    next = state;
    --next.entered;
    next.was_librarys |= side == Side::kLibrary;
  } while (!Replace(word, &state, next));
}

Side EnterAny(int fd) {
  Side side = Suitable(fd);
  while (!Enter(fd, side)) side = Other(side);
  return side;
}

bool GoOver(int fd) {
  std::atomic<uint64_t>* const word = WordOf(fd);
  if (word == nullptr) return false;
  State state = State::Of(word->load());
  State next;
  do {
    if (state.entered != 1 || IsInFlight(fd, state)) return false;
    next = state;
    next.side = Side::kLibrary;
  } while (!Replace(word, &state, next));
  return true;
}

}  // namespace kevent::aio_adapter
