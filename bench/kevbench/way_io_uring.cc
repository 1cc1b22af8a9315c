// SPDX-License-Identifier: MIT
//
// io_uring: IORING_OP_TIMEOUT, changed by IORING_OP_TIMEOUT_REMOVE with
// IORING_TIMEOUT_UPDATE; submitted in batches of 256.

#include <liburing.h>

#include <array>
#include <cerrno>
#include <vector>

#include "bench/kevbench/makers.h"
#include "bench/kevbench/ways.h"

namespace kevbench {
namespace {

// Marks what a change of a timer answers, as opposed to the timer.
constexpr uint64_t kChange = uint64_t{1} << 63;
constexpr uint64_t kRemoval = uint64_t{1} << 62;

class IoUringWay final : public Way {
 public:
  explicit IoUringWay(Recorder* recorder) : Way(recorder) {
    // The last is what older kernels take.
    for (const unsigned int flags :
         {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, IORING_SETUP_COOP_TASKRUN, 0U}) {
      if (Open(flags)) return;
    }
    Check(false, "io_uring_queue_init");
  }
  ~IoUringWay() override { io_uring_queue_exit(&ring_); }

  bool has_timer_objects() const override { return false; }

  Periods periods() const override { return Periods::kCaughtUp; }

  absl::Status Reserve(size_t timers) override {
    // The kernel looks a timeout up in a list: 100 000 would take minutes to set.
    if (timers > kHeavy) return absl::ResourceExhaustedError("linear search");
    timers_.resize(timers);
    return absl::OkStatus();
  }

  void Create(size_t timer) override { timers_[timer] = {}; }
  void Delete(size_t timer) override { Disarm(timer); }
  void Deleted() override { Collect(); }

  void ArmIn(size_t timer, Nanoseconds ahead) override { Set(timer, ahead, 0); }
  void ArmAt(size_t timer, Nanoseconds deadline) override {
    Set(timer, deadline, IORING_TIMEOUT_ABS);
  }
  void ArmEvery(size_t timer, Nanoseconds first, Nanoseconds interval) override {
    timers_[timer].next = first;
    interval_ = interval;
    ArmAt(timer, first);
  }
  void Disarm(size_t timer) override {
    if (!timers_[timer].armed) return;
    timers_[timer].armed = false;
    io_uring_sqe* const entry = Entry();
    io_uring_prep_timeout_remove(entry, timer, 0);
    entry->flags |= IOSQE_CQE_SKIP_SUCCESS;
    entry->user_data = kRemoval;
  }

  void Collect() override {
    specs_used_ = 0;
    io_uring_submit_and_get_events(&ring_);
    Reap();
  }
  void Wait() override {
    specs_used_ = 0;
    io_uring_submit_and_wait(&ring_, 1);
    Reap();
  }

 private:
  struct Timer {
    bool armed = false;
    Nanoseconds next = 0;
  };

  bool Open(unsigned int flags) {
    io_uring_params parameters = {};
    parameters.flags = flags | IORING_SETUP_CQSIZE;
    parameters.cq_entries = 16 * kBatch;
    return io_uring_queue_init_params(kBatch, &ring_, &parameters) == 0;
  }

  io_uring_sqe* Entry() {
    io_uring_sqe* entry = io_uring_get_sqe(&ring_);
    if (entry == nullptr) {
      specs_used_ = 0;
      Check(io_uring_submit(&ring_) >= 0, "io_uring_submit");
      entry = io_uring_get_sqe(&ring_);
      Check(entry != nullptr, "io_uring_get_sqe");
    }
    return entry;
  }

  void Set(size_t timer, Nanoseconds value, unsigned int flags) {
    io_uring_sqe* const entry = Entry();
    __kernel_timespec* const spec = &specs_[specs_used_++];
    *spec = {.tv_sec = value / kSecond, .tv_nsec = value % kSecond};
    if (timers_[timer].armed) {
      io_uring_prep_timeout_update(entry, spec, timer, flags);
      entry->flags |= IOSQE_CQE_SKIP_SUCCESS;
      entry->user_data = kChange;
    } else {
      timers_[timer].armed = true;
      io_uring_prep_timeout(entry, spec, 0, flags);
      entry->user_data = timer;
    }
  }

  void Reap() {
    unsigned int head;
    unsigned int count = 0;
    io_uring_cqe* completion;
    io_uring_for_each_cqe(&ring_, head, completion) {
      ++count;
      if (completion->user_data == kChange) {
        // It would have to be set anew; no workload changes what is about to expire.
        Check(completion->res == 0, "a timeout of io_uring was not there to be changed");
      } else if (completion->res == -ETIME) {
        // One that expired before its removal came is not reported.
        if (timers_[completion->user_data].armed) Expired(completion->user_data);
      } else if (completion->user_data != kRemoval) {
        Check(completion->res == -ECANCELED, "a timeout of io_uring failed");
      }
    }
    io_uring_cq_advance(&ring_, count);
  }

  void Expired(size_t timer) {
    timers_[timer].armed = false;
    Fired(timer, 1);
    // Its own repetition (IORING_TIMEOUT_MULTISHOT) counts from the expiry, and drifts.
    if (interval_ != 0) ArmAt(timer, timers_[timer].next += interval_);
  }

  io_uring ring_;
  std::array<__kernel_timespec, kBatch> specs_;
  size_t specs_used_ = 0;
  Nanoseconds interval_ = 0;
  std::vector<Timer> timers_;
};

}  // namespace

std::unique_ptr<Way> MakeIoUring(Recorder* recorder) {
  return std::make_unique<IoUringWay>(recorder);
}

}  // namespace kevbench
