// SPDX-License-Identifier: MIT
//
// Interrupts an operation before each of its instructions, one run for each:
//
//   for (Stepper stepper(Intruder::kSignalHandler); stepper.Next();) {
//     ...                                  // the same state every time
//     stepper.Run([&] { operation }, [&] { intrusion });
//     EXPECT_...                           // what must hold wherever it came
//   }
//
// The first run is not interrupted: the trap flag of the processor raises
// SIGTRAP after each instruction, and those of the library are noted.  In each
// later run there is a breakpoint in the library's text, at which the handler
// lets the intruder in.
//
// KEVENT_STEP_STRIDE in the environment has it done before each so-manyth only, where
// there are too many; from which of them on, KEVENT_STEP_SEED decides, or chance.

#ifndef KEVENT_TESTS_CONCURRENCY_EVERY_INSTRUCTION_STEPPER_H_
#define KEVENT_TESTS_CONCURRENCY_EVERY_INSTRUCTION_STEPPER_H_

#include <gtest/gtest.h>
#include <setjmp.h>
#include <signal.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "tests/support/threads.h"
#include "tests/support/watchdog.h"

namespace kevent_test {

// Something to be done while the one who defines it waits.
class Errand {
 public:
  Errand() = default;
  template <typename Function>
  explicit Errand(Function& function)
      : call_([](void* self) { (*static_cast<Function*>(self))(); }), self_(&function) {}
  void operator()() const { call_(self_); }

 private:
  void (*call_)(void*) = nullptr;
  void* self_ = nullptr;
};

// A thread that does errands while the one that asks waits: also from within a
// signal handler, since neither allocates.
class OtherThread {
 public:
  OtherThread() : thread_([this] { Serve(); }) {}
  ~OtherThread() {
    state_ = kEnd;
    state_.notify_one();
  }

  void Do(Errand errand);

 private:
  enum : int { kIdle, kAsked, kEnd };
  void Serve();

  Errand errand_;
  std::atomic<int> state_ = kIdle;
  Thread thread_;  // last: it uses the others
};

enum class Intruder {
  // Runs where a signal handler of the thread can: not while the library has
  // signals blocked.  It may leave the operation by Stepper::Leave.
  kSignalHandler,
  // Runs in another thread, for which the operation is held up.
  kOtherThread,
  // Runs in the thread itself, at every instruction: for what is the same in
  // whatever thread it is done, as is a fork.
  kSameThread,
};

class Stepper {
 public:
  explicit Stepper(Intruder intruder);
  ~Stepper();
  Stepper(const Stepper&) = delete;
  Stepper& operator=(const Stepper&) = delete;

  // Whether the processor, and what the program runs under, can do it.
  static bool Possible();

  // Whether there is another run to make: not after one in which the test
  // failed.
  bool Next();

  template <typename Operation, typename Intrusion>
  void Run(Operation operation, Intrusion intrusion) {
    Run(Errand(operation), Errand(intrusion));
  }

  // By an intruding signal handler: does not return to the operation.
  [[noreturn]] static void Leave() { siglongjmp(s_environment, 1); }

  // Whether the intruder has come in this run.  Any thread may ask, and the
  // parent of a child that has made the run.
  bool interrupted() const { return shared_->interrupted; }

 private:
  // Before an instruction of the library when it comes up for the n-th time.
  struct Point {
    uintptr_t address;
    unsigned times;
    size_t number;  // of all that were noted
  };

  // What a child of fork that makes the runs leaves to its parent.
  struct Shared {
    std::atomic<bool> interrupted;
    size_t noted;  // instructions of the first run
    uintptr_t addresses[1 << 20];
  };

  void Run(Errand operation, Errand intrusion);
  bool noting() const { return next_ == 0; }
  void ChoosePoints();
  void Report() const;
  static void OnTrap(int, siginfo_t* info, void* context);
  // A signal handler cannot come where signals are blocked.
  bool MayIntrude(void* context) const;
  bool IsBehindPoint(void* context) const;
  void OnStep(void* context);
  void OnBreakpoint(void* context);

  static inline Stepper* s_stepper = nullptr;
  static inline sigjmp_buf s_environment;

  const Intruder intruder_;
  std::unique_ptr<OtherThread> other_;
  struct sigaction before_;

  Shared* const shared_;
  std::vector<Point> points_;
  size_t next_ = 0;     // runs begun, less the first
  size_t reached_ = 0;  // runs that were interrupted
  bool begun_ = false;

  // Of this run; written by the signal handler.
  Errand intrusion_;
  pid_t thread_ = 0;
  volatile bool running_ = false;
  unsigned times_ = 0;
  uint8_t displaced_ = 0;
};

// For tests that step: skipped where that is not possible.
class SteppedTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!Stepper::Possible()) GTEST_SKIP() << "no single-stepping here";
  }

 private:
  Watchdog watchdog_;
};

}  // namespace kevent_test

#endif  // KEVENT_TESTS_CONCURRENCY_EVERY_INSTRUCTION_STEPPER_H_
