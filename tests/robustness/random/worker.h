// SPDX-License-Identifier: MIT
//
// A thread of the driver: queues, files, pipes, sockets and message queues of its own,
// and what it does to them at random.

#ifndef KEVENT_TESTS_ROBUSTNESS_RANDOM_WORKER_H_
#define KEVENT_TESTS_ROBUSTNESS_RANDOM_WORKER_H_

#include <mqueue.h>

#include <array>
#include <vector>

#include "tests/robustness/random/book.h"

namespace kevent_test {

constexpr int kQueues = 2;
constexpr int kOps = 192;
constexpr int kStreams = 4;
constexpr size_t kFileBytes = size_t{1} << 20;
constexpr size_t kSlotBytes = 2048;
constexpr uint32_t kSlots = 64;

inline unsigned char PatternAt(uint64_t place) {
  return static_cast<unsigned char>(place * 131 + (place >> 8) * 17);
}

// What all threads read.
struct Shared {
  char pattern[64];  // the name of a file
  std::atomic<int> unsettled{0};
  bool lookups = true;
  // All that there ever were: of those for queues that were closed nothing says when they
  // can go.
  std::atomic<LookupBook*> lookups_of_all{nullptr};
  bool forks = true;
  std::vector<QueueBook*> queues;  // of all threads
};

class Worker {
 public:
  Worker(uint64_t seed, Shared* shared);
  // Opens and closes what a phase has.
  void Open();
  void Close();

  void Step();
  // Everything ends, and is told of if its queue is there.
  void Settle();
  // What has not, for whoever waits in vain.
  void Describe() const;

  std::array<QueueBook, kQueues>& queues() { return queues_; }
  uint64_t begun() const { return begun_; }

 private:
  // One direction of a pipe or of sockets.
  struct Stream {
    int fd = -1;     // that operations are on
    int other = -1;  // the driver's own end
    bool reads = false;
    uint64_t position = 0;             // of the stream, up to which operations have ended
    uint64_t fed = 0;                  // bytes that the driver has put in
    std::array<int, kOps> in_order{};  // operations that have begun, oldest first
    size_t first = 0;
    size_t count = 0;
    bool ends = false;  // the driver's end is closed: what is left ends somehow
    std::array<unsigned char, 65536> received{};
    size_t received_bytes = 0;
  };

  Op* Take(Task task, int fd, size_t bytes, off_t offset);
  void Address(sigevent* notification, const void* book, Cookie kind, QueueBook** queue,
               uint32_t* incarnation);
  bool MayRefuse(const QueueBook* queue, uint32_t incarnation, int error);
  void GiveBack(Op* op);

  void BeginOne();
  Op* PrepareFile();
  Op* PrepareStream();
  static int Begin(Op* op);
  void NoteBegun(Op* op);
  void BeginList(bool wait);
  void BeginLookup();
  void CancelSome();
  void Suspend();
  void Feed(Stream* stream, bool all);
  void Renew(Stream* stream);
  void OpenStream(Stream* stream);
  void UseTimer();
  void UseMessages();
  void Collect(QueueBook* queue, int min, long nanoseconds);
  void Tell(const ukevent& event);
  void ReopenQueue(QueueBook* queue);
  void OpenQueue(QueueBook* queue);
  void Fork();

  // Looks after what has ended.
  void Reap();
  void CheckTold(const Op& op);
  void CheckFile(Op* op);
  void CheckStream(Stream* stream, Op* op);
  void ReapStream(Stream* stream);
  void ReapOthers();
  Stream* StreamOf(const Op& op);
  bool AnyLeft() const;

  Random random_;
  Shared* shared_;
  std::array<QueueBook, kQueues> queues_;
  std::array<Op, kOps>* ops_;
  std::array<Stream, kStreams> streams_;
  std::array<ListBook, 16> lists_{};
  LookupBook* lookups_ = nullptr;
  std::array<TimerBook, 16> timers_{};
  int pattern_ = -1;
  int slots_file_ = -1;
  int append_file_ = -1;
  uint64_t appended_ = 0;
  std::array<bool, kSlots> slot_in_use_{};
  std::array<uint32_t, kSlots> stamps_{};
  mqd_t messages_ = -1;
  std::array<MessageBook, 8> registrations_{};
  MessageBook* registered_ = nullptr;
  uint64_t begun_ = 0;
};

}  // namespace kevent_test

#endif  // KEVENT_TESTS_ROBUSTNESS_RANDOM_WORKER_H_
