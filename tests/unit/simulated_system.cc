// SPDX-License-Identifier: MIT

#include "tests/unit/simulated_system.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "core/base/timespec.h"
#include "core/system/kernel_signals.h"
#include "core/system/system.h"

namespace kevent_test {

using Kind = SimulatedFile::Kind;

Simulation& Simulation::Get() {
  static auto* simulation = new Simulation;
  return *simulation;
}

bool ClockEnded(clockid_t clock) { return Simulation::Get().Ended(clock); }

// ---- Time -----------------------------------------------------------------

uint64_t Simulation::Now(clockid_t clock) const {
  switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_ALARM:
      return monotonic_ + suspended_ + realtime_offset_;
    case CLOCK_TAI:
      return monotonic_ + suspended_ + realtime_offset_ + tai_offset_;
    case CLOCK_BOOTTIME:
    case CLOCK_BOOTTIME_ALARM:
      return monotonic_ + suspended_;
    case CLOCK_MONOTONIC:
      return monotonic_;
    default:
      return monotonic_ / 2;  // CPU time: half of a core
  }
}

void Simulation::EndThread(clockid_t cpu_clock) {
  ended_.push_back(cpu_clock);
  for (auto& [number, alarm] : alarms_) {
    if (alarm.clock == cpu_clock) alarm.thread_ended = true;
  }
}

void Simulation::BeginThread(clockid_t cpu_clock) { std::erase(ended_, cpu_clock); }

bool Simulation::Ended(clockid_t clock) const {
  return std::find(ended_.begin(), ended_.end(), clock) != ended_.end();
}

void Simulation::Advance(uint64_t nanoseconds) {
  monotonic_ += nanoseconds;
  DeliverAlarms();
}

void Simulation::Suspend(uint64_t nanoseconds) { suspended_ += nanoseconds; }

void Simulation::SetRealtime(int64_t step) {
  realtime_offset_ += static_cast<uint64_t>(step);
  for (auto& [number, file] : table_) {
    if (file->kind == Kind::kTimerfd && file->until_clock_set) file->clock_was_set = true;
  }
}

void Simulation::SetTaiOffset(uint64_t nanoseconds) {
  const auto step = static_cast<int64_t>(tai_offset_ - nanoseconds);
  tai_offset_ = nanoseconds;
  SetRealtime(step);
}

uint64_t Simulation::NextMoment() const {
  uint64_t next = 0;
  const auto consider = [&](clockid_t clock, uint64_t moment) {
    if (moment == 0 || moment <= Now(clock)) return;
    uint64_t ahead = moment - Now(clock);
    if (clock == CLOCK_PROCESS_CPUTIME_ID || clock < 0) ahead *= 2;
    if (next == 0 || monotonic_ + ahead < next) next = monotonic_ + ahead;
  };
  for (const auto& [number, file] : table_) {
    if (file->kind == Kind::kTimerfd) consider(file->clock, file->moment);
  }
  for (const auto& [number, alarm] : alarms_) consider(alarm.clock, alarm.moment);
  return next;
}

// The kernel's timers of CPU time: the thread that they wake runs here.
void Simulation::DeliverAlarms() {
  for (auto& [number, alarm] : alarms_) {
    if (alarm.moment == 0 || alarm.thread_ended || Now(alarm.clock) < alarm.moment) continue;
    alarm.moment = 0;
    fired_alarms_.push_back(alarm.value);
  }
  if (!fired_alarms_.empty()) RunThread();
}

// ---- Descriptors ----------------------------------------------------------

constexpr uint32_t kReadable = EPOLLIN;

