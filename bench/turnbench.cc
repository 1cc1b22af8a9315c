// SPDX-License-Identifier: MIT
//
// What does a server of one client pay for the queue?  A turn that sleeps: a request comes when the
// server waits for it, and is answered; both sides are on one CPU, so that neither runs beside the
// other.  And a descriptor that is registered, changed and removed by itself, a call each.  Through
// kevents and through a bare epoll, in turns; what is shown are medians of the CPU time of the
// thread that serves, and the median of the ratios of the turns.  The system calls that the engine
// makes for that are measured by themselves, too: the floor of what it can cost with these.

#include <absl/flags/flag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "bench/goals.h"
#include "bench/pollers.h"
#include "bench/side_by_side.h"
#include "tools/support/command_line.h"

ABSL_FLAG(bool, quick, false, "11 rounds instead of 41: a quarter of the time");
ABSL_FLAG(bool, smoke, false, "one round of few turns, to see that each is right; no times");
ABSL_FLAG(std::string, goals, "",
          "append the table of what is wanted to this file (it is not written)");

namespace {

using kevent::bench::BareCalls;
using kevent::bench::Compare;
using kevent::bench::Epoll;
using kevent::bench::kReady;
using kevent::bench::Must;
using kevent::bench::Nanoseconds;
using kevent::bench::Poller;
using kevent::bench::Queue;
using kevent::bench::Side;

constexpr int kPatience = 10;  // seconds
constexpr size_t kRunsInVain = 40;

// ---- Turns that sleep --------------------------------------------------------------

void Send(int fd, uint8_t byte) { Must(write(fd, &byte, 1) == 1, "write"); }
uint8_t Receive(int fd) {
  uint8_t byte;
  Must(read(fd, &byte, 1) == 1, "read");
  return byte;
}

// A server's descriptor and its client's.
class Connection {
 public:
  explicit Connection(bool tcp) {
    if (!tcp) {
      std::array<int, 2> ends;
      Must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0, "socketpair");
      server = ends[0];
      client = ends[1];
      return;
    }
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in name = {};
    name.sin_family = AF_INET;
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof name;
    auto* const address = reinterpret_cast<sockaddr*>(&name);
    Must(bind(listener, address, size) == 0 && listen(listener, 1) == 0 &&
             getsockname(listener, address, &size) == 0,
         "listen");
    client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    Must(connect(client, address, size) == 0, "connect");
    server = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    Must(server >= 0, "accept4");
    close(listener);
    for (const int fd : {server, client}) {
      const int yes = 1;
      Must(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes) == 0, "TCP_NODELAY");
    }
  }
  ~Connection() {
    close(server);
    close(client);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  int server;
  int client;
};

// The client's part of so many turns.  Of SCHED_IDLE, it does not take the CPU from the server when
// it is woken, so the server goes on and sleeps before the next request can come.
void Ask(const Connection& connection, size_t turns) {
  const sched_param none = {};
  Must(sched_setscheduler(0, SCHED_IDLE, &none) == 0, "SCHED_IDLE");
  Receive(connection.client);  // the server is about to wait
  for (size_t i = 0; i < turns; ++i) {
    Send(connection.client, static_cast<uint8_t>(i));
    Must(Receive(connection.client) == static_cast<uint8_t>(~i), "an answer is another's");
  }
}

// Keeps this thread, and what it starts, on one CPU.
class OnOneCpu {
 public:
  OnOneCpu() {
    Must(sched_getaffinity(0, sizeof before_, &before_) == 0, "sched_getaffinity");
    size_t first = 0;
    while (!CPU_ISSET(first, &before_)) ++first;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    Must(sched_setaffinity(0, sizeof one, &one) == 0, "sched_setaffinity");
  }
  ~OnOneCpu() { sched_setaffinity(0, sizeof before_, &before_); }
  OnOneCpu(const OnOneCpu&) = delete;
  OnOneCpu& operator=(const OnOneCpu&) = delete;

