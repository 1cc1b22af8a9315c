// SPDX-License-Identifier: MIT
//
// The books of the driver: what was begun, into which queue, and what it has to come to.
// All of it is in one piece of memory that is there before anything begins: under a
// limit of memory the books go on.

#ifndef KEVENT_TESTS_ROBUSTNESS_RANDOM_BOOK_H_
#define KEVENT_TESTS_ROBUSTNESS_RANDOM_BOOK_H_

#include <aio.h>
#include <kevent/kevent.h>
#include <netdb.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>

namespace kevent_test {

// What does not hold ends the run.
#define HOLDS(condition, ...)                                                                      \
  do {                                                                                             \
    if (!(condition)) {                                                                            \
      dprintf(STDERR_FILENO, "%s:%d: not %s (errno %d): ", __FILE__, __LINE__, #condition, errno); \
      dprintf(STDERR_FILENO, __VA_ARGS__);                                                         \
      dprintf(STDERR_FILENO, "\nAgain with: --seed=%llu\n",                                        \
              static_cast<unsigned long long>(kevent_test::Random::base));                         \
      _exit(1);                                                                                    \
    }                                                                                              \
  } while (false)

class Random {
 public:
  static inline uint64_t base = 0;  // of the run: what it is begun with again

  explicit Random(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u + 1) {}
  uint64_t Next() {
    state_ += 0x9e3779b97f4a7c15u;
    uint64_t x = state_;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
  }
  uint64_t Below(uint64_t n) { return Next() % n; }
  bool OneIn(uint64_t n) { return Below(n) == 0; }

 private:
  uint64_t state_;
};

// A queue, which is closed and made again: what was begun for it before is not told of.
struct QueueBook {
  std::atomic<int> fd{-1};
  std::atomic<uint32_t> incarnation{0};
};

// Why a call may refuse to begin anything.
inline bool IsLack(int error) {
  return error == EAGAIN || error == ENOMEM || error == EMFILE || error == ENFILE;
}

constexpr size_t kBuffer = 4096;
constexpr unsigned char kUntouched = 0xee;
constexpr unsigned char kGivenBack = 0xa5;

enum class Task : uint8_t { kFree, kRead, kWrite, kAppend, kSync, kStreamRead, kStreamWrite };

struct ListBook;

struct Op {
  // In an array, as it has an array of nothing and cannot be a member.
  std::array<aiocb, 1> controls;
  QueueBook* queue;  // or nobody
  ListBook* list;
  uint32_t incarnation;
  uint32_t slot;  // of the file, of a write
  std::atomic<uint32_t> told;
  uint32_t told_data[2];
  Task task;
  bool cancelled;         // by a call that said so
  bool may_be_cancelled;  // by one that is for all of its descriptor
  bool checked;           // what it has come to
  bool was_given_back;
  unsigned char before[16];
  unsigned char buffer[kBuffer];
  unsigned char after[16];

  bool queue_is_open() const {
    return queue != nullptr && queue->incarnation.load() == incarnation;
  }
  aiocb& control() { return controls[0]; }
  const aiocb& control() const { return controls[0]; }
  bool has_ended() const { return aio_error(&control()) != EINPROGRESS; }
  void Fill() { std::memset(before, kUntouched, sizeof before + kBuffer + sizeof after); }
  // From `first` on nothing was written.
  bool IsUntouchedFrom(size_t first) const {
    for (const unsigned char* at = buffer + first; at < after + sizeof after; ++at) {
      if (*at != kUntouched) return false;
    }
    for (const unsigned char byte : before) {
      if (byte != kUntouched) return false;
    }
    return true;
  }
};

struct ListBook {
  std::mutex telling;  // while it is told of, or taken out of use
  aiocb* entries[8];
  QueueBook* queue;
  uint32_t incarnation;
  uint32_t begun;
  bool in_use;
  bool is_refused;
  std::atomic<uint32_t> told;
};

struct LookupBook {
  gaicb requests[4];
  gaicb* list[4];
  addrinfo hints;
  int count;
  LookupBook* next;
  QueueBook* queue;
  uint32_t incarnation;
  bool in_use;
  bool any_cancelled;
  bool was_given_back;
  LookupBook* next_of_all;
  std::atomic<uint32_t> told;
};

struct TimerBook {
  timer_t timer;
  QueueBook* queue;
  uint32_t incarnation;
  bool in_use;
  std::atomic<uint32_t> told;
};

struct MessageBook {
  QueueBook* queue;
  uint32_t incarnation;
  bool in_use;
  bool sent;
  std::atomic<uint32_t> told;
};

// Told of by their cookies, whose lowest bits say what they are.
enum class Cookie : uintptr_t { kOp = 0, kList = 1, kLookup = 2, kTimer = 3, kMessage = 4 };
constexpr uintptr_t kCookieMask = 7;

template <typename Book>
void* CookieOf(const Book* book, Cookie kind) {
  return reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(book) | static_cast<uintptr_t>(kind));
}

}  // namespace kevent_test

#endif  // KEVENT_TESTS_ROBUSTNESS_RANDOM_BOOK_H_
