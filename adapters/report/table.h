// SPDX-License-Identifier: MIT
//
// The counts of one process, as libkevent-report.so keeps them and kevrun reads them: a mapped file
// of bounded arrays.  What finds no room in them is counted as dropped.  Zeroed memory is an empty
// table.  The memory of everything before `timers` is there from the beginning, that of the arrays
// from there on bit by bit (observe::HaveMemory): has_timers.

#ifndef KEVENT_ADAPTERS_REPORT_TABLE_H_
#define KEVENT_ADAPTERS_REPORT_TABLE_H_

#include <time.h>

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>

#include "adapters/observe/callers.h"
#include "adapters/observe/file.h"

namespace kevent::report {

using observe::Count;

inline constexpr char kPrefix[] = "report";
inline constexpr uint64_t kMagic = 0x74726f706572766b;  // "kvreport"
inline constexpr uint32_t kVersion = 4;

inline constexpr size_t kTimers = 65536;
inline constexpr size_t kSites = 1024;
inline constexpr size_t kQueues = 4096;
inline constexpr size_t kOperations = 4096;

inline constexpr int64_t kBillion = 1'000'000'000;

// Numbers by powers of two: cell 0 counts the zeros, cell n those from 2^(n-1) to 2^n - 1, the last
// one all from there on.
template <size_t kCells>
struct Histogram {
  std::array<Count, kCells> cells;

  void Add(uint64_t number) {
    const size_t cell = std::bit_width(number);
    cells[cell < kCells ? cell : kCells - 1].fetch_add(1, std::memory_order_relaxed);
  }
};

enum class Notify : uint32_t { kSignal, kNone, kThread, kThreadId, kKevent, kOther };

// What the counts of several timers add up to.
struct Sums {
  Count timers;       // that were created
  Count settings;     // calls that set one
  Count disarmings;   // those of them that disarmed it
  Count replaced;     // settings that the next one, or timer_delete, found not yet expired
  Count expirations;  // overruns included
  Count collections;  // in queues: the events
  Count overruns;   // in queues: as the events say; else: as timer_getoverrun has told the program
  Count lateness;   // in queues: ns, of all events together
  Count most_late;  // ns
  Count callbacks;  // of SIGEV_THREAD: calls of the program's function
  Count most_at_once;  // of these
};

// Where timers are created: one place of the program, one clock, one way to notify.
struct Site {
  Count key;      // 0: free
  Count written;  // what follows, up to the counts
  observe::Place place;
  int32_t clock;
  Notify notify;
  int32_t signal;
  uint32_t reserved;
  Count failed;  // timer_create
  Count again;   // those with EAGAIN
  Sums ended;    // of timers that have given their rows to others
  Histogram<40> lateness;
};

// A setting as timer_settime takes it.  Its parts are written one after the other.
struct Setting {
  std::atomic<int64_t> value;     // ns
  std::atomic<int64_t> interval;  // ns
  std::atomic<int> flags;
};

// All that most settings of a timer in a queue touch: those by the thread whose number is in the
// tag, with bits of the timer_t.  They are counted without a locked instruction, and the counts of
// a thousand timers lie in one page: memory is what they cost.
struct HotTimer {
  std::atomic<uint16_t> count;
  std::atomic<uint16_t> tag;  // 0: none
};
static_assert(sizeof(HotTimer) == 4);

// kTaken: between two timers.
enum class State : uint32_t { kFree, kLive, kEnded, kTaken };

struct alignas(64) Timer {
  Count key;  // KeyOf the timer_t; 0: none
  std::atomic<State> state;
  uint32_t site;
  Count serial;  // 1, 2, ... in the order of their creation; 0: being made
  uint64_t timer;
  int32_t queue;   // SIGEV_KEVENT: its descriptor; -1: it is no timer in a queue
  int32_t thread;  // SIGEV_THREAD_ID

  Count settings;  // besides those in HotTimer
  Count disarmings;
  Count disarmed_by;  // the number of the last setting that did
  Setting setting;    // the last one; of timers in queues the first, and others now and then

