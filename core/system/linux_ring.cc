// SPDX-License-Identifier: MIT
//
// The seam on Linux: io_uring, by a liburing that is loaded when the first
// operation needs it.

#include <cerrno>

#include "core/system/system.h"
#include "core/system/system_call.h"

#if KEVENT_HAVE_LIBURING

#include <dlfcn.h>
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <sys/uio.h>

#include <algorithm>
#include <atomic>

namespace kevent::sys {
namespace {

constexpr char kLibrary[] = "liburing.so.2";

// The functions that liburing.h does not define inline.
struct Liburing {
  decltype(&io_uring_queue_init_params) open;
  decltype(&io_uring_ring_dontfork) dontfork;
  decltype(&io_uring_queue_exit) close;
  decltype(&io_uring_submit) submit;
  decltype(&io_uring_wait_cqes) wait;
  decltype(&io_uring_peek_batch_cqe) peek;
};

// The functions that were found, all null without the library.  They stay where they are.
constinit std::atomic<const Liburing*> g_liburing{nullptr};
// The rings are made anew by the first operation of a child of fork.
io_uring g_ring;
io_uring g_read_ring;

io_uring& Get(Ring ring) { return ring == Ring::kOperations ? g_ring : g_read_ring; }

const Liburing& Library() { return *g_liburing.load(std::memory_order_acquire); }

template <typename Function>
bool Find(void* library, const char* name, Function* function) {
  *function = reinterpret_cast<Function>(dlsym(library, name));
  return *function != nullptr;
}

bool FindAll(Liburing* found) {
  void* library = dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    dlerror();  // the error is not the program's
    return false;
  }
  return Find(library, "io_uring_queue_init_params", &found->open) &&
         Find(library, "io_uring_ring_dontfork", &found->dontfork) &&
         Find(library, "io_uring_queue_exit", &found->close) &&
         Find(library, "io_uring_submit", &found->submit) &&
         Find(library, "io_uring_wait_cqes", &found->wait) &&
         Find(library, "io_uring_peek_batch_cqe", &found->peek);
}

// True if there is no descriptor or no memory for a library; false if a sandbox does not let a
// library be opened.
bool Lacking() {
  const long fd = Call(SYS_openat, AT_FDCWD, "/", O_PATH | O_CLOEXEC);
  if (fd >= 0) Close(static_cast<int>(fd));
  constexpr size_t kBytes = size_t{1} << 20;
  void* pages;
  const int error = MapPages(kBytes, OnFork::kKeep, &pages);
  if (error == 0) UnmapPages(pages, kBytes);
  return fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM || error == -ENOMEM;
}

// Looks for a symbol that Valgrind has loaded into the process before everything else: its headers
// may be missing where this is built.
bool RunsUnderValgrind() { return dlsym(RTLD_DEFAULT, "_vgnU_freeres") != nullptr; }

int Open(Ring which) {
  // Valgrind lets no other thread run while one sleeps in io_uring_enter (3.19; its bug 463859):
  // every thread would hang.
  if (RunsUnderValgrind()) return -ENOSYS;
  const Liburing* liburing = g_liburing.load(std::memory_order_acquire);
  if (liburing == nullptr || liburing->open == nullptr) return -ENOSYS;
  io_uring& ring = Get(which);
  io_uring_params parameters = {};
  parameters.flags = IORING_SETUP_CLAMP;
  const unsigned entries = which == Ring::kOperations ? kRingEntries : kReadsTogether;
  int result = liburing->open(entries, &ring, &parameters);
  if (result < 0) return result;
  // With these, no completion is lost when very many come at once; and a read without an offset is
  // one of a stream.
  constexpr unsigned kNeeded = IORING_FEAT_NODROP | IORING_FEAT_RW_CUR_POS;
  // The pages of the ring are the parent's: a child that writes to them confuses both.
  result = (parameters.features & kNeeded) != kNeeded ? -ENOSYS : liburing->dontfork(&ring);
  if (result == 0) return ring.ring_fd;
  liburing->close(&ring);
  return result;
}

// The kernel looks at the tail in a call that submits, and no thread makes one meanwhile.
void DropUnsubmitted(io_uring& ring) {
  const unsigned first = ring.sq.sqe_tail - io_uring_sq_ready(&ring);
  io_uring_smp_store_release(ring.sq.ktail, first);
  ring.sq.sqe_head = ring.sq.sqe_tail = first;
}

// Takes the results of completed reads into `results`, by their tokens.
unsigned TakeReads(int64_t* results) {
  io_uring_cqe* completed[kReadsTogether];
  const unsigned count = Library().peek(&g_read_ring, completed, kReadsTogether);
  for (unsigned i = 0; i < count; ++i) results[completed[i]->user_data] = completed[i]->res;
  io_uring_cq_advance(&g_read_ring, count);
  return count;
}

// Hands the reads to the kernel; returns the number that it has taken, or a negative errno.
int SubmitReads() {
  unsigned taken = 0;
  while (const unsigned left = io_uring_sq_ready(&g_read_ring)) {
    const int result = Library().submit(&g_read_ring);
    if (result < 0 && taken == 0) return result;
    if (result <= 0) break;
    taken += std::min(static_cast<unsigned>(result), left);
  }
  return static_cast<int>(taken);
}

// True if a call will succeed another time.
bool MayPass(int result) {
  return result >= 0 || result == -EINTR || result == -EAGAIN || result == -EBUSY ||
         result == -ENOMEM;
}

}  // namespace

