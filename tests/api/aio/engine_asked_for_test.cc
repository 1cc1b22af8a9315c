// SPDX-License-Identifier: MIT
//
// KEVENT_AIO_ENGINE: operations that the library does although nothing completes into a queue.

#include <semaphore.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <array>
#include <string>
#include <vector>

#include "tests/support/aio.h"
#include "tests/support/vanishing_attributes.h"
#include "tests/support/watchdog.h"

namespace kevent_test {
namespace {

class EngineAskedFor : public testing::Test {
 protected:
  EngineAskedFor() {
    sigemptyset(&signals_);
    sigaddset(&signals_, SIGRTMIN);
    pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
    std::memset(&control_, 0, sizeof control_);
    control_.aio_fildes = pipe_.from();
    control_.aio_buf = &byte_;
    control_.aio_nbytes = 1;
    control_.aio_lio_opcode = LIO_READ;
    control_.aio_sigevent.sigev_notify = SIGEV_NONE;
  }
  int Start(int mode, sigevent* notification = nullptr) {
    aiocb* const list[] = {&control_};
    return lio_listio(mode | KEVENT_AIO_ENGINE, list, 1, notification);
  }
  static sigevent BySignal(int signal, int value) {
    sigevent event = {};
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = signal;
    event.sigev_value.sival_int = value;
    return event;
  }
  int NextSignal() const {
    siginfo_t info;
    return sigwaitinfo(&signals_, &info) == SIGRTMIN ? info.si_value.sival_int : -1;
  }

