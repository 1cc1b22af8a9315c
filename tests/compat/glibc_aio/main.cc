// SPDX-License-Identifier: MIT
//
// The same program of asynchronous I/O (and of the other calls with a struct
// sigevent) once by the C library, with signals, and once into a queue: what it sees, side by side.
// Fails where the two differ.

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "tests/compat/glibc_aio/stage.h"
#include "tools/support/command_line.h"

namespace aio_conformance {
namespace {

struct Count {
  int same = 0;
  int different = 0;
};

void Compare(const Named& scenario, Count* count) {
  SignalWay signals;
  QueueWay queue;
  Stage theirs(&signals);
  Stage ours(&queue);
  scenario.run(theirs);
  scenario.run(ours);
  const std::vector<Observation>& expected = theirs.observations();
  const std::vector<Observation>& seen = ours.observations();
  for (size_t i = 0; i < expected.size() || i < seen.size(); ++i) {
    const Observation none = {"", "nothing"};
    const Observation& a = i < expected.size() ? expected[i] : none;
    const Observation& b = i < seen.size() ? seen[i] : none;
    const char* verdict = "same";
    if (a.what == b.what && a.seen == b.seen) {
      ++count->same;
    } else {
      ++count->different;
      verdict = "DIFFERENT";
    }
    std::printf("%-22s %-32s %-32s %-32s %s\n", i == 0 ? scenario.name : "", a.what.c_str(),
                a.seen.c_str(), b.seen.c_str(), verdict);
  }
}

int Run() {
  Count count;
  std::printf("%-22s %-32s %-32s %-32s\n", "scenario", "what", "SIGEV_SIGNAL", "SIGEV_KEVENT");
  for (const auto* scenarios : {&kFileScenarios, &kStreamScenarios, &kEndScenarios, &kCallScenarios,
                                &kOddScenarios, &kOtherScenarios}) {
    for (const Named& scenario : *scenarios) Compare(scenario, &count);
  }
  std::printf("%d the same, %d different\n", count.same, count.different);
  return count.different == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace
}  // namespace aio_conformance

int main(int argc, char** argv) {
  kevent::tools::ParseCommandLine(
      argc, argv,
      "Compares asynchronous I/O by the C library, with signals, with that into a queue, in a\n"
      "table.  Exits with 0 if nothing differs, with 1 if something does.");
  std::signal(SIGPIPE, SIG_IGN);
  return aio_conformance::Run();
}
