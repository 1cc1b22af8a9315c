// SPDX-License-Identifier: MIT
//
// What does a message cost a server of a thousand connections by transfers of the queue, beside
// epoll with recv and send, and beside an io_uring?  And a file of 1 MiB by aio_sendfile, beside
// epoll with sendfile?  The clients are another process.  What is shown is CPU time of the thread
// that serves, in turns, and the median of the ratios of the turns.

#include <absl/flags/flag.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "bench/goals.h"
#include "bench/side_by_side.h"
#include "bench/transferbench/clients.h"
#include "bench/transferbench/servers.h"
#include "tools/support/command_line.h"

ABSL_FLAG(bool, quick, false, "5 rounds instead of 21: a quarter of the time");
ABSL_FLAG(bool, smoke, false, "one round of few messages, to see that each is right; no times");
ABSL_FLAG(std::string, only, "", "only the loads whose names have this text");
ABSL_FLAG(std::string, goals, "",
          "append the table of what is wanted to this file (it is not written)");

namespace transferbench {
namespace {

using kevent::bench::Compare;
using kevent::bench::Nanoseconds;
using kevent::bench::Side;

struct Load {
  const char* what;
  size_t connections;
  size_t asks;     // bytes
  size_t answers;  // bytes
  unsigned turns;
};

// CPU time of the server for a message.
double Run(const Load& load, const Serve& serve) {
  const Connections connections(absl::GetFlag(FLAGS_smoke) ? 50 : load.connections);
  const unsigned turns = absl::GetFlag(FLAGS_smoke) ? 2 : load.turns;
  std::fflush(stdout);
  const pid_t child = fork();
  Must(child >= 0, "fork");
  if (child == 0) {
    Clients(connections, load.asks, load.answers, turns).Run();
    _exit(EXIT_SUCCESS);
  }
  const size_t messages = connections.all().size() * turns;
  const double begin = Nanoseconds(CLOCK_THREAD_CPUTIME_ID);
  serve(connections.all(), load.asks, messages);
  const double cost =
      (Nanoseconds(CLOCK_THREAD_CPUTIME_ID) - begin) / static_cast<double>(messages);
  int status;
  Must(waitpid(child, &status, 0) == child && status == 0, "the clients");
  return cost;
}

bool IsChosen(const Load& load) {
  return std::string(load.what).find(absl::GetFlag(FLAGS_only)) != std::string::npos;
}

void RaiseLimit() {
  rlimit limit;
  Must(getrlimit(RLIMIT_NOFILE, &limit) == 0, "getrlimit");
  limit.rlim_cur = limit.rlim_max;
  Must(setrlimit(RLIMIT_NOFILE, &limit) == 0, "setrlimit");
}

void MeasureAll() {
  const int rounds = absl::GetFlag(FLAGS_smoke) ? 1 : absl::GetFlag(FLAGS_quick) ? 5 : 21;
  const kevent::bench::Goals goals(absl::GetFlag(FLAGS_goals));
  RaiseLimit();
  Buffers(1, 1);  // the room is made
  kevent::bench::PrintHeadings();
  const Load echoes[] = {
      {"an echo of 64 bytes, 1 000 connections", 1'000, 64, 64, 40},
      {"an echo of 64 KiB, 1 000 connections", 1'000, 64 << 10, 64 << 10, 4},
  };
  for (const Load& load : echoes) {
    if (!IsChosen(load)) continue;
    const Side ours = {"kevent_transfers", [&] { return Run(load, EchoByTransfers); }};
    const Side calls = {"aio_recv, aio_send", [&] { return Run(load, EchoByCalls); }};
    const Side epoll = {"epoll, recv, send", [&] { return Run(load, EchoByEpoll); }};
    goals.AtLeast(load.what, "epoll", 0.91, 1 / Compare(load.what, ours, epoll, rounds));
    Compare(load.what, calls, epoll, rounds);
#if KEVENT_HAVE_LIBURING
    Compare(load.what, ours, {"io_uring", [&] { return Run(load, EchoByRing); }}, rounds);
#endif
  }
  const Load files = {"a file of 1 MiB, 16 connections", 16, 64, kFileBytes, 40};
  if (!IsChosen(files)) return;
  const Side ours = {"SENDFILE", [&] { return Run(files, FilesByTransfers); }};
  const Side epoll = {"epoll, sendfile", [&] { return Run(files, FilesByEpoll); }};
  goals.AtLeast(files.what, "epoll, sendfile", 0.952, 1 / Compare(files.what, ours, epoll, rounds));
}

}  // namespace
}  // namespace transferbench

int main(int argc, char** argv) {
  kevent::tools::ParseCommandLine(
      argc, argv,
      "Measures what a message of a thousand connections, and a file of 1 MiB, cost a server that\n"
      "transfers by the queue, beside epoll with recv, send and sendfile, and beside an io_uring.\n"
      "Prints CPU time of the thread that serves, in nanoseconds, and the ratio of the two.  "
      "Exits\n"
      "with 1 if a byte is lost.");
  transferbench::MeasureAll();
}
