// SPDX-License-Identifier: MIT
//
// kevent_ctl against a slow, obvious model, under operations that somebody
// chooses: sockets that become ready and cease to be and are closed, timers, and
// events of the program's own, by level and by edge, once and for ever, several on
// one socket, collected few at a time and by those who wait for several.

#ifndef KEVENT_TESTS_UNIT_KEVENT_LIFE_H_
#define KEVENT_TESTS_UNIT_KEVENT_LIFE_H_

#include <algorithm>
#include <map>
#include <tuple>
#include <vector>

#include "core/system/system.h"
#include "tests/unit/choices.h"
#include "tests/unit/kevent_requests.h"

namespace kevent_test {

// One kevent, as the model knows it.
struct ModelKevent {
  uint32_t req_flags;
  bool forced = false;  // made ready, and to be reported
  bool edge = false;    // something has happened that is to be reported
  unsigned maybe = 0;   // how many may be reported that need not be
  bool closed = false;  // so is its descriptor
  bool paused = false;
  uint64_t deadline = 0;  // of a timer
  uint64_t interval = 0;

  bool has(uint32_t flag) const { return (req_flags & flag) != 0; }
  bool checked() const { return has(KEVENT_REQ_LAST_CHECK); }
};

class KeventLife {
 public:
  explicit KeventLife(Choices& choices)
      : choices_(choices), queue_(kevent::core::InitQueue(nullptr, 0, 0)) {
    for (int& socket : sockets_) socket = Sim().OpenStranger();
  }
  ~KeventLife() {
    for (const int socket : sockets_) kevent::sys::Close(socket);
    kevent::core::CloseDescriptor(queue_);
  }

  void Step() {
    Operate();
    CheckQueues();
  }

  // One call that has room reports every event that is due.
  void CollectAll() { CollectSome(kRoom); }

 private:
  void Operate() {
    switch (Pick(12)) {
      case 0:
      case 1:
      case 2:
        return AddOne();
      case 3:
        return RemoveOne();
      case 4:
        return ModifyOne();
      case 5:
      case 6:
        return InjectOne();
      case 7:
      case 8:
        return ChangeSocket();
      case 9:
        return Pick(8) == 0 ? CloseSocket() : Sim().Advance(Pick(kSecond));
      default:
        return CollectSome(1 + static_cast<unsigned>(Pick(8)));
    }
  }

  static constexpr unsigned kRoom = 256;
  using Key = std::tuple<uint32_t, uint64_t, uintptr_t>;
  using Entry = std::pair<const Key, ModelKevent>;

  static Key KeyOf(const ukevent& event) {
    return {event.type, event.id.raw_u64, reinterpret_cast<uintptr_t>(event.ptr)};
  }
  static bool Polls(const Entry& entry) { return std::get<0>(entry.first) == KEVENT_POLL; }
  static bool Polls(const Entry& entry, int socket) {
    return Polls(entry) && std::get<1>(entry.first) == static_cast<uint64_t>(socket);
  }

  uint64_t Pick(uint64_t n) { return choices_.Below(n); }
  static uint64_t Now() { return Sim().Now(CLOCK_MONOTONIC); }
  static bool IsReady(int socket) { return Sim().File(socket)->ready != 0; }
  static bool IsReady(const ukevent& request) {
    return request.type == KEVENT_POLL && IsReady(static_cast<int>(request.id.raw[0]));
  }
  static bool IsReady(const Entry& entry) {
    return Polls(entry) && !entry.second.closed &&
           IsReady(static_cast<int>(std::get<1>(entry.first)));
  }

