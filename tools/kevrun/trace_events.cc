// SPDX-License-Identifier: MIT

#include "tools/kevrun/trace_events.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

namespace kevent::kevrun {
namespace {

// Microseconds, with the nanoseconds behind the point.
std::string Microseconds(uint64_t nanoseconds) {
  return absl::StrFormat("%d.%03d", nanoseconds / 1000, nanoseconds % 1000);
}

}  // namespace

JsonObject TraceEvents::Event(const char* phase, uint64_t track, uint64_t time,
                              const std::string& name) const {
  JsonObject event;
  event.Add("ph", phase).Add("pid", pid_).Add("tid", track);
  event.AddText("ts", Microseconds(time)).Add("name", name);
  return event;
}

void TraceEvents::BeginProcess(uint64_t pid, const std::string& name) {
  pid_ = pid;
  JsonObject naming = Event("M", 0, 0, "process_name");
  Put(naming.AddText("args", JsonObject().Add("name", name).Text()));
}

void TraceEvents::NameTrack(uint64_t track, const std::string& name, uint64_t place_in_list) {
  JsonObject naming = Event("M", track, 0, "thread_name");
  Put(naming.AddText("args", JsonObject().Add("name", name).Text()));
  JsonObject sorting = Event("M", track, 0, "thread_sort_index");
  Put(sorting.AddText("args", JsonObject().Add("sort_index", place_in_list).Text()));
}

void TraceEvents::Slice(uint64_t track, uint64_t begin, uint64_t end, const std::string& name,
                        const std::string& arguments) {
  JsonObject event = Event("X", track, begin, name);
  event.AddText("dur", Microseconds(end > begin ? end - begin : 0));
  if (!arguments.empty()) event.AddText("args", arguments);
  Put(event);
}

void TraceEvents::Mark(uint64_t track, uint64_t time, const std::string& name) {
  JsonObject event = Event("i", track, time, name);
  Put(event.Add("s", "t"));
}

void TraceEvents::Count(uint64_t time, const std::string& counter, const std::string& series,
                        uint64_t value) {
  JsonObject event = Event("C", 0, time, counter);
  Put(event.AddText("args", JsonObject().Add(series, value).Text()));
}

void TraceEvents::Arrow(const Moment& from, const Moment& to, const std::string& name,
                        const char* category) {
  const uint64_t number = ++last_number_;
  JsonObject begin = Event("s", from.track, from.time, name);
  Put(begin.Add("cat", category).Add("id", number));
  JsonObject end = Event("f", to.track, to.time, name);
  Put(end.Add("cat", category).Add("id", number).Add("bp", "e"));
}

uint64_t TraceEvents::BeginAsync(const Moment& begin, const std::string& name, const char* category,
                                 const std::string& arguments) {
  const uint64_t number = ++last_number_;
  JsonObject event = Event("b", begin.track, begin.time, name);
  Put(event.Add("cat", category).Add("id", number).AddText("args", arguments));
  return number;
}

void TraceEvents::EndAsync(uint64_t number, uint64_t time, const std::string& name,
                           const char* category, const std::string& arguments) {
  JsonObject event = Event("e", 0, time, name);
  Put(event.Add("cat", category).Add("id", number).AddText("args", arguments));
}

std::string TraceEvents::Text() const {
  return absl::StrCat("[\n", absl::StrJoin(events_, ",\n"), "\n]");
}

}  // namespace kevent::kevrun