 private:
  cpu_set_t before_;
};

// CPU time of the server's part of a turn; none if turns have not slept, since something else took
// the CPU from the server in between.
std::optional<double> Serve(Poller& poller, const Connection& connection, size_t turns) {
  const auto sleeps = [] {
    rusage usage;
    Must(getrusage(RUSAGE_THREAD, &usage) == 0, "getrusage");
    return static_cast<size_t>(usage.ru_nvcsw);
  };
  std::array<int, kReady> ready;
  const size_t slept = sleeps();
  const double begin = Nanoseconds(CLOCK_THREAD_CPUTIME_ID);
  for (size_t i = 0; i < turns; ++i) {
    Must(poller.Wait(kPatience, ready.data()) == 1 && ready[0] == connection.server,
         "a request is lost");
    Must(Receive(connection.server) == static_cast<uint8_t>(i), "a request is another's");
    Send(connection.server, static_cast<uint8_t>(~i));
  }
  const double cost = (Nanoseconds(CLOCK_THREAD_CPUTIME_ID) - begin) / static_cast<double>(turns);
  if (sleeps() - slept < turns - turns / 20) return std::nullopt;
  return cost;
}

std::optional<double> RunTurns(bool process, const std::function<Poller*()>& make) {
  const size_t turns = absl::GetFlag(FLAGS_smoke) ? 200 : 3'000;
  const OnOneCpu one;
  const Connection connection(process);
  const Connection idle(process);
  const auto serve = [&] {
    const std::unique_ptr<Poller> poller(make());
    poller->Add(idle.server);
    poller->Add(connection.server);
    Send(connection.server, 0);
    return Serve(*poller, connection, turns);
  };
  if (!process) {
    std::thread thread([&] { Ask(connection, turns); });
    const std::optional<double> cost = serve();
    thread.join();
    return cost;
  }
  const pid_t child = fork();
  Must(child >= 0, "fork");
  if (child == 0) {
    Ask(connection, turns);
    _exit(EXIT_SUCCESS);
  }
  const std::optional<double> cost = serve();
  int status;
  Must(waitpid(child, &status, 0) == child && status == 0, "the client");
  return cost;
}

void CompareTurns(int rounds, const kevent::bench::Goals& goals) {
  struct {
    const char* what;
    bool process;
  } const kinds[] = {
      {"a turn that sleeps, TCP, another process", true},
      {"a turn that sleeps, AF_UNIX, another thread", false},
  };
  for (const auto& kind : kinds) {
    // On a busy machine a run is made again, and a comparison that finds no quiet moment is given
    // up.
    size_t in_vain = 0;
    const auto run = [&](const std::function<Poller*()>& make) {
      std::optional<double> cost;
      while (in_vain < kRunsInVain && !cost) {
        cost = RunTurns(kind.process, make);
        in_vain += cost ? 0 : 1;
      }
      return cost.value_or(1);
    };
    const Side ours = {"kevent_get_events", [&] { return run([] { return new Queue; }); }};
    const Side epoll = {"epoll_wait", [&] { return run([] { return new Epoll; }); }};
    const Side bare = {"its calls, bare", [&] { return run([] { return new BareCalls; }); }};
    const double ratio = Compare(kind.what, ours, epoll, rounds);
    Compare(kind.what, bare, epoll, rounds);
    const bool measured = in_vain < kRunsInVain;
    if (!measured) std::printf("the machine was busy: turns did not sleep\n");
    goals.AtLeast(kind.what, "epoll", 0.92, measured ? std::optional(1 / ratio) : std::nullopt);
  }
}

// ---- One descriptor at a time --------------------------------------------------------

enum Step { kAdd, kModify, kRemove };

