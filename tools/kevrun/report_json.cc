// SPDX-License-Identifier: MIT

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tools/kevrun/json.h"
#include "tools/kevrun/report.h"

namespace kevent::kevrun {

using report::Kind;
using report::Queue;
using report::Site;
using report::State;
using report::Table;
using report::Timer;

namespace {

std::string NumberOrNull(const std::optional<uint64_t>& number) {
  return number ? absl::StrCat(*number) : "null";
}

std::string OfPlace(const observe::Place& place, const std::string& name) {
  return JsonObject()
      .Add("name", name)
      .Add("object", place.object)
      .Add("function", place.function)
      .Add("offset", place.in_object)
      .Text();
}

std::string OfTimer(const Report& report, const Site& site, const Timer& timer) {
  JsonObject object;
  object.Add("serial", timer.serial)
      .Add("timer", absl::StrCat(timer.timer))
      .Add("live", timer.state == State::kLive)
      .Add("value_ns", timer.setting.value.load())
      .Add("interval_ns", timer.setting.interval.load())
      .Add("absolute", (timer.setting.flags & TIMER_ABSTIME) != 0)
      .Add("settings", report.Settings(timer))
      .Add("disarmings", timer.disarmings)
      .Add("replaced", report.Replaced(timer))
      .AddText("expirations", NumberOrNull(report.Expirations(timer)))
      .Add("overruns", timer.overruns);
  if (timer.queue >= 0) {
    object.Add("queue", int64_t{timer.queue})
        .Add("collections", timer.collections)
        .Add("lateness_ns", timer.lateness)
        .Add("most_late_ns", timer.most_late);
  }
  if (site.notify == report::Notify::kThreadId) object.Add("thread_id", int64_t{timer.thread});
  if (site.notify == report::Notify::kThread) {
    object.Add("callbacks", timer.callbacks).Add("most_at_once", timer.most_at_once);
  }
  return object.Text();
}

template <size_t kCells>
std::string OfHistogram(const report::Histogram<kCells>& histogram) {
  size_t last = kCells;
  while (last > 0 && histogram.cells[last - 1] == 0) --last;
  std::vector<std::string> cells;
  for (size_t i = 0; i < last; ++i) cells.push_back(absl::StrCat(histogram.cells[i].load()));
  return absl::StrCat("[", absl::StrJoin(cells, ","), "]");
}

std::string OfTimers(const Report& report, const TimersOfPlace& place) {
  const Site& site = *place.site;
  const report::Sums& sums = *place.sums;
  std::vector<std::string> timers;
  for (const Timer* const timer : place.timers) timers.push_back(OfTimer(report, site, *timer));
  return JsonObject()
      .AddText("created_in", OfPlace(site.place, place.name))
      .Add("clock", ClockName(site.clock))
      .Add("clockid", int64_t{site.clock})
      .Add("notify", NotifyName(site))
      .Add("signal", int64_t{site.signal})
      .Add("timers", sums.timers)
      .Add("settings", sums.settings)
      .Add("disarmings", sums.disarmings)
      .Add("replaced", sums.replaced)
      .AddText("expirations", NumberOrNull(place.expirations))
      .Add("expirations_are_computed", !Report::AreCounted(site))
      .Add("overruns", sums.overruns)
      .Add("collections", sums.collections)
      .Add("lateness_ns", sums.lateness)
      .Add("most_late_ns", sums.most_late)
      .AddText("lateness_by_powers_of_2_ns", OfHistogram(site.lateness))
      .Add("callbacks", sums.callbacks)
      .Add("most_at_once", sums.most_at_once)
      .Add("failed", site.failed)
      .Add("failed_with_eagain", site.again)
      .AddText("each", absl::StrCat("[", absl::StrJoin(timers, ",\n"), "]"))
      .Text();
}

// By their numbers: ukevent.type.
std::string OfTypes(const Queue& queue) {
  JsonObject object;
  for (size_t i = 0; i < queue.types.size(); ++i) {
    if (queue.types[i] != 0) object.Add(absl::StrCat(i), queue.types[i]);
  }
  return object.Text();
}

std::string OfQueue(size_t descriptor, const Queue& queue) {
  return JsonObject()
      .Add("descriptor", uint64_t{descriptor})
      .AddText("made_in", OfPlace(queue.place, PlaceName(queue.place)))
      .Add("made", queue.queues)
      .Add("collections", queue.calls)
      .Add("events", queue.events)
      .Add("empty", queue.empty)
      .Add("might_sleep", queue.waits)
      .Add("inside_ns", queue.inside)
      .Add("interrupted", queue.interrupted)
      .Add("failed", queue.failed)
      .AddText("batches_by_powers_of_2", OfHistogram(queue.batches))
      .AddText("events_by_type", OfTypes(queue))
      .Add("kevents_added", queue.commands[0])
      .Add("kevents_removed", queue.commands[1])
      .Add("kevents_modified", queue.commands[2])
      .Add("kevents_made_ready", queue.commands[3])
      .Text();
}

std::string OfOperations(const report::Operations& operations) {
  return JsonObject()
      .Add("started", operations.started)
      .Add("failed", operations.failed)
      .Add("finished", operations.finished)
      .Add("errors", operations.errors)
      .Add("bytes_asked", operations.asked)
      .Add("bytes_done", operations.done)
      .Add("time_ns", operations.time)
      .Add("longest_ns", operations.longest)
      .Text();
}

std::string OfAio(const Table& table) {
  return JsonObject()
      .AddText("read", OfOperations(table.operations[static_cast<size_t>(Kind::kRead)]))
      .AddText("write", OfOperations(table.operations[static_cast<size_t>(Kind::kWrite)]))
      .AddText("fsync", OfOperations(table.operations[static_cast<size_t>(Kind::kSync)]))
      .Add("lists", table.lists)
      .Add("most_at_once", table.most_flying)
      .Text();
}

std::string OfDropped(const Table& table) {
  return JsonObject()
      .Add("timers", table.dropped_timers)
      .Add("timers_of_further_places", table.dropped_sites)
      .Add("callbacks_of_timers", table.dropped_callbacks)
      .Add("queues", table.dropped_queues)
      .Add("times_of_operations", table.dropped_operations)
      .Text();
}

std::string OfProcess(const Report& report) {
  const Table& table = report.table();
  std::vector<std::string> places;
  std::vector<std::string> queues;
  for (const TimersOfPlace& place : report.places()) places.push_back(OfTimers(report, place));
  for (size_t i = 0; i < report::kQueues; ++i) {
    if (!report::HasMemory(table.has_queues, i, report::kQueues)) continue;
    const Queue& queue = table.queues[i];
    if (queue.queues != 0 || queue.calls != 0) queues.push_back(OfQueue(i, queue));
  }
  JsonObject object;
  object.Add("pid", uint64_t{table.file.pid})
      .Add("parent", uint64_t{table.file.parent})
      .Add("program", table.file.program)
      .Add("runs", report.runs())
      .Add("began_realtime_ns", table.file.began_real);
  const std::optional<uint64_t> lasted =
      report.end() == 0 ? std::nullopt : std::optional(report.end() - table.file.began);
  object.AddText("lasted_ns", NumberOrNull(lasted));
  return object.Add("rlimit_sigpending_at_eagain", table.most_signals)
      .AddText("timers", absl::StrCat("[", absl::StrJoin(places, ",\n"), "]"))
      .AddText("queues", absl::StrCat("[", absl::StrJoin(queues, ",\n"), "]"))
      .AddText("aio", OfAio(table))
      .AddText("dropped", OfDropped(table))
      .Text();
}

class Json final : public Rendering {
 public:
  explicit Json(const std::vector<pid_t>& without) : without_(absl::StrJoin(without, ",")) {}
  void Add(const Report& report) override {
    absl::StrAppend(&processes_, processes_.empty() ? "" : ",\n", OfProcess(report));
  }
  std::string Text() const override {
    return absl::StrCat("{\"version\":1,\"processes\":[", processes_,
                        "],\"processes_without_table\":[", without_, "]}\n");
  }

 private:
  std::string processes_;
  const std::string without_;
};

}  // namespace

std::unique_ptr<Rendering> RenderJson(const std::vector<pid_t>& without) {
  return std::make_unique<Json>(without);
}

}  // namespace kevent::kevrun
