// SPDX-License-Identifier: MIT
//
// Operations of every kind at random, into queues that come and go, in a process whose
// limits come and go: asynchronous I/O on files, pipes and sockets, alone and in lists,
// cancelled, waited for; look-ups; messages; timers beside them; forks in the midst.
//
// The books: what has begun ends, and is told of once into its queue, or not at all if
// that was closed before; aio_error, aio_return, the event and the data agree; a buffer
// is only written to where it should be; nothing is left, no descriptor and no record.

#include <absl/flags/flag.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "tests/robustness/random/worker.h"
#include "tests/support/process.h"
#include "tools/support/command_line.h"

ABSL_FLAG(uint64_t, seed, 0,
          "what the operations follow from; 0: KEVENT_TEST_SEED of the environment, or a number of "
          "the time; it is printed");
ABSL_FLAG(uint32_t, seconds, 0,
          "for so many seconds; 0: 4, or 180 if KEVENT_LONG is in the environment");
ABSL_FLAG(uint32_t, threads, 3, "threads that begin operations");
ABSL_FLAG(bool, no_lookups, false, "look no names up");
ABSL_FLAG(bool, no_forks, false, "do not fork");

namespace kevent_test {
namespace {

using Clock = std::chrono::steady_clock;

std::vector<std::unique_ptr<Worker>>* g_workers;

void SaysWhatHangs(int) {
  dprintf(STDERR_FILENO, "nothing goes on any more\nAgain with: --seed=%llu\n",
          static_cast<unsigned long long>(Random::base));
  for (const auto& worker : *g_workers) {
    dprintf(STDERR_FILENO, "a thread's:\n");
    worker->Describe();
  }
  _exit(1);
}

// ---- Limits ---------------------------------------------------------------------------

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kLimitsMemory = false;  // the sanitizer maps as it pleases
#else
constexpr bool kLimitsMemory = true;
#endif

rlim_t MappedBytes() {
  unsigned long pages = 0;
  FILE* file = std::fopen("/proc/self/statm", "re");
  if (file == nullptr) return RLIM_INFINITY;
  if (std::fscanf(file, "%lu", &pages) != 1) pages = 0;
  std::fclose(file);
  return pages * static_cast<rlim_t>(sysconf(_SC_PAGESIZE));
}

// One limit for a moment, again and again.
void ChangeLimits(uint64_t seed, const std::atomic<bool>* over) {
  Random random(seed);
  while (!*over) {
    usleep(static_cast<useconds_t>(random.Below(8000)));
    const uint64_t which = random.Below(3);
    const auto resource = which == 0 ? RLIMIT_NOFILE : which == 1 ? RLIMIT_NPROC : RLIMIT_AS;
    rlimit before;
    getrlimit(resource, &before);
    rlimit limit = before;
    switch (which) {
      case 0:
        limit.rlim_cur = random.Below(80);
        break;
      case 1:
        limit.rlim_cur = 1;
        break;
      default:
        if (!kLimitsMemory) continue;
        limit.rlim_cur = MappedBytes() + random.Below(4 << 20);
        if (limit.rlim_cur == RLIM_INFINITY) continue;
    }
    limit.rlim_cur = std::min(limit.rlim_cur, before.rlim_max);
    setrlimit(resource, &limit);
    usleep(static_cast<useconds_t>(random.Below(3000)));
    setrlimit(resource, &before);
  }
}

// ---- The whole ---------------------------------------------------------------------------

// How many operations can be begun.
size_t Records() {
  const int queue = kevent_init(nullptr, 0, 0);
  HOLDS(queue >= 0, "a fresh queue");
  static aiocb control;
  static char byte;
  std::memset(static_cast<void*>(&control), 0, sizeof control);
  control.aio_fildes = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  control.aio_buf = &byte;
  control.aio_nbytes = 1;
  kevent_sigevent(&control.aio_sigevent, queue, nullptr);
  size_t begun = 0;
  while (aio_read(&control) == 0) {
    // One at a time: the byte may have to be brought in.
    while (aio_error(&control) == EINPROGRESS) usleep(10);
    ++begun;
  }
  HOLDS(errno == EAGAIN, "a read");
  close(control.aio_fildes);
  close(queue);
  return begun;
}

// As many as at first: sigev_kevent(7) says how many.  Look-ups for queues that were closed
// may go on for a while.
void CheckRecords() {
  constexpr size_t kRecords = 65536;
  size_t found = 0;
  for (int patience = 100; patience > 0 && found != kRecords; --patience) {
    if (found != 0) usleep(100'000);
    found = Records();
  }
  HOLDS(found == kRecords, "%zu operations", found);
}

// No more than at first, but for what asynchronous I/O opens for the process when it is
// needed.  A thread that has told a queue of an operation may keep it open a moment longer
// than the program.
void CheckDescriptors(const std::set<int>& at_first) {
  constexpr size_t kOfTheProcess = 2;
  std::set<int> now = OpenDescriptors();
  for (int patience = 300; patience > 0 && now.size() > at_first.size() + kOfTheProcess;
       --patience) {
    usleep(100'000);
    now = OpenDescriptors();
  }
  if (now.size() <= at_first.size() + kOfTheProcess) return;
  for (const int fd : now) {
    const std::string link = "/proc/self/fd/" + std::to_string(fd);
    std::array<char, 256> target = {};
    if (readlink(link.c_str(), target.data(), target.size() - 1) < 0) continue;
    dprintf(STDERR_FILENO, "%d: %s\n", fd, target.data());
  }
  HOLDS(false, "%zu descriptors are open, %zu at first", now.size(), at_first.size());
}

// Says, where a thread cannot be made, what may be the reason: no limit is lowered then.
template <typename Body>
std::thread StartThread(Body body) {
  try {
    return std::thread(std::move(body));
  } catch (const std::system_error& error) {
    for (const auto resource : {RLIMIT_NOFILE, RLIMIT_NPROC, RLIMIT_AS}) {
      rlimit limit;
      getrlimit(resource, &limit);
      dprintf(STDERR_FILENO, "limit %d: %lu\n", static_cast<int>(resource),
              static_cast<unsigned long>(limit.rlim_cur));
    }
    for (const char* const file : {"/proc/self/statm", "/proc/loadavg"}) {
      std::ifstream in(file);
      std::string line;
      std::getline(in, line);
      dprintf(STDERR_FILENO, "%s: %s\n", file, line.c_str());
    }
    HOLDS(false, "a thread of the driver: %s", error.what());
  }
  std::abort();
}

void Phase(uint64_t seed, Shared* shared, std::chrono::milliseconds length) {
  std::vector<std::unique_ptr<Worker>>& workers = *g_workers;
  for (const auto& worker : workers) worker->Open();
  shared->unsettled = static_cast<int>(workers.size());
  std::atomic<bool> over{false};
  std::atomic<bool> lifted{false};
  const auto end = Clock::now() + length;
  std::vector<std::thread> threads;
  threads.reserve(workers.size());
  for (const auto& worker : workers) {
    threads.push_back(StartThread([&, worker = worker.get()] {
      while (Clock::now() < end) worker->Step();
      while (!lifted) usleep(100);
      worker->Settle();
    }));
  }
  std::thread limits = StartThread([&] { ChangeLimits(seed, &over); });
  std::this_thread::sleep_until(end);
  over = true;
  limits.join();
  lifted = true;
  for (std::thread& thread : threads) thread.join();
  for (const auto& worker : workers) worker->Close();
}

int Run(uint64_t seconds, size_t thread_count, bool lookups, bool forks) {
  static Shared shared;
  shared.lookups = lookups;
  shared.forks = forks;
  std::strcpy(shared.pattern, "/tmp/kevent.XXXXXX");
  const int fd = mkostemp(shared.pattern, O_CLOEXEC);
  HOLDS(fd >= 0, "a file");
  std::vector<unsigned char> bytes(kFileBytes);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = PatternAt(i);
  HOLDS(write(fd, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()), "a file");
  close(fd);

  static std::vector<std::unique_ptr<Worker>> workers;
  g_workers = &workers;
  for (size_t i = 0; i < thread_count; ++i) {
    workers.push_back(std::make_unique<Worker>(Random::base * 1000 + i, &shared));
    for (QueueBook& queue : workers.back()->queues()) shared.queues.push_back(&queue);
  }
  // The C library ends the process when a thread of its own, one that looks names up, ends
  // and there is no descriptor or memory for what pthread_exit loads.
  pthread_t first;
  HOLDS(pthread_create(
            &first, nullptr, [](void*) -> void* { pthread_exit(nullptr); }, nullptr) == 0,
        "a thread");
  pthread_join(first, nullptr);
  signal(SIGALRM, SaysWhatHangs);
  signal(SIGPIPE, SIG_IGN);

  const auto end = Clock::now() + std::chrono::seconds(seconds);
  std::set<int> open_at_first;
  uint64_t phases = 0;
  do {
    alarm(250);
    Phase(Random::base + phases, &shared, std::chrono::milliseconds(400));
    CheckRecords();
    if (phases == 0) {
      open_at_first = OpenDescriptors();
    } else {
      CheckDescriptors(open_at_first);
    }
    ++phases;
  } while (Clock::now() < end);
  for (const LookupBook* book = shared.lookups_of_all; book != nullptr; book = book->next_of_all) {
    if (!book->was_given_back) continue;
    const auto* bytes_of = reinterpret_cast<const unsigned char*>(book->requests);
    for (size_t i = 0; i < sizeof book->requests; ++i) {
      HOLDS(bytes_of[i] == kGivenBack, "a look-up is written to after its end");
    }
  }
  uint64_t begun = 0;
  for (const auto& worker : workers) begun += worker->begun();
  printf("seed %llu: %llu operations in %llu phases\n",
         static_cast<unsigned long long>(Random::base), static_cast<unsigned long long>(begun),
         static_cast<unsigned long long>(phases));
  unlink(shared.pattern);
  return EXIT_SUCCESS;
}

uint64_t ChosenSeed() {
  if (const uint64_t seed = absl::GetFlag(FLAGS_seed)) return seed;
  if (const char* seed = std::getenv("KEVENT_TEST_SEED")) return std::strtoull(seed, nullptr, 0);
  return static_cast<uint64_t>(time(nullptr)) * 1000 + static_cast<uint64_t>(getpid()) % 1000;
}

}  // namespace
}  // namespace kevent_test

int main(int argc, char** argv) {
  using kevent_test::Random;
  kevent::tools::ParseCommandLine(
      argc, argv,
      "Runs operations of every kind at random, into queues that come and go, in a process whose\n"
      "limits come and go, and keeps exact books.  Exits with 0 if they balance, else otherwise.");
  const uint32_t threads = absl::GetFlag(FLAGS_threads);
  if (threads == 0) kevent::tools::Misused("--threads is to be above 0");
  uint32_t seconds = absl::GetFlag(FLAGS_seconds);
  if (seconds == 0) seconds = std::getenv("KEVENT_LONG") != nullptr ? 180 : 4;
  Random::base = kevent_test::ChosenSeed();
  printf("seed %llu\n", static_cast<unsigned long long>(Random::base));
  std::fflush(stdout);
  return kevent_test::Run(seconds, threads, !absl::GetFlag(FLAGS_no_lookups),
                          !absl::GetFlag(FLAGS_no_forks));
}