uint32_t Simulation::ReadyEvents(const SimulatedFile& file) const {
  switch (file.kind) {
    case Kind::kAlwaysReady:
      return kReadable;
    case Kind::kTimerfd:
      return file.clock_was_set || (file.moment != 0 && Now(file.clock) >= file.moment) ? kReadable
                                                                                        : 0u;
    case Kind::kEpoll: {
      const auto ready = [&](const auto& member) {
        return MemberEvents(*member.first.second, member.second) != 0;
      };
      return std::any_of(file.members.begin(), file.members.end(), ready) ? kReadable : 0u;
    }
    case Kind::kStranger:
      return file.ready;
    case Kind::kSubject:
      return file.pending != 0 ? kReadable : 0u;
    case Kind::kInotify:
      return file.unread.empty() ? 0 : kReadable;
  }
  return 0;
}

// Differs when something has happened to a file: what an edge is told by.
uint64_t Simulation::Signature(const SimulatedFile& file) const {
  uint64_t sum = 1 + file.activity + ReadyEvents(file) * 1'000'003 + file.moment;
  for (const auto& [name, member] : file.members) {
    if (MemberEvents(*name.second, member) != 0) {
      sum = sum * 31 + member.serial + Signature(*name.second);
    }
  }
  return sum;
}

// What an epoll reports of a member now.
uint32_t Simulation::MemberEvents(const SimulatedFile& file,
                                  const SimulatedFile::Member& member) const {
  const uint32_t events = ReadyEvents(file) & member.events;
  const bool edge = (member.events & EPOLLET) != 0;
  return edge && member.taken == Signature(file) ? 0 : events;
}

bool Simulation::ReadableFile(const SimulatedFile& file) const {
  return (ReadyEvents(file) & EPOLLIN) != 0;
}

void Simulation::SetReady(int fd, uint32_t events) {
  File(fd)->ready = events;
  ++File(fd)->activity;
}

std::shared_ptr<SimulatedFile> Simulation::Watching(int subject) const {
  for (const auto& [number, file] : table_) {
    if (file->kind == Kind::kSubject && file->subject == subject) return file;
  }
  return nullptr;
}

void Simulation::Happen(int watch, uint32_t inotify_mask) {
  for (const auto& [number, file] : table_) {
    if (file->kind != Kind::kInotify) continue;
    const inotify_event event = {watch, inotify_mask, 0, 0};
    const auto* bytes = reinterpret_cast<const char*>(&event);
    file->unread.insert(file->unread.end(), bytes, bytes + sizeof event);
    return;
  }
}

std::shared_ptr<SimulatedFile> Simulation::File(int fd) const {
  const auto found = table_.find(fd);
  return found == table_.end() ? nullptr : found->second;
}

bool Simulation::Readable(int fd) const {
  const auto file = File(fd);
  return file != nullptr && ReadableFile(*file);
}

int Simulation::Install(std::shared_ptr<SimulatedFile> file, int lowest) {
  int fd = lowest;
  while (table_.count(fd) != 0) ++fd;
  table_[fd] = std::move(file);
  return fd;
}

int Simulation::OpenStranger() { return Install(std::make_shared<SimulatedFile>(), 3); }

void Simulation::ReplaceBehindBack(int fd) {
  kevent::sys::Close(fd);
  table_[fd] = std::make_shared<SimulatedFile>();
}

// ---- Processes ------------------------------------------------------------

void Simulation::Fork(bool run_handlers) {
  // The child has a table of its own, and shares the files with a parent that
  // is not simulated any further.
  for (const auto& [number, file] : table_) {
    file->parent_has_it = true;
    of_parents_.push_back(file);
  }
  for (const Mapping& mapping : mappings_) {
    if (mapping.wiped) std::memset(mapping.pages, 0, mapping.bytes);
  }
  alarms_.clear();
  fired_alarms_.clear();
  thread_ = nullptr;
  ++process_id_;
  if (!shares_table) ++table_of_process_;
  if (run_handlers && fork_handler_ != nullptr) fork_handler_();
}

int Simulation::Enter(const char* function) {
  {
    const std::lock_guard<std::mutex> lock(calls_mutex_);
    ++calls[function];
  }
  if (before_call) before_call(function);
  return 0;
}

