// SPDX-License-Identifier: MIT

#include "tools/kevrun/report.h"

#include <absl/strings/str_cat.h>

#include <algorithm>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <map>

#include "adapters/report/sums.h"
#include "tools/kevrun/function_names.h"

namespace kevent::kevrun {

using report::Notify;
using report::Site;
using report::State;
using report::Table;
using report::Timer;

namespace {

int64_t Now(clockid_t clock) {
  timespec now = {};
  return clock_gettime(clock, &now) == 0 ? report::Nanoseconds(now) : 0;
}

// Of a process that runs, the operations that were started are counted after those that have
// finished: no more of them finish than have started.
void ReadStartedAgain(const Observed& file, Table* table) {
  std::string why;
  const auto later = CopyData(file.path, offsetof(Table, sites), &why);
  if (later == nullptr) return;
  const auto& operations = static_cast<const Table*>(later.get())->operations;
  for (size_t i = 0; i < operations.size(); ++i) {
    table->operations[i].started = operations[i].started.load();
    table->operations[i].asked = operations[i].asked.load();
  }
}

}  // namespace

std::optional<Report> Report::Read(const Observed& file, bool is_last, const Ended& ended,
                                   std::string* why) {
  Report found;
  found.table_ = ReadObserved<Table>(file, report::kMagic, report::kVersion, why);
  if (found.table_ == nullptr) return std::nullopt;
  found.end_ = EndOf(found.table_->file, file.path, is_last, ended);
  if (found.runs()) ReadStartedAgain(file, found.table_.get());
  found.Collect();
  return found;
}

void Report::Collect() {
  std::map<size_t, TimersOfPlace> places;
  for (size_t i = 0; i < report::kSites; ++i) {
    const Site& site = table_->sites[i];
    if (site.written == 0) continue;
    TimersOfPlace& place = places[i];
    place.site = &site;
    place.name = PlaceName(site.place);
    place.sums = std::make_unique<report::Sums>();
    place.expirations = site.ended.expirations.load();
    const report::Sums& ended = site.ended;
    report::Sums& sums = *place.sums;
    const auto copy = [&](auto member) { (sums.*member).store((ended.*member).load()); };
    using report::Sums;
    for (const auto member :
         {&Sums::timers, &Sums::settings, &Sums::disarmings, &Sums::replaced, &Sums::expirations,
          &Sums::collections, &Sums::overruns, &Sums::lateness, &Sums::most_late, &Sums::callbacks,
          &Sums::most_at_once}) {
      copy(member);
    }
  }
  for (size_t row = 0; row < report::kTimers; ++row) {
    if (!report::HasMemory(table_->has_timers, row, report::kTimers)) continue;
    const Timer& timer = table_->timers[row];
    if (timer.state != State::kLive && timer.state != State::kEnded) continue;
    const auto place = places.find(timer.site);
    if (place == places.end()) continue;
    place->second.timers.push_back(&timer);
    report::Sums& sums = *place->second.sums;
    AddTo(sums, table_->hot[row], timer);
    const std::optional<uint64_t> expirations = Expirations(timer);
    if (!expirations || !place->second.expirations) {
      place->second.expirations.reset();
    } else {
      *place->second.expirations += *expirations;
    }
  }
  for (auto& [number, place] : places) {
    std::sort(place.timers.begin(), place.timers.end(),
              [](const Timer* a, const Timer* b) { return a->serial.load() < b->serial.load(); });
    places_.push_back(std::move(place));
  }
  // As the program made them; those of which no row is left come first.
  const auto first = [](const TimersOfPlace& place) {
    return place.timers.empty() ? 0 : place.timers[0]->serial.load();
  };
  std::sort(places_.begin(), places_.end(),
            [&](const TimersOfPlace& a, const TimersOfPlace& b) { return first(a) < first(b); });
}

size_t AddReports(const std::vector<Observed>& files, const Ended& ended, Rendering* rendering) {
  size_t count = 0;
  for (size_t i = 0; i < files.size(); ++i) {
    const bool is_last = i + 1 == files.size() || files[i + 1].pid != files[i].pid;
    std::string why;
    const std::optional<Report> found = Report::Read(files[i], is_last, ended, &why);
    if (found) {
      rendering->Add(*found);
      ++count;
    } else if (!why.empty()) {
      std::fprintf(stderr, "kevrun: %s\n", why.c_str());
    }
  }
  return count;
}

uint64_t Report::Settings(const Timer& timer) const {
  return report::SettingsOf(table_->hot[static_cast<size_t>(&timer - table_->timers.data())],
                            timer);
}

uint64_t Report::Replaced(const Timer& timer) const {
  return report::ReplacedOf(table_->hot[static_cast<size_t>(&timer - table_->timers.data())],
                            timer);
}

bool Report::AreCounted(const Site& site) { return site.notify == Notify::kKevent; }

std::optional<uint64_t> Report::Expirations(const Timer& timer) const {
  const uint64_t before = timer.expirations;
  const Site& site = table_->sites[timer.site];
  const int64_t first = timer.first;
  if (first == 0) return before;
  // A negative clock is one of CPU time.  The others have gone on together since the end.
  const bool has_clock = site.clock >= 0 && site.clock != CLOCK_PROCESS_CPUTIME_ID &&
                         site.clock != CLOCK_THREAD_CPUTIME_ID;
  if (!has_clock && table_->settled != 0) return before;
  if (!has_clock || end_.time == 0) return std::nullopt;
  const int64_t since = Now(CLOCK_MONOTONIC) - static_cast<int64_t>(end_.time);
  const int64_t now = Now(site.clock) - since;
  if (now < first) return before;
  const int64_t interval = timer.setting.interval;
  return before + (interval > 0 ? static_cast<uint64_t>((now - first) / interval) + 1 : 1);
}

std::string PlaceName(const observe::Place& place) {
  const std::string path = place.object;
  if (path.empty() && place.in_object == 0) return "";
  const std::string object = path.substr(path.rfind('/') + 1);
  const FunctionName name = FunctionAt(path, place.in_object);
  if (!name.function.empty()) {
    return absl::StrCat(name.function, "+0x", absl::Hex(name.offset), " (", object, ")");
  }
  if (place.function[0] != '\0') {
    return absl::StrCat(Demangled(place.function), "+0x", absl::Hex(place.in_function), " (",
                        object, ")");
  }
  return absl::StrCat(object, "+0x", absl::Hex(place.in_object));
}

std::string ClockName(int clock) {
  switch (clock) {
    case CLOCK_REALTIME:
      return "REALTIME";
    case CLOCK_MONOTONIC:
      return "MONOTONIC";
    case CLOCK_PROCESS_CPUTIME_ID:
      return "PROCESS_CPUTIME_ID";
    case CLOCK_THREAD_CPUTIME_ID:
      return "THREAD_CPUTIME_ID";
    case CLOCK_BOOTTIME:
      return "BOOTTIME";
    case CLOCK_REALTIME_ALARM:
      return "REALTIME_ALARM";
    case CLOCK_BOOTTIME_ALARM:
      return "BOOTTIME_ALARM";
    case CLOCK_TAI:
      return "TAI";
    default:
      return clock < 0 ? "CPU time" : absl::StrCat("clock ", clock);
  }
}

namespace {

std::string SignalName(int signal) {
  if (signal >= SIGRTMIN) return absl::StrCat("SIGRTMIN+", signal - SIGRTMIN);
  const char* const name = sigabbrev_np(signal);
  return name == nullptr ? absl::StrCat("signal ", signal) : absl::StrCat("SIG", name);
}

}  // namespace

std::string NotifyName(const Site& site) {
  switch (site.notify) {
    case Notify::kSignal:
      return SignalName(site.signal);
    case Notify::kNone:
      return "none";
    case Notify::kThread:
      return "thread";
    case Notify::kThreadId:
      return absl::StrCat("thread id, ", SignalName(site.signal));
    case Notify::kKevent:
      return "queue";
    case Notify::kOther:
      return "unknown";
  }
  return "unknown";
}

}  // namespace kevent::kevrun
