// SPDX-License-Identifier: MIT

#include "bench/aiobench/ways.h"

#include <aio.h>
#include <kevent/kevent.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#if KEVENT_HAVE_LIBURING
#include <liburing.h>
#endif

namespace aiobench {
namespace {

// ---- POSIX aio ------------------------------------------------------------------

class Controls {
 public:
  Controls(Transfer& transfer, const sigevent& notification)
      : transfer_(transfer), notification_(notification), controls_(transfer.job.depth) {}

  aiocb* Prepare(size_t slot) {
    aiocb* control = &controls_[slot];
    std::memset(control, 0, sizeof *control);
    control->aio_fildes = transfer_.fd();
    control->aio_buf = &transfer_.buffers[slot];
    control->aio_nbytes = kBlock;
    control->aio_offset = transfer_.Place(slot);
    control->aio_lio_opcode = Writes() ? LIO_WRITE : LIO_READ;
    control->aio_sigevent = notification_;
    control->aio_sigevent.sigev_value.sival_ptr = control;
    return control;
  }
  void Start(size_t slot) {
    aiocb* const control = Prepare(slot);
    Must((Writes() ? aio_write(control) : aio_read(control)) == 0,
         Writes() ? "aio_write" : "aio_read");
  }
  size_t Done(void* control) {
    const auto slot = static_cast<size_t>(static_cast<aiocb*>(control) - controls_.data());
    transfer_.Check(slot, aio_return(&controls_[slot]));
    return slot;
  }

  size_t count() const { return transfer_.job.count; }
  size_t depth() const { return transfer_.job.depth; }
  aiocb* at(size_t slot) { return &controls_[slot]; }

 private:
  bool Writes() const { return transfer_.job.operation == Operation::kWrite; }

  Transfer& transfer_;
  const sigevent notification_;
  std::vector<aiocb> controls_;
};

void ByQueue(Transfer& transfer, bool in_lists) {
  const int queue = kevent_init(nullptr, 0, 0);
  Must(queue >= 0, "kevent_init");
  sigevent notification;
  kevent_sigevent(&notification, queue, nullptr);
  Controls controls(transfer, notification);
  const size_t depth = controls.depth();
  std::vector<aiocb*> list(depth);
  std::vector<ukevent> events(depth);
  std::vector<size_t> free_slots(depth);
  size_t free_count = depth;
  for (size_t i = 0; i < depth; ++i) free_slots[i] = i;
  size_t started = 0;
  for (size_t done = 0; done < controls.count();) {
    size_t count = 0;
    for (; free_count != 0 && started < controls.count(); ++started) {
      const size_t slot = free_slots[--free_count];
      if (in_lists) {
        list[count++] = controls.Prepare(slot);
      } else {
        controls.Start(slot);
      }
    }
    if (count != 0) {
      Must(lio_listio(LIO_NOWAIT, list.data(), static_cast<int>(count), nullptr) == 0,
           "lio_listio");
    }
    const int collected =
        kevent_get_events(queue, 1, static_cast<unsigned int>(depth), nullptr, events.data(), 0);
    Must(collected > 0, "kevent_get_events");
    for (int i = 0; i < collected; ++i) {
      free_slots[free_count++] = controls.Done(events[static_cast<size_t>(i)].ptr);
    }
    done += static_cast<size_t>(collected);
  }
  close(queue);
}

void BySignal(Transfer& transfer) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGRTMIN);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  sigevent notification = {};
  notification.sigev_notify = SIGEV_SIGNAL;
  notification.sigev_signo = SIGRTMIN;
  Controls controls(transfer, notification);
  size_t started = 0;
  for (; started < controls.depth() && started < controls.count(); ++started) {
    controls.Start(started);
  }
  for (size_t done = 0; done < controls.count(); ++done) {
    siginfo_t info;
    // The kernel, taking down the io_uring of an earlier run, may interrupt it.
    while (sigwaitinfo(&signals, &info) == -1) Must(errno == EINTR, "sigwaitinfo");
    const size_t slot = controls.Done(info.si_value.sival_ptr);
    if (started >= controls.count()) continue;
    controls.Start(slot);
    ++started;
  }
}