// 0, or the negative errno that this call is to fail with.
int Simulation::Fail() { return fail_in_ > 0 && --fail_in_ == 0 ? -fail_with_ : 0; }

}  // namespace kevent_test

// ---- The seam ---------------------------------------------------------------

namespace kevent::sys {

using kevent_test::SimulatedFile;
using kevent_test::Simulation;
using Kind = SimulatedFile::Kind;

namespace {

Simulation& Sim() { return Simulation::Get(); }

#define ENTER() Sim().Enter(__func__)
#define ENTER_FALLIBLE() \
  Sim().Enter(__func__); \
  if (const int error = Sim().Fail(); error != 0) return error

int Create(Kind kind, clockid_t clock = CLOCK_MONOTONIC) {
  auto file = std::make_shared<SimulatedFile>();
  file->kind = kind;
  file->clock = clock;
  return Sim().Install(std::move(file), 3);
}

void Violation(const std::string& what) { Sim().violations.push_back(what); }

}  // namespace

int Now(clockid_t clock, uint64_t* nanoseconds) {
  if (const auto between = std::exchange(Sim().before_reading, nullptr)) between();
  if (kevent_test::ClockEnded(clock)) return -EINVAL;
  if (clock == CLOCK_REALTIME) Sim().Advance(std::exchange(Sim().preempted_for, 0));
  if (Sim().reading_takes != 0) Sim().Advance(Sim().reading_takes);
  *nanoseconds = Sim().Now(clock);
  return 0;
}

uint64_t MonotonicNow() {
  uint64_t now = 0;
  Now(CLOCK_MONOTONIC, &now);
  return now;
}

int ProbeTimerClock(clockid_t clock) {
  ENTER();
  if (clock < 0) return (clock & 3) == 3 ? -EOPNOTSUPP : 0;
  if (clock == CLOCK_REALTIME_ALARM || clock == CLOCK_BOOTTIME_ALARM) return 0;
  return clock >= CLOCK_MONOTONIC_RAW && clock <= CLOCK_MONOTONIC_COARSE ? -EOPNOTSUPP : -EINVAL;
}

clockid_t ThreadCpuClock() { return ~7 * 8 + 6; }

int MapPages(size_t bytes, OnFork on_fork, void** pages) {
  Sim().Enter(__func__);
  if (Sim().Fail() != 0) return -ENOMEM;
  *pages = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                -1, 0);
  if (*pages == MAP_FAILED) return -ENOMEM;
  Sim().mappings_.push_back({*pages, bytes, on_fork == OnFork::kWipe});
  Sim().mapped_bytes += bytes;
  return 0;
}

void PreferHugePages(void*, size_t) {}

void UnmapPages(void* pages, size_t bytes) {
  ENTER();
  auto& mappings = Sim().mappings_;
  const auto found = std::find_if(mappings.begin(), mappings.end(), [&](const auto& mapping) {
    return mapping.pages == pages && mapping.bytes == bytes;
  });
  if (found == mappings.end()) return Violation("unmaps what is not mapped");
  mappings.erase(found);
  Sim().mapped_bytes -= bytes;
  munmap(pages, bytes);
}

int CreateEpoll() {
  ENTER_FALLIBLE();
  return Create(Kind::kEpoll);
}

int UnreadBytes(int) { return 0; }

int CreateAlwaysReady() {
  ENTER_FALLIBLE();
  return Create(Kind::kAlwaysReady);
}

int CreatePipe(int* writer) {
  ENTER_FALLIBLE();
  const int reader = Create(Kind::kAlwaysReady);
  *writer = Create(Kind::kStranger);
  return reader;
}

int Write(int, const char* text, size_t bytes) {
  Sim().written.append(text, bytes);
  return static_cast<int>(bytes);
}

