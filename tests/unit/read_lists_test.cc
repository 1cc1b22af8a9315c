// SPDX-License-Identifier: MIT
//
// Reads of a list that are done together, in one system call.

#include <aio.h>

#include <array>
#include <memory>
#include <utility>
#include <vector>

#include "core/calls/aio_calls.h"
#include "tests/unit/engine.h"

namespace kevent_test {
namespace {

class ReadsTogether : public testing::Test {
 protected:
  ReadsTogether() {
    const int parents = kevent::core::InitQueue(nullptr, 0, 0);
    Sim().Fork(true);  // which has no io_uring yet
    EXPECT_EQ(kevent::core::CloseDescriptor(parents), 0);
    Sim().ring = {};
    Sim().ring.is_there = true;
    Sim().files_are_cached = true;
    Sim().files_have_places = true;
    queue_ = kevent::core::InitQueue(nullptr, 0, 0);
    file_ = Sim().OpenStranger();
  }
  ~ReadsTogether() override {
    EXPECT_EQ(kevent::core::CloseDescriptor(queue_), 0);
    Sim().files_are_cached = Sim().files_have_places = false;
    Sim().ring = {};
    EXPECT_TRUE(Sim().violations.empty());
  }

  struct Block {
    char bytes[8];
  };

  aiocb* Add(int opcode, off_t offset) {
    aiocb control = {};
    control.aio_fildes = file_;
    control.aio_buf = blocks_[controls_.size()].bytes;
    control.aio_nbytes = sizeof(Block);
    control.aio_offset = offset;
    control.aio_lio_opcode = opcode;
    kevent_sigevent(&control.aio_sigevent, queue_, nullptr);
    controls_.push_back(std::make_unique<std::array<aiocb, 1>>());
    (*controls_.back())[0] = control;
    return controls_.back()->data();
  }

  // A list of so many reads, each of a place of its own.
  std::vector<aiocb*> Reads(unsigned count) {
    std::vector<aiocb*> list;
    for (unsigned i = 0; i < count; ++i) {
      list.push_back(Add(LIO_READ, static_cast<off_t>(i * sizeof(Block))));
    }
    return list;
  }

  static int Start(const std::vector<aiocb*>& list) {
    return kevent::core::StartList(LIO_NOWAIT, list.data(), static_cast<int>(list.size()), nullptr);
  }

  // How many calls this takes, when all of it is done at once.
  int CallsFor(unsigned count) {
    const int before = Sim().calls["ReadTogether"];
    const std::vector<aiocb*> list = Reads(count);
    EXPECT_EQ(Start(list), 0);
    size_t done = 0;
    for (std::vector<ukevent> events; !(events = Collect(queue_)).empty();) {
      for (const ukevent& event : events) {
        EXPECT_EQ(event.id.raw_u64, reinterpret_cast<uint64_t>(list[done++]));
        EXPECT_EQ(event.ret_data[0], sizeof(Block));
      }
    }
    EXPECT_EQ(done, count);
    controls_.clear();
    return Sim().calls["ReadTogether"] - before;
  }

  int queue_;
  int file_;
  std::array<Block, 256> blocks_ = {};
  std::vector<std::unique_ptr<std::array<aiocb, 1>>> controls_;
};

// The first shows whether the file has places.
TEST_F(ReadsTogether, AllButTheFirst) {
  EXPECT_EQ(CallsFor(1 + kevent::sys::kReadsTogether), 1);
  EXPECT_EQ(CallsFor(2 + kevent::sys::kReadsTogether), 1);
  EXPECT_EQ(CallsFor(1 + 2 * kevent::sys::kReadsTogether), 2);
}

TEST_F(ReadsTogether, NotForAFew) {
  const int opened = Sim().calls["OpenRing"];
  EXPECT_EQ(CallsFor(1), 0);
  EXPECT_EQ(CallsFor(5), 0);
  EXPECT_EQ(Sim().calls["OpenRing"], opened);
}

TEST_F(ReadsTogether, ByOneRing) {
  const int opened = Sim().calls["OpenRing"];
  for (int i = 0; i < 3; ++i) EXPECT_EQ(CallsFor(40), 1);
  EXPECT_EQ(Sim().calls["OpenRing"], opened + 1);
  Sim().Fork(true);
  EXPECT_EQ(CallsFor(40), 1);
  EXPECT_EQ(Sim().calls["OpenRing"], opened + 2);
}

TEST_F(ReadsTogether, OneByOneWithoutARing) {
  Sim().ring.is_there = false;
  const int opened = Sim().calls["OpenRing"];
  EXPECT_EQ(CallsFor(40), 0);
  EXPECT_EQ(CallsFor(40), 0);
  EXPECT_EQ(Sim().calls["OpenRing"], opened + 1);
}

// Closed and opened again by system calls that the library does not see, or of another table of
// descriptors.
TEST_F(ReadsTogether, NotByAStrangersRing) {
  EXPECT_EQ(CallsFor(40), 1);
  const int opened = Sim().calls["OpenRing"];
  const int number = NumberOfRing();
  Sim().ReplaceBehindBack(number);
  const auto strangers = Sim().File(number);
  EXPECT_EQ(CallsFor(40), 1);
  EXPECT_EQ(Sim().calls["OpenRing"], opened + 1);
  EXPECT_EQ(Sim().File(number), strangers);
}

TEST_F(ReadsTogether, OneByOneWhenTheRingIsRefusedTheCall) {
  EXPECT_EQ(CallsFor(40), 1);
  const size_t before = Sim().open_descriptors();
  Sim().ring.closed = true;
  EXPECT_EQ(CallsFor(40), 1);
  Sim().ring.closed = false;
  EXPECT_EQ(Sim().open_descriptors(), before - 1);
  EXPECT_EQ(CallsFor(40), 0);
}

TEST_F(ReadsTogether, OneByOneWhileThereIsNoDescriptor) {
  Sim().ring.is_there = false;
  Sim().ring.refusal = -EMFILE;
  EXPECT_EQ(CallsFor(40), 0);
  Sim().ring.is_there = true;
  EXPECT_EQ(CallsFor(40), 1);
}

// What is not there is handed on before what comes after it in the list.
TEST_F(ReadsTogether, AWriteWaitsForThoseBeforeIt) {
  Sim().files_are_cached = false;
  std::vector<aiocb*> list = Reads(40);
  list.push_back(Add(LIO_WRITE, 39 * sizeof(Block)));
  ASSERT_EQ(Start(list), 0);
  std::vector<size_t> taken;
  Sim().ring.when_asleep = [&taken] {
    taken.push_back(0);
    for (const SimulatedRing::Given& given : std::exchange(Sim().ring.taken, {})) {
      Sim().ring.results.push_back({given.token, sizeof(Block)});
      if (given.transfer.kind != kevent::sys::Transfer::Kind::kNothing) ++taken.back();
    }
    Sim().ring.closed = taken.back() == 0;
  };
  Sim().RunThread();
  EXPECT_EQ(taken, (std::vector<size_t>{40, 1, 0}));
  EXPECT_EQ(Collect(queue_).size(), 41);
}

}  // namespace
}  // namespace kevent_test
