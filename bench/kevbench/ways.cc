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
  // Of a library that was not there when this was built there is none.
  using Maker = std::unique_ptr<Way> (*)(Recorder*);
#ifdef KEVBENCH_LIBUV
  constexpr Maker kMakeLibuv = MakeLibuv;
#else
  constexpr Maker kMakeLibuv = nullptr;
#endif
#ifdef KEVBENCH_LIBEVENT
  constexpr Maker kMakeLibevent = MakeLibevent;
#else
  constexpr Maker kMakeLibevent = nullptr;
#endif
#ifdef KEVBENCH_LIBEV
  constexpr Maker kMakeLibev = MakeLibev;
#else
  constexpr Maker kMakeLibev = nullptr;
#endif
#ifdef KEVBENCH_ASIO
  constexpr Maker kMakeAsio = MakeAsio;
#else
  constexpr Maker kMakeAsio = nullptr;
#endif
#ifdef KEVBENCH_DPDK
  constexpr Maker kMakeRteTimer = MakeRteTimer;
#else
  constexpr Maker kMakeRteTimer = nullptr;
#endif
#ifdef KEVBENCH_IO_URING
  constexpr Maker kMakeIoUring = MakeIoUring;
#else
  constexpr Maker kMakeIoUring = nullptr;
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
      {"io_uring", "liburing-dev", Kind::kKernel, kMakeIoUring},
      {"libuv", "libuv1-dev", Kind::kLoop, kMakeLibuv},
      {"libevent", "libevent-dev", Kind::kLoop, kMakeLibevent},
      {"libev", "libev-dev", Kind::kLoop, kMakeLibev},
      {"Asio", "libasio-dev", Kind::kLoop, kMakeAsio},
      {"rte_timer", "libdpdk-dev", Kind::kPoller, kMakeRteTimer},
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
