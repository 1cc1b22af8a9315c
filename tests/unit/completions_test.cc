// SPDX-License-Identifier: MIT
//
// Completions where every call to the system fails in turn, and with an io_uring
// that does what the test says.

#include <aio.h>
#include <fcntl.h>

#include <array>
#include <functional>
#include <memory>
#include <vector>

#include "core/aio.h"
#include "tests/unit/engine.h"

namespace kevent_test {
namespace {

using kevent::core::Operations;

// ---- Failures -------------------------------------------------------------------

class CompletionFailures : public testing::TestWithParam<int> {
 protected:
  ~CompletionFailures() override { Sim().FailCall(0, 0); }

  // `step` returns an errno; it fails at most once, and then leaves nothing.
  void Try(const std::function<int()>& step) {
    const size_t before = Sim().open_descriptors();
    const int error = step();
    if (error == 0) return;
    ++failed_;
    EXPECT_TRUE(error == EAGAIN || error == ENOMEM || error == EMFILE) << error;
    EXPECT_FALSE(Sim().failure_pending()) << "fails by itself, with " << error;
    EXPECT_LE(Sim().open_descriptors(), before + 1);  // what the first kevent of a queue takes
    EXPECT_EQ(step(), 0);
  }

  void FailInTurn(const std::function<void(int queue)>& scenario) {
    for (int n = 1;; ++n) {
      SCOPED_TRACE(testing::Message() << "failure " << n);
      // A child begins with nothing, so that all that is made once is made again.
      const int parents = kevent::core::InitQueue(nullptr, 0, 0);
      Sim().Fork(true);
      EXPECT_EQ(kevent::core::CloseDescriptor(parents), 0);
      const int queue = kevent::core::InitQueue(nullptr, 0, 0);
      ASSERT_GE(queue, 0);
      Sim().FailCall(n, GetParam());
      scenario(queue);
      const bool was_met = !Sim().failure_pending();
      Sim().FailCall(0, 0);
      EXPECT_TRUE(Collect(queue).empty());
      EXPECT_EQ(kevent::core::CloseDescriptor(queue), 0);
      if (HasFailure() || !was_met) break;
    }
    EXPECT_GT(failed_, 0);
    EXPECT_TRUE(Sim().violations.empty());
  }

  int failed_ = 0;
};

TEST_P(CompletionFailures, OfAnOperation) {
  FailInTurn([this](int queue) {
    aiocb control = {};
    control.aio_fildes = queue;  // any that is open
    kevent_sigevent(&control.aio_sigevent, queue, &control);
    Try([&control] { return kevent::core::StartWrite(&control); });
    EXPECT_EQ(aio_error(&control), EINPROGRESS);
    EXPECT_TRUE(kevent::core::IsOurs(&control));
    EXPECT_EQ(kevent::core::CancelOperations(queue, &control), AIO_CANCELED);
    const std::vector<ukevent> events = Collect(queue);
    ASSERT_EQ(events.size(), 1);
    EXPECT_EQ(events[0].ptr, &control);
    EXPECT_EQ(events[0].ret_data[1], static_cast<uint32_t>(ECANCELED));
  });
}

TEST_P(CompletionFailures, OfARegistrationForMessages) {
  FailInTurn([this](int queue) {
    sigevent notification;
    kevent_sigevent(&notification, queue, nullptr);
    Try([&notification] { return kevent::core::NotifyOfMessage(7, notification); });
  });
}

TEST_P(CompletionFailures, OfALookup) {
  FailInTurn([this](int queue) {
    sigevent notification;
    gaicb request = {};
    gaicb* list[] = {&request, nullptr};
    uint32_t number = 0;
    kevent_sigevent(&notification, queue, this);
    Try([&] { return kevent::core::PrepareLookup(list, 2, notification, &number); });
    kevent::core::AwaitLookup(number);
    EXPECT_TRUE(Collect(queue).empty());
    Sim().RunThread();
    const std::vector<ukevent> events = Collect(queue);
    ASSERT_EQ(events.size(), 1);
    EXPECT_EQ(events[0].type, static_cast<uint32_t>(KEVENT_GAI));
    EXPECT_EQ(events[0].id.raw_u64, reinterpret_cast<uint64_t>(&request));
  });
}

INSTANTIATE_TEST_SUITE_P(With, CompletionFailures, testing::Values(EMFILE, ENOMEM));

TEST(Operations, AsManyAsThereMayBe) {
  const int queue = kevent::core::InitQueue(nullptr, 0, 0);
  sigevent notification;
  kevent_sigevent(&notification, queue, nullptr);
  const auto prepare = [&notification](uint32_t* number) {
    return kevent::core::PrepareLookup(nullptr, 0, notification, number);
  };
  std::vector<uint32_t> numbers(Operations::kMax);
  for (uint32_t& number : numbers) ASSERT_EQ(prepare(&number), 0);
  uint32_t number;
  EXPECT_EQ(prepare(&number), EAGAIN);
  for (const uint32_t each : numbers) kevent::core::AwaitLookup(each);
  // Closed with the events that nobody has collected, it gives them back.
  EXPECT_EQ(kevent::core::CloseDescriptor(queue), 0);
  const int another = kevent::core::InitQueue(nullptr, 0, 0);
  kevent_sigevent(&notification, another, nullptr);
  EXPECT_EQ(prepare(&number), 0);
  EXPECT_TRUE(Collect(another).empty());
  kevent::core::DropLookup(number);
  EXPECT_EQ(kevent::core::CloseDescriptor(another), 0);
}

// ---- The io_uring ---------------------------------------------------------------------

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
  }

  void Write() {
    control_.aio_fildes = file_;
    control_.aio_buf = bytes_;
    control_.aio_nbytes = sizeof bytes_;
    kevent_sigevent(&control_.aio_sigevent, queue_, &control_);
    ASSERT_EQ(kevent::core::StartWrite(&control_), 0);
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
