// SPDX-License-Identifier: MIT
//
// Heap, timing wheel or buckets above a heap?  core/timers/deadline_heap.h alone,
// bench/timing_wheel.h, and core/timers/far_index.h above the heap as the engine has
// it, on what the engine asks of an index, for 100 to 1 000 000 timers.
// docs/index.md has a run of it and what was concluded.
//
// All are checked against a std::set first; a disagreement ends the program.

#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "bench/timing_wheel.h"
#include "core/timers/deadline_heap.h"
#include "core/timers/far_index.h"

namespace {

using kevent::core::FarPages;
using kevent::core::FarPlace;
using kevent::core::FarState;
using kevent::core::HeapEntry;
using kevent::core::kLatest;
using kevent::tools::TimingWheel;

constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint64_t kStart = 1000 * kSecond;
constexpr int kBatch = 256;

// The heap with the interface of the wheel.
class Heap {
 public:
  explicit Heap(size_t timers) : entries_(timers), positions_(timers) {}

  bool Contains(uint32_t timer) const { return positions_[timer] != 0; }
  uint64_t DeadlineOf(uint32_t timer) const { return entries_[positions_[timer] - 1].deadline(); }

  void Set(uint32_t timer, uint64_t deadline) {
    const HeapEntry entry(deadline, ++order_, timer);
    if (Contains(timer)) {
      heap().Update(positions_[timer] - 1, entry);
    } else {
      heap().Push(entry);
    }
  }

  void Remove(uint32_t timer) {
    if (!Contains(timer)) return;
    heap().Remove(positions_[timer] - 1);
    positions_[timer] = 0;
  }

  uint64_t Next() const { return size_ == 0 ? 0 : entries_[0].deadline(); }

  bool TakeDue(uint64_t now, uint32_t* timer) {
    if (size_ == 0 || entries_[0].deadline() > now) return false;
    *timer = entries_[0].slot();
    Remove(*timer);
    return true;
  }

 private:
  struct Positions {
    std::vector<uint32_t>* positions;
    void Moved(uint32_t timer, uint32_t position) const { (*positions)[timer] = position + 1; }
  };
  kevent::core::DeadlineHeap<Positions> heap() { return {entries_.data(), &size_, {&positions_}}; }

  std::vector<HeapEntry> entries_;
  std::vector<uint32_t> positions_;
  uint32_t size_ = 0;
  uint64_t order_ = 0;
};

// The heap for what is near, buckets for the rest: as Queue::Place has it.
class Buckets {
 public:
  explicit Buckets(size_t timers)
      : entries_(timers),
        places_(timers),
        deadlines_(timers),
        capacity_(Far::BlocksFor(static_cast<uint32_t>(timers))),
        pages_(static_cast<FarPages*>(std::calloc(1, Far::BytesFor(static_cast<uint32_t>(timers)))),
               &std::free) {}

  bool Contains(uint32_t timer) const { return places_[timer] != 0; }
  // When the index looks at it: not later than its deadline.
  uint64_t DeadlineOf(uint32_t timer) {
    const uint32_t place = places_[timer];
    return FarPlace::IsOne(place) ? far().StartOf(FarPlace(place)) : entries_[place - 1].deadline();
  }

  void Set(uint32_t timer, uint64_t deadline) {
    constexpr uint32_t kFew = 16;
    deadlines_[timer] = deadline;
    const uint32_t place = places_[timer];
    if (FarPlace::IsOne(place) && far().StartOf(FarPlace(place)) <= deadline) return;
    if (size_ > kFew && far().Takes(deadline)) {
      Remove(timer);
      far().Add(timer, deadline);
      return;
    }
    const HeapEntry entry(deadline, ++order_, timer);
    if (place != 0 && !FarPlace::IsOne(place)) {
      heap().Update(place - 1, entry);
    } else {
      heap().Push(entry);
    }
  }

  void Remove(uint32_t timer) {
    const uint32_t place = places_[timer];
    if (place != 0 && !FarPlace::IsOne(place)) heap().Remove(place - 1);
    places_[timer] = 0;
  }

  uint64_t Next() {
    while (far().ReachedBy(size_ == 0 ? kLatest : entries_[0].deadline())) TakeEarliest();
    return size_ == 0 ? 0 : entries_[0].deadline();
  }

  bool TakeDue(uint64_t now, uint32_t* timer) {
    while (far().ReachedBy(now)) TakeEarliest();
    far().AdvanceTo(now);
    if (size_ == 0 || entries_[0].deadline() > now) return false;
    *timer = entries_[0].slot();
    Remove(*timer);
    return true;
  }

 private:
  struct Positions {
    std::vector<uint32_t>* places;
    void Moved(uint32_t timer, uint32_t position) const { (*places)[timer] = position + 1; }
  };
  struct Places {
    std::vector<uint32_t>* places;
    uint32_t* At(uint32_t timer) const { return &(*places)[timer]; }
    void Prefetch(uint32_t timer) const { __builtin_prefetch(&(*places)[timer], 1); }
  };
  using Far = kevent::core::FarIndex<Places>;

