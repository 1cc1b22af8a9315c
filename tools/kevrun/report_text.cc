// SPDX-License-Identifier: MIT

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tools/kevrun/report.h"

namespace kevent::kevrun {

using report::Kind;
using report::Notify;
using report::Queue;
using report::Site;
using report::State;
using report::Table;
using report::Timer;

namespace {

// More timers of one place have one line together.
constexpr size_t kMostLines = 4;

std::string Duration(uint64_t nanoseconds) {
  const auto number = static_cast<double>(nanoseconds);
  if (nanoseconds < 1'000) return absl::StrCat(nanoseconds, " ns");
  if (nanoseconds < 1'000'000) return absl::StrFormat("%.3g µs", number / 1e3);
  if (nanoseconds < 1'000'000'000) return absl::StrFormat("%.3g ms", number / 1e6);
  return absl::StrFormat("%.4g s", number / 1e9);
}

// Columns as wide as they must be; the first is aligned to the left, and others to the right.
class Grid {
 public:
  explicit Grid(std::vector<std::string> head) { Add(std::move(head)); }
  void Add(std::vector<std::string> cells) { lines_.push_back(std::move(cells)); }

  std::string Text() const {
    std::vector<size_t> widths(lines_[0].size());
    for (const auto& line : lines_) {
      for (size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], Width(line[i]));
    }
    std::string text;
    for (const auto& line : lines_) {
      std::string row;
      for (size_t i = 0; i < line.size(); ++i) {
        const std::string space(widths[i] - Width(line[i]), ' ');
        absl::StrAppend(&row, "  ", i == 0 ? "" : space, line[i], i == 0 ? space : "");
      }
      absl::StrAppend(&text, row, "\n");
    }
    return text;
  }

 private:
  // Of characters: µ has two bytes.
  static size_t Width(const std::string& text) {
    return static_cast<size_t>(
        std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
  }

  std::vector<std::vector<std::string>> lines_;
};

std::string Setting(const Timer& timer) {
  const int64_t value = timer.setting.value;
  const int64_t interval = timer.setting.interval;
  if (value == 0 && interval == 0) return "-";
  const bool is_absolute = (timer.setting.flags & TIMER_ABSTIME) != 0;
  std::string first =
      is_absolute ? "a moment" : Duration(static_cast<uint64_t>(std::max<int64_t>(value, 0)));
  if (interval == 0) return first;
  const std::string each = absl::StrCat("each ", Duration(static_cast<uint64_t>(interval)));
  return value == interval ? each : absl::StrCat(first, ", ", each);
}

std::string SettingOf(const TimersOfPlace& place) {
  if (place.timers.empty()) return "-";
  std::string common = Setting(*place.timers[0]);
  for (const Timer* const timer : place.timers) {
    if (Setting(*timer) != common) return "various";
  }
  return common;
}

// A `~` says that it was computed.
std::string Expirations(const Site& site, const std::optional<uint64_t>& count) {
  return count ? absl::StrCat(Report::AreCounted(site) ? "" : "~", *count) : "-";
}

std::string Lateness(const Site& site, const report::Sums& sums) {
  if (sums.collections == 0) return "-";
  return absl::StrCat("<", Duration(MedianOf(site.lateness) + 1), " / ", Duration(sums.most_late));
}

std::string Timers(const Report& report) {
  if (report.places().empty()) return "";
  Grid grid({"created in", "clock", "notify", "timers", "set to", "settings", "replaced",
             "expirations", "overruns", "late: median/most", "callbacks (at once)", "failed"});
  for (const TimersOfPlace& place : report.places()) {
    const Site& site = *place.site;
    const report::Sums& sums = *place.sums;
    const bool is_thread = site.notify == Notify::kThread;
    grid.Add(
        {place.name, ClockName(site.clock), NotifyName(site), absl::StrCat(sums.timers.load()),
         SettingOf(place), absl::StrCat(sums.settings.load()), absl::StrCat(sums.replaced.load()),
         Expirations(site, place.expirations), absl::StrCat(sums.overruns.load()),
         Lateness(site, sums),
         is_thread ? absl::StrCat(sums.callbacks.load(), " (", sums.most_at_once.load(), ")") : "-",
         absl::StrCat(site.failed.load())});
    if (place.timers.size() < 2 || place.timers.size() > kMostLines) continue;
    for (const Timer* const timer : place.timers) {
      grid.Add({absl::StrCat("  timer ", timer->serial.load(),
                             timer->state == State::kEnded ? ", deleted" : ""),
                "", "", "", Setting(*timer), absl::StrCat(report.Settings(*timer)),
                absl::StrCat(report.Replaced(*timer)),
                Expirations(site, report.Expirations(*timer)), absl::StrCat(timer->overruns.load()),
                timer->collections == 0 ? "-" : absl::StrCat("/ ", Duration(timer->most_late)),
                is_thread
                    ? absl::StrCat(timer->callbacks.load(), " (", timer->most_at_once.load(), ")")
                    : "-",
                ""});
    }
  }
  return absl::StrCat("\ntimers\n", grid.Text());
}

// Why timers could not be created.
std::string Limits(const Table& table) {
  uint64_t again = 0;
  for (const Site& site : table.sites) again += site.again;
  if (again == 0) return "";
  return absl::StrCat("  timer_create failed ", again,
                      " times with EAGAIN: each timer that notifies by a signal or a thread takes "
                      "one of the signals that RLIMIT_SIGPENDING allows its user, ",
                      table.most_signals.load(), "\n");
}

std::string Batches(const Queue& queue) {
  std::string text;
  for (size_t i = 0; i < queue.batches.cells.size(); ++i) {
    const uint64_t count = queue.batches.cells[i];
    if (count == 0) continue;
    const uint64_t first = i == 0 ? 0 : uint64_t{1} << (i - 1);
    const uint64_t last = (uint64_t{1} << i) - 1;
    absl::StrAppend(&text, text.empty() ? "" : ", ", first);
    if (last > first) absl::StrAppend(&text, "-", last);
    absl::StrAppend(&text, ": ", count);
  }
  return text;
}

std::string Queues(const Table& table) {
  Grid grid({"queue", "collections", "events", "empty", "might sleep", "inside them", "EINTR",
             "failed", "events a collection: how often"});
  bool is_any = false;
  for (size_t i = 0; i < report::kQueues; ++i) {
    if (!report::HasMemory(table.has_queues, i, report::kQueues)) continue;
    const Queue& queue = table.queues[i];
    if (queue.queues == 0 && queue.calls == 0) continue;
    is_any = true;
    const std::string maker = PlaceName(queue.place);
    grid.Add({queue.known == 0 ? absl::StrCat(i, ", a copy or inherited")
              : queue.queues > 1
                  ? absl::StrCat(i, ", made in ", maker, ", ", queue.queues.load(), " in turn")
                  : absl::StrCat(i, ", made in ", maker),
              absl::StrCat(queue.calls.load()), absl::StrCat(queue.events.load()),
              absl::StrCat(queue.empty.load()), absl::StrCat(queue.waits.load()),
              Duration(queue.inside), absl::StrCat(queue.interrupted.load()),
              absl::StrCat(queue.failed.load()), Batches(queue)});
  }
  return is_any ? absl::StrCat("\nqueues\n", grid.Text()) : "";
}

std::string Operations(const Table& table) {
  Grid grid({"asynchronous I/O", "started", "failed", "finished", "errors", "bytes asked",
             "bytes done", "mean time", "longest"});
  const std::array<const char*, static_cast<size_t>(Kind::kCount)> names = {"read", "write",
                                                                            "fsync"};
  bool is_any = false;
  for (size_t i = 0; i < names.size(); ++i) {
    const report::Operations& operations = table.operations[i];
    if (operations.started == 0 && operations.failed == 0) continue;
    is_any = true;
    const uint64_t finished = operations.finished;
    grid.Add({names[i], absl::StrCat(operations.started.load()),
              absl::StrCat(operations.failed.load()), absl::StrCat(finished),
              absl::StrCat(operations.errors.load()), absl::StrCat(operations.asked.load()),
              absl::StrCat(operations.done.load()),
              finished == 0 ? "-" : Duration(operations.time / finished),
              finished == 0 ? "-" : Duration(operations.longest)});
  }
  if (!is_any) return "";
  return absl::StrCat("\n", grid.Text(), "  at once: ", table.most_flying.load(),
                      "; calls of lio_listio: ", table.lists.load(), "\n");
}

std::string Dropped(const Table& table) {
  std::string text;
  const auto say = [&text](const report::Count& count, const char* what) {
    if (count != 0)
      absl::StrAppend(&text, "  not in this report, for want of room: ", count.load(), " ", what,
                      "\n");
  };
  say(table.dropped_timers, "timers");
  say(table.dropped_sites, "timers of further places");
  say(table.dropped_callbacks, "timers' callbacks");
  const std::string queues = absl::StrCat("queues of descriptors from ", report::kQueues, " on");
  say(table.dropped_queues, queues.c_str());
  say(table.dropped_operations, "operations' times");
  return text;
}

std::string Head(const Report& report) {
  const observe::FileHeader& file = report.table().file;
  std::string text = absl::StrCat(file.program, " (process ", file.pid, ")");
  if (report.end() != 0) {
    absl::StrAppend(&text, report.runs() ? ": runs, " : ": ended after ",
                    Duration(report.end() - file.began), report.runs() ? " so far" : "");
  } else {
    absl::StrAppend(&text, ": ended without exit, or executed another program");
  }
  return absl::StrCat(text, "\n");
}

class Tables final : public Rendering {
 public:
  explicit Tables(const std::vector<pid_t>& without) {
    for (const pid_t pid : without) {
      absl::StrAppend(&without_, "Process ", pid,
                      " is not in this report: no table could be made, ",
                      "for want of room or by RLIMIT_FSIZE.\n");
    }
  }

  void Add(const Report& report) override {
    const Table& table = report.table();
    absl::StrAppend(&tables_, tables_.empty() && without_.empty() ? "" : "\n", Head(report),
                    Timers(report), Limits(table), Queues(table), Operations(table),
                    Dropped(table));
    for (const TimersOfPlace& place : report.places()) {
      is_computed_ = is_computed_ || !Report::AreCounted(*place.site);
    }
  }

  std::string Text() const override {
    if (tables_.empty()) {
      return without_ + "kevrun saw no timer, asynchronous operation or queue in any process.\n";
    }
    return absl::StrCat(without_, tables_,
                        is_computed_ ? "\n~: computed from the settings and the clock\n" : "");
  }

 private:
  std::string without_;
  std::string tables_;
  bool is_computed_ = false;
};

}  // namespace

std::unique_ptr<Rendering> RenderTables(const std::vector<pid_t>& without) {
  return std::make_unique<Tables>(without);
}

}  // namespace kevent::kevrun
