// SPDX-License-Identifier: MIT
//
// Registrations that are changed when a thread has collected their event, and has yet to translate
// it.

#include <signal.h>
#include <sys/wait.h>

#include "tests/kqueue/kqueues.h"
#include "tests/support/collecting_gate.h"

namespace {

using namespace kqueue_test;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

// The end of a process, whose kevent goes with its event.
class Collected : public testing::Test {
 protected:
  Collected() : child_(fork()) {
    if (child_ == 0) {
      pause();
      _exit(0);
    }
    EXPECT_EQ(Make(EV_ADD, 1), 0);
  }
  ~Collected() override { EXPECT_EQ(waitpid(child_, nullptr, 0), child_); }

  int Make(int flags, uintptr_t udata) const {
    return kq_.Make(static_cast<uintptr_t>(child_), EVFILT_PROC, flags, NOTE_EXIT, 0, udata);
  }
  // What a thread reports that has collected before the change.
  std::vector<Event> ReportedAfter(const std::function<void()>& change) const {
    EXPECT_EQ(kill(child_, SIGTERM), 0);
    siginfo_t info;
    EXPECT_EQ(waitid(P_PID, static_cast<id_t>(child_), &info, WEXITED | WNOWAIT), 0);
    std::vector<Event> events;
    ChangeWhenCollected([&] { events = kq_.Ready(); }, change);
    return events;
  }
  auto IsTheEnd(uintptr_t udata) const {
    return IsEnd(static_cast<uintptr_t>(child_), EVFILT_PROC, SIGTERM, udata);
  }

  const Kqueue kq_;
  const pid_t child_;
};

TEST_F(Collected, IsReportedLaterWhereItIsDisabled) {
  EXPECT_THAT(ReportedAfter([&] { EXPECT_EQ(Make(EV_DISABLE, 1), 0); }), IsEmpty());
  EXPECT_THAT(kq_.Ready(), IsEmpty());
  EXPECT_EQ(Make(EV_ENABLE, 2), 0);
  EXPECT_THAT(kq_.Ready(), ElementsAre(IsTheEnd(2)));
  EXPECT_EQ(Make(EV_DELETE, 1), ENOENT);
}

TEST_F(Collected, IsReportedAsItIsChanged) {
  EXPECT_THAT(ReportedAfter([&] { EXPECT_EQ(Make(EV_ADD, 2), 0); }), ElementsAre(IsTheEnd(2)));
  EXPECT_THAT(kq_.Ready(), IsEmpty());
}

TEST_F(Collected, IsNotReportedWhereItIsDeleted) {
  EXPECT_THAT(ReportedAfter([&] { EXPECT_EQ(Make(EV_DELETE, 1), 0); }), IsEmpty());
  EXPECT_THAT(kq_.Ready(), IsEmpty());
}

}  // namespace
