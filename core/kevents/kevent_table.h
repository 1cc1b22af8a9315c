// SPDX-License-Identifier: MIT
//
// The kevents that are registered with a queue: records by number, found by type, id and cookie.  A
// record's number is reused, its generation is not.

#ifndef KEVENT_CORE_KEVENTS_KEVENT_TABLE_H_
#define KEVENT_CORE_KEVENTS_KEVENT_TABLE_H_

#include <atomic>
#include <cstdint>

namespace kevent::core {

struct KeventKey {
  uint64_t id;
  uint64_t cookie;
  uint32_t type;
  // Counts internal kevents, which kevent_ctl cannot name; 0 in a key of kevent_ctl.
  uint32_t serial = 0;

  friend bool operator==(const KeventKey&, const KeventKey&) = default;
};

// Links are numbers of records plus one; 0 ends a list.
struct Kevent {
  KeventKey key;
  uint32_t event;       // mask of interest
  uint32_t req_flags;   // of the kevent's request
  uint32_t generation;  // odd while the record is registered
  uint32_t same_hash;   // next in the bucket, or the next free record

  // Kevents of one type and id, and the next such list in its bucket, which the first has.
  uint32_t same_id_before;
  uint32_t same_id_after;
  uint32_t next_id;

  // The list of those that are ready, oldest first.
  uint32_t ready_before;
  uint32_t ready_after;
  bool ready;
  // True if the kevent is ready for as long as its source says so, which every harvest asks again:
  // being in the list is not enough.
  bool level_triggered;
  bool forced;   // made ready by kevent_ctl, whatever its source says
  bool ended;    // its source is gone
  bool leaving;  // delivered for the last time: goes with the batch
  // Not reported until MODIFY goes on: its mask is empty, or it was reported and is to wait
  // (KEVENT_REQ_DISPATCH).  `forced` and what was found are kept meanwhile.
  bool paused;

  // The list of kevents that kevent_ctl has made ready.
  bool injected;
  uint32_t injected_after;

  // ---- For the source ----

  // The watched descriptor, in the epoll of this index (EventSet::EpollAt); -1: there is none.
  int fd;
  uint8_t epoll_index;
  bool fd_is_ours;
  bool nests;                // the descriptor is an epoll
  bool silenced;             // the kernel has reported it, and waits for Rewatch (EPOLLONESHOT)
  uint32_t same_descriptor;  // next record that watches it, or has its inotify watch
  uint32_t same_before;      // previous record with its inotify watch
  uint32_t round;            // the harvest that found it ready
  uint32_t told_to_others;   // those of its events, since its last edge, that others were told of
  uint32_t met;              // plus one: the turn of its epoll in which it was last met
  uint64_t handle;           // bits of a timer's handle, the inotify watch, or closings of a number
  int clock;                 // a timer's clock, as ClockMeantBy names it
  uint32_t next_watch;  // of the first record with an inotify watch: the next such record; else the
                        // next that waits for the signal, or for a message

  // Reported once the kevent is ready, but for kFoundLast: the source has nothing more to report.
  static constexpr uint32_t kFoundLast = 1u << 31;
  uint32_t found_flags;
  uint32_t found_data[2];
};

// The addresses of the records, which a fork leaves in place while it wipes the records.
struct KeventPages {
  static constexpr uint32_t kChunkBits = 12;
  static constexpr uint32_t kPerChunk = 1u << kChunkBits;
  static constexpr uint32_t kMaxChunks = 1u << 12;

  // The size is stored after the larger array, so that a child of fork never finds it with the
  // smaller one.
  struct Array {
    std::atomic<uint32_t*> entries;
    std::atomic<uint32_t> size;
  };
  Array buckets;   // records by hash; the size is a power of two, or 0
  Array ids;       // the first record of each type and id, by hash; sized as buckets
  Array watchers;  // records by descriptor
  Array watches;   // the first record of each inotify watch, by the watch; sized as buckets
  std::atomic<Kevent*> chunks[kMaxChunks];
};

// Zeroed memory is an empty table, once Init was called.
class KeventTable {
 public:
  static constexpr uint32_t kMaxRecords = KeventPages::kPerChunk * KeventPages::kMaxChunks;

