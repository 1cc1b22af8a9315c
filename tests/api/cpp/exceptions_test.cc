// SPDX-License-Identifier: MIT
//
// Memory that runs out at each allocation, copies that throw, and what allocates nothing.

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <kevent/kevent.hpp>
#include <new>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

namespace {

// Allocations of this program, not of libkevent.so, which calls no operator new.
long s_allocated = 0;  // now
long s_count = 0;      // so far
long s_fail_at = -1;   // the count at which one fails

void* Allocate(std::size_t size, std::size_t alignment) noexcept {
  if (++s_count == s_fail_at) return nullptr;
  void* const memory =
      alignment <= alignof(std::max_align_t)
          ? std::malloc(size)
          : std::aligned_alloc(alignment, (size + alignment - 1) & ~(alignment - 1));
  if (memory != nullptr) ++s_allocated;
  return memory;
}

void* AllocateOrThrow(std::size_t size, std::size_t alignment) {
  void* const memory = Allocate(size, alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

void Free(void* memory) noexcept {
  if (memory != nullptr) --s_allocated;
  std::free(memory);
}

constexpr std::size_t kUsual = alignof(std::max_align_t);

}  // namespace

void* operator new(std::size_t size) { return AllocateOrThrow(size, kUsual); }
void* operator new[](std::size_t size) { return AllocateOrThrow(size, kUsual); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return AllocateOrThrow(size, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t size, std::align_val_t alignment) {
  return AllocateOrThrow(size, static_cast<std::size_t>(alignment));
}
void* operator new(std::size_t size, const std::nothrow_t& /*tag*/) noexcept {
  return Allocate(size, kUsual);
}
void* operator new[](std::size_t size, const std::nothrow_t& /*tag*/) noexcept {
  return Allocate(size, kUsual);
}
void* operator new(std::size_t size, std::align_val_t alignment,
                   const std::nothrow_t& /*tag*/) noexcept {
  return Allocate(size, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t size, std::align_val_t alignment,
                     const std::nothrow_t& /*tag*/) noexcept {
  return Allocate(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { Free(memory); }
void operator delete[](void* memory) noexcept { Free(memory); }
void operator delete(void* memory, std::size_t /*size*/) noexcept { Free(memory); }
void operator delete[](void* memory, std::size_t /*size*/) noexcept { Free(memory); }
void operator delete(void* memory, std::align_val_t /*alignment*/) noexcept { Free(memory); }
void operator delete[](void* memory, std::align_val_t /*alignment*/) noexcept { Free(memory); }
void operator delete(void* memory, std::size_t /*size*/, std::align_val_t /*alignment*/) noexcept {
  Free(memory);
}
void operator delete[](void* memory, std::size_t /*size*/,
                       std::align_val_t /*alignment*/) noexcept {
  Free(memory);
}

namespace {

using namespace std::chrono_literals;

// A callback that no slot has room for.
struct Large {
  void operator()() const {}
  std::array<char, 300> bytes = {};
};

// Runs it with the first allocation failing, with the second, and so on until none fails, and
// returns how many did.  Each time nothing is left behind.
int FailEach(const std::function<void()>& body) {
  for (int failures = 0;; ++failures) {
    const long before = s_allocated;
    const long first = s_count;
    s_fail_at = first + failures + 1;
    bool failed = false;
    try {
      body();
    } catch (const std::bad_alloc&) {
      failed = true;
    } catch (const std::system_error& error) {
      failed = true;
      EXPECT_EQ(error.code(), std::errc::not_enough_memory);
    }
    const bool reached = s_count >= s_fail_at;
    s_fail_at = -1;
    EXPECT_EQ(s_allocated, before);
    if (!reached) {
      EXPECT_FALSE(failed);
      return failures;
    }
    EXPECT_TRUE(failed) << "an allocation failed, and nobody was told";
    if (testing::Test::HasFailure()) return -1;
  }
}

kevent::Task<> AwaitOnce(kevent::Queue& queue) { co_await queue.after(0s); }

TEST(Exceptions, WithoutMemoryNothingIsLeft) {
  // The queue; its first slots; a callback that is larger than a slot.
  EXPECT_EQ(FailEach([] {
              kevent::Queue queue;
              kevent::Timer timer(queue, Large());
              timer.expires_after(0s);
              EXPECT_EQ(queue.run_once(), 1U);
            }),
            3);
  EXPECT_EQ(FailEach([] {
              kevent::Queue queue;
              const kevent::UserEvent event(queue, Large());
              event.notify();
              EXPECT_EQ(queue.run_once(), 1U);
            }),
            3);
  // And the control block.
  EXPECT_EQ(FailEach([] {
              kevent::Queue queue;
              std::array<int, 2> ends = {};
              ASSERT_EQ(pipe(ends.data()), 0);
              struct Close {
                std::array<int, 2>& ends;
                ~Close() {
                  close(ends[0]);
                  close(ends[1]);
                }
              } const closed{ends};
              const std::array<std::byte, 1> byte = {};
              const auto write = kevent::Operation::write(queue, ends[1], byte, 0, [] {});
              while (queue.run_once() == 0) {
              }
            }),
            3);
  // And a coroutine's frame.
  EXPECT_EQ(FailEach([] {
              kevent::Queue queue;
              kevent::Task<> task = AwaitOnce(queue);
              while (!task.done()) queue.run_once();
              task.get();
            }),
            3);
}

TEST(Exceptions, TheOtherFormReportsMissingMemory) {
  int failures = 0;
  for (int i = 1; i <= 3; ++i) {
    const long before = s_allocated;
    s_fail_at = s_count + i;
    {
      std::error_code error;
      const kevent::Queue queue(error);
      if (!error) {
        const kevent::Timer timer(queue, Large(), error);
        EXPECT_EQ(static_cast<bool>(timer), !error);
      }
      if (error) ++failures;
      EXPECT_EQ(error, std::errc::not_enough_memory);
    }
    s_fail_at = -1;
    EXPECT_EQ(s_allocated, before);
  }
  EXPECT_EQ(failures, 3);
}

// A callback whose copies throw, and which counts the others.
class Uncopied {
 public:
  explicit Uncopied(int& alive) : alive_(&alive) { ++*alive_; }
  Uncopied(const Uncopied& other) : alive_(other.alive_) { throw 42; }
  ~Uncopied() { --*alive_; }
  void operator()() const {}

 private:
  int* alive_;
};

TEST(Exceptions, OfACopyLeaveNothing) {
  kevent::Queue queue;
  int alive = 0;
  {
    const Uncopied callback(alive);
    const long before = s_allocated;
    EXPECT_THROW(kevent::Timer(queue, callback), int);
    const long with_slots = s_allocated;
    EXPECT_THROW(kevent::UserEvent(queue, callback), int);
    EXPECT_THROW(kevent::DescriptorWatch(queue, 0, kevent::Interest::kRead, callback), int);
    std::error_code error;
    EXPECT_THROW(kevent::Timer(queue, callback, error), int);
    EXPECT_EQ(s_allocated, with_slots);
    EXPECT_EQ(with_slots, before + 1);
  }
  EXPECT_EQ(alive, 0);
  // The slots are free: as many objects as there are need no more.
  const long before = s_count;
  std::array<kevent::UserEvent, 64> events;
  for (kevent::UserEvent& event : events) event = kevent::UserEvent(queue, [] {});
  EXPECT_EQ(s_count, before);
}

kevent::Task<> AwaitOften(kevent::Queue& queue, int times) {
  for (int i = 0; i < times; ++i) co_await queue.after(0s);
}

TEST(Exceptions, NothingIsAllocatedForAnEvent) {
  kevent::Queue queue;
  unsigned runs = 0;
  kevent::Timer timer(queue, [&] { ++runs; });
  kevent::UserEvent event(queue, [&] {
    ++runs;
    timer.expires_after(0s);
  });
  kevent::Task<> task = AwaitOften(queue, 1000);
  const long before = s_count;
  for (int i = 0; i < 1000; ++i) {
    event.notify();
    queue.run_once();
    queue.poll();
  }
  while (!task.done()) queue.run_once();
  EXPECT_GE(runs, 1000U);
  EXPECT_EQ(s_count, before);
}

}  // namespace
