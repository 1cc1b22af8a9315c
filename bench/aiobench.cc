// SPDX-License-Identifier: MIT
//
// What does an asynchronous read cost?  4 KiB each, at random offsets of a file
// of 64 MiB, 64 in flight: by libkevent, by the C library's aio with a signal and
// with a thread for each, and by a bare io_uring.  The ways run in turns; shown
// are medians, and the medians of the ratios of the turns.  Each block that is
// read is compared with what it must be.

#include <absl/flags/flag.h>
#include <aio.h>
#include <fcntl.h>
#include <kevent/kevent.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <vector>

#include "tools/support/command_line.h"
#include "tools/support/progress.h"

#if KEVENT_HAVE_LIBURING
#include <liburing.h>
#endif

ABSL_FLAG(bool, quick, false, "fewer rounds of fewer reads: ten seconds");
ABSL_FLAG(bool, smoke, false, "one round of few reads, to see that each block is right; no times");

namespace {

constexpr size_t kBlock = 4096;
constexpr size_t kBlocks = 16384;
constexpr size_t kDepth = 64;

void Must(bool good, const char* what) {
  if (good) return;
  std::fprintf(stderr, "aiobench: %s: %s\n", what, std::strerror(errno));
  std::exit(EXIT_FAILURE);
}

double Time(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<ptrdiff_t>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

// ---- The file -------------------------------------------------------------------

// Each block says its number at both ends.
class File {
 public:
  explicit File(int flags) {
    const char* directory = std::getenv("TMPDIR");
    name_ = std::string(directory == nullptr ? "/var/tmp" : directory) + "/aiobench.XXXXXX";
    const int made = mkostemp(name_.data(), O_CLOEXEC);
    Must(made >= 0, name_.c_str());
    std::vector<uint64_t> block(kBlock / sizeof(uint64_t));
    for (size_t number = 0; number < kBlocks; ++number) {
      block.front() = block.back() = number;
      Must(write(made, block.data(), kBlock) == kBlock, "write");
    }
    Must(fsync(made) == 0, "fsync");
    fd_ = open(name_.c_str(), O_RDONLY | O_CLOEXEC | flags);
    unlink(name_.c_str());
    close(made);
  }
  ~File() { close(fd_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int fd() const { return fd_; }

 private:
  std::string name_;
  int fd_;
};

// One of those in flight.
struct alignas(kBlock) Buffer {
  std::array<uint64_t, kBlock / sizeof(uint64_t)> words;
};

struct Reader {
  explicit Reader(int file) : fd(file), buffers(new Buffer[kDepth]), numbers(kDepth) {}

  off_t Place(size_t slot) {
    numbers[slot] = random() % kBlocks;
    buffers[slot].words.front() = buffers[slot].words.back() = ~uint64_t{0};
    return static_cast<off_t>(numbers[slot] * kBlock);
  }
  void Check(size_t slot, int64_t result) {
    Must(result == static_cast<int64_t>(kBlock), "a read is short");
    Must(
        buffers[slot].words.front() == numbers[slot] && buffers[slot].words.back() == numbers[slot],
        "a read has moved other bytes");
  }

  const int fd;
  std::unique_ptr<Buffer[]> buffers;
  std::vector<uint64_t> numbers;
  std::minstd_rand random{1};
};

// ---- POSIX aio ------------------------------------------------------------------

class AioReader : public Reader {
 public:
  explicit AioReader(int file) : Reader(file), controls(kDepth) {}

  aiocb* Prepare(size_t slot, const sigevent& notification) {
    aiocb* control = &controls[slot];
    std::memset(control, 0, sizeof *control);
    control->aio_fildes = fd;
    control->aio_buf = &buffers[slot];
    control->aio_nbytes = kBlock;
    control->aio_offset = Place(slot);
    control->aio_lio_opcode = LIO_READ;
    control->aio_sigevent = notification;
    control->aio_sigevent.sigev_value.sival_ptr = control;
    return control;
  }
  void Start(size_t slot, const sigevent& notification) {
    Must(aio_read(Prepare(slot, notification)) == 0, "aio_read");
  }
  size_t Done(void* control) {
    const auto slot = static_cast<size_t>(static_cast<aiocb*>(control) - controls.data());
    Check(slot, aio_return(&controls[slot]));
    return slot;
  }

  std::vector<aiocb> controls;
};

void ByQueue(int fd, size_t reads, bool in_lists) {
  AioReader reader(fd);
  const int queue = kevent_init(nullptr, 0, 0);
  Must(queue >= 0, "kevent_init");
  sigevent notification;
  kevent_sigevent(&notification, queue, nullptr);
  size_t started = 0;
  std::array<aiocb*, kDepth> list;
  std::array<ukevent, kDepth> events;
  size_t free_count = kDepth;
  std::array<size_t, kDepth> free_slots;
  for (size_t i = 0; i < kDepth; ++i) free_slots[i] = i;
  for (size_t done = 0; done < reads;) {
    size_t count = 0;
    for (; free_count != 0 && started < reads; ++started) {
      const size_t slot = free_slots[--free_count];
      if (in_lists) {
        list[count++] = reader.Prepare(slot, notification);
      } else {
        reader.Start(slot, notification);
      }
    }
    if (count != 0) {
      Must(lio_listio(LIO_NOWAIT, list.data(), static_cast<int>(count), nullptr) == 0,
           "lio_listio");
    }
    const int collected = kevent_get_events(queue, 1, kDepth, nullptr, events.data(), 0);
    Must(collected > 0, "kevent_get_events");
    for (int i = 0; i < collected; ++i) {
      free_slots[free_count++] = reader.Done(events[static_cast<size_t>(i)].ptr);
    }
    done += static_cast<size_t>(collected);
  }
  close(queue);
}

void BySignal(int fd, size_t reads) {
  AioReader reader(fd);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGRTMIN);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  sigevent notification = {};
  notification.sigev_notify = SIGEV_SIGNAL;
  notification.sigev_signo = SIGRTMIN;
  size_t started = 0;
  for (; started < kDepth && started < reads; ++started) reader.Start(started, notification);
  for (size_t done = 0; done < reads; ++done) {
    siginfo_t info;
    Must(sigwaitinfo(&signals, &info) == SIGRTMIN, "sigwaitinfo");
    const size_t slot = reader.Done(info.si_value.sival_ptr);
    if (started >= reads) continue;
    reader.Start(slot, notification);
    ++started;
  }
}

struct ThreadMailbox {
  std::mutex mutex;
  std::condition_variable arrived;
  std::vector<void*> done;
};
ThreadMailbox g_mailbox;

void ByThread(int fd, size_t reads) {
  AioReader reader(fd);
  sigevent notification = {};
  notification.sigev_notify = SIGEV_THREAD;
  notification.sigev_notify_function = [](sigval control) {
    const std::lock_guard<std::mutex> lock(g_mailbox.mutex);
    g_mailbox.done.push_back(control.sival_ptr);
    g_mailbox.arrived.notify_one();
  };
  size_t started = 0;
  for (; started < kDepth && started < reads; ++started) reader.Start(started, notification);
  std::vector<void*> taken;
  for (size_t done = 0; done < reads; done += taken.size()) {
    taken.clear();
    {
      std::unique_lock<std::mutex> lock(g_mailbox.mutex);
      g_mailbox.arrived.wait(lock, [] { return !g_mailbox.done.empty(); });
      taken.swap(g_mailbox.done);
    }
    for (void* control : taken) {
      const size_t slot = reader.Done(control);
      if (started >= reads) continue;
      reader.Start(slot, notification);
      ++started;
    }
  }
}

// ---- io_uring -------------------------------------------------------------------

#if KEVENT_HAVE_LIBURING
void ByRing(int fd, size_t reads, bool in_batches) {
  Reader reader(fd);
  io_uring ring;
  Must(io_uring_queue_init(kDepth, &ring, 0) == 0, "io_uring_queue_init");
  const auto add = [&](size_t slot) {
    io_uring_sqe* sqe = io_uring_get_sqe(&ring);
    io_uring_prep_read(sqe, fd, &reader.buffers[slot], kBlock,
                       static_cast<uint64_t>(reader.Place(slot)));
    sqe->user_data = slot;
    if (!in_batches) Must(io_uring_submit(&ring) == 1, "io_uring_submit");
  };
  size_t started = 0;
  for (; started < kDepth && started < reads; ++started) add(started);
  std::array<io_uring_cqe*, kDepth> completed;
  std::array<size_t, kDepth> slots;
  for (size_t done = 0; done < reads;) {
    Must(io_uring_submit_and_wait(&ring, 1) >= 0, "io_uring_submit_and_wait");
    const unsigned count = io_uring_peek_batch_cqe(&ring, completed.data(), kDepth);
    for (unsigned i = 0; i < count; ++i) {
      slots[i] = completed[i]->user_data;
      reader.Check(slots[i], completed[i]->res);
    }
    io_uring_cq_advance(&ring, count);
    done += count;
    for (unsigned i = 0; i < count && started < reads; ++i, ++started) add(slots[i]);
  }
  io_uring_queue_exit(&ring);
}
#endif

// ---- The table ------------------------------------------------------------------

struct Way {
  const char* name;
  std::function<void(int fd, size_t reads)> run;
  std::vector<double> cpu;
  std::vector<double> wall;
};

std::vector<Way> Ways() {
  std::vector<Way> ways;
  ways.push_back({"libkevent, aio_read", [](int fd, size_t n) { ByQueue(fd, n, false); }, {}, {}});
  ways.push_back({"libkevent, lio_listio", [](int fd, size_t n) { ByQueue(fd, n, true); }, {}, {}});
  ways.push_back({"SIGEV_SIGNAL, sigwaitinfo", BySignal, {}, {}});
  ways.push_back({"SIGEV_THREAD", ByThread, {}, {}});
#if KEVENT_HAVE_LIBURING
  ways.push_back({"io_uring, one by one", [](int fd, size_t n) { ByRing(fd, n, false); }, {}, {}});
  ways.push_back({"io_uring, in batches", [](int fd, size_t n) { ByRing(fd, n, true); }, {}, {}});
#endif
  return ways;
}

void Measure(const char* title, int fd, size_t reads, int rounds) {
  std::vector<Way> ways = Ways();
  const kevent::tools::Progress progress;
  for (int round = 0; round < rounds; ++round) {
    for (Way& way : ways) {
      progress.Show("%s: round %d of %d, %s", title, round + 1, rounds, way.name);
      const double cpu = Time(CLOCK_PROCESS_CPUTIME_ID);
      const double wall = Time(CLOCK_MONOTONIC);
      way.run(fd, reads);
      way.cpu.push_back((Time(CLOCK_PROCESS_CPUTIME_ID) - cpu) / static_cast<double>(reads));
      way.wall.push_back((Time(CLOCK_MONOTONIC) - wall) / static_cast<double>(reads));
    }
  }
  progress.Show("%s", "");
  std::printf("\n%s, %zu reads of 4 KiB, 64 in flight, %d rounds\n\n", title, reads, rounds);
  std::printf(
      "| way | reads per CPU second | CPU | wall clock | CPU / aio_read | CPU / lio_listio |\n");
  std::printf("|---|---|---|---|---|---|\n");
  for (const Way& way : ways) {
    std::array<double, 2> ratios;
    for (size_t ours = 0; ours < ratios.size(); ++ours) {
      std::vector<double> of_rounds;
      for (size_t i = 0; i < way.cpu.size(); ++i)
        of_rounds.push_back(way.cpu[i] / ways[ours].cpu[i]);
      ratios[ours] = Median(of_rounds);
    }
    std::printf("| %-26s | %8.0f | %6.0f ns | %6.0f ns | %5.2f | %5.2f |\n", way.name,
                1e9 / Median(way.cpu), Median(way.cpu), Median(way.wall), ratios[0], ratios[1]);
  }
#if !KEVENT_HAVE_LIBURING
  std::printf("| io_uring                   | missing: built without liburing |\n");
#endif
}

}  // namespace

int main(int argc, char** argv) {
  kevent::tools::ParseCommandLine(
      argc, argv,
      "Measures what an asynchronous read of 4 KiB costs by libkevent, by the C library's aio and\n"
      "by a bare io_uring, from the page cache and from the disk, in about half a minute.  The\n"
      "file of 64 MiB is made in $TMPDIR (/var/tmp) and removed.");
  const bool smoke = absl::GetFlag(FLAGS_smoke);
  const bool quick = absl::GetFlag(FLAGS_quick);
  const int rounds = smoke ? 1 : quick ? 3 : 7;
  const size_t reads = smoke ? 2'000 : quick ? 20'000 : 100'000;
  {
    const File cached(0);
    Measure("From the page cache", cached.fd(), reads, rounds);
  }
  const File direct(O_DIRECT);
  if (direct.fd() < 0) {
    std::printf("\nO_DIRECT: the file system has none\n");
  } else {
    Measure("From the disk (O_DIRECT)", direct.fd(), reads / 10, rounds);
  }
}
