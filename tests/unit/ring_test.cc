// SPDX-License-Identifier: MIT
//
// Operations by an io_uring that does what the test says, and where it comes to
// that by the pool.

#include <aio.h>
#include <fcntl.h>

#include <array>
#include <functional>
#include <optional>
#include <semaphore>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/calls/aio_calls.h"
#include "core/descriptors/registry.h"
#include "tests/unit/engine.h"

namespace kevent_test {
namespace {

class Ring : public testing::Test {
 protected:
  Ring() {
    const int parents = kevent::core::InitQueue(nullptr, 0, 0);
    Sim().Fork(true);  // which has no io_uring yet
    EXPECT_EQ(kevent::core::CloseDescriptor(parents), 0);
    Sim().ring = {};
    Sim().ring.is_there = true;
    queue_ = kevent::core::InitQueue(nullptr, 0, 0);
    file_ = Sim().OpenStranger();
    opened_ = Sim().calls["OpenRing"];
  }
  ~Ring() override {
    EXPECT_TRUE(Collect(queue_).empty());
    EXPECT_EQ(kevent::core::CloseDescriptor(queue_), 0);
    Sim().ring = {};
    Sim().no_threads = false;
    Sim().when_waiting = nullptr;
  }

  void Write() { WriteTo(file_, &control_); }
  void WriteTo(int file, aiocb* control) {
    control->aio_fildes = file;
    control->aio_buf = bytes_;
    control->aio_nbytes = sizeof bytes_;
    kevent_sigevent(&control->aio_sigevent, queue_, control);
    ASSERT_EQ(kevent::core::StartWrite(control), 0);
  }

  // Each step is what happens while the thread waits; then the ring is closed,
  // and the thread ends.
  void Run(std::vector<std::function<void()>> steps) {
    size_t next = 0;
    Sim().ring.when_asleep = [&] {
      if (next < steps.size()) return steps[next++]();
      Sim().ring.closed = true;
    };
    Sim().RunThread();
    EXPECT_EQ(next, steps.size());
  }

  // What the kernel took last ends.
  static void End(int64_t result) {
    ASSERT_FALSE(Sim().ring.taken.empty());
    Sim().ring.results.push_back({Sim().ring.taken.back().token, result});
  }

  void ExpectEvent(uint32_t result, uint32_t error) const {
    const std::vector<ukevent> events = Collect(queue_);
    ASSERT_EQ(events.size(), 1);
    EXPECT_EQ(events[0].ptr, &control_);
    EXPECT_EQ(events[0].ret_data[0], result);
    EXPECT_EQ(events[0].ret_data[1], error);
  }

