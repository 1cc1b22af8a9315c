// SPDX-License-Identifier: MIT

#include "tools/kevrun/timeline.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <kevent/kevent.h>
#include <signal.h>

#include <algorithm>
#include <ctime>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tools/kevrun/json.h"
#include "tools/kevrun/report.h"

namespace kevent::kevrun {

using trace::Record;
using trace::Rings;
using trace::What;

namespace {

// What a timer does from one moment to the next, and what it is known by.
struct Timer {
  uint64_t track = 0;
  std::string name;
  int clock = CLOCK_MONOTONIC;
  bool is_queued = false;
  bool is_set = false;
  uint64_t begin = 0;               // of the setting, or of the period
  std::optional<uint64_t> expires;  // if its clock goes with the monotonic one
  int64_t interval = 0;
  std::string setting;
};

struct Operation {
  uint64_t number = 0;  // in the trace
  const char* name = "";
};

std::string Duration(int64_t nanoseconds) {
  const auto number = static_cast<double>(nanoseconds);
  if (nanoseconds < 1'000'000) return absl::StrFormat("%.3g µs", number / 1e3);
  if (nanoseconds < 1'000'000'000) return absl::StrFormat("%.3g ms", number / 1e6);
  return absl::StrFormat("%.4g s", number / 1e9);
}

// Its tracks: one for each thread, with the number of that, and one for each timer, with numbers
// that no thread has.
class Timeline {
 public:
  Timeline(const Rings& rings, TraceEvents* events) : rings_(rings), events_(*events) {}

  void Add(uint64_t end_of_process) {
    const std::string program = rings_.file.program;
    events_.BeginProcess(rings_.file.pid, program.substr(program.rfind('/') + 1));
    const std::vector<const Record*> records = InOrder();
    for (const Record* const record : records) Follow(*record);
    const uint64_t end =
        std::max(end_of_process, records.empty() ? 0 : records.back()->time.load());
    for (auto& [id, timer] : timers_) EndSetting(timer, end, "still set");
    for (const auto& [thread, begin] : collecting_) {
      events_.Slice(thread, begin->time, end, absl::StrCat("collect, queue ", begin->id));
    }
    for (const auto& [control, operation] : operations_) EndOperation(operation, end, "in flight");
  }

 private:
  static constexpr uint64_t kFirstTimer = 1'000'000'000;  // beyond the kernel's numbers of threads

  std::vector<const Record*> InOrder() const {
    std::vector<const Record*> records;
    for (const trace::Ring& ring : rings_.rings) {
      for (const Record& record : ring.records) {
        if (record.time != 0) records.push_back(&record);
      }
    }
    std::stable_sort(records.begin(), records.end(), [](const Record* a, const Record* b) {
      return a->time.load() < b->time.load();
    });
    return records;
  }

  uint64_t Thread(uint32_t thread) {
    if (threads_.insert(thread).second) {
      events_.NameTrack(thread, absl::StrCat("thread ", thread), 0);
    }
    return thread;
  }

  std::string Place(const Record& record) const {
    return PlaceName(rings_.places[record.place % trace::kPlaces].place);
  }

  Timer& Find(const Record& record) {
    const auto [found, is_new] = timers_.try_emplace(record.id);
    Timer& timer = found->second;
    if (is_new) {
      timer.track = kFirstTimer + ++timer_count_;
      timer.name = absl::StrCat("timer ", timer_count_);
      std::string name = timer.name;
      if (record.what == What::kCreated) {
        timer.clock = static_cast<int>(record.first);
        timer.is_queued = record.second == SIGEV_KEVENT;
        absl::StrAppend(&name, ": ", Place(record), ", ", ClockName(timer.clock),
                        timer.is_queued ? ", in a queue" : "");
      }
      events_.NameTrack(timer.track, name, timer_count_);
    }
    return timer;
  }

  void Follow(const Record& record) {
    const uint64_t time = record.time;
    switch (record.what) {
      case What::kCreated:
        timers_.erase(record.id);  // one of this number, whose end was overwritten
        Find(record);
        Mark(record, absl::StrCat("create ", Find(record).name));
        break;
      case What::kSet:
      case What::kSetAbsolute:
        Set(record);
        break;
      case What::kDeleted:
        EndSetting(Find(record), time, "deleted");
        Mark(record, absl::StrCat("delete ", Find(record).name));
        timers_.erase(record.id);
        break;
      case What::kCollected:
        Collect(record);
        break;
      case What::kCollectBegin:
        collecting_[Thread(record.thread)] = &record;
        break;
      case What::kCollectEnd:
        EndCollection(record);
        break;
      case What::kQueueMade:
        Mark(record, absl::StrCat("make queue ", record.id, " in ", Place(record)));
        break;
      case What::kKevents:
        Mark(record, absl::StrCat("kevent_ctl, queue ", record.id));
        break;
      case What::kOperationBegin:
        BeginOperation(record);
        break;
      case What::kOperationEnd:
        FindEnd(record);
        break;
      case What::kNothing:
        break;
    }
  }

  void Mark(const Record& record, const std::string& name) {
    events_.Mark(Thread(record.thread), record.time, name);
  }

  // The moment on the monotonic clock of a moment on the timer's.
  std::optional<uint64_t> Moment(const Timer& timer, const Record& record) const {
    if (record.what == What::kSet) {
      if (timer.clock < 0 || timer.clock == CLOCK_PROCESS_CPUTIME_ID ||
          timer.clock == CLOCK_THREAD_CPUTIME_ID) {
        return std::nullopt;
      }
      return record.time + static_cast<uint64_t>(record.first);
    }
    const auto value = static_cast<uint64_t>(record.first);
    if (timer.clock == CLOCK_MONOTONIC) return std::max(value, record.time.load());
    if (timer.clock != CLOCK_REALTIME) return std::nullopt;
    const uint64_t moment = value - (rings_.file.began_real - rings_.file.began);
    return std::max(moment, record.time.load());
  }

  void Set(const Record& record) {
    Timer& timer = Find(record);
    EndSetting(timer, record.time, record.first == 0 ? "disarmed" : "replaced");
    Mark(record, absl::StrCat(record.first == 0 ? "disarm " : "set ", timer.name));
    if (record.first == 0) return;
    timer.is_set = true;
    timer.begin = record.time;
    timer.expires = Moment(timer, record);
    timer.interval = record.second;
    timer.setting = record.what == What::kSet ? Duration(record.first) : "a moment";
    if (timer.interval > 0) absl::StrAppend(&timer.setting, ", each ", Duration(timer.interval));
  }

  // Of timers in queues only collections tell that they have expired.
  void EndSetting(Timer& timer, uint64_t time, const char* how) {
    if (!timer.is_set) return;
    if (!timer.is_queued && timer.expires && *timer.expires <= time) {
      events_.Slice(timer.track, timer.begin, *timer.expires,
                    absl::StrCat(timer.setting, ": expired (computed)"));
      timer.begin = *timer.expires;
      if (timer.interval > 0) {
        const auto interval = static_cast<uint64_t>(timer.interval);
        const uint64_t count = (time - timer.begin) / interval;
        events_.Slice(timer.track, timer.begin, time,
                      absl::StrCat("each ", Duration(timer.interval), ": ", how),
                      JsonObject().Add("expirations_computed", count).Text());
      }
    } else {
      events_.Slice(timer.track, timer.begin, time, absl::StrCat(timer.setting, ": ", how));
    }
    timer.is_set = false;
  }

  // A slice up to the expiration, one from there to the collection, and an arrow to the collector.
  void Collect(const Record& record) {
    Timer& timer = Find(record);
    timer.is_queued = true;
    const uint64_t time = record.time;
    const auto lateness = static_cast<uint64_t>(record.first);
    const uint64_t expired = time > lateness ? time - lateness : 0;
    const uint64_t begin = timer.is_set ? std::min(timer.begin, expired) : expired;
    if (timer.is_set) events_.Slice(timer.track, begin, expired, timer.setting + ": expired");
    const std::string arguments =
        JsonObject().Add("lateness_ns", lateness).Add("overruns", record.second).Text();
    events_.Slice(timer.track, expired, time, "late", arguments);
    events_.Arrow({timer.track, expired}, {Thread(record.thread), time}, "collected", "timer");
    timer.is_set = timer.is_set && timer.interval > 0;
    timer.begin = time;
  }

  void EndCollection(const Record& record) {
    const auto found = collecting_.find(Thread(record.thread));
    if (found == collecting_.end()) return;  // its begin was overwritten
    const Record& begin = *found->second;
    const std::string arguments = JsonObject()
                                      .Add("queue", record.id)
                                      .Add("least", begin.first)
                                      .Add("most", begin.second)
                                      .Add("result", record.first)
                                      .Text();
    // It ends after the arrows to it.
    events_.Slice(record.thread, begin.time, record.time + 1,
                  absl::StrCat("collect, queue ", record.id), arguments);
    const uint64_t events = record.first > 0 ? static_cast<uint64_t>(record.first) : 0;
    events_.Count(record.time, absl::StrCat("queue ", record.id, ", events"), "events", events);
    collecting_.erase(found);
  }

  void BeginOperation(const Record& record) {
    const auto before = operations_.find(record.id);
    if (before != operations_.end())
      EndOperation(before->second, record.time, "result not asked for");
    static constexpr const char* kNames[] = {"aio_read", "aio_write", "aio_fsync"};
    const char* const name = kNames[record.first % 3];
    const std::string arguments = JsonObject().Add("bytes", record.second).Text();
    operations_[record.id] = {
        events_.BeginAsync({Thread(record.thread), record.time}, name, kAio, arguments), name};
  }

  void FindEnd(const Record& record) {
    const auto found = operations_.find(record.id);
    if (found == operations_.end()) return;
    EndOperation(found->second, record.time, absl::StrCat(record.first));
    operations_.erase(found);
  }

  void EndOperation(const Operation& operation, uint64_t time, const std::string& result) {
    events_.EndAsync(operation.number, time, operation.name, kAio,
                     JsonObject().Add("result", result).Text());
  }

  static constexpr const char* kAio = "aio";

  const Rings& rings_;
  TraceEvents& events_;
  std::map<uint64_t, Timer> timers_;
  uint64_t timer_count_ = 0;
  std::map<uint64_t, const Record*> collecting_;  // by thread
  std::map<uint64_t, Operation> operations_;
  std::set<uint32_t> threads_;
};

}  // namespace

void AddTimeline(const Rings& rings, uint64_t end, TraceEvents* events) {
  Timeline(rings, events).Add(end);
}

}  // namespace kevent::kevrun
