// SPDX-License-Identifier: MIT
//
// EVFILT_SIGNAL, EVFILT_PROC, EVFILT_VNODE.

#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <filesystem>
#include <string>

#include "tests/kqueue/kqueues.h"
#include "tests/support/process.h"

namespace {

using namespace kqueue_test;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// ---- Signals ---------------------------------------------------------------------

bool IsBlocked(int signal) {
  sigset_t set;
  pthread_sigmask(SIG_BLOCK, nullptr, &set);
  return sigismember(&set, signal) == 1;
}

TEST(Signals, AreReportedAndNotDelivered) {
  const Kqueue kq;
  EXPECT_EQ(kq.Make(SIGUSR1, EVFILT_SIGNAL, EV_ADD, 0, 0, 3), 0);
  EXPECT_EQ(kill(getpid(), SIGUSR1), 0);
  const std::vector<Event> events = kq.Await();
  EXPECT_THAT(events, ElementsAre(IsEvent(static_cast<uintptr_t>(SIGUSR1), EVFILT_SIGNAL, 1, 3u)));
  EXPECT_EQ(events[0].flags, EV_CLEAR);
  EXPECT_THAT(kq.Ready(), IsEmpty());
  EXPECT_EQ(kq.Make(SIGUSR1, EVFILT_SIGNAL, EV_DELETE), 0);
}

TEST(Signals, ThatAreIgnoredAreReported) {
  struct sigaction ignore = {};
  ignore.sa_handler = SIG_IGN;
  ASSERT_EQ(sigaction(SIGUSR2, &ignore, nullptr), 0);
  const Kqueue kq;
  EXPECT_EQ(kq.Make(SIGUSR2, EVFILT_SIGNAL, EV_ADD), 0);
  EXPECT_EQ(kill(getpid(), SIGUSR2), 0);
  EXPECT_THAT(kq.Await(), SizeIs(1));
  EXPECT_EQ(kq.Make(SIGUSR2, EVFILT_SIGNAL, EV_DELETE), 0);
}

TEST(Signals, OfARealTimeSignalAreCounted) {
  const Kqueue kq;
  const auto signal = static_cast<uintptr_t>(SIGRTMIN + 1);
  EXPECT_EQ(kq.Make(signal, EVFILT_SIGNAL, EV_ADD), 0);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(kill(getpid(), SIGRTMIN + 1), 0);
  EXPECT_THAT(kq.Await(), ElementsAre(IsEvent(signal, EVFILT_SIGNAL, 5, 0u)));
  EXPECT_EQ(kq.Make(signal, EVFILT_SIGNAL, EV_DELETE), 0);
}

TEST(Signals, AreReportedToEachKqueue) {
  const Kqueue a;
  const Kqueue b;
  const Kqueue c;
  EXPECT_EQ(a.Make(SIGUSR1, EVFILT_SIGNAL, EV_ADD), 0);
  EXPECT_EQ(b.Make(SIGUSR1, EVFILT_SIGNAL, EV_ADD), 0);
  EXPECT_EQ(c.Make(SIGUSR1, EVFILT_SIGNAL, EV_ADD | EV_DISABLE), 0);
  EXPECT_EQ(kill(getpid(), SIGUSR1), 0);
  const auto once = IsEvent(static_cast<uintptr_t>(SIGUSR1), EVFILT_SIGNAL, 1, 0u);
  EXPECT_THAT(b.Await(), ElementsAre(once));
  EXPECT_THAT(a.Await(), ElementsAre(once));
  EXPECT_THAT(c.Ready(), IsEmpty());
  EXPECT_EQ(c.Make(SIGUSR1, EVFILT_SIGNAL, EV_ENABLE), 0);
  EXPECT_THAT(c.Await(), ElementsAre(once));
  for (const Kqueue* kq : {&a, &b, &c}) {
    EXPECT_THAT(kq->Ready(), IsEmpty());
    EXPECT_EQ(kq->Make(SIGUSR1, EVFILT_SIGNAL, EV_DELETE), 0);
  }
}

// The number that the one was made under is the other's.
TEST(Signals, AreReportedToAKqueueThatLivesOnByADuplicate) {
  Kqueue first;
  const int number = first.fd();
  const Kqueue a = first.Duplicate();
  first.Close();
  const Kqueue b;
  ASSERT_EQ(b.fd(), number);
  EXPECT_EQ(a.Make(SIGUSR1, EVFILT_SIGNAL, EV_ADD), 0);
  EXPECT_EQ(b.Make(SIGUSR1, EVFILT_SIGNAL, EV_ADD), 0);
  const auto once = IsEvent(static_cast<uintptr_t>(SIGUSR1), EVFILT_SIGNAL, 1, 0u);
  for (const Kqueue* taker : {&a, &b}) {
    EXPECT_EQ(kill(getpid(), SIGUSR1), 0);
    EXPECT_THAT(taker->Ready(), ElementsAre(once));
    EXPECT_THAT((taker == &a ? b : a).Ready(), ElementsAre(once));
  }
  for (const Kqueue* kq : {&a, &b}) EXPECT_EQ(kq->Make(SIGUSR1, EVFILT_SIGNAL, EV_DELETE), 0);
}

TEST(Signals, AreBlockedWhileTheyAreWatched) {
  const Kqueue a;
  const Kqueue b;
  ASSERT_FALSE(IsBlocked(SIGUSR1));
  EXPECT_EQ(a.Make(SIGUSR1, EVFILT_SIGNAL, EV_ADD), 0);
  EXPECT_EQ(b.Make(SIGUSR1, EVFILT_SIGNAL, EV_ADD | EV_ONESHOT), 0);
  EXPECT_TRUE(IsBlocked(SIGUSR1));
  EXPECT_EQ(a.Make(SIGUSR1, EVFILT_SIGNAL, EV_DELETE), 0);
  EXPECT_TRUE(IsBlocked(SIGUSR1));
  EXPECT_EQ(kill(getpid(), SIGUSR1), 0);
  EXPECT_THAT(b.Await(), SizeIs(1));
  EXPECT_FALSE(IsBlocked(SIGUSR1));
}

TEST(Signals, ThatTheProgramHasBlockedStayBlocked) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  const Kqueue kq;
  EXPECT_EQ(kq.Make(SIGUSR1, EVFILT_SIGNAL, EV_ADD), 0);
  EXPECT_EQ(kq.Make(SIGUSR1, EVFILT_SIGNAL, EV_DELETE), 0);
  EXPECT_TRUE(IsBlocked(SIGUSR1));
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

TEST(Signals, OfBadNumbersAreRefused) {
  const Kqueue kq;
  for (const uintptr_t signal : {uintptr_t{0}, uintptr_t{SIGKILL}, uintptr_t{SIGSTOP},
                                 uintptr_t{65}, static_cast<uintptr_t>(-1)}) {
    EXPECT_EQ(kq.Make(signal, EVFILT_SIGNAL, EV_ADD), EINVAL) << signal;
  }
}

// ---- Processes ---------------------------------------------------------------------

pid_t ChildThatEnds(int status) {
  const pid_t child = fork();
  if (child == 0) {
    pause();
    _exit(status);
  }
  return child;
}

TEST(Processes, AreReportedWithTheirStatus) {
  const Kqueue kq;
  const pid_t child = ChildThatEnds(0);
  const auto ident = static_cast<uintptr_t>(child);
  EXPECT_EQ(kq.Make(ident, EVFILT_PROC, EV_ADD, NOTE_EXIT, 0, 4), 0);
  EXPECT_THAT(kq.Ready(), IsEmpty());
  EXPECT_EQ(kill(child, SIGTERM), 0);
  const std::vector<Event> events = kq.Await();
  ASSERT_THAT(events, SizeIs(1));
  EXPECT_THAT(events[0], AllOf(IsEnd(ident, EVFILT_PROC, SIGTERM, 4u), HasFflags(NOTE_EXIT)));
  EXPECT_EQ(kq.Make(ident, EVFILT_PROC, EV_DELETE), ENOENT);
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, SIGTERM);
  EXPECT_EQ(kq.Make(ident, EVFILT_PROC, EV_ADD, NOTE_EXIT), ESRCH);
}

