// SPDX-License-Identifier: MIT
//
// What does a loop of libev cost on a queue, by examples/backends/ev_kevent.c, beside its own
// backend for epoll?  A byte goes from pipe to pipe, by itself or with others; and watchers are
// stopped and started for each byte.  Prints CPU time, in nanoseconds, of a byte.

#include <ev.h>
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "bench/goals.h"
#include "bench/side_by_side.h"

namespace {

using kevent::bench::Must;
using kevent::bench::Nanoseconds;

constexpr size_t kPipes = 1000;

class Ring {
 public:
  Ring(unsigned backend, bool restarts) : loop_(ev_loop_new(backend)), restarts_(restarts) {
    Must(loop_ != nullptr && ev_backend(loop_) == backend, "ev_loop_new");
    for (size_t i = 0; i < kPipes; ++i) {
      Pipe& pipe = pipes_[i];
      std::array<int, 2> ends;
      Must(pipe2(ends.data(), O_NONBLOCK | O_CLOEXEC) == 0, "pipe2");
      pipe.in = ends[1];
      pipe.next = &pipes_[(i + 1) % kPipes];
      pipe.ring = this;
      ev_io_init(&pipe.out, OnByte, ends[0], EV_READ);
      pipe.out.data = &pipe;
      ev_io_start(loop_, &pipe.out);
    }
  }
  ~Ring() {
    for (Pipe& pipe : pipes_) {
      ev_io_stop(loop_, &pipe.out);
      close(pipe.out.fd);
      close(pipe.in);
    }
    ev_loop_destroy(loop_);
  }
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  // CPU time of one byte, of so many that are under way at a time and go so far in all.
  double Cost(size_t at_a_time, size_t in_all) {
    steps_ = 0;
    left_ = in_all - at_a_time;
    const double begin = Nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
    for (size_t i = 0; i < at_a_time; ++i) Send(pipes_[i * (kPipes / at_a_time)]);
    while (steps_ < in_all) ev_run(loop_, EVRUN_ONCE);
    const double cost = Nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - begin;
    Must(steps_ == in_all, "a byte has come that was not sent");
    return cost / static_cast<double>(in_all);
  }

 private:
  struct Pipe {
    ev_io out;
    int in;
    Pipe* next;
    Ring* ring;
  };

  static void Send(const Pipe& pipe) { Must(write(pipe.in, "", 1) == 1, "write"); }

  static void OnByte(struct ev_loop* loop, ev_io* io, int) {
    const Pipe& pipe = *static_cast<Pipe*>(io->data);
    Ring& ring = *pipe.ring;
    char byte;
    Must(read(io->fd, &byte, 1) == 1, "a pipe was reported that is empty");
    ring.steps_++;
    // The loop learns of the stop in the next turn, in which the watcher of the pipe before starts
    // this one again.
    if (ring.restarts_) {
      ev_io_stop(loop, io);
      ev_io_start(loop, &pipe.next->out);
    }
    if (ring.left_ == 0) return;
    ring.left_--;
    Send(*pipe.next);
  }

  struct ev_loop* const loop_;
  const bool restarts_;
  std::array<Pipe, kPipes> pipes_;
  size_t steps_ = 0;
  size_t left_ = 0;
};

[[noreturn]] void Usage(std::FILE* out, int status) {
  std::fputs(
      "usage: loop_bench [--quick] [--goals=FILE]\n\n"
      "Measures what a byte costs that goes through a loop of libev, on a queue and on epoll.\n\n"
      "  --quick       7 rounds instead of 21\n"
      "  --goals=FILE  append the table of what is wanted to this file\n"
      "  --help        print this and exit\n",
      out);
  std::exit(status);
}

}  // namespace

int main(int argc, char** argv) {
  int rounds = 21;
  std::string file;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--help") Usage(stdout, 0);
    if (argument == "--quick") {
      rounds = 7;
    } else if (argument.rfind("--goals=", 0) == 0) {
      file = argument.substr(8);
    } else {
      std::fprintf(stderr, "loop_bench: unknown argument '%s'\n", argument.c_str());
      Usage(stderr, 2);
    }
  }
  const kevent::bench::Goals goals(file);
  struct {
    const char* what;
    size_t at_a_time;
    bool restarts;
    double wanted;
  } const kinds[] = {
      {"libev, 1000 pipes, 1 at a time", 1, false, 0.92},
      {"libev, 1000 pipes, 100 at a time", 100, false, 0.92},
      {"libev, 1000 pipes, watchers restarted", 1, true, 0.6},
  };
  kevent::bench::PrintHeadings();
  for (const auto& kind : kinds) {
    constexpr size_t kBytes = 50'000;
    const auto ours = std::make_unique<Ring>(EVBACKEND_KEVENT, kind.restarts);
    const auto epolls = std::make_unique<Ring>(EVBACKEND_EPOLL, kind.restarts);
    const double ratio = kevent::bench::Compare(
        kind.what, {"kevent", [&] { return ours->Cost(kind.at_a_time, kBytes); }},
        {"epoll", [&] { return epolls->Cost(kind.at_a_time, kBytes); }}, rounds);
    goals.AtLeast(kind.what, "epoll", kind.wanted, 1 / ratio);
  }
}
