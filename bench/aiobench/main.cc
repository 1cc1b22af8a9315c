// SPDX-License-Identifier: MIT
//
// What does an asynchronous read or write cost?  4 KiB each, at random places of a file of 64 MiB,
// up to 64 in flight: by libkevent, by the C library's aio and by a bare io_uring; from the page
// cache and from the disk, and into the page cache where there is no io_uring, too.  The ways run
// in turns; shown are medians, and the medians of the ratios of the turns.  Each block that is read
// is compared with what it must be, and each that was written is read.

#include <absl/flags/flag.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <optional>

#include "bench/aiobench/ways.h"
#include "bench/goals.h"
#include "tools/support/command_line.h"
#include "tools/support/progress.h"

ABSL_FLAG(bool, quick, false, "fewer rounds of fewer operations: a quarter of the time");
ABSL_FLAG(bool, smoke, false, "one round of few, to see that each block is right; no times");
ABSL_FLAG(std::string, goals, "",
          "append the table of what is wanted to this file (it is not written)");

namespace aiobench {
namespace {

using kevent::bench::Goals;
using kevent::bench::Median;
using kevent::bench::Nanoseconds;

struct Measured {
  Way way;
  std::vector<double> cpu;
  std::vector<double> wall;
};

// How many times the CPU time of `ours` this way takes, in each round.
double Ratio(const Measured& way, const Measured& ours) {
  std::vector<double> of_rounds;
  for (size_t i = 0; i < way.cpu.size(); ++i) of_rounds.push_back(way.cpu[i] / ours.cpu[i]);
  return Median(of_rounds);
}

class Table {
 public:
  explicit Table(const std::vector<Way>& ways) {
    for (const Way& way : ways) all_.push_back({way, {}, {}});
  }

  void Measure(const std::string& title, const Job& job, int rounds) {
    const kevent::tools::Progress progress;
    for (int round = 0; round < rounds; ++round) {
      for (Measured& measured : all_) {
        progress.Show("%s: round %d of %d, %s", title.c_str(), round + 1, rounds,
                      measured.way.name);
        Transfer transfer(job);
        const double cpu = Nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
        const double wall = Nanoseconds(CLOCK_MONOTONIC);
        measured.way.run(transfer);
        const auto count = static_cast<double>(job.count);
        measured.cpu.push_back((Nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - cpu) / count);
        measured.wall.push_back((Nanoseconds(CLOCK_MONOTONIC) - wall) / count);
        transfer.CheckAll();
      }
    }
  }

  void Print(const std::string& title, const Job& job, int rounds) const {
    std::printf("\n%s, %zu %s of 4 KiB, %zu in flight, %d rounds\n\n", title.c_str(), job.count,
                job.operation == Operation::kRead ? "reads" : "writes", job.depth, rounds);
    std::printf(
        "| %-26s | a CPU second | CPU       | wall clock | CPU / one by one | CPU / list |\n",
        "way");
    std::printf("|---|---:|---:|---:|---:|---:|\n");
    for (const Measured& measured : all_) {
      std::printf("| %-26s | %12.0f | %6.0f ns | %7.0f ns | %16.2f | %10.2f |\n", measured.way.name,
                  1e9 / Median(measured.cpu), Median(measured.cpu), Median(measured.wall),
                  Ratio(measured, all_[0]), Ratio(measured, all_[1]));
    }
    std::fflush(stdout);
  }

  // How many times the cost of this kind of ours the cheapest of the others' kind is.
  struct Best {
    std::optional<double> ratio;
    const char* name = "";
  };
  Best Beside(Kind ours, Kind others) const {
    const Measured* least = nullptr;
    for (const Measured& measured : all_) {
      if (measured.way.kind != others) continue;
      if (least == nullptr || Median(measured.cpu) < Median(least->cpu)) least = &measured;
    }
    if (least == nullptr) return {};
    return {Ratio(*least, all_[ours == Kind::kQueue ? 0 : 1]), least->way.name};
  }

