// SPDX-License-Identifier: MIT
//
// Lists of operations on descriptors of both sides.

#include <semaphore.h>

#include <atomic>
#include <thread>
#include <vector>

#include "tests/adapters/aio/plain_aio.h"
#include "tests/support/vanishing_attributes.h"

namespace aio_adapter_test {
namespace {

// Two streams, with one read in flight on each if `busy`: the sides of both are settled then.
class AioLists : public testing::TestWithParam<bool> {
 protected:
  AioLists() {
    sigemptyset(&signals_);
    sigaddset(&signals_, SIGRTMIN);
    pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
    sem_init(&s_told, 0, 0);
    if (!busy()) return;
    BeginFirst();
  }
  static bool busy() { return GetParam(); }
  void BeginFirst() {
    BeginOn(true, engines_, &first_of_engine_);
    BeginOn(false, librarys_, &first_of_library_);
  }

  // Ends what was in flight before, on both; then what the list has asked for.
  void PutBefore() const {
    if (!busy()) return;
    engines_.Put("1");
    librarys_.Put("2");
  }
  void ExpectBytes() {
    EXPECT_EQ(of_engine_.Await(), 'a');
    EXPECT_EQ(of_library_.Await(), 'b');
    if (!busy()) return;
    EXPECT_EQ(first_of_engine_.Await(), '1');
    EXPECT_EQ(first_of_library_.Await(), '2');
  }
  int Start(int mode, sigevent* notification) {
    aiocb* const list[] = {&of_engine_.control, nullptr, &of_library_.control};
    return lio_listio(mode, list, 3, notification);
  }
  // The value of the next signal, or -1 if none comes for so long.
  int NextSignal(int milliseconds) const {
    const timespec limit = {milliseconds / 1000, milliseconds % 1000 * 1'000'000L};
    siginfo_t info;
    if (sigtimedwait(&signals_, &info, &limit) < 0) return -1;
    EXPECT_EQ(info.si_code, SI_ASYNCIO);
    EXPECT_EQ(info.si_pid, getpid());
    EXPECT_EQ(info.si_uid, getuid());
    return info.si_value.sival_int;
  }
  static sigevent BySignal(int value) {
    sigevent event = {};
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = SIGRTMIN;
    event.sigev_value.sival_int = value;
    return event;
  }
  static void Tell(sigval value) {
    s_value = value.sival_int;
    pthread_attr_t attributes;
    size_t stack = 0;
    pthread_getattr_np(pthread_self(), &attributes);
    pthread_attr_getstacksize(&attributes, &stack);
    pthread_attr_destroy(&attributes);
    s_stack = stack;
    sem_post(&s_told);
  }

  static sem_t s_told;
  static std::atomic<int> s_value;
  static std::atomic<size_t> s_stack;

