// SPDX-License-Identifier: MIT
//
// A new type of event is a Source in a file of its own and one line of KEVENT_SOURCES.
// This file has four such sources, each with a line in the table that it links in place of
// the engine's; nothing else of the engine is told of them.

#include <sys/epoll.h>
#include <sys/inotify.h>

#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "core/kevents/event_set.h"
#include "core/kevents/source.h"
#include "core/queue/queue.h"
#include "core/system/signals_blocked.h"
#include "core/system/system.h"
#include "tests/unit/kevent_requests.h"

namespace kevent_test {
namespace {

using kevent::core::ControlKevents;
using kevent::core::EventSet;
using kevent::core::Kevent;
using kevent::core::Source;

constexpr uint32_t kBell = 50;    // has every hook, and a descriptor for each kevent
constexpr uint32_t kPlain = 51;   // has attach alone
constexpr uint32_t kMail = 52;    // has one descriptor for all kevents of a queue
constexpr uint32_t kHidden = 63;  // is not kevent_ctl's, and the last that there may be

// ---- A bell: id is its number, and it rings some times before it is collected ----

constexpr uint32_t kRang = 1;
constexpr uint32_t kRangTwice = 2;

struct Calls {
  int changed = 0;
  int detached = 0;
  int forgotten = 0;
  int counted = 0;
  int delivered = 0;
};
Calls g_bells;

int AttachBell(EventSet& set, uint32_t number, const ukevent&) {
  Kevent& record = set.At(number);
  const int bell = static_cast<int>(record.key.id);
  if (bell == 0) return -EDOM;
  const int fd =
      set.AdoptAndWatch(number, EPOLLIN, [bell] { return kevent::sys::CreatePidfd(bell); });
  return fd < 0 ? fd : 0;
}

int ChangeBell(EventSet& set, uint32_t number, const ukevent& request) {
  ++g_bells.changed;
  return set.At(number).event == request.event ? 0 : -EDOM;
}

void DetachBell(EventSet& set, uint32_t number) {
  ++g_bells.detached;
  Source::Unwatch(set, number);
}

void ForgetBell(EventSet&, uint32_t) { ++g_bells.forgotten; }

bool HarvestBell(EventSet& set, Kevent& record, uint32_t epoll_events) {
  EXPECT_EQ(epoll_events, uint32_t{EPOLLIN});
  EXPECT_EQ(&set.At(set.NumberOf(record)), &record);
  return (record.event & kRang) != 0 ||
         Sim().Watching(static_cast<int>(record.key.id))->pending > 1;
}

// One ring goes with each event.
bool DeliverBell(EventSet&, Kevent& record, bool) {
  ++g_bells.delivered;
  const auto bell = Sim().Watching(static_cast<int>(record.key.id));
  if (bell->pending == 0) return false;
  record.found_data[0] = bell->pending--;
  return true;
}

// Nothing that counts a bell may take a ring.
bool CountBell(EventSet& set, uint32_t number, uint64_t* counted) {
  EXPECT_EQ(*counted, static_cast<uint64_t>(g_bells.counted))
      << "another type's, or another count's";
  *counted = static_cast<uint64_t>(++g_bells.counted);
  return Sim().Watching(static_cast<int>(set.At(number).key.id))->pending != 0;
}

bool LeavesRings(const Kevent& record, bool forced) { return forced || record.found_data[0] > 1; }

constexpr Source kBellSource = {.events = kRang | kRangTwice,
                                .mask_all = kRang,
                                .attach = AttachBell,
                                .change = ChangeBell,
                                .detach = DetachBell,
                                .forget = ForgetBell,
                                .harvest = HarvestBell,
                                .deliver = DeliverBell,
                                .counts = CountBell,
                                .leaves = LeavesRings};

// ---- The smallest: ready at once if the id is odd ----

int AttachPlain(EventSet& set, uint32_t number, const ukevent&) {
  if (set.At(number).key.id % 2 == 0) return 0;
  set.At(number).found_data[1] = 77;
  return Source::kReadyNow;
}

constexpr Source kPlainSource = {.events = 1, .attach = AttachPlain};

// ---- Mail: all kevents of a queue read one descriptor; a letter names an id ----

int Mailbox(EventSet& set) { return set.Shared(kMail, kevent::sys::CreateInotify); }

int AttachMail(EventSet& set, uint32_t, const ukevent&) {
  const int mailbox = Mailbox(set);
  return mailbox < 0 ? mailbox : 0;
}

void HarvestMail(EventSet& set) {
  inotify_event letter;
  while (kevent::sys::ReadInotify(Mailbox(set), &letter, sizeof letter) == sizeof letter) {
    const auto id = static_cast<uint64_t>(letter.wd);
    const uint32_t count = letter.mask;
    set.table().ForEach([&set, id, count](uint32_t number) {
      if (set.At(number).key.id != id) return;
      set.At(number).found_data[0] += count;
      set.MakeReady(number, false);
    });
  }
}

constexpr Source kMailSource = {.events = 1, .attach = AttachMail, .harvest_shared = HarvestMail};

// ---- A type of the engine's own, as KEVENT_MQ is ----

int AttachHidden(EventSet& set, uint32_t number, const ukevent&) {
  set.MakeReady(number, false);
  return 0;
}

constexpr Source kHiddenSource = {.events = 0, .attach = AttachHidden};

}  // namespace
}  // namespace kevent_test