int LoadRing() {
  const Liburing* known = g_liburing.load(std::memory_order_acquire);
  if (known != nullptr) return known->open != nullptr ? 0 : -ENOSYS;
  Liburing* found;
  if (MapPages(sizeof(Liburing), OnFork::kKeep, &found) < 0) return -EAGAIN;
  const ErrnoKept kept;
  bool any = FindAll(found);
  // The loader does not say why it fails.  If there are memory and descriptors now, it is asked
  // once more: they may have been missing before.
  const bool lacking = !any && Lacking();
  if (!any && !lacking) any = FindAll(found);
  if (!any) *found = {};
  if (lacking || !g_liburing.compare_exchange_strong(known, found)) {
    UnmapPages(found, sizeof(Liburing));
    return lacking ? -EAGAIN : LoadRing();
  }
  return any ? 0 : -ENOSYS;
}

int OpenRing(Ring ring) {
  const ErrnoKept kept;
  return Open(ring);
}

void RingMoved(Ring ring, int fd) { Get(ring).ring_fd = Get(ring).enter_ring_fd = fd; }

// liburing closes the number as well, which nobody has.
void ForgetRing(Ring ring) {
  const ErrnoKept kept;
  RingMoved(ring, -1);
  Library().close(&Get(ring));
}

bool RingAdd(const Transfer& transfer, uint64_t token) {
  io_uring_sqe* sqe = io_uring_get_sqe(&g_ring);
  if (sqe == nullptr) return false;
  const auto bytes = static_cast<unsigned>(transfer.bytes);
  const auto offset = static_cast<uint64_t>(transfer.offset);
  switch (transfer.kind) {
    case Transfer::Kind::kNothing:
    case Transfer::Kind::kReadAhead:  // is done in a thread
      io_uring_prep_nop(sqe);
      break;
    case Transfer::Kind::kRead:
      io_uring_prep_read(sqe, transfer.fd, transfer.buffer, bytes, offset);
      break;
    case Transfer::Kind::kWrite:
      io_uring_prep_write(sqe, transfer.fd, transfer.buffer, bytes, offset);
      break;
    case Transfer::Kind::kSync:
      io_uring_prep_fsync(sqe, transfer.fd, 0);
      break;
    case Transfer::Kind::kSyncData:
      io_uring_prep_fsync(sqe, transfer.fd, IORING_FSYNC_DATASYNC);
      break;
  }
  // The call that submits would copy a transfer of the page cache itself.
  if (transfer.bytes > Transfer::kMostAtOnce && transfer.offset != Transfer::kStream) {
    sqe->flags |= IOSQE_ASYNC;
  }
  sqe->user_data = token;
  return true;
}

int RingSubmit() {
  const ErrnoKept kept;
  const int result = Library().submit(&g_ring);
  if (!MayPass(result)) return result;
  return io_uring_sq_ready(&g_ring) == 0 ? 0 : -EAGAIN;
}

