// SPDX-License-Identifier: MIT
//
// What happened in one process, as libkevent-trace.so notes it and kevrun reads it: a mapped file
// of rings, one for each thread.  A ring that is full goes on with its oldest records.  Zeroed
// memory is no record.

#ifndef KEVENT_ADAPTERS_TRACE_RINGS_H_
#define KEVENT_ADAPTERS_TRACE_RINGS_H_

#include <array>
#include <atomic>
#include <cstdint>

#include "adapters/observe/callers.h"
#include "adapters/observe/file.h"

namespace kevent::trace {

using observe::Count;

inline constexpr char kPrefix[] = "trace";
inline constexpr uint64_t kMagic = 0x65636172746b766b;  // "kvktrace"
inline constexpr uint32_t kVersion = 3;

inline constexpr size_t kRings = 64;
inline constexpr size_t kRecords = 16384;  // in each
inline constexpr uint32_t kAllThreads = UINT32_MAX;
inline constexpr size_t kPlaces = 256;
inline constexpr size_t kNamedThreads = 64;

enum class What : uint32_t {
  kNothing,
  kCreated,         // id: timer; first: clock; second: sigev_notify; place
  kSet,             // id: timer; first: value, ns; second: interval, ns
  kSetAbsolute,     // the same, TIMER_ABSTIME
  kDeleted,         // id: timer
  kCollected,       // id: timer; first: lateness, ns; second: overruns
  kCollectBegin,    // id: queue; first: the least, second: the most number of events
  kCollectEnd,      // id: queue; first: the result
  kQueueMade,       // id: queue; place
  kKevents,         // id: queue; first: command of kevent_ctl; second: how many
  kOperationBegin,  // id: control block; first: kind; second: bytes
  kOperationEnd,    // id: control block; first: result
};

struct Record {
  Count time;  // ns on CLOCK_MONOTONIC; 0: it is being written
  uint64_t id;
  int64_t first;
  int64_t second;
  uint32_t thread;
  What what;
  uint32_t place;  // index, where it has one
  uint32_t reserved;
};
static_assert(sizeof(Record) == 48);

struct alignas(64) Ring {
  std::atomic<uint32_t> thread;  // that writes it; 0: none has yet; kAllThreads
  uint32_t reserved;
  Count written;  // records, the overwritten ones included
  alignas(64) std::array<Record, kRecords> records;
};

struct PlaceEntry {
  Count key;  // the address; 0: free
  Count written;
  observe::Place place;
};

struct Rings {
  observe::FileHeader file;
  Count dropped;  // records of threads that found no ring
  Count have;     // rings from the first one on that have memory
  std::array<std::atomic<uint32_t>, kNamedThreads> without_ring;  // some of them; 0: none
  std::array<PlaceEntry, kPlaces> places;
  alignas(4096) std::array<Ring, kRings> rings;
};

}  // namespace kevent::trace

#endif  // KEVENT_ADAPTERS_TRACE_RINGS_H_