int CreateTimerfd(clockid_t clock) {
  ENTER_FALLIBLE();
  if (clock == CLOCK_TAI || clock == CLOCK_PROCESS_CPUTIME_ID || clock < 0) return -EINVAL;
  return Create(Kind::kTimerfd, clock);
}

int DescriptorLimit() { return 1024; }

int LowestInternal() { return 768; }

int LockTable(int fd) {
  ENTER();
  const auto file = Sim().File(fd);
  if (file == nullptr) return -EBADF;
  file->locked_by = Sim().table();
  return 0;
}

bool InTableOf(int fd) {
  ENTER();
  const auto file = Sim().File(fd);
  return file == nullptr || file->locked_by == 0 || file->locked_by == Sim().table();
}

bool IsLocked(int fd) {
  ENTER();
  const auto file = Sim().File(fd);
  return file != nullptr && file->locked_by != 0;
}

int Mark(int fd) {
  ENTER_FALLIBLE();
  Sim().File(fd)->marked = true;
  return 0;
}

int MarkOf(int fd) {
  ENTER();
  const auto file = Sim().File(fd);
  if (file == nullptr) return -EBADF;
  return file->marked ? kReservedSignal : 0;
}

bool IsMarked(int fd) {
  ENTER();
  const auto file = Sim().File(fd);
  return file != nullptr && file->marked;
}

// Reported whether they are asked for or not, until EPOLLONESHOT has silenced the member.
constexpr uint32_t kUnasked = EPOLLERR | EPOLLHUP;

int EpollAdd(int epoll, int fd, uint32_t events, uint64_t token) {
  ENTER();
  const auto file = Sim().File(epoll);
  const auto member = Sim().File(fd);
  if (file == nullptr || member == nullptr) return -EBADF;
  if (file->kind != Kind::kEpoll) return -EINVAL;
  // Memory is asked for when it is none (fs/eventpoll.c, do_epoll_ctl).
  if (file->members.count({fd, member.get()}) != 0) return -EEXIST;
  if (const int error = Sim().Fail(); error != 0) return error;
  file->members[{fd, member.get()}] = {events | kUnasked, token, Sim().next_serial_++};
  return 0;
}

int EpollModify(int epoll, int fd, uint32_t events, uint64_t token) {
  ENTER();
  const auto file = Sim().File(epoll);
  const auto member = Sim().File(fd);
  if (file == nullptr || member == nullptr) return -EBADF;
  if (file->kind != Kind::kEpoll) return -EINVAL;
  const auto found = file->members.find({fd, member.get()});
  if (found == file->members.end()) return -ENOENT;
  // One that is linked as ready wakes nobody (fs/eventpoll.c, ep_modify).
  const bool linked = Sim().MemberEvents(*member, found->second) != 0;
  found->second = {events | kUnasked, token, linked ? found->second.serial : Sim().next_serial_++};
  return 0;
}

int EpollTake(int epoll, epoll_event* events, unsigned max) {
  ENTER();
  const auto file = Sim().File(epoll);
  if (file == nullptr) return -EBADF;
  // (fs/eventpoll.c from Linux 5.11 on, ep_poll: the list of what is ready is looked at
  // without its lock when there is no timeout.)
  if (Sim().vain_takes > 0) {
    --Sim().vain_takes;
    return 0;
  }
  std::vector<std::pair<const SimulatedFile*, SimulatedFile::Member*>> ready;
  for (auto& [name, member] : file->members) {
    if (Sim().MemberEvents(*name.second, member) != 0) ready.emplace_back(name.second, &member);
  }
  std::sort(ready.begin(), ready.end(),
            [](const auto& a, const auto& b) { return a.second->turn < b.second->turn; });
  if (ready.size() > max) ready.resize(max);
  for (auto& [of, member] : ready) {
    events->events = Sim().MemberEvents(*of, *member);
    events++->data.u64 = member->token;
    member->taken = Sim().Signature(*of);
    member->turn = Sim().next_serial_++;
    if ((member->events & EPOLLONESHOT) != 0) member->events = 0;
  }
  return static_cast<int>(ready.size());
}

