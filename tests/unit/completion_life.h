// SPDX-License-Identifier: MIT
//
// Asynchronous I/O against its model, under operations that somebody chooses: what
// is begun, alone or in lists, how the io_uring ends it, what is cancelled, and which
// descriptors and queues are closed meanwhile.

#ifndef KEVENT_TESTS_UNIT_COMPLETION_LIFE_H_
#define KEVENT_TESTS_UNIT_COMPLETION_LIFE_H_

#include <aio.h>
#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csetjmp>
#include <memory>
#include <utility>
#include <vector>

#include "core/calls/aio_calls.h"
#include "core/system/system.h"
#include "tests/unit/choices.h"
#include "tests/unit/completion_model.h"
#include "tests/unit/engine.h"

namespace kevent_test {

class CompletionLife {
 public:
  // A process that has no io_uring yet, and is to have one.
  static void BeginProcess() {
    const int parents = kevent::core::InitQueue(nullptr, 0, 0);
    Sim().Fork(true);
    EXPECT_EQ(kevent::core::CloseDescriptor(parents), 0);
    Sim().ring = {};
    Sim().ring.is_there = true;
  }

  explicit CompletionLife(Choices& choices) : choices_(choices) {
    for (int& file : files_) file = Sim().OpenStranger();
    for (Queue& queue : queues_) queue.fd = kevent::core::InitQueue(nullptr, 0, 0);
  }
  ~CompletionLife() {
    for (const int file : files_) kevent::sys::Close(file);
    for (const Queue& queue : queues_) {
      EXPECT_EQ(kevent::core::CloseDescriptor(queue.fd), 0);
    }
    Sim().files_are_cached = Sim().files_have_places = false;
    // The operations' ring and that of reads may have been opened, and stay; with the
    // first one's thread the pipe stays that tells the thread's table of descriptors.
    EXPECT_LE(Sim().open_descriptors(), before_ + 3);
    EXPECT_TRUE(Sim().violations.empty()) << Sim().violations.front();
  }
  CompletionLife(const CompletionLife&) = delete;
  CompletionLife& operator=(const CompletionLife&) = delete;

  void Step() {
    switch (Pick(16)) {
      case 0:
      case 1:
      case 2:
      case 3:
        BeginOne();
        break;
      case 4:
      case 5:
        BeginList();
        break;
      case 6:
      case 7:
      case 8:
        EndOne();
        break;
      case 9:
        RunRing();
        break;
      case 10:
        CancelOne();
        break;
      case 11:
        Cancel(files_[Pick(kFiles)], nullptr);
        break;
      case 12:
        CloseOne();
        break;
      case 13:
        Pick(2) == 0 ? CloseQueue() : ForkOnce();
        break;
      default:
        CollectSome(queues_[Pick(kQueues)], 1 + static_cast<unsigned>(Pick(4)));
    }
    Compare();
    CheckQueues();
  }

  // Everything ends, and is told of.
  void End() {
    while (model_.AnyInFlight() && !testing::Test::HasFailure()) {
      RunRing();
      ASSERT_TRUE(!model_.AnyInFlight() || !Sim().ring.taken.empty()) << "one waits for ever";
      if (!Sim().ring.taken.empty()) EndTaken(0, -EIO);
      Compare();
    }
    for (Queue& queue : queues_) CollectSome(queue, kRoom);
    EXPECT_TRUE(model_.empty()) << "the queue is not told of one, or of a list";
  }

 private:
  static constexpr unsigned kRoom = 4096;
  static constexpr unsigned kFiles = 3;
  static constexpr unsigned kQueues = 2;
  static constexpr int kUntouched = -1;
  static constexpr int kNotOpen = 1000;

  using Queue = CompletionModel::Queue;
  using Told = CompletionModel::Told;
  using List = CompletionModel::List;
  using Known = CompletionModel::Known;
  using Owned = CompletionModel::Owned;

  uint64_t Pick(uint64_t n) { return choices_.Below(n); }

  // ---- Beginning ----------------------------------------------------------------

  // A queue, now and then one that is none, or nobody.
  void Address(sigevent* notification, Told* told) {
    notification->sigev_notify = SIGEV_NONE;
    const uint64_t to = Pick(8);
    if (to == 0) return;
    told->cookie = ++cookies_;
    auto* cookie = reinterpret_cast<void*>(told->cookie);
    if (to == 1 && Pick(4) == 0) return kevent_sigevent(notification, kNotOpen, cookie);
    told->queue = &queues_[to % kQueues];
    told->incarnation = told->queue->incarnation;
    kevent_sigevent(notification, told->queue->fd, cookie);
  }

