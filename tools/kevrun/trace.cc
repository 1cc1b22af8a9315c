// SPDX-License-Identifier: MIT

#include "tools/kevrun/trace.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include <atomic>
#include <cstdio>
#include <ctime>

#include "adapters/trace/rings.h"
#include "tools/kevrun/json.h"
#include "tools/kevrun/observed_file.h"
#include "tools/kevrun/report.h"
#include "tools/kevrun/timeline.h"
#include "tools/kevrun/trace_events.h"

namespace kevent::kevrun {

using trace::Rings;

namespace {

void CountDropped(const Rings& rings, Dropped* dropped) {
  dropped->without_ring += rings.dropped;
  for (const trace::Ring& ring : rings.rings) {
    if (ring.written > trace::kRecords) dropped->oldest += ring.written - trace::kRecords;
  }
  for (const std::atomic<uint32_t>& thread : rings.without_ring) {
    if (thread != 0) dropped->threads.push_back(thread);
  }
}

// Where the end of a process is not known, its trace ends when it is written.
uint64_t LastMoment(const Rings& rings, const Observed& file, bool is_last, const Ended& ended) {
  const uint64_t end = EndOf(rings.file, file.path, is_last, ended).time;
  if (end != 0) return end;
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(report::Nanoseconds(now));
}

std::string List(const auto& numbers) {
  return absl::StrCat("[", absl::StrJoin(numbers, ","), "]");
}

}  // namespace

std::string TraceJson(const std::vector<Observed>& files, const std::vector<pid_t>& without,
                      const Ended& ended, Dropped* dropped) {
  TraceEvents events;
  *dropped = {};
  for (size_t i = 0; i < files.size(); ++i) {
    std::string why;
    const auto rings = ReadObserved<Rings>(files[i], trace::kMagic, trace::kVersion, &why);
    if (!why.empty()) std::fprintf(stderr, "kevrun: %s\n", why.c_str());
    if (rings == nullptr) continue;
    const bool is_last = i + 1 == files.size() || files[i + 1].pid != files[i].pid;
    CountDropped(*rings, dropped);
    AddTimeline(*rings, LastMoment(*rings, files[i], is_last, ended), &events);
  }
  const JsonObject other = JsonObject()
                               .Add("dropped_records", dropped->oldest + dropped->without_ring)
                               .Add("dropped_oldest_records", dropped->oldest)
                               .Add("dropped_records_of_threads", dropped->without_ring)
                               .AddText("threads_without_ring", List(dropped->threads))
                               .AddText("processes_without_trace", List(without));
  return absl::StrCat("{\"displayTimeUnit\":\"ns\",\"otherData\":", other.Text(),
                      ",\"traceEvents\":", events.Text(), "}\n");
}

}  // namespace kevent::kevrun
