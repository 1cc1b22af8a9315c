// SPDX-License-Identifier: MIT
//
// kevent_ctl against a slow, obvious model, under operations that somebody
// chooses: sockets that become ready and cease to be, and events of the
// program's own, by level and by edge, once and for ever.

#ifndef KEVENT_TESTS_UNIT_KEVENT_LIFE_H_
#define KEVENT_TESTS_UNIT_KEVENT_LIFE_H_

#include <map>
#include <set>
#include <tuple>

#include "core/system.h"
#include "tests/unit/choices.h"
#include "tests/unit/engine.h"

namespace kevent_test {

inline ukevent Request(uint32_t type, uint64_t id, uint32_t event, uint32_t req_flags = 0,
                       uintptr_t cookie = 0) {
  ukevent request = {};
  request.id.raw_u64 = id;
  request.type = type;
  request.event = event;
  request.req_flags = req_flags;
  request.ptr = reinterpret_cast<void*>(cookie);
  return request;
}

// 0 when it was registered, 1 when it was ready, or why it is broken; the whole
// call's negative errno likewise.
inline int Add(int queue, ukevent request) {
  const int count = kevent::core::ControlKevents(queue, KEVENT_CTL_ADD, 1, &request);
  if (count <= 0) return count;
  if ((request.ret_flags & KEVENT_RET_BROKEN) == 0) return 1;
  return static_cast<int>(request.ret_data[1]);
}

inline int Control(int queue, unsigned command, ukevent request) {
  const int result = kevent::core::ControlKevents(queue, command, 1, &request);
  if (result < 0) return result;
  return (request.ret_flags & KEVENT_RET_BROKEN) == 0 ? 0 : static_cast<int>(request.ret_data[1]);
}

// A queue as a map of what is registered.
class KeventModel {
 public:
  using Key = std::tuple<uint32_t, uint64_t, uintptr_t>;
  struct Entry {
    uint32_t req_flags;
    bool ready = false;
  };
  static Key KeyOf(const ukevent& event) {
    return {event.type, event.id.raw_u64, reinterpret_cast<uintptr_t>(event.ptr)};
  }
  std::map<Key, Entry> entries;
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
    switch (Pick(6)) {
      case 0:
        return AddOne();
      case 1:
        return RemoveOne();
      case 2:
        return ModifyOne();
      case 3:
        return InjectOne();
      case 4:
        return ChangeSocket();
      default:
        return CollectSome();
    }
  }

  void CollectAll() {
    for (int i = 0; i < 100 && !Quiet(); ++i) CollectSome();
    EXPECT_TRUE(Quiet()) << "something that is ready is not reported";
  }

 private:
  uint64_t Pick(uint64_t n) { return choices_.Below(n); }
  bool IsReady(int socket) const { return Sim().File(socket)->ready != 0; }

  ukevent Any() {
    static constexpr uint32_t kFlags[] = {0, KEVENT_REQ_ONESHOT, KEVENT_REQ_ET,
                                          KEVENT_REQ_ET | KEVENT_REQ_ONESHOT};
    const uint32_t flags = kFlags[Pick(4)];
    if (Pick(2) == 0) return Request(KEVENT_UNOTIFY, Pick(6), 1, flags, Pick(2));
    return Request(KEVENT_POLL, static_cast<uint64_t>(sockets_[Pick(4)]), KEVENT_POLL_POLLIN,
                   flags | KEVENT_REQ_WAKEUP_ALL, Pick(3));
  }

  KeventModel::Entry* Find(const ukevent& request) {
    const auto found = model_.entries.find(KeventModel::KeyOf(request));
    return found == model_.entries.end() ? nullptr : &found->second;
  }

  void AddOne() {
    const ukevent request = Any();
    const int result = Add(queue_, request);
    if (Find(request) != nullptr) {
      EXPECT_EQ(result, -EEXIST);
    } else if (request.type == KEVENT_POLL && IsReady(static_cast<int>(request.id.raw[0]))) {
      EXPECT_EQ(result, 1);
    } else {
      EXPECT_EQ(result, 0);
      model_.entries[KeventModel::KeyOf(request)] = {request.req_flags};
    }
  }

  void RemoveOne() {
    const ukevent request = Any();
    if (model_.entries.empty()) return;
    EXPECT_EQ(Control(queue_, KEVENT_CTL_REMOVE, request), Find(request) != nullptr ? 0 : -ENOENT);
    model_.entries.erase(KeventModel::KeyOf(request));
  }

  void ModifyOne() {
    const ukevent request = Any();
    if (model_.entries.empty()) return;
    KeventModel::Entry* entry = Find(request);
    EXPECT_EQ(Control(queue_, KEVENT_CTL_MODIFY, request), entry != nullptr ? 0 : -ENOENT);
    if (entry == nullptr) return;
    *entry = {request.req_flags};
    // Asked anew, a source that is ready says so.
    if (request.type == KEVENT_POLL) entry->ready = IsReady(static_cast<int>(request.id.raw[0]));
  }

  void InjectOne() {
    ukevent request = Any();
    if (model_.entries.empty()) return;
    KeventModel::Entry* entry = Find(request);
    EXPECT_EQ(kevent::core::ControlKevents(queue_, KEVENT_CTL_READY, 1, &request),
              entry != nullptr ? 1 : 0);
    if (entry == nullptr) return;
    // With an edge, that is one event or two.
    if (entry->ready) doubtful_.insert(KeventModel::KeyOf(request));
    entry->ready = true;
  }

  void ChangeSocket() {
    const int socket = sockets_[Pick(4)];
    const bool now = Pick(2) == 0;
    Sim().SetReady(socket, now ? KEVENT_POLL_POLLIN : 0);
    for (auto& [key, entry] : model_.entries) {
      if (std::get<0>(key) != KEVENT_POLL || std::get<1>(key) != static_cast<uint64_t>(socket))
        continue;
      // An edge that was not collected before it was over may be reported or not.
      if (entry.ready) doubtful_.insert(key);
      if (now) entry.ready = true;
    }
  }

  void CollectSome() {
    const auto max = static_cast<unsigned>(1 + Pick(6));
    for (const ukevent& event : Collect(queue_, 0, max)) {
      KeventModel::Entry* entry = Find(event);
      ASSERT_NE(entry, nullptr) << "of one that is not registered";
      const auto key = KeventModel::KeyOf(event);
      EXPECT_TRUE(entry->ready || doubtful_.count(key) != 0) << "of one that is not ready";
      EXPECT_EQ(event.req_flags, entry->req_flags);
      if (!entry->ready) doubtful_.erase(key);
      if ((entry->req_flags & KEVENT_REQ_ONESHOT) != 0) {
        model_.entries.erase(key);
      } else {
        // By level it is reported for as long as it lasts.
        entry->ready = event.type == KEVENT_POLL && (entry->req_flags & KEVENT_REQ_ET) == 0 &&
                       IsReady(static_cast<int>(event.id.raw[0]));
      }
    }
  }

  // Nothing is ready, but for what is so for ever by its level.
  bool Quiet() const {
    for (const auto& [key, entry] : model_.entries) {
      const bool level = std::get<0>(key) == KEVENT_POLL && (entry.req_flags & KEVENT_REQ_ET) == 0;
      if (entry.ready && !level && doubtful_.count(key) == 0) return false;
    }
    return true;
  }

  Choices& choices_;
  const int queue_;
  int sockets_[4];
  KeventModel model_;
  std::set<KeventModel::Key> doubtful_;
};

}  // namespace kevent_test

#endif  // KEVENT_TESTS_UNIT_KEVENT_LIFE_H_