// As fio and databases do.
void BySuspend(Transfer& transfer) {
  sigevent notification = {};
  notification.sigev_notify = SIGEV_NONE;
  Controls controls(transfer, notification);
  std::vector<const aiocb*> flying(controls.depth(), nullptr);
  size_t started = 0;
  for (; started < controls.depth() && started < controls.count(); ++started) {
    controls.Start(started);
    flying[started] = controls.at(started);
  }
  for (size_t done = 0; done < controls.count();) {
    const int woken = aio_suspend(flying.data(), static_cast<int>(flying.size()), nullptr);
    Must(woken == 0 || errno == EINTR, "aio_suspend");
    for (size_t slot = 0; slot < flying.size(); ++slot) {
      if (flying[slot] == nullptr || aio_error(flying[slot]) == EINPROGRESS) continue;
      controls.Done(controls.at(slot));
      flying[slot] = nullptr;
      ++done;
      if (started >= controls.count()) continue;
      controls.Start(slot);
      flying[slot] = controls.at(slot);
      ++started;
    }
  }
}

struct ThreadMailbox {
  std::mutex mutex;
  std::condition_variable arrived;
  std::vector<void*> done;
};
ThreadMailbox g_mailbox;

void ByThread(Transfer& transfer) {
  sigevent notification = {};
  notification.sigev_notify = SIGEV_THREAD;
  notification.sigev_notify_function = [](sigval control) {
    const std::lock_guard<std::mutex> lock(g_mailbox.mutex);
    g_mailbox.done.push_back(control.sival_ptr);
    g_mailbox.arrived.notify_one();
  };
  Controls controls(transfer, notification);
  size_t started = 0;
  for (; started < controls.depth() && started < controls.count(); ++started) {
    controls.Start(started);
  }
  std::vector<void*> taken;
  for (size_t done = 0; done < controls.count(); done += taken.size()) {
    taken.clear();
    {
      std::unique_lock<std::mutex> lock(g_mailbox.mutex);
      g_mailbox.arrived.wait(lock, [] { return !g_mailbox.done.empty(); });
      taken.swap(g_mailbox.done);
    }
    for (void* control : taken) {
      const size_t slot = controls.Done(control);
      if (started >= controls.count()) continue;
      controls.Start(slot);
      ++started;
    }
  }
}

// ---- A thread, bare -------------------------------------------------------------

// What no library can go below that has a thread do the operations and tells a descriptor that can
// be polled, as a queue can: the operations are handed over and handed back, and nothing is asked.
class BareThread {
 public:
  explicit BareThread(Transfer& transfer)
      : transfer_(transfer),
        done_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
        epoll_(epoll_create1(EPOLL_CLOEXEC)),
        thread_([this] { Run(); }) {
    epoll_event event = {.events = EPOLLIN | EPOLLET, .data = {}};
    Must(done_fd_ >= 0 && epoll_ctl(epoll_, EPOLL_CTL_ADD, done_fd_, &event) == 0, "epoll_ctl");
  }
  ~BareThread() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      ends_ = true;
    }
    begun_.notify_one();
    thread_.join();
    close(epoll_);
    close(done_fd_);
  }
  BareThread(const BareThread&) = delete;
  BareThread& operator=(const BareThread&) = delete;

  void Start(size_t slot) {
    const off_t place = transfer_.Place(slot);
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      to_do_.push_back({slot, place});
    }
    begun_.notify_one();
  }

  // Sleeps until one has ended.
  void Collect(std::vector<std::pair<size_t, ssize_t>>* ended) {
    for (ended->clear();;) {
      {
        const std::lock_guard<std::mutex> lock(mutex_);
        ended->swap(done_);
      }
      if (!ended->empty()) return;
      epoll_event event;
      Must(epoll_wait(epoll_, &event, 1, -1) == 1 || errno == EINTR, "epoll_wait");
    }
  }

 private:
  void Run() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      begun_.wait(lock, [this] { return ends_ || !to_do_.empty(); });
      if (to_do_.empty()) return;
      const auto [slot, place] = to_do_.front();
      to_do_.pop_front();
      lock.unlock();
      void* const buffer = &transfer_.buffers[slot];
      const ssize_t result = transfer_.job.operation == Operation::kWrite
                                 ? pwrite(transfer_.fd(), buffer, kBlock, place)
                                 : pread(transfer_.fd(), buffer, kBlock, place);
      lock.lock();
      done_.emplace_back(slot, result);
      // A collector that is awake takes it along.
      if (done_.size() == 1) Must(eventfd_write(done_fd_, 1) == 0, "eventfd_write");
    }
  }

  Transfer& transfer_;
  std::mutex mutex_;
  std::condition_variable begun_;
  std::deque<std::pair<size_t, off_t>> to_do_;
  std::vector<std::pair<size_t, ssize_t>> done_;
  bool ends_ = false;
  const int done_fd_;
  const int epoll_;
  std::thread thread_;
};

