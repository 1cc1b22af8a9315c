// SPDX-License-Identifier: MIT
//
// What libkevent is to reach: ratios of medians, and two absolute values.  The goals are those of
// today; the older bounds are still looked at.

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include <algorithm>
#include <optional>

#include "bench/kevbench/report.h"
#include "bench/kevbench/table.h"

namespace kevbench {
namespace {

struct Value {
  std::string workload;
  size_t timers;
  std::string way;
  std::string metric;
};

// The least of `others` is to be `factor` times `ours`, or `ours` at most `most`.
struct Target {
  std::string what;
  Value ours;
  std::vector<Value> others = {};
  double factor = 0;
  double most = 0;
};

const char* const kOurs = "libkevent";
const char* const kBatches = "libkevent, batches";

std::vector<std::string> NamesOf(Kind kind) {
  std::vector<std::string> names;
  for (const WayInfo& way : Ways()) {
    if (way.kind == kind) names.emplace_back(way.name);
  }
  return names;
}

class Targets {
 public:
  std::vector<Target> list;

  // Cheaper than each of these ways, or later by less.
  void Than(const char* workload, size_t timers, const char* metric, const char* whom,
            const std::vector<std::string>& ways, double factor, const char* ours = kOurs) {
    Target target = {.what = whom, .ours = {workload, timers, ours, metric}, .factor = factor};
    for (const std::string& way : ways) target.others.push_back({workload, timers, way, metric});
    list.push_back(std::move(target));
  }
  void AtMost(const char* workload, size_t timers, const char* metric, double most) {
    list.push_back({"", {workload, timers, kOurs, metric}, {}, 0, most});
  }
};

// What is to be reached, with bounds that are thought to be within reach.
std::vector<Target> Wanted() {
  Targets targets;
  const auto loops = NamesOf(Kind::kLoop);
  const auto kernel = NamesOf(Kind::kKernel);
  targets.Than("re-arm", 10'000, "ns", "libev", {"libev"}, 1.5, kBatches);
  targets.Than("re-arm", 1'000'000, "ns", "libev", {"libev"}, 2, kBatches);
  targets.Than("re-arm", 1'000'000, "ns", "libuv", {"libuv"}, 5, kBatches);
  targets.Than("re-arm", 1'000'000, "ns", "libevent", {"libevent"}, 5, kBatches);
  for (const size_t timers : {1, 100, 10'000, 90'000, 1'000'000}) {
    targets.Than("arm-cancel", timers, "ns", "best event loop", loops, 1, kBatches);
  }
  for (const size_t timers : {256, 10'000}) {
    targets.Than("burst", timers, "ns", "best event loop", loops, 1, kBatches);
  }
  targets.Than("expire", 10'000, "ns", "best of the kernel's", kernel, 0.9);
  targets.Than("expire", 10'000, "p50", "timerfd", {"timerfd"}, 0.95);
  targets.Than("expire", 10'000, "p99", "timerfd", {"timerfd"}, 0.95);
  targets.Than("wake-up", 1, "p50", "timerfd", {"timerfd"}, 0.95);
  targets.Than("wake-up", 1, "p99", "timerfd", {"timerfd"}, 0.95);
  targets.Than("expire", 90'000, "ns", "best of the kernel's", kernel, 1);
  targets.Than("periodic", 1'000, "ns", "best of the kernel's", kernel, 5);
  targets.Than("periodic-spread", 1'000, "ns", "best of the kernel's", kernel, 1);
  return targets.list;
}

void AddExpiries(const char* workload, size_t timers, Targets* targets) {
  const auto loops = NamesOf(Kind::kLoop);
  targets->Than(workload, timers, "ns", "best of the kernel's", NamesOf(Kind::kKernel), 5);
  targets->Than(workload, timers, "ns", "best event loop", loops, 1);
  targets->Than(workload, timers, "ns", "best event loop", loops, 1, "libkevent, each ms");
  targets->Than(workload, timers, "p50", "timerfd", {"timerfd"}, 0.95);
  targets->Than(workload, timers, "p99", "timerfd", {"timerfd"}, 0.95);
}

std::vector<Target> OlderBounds() {
  Targets targets;
  for (const char* const workload : {"re-arm", "arm-cancel"}) {
    targets.Than(workload, 1, "ns", "sigwaitinfo", {"sigwaitinfo"}, 8);
    targets.Than(workload, 10'000, "ns", "sigwaitinfo", {"sigwaitinfo"}, 18);
    targets.Than(workload, 10'000, "ns", "timerfd", {"timerfd"}, 8);
    targets.Than(workload, 10'000, "ns", "libuv", {"libuv"}, 2.5);
    targets.Than(workload, 90'000, "ns", "sigwaitinfo", {"sigwaitinfo"}, 35);
    targets.Than(workload, 1'000'000, "ns", "libuv", {"libuv"}, 5);
    targets.Than(workload, 1'000'000, "ns", "libevent", {"libevent"}, 5);
    targets.Than(workload, 1'000'000, "ns", "libev", {"libev"}, 1.5);
  }
  for (const size_t timers : {256, 10'000}) {
    targets.Than("burst", timers, "ns", "sigwaitinfo", {"sigwaitinfo"}, 60);
    targets.Than("burst", timers, "ns", "timerfd", {"timerfd"}, 60);
    targets.Than("burst", timers, "ns", "best event loop", NamesOf(Kind::kLoop), 1);
  }
  AddExpiries("expire", 10'000, &targets);
  AddExpiries("expire", 90'000, &targets);
  AddExpiries("periodic", 1'000, &targets);
  AddExpiries("periodic-spread", 1'000, &targets);
  auto others = NamesOf(Kind::kKernel);
  for (const std::string& loop : NamesOf(Kind::kLoop)) others.push_back(loop);
  targets.Than("wake-up", 1, "p50", "best of all", others, 0.95);
  for (const size_t timers : {1, 10'000, 90'000}) {
    targets.Than("create-delete", timers, "ns", "sigwaitinfo", {"sigwaitinfo"}, 10);
    targets.Than("create-delete", timers, "ns", "timerfd", {"timerfd"}, 10);
  }
  for (const char* const metric : {"ns", "first"}) {
    targets.list.push_back({"itself, with one timer",
                            {"create-delete", 1'000'000, kOurs, metric},
                            {{"create-delete", 1, kOurs, "ns"}},
                            0.8});
  }
  targets.AtMost("memory", 1'000'000, "bytes", 128);
  for (const char* const metric : {"arm and collect", "one queue"}) {
    targets.Than("threads", 5'000, metric, "sigwaitinfo", {"sigwaitinfo"}, 5);
    targets.Than("threads", 5'000, metric, "timerfd", {"timerfd"}, 5);
  }
  // Of twice the CPUs, at least nine tenths.
  targets.list.push_back({"itself, two queues",
                          {"threads", 5'000, kOurs, "alone, rate"},
                          {{"threads", 5'000, kOurs, "two queues, rate"}},
                          1.8});
  targets.AtMost("start", 1, "more", 100'000);
  return targets.list;
}

std::optional<double> Find(const Results& results, const Value& value) {
  return results.Median(value.workload, value.timers, value.way, value.metric);
}

struct Verdict {
  std::string wanted;
  std::string measured = "not measured";
  std::string reached = "-";
};

std::string YesOrNo(bool yes) { return yes ? "yes" : "NO"; }

// How many times the cost of ours the least of the others is, and which that is.
struct Ratio {
  std::optional<double> value;
  std::string which;
};

Ratio RatioOf(const Target& target, const Results& results) {
  const auto ours = Find(results, target.ours);
  std::optional<double> least;
  const Value* which = nullptr;
  for (const Value& other : target.others) {
    const auto value = Find(results, other);
    if (!value || (least && *least <= *value)) continue;
    least = value;
    which = &other;
  }
  if (!ours || !least || *ours <= 0) return {};
  return {*least / *ours, target.others.size() > 1 ? which->way : ""};
}

Verdict Judge(const Target& target, const Results& results) {
  if (target.others.empty()) {
    const auto ours = Find(results, target.ours);
    const Unit unit = target.ours.metric == "bytes" ? Unit::kBytes : Unit::kTime;
    Verdict verdict = {.wanted = absl::StrCat("≤ ", Format(target.most, unit))};
    if (!ours) return verdict;
    verdict.measured = Format(*ours, unit);
    verdict.reached = YesOrNo(*ours <= target.most);
    return verdict;
  }
  Verdict verdict = {.wanted = absl::StrCat("≥ ", FormatRatio(target.factor))};
  const Ratio ratio = RatioOf(target, results);
  if (!ratio.value) return verdict;
  verdict.measured = FormatRatio(*ratio.value);
  if (!ratio.which.empty()) absl::StrAppend(&verdict.measured, " (", ratio.which, ")");
  verdict.reached = YesOrNo(*ratio.value >= target.factor);
  return verdict;
}

std::string Subject(const Value& ours) {
  std::string subject = absl::StrCat(ours.workload, ", ", FormatCount(ours.timers));
  if (ours.metric != "ns") absl::StrAppend(&subject, ", ", ours.metric);
  if (ours.way != kOurs) absl::StrAppend(&subject, " (", ours.way, ")");
  return subject;
}

// Workloads that were not asked for are left out.
bool Asked(const Target& target, const Results& results) {
  return std::any_of(results.cells().begin(), results.cells().end(), [&](const auto& cell) {
    return std::get<0>(cell.first) == target.ours.workload;
  });
}

}  // namespace

void AddGoals(const Results& results, const kevent::bench::Goals& goals) {
  for (const Target& target : Wanted()) {
    if (!Asked(target, results)) continue;
    const Ratio ratio = RatioOf(target, results);
    goals.AtLeast(Subject(target.ours), target.what, target.factor, ratio.value, ratio.which);
  }
}

std::string ReportTargets(const Results& results, const Style& style) {
  Table table;
  table.headings = {"what", "compared with", "wanted", "measured", "reached"};
  for (const Target& target : OlderBounds()) {
    if (!Asked(target, results)) continue;
    const Verdict verdict = Judge(target, results);
    table.rows.push_back(
        {Subject(target.ours), target.what, verdict.wanted, verdict.measured, verdict.reached});
  }
  return absl::StrCat(
      style.markdown ? "**older bounds**, not all of which can be kept:\n\n" : "older bounds\n",
      style.markdown ? InMarkdown(table) : ForTerminal(table));
}

}  // namespace kevbench
