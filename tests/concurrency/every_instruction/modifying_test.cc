// SPDX-License-Identifier: MIT
//
// A kevent is modified in place beside KEVENT_CTL_READY, which takes the lock of the table alone:
// wherever a handler makes one ready, it is collected, and can be made ready again.

#include <sys/eventfd.h>

#include <algorithm>

#include "tests/concurrency/every_instruction/stepper.h"
#include "tests/support/descriptor.h"
#include "tests/support/kevents.h"
#include "tests/support/queue.h"

namespace kevent_test {
namespace {

using Found = std::vector<uintptr_t>;

constexpr uintptr_t kModified = 0;
constexpr uintptr_t kReadyBefore = 1;
constexpr uintptr_t kOther = 2;
constexpr uintptr_t kReadyAfter = 3;
constexpr uintptr_t kDescriptors = 4;

// Kevents on descriptors of which nothing is ever ready: what is collected was made ready.
class Scene {
 public:
  Scene() {
    for (Descriptor& descriptor : descriptors_) {
      descriptor = Descriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    }
    for (uintptr_t i = 0; i < kDescriptors; ++i) EXPECT_EQ(Add(queue(), RequestOf(i)), 0);
    MakeReady(kModified);
    MakeReady(kReadyBefore);
  }

  int queue() const { return queue_.fd(); }
  ukevent RequestOf(uintptr_t cookie) const {
    return DescriptorRequest(KEVENT_POLL, descriptors_[cookie].fd(), KEVENT_POLL_POLLIN,
                             KEVENT_REQ_ALWAYS_QUEUE, cookie);
  }
  void Modify() const { EXPECT_EQ(Control(queue(), KEVENT_CTL_MODIFY, RequestOf(kModified)), 0); }
  void MakeReady(uintptr_t cookie) const { EXPECT_TRUE(Inject(queue(), RequestOf(cookie))); }

 private:
  const Queue queue_;
  Descriptor descriptors_[kDescriptors];
};

class Modifying : public SteppedTest {};

TEST_F(Modifying, InterruptedByAHandlerThatMakesReady) {
  for (const uintptr_t made_ready : {kModified, kReadyBefore, kOther}) {
    for (Stepper stepper(Intruder::kSignalHandler); stepper.Next();) {
      const Scene scene;
      stepper.Run([&] { scene.Modify(); }, [&] { scene.MakeReady(made_ready); });
      scene.MakeReady(kReadyAfter);

      Found found = CollectReady(scene.queue());
      std::sort(found.begin(), found.end());
      // A change takes back what it finds ready, and what comes later is as good.
      found.erase(std::remove(found.begin(), found.end(), kModified), found.end());
      Found expected = {kReadyBefore, kReadyAfter};
      if (made_ready == kOther && stepper.interrupted())
        expected.insert(++expected.begin(), kOther);
      EXPECT_EQ(found, expected);
      for (uintptr_t i = 0; i < kDescriptors; ++i) {
        scene.MakeReady(i);
        EXPECT_EQ(CollectReady(scene.queue()), Found{i}) << "made ready again";
      }
    }
  }
}

}  // namespace
}  // namespace kevent_test