 private:
  std::vector<Measured> all_;
};

constexpr size_t kMost = 64;  // in flight

struct Pace {
  int rounds;
  size_t cached;
  size_t direct;
  size_t writes;
};

Table Run(const std::string& title, const Job& job, int rounds) {
  Table table(Ways());
  table.Measure(title, job, rounds);
  table.Print(title, job, rounds);
  return table;
}

constexpr char kListsDirect[] = "lio_listio, O_DIRECT, 64 reads";
constexpr char kReadDirect[] = "aio_read, O_DIRECT, depth 1";
constexpr char kWriteDirect[] = "aio_write, O_DIRECT, depth 1";

void AddLists(const char* what, std::optional<double> ratio, const Goals& goals) {
  goals.AtLeast(what, "io_uring in batches", 0.9, ratio);
}
void AddBeside(const std::string& what, const Table::Best& best, const Goals& goals) {
  goals.AtLeast(what, "glibc's", 1, best.ratio, best.name);
}

void Cached(const Pace& pace, const Goals& goals) {
  File file(0);
  const Table table =
      Run("From the page cache", {&file, Operation::kRead, kMost, pace.cached}, pace.rounds);
  AddLists("lio_listio, page cache, 64 reads",
           table.Beside(Kind::kQueueLists, Kind::kRingBatches).ratio, goals);
}

void Direct(const Pace& pace, const Goals& goals) {
  File file(O_DIRECT);
  if (file.fd() < 0) {
    std::printf("\nO_DIRECT: the file system has none\n");
    AddLists(kListsDirect, std::nullopt, goals);
    for (const char* const what : {kReadDirect, kWriteDirect}) AddBeside(what, {}, goals);
    return;
  }
  const char* const from = "From the disk (O_DIRECT)";
  const Table lists = Run(from, {&file, Operation::kRead, kMost, pace.direct}, pace.rounds);
  AddLists(kListsDirect, lists.Beside(Kind::kQueueLists, Kind::kRingBatches).ratio, goals);
  const size_t count = pace.direct / 4;
  const Table reads = Run(from, {&file, Operation::kRead, 1, count}, pace.rounds);
  AddBeside(kReadDirect, reads.Beside(Kind::kQueue, Kind::kLibrarys), goals);
  const Table writes =
      Run("To the disk (O_DIRECT)", {&file, Operation::kWrite, 1, count}, pace.rounds);
  AddBeside(kWriteDirect, writes.Beside(Kind::kQueue, Kind::kLibrarys), goals);
}

void BufferedWrites(const std::string& ring, bool there, const Pace& pace, const Goals& goals) {
  File file(0);
  for (const size_t depth : {size_t{1}, size_t{16}, kMost}) {
    Table::Best best;
    if (there) {
      const Job job = {&file, Operation::kWrite, depth, pace.writes};
      best = Run("Into the page cache, " + ring, job, pace.rounds)
                 .Beside(Kind::kQueue, Kind::kLibrarys);
    }
    AddBeside("aio_write, buffered, depth " + std::to_string(depth) + ", " + ring, best, goals);
  }
}

// As a sandbox does.
void RefuseRings() {
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program = {std::size(code), code};
  Must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0,
       "seccomp");
  Must(!HasRing(), "an io_uring that was to be refused");
}

int Main() {
  const Pace pace = absl::GetFlag(FLAGS_smoke)   ? Pace{1, 2'000, 200, 300}
                    : absl::GetFlag(FLAGS_quick) ? Pace{3, 20'000, 2'000, 4'000}
                                                 : Pace{7, 100'000, 10'000, 10'000};
  const Goals goals(absl::GetFlag(FLAGS_goals));
  const bool has_ring = HasRing();
  if (!has_ring) std::printf("There is no io_uring here, or none was built in.\n");
  std::fflush(stdout);
  // A filter is not taken off again, so a child has it; before the C library has threads for aio,
  // which it would look for in the child as well.
  const pid_t child = fork();
  Must(child >= 0, "fork");
  if (child == 0) {
    if (has_ring) RefuseRings();
    BufferedWrites("without io_uring", true, pace, goals);
    std::fflush(stdout);
    _exit(EXIT_SUCCESS);
  }
  int status;
  Must(waitpid(child, &status, 0) == child, "waitpid");
  if (status != 0) return EXIT_FAILURE;
  BufferedWrites("with io_uring", has_ring, pace, goals);
  Cached(pace, goals);
  Direct(pace, goals);
  return EXIT_SUCCESS;
}

}  // namespace
}  // namespace aiobench

int main(int argc, char** argv) {
  kevent::tools::ParseCommandLine(
      argc, argv,
      "Measures what an asynchronous read or write of 4 KiB costs by libkevent, by the C "
      "library's\n"
      "aio and by a bare io_uring, in the page cache and on the disk, in about a minute.  The\n"
      "file of 64 MiB is made in $TMPDIR (/var/tmp) and removed.");
  return aiobench::Main();
}
