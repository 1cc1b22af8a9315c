// SPDX-License-Identifier: MIT
//
// What libkevent is to reach: ratios of medians, and two absolute values.

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

// What is later by less is called no later.
constexpr double kNoise = 1 / 1.05;

void AddExpiries(const char* workload, size_t timers, Targets* targets) {
  const auto kernel = NamesOf(Kind::kKernel);
  const auto loops = NamesOf(Kind::kLoop);
  targets->Than(workload, timers, "ns", "best of the kernel's", kernel, 5);
  targets->Than(workload, timers, "ns", "best event loop", loops, 1);
  targets->Than(workload, timers, "ns", "best event loop", loops, 1, "libkevent, each ms");
  targets->Than(workload, timers, "p50", "timerfd, within 5 %", {"timerfd"}, kNoise);
  targets->Than(workload, timers, "p99", "timerfd, within 5 %", {"timerfd"}, kNoise);
}

std::vector<Target> AllTargets() {
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
  const auto loops = NamesOf(Kind::kLoop);
  targets.Than("re-arm", 10'000, "ns", "libev", {"libev"}, 1.5, kBatches);
  targets.Than("re-arm", 1'000'000, "ns", "libev", {"libev"}, 2, kBatches);
  targets.Than("re-arm", 1'000'000, "ns", "libuv", {"libuv"}, 5, kBatches);
  targets.Than("re-arm", 1'000'000, "ns", "libevent", {"libevent"}, 5, kBatches);
  for (const size_t timers : {1, 100, 10'000, 90'000, 1'000'000}) {
    targets.Than("arm-cancel", timers, "ns", "best event loop", loops, 1, kBatches);
  }
  for (const size_t timers : {256, 10'000}) {
    targets.Than("burst", timers, "ns", "best event loop", loops, 1, kBatches);
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
  targets.Than("wake-up", 1, "p50", "timerfd", {"timerfd"}, 1 / 1.05);
  targets.Than("wake-up", 1, "p99", "timerfd", {"timerfd"}, 1 / 1.2);
  targets.Than("wake-up", 1, "p50", "best of all", others, 1 / 1.05);
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

Verdict Judge(const Target& target, const Results& results) {
  const auto ours = Find(results, target.ours);
  if (target.others.empty()) {
    const Unit unit = target.ours.metric == "bytes" ? Unit::kBytes : Unit::kTime;
    Verdict verdict = {.wanted = absl::StrCat("≤ ", Format(target.most, unit))};
    if (!ours) return verdict;
    verdict.measured = Format(*ours, unit);
    verdict.reached = YesOrNo(*ours <= target.most);
    return verdict;
  }
  Verdict verdict = {.wanted = absl::StrCat("≥ ", FormatRatio(target.factor))};
  std::optional<double> least;
  const Value* which = nullptr;
  for (const Value& other : target.others) {
    const auto value = Find(results, other);
    if (!value || (least && *least <= *value)) continue;
    least = value;
    which = &other;
  }
  if (!ours || !least || *ours <= 0) return verdict;
  const double ratio = *least / *ours;
  verdict.measured = FormatRatio(ratio);
  if (target.others.size() > 1) absl::StrAppend(&verdict.measured, " (", which->way, ")");
  verdict.reached = YesOrNo(ratio >= target.factor);
  return verdict;
}

std::string Subject(const Value& ours) {
  std::string subject = absl::StrCat(ours.workload, ", ", FormatCount(ours.timers));
  if (ours.metric != "ns") absl::StrAppend(&subject, ", ", ours.metric);
  if (ours.way != kOurs) absl::StrAppend(&subject, " (", ours.way, ")");
  return subject;
}

}  // namespace

std::string ReportTargets(const Results& results, const Style& style) {
  Table table;
  table.headings = {"what", "compared with", "wanted", "measured", "reached"};
  for (const Target& target : AllTargets()) {
    // Workloads that were not asked for are left out.
    if (!std::any_of(results.cells().begin(), results.cells().end(), [&](const auto& cell) {
          return std::get<0>(cell.first) == target.ours.workload;
        })) {
      continue;
    }
    const Verdict verdict = Judge(target, results);
    table.rows.push_back(
        {Subject(target.ours), target.what, verdict.wanted, verdict.measured, verdict.reached});
  }
  return style.markdown ? InMarkdown(table) : ForTerminal(table);
}

}  // namespace kevbench