TEST(Processes, ThatEndWhileDisabledAreReportedLater) {
  const Kqueue kq;
  const pid_t child = fork();
  if (child == 0) _exit(3);
  const auto ident = static_cast<uintptr_t>(child);
  EXPECT_EQ(kq.Make(ident, EVFILT_PROC, EV_ADD | EV_DISABLE, NOTE_EXIT), 0);
  siginfo_t info;
  EXPECT_EQ(waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT), 0);
  EXPECT_THAT(kq.Ready(), IsEmpty());
  EXPECT_EQ(kq.Make(ident, EVFILT_PROC, EV_ENABLE, NOTE_EXIT), 0);
  EXPECT_THAT(kq.Await(), ElementsAre(IsEnd(ident, EVFILT_PROC, 3 << 8, 0u)));
  EXPECT_EQ(waitpid(child, nullptr, 0), child);
}

TEST(Processes, AreReportedToWhoAsksForTheirEnd) {
  const Kqueue kq;
  const pid_t child = ChildThatEnds(0);
  const auto ident = static_cast<uintptr_t>(child);
  EXPECT_EQ(kq.Make(ident, EVFILT_PROC, EV_ADD, 0, 0, 1), 0);
  EXPECT_EQ(kq.Make(ident, EVFILT_PROC, EV_ADD, NOTE_EXIT, 0, 2), 0);
  EXPECT_EQ(kill(child, SIGTERM), 0);
  EXPECT_THAT(kq.Await(), ElementsAre(IsEnd(ident, EVFILT_PROC, SIGTERM, 2u)));
  EXPECT_EQ(waitpid(child, nullptr, 0), child);
}