  // With a buffer of its own, which it is known by to the ring.
  Owned Any() {
    auto known = std::make_unique<Known>();
    aiocb& control = *known->control();
    control.aio_fildes = files_[Pick(kFiles)];
    control.aio_buf = known->bytes;
    control.aio_nbytes = 1 + Pick(sizeof known->bytes);
    control.aio_offset = static_cast<off_t>(Pick(16));
    control.__error_code = kUntouched;
    Address(&control.aio_sigevent, &known->told);
    known->must_fail = known->told.is_refused();
    if (Pick(16) == 0) {
      switch (Pick(3)) {
        case 0:
          control.aio_reqprio = -1;
          known->must_fail = true;
          break;
        case 1:
          control.aio_offset = -1;
          known->fails_with = EINVAL;
          break;
        default:
          control.aio_fildes = kNotOpen;
          known->fails_with = EBADF;
      }
    }
    return known;
  }

  void ChooseFiles() {
    Sim().files_are_cached = Pick(4) == 0;
    Sim().files_have_places = Pick(2) == 0;
    // Whether it may fail for a lack of anything.
    may_fail_ = Pick(8) == 0;
    Sim().FailCall(may_fail_ ? 1 + static_cast<int>(Pick(6)) : 0, EMFILE);
  }

  void BeginOne() {
    ChooseFiles();
    Owned known = Any();
    aiocb* control = known->control();
    int error;
    switch (Pick(4)) {
      case 0:
        known->is_sync = true;
        // It has no place, its priority is no matter, and without a descriptor the
        // call fails.
        known->must_fail = known->fails_with == EBADF || known->told.is_refused();
        if (known->fails_with == EINVAL) known->fails_with = 0;
        error = kevent::core::StartSync(O_SYNC, control);
        break;
      case 1:
        known->is_stream = !Sim().files_have_places;
        control->aio_lio_opcode = LIO_WRITE;
        error = kevent::core::StartWrite(control);
        break;
      default:
        control->aio_lio_opcode = LIO_READ;
        error = kevent::core::StartRead(control);
    }
    Sim().FailCall(0, 0);
    if (error == 0) return model_.Accepted(std::move(known));
    EXPECT_TRUE(known->must_fail || (may_fail_ && error == EAGAIN)) << error;
    EXPECT_NE(aio_error(control), EINPROGRESS);
  }

  void BeginList() {
    ChooseFiles();
    auto list = std::make_unique<List>();
    std::vector<Owned> members;
    sigevent notification = {};
    const bool is_told = Pick(2) == 0;
    if (is_told) Address(&notification, &list->told);
    const bool refused = list->told.is_refused();
    const uint64_t count = Pick(17);
    const bool only_reads = Pick(2) == 0;
    for (uint64_t i = 0; i < count; ++i) {
      Owned known = Any();
      aiocb* control = known->control();
      const uint64_t kind = only_reads ? 0 : Pick(8);
      control->aio_lio_opcode = kind < 4 ? LIO_READ : kind < 6 ? LIO_WRITE : LIO_NOP;
      if (kind == 7) control->aio_lio_opcode = 77;
      known->is_stream = control->aio_lio_opcode == LIO_WRITE && !Sim().files_have_places;
      if (kind == 7) known->fails_with = EINVAL;
      known->list = list.get();
      list->entries.push_back(Pick(16) == 0 ? nullptr : control);
      members.push_back(std::move(known));
    }
    const int error =
        kevent::core::StartList(LIO_NOWAIT, list->entries.data(), static_cast<int>(count),
                                is_told ? &notification : nullptr);
    const bool failed = may_fail_ && !Sim().failure_pending();
    Sim().FailCall(0, 0);
    unsigned not_begun = 0;
    bool any_touched = false;
    for (uint64_t i = 0; i < count; ++i) {
      Known& known = *members[i];
      if (list->entries[i] == nullptr || known.control()->aio_lio_opcode == LIO_NOP) continue;
      const int now = aio_error(known.control());
      any_touched |= now != kUntouched;
      if (known.must_fail || now == EAGAIN || now == kUntouched) {
        EXPECT_TRUE(known.must_fail || failed || refused) << now;
        ++not_begun;
      } else {
        model_.Accepted(std::move(members[i]));
      }
    }
    EXPECT_TRUE(error == 0 ? !refused && not_begun == 0 : refused || failed || not_begun != 0);
    EXPECT_FALSE(refused && any_touched);
    // Refused as a whole it is not told of.
    if (error != 0 && !any_touched) list->told.queue = nullptr;
    model_.AcceptedList(std::move(list));
  }

