// SPDX-License-Identifier: MIT
//
// What a library that stands over queues has beside each of them, found by the number of the
// queue's descriptor.  Each queue has a witness, a paused kevent whose cookie is the state: it is
// there for every number that the queue has, and is gone when the queue is.

#ifndef KEVENT_ADAPTERS_QUEUES_REGISTRY_H_
#define KEVENT_ADAPTERS_QUEUES_REGISTRY_H_

#include <kevent/kevent.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/lsan_interface.h>
#endif

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>

#include "adapters/queues/held.h"
#include "adapters/queues/open_descriptors.h"
#include "core/base/errno_kept.h"
#include "core/base/lock.h"

namespace kevent::queues {

// One for each process: a child of fork, whose queues are other ones, and empty, makes one of its
// own, and leaves what its copies of the parent's states refer to as it is.  A State is one that
// zeroed memory holds, with a member `std::atomic<uint32_t> number`, which is 0 while no queue has
// it.
//
// All is the class of the library that derives from this one; zeroed memory holds it.  It says
//   kNotOne          the errno for a queue that is not one of the library's
//   kLivesInChild    whether a number of the library's is one in a child of fork
//   kSweep           how many states there are at least before closed queues are looked for
//   WitnessOf(state, number)   the witness, as kevent_ctl takes it; number tells it from others
//   NewNumber()
//   Begin(state, number)       a queue has it from now on
//   Release(state, number)     its queue was closed
template <typename All, typename State>
class Registry {
 public:
  // nullptr if there is no memory, or the kernel zeroes none in a child of fork.
  static All* This() {
    All* const all = s_all.load(std::memory_order_acquire);
    const bool is_here = all != nullptr && all->is_here_->load(std::memory_order_relaxed);
    return is_here ? all : Map(all);
  }

  // The descriptor of a new queue, or -1 with errno.
  int Create() {
    const int before = errno;
    const int fd = kevent_init(nullptr, 0, 0);
    if (fd == -1) return -1;
    int error = ENOMEM;
    {
      const Held held(lock_);
      SweepIfMany();
      if (Make(fd, &error) != nullptr) {
        errno = before;
        return fd;
      }
    }
    kevent_close(fd);
    errno = error;
    return -1;
  }

  // 0 if fd was one of the library's when it was last looked at; else an errno.
  int Check(int fd) {
    if (s_numbers.Has(fd)) return 0;
    int error;
    const core::ErrnoKept kept;
    const Held held(lock_);
    return Find(fd, &error) != nullptr ? 0 : error;
  }

  core::Lock& lock() ABSL_LOCK_RETURNED(lock_) { return lock_; }

  // The state of the queue whose descriptor fd is; nullptr with an errno in *error.
  State* Find(int fd, int* error) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_) {
    const core::ErrnoKept kept;
    *error = CheckQueue(fd);
    if (*error != 0 || !Numbers::IsInRange(fd)) return nullptr;
    State* const before = by_number_[fd].load(std::memory_order_relaxed);
    if (before != nullptr && IsOf(before, fd)) return before;
    State* const found = Search(fd);
    if (found != nullptr) {
      Remember(fd, found);
      return found;
    }
    if (All::kLivesInChild && before == nullptr && s_numbers.Has(fd)) return Make(fd, error);
    by_number_[fd].store(nullptr, std::memory_order_relaxed);
    s_numbers.Remove(fd);
    *error = All::kNotOne;
    return nullptr;
  }

