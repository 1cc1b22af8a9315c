// SPDX-License-Identifier: MIT
//
// Telling the queue: an armer that is interrupted between
// marking its timer and having told of it, perhaps for ever, loses nobody's
// timer; nor does a collector that takes the marks meanwhile.

#include <aio.h>
#include <fcntl.h>
#include <kevent/kevent.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "tests/concurrency/every_instruction/stepper.h"
#include "tests/support/queue.h"

namespace kevent_test {
namespace {

constexpr uintptr_t kTimer = 1;
constexpr uintptr_t kNeighbour = 2;
constexpr uintptr_t kOther = 3;
using Found = std::vector<uintptr_t>;

// As the index can have a timer before the setting that is interrupted.
enum class Indexed { kNowhere, kEarlier, kLater };
constexpr std::array kEveryPlace = {Indexed::kNowhere, Indexed::kEarlier, Indexed::kLater};

class Scene {
 public:
  explicit Scene(Indexed place) {
    // Slots that were never used are next to each other: a pair of them shares its word, unless it
    // lies across two.  Those that are used again may lie anywhere.
    do {
      timers_.emplace_back(queue_.fd(), kTimer);
      timers_.emplace_back(queue_.fd(), kNeighbour);
    } while (Word(neighbour()) != Word(timer()));
    if (place == Indexed::kEarlier) timer().ArmIn(kHour / 2);
    if (place == Indexed::kLater) timer().ArmIn(2 * kHour);
    EXPECT_EQ(CollectReady(queue_.fd()), Found());  // and no mark is left
  }

  int queue() const { return queue_.fd(); }
  const Timer& timer() const { return timers_.rbegin()[1]; }
  // Its mark is in the same word as that of the timer.
  const Timer& neighbour() const { return timers_.back(); }

  void SetForAnHour() const {
    const itimerspec hour = Setting(kHour);
    timer_settime(timer().id(), 0, &hour, nullptr);
  }

 private:
  static uint32_t Word(const Timer& timer) { return static_cast<uint32_t>(timer.id_bits()) / 64; }

  Queue queue_;
  std::vector<Timer> timers_;
};

class TellingTheQueue : public SteppedTest {};

TEST_F(TellingTheQueue, SettingLeftForANearerOneOfTheSameTimer) {
  for (const Indexed place : kEveryPlace) {
    for (Stepper stepper(Intruder::kSignalHandler); stepper.Next();) {
      const Scene scene(place);
      stepper.Run([&] { scene.SetForAnHour(); },
                  [&] {
                    scene.timer().Expire();
                    Stepper::Leave();
                  });
      EXPECT_EQ(CollectReady(scene.queue()), stepper.interrupted() ? Found{kTimer} : Found());
    }
  }
}

TEST_F(TellingTheQueue, SettingLeftForThatOfANeighbour) {
  for (const Indexed place : kEveryPlace) {
    for (Stepper stepper(Intruder::kSignalHandler); stepper.Next();) {
      const Scene scene(place);
      stepper.Run([&] { scene.SetForAnHour(); },
                  [&] {
                    scene.neighbour().Expire();
                    Stepper::Leave();
                  });
      EXPECT_EQ(CollectReady(scene.queue()), stepper.interrupted() ? Found{kNeighbour} : Found());
    }
  }
}

TEST_F(TellingTheQueue, SettingInterruptedByANearerOneOfTheSameTimer) {
  for (const Indexed place : kEveryPlace) {
    for (Stepper stepper(Intruder::kSignalHandler); stepper.Next();) {
      const Scene scene(place);
      stepper.Run([&] { scene.SetForAnHour(); }, [&] { scene.timer().Expire(); });
      // Whichever came last.
      const bool expired = ToNanos(scene.timer().Get().it_value) == 0;
      EXPECT_EQ(CollectReady(scene.queue()), expired ? Found{kTimer} : Found());
    }
  }
}

// kevent_settime of neighbours, which are marked together, and one timer twice.
class ManyAtOnce {
 public:
  explicit ManyAtOnce(const Scene& scene)
      : settings_{Entry(scene.neighbour(), kHour), Entry(scene.timer(), 2 * kHour),
                  Entry(scene.timer(), kHour)} {}