  kevent::core::DeadlineHeap<Positions> heap() { return {entries_.data(), &size_, {&places_}}; }
  Far far() { return {pages_.get(), capacity_, &state_, {&places_}}; }
  void TakeEarliest() {
    far().TakeEarliest([this](uint32_t timer) { Set(timer, deadlines_[timer]); });
  }

  std::vector<HeapEntry> entries_;
  std::vector<uint32_t> places_;
  std::vector<uint64_t> deadlines_;  // what the setting word would say
  const uint32_t capacity_;
  const std::unique_ptr<FarPages, decltype(&std::free)> pages_;
  FarState state_ = {};
  uint32_t size_ = 0;
  uint64_t order_ = 0;
};

using Random = std::minstd_rand;

uint64_t TenToSeventySeconds(Random& random) {
  return 10 * kSecond + (uint64_t{random()} << 31 | random()) % (60 * kSecond);
}

template <typename Index>
struct Filled {
  explicit Filled(uint32_t timers) : index(std::make_unique<Index>(timers)) {
    for (uint32_t i = 0; i < timers; ++i) index->Set(i, now + TenToSeventySeconds(random));
    benchmark::DoNotOptimize(index->Next());
  }
  std::unique_ptr<Index> index;
  Random random{42};
  uint64_t now = kStart;
};

// A random timer is set again, 10 to 70 s ahead, every 100 ns; after every 256
// the due ones are taken and the next deadline is asked for.
template <typename Index, bool kLazy>
void SetAgain(benchmark::State& state) {
  const auto timers = static_cast<uint32_t>(state.range(0));
  Filled<Index> filled(timers);
  Index& index = *filled.index;
  // What the setting word would say.
  std::vector<uint64_t> wanted(timers);
  for (uint32_t i = 0; i < timers; ++i) wanted[i] = index.DeadlineOf(i);
  int batch = 0;
  for (auto _ : state) {
    const uint32_t timer = filled.random() % timers;
    filled.now += 100;
    wanted[timer] = filled.now + TenToSeventySeconds(filled.random);
    // Lazy: an entry that comes up earlier is left, and moved when it does.
    if (!kLazy || !index.Contains(timer) || wanted[timer] < index.DeadlineOf(timer)) {
      index.Set(timer, wanted[timer]);
    }
    if (++batch < kBatch) continue;
    batch = 0;
    uint32_t due;
    while (index.TakeDue(filled.now, &due)) index.Set(due, wanted[due]);
    benchmark::DoNotOptimize(index.Next());
  }
}

// A timer is set and removed again.
template <typename Index>
void SetAndRemove(benchmark::State& state) {
  const auto timers = static_cast<uint32_t>(state.range(0));
  Filled<Index> filled(timers);
  for (auto _ : state) {
    const uint32_t timer = filled.random() % timers;
    filled.index->Remove(timer);
    filled.now += 100;
    filled.index->Set(timer, filled.now + TenToSeventySeconds(filled.random));
  }
}

// Every timer expires in turn and is set one period ahead, as a periodic timer
// is; the next deadline is asked for each time, as before a sleep.
template <typename Index>
void Expire(benchmark::State& state) {
  const auto timers = static_cast<uint32_t>(state.range(0));
  Filled<Index> filled(timers);
  Index& index = *filled.index;
  for (auto _ : state) {
    filled.now = index.Next();
    uint32_t due = 0;
    if (!index.TakeDue(filled.now, &due)) state.SkipWithError("the next deadline was not due");
    index.Set(due, filled.now + 60 * kSecond);
  }
}

// 256 timers are set to be due at once, and taken, among many that are not.
template <typename Index>
void Burst(benchmark::State& state) {
  const auto timers = static_cast<uint32_t>(state.range(0));
  Filled<Index> filled(timers + kBatch);
  Index& index = *filled.index;
  for (auto _ : state) {
    filled.now += 1000;
    for (uint32_t i = 0; i < kBatch; ++i) index.Set(timers + i, filled.now - i);
    uint32_t due;
    int taken = 0;
    while (index.TakeDue(filled.now, &due)) ++taken;
    if (taken != kBatch) state.SkipWithError("what was due was not taken");
  }
  state.SetItemsProcessed(state.iterations() * kBatch);
}

#define EACH_SIZE Arg(100)->Arg(10'000)->Arg(1'000'000)
BENCHMARK_TEMPLATE(SetAgain, Heap, true)->EACH_SIZE->Name("set again, lazily/heap");
BENCHMARK_TEMPLATE(SetAgain, TimingWheel, true)->EACH_SIZE->Name("set again, lazily/wheel");
BENCHMARK_TEMPLATE(SetAgain, Buckets, true)->EACH_SIZE->Name("set again, lazily/buckets");
BENCHMARK_TEMPLATE(SetAgain, Heap, false)->EACH_SIZE->Name("set again, eagerly/heap");
BENCHMARK_TEMPLATE(SetAgain, TimingWheel, false)->EACH_SIZE->Name("set again, eagerly/wheel");
BENCHMARK_TEMPLATE(SetAgain, Buckets, false)->EACH_SIZE->Name("set again, eagerly/buckets");
BENCHMARK_TEMPLATE(SetAndRemove, Heap)->EACH_SIZE->Name("set and remove/heap");
BENCHMARK_TEMPLATE(SetAndRemove, TimingWheel)->EACH_SIZE->Name("set and remove/wheel");
BENCHMARK_TEMPLATE(SetAndRemove, Buckets)->EACH_SIZE->Name("set and remove/buckets");
BENCHMARK_TEMPLATE(Expire, Heap)->EACH_SIZE->Name("expire one by one/heap");
BENCHMARK_TEMPLATE(Expire, TimingWheel)->EACH_SIZE->Name("expire one by one/wheel");
BENCHMARK_TEMPLATE(Expire, Buckets)->EACH_SIZE->Name("expire one by one/buckets");
BENCHMARK_TEMPLATE(Burst, Heap)->EACH_SIZE->Name("burst of 256/heap");
BENCHMARK_TEMPLATE(Burst, TimingWheel)->EACH_SIZE->Name("burst of 256/wheel");
BENCHMARK_TEMPLATE(Burst, Buckets)->EACH_SIZE->Name("burst of 256/buckets");

// The same operations on the index and on a sorted set of (deadline, order).
template <typename Index>
bool AgreesWithSet(uint64_t seed) {
  constexpr uint32_t kTimers = 300;
  Index index(kTimers);
  std::set<std::pair<uint64_t, std::pair<uint64_t, uint32_t>>> model;
  std::vector<std::pair<uint64_t, uint64_t>> keys(kTimers);
  Random random(static_cast<unsigned>(seed));
  uint64_t now = kStart;
  uint64_t order = 0;
  for (int step = 0; step < 20'000; ++step) {
    const uint32_t timer = random() % kTimers;
    const uint64_t ahead = random() % (uint64_t{1} << random() % 40);
    if (step % 3 != 2) {
      if (index.Contains(timer)) model.erase({keys[timer].first, {keys[timer].second, timer}});
      keys[timer] = {now + 1 + ahead, ++order};
      model.insert({keys[timer].first, {keys[timer].second, timer}});
      index.Set(timer, now + 1 + ahead);
    } else if (step % 2 == 0) {
      if (index.Contains(timer)) model.erase({keys[timer].first, {keys[timer].second, timer}});
      index.Remove(timer);
    } else {
      now += ahead;
      uint32_t due;
      while (index.TakeDue(now, &due)) {
        if (model.empty() || model.begin()->first > now) return false;
        if (model.begin()->first != keys[due].first) return false;
        model.erase({keys[due].first, {keys[due].second, due}});
      }
      if (!model.empty() && model.begin()->first <= now) return false;
    }
    if (index.Next() != (model.empty() ? 0 : model.begin()->first)) return false;
  }
  return true;
}

void PrintHelp() {
  std::puts(
      "usage: index_bench [OPTION...]\n\n"
      "Measures heap, timing wheel and buckets above a heap on what the engine asks of an index,\n"
      "for 100 to 1 000 000 timers, in nanoseconds, after a comparison of each with a std::set;\n"
      "in about a minute.  Its options are those of Google Benchmark, of which these have another\n"
      "default here: --benchmark_enable_random_interleaving=true --benchmark_repetitions=5\n"
      "--benchmark_min_time=0.1 --benchmark_report_aggregates_only=true\n");
  benchmark::PrintDefaultHelp();
}

}  // namespace

