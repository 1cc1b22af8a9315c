// SPDX-License-Identifier: MIT

#include "core/calls/transfer_calls.h"

#include <aio.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "core/descriptors/internal_descriptors.h"
#include "core/kevents/event_set.h"
#include "core/operations/operation.h"
#include "core/queue/notifier.h"
#include "core/queue/queue.h"
#include "core/queue/queues.h"
#include "core/system/system.h"

namespace kevent::core {
namespace {

constexpr unsigned kFlagsOfReceive =
    KEVENT_NAIO_SOME | MSG_DONTWAIT | MSG_NOSIGNAL | MSG_WAITALL | MSG_TRUNC;
constexpr unsigned kFlagsOfSend =
    MSG_DONTWAIT | MSG_NOSIGNAL | MSG_WAITALL | MSG_MORE | MSG_DONTROUTE | MSG_CONFIRM | MSG_EOR;
// Of the library's own, or nothing that its way to transfer would not do anyway.
constexpr unsigned kNotForKernel = KEVENT_NAIO_SOME | MSG_WAITALL;

unsigned FlagsFor(unsigned operation) {
  switch (operation) {
    case KEVENT_NAIO_RECV:
      return kFlagsOfReceive;
    case KEVENT_NAIO_SEND:
      return kFlagsOfSend;
    default:
      return 0;
  }
}

bool IsOfFile(const kevent_transfer& transfer) {
  return transfer.operation == KEVENT_NAIO_SENDFILE ||
         transfer.operation == KEVENT_NAIO_SENDFILE_PATH;
}

// 0 or an errno.
int Check(const kevent_transfer& transfer) {
  if (transfer.operation != KEVENT_NAIO_RECV && transfer.operation != KEVENT_NAIO_SEND &&
      !IsOfFile(transfer)) {
    return EINVAL;
  }
  if ((transfer.flags & ~FlagsFor(transfer.operation)) != 0) return EINVAL;
  if (IsInternal(transfer.socket)) return EBADF;
  if (!IsOfFile(transfer)) return 0;
  const auto most = static_cast<int64_t>(sys::Transfer::kMostBytes);
  return transfer.offset < 0 || transfer.offset > INT64_MAX - most ? EINVAL : 0;
}

void Describe(const kevent_transfer& transfer, Queue& queue, Operation* operation) {
  const size_t bytes = std::min(transfer.size, sys::Transfer::kMostBytes);
  operation->notify = Operation::Notify::kQueue;
  operation->notifies_in_vain = false;
  operation->queue = queue.number();
  operation->incarnation = queue.incarnation();
  operation->list = 0;
  operation->missing.store(0, std::memory_order_relaxed);
  operation->control.store(nullptr, std::memory_order_relaxed);
  operation->type = KEVENT_NAIO;
  operation->event = transfer.operation;
  operation->id = static_cast<uint32_t>(transfer.socket) | uint64_t{bytes} << 32;
  operation->cookie = reinterpret_cast<uint64_t>(transfer.cookie);
  operation->data[0] = operation->data[1] = 0;
  const bool receives = transfer.operation == KEVENT_NAIO_RECV;
  operation->transfer = {receives ? sys::Transfer::Kind::kRead : sys::Transfer::Kind::kWrite,
                         transfer.socket, transfer.buffer, bytes, transfer.offset};
  operation->moved = 0;
  operation->given_up = operation->reads_ahead = false;
  operation->flags = static_cast<int>(transfer.flags & ~kNotForKernel);
  const bool some = (transfer.flags & KEVENT_NAIO_SOME) != 0 && bytes != 0;  // none are all
  operation->ends = some ? Operation::Ends::kWithSome : Operation::Ends::kNotKnown;
  operation->source = -1;
  operation->source_is_ours = false;
  operation->reader = operation->socket = 0;
  operation->cached_end = 0;
}

int TakeOpenFile(int file, Operation* operation) {
  if (IsInternal(file)) return EBADF;
  int error;
  operation->source_file = sys::FileToSend(file, &error);
  operation->source = file;
  return -error;
}

int TakeFileAt(const char* path, Queue& queue, Operation* operation) {
  if (path == nullptr) return EFAULT;
  const int file =
      AdoptDescriptor(queue.number(), kRoleSource, [path] { return sys::OpenFile(path); });
  if (file < 0) return -file;
  int error;
  operation->source_file = sys::FileToSend(file, &error);
  operation->source = file;
  operation->source_is_ours = true;
  return 0;
}

// The file that is sent, and a record for reading it ahead: 0 or an errno.
int TakeFile(const kevent_transfer& transfer, Queue& queue, Operation* operation) {
  const int type = sys::SocketType(transfer.socket);
  if (type < 0) return -type;
  if (type != SOCK_STREAM) return EINVAL;  // a file is no message
  uint32_t reader;
  if (TakeOperation(&reader) != 0) return EAGAIN;
  const int error = transfer.operation == KEVENT_NAIO_SENDFILE
                        ? TakeOpenFile(transfer.file, operation)
                        : TakeFileAt(transfer.path, queue, operation);
  if (error != 0) {
    Operations::Free(reader);
    return error;
  }
  operation->reader = reader + 1;
  Operations::At(reader).transfer.offset = -1;  // nothing was read
  return 0;
}

// 0 and a record, or an errno.
int Prepare(const kevent_transfer& transfer, Queue& queue, uint32_t* number) {
  if (const int error = Check(transfer); error != 0) return error;
  if (TakeOperation(number) != 0) return EAGAIN;
  Operation& operation = Operations::At(*number);
  Describe(transfer, queue, &operation);
  const int error = IsOfFile(transfer) ? TakeFile(transfer, queue, &operation) : 0;
  if (error != 0) Operations::Free(*number);
  return error;
}

// Transfers that go into the queue's lock together.
constexpr unsigned kTogether = 64;

struct Prepared {
  uint32_t number;
  int error;
};

// Begins transfers under one hold of the queue's lock.  The kernel is told once for all of them
// that the queue has completions (WakeForNews).
unsigned BeginTogether(Queue& queue, unsigned count, const Prepared* prepared, int* errors) {
  unsigned begun = 0;
  uint32_t readers = 0;
  queue.WithTableAsIs([&](EventSet& set) {
    for (unsigned i = 0; i < count; ++i) {
      errors[i] =
          prepared[i].error != 0 ? prepared[i].error : set.BeginTransfer(prepared[i].number);
      begun += errors[i] == 0;
    }
    readers = set.TakeReadsAhead();
  });
  for (unsigned i = 0; i < count; ++i) {
    if (errors[i] != 0 && prepared[i].error == 0) Operations::Free(prepared[i].number);
  }
  if (readers != 0) BeginReadsAhead(readers);
  return begun;
}

void WakeForNews(Queue& queue) {
  if (queue.kevents() != nullptr && queue.kevents()->anything_new()) queue.Wake();
}

}  // namespace

int BeginTransfers(int queue_fd, unsigned count, kevent_transfer* transfers) {
  if (count > INT_MAX) return -EINVAL;
  if (count != 0 && transfers == nullptr) return -EFAULT;
  Queue* queue;
  if (const int error = Queues::Pin(queue_fd, &queue); error != 0) return -error;
  EventSet* set = queue->kevents();
  if (const int error = set == nullptr ? queue->OpenKevents(&set) : 0; error != 0) {
    queue->Unpin();
    return -EAGAIN;
  }
  unsigned begun = 0;
  for (unsigned first = 0; first < count; first += kTogether) {
    const unsigned part = std::min(count - first, kTogether);
    Prepared prepared[kTogether];
    int errors[kTogether];
    for (unsigned i = 0; i < part; ++i) {
      prepared[i].error = Prepare(transfers[first + i], *queue, &prepared[i].number);
    }
    begun += BeginTogether(*queue, part, prepared, errors);
    for (unsigned i = 0; i < part; ++i) transfers[first + i].error = errors[i];
  }
  WakeForNews(*queue);
  queue->Unpin();
  return static_cast<int>(begun);
}

int BeginTransfer(int queue_fd, kevent_transfer transfer) {
  const int result = BeginTransfers(queue_fd, 1, &transfer);
  return result < 0 ? result : -transfer.error;
}

int CancelTransfers(int queue_fd, int socket, void* const* cookie) {
  Queue* queue;
  if (const int error = Queues::Pin(queue_fd, &queue); error != 0) return -error;
  EventSet::Cancelled cancelled = {};
  if (queue->kevents() != nullptr) {
    const uint64_t wanted = cookie == nullptr ? 0 : reinterpret_cast<uint64_t>(*cookie);
    queue->WithTableAsIs([&](EventSet& set) {
      cancelled = set.CancelTransfers(socket, cookie == nullptr ? nullptr : &wanted);
    });
    WakeForNews(*queue);
  }
  queue->Unpin();
  if (cancelled.any_later) return AIO_NOTCANCELED;
  return cancelled.any ? AIO_CANCELED : AIO_ALLDONE;
}

}  // namespace kevent::core