  void Set() { ASSERT_EQ(kevent_settime(settings_.size(), settings_.data()), 3); }

 private:
  static kevent_setting Entry(const Timer& timer, Nanos ahead) {
    return {timer.id(), 0, -1, Setting(ahead)};
  }
  std::array<kevent_setting, 3> settings_;
};

TEST_F(TellingTheQueue, ManySettingsInterruptedByANearerOne) {
  for (const Indexed place : kEveryPlace) {
    for (const bool of_neighbour : {false, true}) {
      for (Stepper stepper(Intruder::kSignalHandler); stepper.Next();) {
        const Scene scene(place);
        const Timer& timer = of_neighbour ? scene.neighbour() : scene.timer();
        ManyAtOnce many(scene);
        stepper.Run([&] { many.Set(); }, [&] { timer.Expire(); });
        // Whichever came last.
        const bool expired = ToNanos(timer.Get().it_value) == 0;
        EXPECT_EQ(CollectReady(scene.queue()),
                  !expired ? Found() : Found{of_neighbour ? kNeighbour : kTimer});
      }
    }
  }
}

TEST_F(TellingTheQueue, ManySettingsLeftForAnotherTimer) {
  for (Stepper stepper(Intruder::kSignalHandler); stepper.Next();) {
    const Scene scene(Indexed::kNowhere);
    const Timer other(scene.queue(), kOther);
    ManyAtOnce many(scene);
    stepper.Run([&] { many.Set(); },
                [&] {
                  other.Expire();
                  Stepper::Leave();
                });
    EXPECT_EQ(CollectReady(scene.queue()), stepper.interrupted() ? Found{kOther} : Found());
  }
}

// A collector that looks between two steps of the call loses none of its timers.
TEST_F(TellingTheQueue, ManySettingsDuringACollection) {
  for (const Indexed place : kEveryPlace) {
    for (Stepper stepper(Intruder::kOtherThread); stepper.Next();) {
      const Scene scene(place);
      std::array<kevent_setting, 2> settings = {
          kevent_setting{scene.neighbour().id(), TIMER_ABSTIME, -1, Setting(1)},
          kevent_setting{scene.timer().id(), TIMER_ABSTIME, -1, Setting(1)}};
      Found found;
      stepper.Run([&] { kevent_settime(settings.size(), settings.data()); },
                  [&] { found = CollectReady(scene.queue()); });
      for (const uintptr_t cookie : CollectReady(scene.queue())) found.push_back(cookie);
      std::sort(found.begin(), found.end());
      EXPECT_EQ(found, (Found{kTimer, kNeighbour}));
      EXPECT_FALSE(Readable(scene.queue()));
    }
  }
}

TEST_F(TellingTheQueue, SettingDuringACollection) {
  for (const Indexed place : kEveryPlace) {
    for (const bool with_neighbour : {false, true}) {
      for (Stepper stepper(Intruder::kOtherThread); stepper.Next();) {
        const Scene scene(place);
        if (with_neighbour) scene.neighbour().Expire();
        std::array<ukevent, 8> events;
        int count = 0;
        stepper.Run(
            [&] { count = kevent_get_events(scene.queue(), 0, 8, nullptr, events.data(), 0); },
            [&] { scene.timer().Expire(); });
        Found found;
        for (int i = 0; i < count; ++i) found.push_back(Cookie(events[i]));
        for (const uintptr_t cookie : CollectReady(scene.queue())) found.push_back(cookie);
        std::sort(found.begin(), found.end());

        Found expected;
        if (stepper.interrupted()) expected.push_back(kTimer);
        if (with_neighbour) expected.push_back(kNeighbour);
        EXPECT_EQ(found, expected);
      }
    }
  }
}

// A queue is readable for as long as a call of its has yet to return for a request.
TEST_F(TellingTheQueue, AskingForAReturnDuringACollection) {
  for (Stepper stepper(Intruder::kOtherThread); stepper.Next();) {
    const Scene scene(Indexed::kNowhere);
    scene.timer().Expire();
    std::array<ukevent, 8> events;
    stepper.Run([&] { kevent_get_events(scene.queue(), 0, 8, nullptr, events.data(), 0); },
                [&] { EXPECT_EQ(kevent_ctl(scene.queue(), KEVENT_CTL_READY, 0, nullptr), 0); });
    if (Readable(scene.queue())) continue;
    const Nanos begin = Now(CLOCK_MONOTONIC);
    EXPECT_TRUE(Collect(scene.queue(), 1, 8, kMillisecond).empty());
    EXPECT_GE(Now(CLOCK_MONOTONIC) - begin, kMillisecond);
  }
}

// The operation completes while the collection is held up.
TEST_F(TellingTheQueue, AnOperationThatCompletesDuringACollection) {
  const int file = open("/dev/null", O_WRONLY | O_CLOEXEC);
  ASSERT_GE(file, 0);
  for (Stepper stepper(Intruder::kOtherThread); stepper.Next();) {
    const Scene scene(Indexed::kNowhere);
    char byte = 0;
    aiocb control = {};
    control.aio_fildes = file;
    control.aio_buf = &byte;
    control.aio_nbytes = 1;
    kevent_sigevent(&control.aio_sigevent, scene.queue(), &control);
    const auto complete = [&] {
      EXPECT_EQ(aio_write(&control), 0);
      const aiocb* const list[] = {&control};
      while (aio_error(&control) == EINPROGRESS) aio_suspend(list, 1, nullptr);
    };
    complete();  // the first makes what the queue needs for it
    EXPECT_EQ(Collect(scene.queue(), 1, 8).size(), 1u);
    scene.timer().Expire();
    std::array<ukevent, 8> events;
    int count = 0;
    stepper.Run([&] { count = kevent_get_events(scene.queue(), 0, 8, nullptr, events.data(), 0); },
                complete);
    const int expected = stepper.interrupted() ? 2 : 1;
    if (count < expected) {
      pollfd queue = {scene.queue(), POLLIN, 0};
      EXPECT_EQ(poll(&queue, 1, 60'000), 1);
    }
    while (count < expected) {
      count += static_cast<int>(Collect(scene.queue(), 1, 8).size());
    }
    EXPECT_EQ(count, expected);
  }
  close(file);
}

// The expiration that is being collected, and the one that is set meanwhile,
// are told apart by their lateness: a second, and as long as can be reported.
TEST_F(TellingTheQueue, SettingOfTheTimerThatIsCollected) {
  for (Stepper stepper(Intruder::kOtherThread); stepper.Next();) {
    const Scene scene(Indexed::kNowhere);
    scene.timer().ArmAt(Now(CLOCK_MONOTONIC) - kSecond);
    std::vector<ukevent> events(8);
    int count = 0;
    stepper.Run([&] { count = kevent_get_events(scene.queue(), 0, 8, nullptr, events.data(), 0); },
                [&] { scene.timer().Expire(); });
    events.resize(count);
    for (const ukevent& event : Collect(scene.queue(), 0, 8)) events.push_back(event);
    ASSERT_FALSE(events.empty());
    ASSERT_LE(events.size(), stepper.interrupted() ? 2u : 1u);
    EXPECT_EQ(events.back().ret_data[1] == UINT32_MAX, stepper.interrupted());
    if (events.size() == 2) {
      EXPECT_NE(events.front().ret_data[1], UINT32_MAX);
    }
  }
}

}  // namespace
}  // namespace kevent_test