  ukevent Any() {
    uint32_t flags = 0;
    for (const uint32_t flag :
         {KEVENT_REQ_ONESHOT, KEVENT_REQ_ET, KEVENT_REQ_LAST_CHECK, KEVENT_REQ_ALWAYS_QUEUE,
          KEVENT_REQ_WAKEUP_ALL, KEVENT_REQ_DISPATCH}) {
      if (Pick(3) == 0) flags |= flag;
    }
    const uint32_t event = Pick(8) == 0 ? KEVENT_MASK_EMPTY : 1;
    const uint64_t kind = Pick(8);
    if (kind == 0) {
      spec_ = {CLOCK_MONOTONIC, 0, {ToTimespec(Pick(2) * kMillisecond), ToTimespec(Pick(kSecond))}};
      return TimerRequest(Pick(4), &spec_, flags & (KEVENT_REQ_ONESHOT | KEVENT_REQ_DISPATCH),
                          Pick(2));
    }
    if (Pick(8) == 0) flags |= KEVENT_REQ_READY;
    if (kind <= 2) return Request(KEVENT_UNOTIFY, Pick(6), event, flags, Pick(2));
    static_assert(KEVENT_POLL_POLLIN == 1 && KEVENT_UNOTIFY_EVENT == 1);
    return Request(KEVENT_POLL, static_cast<uint64_t>(sockets_[Pick(kSockets)]), event, flags,
                   Pick(8) == 0 ? Pick(3) : 0);
  }

  Entry* Find(const ukevent& request) {
    const auto found = model_.find(KeyOf(request));
    return found == model_.end() ? nullptr : &*found;
  }

  // As ADD and MODIFY leave it.
  ModelKevent Fresh(const ukevent& request) const {
    ModelKevent fresh = {request.req_flags};
    fresh.forced = fresh.has(KEVENT_REQ_READY);
    fresh.edge = IsReady(request);
    fresh.maybe = fresh.forced && fresh.edge ? 1 : 0;  // one event or two
    fresh.paused = request.event == KEVENT_MASK_EMPTY;
    if (request.type == KEVENT_TIMER) {
      const uint64_t value = ToNanoseconds(spec_.itimerspec.it_value);
      fresh.interval = ToNanoseconds(spec_.itimerspec.it_interval);
      fresh.deadline = value == 0 ? 0 : Now() + value;
    }
    return fresh;
  }

  void AddOne() {
    const ukevent request = Any();
    const int result = Add(queue_, request);
    Entry* entry = Find(request);
    if (entry != nullptr && entry->second.closed) {
      model_.erase(KeyOf(request));
    } else if (entry != nullptr) {
      EXPECT_EQ(result, -EEXIST);
      return;
    }
    constexpr uint32_t kInAnyCase = KEVENT_REQ_ALWAYS_QUEUE | KEVENT_REQ_READY;
    if (IsReady(request) && (request.req_flags & kInAnyCase) == 0 && request.event != 0) {
      EXPECT_EQ(result, 1);
      return;
    }
    EXPECT_EQ(result, 0);
    ModelKevent& added = model_[KeyOf(request)] = Fresh(request);
    if (request.type == KEVENT_UNOTIFY && added.has(KEVENT_REQ_ALWAYS_QUEUE)) added.forced = true;
  }

  // The record of a closed descriptor goes when its number is watched again.
  static bool MayBeGone(const Entry* entry) { return entry != nullptr && entry->second.closed; }

  void RemoveOne() {
    const ukevent request = Any();
    if (model_.empty()) return;
    const Entry* entry = Find(request);
    const int result = Call(KEVENT_CTL_REMOVE, request);
    if (!MayBeGone(entry)) {
      EXPECT_EQ(result, entry != nullptr ? 0 : -ENOENT);
    }
    model_.erase(KeyOf(request));
  }

  void ModifyOne() {
    const ukevent request = Any();
    if (model_.empty()) return;
    Entry* entry = Find(request);
    const int result = Call(KEVENT_CTL_MODIFY, request);
    const bool there = entry != nullptr && !entry->second.closed;
    EXPECT_EQ(result, there ? 0 : -ENOENT);
    if (!there) return;
    const ModelKevent before = entry->second;
    entry->second = Fresh(request);
    // What was made ready while it was paused is kept, and what was before it pauses.
    if (before.paused || entry->second.paused) {
      entry->second.forced |= before.forced;
      entry->second.maybe += before.maybe + (before.forced && entry->second.edge ? 1 : 0);
    }
  }