bool EpollTakeMayMiss() { return true; }

int EpollDelete(int epoll, int fd) {
  ENTER();
  const auto file = Sim().File(epoll);
  const auto member = Sim().File(fd);
  if (file == nullptr || member == nullptr) return -EBADF;
  if (file->kind != Kind::kEpoll) return -EINVAL;
  return file->members.erase({fd, member.get()}) != 0 ? 0 : -ENOENT;
}

int ArmTimerfd(int timerfd, uint64_t moment, bool until_clock_set) {
  ENTER();
  const auto file = Sim().File(timerfd);
  if (file == nullptr) return -EBADF;
  if (file->kind != Kind::kTimerfd) {
    Violation("arms a descriptor that is no timerfd");
    return -EINVAL;
  }
  if (Sim().arming_refused != 0) return -Sim().arming_refused;
  const bool cancelled = file->clock_was_set && until_clock_set;
  file->moment = moment;
  file->until_clock_set = until_clock_set;
  file->clock_was_set = false;
  return cancelled ? -ECANCELED : 0;
}

int Close(int fd) {
  ENTER();
  const auto file = Sim().File(fd);
  if (file == nullptr) {
    Violation("closes a number that is not open");
    return -EBADF;
  }
  Sim().table_.erase(fd);
  if (file->parent_has_it) return 0;
  for (const auto& [number, other] : Sim().table_) {
    if (other == file) return 0;
  }
  // The last descriptor of the file: it leaves every epoll.
  for (const auto& [number, other] : Sim().table_) {
    std::erase_if(other->members,
                  [&](const auto& member) { return member.first.second == file.get(); });
  }
  return 0;
}

int CloseRange(unsigned first, unsigned last, int) {
  ENTER();
  if (first > last) return -EINVAL;
  std::vector<int> numbers;
  for (const auto& [number, file] : Sim().table_) {
    if (static_cast<unsigned>(number) >= first && static_cast<unsigned>(number) <= last) {
      numbers.push_back(number);
    }
  }
  for (const int number : numbers) Close(number);
  return 0;
}

int Duplicate(int fd) { return DuplicateFrom(fd, 0, false); }

int DuplicateFrom(int fd, int lowest, bool) {
  ENTER_FALLIBLE();
  const auto file = Sim().File(fd);
  if (file == nullptr) return -EBADF;
  return Sim().Install(file, lowest < 3 ? 3 : lowest);
}

int DuplicateTo(int fd, int target, int) {
  ENTER_FALLIBLE();
  const auto file = Sim().File(fd);
  if (file == nullptr) return -EBADF;
  if (fd == target) return -EINVAL;
  if (Sim().IsOpen(target)) Close(target);
  Sim().table_[target] = file;
  return target;
}

int DescriptorFlags(int fd) { return Sim().IsOpen(fd) ? FD_CLOEXEC : -EBADF; }

int StatusFlags(int fd) {
  ENTER();
  const auto file = Sim().File(fd);
  return file == nullptr ? -EBADF : file->status_flags;
}

int SetStatusFlags(int fd, int flags) {
  const auto file = Sim().File(fd);
  if (file == nullptr) return -EBADF;
  file->status_flags = flags;
  return 0;
}

int Fcntl(int, int, void*) { return -ENOSYS; }

bool IsReadable(int fd) { return Sim().Readable(fd); }

