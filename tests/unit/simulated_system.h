// SPDX-License-Identifier: MIT
//
// The seam of core/system/system.h on simulated time.  Unit tests link this in place
// of core/system/linux.cc: the engine is the same, clocks stand still until a
// test moves them, and sleeping moves them to the next moment at which
// something happens.  One thread only.

#ifndef KEVENT_TESTS_UNIT_SIMULATED_SYSTEM_H_
#define KEVENT_TESTS_UNIT_SIMULATED_SYSTEM_H_

#include <time.h>

#include <cerrno>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "core/system/system.h"

namespace kevent_test {

struct SimulatedContent;  // tests/unit/simulated_sockets.h
struct SimulatedSocket;

struct SimulatedFile {
  enum class Kind { kEpoll, kAlwaysReady, kTimerfd, kStranger, kSubject, kInotify };
  Kind kind = Kind::kStranger;
  int status_flags = 0;
  bool marked = false;         // as one of the engine's own
  int locked_by = 0;           // a table of descriptors
  uint32_t mode = 0;           // as stat has it; 0: a socket
  bool parent_has_it = false;  // and so its last descriptor is not here
  // A timerfd:
  clockid_t clock = CLOCK_MONOTONIC;
  int subject = 0;  // the signal or process of a kSubject
  uint64_t moment = 0;
  bool until_clock_set = false;
  bool clock_was_set = false;
  // An epoll: members by number and file, as in Linux.
  struct Member {
    uint32_t events;
    uint64_t token;
    uint64_t serial;     // of its addition
    uint64_t taken = 0;  // what an edge-triggered one was last taken for
    uint64_t turn = 0;   // when it was last taken: it comes again after the others
    friend bool operator==(const Member&, const Member&) = default;
  };
  std::map<std::pair<int, const SimulatedFile*>, Member> members;
  // A stranger, a socket for the engine: what poll says of it, and how often
  // something has happened to it.
  uint32_t ready = 0;
  uint64_t activity = 0;
  // A signalfd, a pidfd, an inotify: how much there is to be taken.
  uint32_t pending = 0;
  std::vector<char> unread;
  // A stranger that transfers are tried on, or whose bytes are sent.
  std::shared_ptr<SimulatedSocket> socket;
  std::shared_ptr<SimulatedContent> content;
};

// An io_uring that takes what it is given, and ends it when the test says so.
struct SimulatedRing {
  bool is_there = false;
  int refusal = -ENOSYS;   // when it is not
  bool is_full = false;    // the kernel takes no more for now
  bool closed = false;     // by a system call that the library does not see
  bool times_out = false;  // when its thread has nothing to do
  std::function<void()> when_asleep;
  struct Given {
    kevent::sys::Transfer transfer;
    uint64_t token;
  };
  std::vector<Given> added;
  std::vector<Given> taken;
  std::deque<kevent::sys::RingResult> results;
};

class Simulation {
 public:
  static Simulation& Get();

  // ---- Time ----
  uint64_t Now(clockid_t clock) const;
  void Advance(uint64_t nanoseconds);       // every clock goes on
  void Suspend(uint64_t nanoseconds);       // all but CLOCK_MONOTONIC do
  void SetRealtime(int64_t step);           // clock_settime
  void SetTaiOffset(uint64_t nanoseconds);  // a leap second: REALTIME steps back as it grows
  void EndThread(clockid_t cpu_clock);
  // The thread is preempted for so long before it reads CLOCK_REALTIME the next time.
  uint64_t preempted_for = 0;
  // Every clock goes on by so much when one is read.
  uint64_t reading_takes = 0;
  void BeginThread(clockid_t cpu_clock);  // with the id of one that has ended

  // ---- Descriptors ----
  bool Readable(int fd) const;
  bool IsOpen(int fd) const { return table_.count(fd) != 0; }
  size_t open_descriptors() const { return table_.size(); }
  int OpenStranger();
  // So many calls of EpollTake find nothing, as they may while another thread polls.
  int vain_takes = 0;
  // What poll says of it from now on; an edge for who watches for edges.
  void SetReady(int fd, uint32_t events);
  // The descriptors of the engine's own that watch this process or signal, and
  // its inotify.
  std::shared_ptr<SimulatedFile> Watching(int subject) const;
  void Happen(int watch, uint32_t inotify_mask);
  std::shared_ptr<SimulatedFile> File(int fd) const;
  // Puts another file under the number, as close and open by system calls that
  // the library does not see would.
  void ReplaceBehindBack(int fd);

