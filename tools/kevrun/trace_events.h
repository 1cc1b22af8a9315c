// SPDX-License-Identifier: MIT
//
// The JSON format of trace events, which ui.perfetto.dev and chrome://tracing read.  Its words:
// each event has a phase ("ph"), the process and the track on which it is shown ("pid", "tid").

#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/kevrun/json.h"

namespace kevent::kevrun {

// The events of some processes, one after the other.  Times are nanoseconds of the monotonic clock;
// arguments are a JSON object, or nothing.
class TraceEvents {
 public:
  // Of which the events are that follow.
  void BeginProcess(uint64_t pid, const std::string& name);
  void NameTrack(uint64_t track, const std::string& name, uint64_t place_in_list);

  void Slice(uint64_t track, uint64_t begin, uint64_t end, const std::string& name,
             const std::string& arguments = "");
  void Mark(uint64_t track, uint64_t time, const std::string& name);
  void Count(uint64_t time, const std::string& counter, const std::string& series, uint64_t value);

  struct Moment {
    uint64_t track;
    uint64_t time;
  };
  void Arrow(const Moment& from, const Moment& to, const std::string& name, const char* category);

  // What has no track of its own: tracks are made as many as are needed at a time.  The number that
  // is returned names it at its end.
  uint64_t BeginAsync(const Moment& begin, const std::string& name, const char* category,
                      const std::string& arguments);
  void EndAsync(uint64_t number, uint64_t time, const std::string& name, const char* category,
                const std::string& arguments);

  // A JSON array.
  std::string Text() const;

 private:
  JsonObject Event(const char* phase, uint64_t track, uint64_t time, const std::string& name) const;
  void Put(const JsonObject& event) { events_.push_back(event.Text()); }

  std::vector<std::string> events_;
  uint64_t pid_ = 0;
  uint64_t last_number_ =
      0;  // of an arrow or what is asynchronous; no two of a trace have the same
};

}  // namespace kevent::kevrun
