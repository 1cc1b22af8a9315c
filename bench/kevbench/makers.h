// SPDX-License-Identifier: MIT
//
// One for each way_*.cc.

#ifndef KEVENT_BENCH_KEVBENCH_MAKERS_H_
#define KEVENT_BENCH_KEVBENCH_MAKERS_H_

#include <memory>

#include "bench/kevbench/way.h"

namespace kevbench {

std::unique_ptr<Way> MakeKevent(Recorder* recorder);
std::unique_ptr<Way> MakeKeventEachMillisecond(Recorder* recorder);
std::unique_ptr<Way> MakeKeventBatches(Recorder* recorder);
std::unique_ptr<Way> MakePosixSigwaitinfo(Recorder* recorder);
std::unique_ptr<Way> MakePosixHandler(Recorder* recorder);
std::unique_ptr<Way> MakePosixSignalfd(Recorder* recorder);
std::unique_ptr<Way> MakePosixThread(Recorder* recorder);
std::unique_ptr<Way> MakeTimerfdEpoll(Recorder* recorder);
#ifdef KEVBENCH_IO_URING
std::unique_ptr<Way> MakeIoUring(Recorder* recorder);
#endif
#ifdef KEVBENCH_LIBUV
std::unique_ptr<Way> MakeLibuv(Recorder* recorder);
#endif
#ifdef KEVBENCH_LIBEVENT
std::unique_ptr<Way> MakeLibevent(Recorder* recorder);
#endif
#ifdef KEVBENCH_LIBEV
std::unique_ptr<Way> MakeLibev(Recorder* recorder);
#endif
#ifdef KEVBENCH_DPDK
std::unique_ptr<Way> MakeRteTimer(Recorder* recorder);
#endif
#ifdef KEVBENCH_ASIO
std::unique_ptr<Way> MakeAsio(Recorder* recorder);
#endif

}  // namespace kevbench

#endif  // KEVENT_BENCH_KEVBENCH_MAKERS_H_
