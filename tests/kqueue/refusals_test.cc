// SPDX-License-Identifier: MIT
//
// Changes that Linux refuses, for lack of descriptors or of a permission: what was registered stays
// as it was.

#include <signal.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <string>

#include "tests/kqueue/kqueues.h"
#include "tests/support/process.h"

namespace {

using namespace kqueue_test;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

// While it lives no descriptor can be opened.
class NoDescriptors {
 public:
  NoDescriptors() {
    EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &before_), 0);
    const rlimit none = {0, before_.rlim_max};
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  }
  ~NoDescriptors() { EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &before_), 0); }
  NoDescriptors(const NoDescriptors&) = delete;
  NoDescriptors& operator=(const NoDescriptors&) = delete;

 private:
  rlimit before_;
};

// While it lives the process may not open a file that is nobody's to open.
class NoPrivileges {
 public:
  NoPrivileges() { EXPECT_EQ(seteuid(euid_ == 0 ? kNobody : euid_), 0); }
  ~NoPrivileges() { EXPECT_EQ(seteuid(euid_), 0); }
  NoPrivileges(const NoPrivileges&) = delete;
  NoPrivileges& operator=(const NoPrivileges&) = delete;

 private:
  static constexpr uid_t kNobody = 65534;
  const uid_t euid_ = geteuid();
};

// A signal that is watched alone has a descriptor while it is enabled.
TEST(Refusals, ToEnableASignalLeaveItDisabled) {
  const Kqueue kq;
  EXPECT_EQ(kq.Make(SIGUSR1, EVFILT_SIGNAL, EV_ADD, 0, 0, 3), 0);
  EXPECT_EQ(kq.Make(SIGUSR1, EVFILT_SIGNAL, EV_DISABLE | EV_KEEPUDATA), 0);
  {
    const NoDescriptors limit;
    EXPECT_EQ(kq.Make(SIGUSR1, EVFILT_SIGNAL, EV_ENABLE, 0, 0, 4), EMFILE);
  }
  EXPECT_EQ(kill(getpid(), SIGUSR1), 0);
  EXPECT_THAT(kq.Ready(), IsEmpty());
  EXPECT_EQ(kq.Make(SIGUSR1, EVFILT_SIGNAL, EV_ENABLE | EV_KEEPUDATA), 0);
  EXPECT_THAT(kq.Ready(),
              ElementsAre(IsEvent(static_cast<uintptr_t>(SIGUSR1), EVFILT_SIGNAL, 1, 3u)));
  EXPECT_EQ(kq.Make(SIGUSR1, EVFILT_SIGNAL, EV_DELETE), 0);
}