  void InjectOne() {
    ukevent request = Any();
    // Made ready and expired, a timer is one event or two.
    if (model_.empty() || request.type == KEVENT_TIMER) return;
    Entry* entry = Find(request);
    if (MayBeGone(entry)) return;
    EXPECT_EQ(Call(KEVENT_CTL_READY, request), entry != nullptr ? 1 : 0);
    if (entry == nullptr) return;
    if (entry->second.edge) ++entry->second.maybe;
    entry->second.forced = true;
  }

  int Call(unsigned command, ukevent request) {
    const int result = kevent::core::ControlKevents(queue_, command, 1, &request);
    if (command == KEVENT_CTL_READY) return result;
    const bool broken = (request.ret_flags & KEVENT_RET_BROKEN) != 0;
    EXPECT_EQ(result, broken ? 1 : 0);
    return broken ? static_cast<int>(request.ret_data[1]) : 0;
  }

  void ChangeSocket() {
    const int socket = sockets_[Pick(kSockets)];
    const bool now = Pick(3) != 0;
    Sim().SetReady(socket, now ? KEVENT_POLL_POLLIN : 0);
    for (Entry& entry : model_) {
      if (!Polls(entry, socket) || entry.second.closed) continue;
      ModelKevent& kevent = entry.second;
      // One that was not collected before the next, or before it was over, may be
      // reported or not.
      if (kevent.edge) ++kevent.maybe;
      kevent.edge = now;
      if (now && kevent.forced) ++kevent.maybe;
    }
  }

  // Another one has its number.
  void CloseSocket() {
    const int socket = sockets_[Pick(kSockets)];
    kevent::sys::Close(socket);
    ASSERT_EQ(Sim().OpenStranger(), socket);
    for (Entry& entry : model_) {
      if (!Polls(entry, socket) || entry.second.closed) continue;
      entry.second.closed = true;
      entry.second.edge = false;
      entry.second.maybe = entry.second.forced || entry.second.maybe != 0 ? 1 : 0;
      entry.second.forced = false;
    }
  }

  // ---- Collecting -------------------------------------------------------------------

  // Whether others are told of its edges in its place.
  bool SharesEdges(const Entry& of) const {
    if (!of.second.has(KEVENT_REQ_ET) || of.second.has(KEVENT_REQ_WAKEUP_ALL)) return false;
    if (of.second.has(KEVENT_REQ_DISPATCH)) return false;
    return std::count_if(model_.begin(), model_.end(), [&](const Entry& e) {
             return Polls(e, static_cast<int>(std::get<1>(of.first))) && !e.second.closed &&
                    e.second.has(KEVENT_REQ_ET);
           }) > 1;
  }

  static bool IsDue(const ModelKevent& kevent) {
    return kevent.deadline != 0 && kevent.deadline <= Now();
  }

  // Whether it has to be reported by who has room for it, whatever becomes of
  // others.
  bool Certain(const Entry& entry) const {
    const ModelKevent& kevent = entry.second;
    if (kevent.paused) return false;
    if (IsDue(kevent)) return true;
    if (!Polls(entry)) return kevent.forced;
    if (kevent.closed) return false;
    if (kevent.forced) return !kevent.checked() || IsReady(entry);
    return IsReady(entry) && (!kevent.has(KEVENT_REQ_ET) || (kevent.edge && !SharesEdges(entry)));
  }

