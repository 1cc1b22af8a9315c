// SPDX-License-Identifier: MIT

#include "bench/kevbench/growth.h"

#include <absl/strings/str_cat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <numeric>
#include <optional>

#include "bench/kevbench/table.h"

namespace kevbench {
namespace {

constexpr char kFloor[] = "growth, floor";

std::vector<size_t> Sizes(Pace pace) {
  if (pace == Pace::kSmoke) return {300, 3'000};
  return {10'000, 100'000, 1'000'000, 10'000'000};
}

// ---- What grows ------------------------------------------------------------------

// What memory alone costs: a random one of N records of 64 bytes is looked up by a handle and
// changed, as one is that belongs to a timer.  With more records fewer are in the caches.
absl::StatusOr<Metrics> RunFloor(const WayInfo& /*way*/, size_t count, Pace pace) {
  struct alignas(64) Record {
    std::atomic<uint64_t> changes{0};
  };
  const auto records = std::make_unique<Record[]>(count);
  std::vector<Record*> handles(count);
  for (size_t i = 0; i < count; ++i) handles[i] = &records[i];
  Random random;
  for (size_t i = count; i > 1; --i) std::swap(handles[i - 1], handles[random.Below(i)]);

  const Nanoseconds end = Now() + Slice(pace);
  const Nanoseconds begin = CpuTime();
  uint64_t done = 0;
  do {
    for (size_t i = 0; i < kBatch; ++i) ++handles[random.Below(count)]->changes;
    done += kBatch;
  } while (Now() < end);
  const auto cost = static_cast<double>(CpuTime() - begin) / static_cast<double>(done);
  const uint64_t sum =
      std::accumulate(&records[0], &records[count], uint64_t{0},
                      [](uint64_t before, const Record& it) { return before + it.changes; });
  if (sum != done) return absl::InternalError("a change is lost");
  return Metrics{{"ns", cost}};
}

struct Grown {
  absl::string_view name;
  absl::string_view way;
  absl::StatusOr<Metrics> (*run)(const WayInfo& way, size_t timers, Pace pace);
  struct Shown {
    absl::string_view metric;
    absl::string_view what;
    Unit unit;
  };
  std::vector<Shown> shown;
};

const std::vector<Grown>& All() {
  static const std::vector<Grown>* const kAll = new std::vector<Grown>{
      {kFloor, "libkevent", RunFloor, {{"ns", "memory alone: a random record", Unit::kTime}}},
      {"growth, re-arm", "libkevent", RunRearm, {{"ns", "re-arm", Unit::kTime}}},
      {"growth, re-arm",
       "libkevent, batches",
       RunRearm,
       {{"ns", "re-arm in batches", Unit::kTime}}},
      {"growth, arm-cancel", "libkevent", RunArmAndCancel, {{"ns", "arm-cancel", Unit::kTime}}},
      {"growth, arm-cancel",
       "libkevent, batches",
       RunArmAndCancel,
       {{"ns", "arm-cancel in batches", Unit::kTime}}},
      {"growth, burst", "libkevent", RunBurst, {{"ns", "burst", Unit::kTime}}},
      {"growth, burst", "libkevent, batches", RunBurst, {{"ns", "burst in batches", Unit::kTime}}},
      {"growth, expire",
       "libkevent",
       RunExpireDensely,
       {{"ns", "expire, one a microsecond", Unit::kTime}}},
      {"growth, create-delete",
       "libkevent",
       RunCreateAndDelete,
       {{"ns", "create-delete", Unit::kTime}, {"first", "create-delete, new memory", Unit::kTime}}},
      {"growth, memory", "libkevent", RunMemory, {{"bytes", "memory of a timer", Unit::kBytes}}},
  };
  return *kAll;
}

const WayInfo& WayNamed(absl::string_view name) {
  const auto& ways = Ways();
  return *std::find_if(ways.begin(), ways.end(),
                       [&](const WayInfo& way) { return way.name == name; });
}

// Timers, the recorder's counts of them, and what a run puts beside them: less than this each.
constexpr uint64_t kMostBytes = 400;

uint64_t AvailableBytes() {
  std::ifstream info("/proc/meminfo");
  uint64_t kilobytes = 0;
  for (std::string word; info >> word;) {
    if (word == "MemAvailable:" && info >> kilobytes) break;
  }
  return kilobytes * 1024;
}

bool Repeat(const Grown& grown, size_t timers, Pace pace, Cell* cell) {
  if (AvailableBytes() < timers * kMostBytes) {
    cell->note = "too little memory";
    return true;
  }
  const int repetitions = pace == Pace::kSmoke || timers > 1'000'000 ? 1 : 3;
  for (int i = 0; i < repetitions; ++i) {
    alarm(300);
    const absl::StatusOr<Metrics> metrics = grown.run(WayNamed(grown.way), timers, pace);
    alarm(0);
    if (metrics.ok()) {
      cell->repetitions.push_back(*metrics);
      continue;
    }
    cell->note = std::string(metrics.status().message());
    std::fprintf(stderr, "kevbench: %s, %zu timers: FAILED: %s\n", std::string(grown.name).c_str(),
                 timers, cell->note.c_str());
    return false;
  }
  return true;
}

// ---- By how much -----------------------------------------------------------------

std::optional<double> Of(const Grown& grown, absl::string_view metric, size_t timers,
                         const Results& results) {
  return results.Median(grown.name, timers, grown.way, metric);
}

// The value, and the factor to that of the number before.
std::string Field(const Grown& grown, const Grown::Shown& shown, std::optional<size_t> before,
                  size_t timers, const Results& results) {
  const auto value = Of(grown, shown.metric, timers, results);
  if (!value) {
    const Cell* const cell = results.Find(grown.name, timers, grown.way);
    return cell == nullptr || cell->note.empty() ? "-" : cell->note;
  }
  std::string field = Format(*value, shown.unit);
  const auto less = before ? Of(grown, shown.metric, *before, results) : std::nullopt;
  if (less && *less > 0) absl::StrAppend(&field, " ×", FormatRatio(*value / *less));
  return field;
}

// From the first number to the last: the factor, the most that it may be, and whether it is less.
// A cost is steps times what a step costs: the steps may grow as log N does, and what a step costs
// as an access to memory does.  Not from one number to the next, since the parts of a timer's
// record leave the caches one after the other.
std::array<std::string, 3> InAll(const Grown& grown, const Grown::Shown& shown, size_t first,
                                 size_t last, const Results& results) {
  const auto low = Of(grown, shown.metric, first, results);
  const auto high = Of(grown, shown.metric, last, results);
  const auto memory_low = Of(All().front(), "ns", first, results);
  const auto memory_high = Of(All().front(), "ns", last, results);
  if (!low || !high || !memory_low || !memory_high || *low <= 0 || *memory_low <= 0) {
    return {"not measured", "", "-"};
  }
  const double growth = *high / *low;
  const std::string factor = absl::StrCat("×", FormatRatio(growth));
  if (grown.name == kFloor) return {factor, "", ""};
  double most = std::log(static_cast<double>(last)) / std::log(static_cast<double>(first));
  if (shown.unit == Unit::kTime) most *= std::max(*memory_high / *memory_low, 1.0);
  return {factor, absl::StrCat("≤ ×", FormatRatio(most)), growth <= most ? "yes" : "NO"};
}

}  // namespace

bool RunGrowth(Pace pace, Results* results) {
  bool passed = true;
  for (const Grown& grown : All()) {
    const Nanoseconds begin = Now();
    for (const size_t timers : Sizes(pace)) {
      Cell& cell = (*results)[{std::string(grown.name), timers, std::string(grown.way)}];
      passed = Repeat(grown, timers, pace, &cell) && passed;
    }
    std::fprintf(stderr, "%s, %s: %.1f s\n", std::string(grown.name).c_str(),
                 std::string(grown.way).c_str(), static_cast<double>(Now() - begin) / kSecond);
  }
  return passed;
}

std::string ReportGrowth(const Results& results, const Style& style) {
  const std::vector<size_t> sizes = Sizes(style.pace);
  Table table;
  table.headings.emplace_back("timers");
  for (const size_t timers : sizes) table.headings.push_back(FormatCount(timers));
  for (const char* const heading : {"in all", "wanted", "reached"}) {
    table.headings.emplace_back(heading);
  }
  for (const Grown& grown : All()) {
    for (const Grown::Shown& shown : grown.shown) {
      std::vector<std::string> row = {std::string(shown.what)};
      std::optional<size_t> before;
      for (const size_t timers : sizes) {
        row.push_back(Field(grown, shown, before, timers, results));
        before = timers;
      }
      for (std::string& field : InAll(grown, shown, sizes.front(), sizes.back(), results)) {
        row.push_back(std::move(field));
      }
      // At the numbers of a moment's run nothing is to be reached.
      if (style.pace == Pace::kSmoke) row.back() = "-";
      table.rows.push_back(std::move(row));
    }
  }
  return absl::StrCat(style.markdown ? "**growth**" : "growth",
                      ": the cost of each, × its factor to the number before; in all it may grow "
                      "as log N times an access to memory\n",
                      style.markdown ? "\n" : "",
                      style.markdown ? InMarkdown(table) : ForTerminal(table));
}

}  // namespace kevbench
