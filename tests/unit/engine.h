// SPDX-License-Identifier: MIT
//
// The engine as a test speaks to it: core/'s calls, in nanoseconds.

#ifndef KEVENT_TESTS_UNIT_ENGINE_H_
#define KEVENT_TESTS_UNIT_ENGINE_H_

#include <gtest/gtest.h>
#include <kevent/kevent.h>

#include <cstdint>
#include <vector>

#include "core/base/timespec.h"
#include "core/calls/descriptor_calls.h"
#include "core/calls/queue_calls.h"
#include "core/calls/timer_calls.h"
#include "core/descriptors/process_state.h"
#include "core/descriptors/registry.h"
#include "core/queue/queues.h"
#include "tests/unit/simulated_system.h"

namespace kevent_test {

using kevent::core::Handle;
using kevent::core::ToNanoseconds;
using kevent::core::ToTimespec;

inline constexpr uint64_t kMicrosecond = 1'000;
inline constexpr uint64_t kMillisecond = 1'000'000;
inline constexpr uint64_t kSecond = 1'000'000'000;

inline Simulation& Sim() { return Simulation::Get(); }

inline Handle HandleOf(timer_t timer) { return Handle(reinterpret_cast<uint64_t>(timer)); }

// A timer, or a null handle with the errno in *error.
inline Handle Create(int queue, clockid_t clock, uintptr_t cookie = 0, int* error = nullptr) {
  sigevent notification;
  kevent_sigevent(&notification, queue, reinterpret_cast<void*>(cookie));
  timer_t timer = nullptr;
  const int result = kevent::core::CreateTimer(clock, notification, &timer);
  if (error != nullptr) *error = result;
  return HandleOf(timer);
}

struct Old {
  uint64_t value;
  uint64_t interval;
};

inline int Set(Handle timer, int flags, uint64_t value, uint64_t interval = 0, Old* old = nullptr) {
  const itimerspec setting = {ToTimespec(interval), ToTimespec(value)};
  itimerspec before = {};
  const int error =
      kevent::core::SetTimer(timer, flags, &setting, old == nullptr ? nullptr : &before);
  if (old != nullptr) *old = {ToNanoseconds(before.it_value), ToNanoseconds(before.it_interval)};
  return error;
}

inline int SetIn(Handle timer, uint64_t ahead, uint64_t interval = 0) {
  return Set(timer, 0, ahead, interval);
}

inline Old Get(Handle timer) {
  itimerspec now = {};
  EXPECT_EQ(kevent::core::GetTimer(timer, &now), 0);
  return {ToNanoseconds(now.it_value), ToNanoseconds(now.it_interval)};
}

inline int Overrun(Handle timer) {
  int overruns = -1;
  EXPECT_EQ(kevent::core::GetOverrun(timer, &overruns), 0);
  return overruns;
}

inline int Delete(Handle timer) { return kevent::core::DeleteTimer(timer); }

// What kevent_get_events returns, in *result if it is an error.
inline std::vector<ukevent> Collect(int queue, unsigned min = 0, unsigned max = 64,
                                    const timespec* timeout = nullptr, int* result = nullptr,
                                    unsigned flags = 0) {
  std::vector<ukevent> events(max);
  const int n = kevent::core::GetEvents(queue, {min, max, events.data(), timeout, flags, nullptr});
  if (result != nullptr) *result = n;
  events.resize(n < 0 ? 0 : static_cast<size_t>(n));
  return events;
}

inline int CallCount(const char* function) { return Sim().calls[function]; }

// The number of the io_uring, or -1.
inline int NumberOfRing() {
  for (const auto& [number, file] : Sim().table_) {
    const bool is_ring = file->kind == SimulatedFile::Kind::kStranger && file->marked;
    if (is_ring && kevent::core::Registry::Get(number).is_internal()) return number;
  }
  return -1;
}

// The invariants of every queue hold; also while a thread sleeps.
inline void CheckQueues() {
  using kevent::core::Queues;
  kevent::core::Queue* queue;
  for (uint32_t number = 0; (queue = Queues::Find(number)) != nullptr; ++number) {
    EXPECT_STREQ(queue->Check(), nullptr) << "queue " << number;
  }
}

// One queue, closed at the end; whatever the engine did that no correct engine
// does fails the test.
class EngineTest : public testing::Test {
 protected:
  EngineTest() : queue_(kevent::core::InitQueue(nullptr, 0, 0)) { EXPECT_GE(queue_, 0); }
  ~EngineTest() override {
    CheckQueues();
    if (Sim().IsOpen(queue_)) kevent::core::CloseDescriptor(queue_);
    EXPECT_TRUE(Sim().violations.empty()) << Sim().violations.front();
    Sim().violations.clear();
    Sim().before_call = nullptr;
  }

  bool readable() const { return Sim().Readable(queue_); }

  const int queue_;
};

}  // namespace kevent_test

#endif  // KEVENT_TESTS_UNIT_ENGINE_H_
