// SPDX-License-Identifier: MIT

#ifndef KEVENT_BENCH_KEVBENCH_VERSIONS_H_
#define KEVENT_BENCH_KEVBENCH_VERSIONS_H_

#include <string>

namespace kevbench {

// Of the peers that are built in: "libuv 1.44.2, libevent 2.1.12-stable".
std::string PeerVersions();

}  // namespace kevbench

#endif  // KEVENT_BENCH_KEVBENCH_VERSIONS_H_
