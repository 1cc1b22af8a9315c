// SPDX-License-Identifier: MIT
//
// Telling the kernel: whoever arms leaves the kernel's timer
// no later than his deadline, whatever was about to be told, in whatever order
// the system calls are made, and though a collector puts it off meanwhile.

#include <array>

#include "tests/concurrency/every_instruction/stepper.h"
#include "tests/support/kernel_view.h"

namespace kevent_test {
namespace {

constexpr Nanos kMinute = 60 * kSecond;

void SetAt(const Timer& timer, Nanos moment) {
  const itimerspec setting = Setting(moment);
  timer_settime(timer.id(), TIMER_ABSTIME, &setting, nullptr);
}

struct Scene {
  OpenedQueue queue;
  Timer one{queue.fd(), 1};
  Timer other{queue.fd(), 2};
  const Nanos begin = Now(CLOCK_MONOTONIC);

  bool KernelExpiresBy(Nanos moment) const { return ExpiresBy(queue.timerfd(), moment); }
};

class TellingTheKernel : public SteppedTest {};

TEST_F(TellingTheKernel, FarSettingInterruptedByANearOne) {
  for (Stepper stepper(Intruder::kSignalHandler); stepper.Next();) {
    Scene scene;
    const Nanos far = scene.begin + kHour;
    const Nanos near = scene.begin + kMinute;
    stepper.Run([&] { SetAt(scene.one, far); }, [&] { SetAt(scene.other, near); });
    EXPECT_TRUE(scene.KernelExpiresBy(stepper.interrupted() ? near : far));
  }
}

TEST_F(TellingTheKernel, FarSettingLeftForANearOne) {
  for (Stepper stepper(Intruder::kSignalHandler); stepper.Next();) {
    Scene scene;
    const Nanos far = scene.begin + kHour;
    const Nanos near = scene.begin + kMinute;
    stepper.Run([&] { SetAt(scene.one, far); },
                [&] {
                  SetAt(scene.other, near);
                  Stepper::Leave();
                });
    EXPECT_TRUE(scene.KernelExpiresBy(stepper.interrupted() ? near : far));
    scene.queue.CloseWhole();  // the call that was left keeps nothing
  }
}

// The first is held up where it is: what it is about to tell, or has told in
// vain, is nothing to rely on.
TEST_F(TellingTheKernel, SettingsOfTwoThreads) {
  for (const auto& [first, second] :
       {std::pair(kMinute, kHour), std::pair(kHour, kMinute), std::pair(kHour, kHour)}) {
    for (Stepper stepper(Intruder::kOtherThread); stepper.Next();) {
      Scene scene;
      const Nanos one = scene.begin + first;
      const Nanos other = scene.begin + second;
      stepper.Run([&] { SetAt(scene.one, one); },
                  [&] {
                    SetAt(scene.other, other);
                    EXPECT_TRUE(scene.KernelExpiresBy(other));
                  });
      EXPECT_TRUE(scene.KernelExpiresBy(stepper.interrupted() ? std::min(one, other) : one));
    }
  }
}

// Why a collector puts the kernel's timer off or withdraws the announcement.
enum class Head {
  kAnnounced,  // armed when it was due already
  kFirst,      // as before, and the other timer was armed after that: the kernel knows of none
  kExpired,    // in the index, the kernel's timer expired
  kPutOff,     // as before, but the timer was set to later meanwhile
};

void Prepare(const Scene& scene, const Timer& head, Head kind) {
  if (kind == Head::kAnnounced || kind == Head::kFirst) {
    head.Expire();
    return;
  }
  Nanos soon = 200 * kMicrosecond;
  for (;;) {
    head.ArmIn(soon);
    if (Collect(scene.queue.fd(), 0, 1).empty()) break;
    soon *= 2;  // it expired before it came into the index
  }
  if (kind == Head::kPutOff) head.ArmIn(2 * kHour);
  AwaitReadable(scene.queue.fd());
}

void SettingDuringACollection(Head kind, bool of_the_head, bool is_later) {
  for (Stepper stepper(Intruder::kOtherThread); stepper.Next();) {
    const Scene scene;
    const Timer head(scene.queue.fd(), 3);
    if (kind != Head::kFirst) scene.one.ArmIn(kHour);
    Prepare(scene, head, kind);
    if (kind == Head::kFirst) scene.one.ArmIn(kHour);

    const Nanos near = Now(CLOCK_MONOTONIC) + kMinute;
    std::array<ukevent, 8> events;
    int count = 0;
    bool heard = false;  // by who polls, however long the collection is held up
    stepper.Run(
        [&] { count = kevent_get_events(scene.queue.fd(), 0, 8, nullptr, events.data(), 0); },
        [&] {
          const Nanos moment = is_later ? near + 2 * kHour : near;
          SetAt(of_the_head ? head : scene.other, moment);
          heard = Readable(scene.queue.fd()) || scene.KernelExpiresBy(moment);
        });
    EXPECT_EQ(heard, stepper.interrupted());
    EXPECT_TRUE(scene.KernelExpiresBy(stepper.interrupted() && !is_later ? near : near + kHour));
    EXPECT_FALSE(Readable(scene.queue.fd()));
    EXPECT_LE(count, kind == Head::kPutOff ? 0 : 1);
  }
}

void SettingDuringACollection(Head kind) {
  for (const bool of_the_head : {false, true}) {
    for (const bool is_later : {false, true}) SettingDuringACollection(kind, of_the_head, is_later);
  }
}

TEST_F(TellingTheKernel, SettingWhileTheAnnouncementIsWithdrawn) {
  SettingDuringACollection(Head::kAnnounced);
  SettingDuringACollection(Head::kFirst);
}

TEST_F(TellingTheKernel, SettingWhileAnExpiredTimerIsCollected) {
  SettingDuringACollection(Head::kExpired);
}

TEST_F(TellingTheKernel, SettingWhileATimerThatWasPutOffIsMoved) {
  SettingDuringACollection(Head::kPutOff);
}

}  // namespace
}  // namespace kevent_test
