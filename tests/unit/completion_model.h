// SPDX-License-Identifier: MIT
//
// A slow, obvious model of asynchronous I/O: how each operation ends, and that its
// queue is told of it once.

#ifndef KEVENT_TESTS_UNIT_COMPLETION_MODEL_H_
#define KEVENT_TESTS_UNIT_COMPLETION_MODEL_H_

#include <aio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <utility>
#include <vector>

#include "core/aio/engine.h"
#include "core/system/system.h"
#include "tests/unit/engine.h"

namespace kevent_test {

class CompletionModel {
 public:
  struct Queue {
    int fd = -1;
    unsigned incarnation = 0;
  };
  // Who is told.
  struct Told {
    Queue* queue = nullptr;
    unsigned incarnation = 0;
    uint64_t cookie = 0;
    bool is_refused() const { return queue == nullptr && cookie != 0; }
    bool is_possible() const { return queue != nullptr && queue->incarnation == incarnation; }
  };
  struct List {
    std::vector<aiocb*> entries;
    Told told;
    unsigned accepted = 0;
    unsigned failed = 0;
    unsigned in_flight = 0;
  };
  struct Known {
    // In an array, as it has an array of nothing and cannot be a member.
    std::array<aiocb, 1> controls = {};
    char bytes[8] = {};
    Told told;
    List* list = nullptr;
    bool is_sync = false;
    bool is_stream = false;  // written to
    bool must_fail = false;  // the call, whatever else fails
    int fails_with = 0;      // its end, at once
    bool in_flight = false;
    bool begun = false;  // and to go on
    bool lost = false;   // its descriptor
    int64_t moved = 0;
    int64_t result = 0;
    aiocb* control() { return controls.data(); }
    int64_t rest() const { return static_cast<int64_t>(controls[0].aio_nbytes) - moved; }
  };
  using Owned = std::unique_ptr<Known>;

  // The call has returned.
  void Accepted(Owned known) {
    EXPECT_FALSE(known->must_fail);
    const int error = aio_error(known->control());
    const bool was_read = !known->is_sync && known->control()->aio_lio_opcode == LIO_READ;
    known->in_flight = true;
    if (known->list != nullptr) {
      ++known->list->accepted;
      ++known->list->in_flight;
    }
    Known* kept = known.get();
    all_.push_back(std::move(known));
    if (kept->fails_with != 0) return Finished(kept, -kept->fails_with);
    if (error == EINPROGRESS) return;
    EXPECT_TRUE(was_read && Sim().files_are_cached) << "done at once, with " << error;
    Finished(kept, kept->rest());
  }

  void AcceptedList(std::unique_ptr<List> list) {
    lists_.push_back(std::move(list));
    Forget();
  }

  bool empty() const { return all_.empty() && lists_.empty(); }
  bool AnyInFlight() const {
    return std::any_of(all_.begin(), all_.end(),
                       [](const Owned& known) { return known->in_flight; });
  }

  Known* At(uint64_t i) { return all_.empty() ? nullptr : all_[i % all_.size()].get(); }

  // The process is another one.
  void Clear() {
    all_.clear();
    lists_.clear();
  }

  // The kernel ends what it was given.
  void Ends(const kevent::sys::Transfer& given, int64_t result) {
    const auto found = std::find_if(all_.begin(), all_.end(),
                                    [&given](const Owned& known) { return IsFor(given, *known); });
    ASSERT_NE(found, all_.end()) << "the kernel is given one that has ended";
    Known* known = found->get();
    EXPECT_TRUE(known->in_flight);
    EXPECT_EQ(given.buffer, known->bytes + known->moved);
    EXPECT_EQ(given.bytes, known->rest());
    const bool in_part = known->is_stream && result > 0 && result < known->rest();
    if ((result == -EINTR || in_part) && !known->lost) {
      if (in_part) known->moved += result;
      known->begun = true;
      return;
    }
    Finished(known, result == -EINTR ? -ECANCELED : result);
  }

  // What aio_cancel returns.
  int Cancelled(int file, const aiocb* control) {
    bool any_started = false;
    bool any_cancelled = false;
    for (const Owned& known : all_) {
      if (!known->in_flight || known->control()->aio_fildes != file) continue;
      if (control != nullptr && control != known->control()) continue;
      if (control == nullptr && known->lost) continue;  // of another file, which had the number
      const bool started = known->begun || WithTheKernel(*known);
      any_started |= started;
      any_cancelled |= !started;
      if (!started) Finished(known.get(), -ECANCELED);
    }
    if (any_started) return AIO_NOTCANCELED;
    return any_cancelled ? AIO_CANCELED : AIO_ALLDONE;
  }

