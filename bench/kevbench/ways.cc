// SPDX-License-Identifier: MIT

#include "bench/kevbench/ways.h"

#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "bench/kevbench/makers.h"

namespace kevbench {

const std::vector<WayInfo>& Ways() {
#ifndef KEVBENCH_LIBUV
  constexpr std::unique_ptr<Way> (*MakeLibuv)(Recorder*) = nullptr;
#endif
#ifndef KEVBENCH_LIBEVENT
  constexpr std::unique_ptr<Way> (*MakeLibevent)(Recorder*) = nullptr;
#endif
#ifndef KEVBENCH_LIBEV
  constexpr std::unique_ptr<Way> (*MakeLibev)(Recorder*) = nullptr;
#endif
#ifndef KEVBENCH_ASIO
  constexpr std::unique_ptr<Way> (*MakeAsio)(Recorder*) = nullptr;
#endif
#ifndef KEVBENCH_DPDK
  constexpr std::unique_ptr<Way> (*MakeRteTimer)(Recorder*) = nullptr;
#endif
#ifndef KEVBENCH_IO_URING
  constexpr std::unique_ptr<Way> (*MakeIoUring)(Recorder*) = nullptr;
#endif
  static const std::vector<WayInfo>* const kWays = new std::vector<WayInfo>{
      {"libkevent", "", Kind::kLibkevent, MakeKevent},
      {"libkevent, batches", "", Kind::kLibkeventBatches, MakeKeventBatches},
      {"libkevent, each ms", "", Kind::kLibkeventSeldom, MakeKeventEachMillisecond},
      {"sigwaitinfo", "", Kind::kKernel, MakePosixSigwaitinfo},
      {"handler", "", Kind::kKernel, MakePosixHandler, "sigwaitinfo"},
      {"signalfd", "", Kind::kKernel, MakePosixSignalfd, "sigwaitinfo"},
      {"SIGEV_THREAD", "", Kind::kKernel, MakePosixThread},
      {"timerfd", "", Kind::kKernel, MakeTimerfdEpoll},
      {"io_uring", "liburing-dev", Kind::kKernel, MakeIoUring},
      {"libuv", "libuv1-dev", Kind::kLoop, MakeLibuv},
      {"libevent", "libevent-dev", Kind::kLoop, MakeLibevent},
      {"libev", "libev-dev", Kind::kLoop, MakeLibev},
      {"Asio", "libasio-dev", Kind::kLoop, MakeAsio},
      {"rte_timer", "libdpdk-dev", Kind::kPoller, MakeRteTimer},
  };
  return *kWays;
}

void Check(bool holds, absl::string_view what) {
  if (holds) return;
  std::fprintf(stderr, "kevbench: %.*s (errno: %s)\n", static_cast<int>(what.size()), what.data(),
               std::strerror(errno));
  std::exit(EXIT_FAILURE);
}

void RaiseLimits() {
  rlim_t most = 0;
  std::ifstream("/proc/sys/fs/nr_open") >> most;
  for (const auto resource : {RLIMIT_NOFILE, RLIMIT_SIGPENDING}) {
    rlimit limit;
    if (getrlimit(resource, &limit) != 0) continue;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(resource, &limit);
    if (resource != RLIMIT_NOFILE || limit.rlim_max >= most) continue;
    limit.rlim_cur = limit.rlim_max = most;
    setrlimit(resource, &limit);
  }
}

}  // namespace kevbench