TEST(Processes, AreNotReportedToWhoDoesNotAsk) {
  const Kqueue kq;
  const pid_t child = ChildThatEnds(0);
  const auto ident = static_cast<uintptr_t>(child);
  EXPECT_EQ(kq.Make(ident, EVFILT_PROC, EV_ADD, NOTE_EXIT), 0);
  EXPECT_EQ(kq.Make(ident, EVFILT_PROC, EV_ADD, 0), 0);
  EXPECT_EQ(kill(child, SIGTERM), 0);
  siginfo_t info;
  EXPECT_EQ(waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT), 0);
  EXPECT_THAT(kq.Ready(), IsEmpty());
  EXPECT_EQ(kq.Make(ident, EVFILT_PROC, EV_DELETE), ENOENT);
  EXPECT_EQ(waitpid(child, nullptr, 0), child);
}

TEST(Processes, AreRefusedWhatLinuxDoesNotTell) {
  const Kqueue kq;
  const auto self = static_cast<uintptr_t>(getpid());
  for (const unsigned note : {NOTE_FORK, NOTE_EXEC, NOTE_TRACK, NOTE_EXIT | NOTE_FORK}) {
    EXPECT_EQ(kq.Make(self, EVFILT_PROC, EV_ADD, note), EOPNOTSUPP);
  }
  EXPECT_EQ(kq.Make(0, EVFILT_PROC, EV_ADD, NOTE_EXIT), ESRCH);
  EXPECT_EQ(kq.Make(uintptr_t{1} << 40, EVFILT_PROC, EV_ADD, NOTE_EXIT), ESRCH);
}

// ---- Files -------------------------------------------------------------------------