  // All states whose queues are open, each with a number of its queue.
  void ForEach(auto action) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_) {
    for (int i = 0; i < used_; ++i) {
      if (states_[i].number.load(std::memory_order_relaxed) != 0 && HasNumber(i)) {
        action(states_[i], number_of_[i]);
      }
    }
  }

  // The same by what is known of the number, which may have been closed since.
  State* FindKnown(int fd, int* error) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_) {
    State* const known = KnownAs(fd);
    return known != nullptr ? known : Find(fd, error);
  }

  // The same without the lock; nullptr where nothing is known.
  State* KnownAs(int fd) const {
    if (!s_numbers.Has(fd)) return nullptr;
    State* const known = by_number_[fd].load(std::memory_order_acquire);
    return known != nullptr && known->number.load(std::memory_order_acquire) != 0 ? known : nullptr;
  }

 private:
  static constexpr int kStates = 16384;     // libkevent has no more queues,
  static constexpr int kNumbers = 1 << 20;  // and descriptors are less than this

  // Which numbers are the library's: in a child of fork, too, where they are queues still.
  class Numbers {
   public:
    bool Has(int fd) const {
      return IsInRange(fd) && (Word(fd).load(std::memory_order_relaxed) & Bit(fd)) != 0;
    }
    void Add(int fd) { Word(fd).fetch_or(Bit(fd), std::memory_order_relaxed); }
    void Remove(int fd) { Word(fd).fetch_and(~Bit(fd), std::memory_order_relaxed); }
    static bool IsInRange(int fd) { return fd >= 0 && fd < kNumbers; }

   private:
    static uint64_t Bit(int fd) { return uint64_t{1} << (static_cast<unsigned>(fd) % 64); }
    std::atomic<uint64_t>& Word(int fd) { return words_[fd / 64]; }
    const std::atomic<uint64_t>& Word(int fd) const { return words_[fd / 64]; }

    std::atomic<uint64_t> words_[kNumbers / 64] = {};
  };

  static inline constinit Numbers s_numbers;
  static inline constinit std::atomic<All*> s_all{nullptr};

  // In place of the parent's, if any.
  static All* Map(All* before) {
    const core::ErrnoKept kept;
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t size = page + sizeof(All);
    void* const pages = mmap(nullptr, size, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pages == MAP_FAILED) return nullptr;
    if (madvise(pages, page, MADV_WIPEONFORK) != 0) {
      munmap(pages, size);
      return nullptr;
    }
    auto* const is_here = static_cast<std::atomic<bool>*>(pages);
    is_here->store(true, std::memory_order_relaxed);
    auto* const mapped = reinterpret_cast<All*>(static_cast<char*>(pages) + page);
    mapped->is_here_ = is_here;
    if (!s_all.compare_exchange_strong(before, mapped, std::memory_order_acq_rel)) {
      munmap(pages, size);
      return before;
    }
#if defined(__SANITIZE_ADDRESS__)
    // LeakSanitizer does not look for pointers in mapped memory by itself.
    __lsan_register_root_region(mapped, sizeof *mapped);
#endif
    return mapped;
  }

  // A collection of nothing looks at the descriptor only.
  static int CheckQueue(int fd) {
    if (kevent_get_events(fd, 0, 0, nullptr, nullptr, 0) == 0) return 0;
    return errno == EINVAL ? All::kNotOne : errno;
  }

  // To modify the witness changes nothing: it stays paused.
  static bool IsOf(State* state, int fd) {
    const uint32_t number = state->number.load(std::memory_order_relaxed);
    if (number == 0) return false;
    ukevent witness = All::WitnessOf(state, number);
    return kevent_ctl(fd, KEVENT_CTL_MODIFY, 1, &witness) == 0;
  }

  void Remember(int fd, State* state) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_) {
    by_number_[fd].store(state, std::memory_order_release);
    numbers_ = std::max(numbers_, fd + 1);
    s_numbers.Add(fd);
  }

  // A duplicate that was made since.
  State* Search(int fd) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_) {
    for (int i = 0; i < used_; ++i) {
      if (IsOf(&states_[i], fd)) return &states_[i];
    }
    return nullptr;
  }

  State* Make(int fd, int* error) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_) {
    int place = 0;
    while (place < used_ && states_[place].number.load(std::memory_order_relaxed) != 0) ++place;
    *error = EMFILE;
    if (place == kStates || !Numbers::IsInRange(fd)) return nullptr;
    State* const state = &states_[place];
    const uint32_t number = All::NewNumber();
    ukevent witness = All::WitnessOf(state, number);
    const int refused = kevent_ctl(fd, KEVENT_CTL_ADD, 1, &witness);
    if (refused != 0) {
      *error = refused == -1 ? errno : -static_cast<int>(witness.ret_data[1]);
      return nullptr;
    }
    static_cast<All*>(this)->Begin(state, number);
    state->number.store(number, std::memory_order_release);
    used_ = std::max(used_, place + 1);
    ++live_;
    number_of_[place] = fd;
    Remember(fd, state);
    return state;
  }

  // Looks for closed queues so seldom that their number does not count.
  void SweepIfMany() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_) {
    if (live_ < next_sweep_) return;
    Sweep();
    next_sweep_ = All::kSweep == 0 ? 0 : std::max(All::kSweep, 2 * live_);
  }

  // Of the closed queues those go that are found at no number.
  void Sweep() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_) {
    for (int i = 0; i < used_; ++i) {
      State* const state = &states_[i];
      if (state->number.load(std::memory_order_relaxed) == 0 || HasNumber(i)) continue;
      const uint32_t number = state->number.exchange(0, std::memory_order_acq_rel);
      --live_;
      static_cast<All*>(this)->Release(state, number);
    }
  }

  // Whether the queue of a state is open.  Its number may have been closed, and a duplicate not:
  // that is its number then.  Where nobody can say, it is taken to be open.
  bool HasNumber(int place) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_) {
    State* const state = &states_[place];
    if (IsOf(state, number_of_[place])) return true;
    int other = OtherNumberOf(state);
    if (other < 0) {
      if (!RememberDuplicates()) return true;
      other = OtherNumberOf(state);
    }
    if (other >= 0) number_of_[place] = other;
    return other >= 0;
  }

  // Takes note of descriptors that nobody has called with yet; false if they cannot be listed.
  bool RememberDuplicates() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_) {
    return ForEachOpenDescriptor([this](int fd) ABSL_NO_THREAD_SAFETY_ANALYSIS {
      if (!Numbers::IsInRange(fd) || CheckQueue(fd) != 0) return;
      State* const found = Search(fd);
      if (found != nullptr) Remember(fd, found);
    });
  }

  int OtherNumberOf(State* state) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_) {
    for (int fd = 0; fd < numbers_; ++fd) {
      if (by_number_[fd].load(std::memory_order_relaxed) == state && IsOf(state, fd)) return fd;
    }
    return -1;
  }

  std::atomic<bool>* is_here_;  // false in a child of fork, whose copy this is
  core::Lock lock_;
  int used_ ABSL_GUARDED_BY(lock_);     // states from here on were never in use
  int numbers_ ABSL_GUARDED_BY(lock_);  // as were these numbers
  int live_ ABSL_GUARDED_BY(lock_);
  int next_sweep_ ABSL_GUARDED_BY(lock_);
  std::atomic<State*> by_number_[kNumbers];
  int number_of_[kStates] ABSL_GUARDED_BY(lock_);
  State states_[kStates];
};

}  // namespace kevent::queues

#endif  // KEVENT_ADAPTERS_QUEUES_REGISTRY_H_