int main(int argc, char** argv) {
  // Later options of the command line override these.
  std::vector<std::string> options = {argv[0], "--benchmark_enable_random_interleaving=true",
                                      "--benchmark_repetitions=5", "--benchmark_min_time=0.1",
                                      "--benchmark_report_aggregates_only=true"};
  options.insert(options.end(), argv + 1, argv + argc);
  std::vector<char*> arguments;
  arguments.reserve(options.size() + 1);
  for (std::string& option : options) arguments.push_back(option.data());
  arguments.push_back(nullptr);
  int count = static_cast<int>(options.size());
  benchmark::Initialize(&count, arguments.data(), PrintHelp);
  if (benchmark::ReportUnrecognizedArguments(count, arguments.data())) {
    std::fprintf(stderr, "Try '%s --help'.\n", argv[0]);
    return 2;
  }
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    if (!AgreesWithSet<Heap>(seed) || !AgreesWithSet<TimingWheel>(seed) ||
        !AgreesWithSet<Buckets>(seed)) {
      std::fprintf(stderr, "index_bench: an index disagrees with std::set, seed %llu\n",
                   static_cast<unsigned long long>(seed));
      return EXIT_FAILURE;
    }
  }
  benchmark::RunSpecifiedBenchmarks();
  return EXIT_SUCCESS;
}