int Poll(pollfd* descriptors, unsigned count, const timespec* timeout, const sigset_t*) {
  ENTER();
  const uint64_t end =
      timeout == nullptr ? 0 : Sim().Now(CLOCK_MONOTONIC) + core::ToNanoseconds(*timeout);
  for (;;) {
    int ready = 0;
    for (unsigned i = 0; i < count; ++i) {
      descriptors[i].revents = 0;
      if (Sim().Readable(descriptors[i].fd)) descriptors[i].revents = POLLIN;
      if (!Sim().IsOpen(descriptors[i].fd)) descriptors[i].revents = POLLNVAL;
      if (descriptors[i].revents != 0) ++ready;
    }
    const uint64_t now = Sim().Now(CLOCK_MONOTONIC);
    if (ready != 0 || (timeout != nullptr && now >= end)) return ready;
    uint64_t next = Sim().NextMoment();
    if (timeout != nullptr && (next == 0 || end < next)) next = end;
    if (next == 0) {
      Violation("sleeps for ever");
      return -EINTR;
    }
    Sim().Advance(next - now);
  }
}

// ---- Sleeping ---------------------------------------------------------------

void Pause() {
  if (Sim().when_pausing) return Sim().when_pausing();
  Violation("waits for another thread, alone");
}

int FutexWait(const std::atomic<uint32_t>*, uint32_t, const timespec*) {
  if (Sim().when_waiting) return Sim().when_waiting();
  Violation("sleeps as a follower, alone");
  return -EINTR;
}

int FutexWaitCancellably(const std::atomic<uint32_t>* word, uint32_t expected,
                         const timespec* deadline) {
  return FutexWait(word, expected, deadline);
}

int FutexWaitCancellablyRestarted(const std::atomic<uint32_t>* word, uint32_t expected) {
  return FutexWait(word, expected, nullptr);
}

void FutexWake(const std::atomic<uint32_t>*) { ENTER(); }
void FutexWakeAll(const std::atomic<uint32_t>*) { ENTER(); }

SignalSet BlockAllSignals() {
  ENTER();
  return Sim().blocked_signals;
}

void RestoreSignals(SignalSet) { ENTER(); }

int ThreadPriority() { return 0; }

bool ThreadIdIsKnown() { return true; }

bool ProcessExists(int) { return true; }

int ProcessId() { return Sim().process_id(); }

bool HasAnotherTableThan(int) { return Sim().own_table; }

int AtForkInChild(void (*handler)()) {
  ENTER_FALLIBLE();
  Sim().fork_handler_ = handler;
  return 0;
}

int StartThread(void (*body)(void*), void* argument, const char*) {
  ENTER_FALLIBLE();
  if (Sim().no_threads) return -EAGAIN;
  Sim().thread_ = body;
  Sim().thread_argument_ = argument;
  if (Sim().when_started) Sim().when_started();
  return 7777;
}

namespace {
constexpr int kAlarmOfThread = 1 << 20;
}

int ThreadId() { return 7777; }

int CreateAlarm(clockid_t clock, int, int value, int* alarm) {
  if (value < 0) {  // the thread's own, which begins with every delivery
    *alarm = kAlarmOfThread;
    Sim().alarms_[*alarm] = {clock, value, 0, false};
    return 0;
  }
  ENTER_FALLIBLE();
  *alarm = Sim().next_alarm_++;
  Sim().alarms_[*alarm] = {clock, value, 0, false};
  return 0;
}

int ArmAlarm(int alarm, uint64_t moment) {
  ENTER();
  const auto found = Sim().alarms_.find(alarm);
  if (found == Sim().alarms_.end()) {
    Violation("arms an alarm that does not exist");
    return -EINVAL;
  }
  if (found->second.thread_ended) return -ESRCH;
  found->second.moment = moment;
  return 0;
}

void DeleteAlarm(int alarm) {
  ENTER();
  if (Sim().alarms_.erase(alarm) == 0) Violation("deletes an alarm that does not exist");
}

// The thread's body returns when there is nothing more to do, and is called
// again by the next delivery.
int WaitForAlarm(int* value, const timespec*) {
  ENTER();
  if (Sim().fired_alarms_.empty()) return -ECANCELED;
  *value = Sim().fired_alarms_.back();
  Sim().fired_alarms_.pop_back();
  return 0;
}

}  // namespace kevent::sys