// Linux polls no descriptor then, and a filter that cannot look again believes the queue.
TEST(Refusals, ToPollLoseNoEvent) {
  const Kqueue kq;
  const Descriptor counter(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  EXPECT_EQ(kq.MakeFd(counter.fd(), EVFILT_READ, EV_ADD | EV_CLEAR, 0, 0, 3), 0);
  EXPECT_EQ(eventfd_write(counter.fd(), 1), 0);
  const NoDescriptors limit;
  EXPECT_THAT(kq.Ready(), ElementsAre(IsEvent(counter.fd(), EVFILT_READ, 1, 3u)));
}

// A call sleeps by poll(2).
TEST(Refusals, ToSleepAreNoneOfTheKqueue) {
  const Kqueue kq;
  const NoDescriptors limit;
  Event event;
  constexpr timespec kSoon = {1, 0};
  EXPECT_EQ(kevent(kq.fd(), nullptr, 0, &event, 1, &kSoon), -1);
  EXPECT_EQ(errno, EINVAL);
}

// inotify opens a file anew when its watch is changed.
TEST(Refusals, ToChangeAFileLeaveItWatched) {
  const Kqueue kq;
  const File file;
  EXPECT_EQ(kq.MakeFd(file.fd(), EVFILT_VNODE, EV_ADD | EV_CLEAR, NOTE_WRITE, 0, 3), 0);
  ASSERT_EQ(fchmod(file.fd(), 0), 0);
  {
    const NoPrivileges none;
    EXPECT_EQ(kq.MakeFd(file.fd(), EVFILT_VNODE, EV_ADD | EV_CLEAR, NOTE_ATTRIB, 0, 4), EACCES);
    EXPECT_EQ(kq.MakeFd(file.fd(), EVFILT_VNODE, EV_DISABLE, NOTE_WRITE, 0, 5), EACCES);
  }
  ASSERT_EQ(fchmod(file.fd(), 0600), 0);
  EXPECT_THAT(kq.Ready(), IsEmpty());
  EXPECT_EQ(write(file.fd(), "x", 1), 1);
  EXPECT_THAT(kq.Ready(), ElementsAre(IsEvent(file.fd(), EVFILT_VNODE, 0, 3u)));
}

// What is not asked for changes nothing, and the registration goes on.
TEST(Refusals, ToLookAtAFileLeaveAOneShotWatched) {
  for (const int flag : {EV_ONESHOT, EV_DISPATCH}) {
    const Kqueue kq;
    std::string name = testing::TempDir() + "/kqueue_test.XXXXXX";
    const Descriptor file(mkstemp(name.data()));
    EXPECT_EQ(kq.MakeFd(file.fd(), EVFILT_VNODE, EV_ADD | flag, NOTE_DELETE, 0, 3), 0);
    ASSERT_EQ(fchmod(file.fd(), 0), 0);
    {
      const NoPrivileges none;
      EXPECT_THAT(kq.Ready(), IsEmpty());
    }
    ASSERT_EQ(unlink(name.c_str()), 0);
    EXPECT_THAT(kq.Ready(), ElementsAre(IsEvent(file.fd(), EVFILT_VNODE, 0, 3u)));
    EXPECT_THAT(kq.Ready(), IsEmpty());
  }
}

// It opens it by its name in /proc.
TEST(Refusals, ToChangeAFileThatHasNoNameLeaveItWatched) {
  if (geteuid() != 0) GTEST_SKIP() << "chroot is root's";
  std::string empty = testing::TempDir() + "/kqueue_test.XXXXXX";
  ASSERT_NE(mkdtemp(empty.data()), nullptr);
  ExpectChild([&] {
    const Kqueue kq;
    const File file;
    CHILD_CHECK(kq.MakeFd(file.fd(), EVFILT_VNODE, EV_ADD | EV_CLEAR, NOTE_WRITE, 0, 3) == 0);
    CHILD_CHECK(chroot(empty.c_str()) == 0);
    CHILD_CHECK(kq.MakeFd(file.fd(), EVFILT_VNODE, EV_ADD | EV_CLEAR, NOTE_ATTRIB) == ENOENT);
    CHILD_CHECK(write(file.fd(), "x", 1) == 1);
    const std::vector<Event> events = kq.Ready();
    CHILD_CHECK(events.size() == 1 && (events[0].fflags & NOTE_WRITE) != 0 &&
                Udata(events[0]) == 3);
  });
  EXPECT_EQ(rmdir(empty.c_str()), 0);
}

// The timers of a clock have a descriptor in common.
TEST(Refusals, OfAnotherClockLeaveATimerAsItWas) {
  const Kqueue kq;
  EXPECT_EQ(kq.Make(1, EVFILT_TIMER, EV_ADD | EV_DISPATCH, NOTE_MSECONDS, 1, 3), 0);
  {
    const NoDescriptors limit;
    EXPECT_EQ(kq.Make(1, EVFILT_TIMER, EV_ADD, NOTE_SECONDS | NOTE_ABSTIME, 0, 4), EMFILE);
  }
  const std::vector<Event> events = kq.Retrieve(10 * kSecond);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(Udata(events[0]), 3u);
  EXPECT_EQ(kq.Make(1, EVFILT_TIMER, EV_ADD, NOTE_SECONDS | NOTE_ABSTIME, 0, 4), 0);
  EXPECT_THAT(kq.Await(), ElementsAre(IsEvent(1u, EVFILT_TIMER, 1, 4u)));
  EXPECT_EQ(kq.Make(1, EVFILT_TIMER, EV_DELETE), 0);
  EXPECT_EQ(kq.Make(1, EVFILT_TIMER, EV_DELETE), ENOENT);
}

// A timer that could not be added is not there for the changes that follow in the same list.
TEST(Refusals, OfATimerAreKnownToTheNextChanges) {
  const Kqueue kq;
  for (const int next : {EV_ENABLE, EV_DISABLE, EV_DELETE, EV_ADD}) {
    std::vector<Event> changes = {Change(7, EVFILT_USER, EV_ADD | EV_RECEIPT),
                                  Change(1, EVFILT_TIMER, EV_ADD, NOTE_SECONDS | NOTE_ABSTIME, 0),
                                  Change(1, EVFILT_TIMER, next | EV_RECEIPT, NOTE_SECONDS, 3600),
                                  Change(2, EVFILT_TIMER, EV_ADD | EV_RECEIPT, NOTE_SECONDS, 3600)};
    const NoDescriptors limit;
    ASSERT_EQ(kevent(kq.fd(), changes.data(), 4, changes.data(), 4, nullptr), 4);
    EXPECT_THAT(changes,
                ElementsAre(IsReport(7u, EVFILT_USER, 0), IsReport(1u, EVFILT_TIMER, EMFILE),
                            IsReport(1u, EVFILT_TIMER, next == EV_ADD ? 0 : ENOENT),
                            IsReport(2u, EVFILT_TIMER, 0)));
  }
  EXPECT_EQ(kq.Make(1, EVFILT_TIMER, EV_DELETE), 0);
  EXPECT_EQ(kq.Make(2, EVFILT_TIMER, EV_DELETE), 0);
}

}  // namespace