namespace kevent::core {

#define TYPES_OF_THIS_TEST(SOURCE)                           \
  SOURCE(::kevent_test::kBell, ::kevent_test::kBellSource)   \
  SOURCE(::kevent_test::kPlain, ::kevent_test::kPlainSource) \
  SOURCE(::kevent_test::kMail, ::kevent_test::kMailSource)   \
  SOURCE(::kevent_test::kHidden, ::kevent_test::kHiddenSource)

constinit const SourceTable kSourceTable({KEVENT_SOURCES(KEVENT_SOURCE_ENTRY)
                                              TYPES_OF_THIS_TEST(KEVENT_SOURCE_ENTRY)});

}  // namespace kevent::core

namespace kevent_test {
namespace {

class NewSource : public EngineTest {
 protected:
  NewSource() { g_bells = {}; }

  static void Ring(int bell, uint32_t times) { Sim().Watching(bell)->pending += times; }
  int Make(ukevent request) const { return ControlKevents(queue_, KEVENT_CTL_READY, 1, &request); }
};

TEST_F(NewSource, IsAddedModifiedReadyCollectedAndRemoved) {
  EXPECT_EQ(Add(queue_, Request(kBell, 0, kRang)), -EDOM);
  EXPECT_EQ(Add(queue_, Request(kBell, 7, 4)), -EINVAL) << "no event of this type";
  ASSERT_EQ(Add(queue_, Request(kBell, 7, kRangTwice, 0, 99)), 0);
  EXPECT_EQ(Add(queue_, Request(kBell, 7, kRangTwice, 0, 99)), -EEXIST);
  EXPECT_TRUE(Collect(queue_).empty());
  EXPECT_FALSE(readable());

  // Once is not what it waits for, until that is changed.
  Ring(7, 1);
  EXPECT_TRUE(Collect(queue_).empty());
  EXPECT_EQ(Control(queue_, KEVENT_CTL_MODIFY, Request(kBell, 7, kRang, 0, 99)), 0);
  EXPECT_EQ(g_bells.changed, 1);
  EXPECT_TRUE(readable());
  const auto events = Collect(queue_);
  ASSERT_EQ(events.size(), 1);
  EXPECT_EQ(events[0].type, kBell);
  EXPECT_EQ(events[0].id.raw_u64, 7);
  EXPECT_EQ(events[0].event, kRang);
  EXPECT_EQ(events[0].ret_flags, uint32_t{KEVENT_RET_DONE});
  EXPECT_EQ(events[0].ret_data[0], 1);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(events[0].ptr), 99);
  EXPECT_FALSE(readable());

  // Made ready by kevent_ctl, it is reported as such, though it has not rung.
  EXPECT_EQ(Make(Request(kBell, 7, kRang, 0, 99)), 1);
  EXPECT_EQ(Collect(queue_).size(), 1);

