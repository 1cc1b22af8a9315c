// SPDX-License-Identifier: MIT
//
// The end of an operation: its control block is the program's own as soon as it says so.

#include <aio.h>

#include <array>
#include <memory>

#include "tests/concurrency/every_instruction/stepper.h"
#include "tests/support/aio.h"
#include "tests/support/queue.h"

namespace kevent_test {
namespace {

class Ending : public SteppedTest {
 protected:
  // Reads, and begins the block anew at each instruction at which the read has ended; returns how
  // often it did.
  int BeginAnew(const TemporaryFile& file);

  Queue queue_;
  std::array<char, 8> bytes_ = {};
};

int Ending::BeginAnew(const TemporaryFile& file) {
  int begun_anew = 0;
  for (Stepper stepper(Intruder::kSignalHandler); stepper.Next();) {
    const Pipe pipe;
    // On the heap: it has an array of nothing.
    const auto control = std::make_unique<std::array<aiocb, 1>>();
    aiocb& block = (*control)[0];
    Prepare(&block, queue_.fd(), file.fd(), bytes_.data(), bytes_.size());
    bool reused = false;
    int cancelled = AIO_CANCELED;
    stepper.Run([&] { aio_read(&block); },
                [&] {
                  if (aio_error(&block) != 0 || aio_return(&block) != 8) return;
                  block.aio_fildes = pipe.from();
                  block.aio_sigevent.sigev_notify = SIGEV_NONE;
                  reused = aio_read(&block) == 0;
                  cancelled = aio_cancel(pipe.from(), &block);
                });
    if (reused) {
      ++begun_anew;
      EXPECT_NE(cancelled, AIO_ALLDONE);  // nothing has come through the pipe
      pipe.Put("x");
      const aiocb* list[] = {&block};
      while (aio_error(&block) == EINPROGRESS) aio_suspend(list, 1, nullptr);
    }
    EXPECT_EQ(Collect(queue_.fd(), 1, 2).size(), 1);
  }
  return begun_anew;
}

// Read at once by its call, and begun anew with the C library before that returns.
TEST_F(Ending, ABlockThatSaysSoIsNoLongerTheLibrarys) {
  TemporaryFile file;
  file.Write("eight by");
  // What is made once, is there from the first step on.
  std::array<aiocb, 1> first;
  Prepare(first.data(), queue_.fd(), file.fd(), bytes_.data(), bytes_.size());
  ASSERT_EQ(aio_read(first.data()), 0);
  EXPECT_EQ(Collect(queue_.fd(), 1, 2).size(), 1);

  // The steps are those of the first run of each try, in which the kernel may refuse to read at
  // once, as it may at any time (RWF_NOWAIT).
  int begun_anew = 0;
  for (int tries = 0; tries < 10 && begun_anew == 0; ++tries) begun_anew = BeginAnew(file);
  EXPECT_GT(begun_anew, 0);
}

}  // namespace
}  // namespace kevent_test