  void Init(KeventPages* pages) { pages_ = pages; }

  // Callable from any thread.
  uint32_t size() const { return size_.load(std::memory_order_relaxed); }

  Kevent& At(uint32_t number) {
    return pages_->chunks[number >> KeventPages::kChunkBits].load(
        std::memory_order_relaxed)[number % KeventPages::kPerChunk];
  }

  // The record with this number, if it was ever handed out and has this generation.
  Kevent* Find(uint32_t number, uint32_t generation) {
    if (number >= used_) return nullptr;
    Kevent& record = At(number);
    return record.generation == generation ? &record : nullptr;
  }

  // The number of the record with this key, plus one; 0: there is none.
  uint32_t Find(const KeventKey& key);

  // The first of the records with this type and id, plus one, linked by same_id_after; 0: there is
  // none.
  uint32_t FirstById(uint32_t type, uint64_t id);

  // Makes a record with this key, which none has yet: 0 and its number, or an errno.
  int Insert(const KeventKey& key, uint32_t* number);
  // Gives a record a cookie with which no record has its key.
  void SetCookie(uint32_t number, uint64_t cookie);
  void Erase(uint32_t number);

  // The first of the records that watch a descriptor, plus one.  Requires that
  // it was reserved.
  uint32_t& WatchersOf(int fd) {
    return pages_->watchers.entries.load(std::memory_order_relaxed)[fd];
  }
  int ReserveWatchers(int fd);  // 0 or an errno

  // The first of the records with this inotify watch, plus one; 0: there is none.
  uint32_t FirstOf(int watch);
  int ReserveWatch();  // for the watch of a record: 0 or an errno
  void LinkWatch(uint32_t number, int watch);
  // False if the record was the last with its watch.
  bool UnlinkWatch(uint32_t number);
  void ForgetWatches();
  static int WatchOf(const Kevent& record) { return static_cast<int>(record.handle); }

  // Calls visit(number) for each record with an inotify watch.
  template <typename Visit>
  void ForEachWatch(Visit visit) {
    const uint32_t size = pages_->watches.size.load(std::memory_order_relaxed);
    for (uint32_t i = 0; i < size; ++i) {
      for (uint32_t first = pages_->watches.entries.load(std::memory_order_relaxed)[i]; first != 0;
           first = At(first - 1).next_watch) {
        for (uint32_t link = first; link != 0; link = At(link - 1).same_descriptor) {
          visit(link - 1);
        }
      }
    }
  }

  // Calls visit(number) for each record.
  template <typename Visit>
  void ForEach(Visit visit) {
    for (uint32_t number = 0; number < used_; ++number) {
      if (At(number).generation % 2 != 0) visit(number);
    }
  }

  // Returns the first invariant that does not hold, or nullptr.
  const char* Check();

 private:
  static int Enlarge(KeventPages::Array& array, uint32_t size, bool keep);
  int GrowBuckets();
  int AllocateNumber(uint32_t* number);
  uint32_t& Bucket(const KeventKey& key);
  void LinkKey(uint32_t number);
  void UnlinkKey(uint32_t number);
  uint32_t* LinkOf(uint32_t type, uint64_t id);
  void LinkId(uint32_t number);
  void UnlinkId(uint32_t number);
  uint32_t* LinkOf(int watch);

  KeventPages* pages_;
  std::atomic<uint32_t> size_;
  uint32_t used_;        // numbers [0, used_) were handed out once
  uint32_t first_free_;  // number plus one
  uint32_t watch_count_;
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_KEVENTS_KEVENT_TABLE_H_