  ASSERT_EQ(Add(queue_, Request(KEVENT_UNOTIFY, 1, 1)), 0);
  EXPECT_EQ(Control(queue_, KEVENT_CTL_REMOVE, Request(kBell, 7, 0, 0, 99)), 0);
  EXPECT_EQ(g_bells.detached, 1);
  EXPECT_EQ(Sim().Watching(7), nullptr) << "its descriptor is left open";
  EXPECT_EQ(Control(queue_, KEVENT_CTL_REMOVE, Request(kBell, 7, 0, 0, 99)), -ENOENT);
}

TEST_F(NewSource, IsAskedAgainForWhatItHasLeft) {
  ASSERT_EQ(Add(queue_, Request(kBell, 1, KEVENT_MASK_ALL)), 0);
  Ring(1, 3);
  const auto events = Collect(queue_);
  ASSERT_EQ(events.size(), 3);
  EXPECT_EQ(events[0].event, kRang) << "of all events, those of mask_all";
  EXPECT_EQ(events[2].ret_data[0], 1);
  EXPECT_EQ(g_bells.delivered, 3);
}

// The signal, which another source counts, is not taken for a bell.
TEST_F(NewSource, IsCountedForOneWhoWaitsForSeveral) {
  constexpr int kSignal = 10;
  Sim().blocked_signals = ~uint64_t{0};
  ASSERT_EQ(Add(queue_, Request(KEVENT_SIGNAL, kSignal, KEVENT_SIGNAL_DELIVERY)), 0);
  Sim().Watching(kSignal)->pending = 1;
  constexpr unsigned kBells = 3;
  for (unsigned bell = 1; bell <= kBells; ++bell) {
    ASSERT_EQ(Add(queue_, Request(kBell, bell, kRang)), 0);
    Ring(static_cast<int>(bell), 1);
  }
  ASSERT_EQ(Add(queue_, Request(KEVENT_UNOTIFY, 1, 1)), 0);
  EXPECT_EQ(Make(Request(KEVENT_UNOTIFY, 1, 1)), 1);
  EXPECT_EQ(Collect(queue_, kBells + 2, 8).size(), kBells + 2);
  EXPECT_EQ(g_bells.counted, kBells);
  Sim().blocked_signals = 0;
}

TEST_F(NewSource, OneShotIsDetachedWithItsBatchAndTheOthersAreForgottenWithTheQueue) {
  ASSERT_EQ(Add(queue_, Request(kBell, 1, kRang, KEVENT_REQ_ONESHOT)), 0);
  ASSERT_EQ(Add(queue_, Request(kBell, 2, kRang)), 0);
  Ring(1, 1);
  EXPECT_EQ(Collect(queue_).size(), 1);
  EXPECT_EQ(g_bells.detached, 1);
  EXPECT_EQ(kevent::core::CloseDescriptor(queue_), 0);
  EXPECT_EQ(Sim().Watching(2), nullptr);
  // A queue that is made clears those that were closed.
  const int another = kevent::core::InitQueue(nullptr, 0, 0);
  EXPECT_EQ(g_bells.forgotten, 1);
  EXPECT_EQ(g_bells.detached, 1);
  EXPECT_EQ(kevent::core::CloseDescriptor(another), 0);
}

// A hook that a type leaves out is the default.
TEST_F(NewSource, WithoutHooksLeavesThemAtTheirDefaults) {
  ukevent odd = Request(kPlain, 3, 1);
  ASSERT_EQ(ControlKevents(queue_, KEVENT_CTL_ADD, 1, &odd), 1);
  EXPECT_EQ(odd.ret_flags, uint32_t{KEVENT_RET_DONE | KEVENT_RET_READY});
  EXPECT_EQ(odd.ret_data[1], 77);

  ASSERT_EQ(Add(queue_, Request(kPlain, 2, KEVENT_MASK_ALL, KEVENT_REQ_LAST_CHECK)), 0);
  EXPECT_TRUE(Collect(queue_).empty());
  EXPECT_EQ(Make(Request(kPlain, 2, 1)), 1);
  EXPECT_TRUE(readable());
  EXPECT_EQ(Collect(queue_, 1, 8).size(), 1);
  EXPECT_EQ(Control(queue_, KEVENT_CTL_MODIFY, Request(kPlain, 2, 1, KEVENT_REQ_READY)), 0);
  EXPECT_EQ(Collect(queue_).size(), 1);
  EXPECT_EQ(Control(queue_, KEVENT_CTL_REMOVE, Request(kPlain, 2, 1)), 0);
  EXPECT_TRUE(Collect(queue_).empty());
}

TEST_F(NewSource, MayShareOneDescriptorAmongItsKevents) {
  const size_t before = Sim().open_descriptors();
  ASSERT_EQ(Add(queue_, Request(kMail, 10, 1)), 0);
  const size_t with_one = Sim().open_descriptors();
  EXPECT_GT(with_one, before);
  ASSERT_EQ(Add(queue_, Request(kMail, 11, 1)), 0);
  EXPECT_EQ(Sim().open_descriptors(), with_one);

  Sim().Happen(11, 5);
  EXPECT_TRUE(readable());
  auto events = Collect(queue_);
  ASSERT_EQ(events.size(), 1);
  EXPECT_EQ(events[0].id.raw_u64, 11);
  EXPECT_EQ(events[0].ret_data[0], 5);

  // A letter from before a change is handed out before it, and is taken back with it; that
  // to another kevent stays.
  Sim().Happen(10, 1);
  Sim().Happen(11, 1);
  EXPECT_EQ(Control(queue_, KEVENT_CTL_MODIFY, Request(kMail, 11, 1)), 0);
  events = Collect(queue_);
  ASSERT_EQ(events.size(), 1);
  EXPECT_EQ(events[0].id.raw_u64, 10);
}

TEST_F(NewSource, HasASharedDescriptorForEachQueue) {
  for (const uint64_t id : {20u, 21u, 22u}) {
    const int queue = kevent::core::InitQueue(nullptr, 0, 0);
    ASSERT_EQ(Add(queue, Request(kMail, id, 1)), 0);
    Sim().Happen(static_cast<int>(id), 1);
    EXPECT_EQ(Collect(queue).size(), 1) << id;
    EXPECT_EQ(kevent::core::CloseDescriptor(queue), 0);
  }
}

TEST_F(NewSource, OfTheEngineIsNoneThatTheProgramCanName) {
  EXPECT_EQ(Add(queue_, Request(kHidden, 1, 1)), -ENOSYS);
  kevent::core::Queue* queue;
  ASSERT_EQ(kevent::core::Queues::Pin(queue_, &queue), 0);
  EventSet* set;
  ASSERT_EQ(queue->OpenKevents(&set), 0);
  {
    const kevent::core::SignalsBlocked blocked;
    queue->WithKevents([set] {
      EXPECT_EQ(set->AddInternal(kHidden, 1, 5, 8), 0);
      EXPECT_EQ(set->AddInternal(kHidden, 1, 5, 8), 0) << "a second of the same id and cookie";
    });
  }
  queue->Unpin();
  for (uint64_t upper = 0; upper < 3; ++upper) {
    const ukevent guess = Request(kHidden, upper << 32 | 1, KEVENT_MASK_ALL, 0, 5);
    EXPECT_EQ(Control(queue_, KEVENT_CTL_REMOVE, guess), -ENOENT);
    EXPECT_EQ(Control(queue_, KEVENT_CTL_MODIFY, guess), -ENOENT);
    EXPECT_EQ(Make(guess), 0);
  }
  const auto events = Collect(queue_);
  ASSERT_EQ(events.size(), 2);
  for (const ukevent& event : events) {
    EXPECT_EQ(event.id.raw_u64, 1);
    EXPECT_EQ(event.event, 8);
  }
}

// The types of the engine are there as ever, and no others.
TEST_F(NewSource, IsBesideTheOthers) {
  for (const uint32_t type : {KEVENT_SOCKET, KEVENT_INODE, KEVENT_TIMER, KEVENT_POLL, KEVENT_PIPE,
                              KEVENT_SIGNAL, KEVENT_UNOTIFY, KEVENT_PROCESS, KEVENT_KEVENT}) {
    EXPECT_NE(Add(queue_, Request(type, 1u << 31, 1)), -ENOSYS) << type;
  }
  for (const uint32_t type : {4u, 5u, 8u, 10u, 31u, 34u, 35u, 49u, 53u, 62u, 64u, 1u << 31, ~0u}) {
    EXPECT_EQ(Add(queue_, Request(type, 1, 1)), -ENOSYS) << type;
  }
  EXPECT_EQ(Add(queue_, Request(KEVENT_PROCESS, 55, KEVENT_PROCESS_EXIT)), 0);
}

}  // namespace
}  // namespace kevent_test
