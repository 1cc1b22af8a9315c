// SPDX-License-Identifier: MIT
//
// What does the queue cost beside timers?  Sockets through kevent_get_events
// and through a bare epoll, each event with the write that makes it and the
// read that takes it; events collected through the ring and through
// kevent_get_events; and timers in a queue with idle kevents and in one
// without.  The two sides of each line run in turns; what is shown are medians of
// the CPU time of the process, and the median of the ratios of the turns.

#include <absl/flags/flag.h>
#include <kevent/kevent.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bench/goals.h"
#include "bench/side_by_side.h"
#include "tools/support/command_line.h"

ABSL_FLAG(bool, quick, false, "11 rounds instead of 41: a quarter of the time");
ABSL_FLAG(bool, smoke, false, "one round of fewer events, to see that none is lost; no times");
ABSL_FLAG(std::string, goals, "",
          "append the table of what is wanted to this file (it is not written)");

namespace {

using kevent::bench::Compare;
using kevent::bench::Must;
using kevent::bench::Nanoseconds;
using kevent::bench::Side;

constexpr unsigned kBatch = 256;

ukevent Request(uint32_t type, uint64_t id, uint32_t event, uint32_t req_flags = 0) {
  ukevent request = {};
  request.id.raw_u64 = id;
  request.type = type;
  request.event = event;
  request.req_flags = req_flags;
  return request;
}

void Add(int queue, ukevent request) {
  Must(kevent_ctl(queue, KEVENT_CTL_ADD, 1, &request) == 0, "kevent_ctl");
}

// ---- Sockets --------------------------------------------------------------------

// Datagram sockets on loopback, and one that sends to them: one descriptor each.
class Sockets {
 public:
  explicit Sockets(size_t count) : sender_(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    Must(sender_ >= 0, "socket");
    for (size_t i = 0; i < count; ++i) {
      const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
      Must(fd >= 0, "socket");
      sockaddr_in name = {};
      name.sin_family = AF_INET;
      name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      socklen_t size = sizeof name;
      Must(bind(fd, reinterpret_cast<sockaddr*>(&name), size) == 0 &&
               getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size) == 0,
           "bind");
      sockets_.push_back(fd);
      names_.push_back(name);
    }
  }
  ~Sockets() {
    close(sender_);
    for (const int fd : sockets_) close(fd);
  }
  Sockets(const Sockets&) = delete;
  Sockets& operator=(const Sockets&) = delete;

  const std::vector<int>& all() const { return sockets_; }
  void SendTo(size_t i) const {
    Must(sendto(sender_, "x", 1, 0, reinterpret_cast<const sockaddr*>(&names_[i % names_.size()]),
                sizeof names_[0]) == 1,
         "sendto");
  }
  static void Receive(int fd) {
    char byte;
    Must(read(fd, &byte, 1) == 1, "read");
  }

 private:
  const int sender_;
  std::vector<int> sockets_;
  std::vector<sockaddr_in> names_;
};

// So many sockets at a time get a datagram each; all are collected and read.
double RunSockets(const Sockets& sockets, unsigned burst, const std::function<int(int*)>& wait) {
  const size_t events = absl::GetFlag(FLAGS_smoke) ? 640 : 12'800;
  constexpr size_t kStride = 7919;  // a prime: neighbours are far apart
  std::array<int, kBatch> ready;
  static size_t next = 0;
  const double begin = Nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
  for (size_t done = 0; done < events; done += burst) {
    for (unsigned i = 0; i < burst; ++i) sockets.SendTo(next += kStride);
    for (unsigned left = burst; left > 0;) {
      const int count = wait(ready.data());
      Must(count > 0, "an event is lost");
      for (int i = 0; i < count; ++i) Sockets::Receive(ready[static_cast<size_t>(i)]);
      left -= static_cast<unsigned>(count);
    }
  }
  return (Nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - begin) / static_cast<double>(events);
}

double ThroughQueue(const Sockets& sockets, unsigned burst, bool edge) {
  const int queue = kevent_init(nullptr, 0, 0);
  for (const int fd : sockets.all()) {
    Add(queue, Request(KEVENT_SOCKET, static_cast<uint64_t>(fd), KEVENT_SOCKET_RECV,
                       edge ? KEVENT_REQ_ET : 0));
  }
  const double cost = RunSockets(sockets, burst, [queue](int* ready) {
    std::array<ukevent, kBatch> events;
    const timespec patience = {10, 0};
    const int count = kevent_get_events(queue, 1, kBatch, &patience, events.data(), 0);
    for (int i = 0; i < count; ++i)
      ready[i] = static_cast<int>(events[static_cast<size_t>(i)].id.raw[0]);
    return count;
  });
  close(queue);
  return cost;
}

