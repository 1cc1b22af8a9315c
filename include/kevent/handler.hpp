// SPDX-License-Identifier: MIT
//
// The receiver of an object's events: a cookie of the program, or a callback in a slot (internal).
#ifndef KEVENT_HANDLER_HPP_
#define KEVENT_HANDLER_HPP_

#include <kevent/slots.hpp>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace kevent::detail {

// A share in what a queue's objects have in common.
class SlotsRef {
 public:
  SlotsRef() = default;
  explicit SlotsRef(Slots& slots) noexcept : slots_(&slots) { slots.hold(); }
  SlotsRef(SlotsRef&& other) noexcept : slots_(std::exchange(other.slots_, nullptr)) {}
  SlotsRef& operator=(SlotsRef&& other) noexcept {
    std::swap(slots_, other.slots_);
    return *this;
  }
  ~SlotsRef() {
    if (slots_ != nullptr) slots_->release();
  }

  explicit operator bool() const noexcept { return slots_ != nullptr; }
  int fd() const noexcept { return slots_ == nullptr ? -1 : slots_->fd(); }

 private:
  Slots* slots_ = nullptr;
};

// A slot, given up when it goes out of scope.
class SlotOwner {
 public:
  SlotOwner() = default;
  SlotOwner(SlotOwner&& other) noexcept : slot_(std::exchange(other.slot_, nullptr)) {}
  SlotOwner& operator=(SlotOwner&& other) noexcept {
    SlotOwner old(std::move(other));
    std::swap(slot_, old.slot_);
    return *this;
  }
  ~SlotOwner() { reset(); }

  explicit operator bool() const noexcept { return slot_ != nullptr; }
  void* cookie() const noexcept { return Slots::cookie(*slot_); }

  // Found by no event until publish(); empty without memory.
  static SlotOwner to(Slots& slots, void* target,
                      void (*call)(void* target, const ukevent& event)) noexcept {
    SlotOwner owner(slots.take());
    if (owner) {
      owner.slot_->target = target;
      owner.slot_->call = call;
    }
    return owner;
  }

  // Makes a slot for a copy of a callback.  Throws what the copy does.
  template <class View, class F>
  static SlotOwner make(Slots& slots, F&& callback);

  void publish() const noexcept { Slots::publish(*slot_); }
  // Before the object is set anew: events of the old setting that are in a batch are dropped.
  void renew() const noexcept {
    if (slot_ != nullptr) Slots::renew(*slot_);
  }
  // The callback that this waits for may use the object: so what it reads is cleared afterwards.
  void reset(bool wait = true) noexcept {
    if (slot_ == nullptr) return;
    Slots::give_up(*slot_, wait);
    slot_ = nullptr;
  }

 private:
  explicit SlotOwner(Slot* slot) noexcept : slot_(slot) {}

  Slot* slot_ = nullptr;
};

// In place of a slot: an object whose events carry a cookie of the program's has none.
struct NoSlot {
  void renew() const noexcept {}
  void reset(bool /*wait*/ = true) noexcept {}
};

template <class View, class F>
void call_with(F& callback, const ukevent& event) {
  if constexpr (std::is_invocable_v<F&, const View&>) {
    callback(View(event));
  } else {
    callback();
  }
}

template <class View, class F>
SlotOwner SlotOwner::make(Slots& slots, F&& callback) {
  using Callback = std::decay_t<F>;
  struct Untaken {
    Slot* slot;
    ~Untaken() {
      if (slot != nullptr) Slots::put_back(*slot);
    }
  };
  Untaken untaken{slots.take()};
  if (untaken.slot == nullptr) return {};
  Slot& slot = *untaken.slot;
  if constexpr (sizeof(Callback) <= sizeof slot.storage &&
                alignof(Callback) <= alignof(std::max_align_t)) {
    slot.target =
        ::new (static_cast<void*>(slot.storage.data())) Callback(std::forward<F>(callback));
    slot.drop = [](void* target) { std::destroy_at(static_cast<Callback*>(target)); };
  } else {
    auto* const copy = new (std::nothrow) Callback(std::forward<F>(callback));
    if (copy == nullptr) return {};
    slot.target = copy;
    slot.drop = [](void* target) { delete static_cast<Callback*>(target); };
  }
  slot.call = [](void* target, const ukevent& event) {
    call_with<View>(*static_cast<Callback*>(target), event);
  };
  Slots::publish(*std::exchange(untaken.slot, nullptr));
  return SlotOwner(&slot);
}

// The cookie that the handler's events carry, and the slot if it is a callback.
template <class View>
void* receive(Slots* /*slots*/, void* cookie, NoSlot& /*owner*/, std::error_code& error) noexcept {
  error.clear();
  return cookie;
}
template <class View, class H>
void* receive(Slots* slots, H&& handler, SlotOwner& owner, std::error_code& error) {
  error.clear();
  if constexpr (Cookie<H>) {
    return handler;
  } else {
    if (slots == nullptr) {
      error = error_of(EBADF);
      return nullptr;
    }
    owner = SlotOwner::make<View>(*slots, std::forward<H>(handler));
    if (owner) return owner.cookie();
    error = error_of(ENOMEM);
    return nullptr;
  }
}

}  // namespace kevent::detail

#endif  // KEVENT_HANDLER_HPP_