void ByBareThread(Transfer& transfer) {
  BareThread thread(transfer);
  size_t started = 0;
  for (; started < transfer.job.depth && started < transfer.job.count; ++started) {
    thread.Start(started);
  }
  std::vector<std::pair<size_t, ssize_t>> ended;
  for (size_t done = 0; done < transfer.job.count; done += ended.size()) {
    thread.Collect(&ended);
    for (const auto& [slot, result] : ended) {
      transfer.Check(slot, result);
      if (started >= transfer.job.count) continue;
      thread.Start(slot);
      ++started;
    }
  }
}

// ---- io_uring -------------------------------------------------------------------

#if KEVENT_HAVE_LIBURING
void ByRing(Transfer& transfer, bool in_batches) {
  const auto depth = static_cast<unsigned>(transfer.job.depth);
  const size_t all = transfer.job.count;
  io_uring ring;
  Must(io_uring_queue_init(depth, &ring, 0) == 0, "io_uring_queue_init");
  const auto add = [&](size_t slot) {
    io_uring_sqe* sqe = io_uring_get_sqe(&ring);
    const auto place = static_cast<uint64_t>(transfer.Place(slot));
    Buffer* const buffer = &transfer.buffers[slot];
    if (transfer.job.operation == Operation::kWrite) {
      io_uring_prep_write(sqe, transfer.fd(), buffer, kBlock, place);
    } else {
      io_uring_prep_read(sqe, transfer.fd(), buffer, kBlock, place);
    }
    sqe->user_data = slot;
    if (!in_batches) Must(io_uring_submit(&ring) == 1, "io_uring_submit");
  };
  size_t started = 0;
  for (; started < depth && started < all; ++started) add(started);
  std::vector<io_uring_cqe*> completed(depth);
  std::vector<size_t> slots(depth);
  for (size_t done = 0; done < all;) {
    Must(io_uring_submit_and_wait(&ring, 1) >= 0, "io_uring_submit_and_wait");
    const unsigned count = io_uring_peek_batch_cqe(&ring, completed.data(), depth);
    for (unsigned i = 0; i < count; ++i) {
      slots[i] = completed[i]->user_data;
      transfer.Check(slots[i], completed[i]->res);
    }
    io_uring_cq_advance(&ring, count);
    done += count;
    for (unsigned i = 0; i < count && started < all; ++i, ++started) add(slots[i]);
  }
  io_uring_queue_exit(&ring);
}
#endif

}  // namespace

bool HasRing() {
#if KEVENT_HAVE_LIBURING
  io_uring ring;
  if (io_uring_queue_init(1, &ring, 0) != 0) return false;
  io_uring_queue_exit(&ring);
  return true;
#else
  return false;
#endif
}

std::vector<Way> Ways() {
  std::vector<Way> ways = {
      {"libkevent, one by one", Kind::kQueue, [](Transfer& it) { ByQueue(it, false); }},
      {"libkevent, lio_listio", Kind::kQueueLists, [](Transfer& it) { ByQueue(it, true); }},
      {"sigwaitinfo", Kind::kLibrarys, BySignal},
      {"aio_suspend", Kind::kLibrarys, BySuspend},
      {"SIGEV_THREAD", Kind::kLibrarys, ByThread},
      {"a thread, bare", Kind::kFloor, ByBareThread},
  };
#if KEVENT_HAVE_LIBURING
  if (HasRing()) {
    ways.push_back({"io_uring, one by one", Kind::kRing, [](Transfer& it) { ByRing(it, false); }});
    ways.push_back(
        {"io_uring, in batches", Kind::kRingBatches, [](Transfer& it) { ByRing(it, true); }});
  }
#endif
  return ways;
}

}  // namespace aiobench