  // ---- Threads and the io_uring ----
  SimulatedRing ring;
  bool may_end_by_time = false;  // streams
  bool files_are_cached = false;
  bool files_have_places = false;      // as to writes
  bool no_threads = false;             // can be made
  std::function<int()> when_waiting;   // in a futex: what that returns
  std::function<void()> when_started;  // a thread: before its maker knows of it
  std::function<void()> when_pausing;
  // Runs the thread that was started last until it ends.
  void RunThread() { thread_(thread_argument_); }

  // ---- Processes ----
  // From here on this is the child: wiped pages are zeroed.
  void Fork(bool run_handlers);
  void set_process_id(int id) { process_id_ = id; }
  int process_id() const { return process_id_; }
  // A table of descriptors is shared with the parent or the thread that made it, or
  // it is the calling thread's own.
  bool shares_table = false;  // the next Fork
  int table() const { return table_of_process_ + (own_table ? 1000 : 0); }
  bool own_table = false;

  // What the thread has blocked.
  uint64_t blocked_signals = 0;

  // ---- Watching and failing ----
  std::map<std::string, int> calls;                     // of each function of the seam
  std::function<void(const std::string&)> before_call;  // a thread or handler that comes between
  std::function<void()> before_reading;                 // one before the next reading of a clock
  // The n-th call from now that can fail fails with this errno.
  void FailCall(int n, int error) { fail_in_ = n, fail_with_ = error; }
  bool failure_pending() const { return fail_in_ > 0; }
  int arming_refused = 0;  // of timerfds, by a sandbox with this errno
  size_t mapped_bytes = 0;
  std::string written;                  // to whatever descriptor
  std::vector<std::string> violations;  // what no correct engine does

  // For the seam itself.
  int Enter(const char* function);
  int Fail();
  int Install(std::shared_ptr<SimulatedFile> file, int lowest);
  bool ReadableFile(const SimulatedFile& file) const;
  uint32_t ReadyEvents(const SimulatedFile& file) const;
  uint64_t Signature(const SimulatedFile& file) const;
  uint32_t MemberEvents(const SimulatedFile& file, const SimulatedFile::Member& member) const;
  uint64_t next_serial_ = 1;
  uint64_t NextMoment() const;  // CLOCK_MONOTONIC; 0: none
  void DeliverAlarms();

  struct Mapping {
    void* pages;
    size_t bytes;
    bool wiped;
  };
  struct Alarm {
    clockid_t clock;
    int value;
    uint64_t moment;
    bool thread_ended = false;
  };
  std::map<int, std::shared_ptr<SimulatedFile>> table_;
  // Epolls know them by their addresses, which no other file may get.
  std::vector<std::shared_ptr<SimulatedFile>> of_parents_;
  std::vector<Mapping> mappings_;
  std::map<int, Alarm> alarms_;
  std::vector<int> fired_alarms_;
  int next_alarm_ = 0;
  void (*thread_)(void*) = nullptr;
  void* thread_argument_ = nullptr;
  void (*fork_handler_)() = nullptr;

 private:
  bool Ended(clockid_t clock) const;
  friend bool ClockEnded(clockid_t clock);

  uint64_t monotonic_ = 1'000'000'000'000;
  uint64_t suspended_ = 0;
  uint64_t realtime_offset_ = 1'700'000'000'000'000'000;
  uint64_t tai_offset_ = 37'000'000'000;
  std::vector<clockid_t> ended_;
  int process_id_ = 100;
  int table_of_process_ = 1;
  int fail_in_ = 0;
  int fail_with_ = 0;
  std::mutex calls_mutex_;  // some tests have a thread beside the main one
};

}  // namespace kevent_test

#endif  // KEVENT_TESTS_UNIT_SIMULATED_SYSTEM_H_
