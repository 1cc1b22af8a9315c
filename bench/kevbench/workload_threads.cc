// SPDX-License-Identifier: MIT
//
// Two threads: one that arms beside one that collects, two that arm on one queue,
// two with a queue each; and one alone to compare with.  CPU time of each setting,
// and settings a second: a thread asleep for a lock takes no CPU time.

#include <absl/strings/str_cat.h>

#include <atomic>
#include <functional>
#include <thread>

#include "bench/kevbench/posix_timers.h"
#include "bench/kevbench/workload.h"

namespace kevbench {
namespace {

// Timers of a producer's that are due at once, beside those that never expire.
constexpr size_t kDue = 256;

struct Share {
  size_t begin;
  size_t count;
  size_t done = 0;
  Nanoseconds cpu = 0;
  Nanoseconds elapsed = 0;
};

// Sets random timers of a share again; a turn after every 256.
void Rearm(Way& way, Nanoseconds end, Share* share) {
  Random random;
  const Nanoseconds begin = Now();
  const Nanoseconds before = ReadClock(CLOCK_THREAD_CPUTIME_ID);
  do {
    way.TakeTime();
    for (size_t i = 0; i < kBatch; ++i) {
      way.ArmIn(share->begin + random.Below(share->count), random.TenToSeventySeconds());
    }
    way.Collect();
    share->done += kBatch;
  } while (Now() < end);
  share->cpu = ReadClock(CLOCK_THREAD_CPUTIME_ID) - before;
  share->elapsed = Now() - begin;
}

void AddCost(const std::vector<Share>& shares, const std::string& metric, Metrics* metrics) {
  Nanoseconds cpu = 0;
  size_t done = 0;
  double rate = 0;
  for (const Share& share : shares) {
    cpu += share.cpu;
    done += share.done;
    rate += static_cast<double>(share.done) * kSecond / static_cast<double>(share.elapsed);
  }
  (*metrics)[metric] = static_cast<double>(cpu) / static_cast<double>(done);
  (*metrics)[metric + ", rate"] = rate;
}

void InTwoThreads(const std::function<void(size_t)>& work) {
  std::thread other([&] { work(1); });
  work(0);
  other.join();
}

absl::Status OnOneQueue(const WayInfo& info, size_t count, Pace pace, Metrics* metrics) {
  auto timers = Timers::Make(info, count);
  if (!timers.ok()) return timers.status();
  Random random;
  (*timers)->ArmAll(random);
  std::vector<Share> shares = {{0, count / 2}, {count / 2, count - count / 2}};
  const Nanoseconds end = Now() + Slice(pace);
  InTwoThreads([&](size_t i) { Rearm((*timers)->way(), end, &shares[i]); });
  AddCost(shares, "one queue", metrics);
  return (*timers)->NoneExpired();
}

// Each thread makes what it uses; the first of them alone, too.
absl::Status OnOwnQueues(const WayInfo& info, size_t count, Pace pace, size_t threads,
                         absl::string_view metric, Metrics* metrics) {
  std::vector<Share> shares(threads, Share{0, count});
  std::vector<absl::Status> statuses(threads, absl::OkStatus());
  std::atomic<size_t> ready{0};
  std::atomic<Nanoseconds> end{0};
  const auto work = [&](size_t i) {
    auto timers = Timers::Make(info, count);
    statuses[i] = timers.status();
    Random random;
    if (timers.ok()) (*timers)->ArmAll(random);
    if (++ready == threads) end = Now() + Slice(pace);
    while (end.load() == 0) std::this_thread::yield();
    if (!timers.ok()) return;
    Rearm((*timers)->way(), end, &shares[i]);
    statuses[i] = (*timers)->NoneExpired();
  };
  if (threads == 1) {
    work(0);
  } else {
    InTwoThreads(work);
  }
  for (const absl::Status& status : statuses) {
    if (!status.ok()) return status;
  }
  AddCost(shares, std::string(metric), metrics);
  return absl::OkStatus();
}

// One setting in 64 is of a timer that is due at once, for the collector asleep.
absl::Status ArmBesideCollector(const WayInfo& info, size_t count, Pace pace, Metrics* metrics) {
  auto timers = Timers::Make(info, count + kDue);
  if (!timers.ok()) return timers.status();
  Way& way = (*timers)->way();
  Recorder& recorder = (*timers)->recorder();
  for (size_t i = 0; i < count; ++i) way.ArmIn(i, 10 * kSecond);

  std::atomic<bool> finished{false};
  std::atomic<uint64_t> armed{0};
  std::thread collector([&] {
    while (!finished || recorder.total() < armed) way.Wait();
  });
  Random random;
  std::vector<uint64_t> times(kDue);
  size_t done = 0;
  const Nanoseconds before = CpuTime();
  const Nanoseconds end = Now() + Slice(pace);
  do {
    for (size_t i = 0; i < 64; ++i) way.ArmIn(random.Below(count), random.TenToSeventySeconds());
    const size_t due = random.Below(kDue);
    if (recorder.count(count + due) == times[due]) {
      ++times[due];
      ++armed;
      way.ArmIn(count + due, 1);
    }
    done += 65;
  } while (Now() < end);
  (*metrics)["arm and collect"] =
      static_cast<double>(CpuTime() - before) / static_cast<double>(done);

  // The last expiry is the collector's to see, and ends it.
  const size_t last = count;
  while (recorder.count(last) != times[0] && Now() < end + 10 * kSecond) std::this_thread::yield();
  finished = true;
  ++times[0];
  ++armed;
  way.ArmIn(last, kMillisecond);
  collector.join();
  for (size_t i = 0; i < count + kDue; ++i) {
    const uint64_t expected = i < count ? 0 : times[i - count];
    if (recorder.count(i) == expected) continue;
    return absl::InternalError(
        absl::StrCat("timer ", i, " expired ", recorder.count(i), " times, not ", expected));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Metrics> RunThreads(const WayInfo& info, size_t count, Pace pace) {
  bool in_threads;
  bool any_thread;
  {
    Recorder recorder(1);
    const std::unique_ptr<Way> way = info.make(&recorder);
    in_threads = way->arms_in_threads();
    any_thread = way->any_thread();
    // The other deliveries of POSIX timers: arming is the same.
    if (!in_threads && dynamic_cast<PosixTimers*>(way.get()) != nullptr) {
      return absl::UnimplementedError("as sigwaitinfo");
    }
  }
  Metrics metrics;
  absl::Status status = OnOwnQueues(info, count, pace, 1, "alone", &metrics);
  if (status.ok() && any_thread) status = OnOwnQueues(info, count, pace, 2, "two queues", &metrics);
  if (status.ok() && in_threads) status = OnOneQueue(info, count, pace, &metrics);
  if (status.ok() && in_threads) status = ArmBesideCollector(info, count, pace, &metrics);
  if (!status.ok()) return status;
  return metrics;
}

}  // namespace kevbench