  int queue_;
  int file_;
  int opened_;
  char bytes_[10] = {};
  // In an array, as it has an array of nothing and cannot be a member.
  std::array<aiocb, 1> controls_ = {};
  aiocb& control_ = controls_[0];
};

constexpr auto kFailed = static_cast<uint32_t>(-1);

TEST_F(Ring, AnInterruptedOperationGoesOn) {
  Write();
  Run({[] { End(-EINTR); }, [] { End(10); }});
  EXPECT_EQ(Sim().ring.taken.size(), 2);
  ExpectEvent(10, 0);
}

TEST_F(Ring, AnOperationIsCancelledByItsOwnDescriptorAlone) {
  Write();
  EXPECT_EQ(kevent::core::CancelOperations(Sim().OpenStranger(), &control_), AIO_ALLDONE);
  aiocb copy = control_;
  EXPECT_EQ(kevent::core::CancelOperations(file_, &copy), AIO_ALLDONE);
  EXPECT_EQ(aio_error(&control_), EINPROGRESS);
  EXPECT_EQ(kevent::core::CancelOperations(file_, &control_), AIO_CANCELED);
  EXPECT_EQ(kevent::core::CancelOperations(file_, &control_), AIO_ALLDONE);
  ExpectEvent(kFailed, ECANCELED);
}

// Where the C library's would block for the rest.
TEST_F(Ring, AStreamIsWrittenToTheEnd) {
  Write();
  Run({[] { End(3); },
       [this] {
         EXPECT_EQ(Sim().ring.taken.back().transfer.buffer, bytes_ + 3);
         EXPECT_EQ(Sim().ring.taken.back().transfer.bytes, 7);
         EXPECT_EQ(kevent::core::CancelOperations(file_, &control_), AIO_NOTCANCELED);
         End(7);
       }});
  ExpectEvent(10, 0);
}

TEST_F(Ring, WhatWasWrittenCountsWhenTheRestFails) {
  Write();
  Run({[] { End(3); }, [] { End(-EPIPE); }});
  ExpectEvent(3, 0);
}

class RingAndALostDescriptor : public Ring, public testing::WithParamInterface<int64_t> {};

TEST_P(RingAndALostDescriptor, IsNotUsedAgain) {
  Write();
  Run({[this] {
    kevent::core::LosesDescriptors(static_cast<unsigned>(file_), static_cast<unsigned>(file_));
    EXPECT_EQ(aio_error(&control_), EINPROGRESS);
    End(GetParam());
  }});
  EXPECT_EQ(Sim().ring.taken.size(), 1);
  if (GetParam() < 0) {
    ExpectEvent(kFailed, ECANCELED);
  } else {
    ExpectEvent(static_cast<uint32_t>(GetParam()), 0);
  }
}

INSTANTIATE_TEST_SUITE_P(After, RingAndALostDescriptor, testing::Values(-EINTR, 3));

TEST_F(Ring, WhatTheKernelHasEndsAfterTheRingWasClosed) {
  Write();
  Run({[] { Sim().ring.closed = true; },
       [this] {
         EXPECT_EQ(aio_error(&control_), EINPROGRESS);
         End(10);
       }});
  ExpectEvent(10, 0);
}

// The ring was closed unseen, and another descriptor of the library's was given its number.
TEST_F(Ring, ItsNumberMayBeAnothersWhenItIsLost) {
  using kevent::core::Registration;
  using kevent::core::Registry;
  const Registration of_ring = Registration::Internal(0, kevent::core::kRoleProcess);
  const Registration another = Registration::Internal(7, kevent::core::kRoleAlwaysReady);
  int number = -1;
  Write();
  Run({[&] {
    constexpr int kLast = Registry::kMaxDescriptor - 1;
    number = Registry::Next(0, kLast);
    while (number >= 0 && Registry::Get(number).bits() != of_ring.bits()) {
      number = Registry::Next(number + 1, kLast);
    }
    EXPECT_TRUE(Registry::Change(number, of_ring, another));
    End(10);
  }});
  EXPECT_TRUE(Registry::Change(number, another, of_ring));
  ExpectEvent(10, 0);
}

TEST_F(Ring, WhatTheKernelHasNotTakenIsForThePool) {
  Write();
  Sim().ring.is_full = true;
  Run({[] { EXPECT_TRUE(Sim().ring.added.empty()); }});
  EXPECT_TRUE(Sim().ring.taken.empty());
  EXPECT_EQ(kevent::core::CancelOperations(file_, &control_), AIO_CANCELED);
  ExpectEvent(kFailed, ECANCELED);
}

TEST_F(Ring, WhatTheKernelHasNotTakenIsGivenToItAgain) {
  Write();
  Sim().ring.is_full = true;
  Run({[] { Sim().ring.is_full = false; }, [] { End(10); }});
  EXPECT_EQ(Sim().ring.taken.size(), 1);
  ExpectEvent(10, 0);
}

// Its number may be a stranger's when the kernel takes more.
TEST_F(Ring, WhatTheKernelHasNotTakenEndsWithItsDescriptor) {
  Write();
  Sim().ring.is_full = true;
  Run({[this] {
         kevent::core::LosesDescriptors(static_cast<unsigned>(file_), static_cast<unsigned>(file_));
         EXPECT_EQ(aio_error(&control_), ECANCELED);
         Sim().ring.is_full = false;
       },
       [] {}});
  EXPECT_TRUE(Sim().ring.taken.empty());
  ExpectEvent(kFailed, ECANCELED);
}

TEST_F(Ring, WhatItsThreadCannotBeWokenForIsForThePool) {
  const int other = Sim().OpenStranger();
  std::array<aiocb, 1> more = {};
  more[0].aio_fildes = other;
  kevent_sigevent(&more[0].aio_sigevent, queue_, more.data());
  Write();
  Run({[&] {
    End(10);
    const int threads = Sim().calls["StartThread"];
    Sim().ring.is_full = true;
    EXPECT_EQ(kevent::core::StartWrite(more.data()), 0);
    EXPECT_GT(Sim().calls["StartThread"], threads);
    EXPECT_TRUE(Sim().ring.added.empty());
  }});
  EXPECT_EQ(Sim().ring.taken.size(), 1);
  EXPECT_EQ(kevent::core::CancelOperations(other, more.data()), AIO_CANCELED);
  EXPECT_EQ(Collect(queue_).size(), 2);
}

TEST_F(Ring, AReadOfVeryMuchIsNotDoneByTheCallAlone) {
  constexpr size_t kAtOnce = kevent::sys::Transfer::kMostAtOnce;
  std::vector<char> bytes(kAtOnce + 10);
  control_.aio_fildes = file_;
  control_.aio_buf = bytes.data();
  control_.aio_nbytes = bytes.size();
  control_.aio_offset = 5;
  kevent_sigevent(&control_.aio_sigevent, queue_, &control_);
  Sim().files_are_cached = true;
  ASSERT_EQ(kevent::core::StartRead(&control_), 0);
  EXPECT_EQ(aio_error(&control_), EINPROGRESS);
  Run({[&bytes] {
    const kevent::sys::Transfer& rest = Sim().ring.taken.back().transfer;
    EXPECT_EQ(rest.buffer, bytes.data() + kAtOnce);
    EXPECT_EQ(rest.bytes, 10);
    EXPECT_EQ(rest.offset, kAtOnce + 5);
    End(10);
  }});
  ExpectEvent(kAtOnce + 10, 0);
  control_.aio_nbytes = kAtOnce;
  ASSERT_EQ(kevent::core::StartRead(&control_), 0);
  Sim().files_are_cached = false;
  ExpectEvent(kAtOnce, 0);
}

// Whoever is woken finds all of it, though he collects at once.
TEST_F(Ring, WhatCompletesTogetherIsToldOfTogether) {
  std::vector<std::array<aiocb, 1>> reads(8);
  for (size_t i = 0; i < reads.size(); ++i) {
    aiocb& read = reads[i][0];
    read = {};
    read.aio_fildes = file_;
    read.aio_buf = bytes_ + i;
    read.aio_nbytes = 1;
    read.aio_offset = static_cast<off_t>(i);
    kevent_sigevent(&read.aio_sigevent, queue_, &read);
    ASSERT_EQ(kevent::core::StartRead(&read), 0);
  }
  std::vector<size_t> batches;
  bool collects = false;
  Run({[&] {
         for (const SimulatedRing::Given& given : Sim().ring.taken) {
           Sim().ring.results.push_back({given.token, 1});
         }
         Sim().before_call = [&](const std::string& call) {
           if (call != "RestoreSignals" || collects) return;
           collects = true;
           if (const size_t count = Collect(queue_).size(); count != 0) batches.push_back(count);
           collects = false;
         };
       },
       [] { Sim().before_call = nullptr; }});
  EXPECT_EQ(batches, std::vector<size_t>{reads.size()});
}

// To make a thread for that takes long, and may end this one.
TEST_F(Ring, AQueueIsToldBeforeWhoeverIsToldInAnotherWay) {
  std::array<aiocb, 1> other = {};
  other[0].aio_fildes = Sim().OpenStranger();
  other[0].aio_sigevent.sigev_notify = SIGEV_SIGNAL;
  other[0].aio_sigevent.sigev_signo = SIGUSR1;
  Write();
  ASSERT_EQ(kevent::core::StartWrite(other.data()), 0);
  int told = 0;
  Run({[&] {
         for (const SimulatedRing::Given& given : Sim().ring.taken) {
           Sim().ring.results.push_back({given.token, 10});
         }
         Sim().before_call = [&](const std::string& call) {
           if (call != "Notify") return;
           EXPECT_TRUE(Sim().Readable(queue_));
           ++told;
         };
       },
       [] { Sim().before_call = nullptr; }});
  EXPECT_EQ(told, 1);
  ExpectEvent(10, 0);
}

TEST_F(Ring, ItsThreadIsThePoolsWhenNoOtherCanBeMade) {
  Write();
  Sim().no_threads = true;
  int waits = 0;
  Sim().when_waiting = [&waits] {
    ++waits;
    return -ETIMEDOUT;
  };
  Sim().ring.is_full = true;
  Run({[] {}});
  EXPECT_EQ(waits, 1);
  ExpectEvent(kFailed, EIO);  // as all that the simulated pool does
}

TEST_F(Ring, WhileItHasSomethingItsThreadLooksForAPool) {
  std::array<aiocb, 1> more = {};
  more[0].aio_fildes = Sim().OpenStranger();
  kevent_sigevent(&more[0].aio_sigevent, queue_, more.data());
  int tried = 0;
  Write();
  Run({[&] {
         Sim().no_threads = true;
         Sim().ring.closed = true;
         EXPECT_EQ(kevent::core::StartWrite(more.data()), 0);
       },
       [&tried] {
         Sim().no_threads = false;
         tried = Sim().calls["StartThread"];
       },
       [&tried] {
         EXPECT_EQ(Sim().calls["StartThread"], tried + 1);
         End(10);
       }});
  EXPECT_EQ(kevent::core::CancelOperations(more[0].aio_fildes, more.data()), AIO_CANCELED);
  EXPECT_EQ(Collect(queue_).size(), 2);
}

// Nobody could take its place.
TEST_F(Ring, ThePoolsLastThreadStaysForWhatWaits) {
  Write();
  const auto ring_thread = [thread = Sim().thread_, engine = Sim().thread_argument_] {
    size_t step = 0;
    Sim().ring.when_asleep = [&step] {
      if (step++ == 0) return End(10);
      Sim().ring.closed = true;
    };
    thread(engine);
  };
  std::array<aiocb, 1> next = {};
  next[0].aio_fildes = file_;
  kevent_sigevent(&next[0].aio_sigevent, queue_, next.data());
  Sim().may_end_by_time = true;
  ASSERT_EQ(kevent::core::StartWrite(next.data()), 0);
  Sim().may_end_by_time = false;
  Sim().no_threads = true;
  int waits = 0;
  Sim().when_waiting = [&] {
    if (++waits == 3) ring_thread();
    return -ETIMEDOUT;
  };
  Sim().RunThread();
  EXPECT_EQ(aio_error(next.data()), EIO);
  EXPECT_EQ(Collect(queue_).size(), 2);
}

// The C library answers at once for a block that it does not know, and would be asked over
// and over.
TEST_F(Ring, ASleeperBesideACopyOfItsBlockSleeps) {
  Write();
  aiocb copy = control_;
  const aiocb* const list[] = {&copy, &control_};
  static int asked = 0;
  int waits = 0;
  Sim().when_waiting = [&waits] {
    ++waits;
    Sim().Advance(1'000'000);
    return -ETIMEDOUT;
  };
  const timespec five_milliseconds = {0, 5'000'000};
  EXPECT_EQ(kevent::core::SuspendFor(list, 2, &five_milliseconds,
                                     [](const aiocb* const[], int, const timespec*) {
                                       if (++asked > 100) Sim().Advance(kSecond);
                                       return 0;
                                     }),
            EAGAIN);
  EXPECT_EQ(waits, 5);
  EXPECT_LE(asked, 6);
  Run({[] { End(10); }});
  EXPECT_EQ(Collect(queue_).size(), 1);
}

// A thread that had nothing to do for a while; the next operation has another.
TEST_F(Ring, AnIdleThreadGoes) {
  Sim().ring.times_out = true;
  Write();
  const int started = Sim().calls["StartThread"];
  size_t step = 0;
  Sim().ring.when_asleep = [&step] {
    if (step++ == 0) End(10);
  };
  Sim().RunThread();
  EXPECT_EQ(step, 2);  // for its end, and with nothing to do
  ExpectEvent(10, 0);
  EXPECT_EQ(Sim().calls["StartThread"], started);
  Write();
  EXPECT_EQ(Sim().calls["StartThread"], started + 1);
  step = 0;
  Sim().RunThread();
  ExpectEvent(10, 0);
}

// By a thread with another table of descriptors, or by the program.  Its number is a stranger's
// now.
TEST_F(Ring, IsOpenedAnewWhereItsNumberIsAnothers) {
  Sim().ring.times_out = true;
  Sim().ring.when_asleep = [step = 0]() mutable {
    if (step++ == 0) End(10);
  };
  Write();
  Sim().RunThread();
  ExpectEvent(10, 0);
  const int number = NumberOfRing();
  Sim().ReplaceBehindBack(number);
  const auto strangers = Sim().File(number);
  Sim().ring.when_asleep = [step = 0]() mutable {
    if (step++ == 0) End(10);
  };
  Write();
  EXPECT_EQ(Sim().calls["OpenRing"], opened_ + 2);
  EXPECT_NE(NumberOfRing(), -1);
  Sim().RunThread();
  ExpectEvent(10, 0);
  EXPECT_EQ(Sim().ring.taken.size(), 2);
  EXPECT_EQ(Sim().File(number), strangers);
}

// Work that comes when it is about to go: handed over after its last sleep.
TEST_F(Ring, AThreadThatIsAboutToGoDoesWhatComes) {
  Sim().ring.times_out = true;
  Write();
  const int started = Sim().calls["StartThread"];
  size_t step = 0;
  Sim().ring.when_asleep = [&] {
    switch (step++) {
      case 0:
        return End(10);
      case 1:
        ExpectEvent(10, 0);
        Write();
        break;
      case 2:
        EXPECT_EQ(Sim().ring.taken.size(), 3);  // the bell as well
        return End(10);
      default:
        break;
    }
  };
  Sim().RunThread();
  EXPECT_EQ(step, 4);
  EXPECT_EQ(Sim().calls["StartThread"], started);
  ExpectEvent(10, 0);
}

// What waits for an operation of the pool's is for the ring when it has ended, and
// perhaps no thread can be made by then.
TEST_F(Ring, AnIdleThreadStaysForWhatWaits) {
  Write();
  const auto ring_thread = [thread = Sim().thread_, engine = Sim().thread_argument_] {
    thread(engine);
  };
  size_t step = 0;
  Sim().ring.times_out = true;
  Sim().ring.when_asleep = [&step] {
    if (step++ == 0) End(10);
  };
  ring_thread();
  ExpectEvent(10, 0);
  // A blocking one, and one behind it in its line.
  Sim().may_end_by_time = true;
  Write();
  Sim().may_end_by_time = false;
  std::array<aiocb, 1> next = {};
  next[0].aio_fildes = file_;
  kevent_sigevent(&next[0].aio_sigevent, queue_, next.data());
  ASSERT_EQ(kevent::core::StartWrite(next.data()), 0);
  step = 1;
  Sim().ring.when_asleep = [&] {
    switch (step++) {
      case 1:
      case 2:
        break;  // nothing to do, twice
      case 3:
        EXPECT_EQ(kevent::core::CancelOperations(file_, &control_), AIO_CANCELED);
        break;
      case 4:
        return End(10);
      default:
        break;
    }
  };
  ring_thread();
  EXPECT_EQ(step, 6);
  EXPECT_EQ(Collect(queue_).size(), 2);
}

// A thread that runs as far as to its second look at the ring, and goes on to its end when it is
// told to: never at the same time as the test.
class Thread {
 public:
  explicit Thread(std::function<void()> body)
      : thread_([this, body = std::move(body)] {
          Sim().ring.when_asleep = [this] {
            if (++looks_ == 2) Pause();
          };
          body();
          paused_.release();
        }) {
    paused_.acquire();
  }
  ~Thread() {
    if (thread_.joinable()) GoOn({});
  }
  Thread(const Thread&) = delete;
  Thread& operator=(const Thread&) = delete;

