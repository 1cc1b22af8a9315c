// SPDX-License-Identifier: MIT
//
// A hundred thousand reads of 4 KiB at random offsets, 64 at a time, each
// compared with pread.

#include <array>
#include <cstdlib>
#include <random>
#include <vector>

#include "tests/support/aio.h"
#include "tests/support/queue.h"

namespace kevent_test {
namespace {

constexpr size_t kBlock = 4096;
constexpr size_t kDepth = 64;
constexpr off_t kFileBytes = 16 << 20;

struct Slot {
  off_t offset;
  std::array<char, kBlock> bytes;
  std::array<aiocb, 1> control;  // itself no member: it has an array of nothing
};

int Reads() {
  const char* runs = std::getenv("KEVENT_TEST_RUNS");
  return runs == nullptr ? 100'000 : std::atoi(runs);
}

TEST(RandomReads, AreWhatPreadReads) {
  const Queue queue;
  const TemporaryFile file;
  std::mt19937_64 random(1);
  std::vector<uint64_t> words(kBlock / sizeof(uint64_t));
  for (off_t offset = 0; offset < kFileBytes; offset += kBlock) {
    for (uint64_t& word : words) word = random();
    ASSERT_EQ(pwrite(file.fd(), words.data(), kBlock, offset), static_cast<ssize_t>(kBlock));
  }
  std::vector<Slot> slots(kDepth);
  const auto start = [&](Slot& slot) {
    // Also across the end of the file.
    slot.offset = static_cast<off_t>(random() % kFileBytes);
    Prepare(slot.control.data(), queue.fd(), file.fd(), slot.bytes.data(), kBlock, slot.offset);
    slot.control[0].aio_sigevent.sigev_value.sival_ptr = &slot;
    ASSERT_EQ(aio_read(slot.control.data()), 0) << std::strerror(errno);
  };

  const int reads = Reads();
  int started = 0;
  int completed = 0;
  for (; started < static_cast<int>(kDepth); ++started) start(slots[static_cast<size_t>(started)]);
  std::array<char, kBlock> expected;
  while (completed < reads) {
    for (const ukevent& event : Collect(queue.fd(), 1, kDepth)) {
      Slot& slot = *static_cast<Slot*>(event.ptr);
      ASSERT_EQ(event.id.raw_u64, reinterpret_cast<uint64_t>(slot.control.data()));
      const ssize_t bytes = pread(file.fd(), expected.data(), kBlock, slot.offset);
      ASSERT_EQ(event.ret_data[0], static_cast<uint32_t>(bytes));
      ASSERT_EQ(std::memcmp(expected.data(), slot.bytes.data(), static_cast<size_t>(bytes)), 0);
      ++completed;
      if (started < reads) {
        start(slot);
        ++started;
      }
    }
    // Some of it has to come from the disk.
    if (completed % 1000 < static_cast<int>(kDepth)) {
      posix_fadvise(file.fd(), 0, kFileBytes / 4, POSIX_FADV_DONTNEED);
    }
  }
  EXPECT_EQ(completed, started);
  EXPECT_TRUE(Collect(queue.fd(), 0, 1).empty());
}

}  // namespace
}  // namespace kevent_test
