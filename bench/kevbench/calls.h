// SPDX-License-Identifier: MIT
//
// Counts system calls.

#ifndef KEVENT_BENCH_KEVBENCH_CALLS_H_
#define KEVENT_BENCH_KEVBENCH_CALLS_H_

#include <cstdint>
#include <optional>
#include <vector>

namespace kevbench {

// Those of this process, all its threads, from construction on: by perf events on
// the kernel's tracepoint raw_syscalls:sys_enter.  While one lives every call is
// slower, so nothing is timed meanwhile.
class CallCounter {
 public:
  CallCounter();
  ~CallCounter();
  CallCounter(const CallCounter&) = delete;
  CallCounter& operator=(const CallCounter&) = delete;

  // Counts from here on.  To make a counter takes the kernel some 20 ms.
  void Restart() { before_ = Sum().value_or(0); }
  // Nothing if the kernel does not let us.
  std::optional<uint64_t> Count() const;

 private:
  std::optional<uint64_t> Sum() const;

  uint64_t before_ = 0;
  std::vector<int> fds_;
};

}  // namespace kevbench

#endif  // KEVENT_BENCH_KEVBENCH_CALLS_H_