  void GoOn(std::function<void()> when_asleep) {
    Sim().ring.when_asleep = std::move(when_asleep);
    goes_on_.release();
    thread_.join();
  }

 private:
  void Pause() {
    paused_.release();
    goes_on_.acquire();
  }

  int looks_ = 0;
  std::binary_semaphore paused_{0};
  std::binary_semaphore goes_on_{0};
  std::thread thread_;
};

// One that has begun before its maker has chosen the ring: for operations that wait for the pool's,
// which began when there was no memory for a ring.
TEST_F(Ring, ItsThreadAwaitsTheChoiceOfItsMaker) {
  std::array<aiocb, 1> of_pool = {};
  Sim().ring.is_there = false;
  Sim().ring.refusal = -ENOMEM;
  WriteTo(Sim().OpenStranger(), of_pool.data());
  EXPECT_EQ(Sim().calls["OpenRing"], opened_ + 1);
  Sim().ring.is_there = true;
  std::optional<Thread> thread;
  Sim().when_started = [&thread] {
    thread.emplace([run = Sim().thread_, engine = Sim().thread_argument_] { run(engine); });
  };
  Write();
  Sim().when_started = nullptr;
  ASSERT_TRUE(thread.has_value());
  size_t step = 0;
  thread->GoOn([&step] {
    if (step++ == 0) return End(10);
    Sim().ring.closed = true;
  });
  EXPECT_EQ(step, 2);
  EXPECT_EQ(Sim().ring.taken.size(), 1);
  ExpectEvent(10, 0);
  EXPECT_EQ(kevent::core::CancelOperations(of_pool[0].aio_fildes, of_pool.data()), AIO_CANCELED);
  EXPECT_EQ(Collect(queue_).size(), 1);
}

// The pool had no thread when the bell was not heard, and gets one for another operation.
TEST_F(Ring, WhatItsThreadSleepsThroughIsForThePoolThatComesLater) {
  std::array<aiocb, 1> unrung = {};
  std::array<aiocb, 1> of_pool = {};
  Write();
  Run({[&] {
         Sim().ring.is_full = true;
         Sim().no_threads = true;
         WriteTo(Sim().OpenStranger(), unrung.data());
         int tried = 0;
         Sim().before_call = [&tried](const std::string& call) {
           if (call == "StartThread") Sim().no_threads = tried++ == 0;
         };
         Sim().may_end_by_time = true;
         WriteTo(Sim().OpenStranger(), of_pool.data());
         Sim().may_end_by_time = false;
         Sim().before_call = nullptr;
         EXPECT_GE(tried, 2);
         Sim().when_waiting = [] { return -ETIMEDOUT; };
         Sim().RunThread();
         EXPECT_EQ(aio_error(of_pool.data()), EIO);  // as all that the simulated pool does
         EXPECT_EQ(aio_error(unrung.data()), EIO);
         Sim().ring.is_full = false;
       },
       [] { End(10); }});
  EXPECT_EQ(Collect(queue_).size(), 3);
}

// Before the ring has a thread, as the pool's would be the last that was started.
TEST_F(Ring, WhatMayEndByTimeIsForThePool) {
  Sim().may_end_by_time = true;
  Write();
  Sim().may_end_by_time = false;
  EXPECT_EQ(Sim().calls["OpenRing"], opened_ + 1);
  EXPECT_TRUE(Sim().ring.added.empty());
  EXPECT_EQ(kevent::core::CancelOperations(file_, &control_), AIO_CANCELED);
  ExpectEvent(kFailed, ECANCELED);
  Write();
  Run({[] { End(10); }});
  ExpectEvent(10, 0);
}

}  // namespace
}  // namespace kevent_test