double ThroughEpoll(const Sockets& sockets, unsigned burst, bool edge) {
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  for (const int fd : sockets.all()) {
    epoll_event event = {.events = EPOLLIN | (edge ? EPOLLET : 0u), .data = {.fd = fd}};
    Must(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0, "epoll_ctl");
  }
  const double cost = RunSockets(sockets, burst, [epoll](int* ready) {
    std::array<epoll_event, kBatch> events;
    const int count = epoll_wait(epoll, events.data(), kBatch, 10'000);
    for (int i = 0; i < count; ++i) ready[i] = events[static_cast<size_t>(i)].data.fd;
    return count;
  });
  close(epoll);
  return cost;
}

// Sockets that this process may have, beside the other descriptors that it needs.
bool Allowed(size_t sockets) {
  rlimit limit;
  Must(getrlimit(RLIMIT_NOFILE, &limit) == 0, "getrlimit");
  return sockets + 100 <= limit.rlim_cur;
}

void CompareSockets(int rounds, const kevent::bench::Goals& goals) {
  for (const size_t count : {size_t{1'000}, size_t{10'000}}) {
    const bool allowed = Allowed(count);
    const Sockets sockets(allowed ? count : 1);
    for (const unsigned burst : {1u, 64u}) {
      for (const bool edge : {false, true}) {
        const std::string what = std::to_string(count) + " sockets, " + (edge ? "edge" : "level") +
                                 ", " + std::to_string(burst) + " at a time";
        std::optional<double> ratio;
        if (allowed) {
          const Side ours = {"kevent_get_events",
                             [&] { return ThroughQueue(sockets, burst, edge); }};
          const Side epoll = {"epoll_wait", [&] { return ThroughEpoll(sockets, burst, edge); }};
          ratio = 1 / Compare(what, ours, epoll, rounds);
        } else {
          std::printf("| %-44s | RLIMIT_NOFILE is too low\n", what.c_str());
        }
        goals.AtLeast(what, "epoll", burst == 1 ? 0.94 : 0.97, ratio);
      }
    }
  }
}

// ---- The ring ---------------------------------------------------------------------

// Timers in the past, collected by so many at a time.
class DueTimers {
 public:
  explicit DueTimers(int queue, size_t count = kBatch) : timers_(count) {
    sigevent request;
    kevent_sigevent(&request, queue, this);
    for (timer_t& timer : timers_) {
      Must(timer_create(CLOCK_MONOTONIC, &request, &timer) == 0, "timer_create");
    }
  }
  ~DueTimers() {
    for (const timer_t timer : timers_) timer_delete(timer);
  }
  DueTimers(const DueTimers&) = delete;
  DueTimers& operator=(const DueTimers&) = delete;

  void Expire() const {
    const itimerspec past = {{0, 0}, {0, 1}};
    for (const timer_t timer : timers_) timer_settime(timer, TIMER_ABSTIME, &past, nullptr);
  }
  size_t size() const { return timers_.size(); }

 private:
  std::vector<timer_t> timers_;
};

constexpr size_t kRounds = 200;

uintptr_t g_sum;  // of the cookies: that they were read

// The consumer's part alone: what it costs to have the events.
double RunEvents(bool ring, unsigned batch) {
  auto* memory = static_cast<kevent_ring*>(
      std::calloc(1, sizeof(kevent_ring) + size_t{2} * kBatch * sizeof(ukevent)));
  const int queue = ring ? kevent_init(memory, 2 * kBatch, 0) : kevent_init(nullptr, 0, 0);
  Must(queue >= 0, "kevent_init");
  double cost = 0;
  {
    const DueTimers timers(queue);
    unsigned index = 0;
    for (size_t round = 0; round < kRounds; ++round) {
      timers.Expire();
      const double begin = Nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
      for (size_t left = timers.size(); left > 0;) {
        int count;
        if (ring) {
          // As many as there are, for one call.
          count = kevent_wait(queue, kBatch, index, nullptr, 0);
          Must(count > 0, "kevent_wait");
          for (int i = 0; i < count; ++i) {
            g_sum += reinterpret_cast<uintptr_t>(memory->event[index].ptr);
            index = (index + 1) % (2 * kBatch);
          }
          Must(kevent_commit(queue, index, memory->ring_over) == count, "kevent_commit");
        } else {
          std::array<ukevent, kBatch> events;
          count = kevent_get_events(queue, 1, batch, nullptr, events.data(), 0);
          Must(count > 0, "kevent_get_events");
          for (int i = 0; i < count; ++i) {
            g_sum += reinterpret_cast<uintptr_t>(events[static_cast<size_t>(i)].ptr);
          }
        }
        left -= static_cast<size_t>(count);
      }
      cost += Nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - begin;
    }
    cost /= static_cast<double>(kRounds * timers.size());
  }
  close(queue);
  std::free(memory);
  return cost;
}

void CompareRing(int rounds) {
  for (const unsigned batch : {1u, 16u, kBatch}) {
    Compare("the ring, beside batches of " + std::to_string(batch),
            {"kevent_wait", [] { return RunEvents(true, kBatch); }},
            {"kevent_get_events", [batch] { return RunEvents(false, batch); }}, rounds);
  }
}

// ---- Idle kevents -------------------------------------------------------------------

// Sets timers again, 10 s ahead, and looks after every 256, as kevbench's re-arm does.
double RunRearm(bool idle_kevents) {
  const int queue = kevent_init(nullptr, 0, 0);
  std::array<int, 2> ends;
  Must(pipe(ends.data()) == 0, "pipe");
  if (idle_kevents) {
    for (uint64_t i = 0; i < 1'000; ++i) Add(queue, Request(KEVENT_UNOTIFY, i, 1));
    Add(queue, Request(KEVENT_PIPE, static_cast<uint64_t>(ends[0]), KEVENT_SOCKET_RECV));
  }
  constexpr size_t kTimers = 10'000;
  constexpr size_t kSettings = 200'000;
  double cost;
  {
    sigevent request;
    kevent_sigevent(&request, queue, nullptr);
    std::vector<timer_t> timers(kTimers);
    for (timer_t& timer : timers) {
      Must(timer_create(CLOCK_MONOTONIC, &request, &timer) == 0, "timer_create");
    }
    std::array<ukevent, kBatch> events;
    uint64_t random = 1;
    const double begin = Nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
    for (size_t i = 0; i < kSettings; ++i) {
      random = random * 6364136223846793005 + 1442695040888963407;
      const itimerspec ahead = {{0, 0}, {10 + static_cast<time_t>(random >> 58), 0}};
      timer_settime(timers[(random >> 33) % kTimers], 0, &ahead, nullptr);
      if (i % 256 == 255) kevent_get_events(queue, 0, kBatch, nullptr, events.data(), 0);
    }
    cost = (Nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - begin) / kSettings;
    for (const timer_t timer : timers) timer_delete(timer);
  }
  close(queue);
  close(ends[0]);
  close(ends[1]);
  return cost;
}

enum class Idle { kNone, kUserEvents, kDescriptor };

// Timers that are due at once, armed and collected by so many at a time: what a
// collection costs beside kevents to which nothing happens.
double RunDue(unsigned batch, Idle idle) {
  const int queue = kevent_init(nullptr, 0, 0);
  std::array<int, 2> ends;
  Must(pipe(ends.data()) == 0, "pipe");
  if (idle == Idle::kUserEvents) {
    for (uint64_t i = 0; i < 1'000; ++i) Add(queue, Request(KEVENT_UNOTIFY, i, 1));
  } else if (idle == Idle::kDescriptor) {
    Add(queue, Request(KEVENT_PIPE, static_cast<uint64_t>(ends[0]), KEVENT_SOCKET_RECV));
  }
  constexpr size_t kTimers = 25'600;
  double cost;
  {
    const DueTimers timers(queue, batch);
    std::array<ukevent, kBatch> events;
    const double begin = Nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
    for (size_t done = 0; done < kTimers; done += batch) {
      timers.Expire();
      const int count = kevent_get_events(queue, 1, kBatch, nullptr, events.data(), 0);
      Must(count == static_cast<int>(batch), "kevent_get_events");
    }
    cost = (Nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - begin) / kTimers;
  }
  close(queue);
  close(ends[0]);
  close(ends[1]);
  return cost;
}

void CompareIdle(int rounds) {
  Compare("timers set again, beside 1 001 idle kevents", {"with", [] { return RunRearm(true); }},
          {"without", [] { return RunRearm(false); }}, rounds);
  for (const unsigned batch : {1u, 4u, 16u, kBatch}) {
    const std::string what = std::to_string(batch) + " due at a time, beside ";
    const auto with = [batch](Idle idle) {
      return Side{"with", [batch, idle] { return RunDue(batch, idle); }};
    };
    const Side without = {"without", [batch] { return RunDue(batch, Idle::kNone); }};
    Compare(what + "1 000 user events", with(Idle::kUserEvents), without, rounds);
    Compare(what + "an idle pipe", with(Idle::kDescriptor), without, rounds);
  }
}

}  // namespace

int main(int count, char** arguments) {
  kevent::tools::ParseCommandLine(
      count, arguments,
      "Measures what the queue costs beside timers: sockets by kevent_get_events and by a bare\n"
      "epoll, events by the ring and by kevent_get_events, timers with idle kevents and without.\n"
      "Prints the CPU time, in nanoseconds, of an event or a setting, and the ratio of the two.");
  const bool smoke = absl::GetFlag(FLAGS_smoke);
  const int rounds = smoke ? 1 : absl::GetFlag(FLAGS_quick) ? 11 : 41;
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  kevent::bench::PrintHeadings();
  CompareSockets(rounds, kevent::bench::Goals(absl::GetFlag(FLAGS_goals)));
  CompareRing(rounds);
  CompareIdle(rounds);
  return 0;
}