  Count replaced;
  Count expirations;
  Count collections;
  Count overruns;
  Count lateness;
  Count most_late;
  Count callbacks;
  Count running;  // callbacks, at the moment
  Count most_at_once;
  // Of timers in queues: how many settings had an event, and the number of the last that had.
  Count served;
  Count last_served;
  // Of others: the first expiration of the setting, on its own clock, 0: disarmed.
  std::atomic<int64_t> first;
};

// The rows of an array have their memory in so many parts, each with a bit.
inline constexpr size_t kParts = 64;
constexpr size_t PartOf(size_t row, size_t rows) { return row / (rows / kParts); }
constexpr bool HasMemory(uint64_t parts, size_t row, size_t rows) {
  return (parts >> PartOf(row, rows) & 1) != 0;
}

struct alignas(64) Queue {
  Count calls;  // 0: free
  observe::Place place;
  std::atomic<uint32_t> known;  // kevent_init has made it: `place` says where
  uint32_t reserved;
  Count queues;  // that had this number, one after the other
  Count events;
  Count empty;        // calls that returned none
  Count interrupted;  // EINTR
  Count failed;       // any other error
  Count waits;        // calls that might sleep
  Count inside;       // ns in them
  Histogram<26> batches;
  std::array<Count, 48> types;    // of events: ukevent.type
  std::array<Count, 4> commands;  // of kevent_ctl: entries of each
};

enum class Kind : uint32_t { kRead, kWrite, kSync, kCount };

struct Operations {
  Count started;
  Count failed;    // calls that did not start one
  Count finished;  // that the program has seen the result of
  Count errors;    // of these
  Count asked;     // bytes
  Count done;      // bytes
  Count time;      // ns from the call to the result, of all finished ones together
  Count longest;
};

// An operation whose result the program has not seen.
struct Flying {
  Count control;  // the address of the aiocb, plus 1 while the row is claimed; 0: free
  Count begin;    // ns, CLOCK_MONOTONIC
  Count asked;    // bytes
  std::atomic<Kind> kind;
  uint32_t reserved;
};

struct Table {
  observe::FileHeader file;

  Count settled;  // 1: exit handlers have, what the C library's timers have done
  Count dropped_timers;
  Count dropped_sites;
  Count dropped_queues;  // whose descriptors have no row
  Count dropped_operations;
  Count dropped_callbacks;  // timers whose callbacks are not counted
  Count most_signals;       // RLIMIT_SIGPENDING when timer_create failed with EAGAIN; 0: it has not
  Count serial;             // of the last timer
  Count lists;              // calls of lio_listio
  Count flying;
  Count most_flying;
  std::array<Operations, static_cast<size_t>(Kind::kCount)> operations;
  // Which parts of the arrays have memory.
  Count has_timers;
  Count has_queues;
  Count has_in_flight;
  Count farthest;  // from its first row in which a timer is

  alignas(64) std::array<Site, kSites> sites;
  alignas(4096) std::array<HotTimer, kTimers> hot;
  alignas(4096) std::array<Timer, kTimers> timers;
  alignas(4096) std::array<Queue, kQueues> queues;  // by their descriptors
  alignas(4096) std::array<Flying, kOperations> in_flight;
};

constexpr uint64_t KeyOf(uint64_t timer) { return timer + 1; }

// Of all timer_t only libkevent's have bit 62.
constexpr bool MayBeQueued(uint64_t timer) { return (timer >> 62 & 1) != 0; }

// The first row that may have this timer.  libkevent's differ in the lower bits, the kernel numbers
// its own from 0, and the C library's with SIGEV_THREAD are made of addresses: the latter begin
// half way.
constexpr size_t FirstRow(uint64_t timer) {
  return (MayBeQueued(timer) ? timer : timer + kTimers / 2) % kTimers;
}
inline constexpr size_t kMostRows = 16;  // that are looked at from there on

// Threads have numbers from 1 up to the one that all others share, which counts for nobody.  Timers
// in queues whose first row is the same differ in the tag, as long as there are not tens of
// millions.
inline constexpr unsigned kNoThread = 63;
constexpr uint16_t TagOf(uint64_t timer, unsigned thread) {
  return static_cast<uint16_t>((timer >> 16) << 6 | thread);
}

constexpr int64_t Nanoseconds(const timespec& time) {
  return static_cast<int64_t>(time.tv_sec) * kBillion + time.tv_nsec;
}

}  // namespace kevent::report

#endif  // KEVENT_ADAPTERS_REPORT_TABLE_H_