class Directory {
 public:
  Directory() {
    char name[] = "/tmp/kqueue_test.XXXXXX";
    path_ = mkdtemp(name);
  }
  ~Directory() { std::filesystem::remove_all(path_); }
  std::string At(const char* name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

constexpr unsigned kAll =
    NOTE_DELETE | NOTE_WRITE | NOTE_EXTEND | NOTE_ATTRIB | NOTE_LINK | NOTE_RENAME | NOTE_REVOKE;

class Vnodes : public ::testing::Test {
 protected:
  Vnodes()
      : name_(directory_.At("file")),
        file_(open(name_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
    EXPECT_EQ(write(file_.fd(), "12345", 5), 5);
  }
  int Add(int flags = EV_CLEAR, unsigned notes = kAll) const {
    return kq_.MakeFd(file_.fd(), EVFILT_VNODE, EV_ADD | flags, notes, 0, 6);
  }
  // The notes of the one event there is; 0 if there is none.
  unsigned Notes() const {
    const std::vector<Event> events = kq_.Ready();
    if (events.empty()) return 0;
    EXPECT_THAT(events, ElementsAre(IsEvent(file_.fd(), EVFILT_VNODE, 0, 6u)));
    return events[0].fflags;
  }

  const Kqueue kq_;
  const Directory directory_;
  const std::string name_;
  Descriptor file_;
};

TEST_F(Vnodes, TellWhatHasHappened) {
  EXPECT_EQ(Add(), 0);
  EXPECT_EQ(Notes(), 0u);
  EXPECT_EQ(pwrite(file_.fd(), "x", 1, 0), 1);
  EXPECT_EQ(Notes(), static_cast<unsigned>(NOTE_WRITE));
  EXPECT_EQ(pwrite(file_.fd(), "x", 1, 5), 1);
  EXPECT_EQ(Notes(), static_cast<unsigned>(NOTE_WRITE | NOTE_EXTEND));
  EXPECT_EQ(fchmod(file_.fd(), 0640), 0);
  EXPECT_EQ(Notes(), static_cast<unsigned>(NOTE_ATTRIB));
  EXPECT_EQ(link(name_.c_str(), directory_.At("link").c_str()), 0);
  EXPECT_EQ(Notes(), static_cast<unsigned>(NOTE_LINK));
  EXPECT_EQ(rename(name_.c_str(), directory_.At("other").c_str()), 0);
  EXPECT_EQ(Notes(), static_cast<unsigned>(NOTE_RENAME));
  EXPECT_EQ(unlink(directory_.At("link").c_str()), 0);
  EXPECT_EQ(Notes(), static_cast<unsigned>(NOTE_LINK | NOTE_DELETE));
  EXPECT_EQ(unlink(directory_.At("other").c_str()), 0);
  EXPECT_EQ(Notes(), static_cast<unsigned>(NOTE_LINK | NOTE_DELETE));
}

TEST_F(Vnodes, TellOnlyWhatIsAskedFor) {
  EXPECT_EQ(Add(EV_CLEAR, NOTE_DELETE), 0);
  EXPECT_EQ(pwrite(file_.fd(), "x", 1, 0), 1);
  EXPECT_EQ(fchmod(file_.fd(), 0640), 0);
  EXPECT_EQ(Notes(), 0u);
  EXPECT_EQ(unlink(name_.c_str()), 0);
  EXPECT_EQ(Notes(), static_cast<unsigned>(NOTE_DELETE));
}

TEST_F(Vnodes, TellOfWritingAsFreebsdDoes) {
  EXPECT_EQ(Add(EV_CLEAR, NOTE_WRITE), 0);
  EXPECT_EQ(pwrite(file_.fd(), "x", 1, 5), 1);
  EXPECT_EQ(Notes(), static_cast<unsigned>(NOTE_WRITE | NOTE_EXTEND));
}

TEST_F(Vnodes, StayTrueWithoutClear) {
  EXPECT_EQ(Add(0), 0);
  EXPECT_EQ(pwrite(file_.fd(), "x", 1, 0), 1);
  for (int i = 0; i < 2; ++i) EXPECT_EQ(Notes(), static_cast<unsigned>(NOTE_WRITE));
  EXPECT_EQ(fchmod(file_.fd(), 0640), 0);
  EXPECT_EQ(Notes(), static_cast<unsigned>(NOTE_WRITE | NOTE_ATTRIB));
}

// Neither a change of the registration nor that it is disabled takes what has happened away.
TEST_F(Vnodes, KeepWhatHasHappenedWhenTheyAreTouchedOrDisabled) {
  EXPECT_EQ(Add(), 0);
  EXPECT_EQ(pwrite(file_.fd(), "x", 1, 0), 1);
  EXPECT_EQ(Add(), 0);
  EXPECT_EQ(Notes(), static_cast<unsigned>(NOTE_WRITE));
  EXPECT_EQ(kq_.MakeFd(file_.fd(), EVFILT_VNODE, EV_DISABLE, kAll, 0, 6), 0);
  EXPECT_EQ(pwrite(file_.fd(), "x", 1, 0), 1);
  EXPECT_EQ(fchmod(file_.fd(), 0640), 0);
  EXPECT_EQ(Notes(), 0u);
  EXPECT_EQ(kq_.MakeFd(file_.fd(), EVFILT_VNODE, EV_ENABLE | EV_CLEAR, kAll, 0, 6), 0);
  EXPECT_EQ(Notes(), static_cast<unsigned>(NOTE_WRITE | NOTE_ATTRIB));
}

// The one difference: until it is looked at a kqueue may be readable for a registration that is
// disabled.
TEST_F(Vnodes, ThatAreDisabledMakeNoKqueueReadableThatWasLookedAt) {
  EXPECT_EQ(Add(EV_CLEAR | EV_DISABLE), 0);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(pwrite(file_.fd(), "x", 1, 0), 1);
    EXPECT_EQ(Notes(), 0u);
    pollfd kqueue = {kq_.fd(), POLLIN, 0};
    EXPECT_EQ(poll(&kqueue, 1, 0), 0);
  }
}

TEST_F(Vnodes, AreDispatchedAndOneShot) {
  EXPECT_EQ(Add(EV_DISPATCH | EV_CLEAR), 0);
  EXPECT_EQ(pwrite(file_.fd(), "x", 1, 0), 1);
  EXPECT_EQ(Notes(), static_cast<unsigned>(NOTE_WRITE));
  EXPECT_EQ(pwrite(file_.fd(), "x", 1, 0), 1);
  EXPECT_EQ(Notes(), 0u);
  EXPECT_EQ(kq_.MakeFd(file_.fd(), EVFILT_VNODE, EV_DELETE), 0);
  EXPECT_EQ(Add(EV_ONESHOT), 0);
  EXPECT_EQ(pwrite(file_.fd(), "x", 1, 0), 1);
  EXPECT_NE(Notes(), 0u);
  EXPECT_EQ(kq_.MakeFd(file_.fd(), EVFILT_VNODE, EV_DELETE), ENOENT);
}

TEST_F(Vnodes, OfDirectoriesTellOfEntries) {
  const Descriptor directory(open(directory_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  EXPECT_EQ(kq_.MakeFd(directory.fd(), EVFILT_VNODE, EV_ADD | EV_CLEAR,
                       NOTE_WRITE | NOTE_LINK | NOTE_DELETE | NOTE_ATTRIB),
            0);
  const auto notes = [&] {
    const std::vector<Event> events = kq_.Ready();
    return events.size() == 1 ? events[0].fflags : 0;
  };
  EXPECT_EQ(rename(name_.c_str(), directory_.At("b").c_str()), 0);
  EXPECT_EQ(notes(), static_cast<unsigned>(NOTE_WRITE));
  EXPECT_EQ(fchmod(file_.fd(), 0640), 0);
  EXPECT_EQ(pwrite(file_.fd(), "x", 1, 0), 1);
  EXPECT_EQ(notes(), 0u);
  EXPECT_EQ(unlink(directory_.At("b").c_str()), 0);
  EXPECT_EQ(notes(), static_cast<unsigned>(NOTE_WRITE));
}

TEST_F(Vnodes, OfClosedDescriptorsAreGone) {
  EXPECT_EQ(Add(), 0);
  const int number = file_.fd();
  file_.Close();
  const Descriptor again(open(name_.c_str(), O_WRONLY | O_CLOEXEC));
  ASSERT_EQ(again.fd(), number);
  const Descriptor other(open(directory_.At("b").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  EXPECT_EQ(dup2(other.fd(), number), number);
  EXPECT_EQ(truncate(name_.c_str(), 0), 0);
  EXPECT_THAT(kq_.Ready(), IsEmpty());
  EXPECT_EQ(kq_.MakeFd(number, EVFILT_VNODE, EV_DELETE), ENOENT);
}

TEST_F(Vnodes, AreRefusedWhatIsNotTold) {
  const Pipe pipe;
  EXPECT_EQ(Add(0, NOTE_OPEN), EOPNOTSUPP);
  EXPECT_EQ(Add(0, NOTE_WRITE | NOTE_READ), EOPNOTSUPP);
  EXPECT_EQ(Add(0, 0x1000), EINVAL);
  EXPECT_EQ(kq_.MakeFd(pipe.out.fd(), EVFILT_VNODE, EV_ADD, NOTE_WRITE), EINVAL);
}

}  // namespace