  void Closed(int file) {
    for (const Owned& known : all_) {
      if (!known->in_flight || known->lost || known->control()->aio_fildes != file) continue;
      known->lost = WithTheKernel(*known);
      if (!known->lost) Finished(known.get(), -ECANCELED);
    }
  }

  unsigned Owed(const Queue& queue) const {
    unsigned owed = 0;
    for (const Owned& known : all_) owed += !known->in_flight && IsOwed(*known, queue);
    for (const auto& list : lists_) owed += list->in_flight == 0 && IsOwed(*list, queue);
    return owed;
  }

  void Check(const ukevent& event, const Queue& queue) {
    event.type == KEVENT_AIO ? CheckOne(event, queue) : CheckList(event, queue);
  }

  void Compare() {
    for (const Owned& known : all_) {
      const int error = aio_error(known->control());
      if (known->in_flight) {
        EXPECT_EQ(error, EINPROGRESS);
        continue;
      }
      EXPECT_EQ(error, known->result < 0 ? -known->result : 0);
      EXPECT_EQ(aio_return(known->control()), std::max<int64_t>(known->result, -1));
    }
    EXPECT_EQ(kevent::core::AioEngine::any_in_flight(), AnyInFlight());
    Forget();
  }

  // What has ended, and nobody is to be told of any more.
  void Forget() {
    std::erase_if(
        all_, [](const Owned& known) { return !known->in_flight && !known->told.is_possible(); });
    std::erase_if(lists_, [this](const auto& list) {
      return list->in_flight == 0 && !list->told.is_possible() &&
             std::none_of(all_.begin(), all_.end(),
                          [&list](const Owned& known) { return known->list == list.get(); });
    });
  }

 private:
  static bool IsFor(const kevent::sys::Transfer& given, const Known& known) {
    return given.buffer >= known.bytes && given.buffer < known.bytes + sizeof known.bytes;
  }
  static bool WithTheKernel(const Known& known) {
    return std::any_of(Sim().ring.taken.begin(), Sim().ring.taken.end(),
                       [&known](const auto& given) { return IsFor(given.transfer, known); });
  }

  static void Finished(Known* known, int64_t result) {
    known->result = known->moved == 0 ? result : known->moved + std::max<int64_t>(result, 0);
    known->in_flight = false;
    if (known->list == nullptr) return;
    --known->list->in_flight;
    if (known->result < 0) ++known->list->failed;
  }

  template <typename T>
  static bool IsOwed(const T& one, const Queue& queue) {
    return one.told.queue == &queue && one.told.is_possible();
  }

  void CheckOne(const ukevent& event, const Queue& queue) {
    const auto found = std::find_if(all_.begin(), all_.end(), [&event](const Owned& known) {
      return reinterpret_cast<uint64_t>(known->control()) == event.id.raw_u64;
    });
    ASSERT_NE(found, all_.end()) << "of one that is not known";
    Known& known = **found;
    EXPECT_TRUE(IsOwed(known, queue)) << "of one that is told of already, or elsewhere";
    EXPECT_FALSE(known.in_flight);
    EXPECT_EQ(event.event, KEVENT_AIO_BIO);
    EXPECT_EQ(event.ptr, reinterpret_cast<void*>(known.told.cookie));
    EXPECT_EQ(event.ret_data[0], static_cast<uint32_t>(aio_return(known.control())));
    EXPECT_EQ(event.ret_data[1], static_cast<uint32_t>(aio_error(known.control())));
    known.told.queue = nullptr;
  }

  void CheckList(const ukevent& event, const Queue& queue) {
    EXPECT_EQ(event.type, static_cast<uint32_t>(KEVENT_LIO));
    const auto found = std::find_if(lists_.begin(), lists_.end(), [&event](const auto& list) {
      return reinterpret_cast<uint64_t>(list->entries.data()) == event.id.raw_u64 &&
             reinterpret_cast<void*>(list->told.cookie) == event.ptr;
    });
    ASSERT_NE(found, lists_.end()) << "of a list that is not known";
    List& list = **found;
    EXPECT_TRUE(IsOwed(list, queue)) << "of a list that is told of already, or elsewhere";
    EXPECT_EQ(list.in_flight, 0);
    EXPECT_EQ(event.ret_data[0], list.accepted);
    EXPECT_EQ(event.ret_data[1], list.failed);
    for (const Owned& known : all_) {
      EXPECT_FALSE(known->list == &list && IsOwed(*known, queue)) << "before its last entry";
    }
    list.told.queue = nullptr;
  }

  std::vector<Owned> all_;  // in flight, or to be told of
  std::vector<std::unique_ptr<List>> lists_;
};

}  // namespace kevent_test

#endif  // KEVENT_TESTS_UNIT_COMPLETION_MODEL_H_
