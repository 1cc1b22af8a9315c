// SPDX-License-Identifier: MIT

#include "bench/kevbench/versions.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include <vector>

#ifdef KEVBENCH_IO_URING
#include <liburing.h>
#endif
#ifdef KEVBENCH_LIBUV
#include <uv/version.h>
#endif
#ifdef KEVBENCH_LIBEVENT
#include <event2/event-config.h>
#endif
#ifdef KEVBENCH_LIBEV
#include <ev.h>
#endif
#ifdef KEVBENCH_ASIO
#include <asio/version.hpp>
#endif

namespace kevbench {

std::string PeerVersions() {
  std::vector<std::string> versions;
#ifdef IO_URING_VERSION_MAJOR
  versions.push_back(
      absl::StrCat("liburing ", IO_URING_VERSION_MAJOR, ".", IO_URING_VERSION_MINOR));
#elif defined(KEVBENCH_IO_URING)
  // Headers before 2.4 do not say.
  versions.push_back("liburing " KEVBENCH_LIBURING_VERSION);
#endif
#ifdef KEVBENCH_LIBUV
  versions.push_back(
      absl::StrCat("libuv ", UV_VERSION_MAJOR, ".", UV_VERSION_MINOR, ".", UV_VERSION_PATCH));
#endif
#ifdef KEVBENCH_LIBEVENT
  versions.push_back(absl::StrCat("libevent ", EVENT__VERSION));
#endif
#ifdef KEVBENCH_LIBEV
  versions.push_back(absl::StrCat("libev ", EV_VERSION_MAJOR, ".", EV_VERSION_MINOR));
#endif
#ifdef KEVBENCH_ASIO
  versions.push_back(absl::StrCat("Asio ", ASIO_VERSION / 100000, ".", ASIO_VERSION / 100 % 1000,
                                  ".", ASIO_VERSION % 100));
#endif
#ifdef KEVBENCH_DPDK
  versions.push_back("DPDK " KEVBENCH_DPDK_VERSION);
#endif
  return versions.empty() ? "no peer's library" : absl::StrJoin(versions, ", ");
}

}  // namespace kevbench
