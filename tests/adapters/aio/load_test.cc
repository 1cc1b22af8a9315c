// SPDX-License-Identifier: MIT
//
// Many operations of several threads: none is lost, and each has its bytes.

#include <semaphore.h>

#include <array>
#include <atomic>
#include <thread>
#include <vector>

#include "tests/adapters/aio/plain_aio.h"

namespace aio_adapter_test {
namespace {

constexpr size_t kBlock = 4096;
constexpr size_t kBlocks = 64;
constexpr size_t kThreads = 4;
constexpr int kRounds = 60;
constexpr size_t kDepth = 16;

struct Block {
  alignas(kBlock) std::array<uint32_t, kBlock / sizeof(uint32_t)> words;
};

class DiskFile {
 public:
  DiskFile() {
    std::string name = testing::TempDir() + "/load.XXXXXX";
    writable_ = mkostemp(name.data(), O_CLOEXEC);
    EXPECT_GE(writable_, 0) << std::strerror(errno);
    EXPECT_EQ(ftruncate(writable_, kBlock * kBlocks * kThreads), 0);
    read_only_ = open(name.c_str(), O_RDONLY | O_CLOEXEC);
    direct_ = open(name.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC);
    unlink(name.c_str());
  }
  ~DiskFile() {
    for (const int fd : {writable_, read_only_, direct_}) {
      if (fd >= 0) close(fd);
    }
  }
  DiskFile(const DiskFile&) = delete;
  DiskFile& operator=(const DiskFile&) = delete;
  int writable() const { return writable_; }
  int read_only() const { return read_only_; }
  int direct() const { return direct_; }  // -1 where the file system has none

 private:
  int writable_;
  int read_only_;
  int direct_;
};

std::atomic<int> g_signals;
std::atomic<int> g_threads;

aiocb Transfer(int fd, Block* block, size_t place, int notify) {
  aiocb control;
  std::memset(&control, 0, sizeof control);
  control.aio_fildes = fd;
  control.aio_buf = block;
  control.aio_nbytes = kBlock;
  control.aio_offset = static_cast<off_t>(place * kBlock);
  control.aio_sigevent.sigev_notify = notify;
  control.aio_sigevent.sigev_signo = SIGRTMIN;
  if (notify == SIGEV_THREAD) {
    control.aio_sigevent.sigev_notify_function = [](sigval) { ++g_threads; };
  }
  return control;
}

void Await(const aiocb& control) {
  const aiocb* const list[] = {&control};
  while (aio_error(&control) == EINPROGRESS) aio_suspend(list, 1, nullptr);
}

// Writes blocks of its own part of the file, waits for them by a sync, and reads them again.
void WriteAndRead(int writer, int reader, size_t thread, int notify) {
  std::vector<Block> blocks(kDepth);
  std::vector<aiocb> controls(kDepth);
  for (int round = 0; round < kRounds; ++round) {
    const auto place = [&](size_t i) {
      return thread * kBlocks + (static_cast<size_t>(round) * kDepth + i) % kBlocks;
    };
    const auto mark = [&](size_t i) {
      return static_cast<uint32_t>((thread * kRounds + static_cast<size_t>(round)) * kDepth + i);
    };
    for (size_t i = 0; i < kDepth; ++i) {
      blocks[i].words.fill(mark(i));
      controls[i] = Transfer(writer, &blocks[i], place(i), notify);
      ASSERT_EQ(aio_write(&controls[i]), 0) << std::strerror(errno);
    }
    aiocb sync = Transfer(writer, nullptr, 0, SIGEV_NONE);
    ASSERT_EQ(aio_fsync(O_DSYNC, &sync), 0) << std::strerror(errno);
    Await(sync);
    ASSERT_EQ(aio_error(&sync), 0);
    for (aiocb& control : controls) {
      ASSERT_NE(aio_error(&control), EINPROGRESS) << "a sync comes after them";
      ASSERT_EQ(aio_return(&control), static_cast<ssize_t>(kBlock));
    }
    for (size_t i = 0; i < kDepth; ++i) {
      blocks[i].words.fill(0xdead);
      controls[i] = Transfer(reader, &blocks[i], place(i), notify);
      ASSERT_EQ(aio_read(&controls[i]), 0) << std::strerror(errno);
    }
    for (size_t i = 0; i < kDepth; ++i) {
      Await(controls[i]);
      ASSERT_EQ(aio_return(&controls[i]), static_cast<ssize_t>(kBlock));
      ASSERT_EQ(blocks[i].words.front(), mark(i));
      ASSERT_EQ(blocks[i].words.back(), mark(i));
    }
  }
}

class AioLoad : public testing::TestWithParam<int> {
 protected:
  AioLoad() {
    struct sigaction count = {};
    count.sa_handler = [](int) { ++g_signals; };
    count.sa_flags = SA_RESTART;
    sigaction(SIGRTMIN, &count, nullptr);
    g_signals = g_threads = 0;
  }
  static void Run(int writer, int reader) {
    std::vector<std::thread> threads;
    for (size_t i = 0; i < kThreads; ++i) {
      threads.emplace_back(&WriteAndRead, writer, reader, i, GetParam());
    }
    for (std::thread& thread : threads) thread.join();
    constexpr int kAll = static_cast<int>(kThreads * kDepth) * kRounds * 2;
    std::atomic<int>* const told = GetParam() == SIGEV_SIGNAL   ? &g_signals
                                   : GetParam() == SIGEV_THREAD ? &g_threads
                                                                : nullptr;
    if (told == nullptr || testing::Test::HasFailure()) return;
    while (*told < kAll) usleep(1'000);
    EXPECT_EQ(*told, kAll);
  }
  const DiskFile file_;
};

TEST_P(AioLoad, WrittenByTheCLibraryAndReadByTheEngine) {
  Run(file_.writable(), file_.read_only());
}

TEST_P(AioLoad, WrittenAndReadByTheEngine) {
  if (file_.direct() < 0) GTEST_SKIP() << "the file system has no O_DIRECT";
  Run(file_.direct(), file_.direct());
}

INSTANTIATE_TEST_SUITE_P(, AioLoad, testing::Values(SIGEV_NONE, SIGEV_SIGNAL, SIGEV_THREAD),
                         [](const auto& param) {
                           return param.param == SIGEV_NONE     ? "Silent"
                                  : param.param == SIGEV_SIGNAL ? "BySignal"
                                                                : "ByThread";
                         });

// Threads that change between O_DIRECT and not while others go on: each write and each read is done
// once, and in order.
TEST(AioFlags, ChangeWhileThreadsBegin) {
  const Stream stream(Stream::kWritable);
  std::atomic<bool> ended = false;
  std::thread changer([&] {
    for (bool direct = false; !ended; direct = !direct) {
      stream.SetDirect(direct);
      sched_yield();
    }
  });
  for (int round = 0; round < 300; ++round) {
    std::deque<Read> reads;
    for (int i = 0; i < 8; ++i) reads.emplace_back(stream.fd()).Begin();
    // One byte after the other: with O_DIRECT what is written together is one packet.
    for (const char* byte : {"a", "b", "c", "d", "e", "f", "g", "h"}) stream.Put(byte);
    char wanted = 'a';
    for (Read& read : reads) ASSERT_EQ(read.Await(), wanted++);
  }
  ended = true;
  changer.join();
}

}  // namespace
}  // namespace aio_adapter_test