  void CollectSome(unsigned max) {
    const auto min = static_cast<unsigned>(Pick(2) == 0 ? 0 : Pick(max + 1));
    std::vector<Key> certain;
    for (const Entry& entry : model_) {
      if (Certain(entry)) certain.push_back(entry.first);
    }
    const auto owed = static_cast<unsigned>(certain.size());
    Doubt();
    const uint64_t before = Now();
    const timespec patience = ToTimespec(kSecond / 4);
    Sim().before_call = [](const std::string& function) {
      if (function == "Poll") CheckQueues();
    };
    const std::vector<ukevent> events = Collect(queue_, min, max, &patience);
    Sim().before_call = nullptr;

    EXPECT_GE(events.size(), std::min(max, owed)) << "something that is ready is not reported";
    EXPECT_TRUE(events.size() >= min || Now() - before >= kSecond / 4) << "gives up too soon";
    EXPECT_TRUE(owed < min || Now() == before) << "sleeps with enough of them ready";
    std::map<Key, unsigned> found;
    for (const ukevent& event : events) {
      ++found[KeyOf(event)];
      Check(event);
    }
    if (max == kRoom) {
      for (const Key& key : certain) EXPECT_EQ(found.count(key), 1) << "one is not reported";
    }
  }

  void Check(const ukevent& event) {
    Entry* entry = Find(event);
    if (entry == nullptr) {
      ADD_FAILURE() << "of one that is not registered";
      return;
    }
    ModelKevent& kevent = entry->second;
    EXPECT_EQ(event.req_flags, kevent.req_flags);
    EXPECT_FALSE(kevent.paused) << "of one that is paused";
    const bool level = IsReady(*entry) && !kevent.has(KEVENT_REQ_ET);
    if (event.type == KEVENT_TIMER) {
      if (IsDue(kevent)) return CheckTimer(event, entry);
      ADD_FAILURE() << "of a timer that is not due";
    } else if (event.type == KEVENT_POLL) {
      EXPECT_TRUE(kevent.forced || kevent.edge || kevent.maybe != 0 || level) << "of one not ready";
      EXPECT_TRUE(!kevent.checked() || IsReady(*entry)) << "without the last check";
    } else {
      EXPECT_TRUE(kevent.forced || kevent.maybe != 0) << "of one not ready";
    }
    if (kevent.has(KEVENT_REQ_ONESHOT)) {
      model_.erase(entry->first);
    } else if (kevent.has(KEVENT_REQ_DISPATCH)) {
      kevent.forced = kevent.edge = false;
      kevent.maybe = 0;
      kevent.paused = true;
    } else if (kevent.forced || kevent.edge) {
      kevent.forced = kevent.edge = false;
    } else if (!level) {
      --kevent.maybe;
    }
  }

  void CheckTimer(const ukevent& event, Entry* entry) {
    ModelKevent& kevent = entry->second;
    const uint64_t late = Now() - kevent.deadline;
    const uint64_t overruns = kevent.interval == 0 ? 0 : late / kevent.interval;
    EXPECT_EQ(event.ret_data[0], overruns);
    EXPECT_EQ(event.ret_data[1], std::min<uint64_t>(late - overruns * kevent.interval, UINT32_MAX));
    if (kevent.has(KEVENT_REQ_ONESHOT)) {
      model_.erase(entry->first);
    } else {
      kevent.deadline =
          kevent.interval == 0 ? 0 : kevent.deadline + (overruns + 1) * kevent.interval;
      kevent.paused = kevent.has(KEVENT_REQ_DISPATCH);
    }
  }

  // What one collection meets and drops, or tells to others, comes no more.
  void Doubt() {
    for (Entry& entry : model_) {
      ModelKevent& kevent = entry.second;
      if (!Polls(entry)) continue;
      if (kevent.forced && kevent.checked() && !IsReady(entry)) {
        kevent.forced = false;
        ++kevent.maybe;
      }
      if (kevent.edge && SharesEdges(entry)) {
        kevent.edge = false;
        ++kevent.maybe;
      }
    }
  }

  static constexpr unsigned kSockets = 12;
  Choices& choices_;
  const int queue_;
  int sockets_[kSockets];
  kevent_timer_spec spec_ = {};
  std::map<Key, ModelKevent> model_;
};

}  // namespace kevent_test

#endif  // KEVENT_TESTS_UNIT_KEVENT_LIFE_H_