class Interests {
 public:
  Interests() {
    for (std::array<int, 2>& ends : pairs_) {
      Must(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()) == 0,
           "socketpair");
    }
  }
  ~Interests() {
    for (const std::array<int, 2>& ends : pairs_) {
      for (const int fd : ends) close(fd);
    }
  }
  Interests(const Interests&) = delete;
  Interests& operator=(const Interests&) = delete;

  // CPU time of one call of this step; the other steps are taken and checked as well.
  double Cost(Poller& poller, Step wanted) const {
    const int times = absl::GetFlag(FLAGS_smoke) ? 1 : 40;
    double cost = 0;
    for (int i = 0; i < times; ++i) {
      for (const Step step : {kAdd, kModify, kRemove}) {
        const double begin = Nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
        for (const std::array<int, 2>& ends : pairs_) Take(poller, step, ends[0]);
        if (step == wanted) cost += Nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - begin;
        Check(poller, step);
      }
    }
    return cost / static_cast<double>(times) / kPairs;
  }

 private:
  static constexpr size_t kPairs = kReady - 1;

  static void Take(Poller& poller, Step step, int fd) {
    switch (step) {
      case kAdd:
        return poller.Add(fd);
      case kModify:
        return poller.MakeEdgeTriggered(fd);
      case kRemove:
        return poller.Remove(fd);
    }
  }

  // A datagram comes to each: what is registered is reported until it is read, what is
  // edge-triggered once, and what was removed not at all.
  void Check(Poller& poller, Step step) const {
    std::array<int, kReady> ready;
    for (const std::array<int, 2>& ends : pairs_) Send(ends[1], 'x');
    const int all = static_cast<int>(kPairs);
    Must(poller.Wait(0, ready.data()) == (step == kRemove ? 0 : all), "an event is lost");
    Must(poller.Wait(0, ready.data()) == (step == kAdd ? all : 0), "an event came twice");
    for (const std::array<int, 2>& ends : pairs_) Receive(ends[0]);
  }

  std::array<std::array<int, 2>, kPairs> pairs_;
};

void CompareInterests(int rounds, const kevent::bench::Goals& goals) {
  struct {
    const char* what;
    const char* ours;
    const char* epolls;
    Step step;
  } const steps[] = {
      {"ADD of one descriptor", "KEVENT_CTL_ADD", "EPOLL_CTL_ADD", kAdd},
      {"MODIFY of one descriptor", "KEVENT_CTL_MODIFY", "EPOLL_CTL_MOD", kModify},
      {"REMOVE of one descriptor", "KEVENT_CTL_REMOVE", "EPOLL_CTL_DEL", kRemove},
  };
  const Interests interests;
  Queue queue;
  BareCalls bare;
  Epoll epoll;
  for (const auto& step : steps) {
    const Side ours = {step.ours, [&] { return interests.Cost(queue, step.step); }};
    const Side other = {step.epolls, [&] { return interests.Cost(epoll, step.step); }};
    goals.AtLeast(step.what, "epoll_ctl", 0.6, 1 / Compare(step.what, ours, other, rounds));
    Compare(step.what, {"its calls, bare", [&] { return interests.Cost(bare, step.step); }}, other,
            rounds);
  }
}

}  // namespace

int main(int argc, char** argv) {
  kevent::tools::ParseCommandLine(
      argc, argv,
      "Measures what a server of one client pays for the queue: turns that sleep, and a "
      "descriptor\n"
      "that is registered, changed and removed by itself, beside a bare epoll.  Prints CPU time,\n"
      "in nanoseconds, of a turn or a call, and the ratio of the two.  Exits with 1 if an event\n"
      "is lost.");
  const int rounds = absl::GetFlag(FLAGS_smoke) ? 1 : absl::GetFlag(FLAGS_quick) ? 11 : 41;
  const kevent::bench::Goals goals(absl::GetFlag(FLAGS_goals));
  kevent::bench::PrintHeadings();
  CompareTurns(rounds, goals);
  CompareInterests(rounds, goals);
}
