// SPDX-License-Identifier: MIT
//
// Completions where every call to the system fails in turn; a random life of
// asynchronous I/O agrees with the model.

#include <aio.h>
#include <fcntl.h>

#include <array>
#include <functional>
#include <memory>
#include <vector>

#include "core/aio/aiocb_access.h"
#include "core/calls/aio_calls.h"
#include "core/calls/lookup_calls.h"
#include "core/calls/message_queue_calls.h"
#include "tests/unit/completion_life.h"
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

// A list's operations are handed over together, and are in progress before.
TEST(Operations, ThatAListHasBegunAreNotDone) {
  const int queue = kevent::core::InitQueue(nullptr, 0, 0);
  uint32_t list;
  ASSERT_EQ(Operations::Allocate(&list), 0);
  Operations::At(list).missing = 2;  // its caller, and the member
  kevent::core::Call call = {.list = list + 1};
  aiocb control = {};
  control.aio_fildes = queue;  // any that is open
  kevent_sigevent(&control.aio_sigevent, queue, &control);
  EXPECT_EQ(kevent::core::StartOperation(kevent::sys::Transfer::Kind::kWrite, &control, 0, &call),
            0);
  EXPECT_EQ(aio_error(&control), EINPROGRESS);
  EXPECT_EQ(kevent::core::CancelOperations(queue, &control), AIO_NOTCANCELED);
  EXPECT_EQ(kevent::core::BeginLater(&call), 0u);
  EXPECT_EQ(kevent::core::CancelOperations(queue, &control), AIO_CANCELED);
  EXPECT_EQ(Collect(queue).size(), 1);
  Operations::Free(list);
  EXPECT_EQ(kevent::core::CloseDescriptor(queue), 0);
}

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

// ---- A random life ----------------------------------------------------------------

TEST(Completions, ARandomLifeIsThatOfTheModel) {
  const uint64_t first = FromEnvironment("KEVENT_TEST_SEED", 1);
  const uint64_t runs = FromEnvironment("KEVENT_TEST_RUNS", 300);
  CompletionLife::BeginProcess();
  for (uint64_t seed = first; seed < first + runs && !HasFailure(); ++seed) {
    SCOPED_TRACE(testing::Message() << "KEVENT_TEST_SEED=" << seed);
    RandomChoices choices(seed);
    CompletionLife life(choices);
    for (int i = 0; i < 300 && !HasFailure(); ++i) life.Step();
    life.End();
  }
  Sim().ring = {};
}

}  // namespace
}  // namespace kevent_test