unsigned RingTakeOut(uint64_t (&tokens)[kRingEntries]) {
  const unsigned count = io_uring_sq_ready(&g_ring);
  const unsigned first = g_ring.sq.sqe_tail - count;
  for (unsigned i = 0; i < count; ++i) {
    tokens[i] = g_ring.sq.sqes[(first + i) & *g_ring.sq.kring_mask].user_data;
  }
  DropUnsubmitted(g_ring);
  return count;
}

int ReadTogether(const Transfer* reads, unsigned count, int64_t* results) {
  for (unsigned i = 0; i < count; ++i) {
    io_uring_sqe* sqe = io_uring_get_sqe(&g_read_ring);
    io_uring_prep_read(sqe, reads[i].fd, reads[i].buffer, static_cast<unsigned>(reads[i].bytes),
                       static_cast<uint64_t>(reads[i].offset));
    sqe->rw_flags = RWF_NOWAIT;
    sqe->user_data = i;
    results[i] = -EAGAIN;
  }
  const ErrnoKept kept;
  const int taken = SubmitReads();
  DropUnsubmitted(g_read_ring);
  // The reads have completed in that call, unless the file was made an O_DIRECT one meanwhile.
  for (int left = taken; left > 0;) {
    left -= static_cast<int>(TakeReads(results));
    io_uring_cqe* one;
    if (left > 0) Library().wait(&g_read_ring, &one, 1, nullptr, nullptr);
  }
  return MayPass(taken) ? 0 : taken;
}

namespace {

// Waits with a timeout, if the kernel takes one (5.11); otherwise by a poll of the ring's
// descriptor.  That may be a stranger's by now, which must not be slept on.
int WaitForAWhile(io_uring_cqe** completed) {
  constexpr __s64 kSeconds = 1;
  if ((g_ring.features & IORING_FEAT_EXT_ARG) != 0) {
    __kernel_timespec while_idle = {kSeconds, 0};
    const int result = Library().wait(&g_ring, completed, 1, &while_idle, nullptr);
    return result == -ETIME ? -ETIMEDOUT : result;
  }
  if (!IsMarked(g_ring.ring_fd)) return -EBADF;
  pollfd ring = {g_ring.ring_fd, POLLIN, 0};
  const timespec while_idle = {kSeconds, 0};
  const int ready = CallInt(SYS_ppoll, &ring, 1, &while_idle, nullptr, 0);
  return ready == 0 ? -ETIMEDOUT : ready == -EINTR ? 0 : std::min(ready, 0);
}

int Wait(Sleep sleep, io_uring_cqe** completed) {
  switch (sleep) {
    case Sleep::kNot:
      return 0;
    case Sleep::kForAWhile:
      return WaitForAWhile(completed);
    case Sleep::kUntilSomething:
      break;
  }
  return Library().wait(&g_ring, completed, 1, nullptr, nullptr);
}

}  // namespace

int RingTake(RingResult* results, unsigned max, Sleep sleep) {
  constexpr unsigned kMost = 64;
  io_uring_cqe* completed[kMost];
  const ErrnoKept kept;
  const int result = Wait(sleep, completed);
  const unsigned count = result < 0 ? 0 : Library().peek(&g_ring, completed, std::min(max, kMost));
  for (unsigned i = 0; i < count; ++i) {
    results[i] = {completed[i]->user_data, completed[i]->res};
  }
  io_uring_cq_advance(&g_ring, count);
  return MayPass(result) ? static_cast<int>(count) : result;
}

}  // namespace kevent::sys

#else

namespace kevent::sys {

int LoadRing() { return -ENOSYS; }
int OpenRing(Ring) { return -ENOSYS; }
void RingMoved(Ring, int) {}
void ForgetRing(Ring) {}
int ReadTogether(const Transfer*, unsigned, int64_t*) { return -ENOSYS; }
bool RingAdd(const Transfer&, uint64_t) { return false; }
int RingSubmit() { return -ENOSYS; }
unsigned RingTakeOut(uint64_t (&)[kRingEntries]) { return 0; }
int RingTake(RingResult*, unsigned, Sleep) { return -ENOSYS; }

}  // namespace kevent::sys

#endif