  // ---- Ending -------------------------------------------------------------------

  // The ring's thread goes on until it sleeps, and is left there: it has nothing that
  // would have to be undone.  What has only woken it needs no end.
  static void RunRing() {
    if (Sim().thread_ == nullptr) return;
    static std::jmp_buf asleep;
    Sim().ring.when_asleep = [] { std::longjmp(asleep, 1); };  // NOLINT(*-err52-cpp)
    if (setjmp(asleep) == 0) Sim().RunThread();                // NOLINT(*-err52-cpp)
    std::erase_if(Sim().ring.taken,
                  [](const SimulatedRing::Given& given) { return given.token == 0; });
  }

  void EndOne() {
    RunRing();
    if (Sim().ring.taken.empty()) return;
    const size_t which = Pick(Sim().ring.taken.size());
    constexpr int64_t kFull = 1;
    constexpr int64_t kShort = 2;
    constexpr std::array<int64_t, 8> kResults = {kFull, kFull,   kFull, kShort,
                                                 0,     -EAGAIN, -EIO,  -EINTR};
    int64_t result = kResults[Pick(kResults.size())];
    const auto bytes = static_cast<int64_t>(Sim().ring.taken[which].transfer.bytes);
    if (result == kShort) {
      result = bytes / 2;
    } else if (result == kFull) {
      result = bytes;
    }
    EndTaken(which, result);
  }

  void EndTaken(size_t which, int64_t result) {
    const SimulatedRing::Given given = Sim().ring.taken[which];
    Sim().ring.taken.erase(Sim().ring.taken.begin() + static_cast<ptrdiff_t>(which));
    model_.Ends(given.transfer, result);
    Sim().ring.results.push_back({given.token, result});
    RunRing();
  }

  // ---- Cancelling and closing ---------------------------------------------------

  void CancelOne() {
    Known* known = model_.At(Pick(kRoom));
    if (known != nullptr) Cancel(known->control()->aio_fildes, known->control());
  }

  void Cancel(int file, aiocb* control) {
    const int expected = model_.Cancelled(file, control);
    EXPECT_EQ(kevent::core::CancelOperations(file, control), expected);
  }

  // Another file has its number.
  void CloseOne() {
    const int file = files_[Pick(kFiles)];
    model_.Closed(file);
    kevent::core::LosesDescriptors(static_cast<unsigned>(file), static_cast<unsigned>(file));
    kevent::sys::Close(file);
    ASSERT_EQ(Sim().OpenStranger(), file);
  }

  void CloseQueue() {
    Queue& queue = queues_[Pick(kQueues)];
    EXPECT_EQ(kevent::core::CloseDescriptor(queue.fd), 0);
    queue.fd = kevent::core::InitQueue(nullptr, 0, 0);
    ++queue.incarnation;
  }

  // Once, as it takes long.
  void ForkOnce() {
    if (std::exchange(has_forked_, true)) return;
    Sim().Fork(true);
    Sim().ring = {};
    Sim().ring.is_there = true;
    model_.Clear();
    for (Queue& queue : queues_) ++queue.incarnation;
  }

  // ---- Collecting ---------------------------------------------------------------

  void CollectSome(const Queue& queue, unsigned max) {
    const unsigned owed = model_.Owed(queue);
    const std::vector<ukevent> events = Collect(queue.fd, 0, max);
    EXPECT_EQ(events.size(), std::min(max, owed));
    for (const ukevent& event : events) model_.Check(event, queue);
    model_.Forget();
  }

  void Compare() {
    model_.Compare();
    for (const Queue& queue : queues_) {
      const bool owed = model_.Owed(queue) != 0;
      EXPECT_TRUE(!owed || Sim().Readable(queue.fd)) << "nobody wakes for what is there";
    }
  }

  Choices& choices_;
  const size_t before_ = Sim().open_descriptors();
  int files_[kFiles];
  Queue queues_[kQueues];
  uint64_t cookies_ = 0;
  bool may_fail_ = false;
  bool has_forked_ = false;
  CompletionModel model_;
};

}  // namespace kevent_test

#endif  // KEVENT_TESTS_UNIT_COMPLETION_LIFE_H_