  const Stream engines_{Stream::kReadOnly};
  const Stream librarys_{Stream::kWritable};
  Read first_of_engine_{engines_.fd()};
  Read first_of_library_{librarys_.fd()};
  Read of_engine_{engines_.fd()};
  Read of_library_{librarys_.fd()};
  sigset_t signals_;
};

sem_t AioLists::s_told;
std::atomic<int> AioLists::s_value;
std::atomic<size_t> AioLists::s_stack;

TEST_P(AioLists, NotifyBySignalWhenBothSidesHaveEnded) {
  for (const bool engine_first : {false, true}) {
    if (engine_first && busy()) BeginFirst();
    of_engine_.control.aio_sigevent = BySignal(1);
    of_library_.control.aio_sigevent = BySignal(2);
    sigevent all = BySignal(3);
    ASSERT_EQ(Start(LIO_NOWAIT, &all), 0) << std::strerror(errno);
    PutBefore();
    (engine_first ? engines_ : librarys_).Put(engine_first ? "a" : "b");
    EXPECT_EQ(NextSignal(10'000), engine_first ? 1 : 2);
    EXPECT_EQ(NextSignal(1), -1) << "the other side has not ended";
    (engine_first ? librarys_ : engines_).Put(engine_first ? "b" : "a");
    EXPECT_EQ(NextSignal(10'000), engine_first ? 2 : 1);
    EXPECT_EQ(NextSignal(10'000), 3);
    EXPECT_EQ(NextSignal(1), -1);
    ExpectBytes();
  }
}

TEST_P(AioLists, NotifyByThreadWhenBothSidesHaveEnded) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, size_t{300} << 10);
  for (pthread_attr_t* wanted : {static_cast<pthread_attr_t*>(nullptr), &attributes}) {
    if (wanted != nullptr && busy()) BeginFirst();
    sigevent all = {};
    all.sigev_notify = SIGEV_THREAD;
    all.sigev_notify_function = &Tell;
    all.sigev_notify_attributes = wanted;
    all.sigev_value.sival_int = wanted == nullptr ? 8 : 9;
    ASSERT_EQ(Start(LIO_NOWAIT, &all), 0) << std::strerror(errno);
    PutBefore();
    engines_.Put("a");
    EXPECT_EQ(of_engine_.Await(), 'a');
    EXPECT_EQ(sem_trywait(&s_told), -1);
    librarys_.Put("b");
    while (sem_wait(&s_told) != 0) {
    }
    EXPECT_EQ(s_value, all.sigev_value.sival_int);
    EXPECT_EQ(s_stack <= size_t{300} << 10, wanted != nullptr);
    EXPECT_EQ(sem_trywait(&s_told), -1);
    ExpectBytes();
  }
  pthread_attr_destroy(&attributes);
}

TEST_P(AioLists, AThreadMayEndItsAttributes) {
  if (!busy()) GTEST_SKIP() << "the list is the C library's, whose threads may not";
  static sem_t s_ended;
  sem_init(&s_ended, 0, 0);
  sigevent all = {};
  all.sigev_notify = SIGEV_THREAD;
  all.sigev_notify_function = [](sigval value) {
    static_cast<kevent_test::VanishingAttributes*>(value.sival_ptr)->Vanish();
    sem_post(&s_ended);
  };
  for (int i = 0; i < 200; ++i) {
    if (i != 0) BeginFirst();
    kevent_test::VanishingAttributes attributes;
    all.sigev_notify_attributes = attributes.get();
    all.sigev_value.sival_ptr = &attributes;
    ASSERT_EQ(Start(LIO_NOWAIT, &all), 0) << std::strerror(errno);
    PutBefore();
    engines_.Put("a");
    librarys_.Put("b");
    while (sem_wait(&s_ended) != 0) {
    }
    ExpectBytes();
  }
}

TEST_P(AioLists, WaitForBothSides) {
  std::atomic<bool> returned = false;
  std::thread caller([&] {
    EXPECT_EQ(Start(LIO_WAIT, nullptr), 0) << std::strerror(errno);
    returned = true;
  });
  PutBefore();
  engines_.Put("a");
  // The call has begun what has ended.
  while (of_engine_.byte == '?') sched_yield();
  EXPECT_FALSE(returned);
  librarys_.Put("b");
  caller.join();
  EXPECT_FALSE(of_engine_.IsInProgress());
  EXPECT_FALSE(of_library_.IsInProgress());
  ExpectBytes();
}

TEST_P(AioLists, SayWhatHasFailed) {
  const Stream closed(Stream::kReadOnly);
  for (Read* failing : {&of_engine_, &of_library_}) {
    if (failing == &of_library_ && busy()) BeginFirst();
    const aiocb before = failing->control;
    failing->control.aio_buf = nullptr;
    std::thread writer([&] {
      PutBefore();
      engines_.Put("a");
      librarys_.Put("b");
    });
    EXPECT_EQ(Start(LIO_WAIT, nullptr), -1);
    EXPECT_EQ(errno, EIO);
    writer.join();
    EXPECT_EQ(aio_error(&failing->control), EFAULT);
    // The byte that was not read.
    failing->control = before;
    failing->Begin();
    ExpectBytes();
  }
}

TEST_P(AioLists, WithoutNotificationAreBegunOnBothSides) {
  ASSERT_EQ(Start(LIO_NOWAIT, nullptr), 0) << std::strerror(errno);
  PutBefore();
  engines_.Put("a");
  librarys_.Put("b");
  ExpectBytes();
}

// As soon as an operation has ended its control block may be used for something else, by a handler
// that comes before lio_listio has returned.
TEST(AioControlBlocks, AreTheProgramsOwnBeforeTheCallReturns) {
  static aiocb* s_control;
  static std::atomic<int> s_handled;
  const Stream stream(Stream::kWritable);
  std::string name = testing::TempDir() + "/block.XXXXXX";
  const int written = mkstemp(name.data());
  ASSERT_EQ(write(written, "a", 1), 1);
  const int fd = open(name.c_str(), O_RDONLY | O_CLOEXEC);
  unlink(name.c_str());
  struct sigaction action = {};
  action.sa_handler = [](int) {
    std::memset(s_control, 0x7f, sizeof *s_control);
    ++s_handled;
  };
  sigaction(SIGUSR1, &action, nullptr);
  Read read(fd);
  s_control = &read.control;
  s_handled = 0;
  read.control.aio_sigevent.sigev_notify = SIGEV_SIGNAL;
  read.control.aio_sigevent.sigev_signo = SIGUSR1;
  aiocb* const list[] = {&read.control};
  ASSERT_EQ(lio_listio(LIO_NOWAIT, list, 1, nullptr), 0) << std::strerror(errno);
  while (s_handled == 0) sched_yield();
  EXPECT_EQ(read.byte, 'a');
  // The descriptor may go over to the other side, as no call is in it any more.
  ASSERT_EQ(dup2(stream.fd(), fd), fd);
  Read next(fd);
  next.Begin();
  EXPECT_EQ(PendingInEngine(fd), 0);
  stream.Put("b");
  EXPECT_EQ(next.Await(), 'b');
  close(fd);
  close(written);
}

INSTANTIATE_TEST_SUITE_P(, AioLists, testing::Bool(), [](const auto& param) {
  return param.param ? "WithOthersInFlight" : "Alone";
});

}  // namespace
}  // namespace aio_adapter_test
