// SPDX-License-Identifier: MIT
//
// Two ways of doing one thing, in turns: medians of what each costs, and the median of the
// ratios of the turns.

#pragma once

#include <time.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "tools/support/progress.h"

namespace kevent::bench {

inline double Nanoseconds(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

inline double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<ptrdiff_t>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

// What must hold, or the program ends: a number of a run in which it did not is none.
inline void Must(bool good, const char* what) {
  if (good) return;
  std::fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, std::strerror(errno));
  std::exit(EXIT_FAILURE);
}

// One side: runs once, and gives the nanoseconds of one event.
struct Side {
  const char* name;
  std::function<double()> run;
};

inline void PrintHeadings() {
  std::printf("| %-44s | %-28s | %-28s | %-5s |\n", "CPU time", "", "beside", "ratio");
  std::printf("|%s|%s|%s|%s|\n", std::string(46, '-').c_str(), std::string(30, '-').c_str(),
              std::string(30, '-').c_str(), std::string(7, '-').c_str());
}

// Prints a line; the ratio of the first side's cost to the other's.
inline double Compare(const std::string& what, const Side& side, const Side& other, int rounds) {
  std::vector<double> costs;
  std::vector<double> others;
  std::vector<double> ratios;
  const tools::Progress progress;
  for (int i = 0; i < rounds; ++i) {
    progress.Show("%s: round %d of %d", what.c_str(), i + 1, rounds);
    costs.push_back(side.run());
    others.push_back(other.run());
    ratios.push_back(costs.back() / others.back());
  }
  progress.Show("%s", "");
  std::printf("| %-44s | %-17s %7.0f ns | %-17s %7.0f ns | %5.2f |\n", what.c_str(), side.name,
              Median(costs), other.name, Median(others), Median(ratios));
  std::fflush(stdout);
  return Median(ratios);
}

}  // namespace kevent::bench
