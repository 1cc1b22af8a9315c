// SPDX-License-Identifier: MIT
//
// lio_listio.  A list is an operation of its own; each of its members refers to it, and so does its
// caller as long as the call lasts.

#include <pthread.h>

#include <cerrno>

#include "core/aio/aiocb_access.h"
#include "core/base/notification.h"
#include "core/calls/aio_calls.h"
#include "core/descriptors/process_state.h"
#include "core/queue/notifier.h"
#include "core/system/signals_blocked.h"

namespace kevent::core {
namespace {

using Kind = sys::Transfer::Kind;
using List = aiocb* const*;

bool IsMember(const aiocb* control) {
  return control != nullptr && control->aio_lio_opcode != LIO_NOP;
}

Kind KindOf(const aiocb* control) {
  switch (control->aio_lio_opcode) {
    case LIO_READ:
      return Kind::kRead;
    case LIO_WRITE:
      return Kind::kWrite;
    default:
      return Kind::kNothing;
  }
}

void Drop(void* number) {
  const SignalsBlocked blocked;
  AioEngine::FinishMember(*static_cast<uint32_t*>(number));
}

// Waits for LIO_WAIT: 0, EINTR, or EIO if a member has failed.
int AwaitMembers(uint32_t number) {
  Operation& list = Operations::At(number);
  const auto done = [&list] { return list.missing.load(std::memory_order_seq_cst) == 1; };
  int result;
  pthread_cleanup_push(&Drop, &number);
  result = -Aio().Await(nullptr, done);
  pthread_cleanup_pop(0);
  if (result == 0 && list.failed.load(std::memory_order_relaxed) != 0) result = EIO;
  Drop(&number);
  return result;
}

bool Notifies(int mode, const sigevent* notification) {
  return mode == LIO_NOWAIT && notification != nullptr && notification->sigev_notify != SIGEV_NONE;
}

// Plans the list as an operation: the notification of the call, if any, is the only one.
int PlanList(int mode, const sigevent* notification, Operation* list) {
  sigevent none = {};
  none.sigev_notify = SIGEV_NONE;
  return PlanNotification(Notifies(mode, notification) ? *notification : none, list);
}

// A list of one that nobody waits for, and that is not notified, needs no record.
bool NeedsRecord(int mode, int count, const sigevent* notification) {
  return mode != LIO_NOWAIT || count != 1 || Notifies(mode, notification);
}

// Takes the record of the list, if the list needs one, before any of its operations begins: 0 or an
// errno.
int Prepare(int mode, List list, int count, const sigevent* notification, Call* call) {
  // An operation that has begun cannot be taken back for want of memory.
  if (const int error = Process::Start(); error != 0) return EAGAIN;
  // Entries that name no queue would be done with the process's descriptors.
  if (!Process::SharesTable()) return EBADF;
  if (!NeedsRecord(mode, count, notification)) return 0;
  uint32_t number;
  if (TakeOperation(&number) != 0) return EAGAIN;
  Operation& all = Operations::At(number);
  if (const int error = PlanList(mode, notification, &all); error != 0) {
    Operations::Free(number);
    return error;
  }
  all.type = KEVENT_LIO;
  all.event = KEVENT_LIO_DONE;
  all.id = reinterpret_cast<uint64_t>(list);
  all.list = 0;
  all.data[0] = 0;
  all.missing.store(1, std::memory_order_relaxed);
  all.failed.store(0, std::memory_order_relaxed);
  call->list = number + 1;
  return 0;
}

int StartAlone(aiocb* control, Call* call) {
  return IsMember(control) ? StartOperation(KindOf(control), control, 0, call) : 0;
}

// Begins the operations of a list that has a record, and waits for them where the mode says so.
int StartMembers(int mode, List list, int count, Call* call) {
  uint32_t number = call->list - 1;
  Operation& all = Operations::At(number);
  int refused = 0;
  uint32_t not_begun = 0;
  for (int i = 0; i < count; ++i) {
    if (!IsMember(list[i])) continue;
    all.missing.fetch_add(1, std::memory_order_relaxed);
    // A read is not done before the writes that it may have to wait for are known.
    if (KindOf(list[i]) == Kind::kRead && call->writes_later) not_begun += BeginLater(call);
    const int error = StartOperation(KindOf(list[i]), list[i], static_cast<uint32_t>(i), call);
    if (error == 0) {
      ++all.data[0];
    } else {
      refused = error;
      all.missing.fetch_sub(1, std::memory_order_relaxed);
    }
  }
  not_begun += BeginLater(call);
  if (not_begun != 0) {
    refused = EAGAIN;
    all.data[0] -= not_begun;
    all.missing.fetch_sub(not_begun, std::memory_order_relaxed);
  }
  if (mode == LIO_NOWAIT) {
    Drop(&number);
    return refused;
  }
  if (all.data[0] == 0 && refused != 0) {
    Drop(&number);
    return refused;
  }
  const int error = AwaitMembers(number);
  return error == 0 && refused != 0 ? EIO : error;
}

int StartPrepared(int mode, List list, int count, Call* call) {
  return call->list == 0 ? StartAlone(list[0], call) : StartMembers(mode, list, count, call);
}

}  // namespace

bool ListIsForEngine(int mode, aiocb* const list[], int count, const sigevent* notification) {
  const bool is_asked_for = (mode & KEVENT_AIO_ENGINE) != 0;
  mode &= ~KEVENT_AIO_ENGINE;
  if (mode != LIO_WAIT && mode != LIO_NOWAIT) return false;
  if (is_asked_for) return true;
  if (mode == LIO_NOWAIT && IsKeventNotification(notification)) return true;
  for (int i = 0; i < count; ++i) {
    if (IsMember(list[i]) && IsKeventNotification(&list[i]->aio_sigevent)) return true;
  }
  return false;
}

int StartList(int mode, aiocb* const list[], int count, const sigevent* notification) {
  mode &= ~KEVENT_AIO_ENGINE;
  Call call;
  const int error = Prepare(mode, list, count, notification, &call);
  return error != 0 ? error : StartPrepared(mode, list, count, &call);
}

int StartListBeside(int mode, aiocb* const list[], int count, sigevent* beside,
                    sigevent* notification) {
  Call call = {.beside = beside};
  const bool is_known = mode == LIO_WAIT || mode == LIO_NOWAIT;
  const int error = is_known ? Prepare(mode, list, count, notification, &call) : EINVAL;
  if (error == 0) return StartPrepared(mode, list, count, &call);
  for (int i = 0; i < count; ++i) call.TellNobodyOf(static_cast<uint32_t>(i));
  if (mode != LIO_WAIT && notification != nullptr) notification->sigev_notify = SIGEV_NONE;
  return error;
}

}  // namespace kevent::core