  const Watchdog watchdog_;
  const Pipe pipe_;
  const TemporaryFile file_;
  sigset_t signals_;
  static aiocb control_;
  char byte_ = '?';
};

aiocb EngineAskedFor::control_;

TEST_F(EngineAskedFor, OneOperation) {
  ASSERT_EQ(Start(LIO_NOWAIT), 0) << std::strerror(errno);
  EXPECT_EQ(kevent_aio_pending(pipe_.from()), 1);
  EXPECT_EQ(aio_cancel(pipe_.to(), nullptr), AIO_ALLDONE);
  pipe_.Put("a");
  AwaitEnd(control_);
  EXPECT_EQ(aio_return(&control_), 1);
  EXPECT_EQ(byte_, 'a');
  EXPECT_EQ(kevent_aio_pending(pipe_.from()), 0);
}

TEST_F(EngineAskedFor, ASignalForTheOperationAndOneForTheList) {
  control_.aio_sigevent = BySignal(SIGRTMIN, 1);
  sigevent all = BySignal(SIGRTMIN, 2);
  ASSERT_EQ(Start(LIO_NOWAIT, &all), 0) << std::strerror(errno);
  pipe_.Put("a");
  EXPECT_EQ(NextSignal(), 1);
  EXPECT_EQ(ErrorOf(control_), 0);
  EXPECT_EQ(NextSignal(), 2);
}

TEST_F(EngineAskedFor, WaitedFor) {
  pipe_.Put("a");
  ASSERT_EQ(Start(LIO_WAIT), 0) << std::strerror(errno);
  EXPECT_EQ(aio_return(&control_), 1);
  control_.aio_fildes = -1;
  EXPECT_EQ(Start(LIO_WAIT), -1);
  EXPECT_EQ(errno, EIO);
  EXPECT_EQ(ErrorOf(control_), EBADF);
}

TEST_F(EngineAskedFor, Nothing) {
  control_.aio_lio_opcode = LIO_NOP;
  EXPECT_EQ(Start(LIO_NOWAIT), 0);
  EXPECT_EQ(Start(LIO_WAIT), 0);
  aiocb* const list[] = {&control_};
  EXPECT_EQ(lio_listio(LIO_NOWAIT | KEVENT_AIO_ENGINE, list, 0, nullptr), 0);
  EXPECT_EQ(Start(77), -1);
  EXPECT_EQ(errno, EINVAL);
}

TEST_F(EngineAskedFor, Refused) {
  control_.aio_reqprio = 99;
  EXPECT_EQ(Start(LIO_NOWAIT), -1);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(ErrorOf(control_), EINVAL);
}

TEST_F(EngineAskedFor, ASync) {
  ASSERT_EQ(Start(LIO_NOWAIT), 0) << std::strerror(errno);
  aiocb sync = control_;
  ASSERT_EQ(aio_fsync(O_SYNC | KEVENT_AIO_ENGINE, &sync), 0) << std::strerror(errno);
  EXPECT_EQ(ErrorOf(sync), EINPROGRESS) << "it comes after the read";
  pipe_.Put("a");
  AwaitEnd(control_);
  AwaitEnd(sync);
  EXPECT_EQ(ErrorOf(sync), EINVAL) << "a pipe has no sync";
  EXPECT_EQ(aio_fsync(77 | KEVENT_AIO_ENGINE, &sync), -1);
  EXPECT_EQ(errno, EINVAL);
}

// As in the C library, whatever the operation has done.
TEST_F(EngineAskedFor, ASignalThatIsNoneIsAnError) {
  control_.aio_fildes = file_.fd();
  file_.Write("text");
  for (const int signal : {-1, 65, 99}) {
    control_.aio_sigevent = BySignal(signal, 1);
    EXPECT_EQ(Start(LIO_WAIT), -1);
    EXPECT_EQ(errno, EIO);
    EXPECT_EQ(ErrorOf(control_), EINVAL);
    EXPECT_EQ(aio_return(&control_), -1);
    EXPECT_EQ(byte_, 't');
  }
  control_.aio_sigevent = BySignal(0, 1);
  EXPECT_EQ(Start(LIO_WAIT), 0);
  EXPECT_EQ(aio_return(&control_), 1);
}

// A thread that notifies is called what the C library would call it: as the program's thread.
TEST_F(EngineAskedFor, AThreadHasTheProgramsName) {
  static sem_t s_told;
  static std::string s_name;
  sem_init(&s_told, 0, 0);
  prctl(PR_SET_NAME, "the-program");
  control_.aio_sigevent.sigev_notify = SIGEV_THREAD;
  control_.aio_sigevent.sigev_notify_function = [](sigval) {
    char name[16];
    prctl(PR_GET_NAME, name);
    s_name = name;
    sem_post(&s_told);
  };
  ASSERT_EQ(Start(LIO_NOWAIT), 0) << std::strerror(errno);
  pipe_.Put("a");
  while (sem_wait(&s_told) != 0) {
  }
  EXPECT_EQ(s_name, "the-program");
}

// What the function is given to run on is the program's own again as soon as it runs.
TEST_F(EngineAskedFor, AThreadMayEndItsAttributes) {
  static sem_t s_ended;
  sem_init(&s_ended, 0, 0);
  control_.aio_sigevent.sigev_notify = SIGEV_THREAD;
  control_.aio_sigevent.sigev_notify_function = [](sigval value) {
    static_cast<VanishingAttributes*>(value.sival_ptr)->Vanish();
    sem_post(&s_ended);
  };
  for (int i = 0; i < 500; ++i) {
    VanishingAttributes attributes;
    control_.aio_sigevent.sigev_notify_attributes = attributes.get();
    control_.aio_sigevent.sigev_value.sival_ptr = &attributes;
    ASSERT_EQ(Start(LIO_NOWAIT), 0) << std::strerror(errno);
    pipe_.Put("a");
    while (sem_wait(&s_ended) != 0) {
    }
    AwaitEnd(control_);
  }
}

// More than half of the records: a list of one takes no record of its own.
TEST_F(EngineAskedFor, AsManyAsThereAreRecords) {
  constexpr size_t kMost = size_t{1} << 16;
  std::vector<aiocb> controls(kMost, control_);
  for (aiocb& control : controls) {
    aiocb* const list[] = {&control};
    ASSERT_EQ(lio_listio(LIO_NOWAIT | KEVENT_AIO_ENGINE, list, 1, nullptr), 0);
  }
  EXPECT_EQ(Start(LIO_NOWAIT), -1);
  EXPECT_EQ(errno, EAGAIN);
  aio_cancel(pipe_.from(), nullptr);
  pipe_.Put("a");
  for (const aiocb& control : controls) AwaitEnd(control);
}

TEST_F(EngineAskedFor, PendingIsAnAnswerOfTheNumber) {
  EXPECT_EQ(kevent_aio_pending(-1), 0);
  EXPECT_EQ(kevent_aio_pending(1 << 20), 0);
  const int other = dup(pipe_.from());
  ASSERT_EQ(Start(LIO_NOWAIT), 0) << std::strerror(errno);
  EXPECT_EQ(kevent_aio_pending(other), 0);
  const pid_t child = fork();
  if (child == 0) _exit(kevent_aio_pending(pipe_.from()));
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0) << "a child has no operation in flight";
  ASSERT_EQ(dup2(pipe_.to(), pipe_.from()), pipe_.from());
  EXPECT_EQ(kevent_aio_pending(pipe_.from()), 0) << "the number is another file's";
  pipe_.Put("a");
  AwaitEnd(control_);
  close(other);
}

}  // namespace
}  // namespace kevent_test
