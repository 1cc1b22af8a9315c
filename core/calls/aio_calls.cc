// SPDX-License-Identifier: MIT
//
// The library has the C library's errors, and reports the same ones by the call and by the
// completion.

#include "core/calls/aio_calls.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "core/aio/aiocb_access.h"
#include "core/base/probe.h"
#include "core/base/timespec.h"
#include "core/descriptors/internal_descriptors.h"
#include "core/descriptors/process_state.h"
#include "core/queue/notifier.h"
#include "core/system/system.h"

namespace kevent::core {
namespace {

using Kind = sys::Transfer::Kind;

constexpr int64_t kLater = INT64_MIN;
constexpr int64_t kWithOthers = INT64_MIN + 1;  // in Call::reads

// Threads of real-time scheduling come before others in a line (POSIX 2.8.2).
void PutInLine(Operation* operation) {
  operation->in_line = true;
  operation->priority += sys::ThreadPriority();
}

// A transfer that is not to wait (O_NONBLOCK) is done at once: an io_uring would have it wait.
int64_t StreamAtOnce(Operation* operation, int flags) {
  operation->transfer.offset = sys::Transfer::kStream;
  if ((flags & O_NONBLOCK) != 0) return sys::PerformWithoutSignals(operation->transfer);
  PutInLine(operation);
  return kLater;
}

// Decides, for a transfer that its call does not do, which threads do it and in which order; or
// does it, if the file is one that is not to be waited for.
int64_t ByNature(Operation* operation, int flags) {
  const sys::Nature nature = sys::NatureOf(operation->transfer, flags);
  operation->blocks |= !nature.is_for_ring;
  if (nature.is_stream) return StreamAtOnce(operation, flags);
  operation->takes_turns = nature.excludes_others;
  if (operation->transfer.kind == Kind::kWrite && (flags & O_APPEND) != 0) PutInLine(operation);
  return kLater;
}

// The part of a transfer that a call may do while it holds up its caller.
sys::Transfer PartAtOnce(const sys::Transfer& transfer) {
  sys::Transfer part = transfer;
  part.bytes = std::min(part.bytes, sys::Transfer::kMostAtOnce);
  return part;
}

// A read at once has ended with `result`: returns the operation's result, or kLater.
int64_t AfterRead(Operation* operation, int64_t result) {
  const sys::Transfer& transfer = operation->transfer;
  // The data are not there, the file cannot tell, or a sandbox forbids the call; a plain read says
  // more.
  const bool refused = result == -EOPNOTSUPP || result == -ENOSYS || result == -EPERM;
  if (result == -EAGAIN || refused) return kLater;
  if (result == 0 && transfer.bytes == 0) {
    // A read of no bytes from a directory is an error in a call that may block.
    operation->blocks = true;
    return kLater;
  }
  // Linux 5.9 and 5.10 answer 0 for data that are not there yet as well.
  if (result == 0 && sys::EndsBefore(transfer)) return kLater;
  // Fewer bytes were read: the file has ended, some were not there, or it would hold the caller for
  // long.
  if (result <= 0 || static_cast<size_t>(result) == transfer.bytes) return result;
  operation->moved = static_cast<size_t>(result);
  return kLater;
}

// Reads data of a file that are there already: returns the number of bytes or a negative errno, or
// kLater if the read would block or is not of such a file.
int64_t ReadAtOnce(Operation* operation, Call* call) {
  const sys::Transfer& transfer = operation->transfer;
  // Without the page cache a read would wait for the device (RWF_NOWAIT does not prevent that).
  if (transfer.bytes > sys::Transfer::kMostBytes || (call->status_flags & O_DIRECT) != 0 ||
      Aio().IsBeingWritten(transfer)) {
    return ByNature(operation, call->status_flags);
  }
  if (call->has_places && call->list != 0) return kWithOthers;
  int64_t result = sys::ReadAtOnce(PartAtOnce(transfer));
  if (result != -ESPIPE) result = AfterRead(operation, result);
  if (result == -ESPIPE || result == kLater) result = ByNature(operation, call->status_flags);
  call->has_places = transfer.offset != sys::Transfer::kStream;
  return result;
}

// The status flags of a descriptor that the program has open, or -EBADF: not of a number that the
// engine keeps for itself.
int FlagsOf(int fd) { return IsInternal(fd) ? -EBADF : sys::StatusFlags(fd); }

int64_t TransferAtOnce(Operation* operation, Call* call) {
  sys::Transfer& transfer = operation->transfer;
  if (transfer.offset < 0) return -EINVAL;
  if (call->fd != transfer.fd) {
    const int flags = FlagsOf(transfer.fd);
    if (flags < 0) return flags;
    call->fd = transfer.fd;
    call->status_flags = flags;
    call->has_places = false;
  }
  if (transfer.bytes > SSIZE_MAX) return sys::Perform(transfer);  // answers with the right error
  // If there are more bytes than the buffer can have, the address is the error, which an io_uring
  // does not see: it takes a count of 32 bits.
  if (transfer.bytes > sys::Transfer::kMostBytes) operation->blocks = true;
  return transfer.kind == Kind::kRead ? ReadAtOnce(operation, call)
                                      : ByNature(operation, call->status_flags);
}

int64_t AtOnce(Operation* operation, Call* call) {
  switch (operation->transfer.kind) {
    case Kind::kNothing:
      return -EINVAL;  // a list's entry with an opcode that does not exist
    case Kind::kRead:
    case Kind::kWrite:
      return TransferAtOnce(operation, call);
    case Kind::kSync:
    case Kind::kSyncData:
    case Kind::kReadAhead:
      break;
  }
  return kLater;
}

// Fails the call, and stores the error in the control block, too.
int Refuse(aiocb* control, uint32_t member, const Call& call, int error) {
  call.TellNobodyOf(member);
  control->__return_value = -1;
  control->__error_code = error;
  return error;
}

// Gives the record back, as the operation could not begin.
int TakeBack(uint32_t number, const Call& call) {
  Operation& operation = Operations::At(number);
  aiocb* control = operation.control.exchange(nullptr, std::memory_order_relaxed);
  const uint32_t member = operation.member;
  Operations::Free(number);
  return Refuse(control, member, call, EAGAIN);
}

}  // namespace

void DoReads(Call* call) {
  if (call->reads_count == 0) return;
  sys::Transfer transfers[sys::kReadsTogether];
  int64_t results[sys::kReadsTogether];
  unsigned count = 0;
  for (uint32_t link = call->reads.first; link != 0;
       link = Operations::At(link - 1).next.load(std::memory_order_relaxed)) {
    transfers[count++] = PartAtOnce(Operations::At(link - 1).transfer);
  }
  AioEngine& engine = Aio();
  engine.reads().AtOnce(transfers, count, results);
  IoOrdering::Runnable done;
  for (unsigned i = 0; i < count; ++i) {
    const uint32_t number = call->reads.Take() - 1;
    Operation& operation = Operations::At(number);
    int64_t result = AfterRead(&operation, results[i]);
    if (result == kLater) result = ByNature(&operation, sys::StatusFlags(operation.transfer.fd));
    if (result == kLater) {
      call->later.Append(number);
    } else {
      AioEngine::SetResult(&operation, result);
      done.Append(number);
    }
  }
  engine.Finish(&done);
  call->reads_count = 0;
}

uint32_t BeginLater(Call* call) {
  DoReads(call);
  if (call->later.first == 0) return 0;
  IoOrdering::Runnable refused;
  Aio().BeginAll(&call->later, &refused);
  call->writes_later = false;
  uint32_t count = 0;
  while (const uint32_t link = refused.Take()) {
    TakeBack(link - 1, *call);
    ++count;
  }
  return count;
}

int StartOperation(Kind kind, aiocb* control, uint32_t member, Call* call) {
  if (control->aio_reqprio < 0 || control->aio_reqprio > kMaxPriorityDelta) {
    return Refuse(control, member, *call, EINVAL);
  }
  uint32_t number;
  if (TakeOperation(&number) != 0) return Refuse(control, member, *call, EAGAIN);
  Operation& operation = Operations::At(number);
  const int error = PlanNotification(call->NotificationOf(control, member), &operation);
  if (error != 0) {
    Operations::Free(number);
    return Refuse(control, member, *call, error);
  }
  operation.member = member;
  operation.type = KEVENT_AIO;
  operation.event = KEVENT_AIO_BIO;
  operation.id = reinterpret_cast<uint64_t>(control);
  operation.list = call->list;
  operation.begun = false;
  operation.given_up = false;
  operation.file_lost = false;
  operation.blocks = false;
  operation.pooled = false;
  operation.uncertain = false;
  operation.by_thread = false;
  operation.in_line = false;
  operation.takes_turns = operation.has_turn = false;
  operation.priority = -control->aio_reqprio;
  operation.transfer = {kind, control->aio_fildes, const_cast<void*>(control->aio_buf),
                        control->aio_nbytes, control->aio_offset};
  operation.moved = 0;
  operation.file = 0;
  operation.uses.store(operation.uses.load(std::memory_order_relaxed) + 1,
                       std::memory_order_relaxed);
  operation.control.store(control, std::memory_order_release);
  Mark(control, number);
  control->__return_value = 0;
  std::atomic_ref(control->__error_code).store(EINPROGRESS, std::memory_order_release);

  KEVENT_PROBE(aio_begin, control, control->aio_fildes, control->aio_offset, control->aio_nbytes);
  AioEngine& engine = Aio();
  const int64_t result = AtOnce(&operation, call);
  if (result == kWithOthers) {
    call->reads.Append(number);
    if (++call->reads_count == sys::kReadsTogether) DoReads(call);
    return 0;
  }
  DoReads(call);  // the reads that were asked for before this operation
  if (result != kLater) {
    AioEngine::SetResult(&operation, result);
    IoOrdering::Runnable done;
    done.Append(number);
    engine.Finish(&done);
    return 0;
  }
  if (call->list != 0) {
    call->later.Append(number);
    call->writes_later |= kind == Kind::kWrite;
    return 0;
  }
  return engine.Begin(number) == 0 ? 0 : TakeBack(number, *call);
}

int StartRead(aiocb* control) {
  Call call;
  return StartOperation(Kind::kRead, control, 0, &call);
}

int StartWrite(aiocb* control) {
  Call call;
  return StartOperation(Kind::kWrite, control, 0, &call);
}

int StartSync(int operation, aiocb* control) {
  return StartSyncBeside(operation, control, control->aio_sigevent);
}

int StartSyncBeside(int operation, aiocb* control, sigevent notification) {
  operation &= ~KEVENT_AIO_ENGINE;
  if (const int error = Process::Start(); error != 0) return EAGAIN;
  if (!Process::SharesTable() || FlagsOf(control->aio_fildes) < 0) return EBADF;
  control->aio_reqprio = 0;  // a value out of range is no error, either
  Call call = {.beside = &notification};
  return StartOperation(operation == O_SYNC ? Kind::kSync : Kind::kSyncData, control, 0, &call);
}

// ---- What is in flight --------------------------------------------------------------

bool IsOurs(const aiocb* control) {
  if (control == nullptr || !InProgress(control)) return false;
  const Operation* operation = MarkedBy(control);
  if (operation == nullptr) return false;
  if (operation->control.load(std::memory_order_seq_cst) == control) return true;
  // The operation may just be ending: no longer the library's, and still in progress.
  if (AioEngine::any_in_flight()) Aio().AwaitRetired();
  return false;
}

bool AnyPending(int fd) {
  return Operations::Find(0) != nullptr && Process::SharesTable() && Aio().IsInUse(fd);
}

int CancelOperations(int fd, const aiocb* control) {
  // No operation is in flight; and in a process without a queue there is no engine either.
  if (Operations::Find(0) == nullptr) return AIO_ALLDONE;
  // The descriptor is the thread's own, and the operations are the process's, which such a thread
  // leaves alone: cancelling one may begin the next, and make a thread.
  if (!Process::SharesTable()) return control == nullptr ? AIO_ALLDONE : AIO_NOTCANCELED;
  return Aio().Cancel(fd, control);
}

void LosesDescriptors(unsigned first, unsigned last) {
  // A child of vfork closes in its own table of descriptors.
  if (!Process::Owns() || Operations::Find(0) == nullptr) return;
  Aio().Lose(first, last);
}

bool IsTheEngines(int fd) {
  return Registry::Get(fd).is_internal() && Process::Owns() && IsInternal(fd);
}

bool AnyOurs(const aiocb* const list[], int count) {
  for (int i = 0; i < count; ++i) {
    if (IsOurs(list[i])) return true;
  }
  return false;
}

namespace {

// A sum over the library's operations of a list: another one, as good as always, when one of them
// has ended, even if its control block was begun anew since.  0 if there is none.
uint64_t SumOfOurs(const aiocb* const list[], int count) {
  uint64_t sum = 0;
  for (int i = 0; i < count; ++i) {
    if (!IsOurs(list[i])) continue;
    const Operation* const operation = MarkedBy(list[i]);
    if (operation == nullptr) continue;
    const uint64_t use = uint64_t{Operations::NumberOf(*operation) + 1} << 32 |
                         operation->uses.load(std::memory_order_relaxed);
    // Bits of all places, by the multiplication of SplitMix64.
    const uint64_t mixed = (use ^ use >> 30) * 0xbf58476d1ce4e5b9;
    sum += mixed ^ mixed >> 27;
  }
  return sum;
}

bool AnyDone(const aiocb* const list[], int count) {
  for (int i = 0; i < count; ++i) {
    if (list[i] != nullptr && !InProgress(list[i])) return true;
  }
  return false;
}

bool AnyOthers(const aiocb* const list[], int count) {
  for (int i = 0; i < count; ++i) {
    if (list[i] != nullptr && InProgress(list[i]) && !IsOurs(list[i])) return true;
  }
  return false;
}

constexpr timespec kSlice = {0, 1'000'000};

}  // namespace

int SuspendFor(const aiocb* const list[], int count, const timespec* timeout, Suspend others) {
  if (timeout != nullptr && !IsValid(*timeout)) return AnyDone(list, count) ? 0 : EAGAIN;
  Nanoseconds now = 0;
  sys::Now(CLOCK_MONOTONIC, &now);
  const Nanoseconds end =
      timeout == nullptr ? kLatest : AddSaturating(now, ToNanoseconds(*timeout));
  const timespec deadline = ToTimespec(end);
  // An operation that was the library's and is no longer has ended, even if its control block was
  // begun anew since: no completion would wake this thread for it.
  const uint64_t ours = SumOfOurs(list, count);
  if (ours == 0) return 0;
  const auto done = [=] { return AnyDone(list, count) || SumOfOurs(list, count) != ours; };
  // The C library's operations are waited for in slices, with a look at the library's own in
  // between: a completion of one library wakes no sleeper of the other.
  while (AnyOthers(list, count) && others != nullptr && AnyOurs(list, count)) {
    const aiocb* theirs[1];
    bool slept = false;
    for (int i = 0; i < count && !done(); ++i) {
      if (list[i] == nullptr || !InProgress(list[i]) || IsOurs(list[i])) continue;
      theirs[0] = list[i];
      const int before = errno;
      const bool returned_at_once = others(theirs, 1, &kSlice) == 0;
      if (!returned_at_once && errno != EAGAIN) return errno;
      errno = before;
      slept |= !returned_at_once;
    }
    if (done()) return 0;
    sys::Now(CLOCK_MONOTONIC, &now);
    if (now >= end) return EAGAIN;
    // The C library does not wait for what it does not know, as the copy of a block of ours.
    if (!slept) {
      const timespec slice_end = ToTimespec(AddSaturating(now, ToNanoseconds(kSlice)));
      const int result = Aio().Await(&slice_end, done);
      if (result == 0) return 0;
      if (result != -ETIMEDOUT) return -result;
    }
  }
  const int result = Aio().Await(timeout == nullptr ? nullptr : &deadline, done);
  return result == -ETIMEDOUT ? EAGAIN : -result;
}

}  // namespace kevent::core
