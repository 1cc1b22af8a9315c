// SPDX-License-Identifier: MIT
//
// KEVENT_NAIO: transfers on sockets.  kevent_ctl does not take this type: a record is a socket, and
// has two lines of operations, one for each direction, which are done in order.  epoll reports the
// socket (level-triggered), the harvest of the collector does what can be done without waiting, and
// an operation that has ended is a completion of the queue.

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "core/descriptors/internal_descriptors.h"
#include "core/kevents/epoll_members.h"
#include "core/kevents/event_set.h"
#include "core/kevents/watched_fds.h"
#include "core/sources/transfer_ends.h"
#include "core/sources/transfer_line.h"
#include "core/system/signals_blocked.h"
#include "core/system/system.h"
#include "core/transfers/advancing.h"

namespace kevent::core {
namespace {

// An operation counts as so many bytes more, lest a line of small ones take long.
constexpr size_t kCall = 1024;

bool NamesNoSocket(const Operation& operation) {
  return operation.data[1] == ENOTSOCK || operation.data[1] == EBADF;
}

// The kernel tells an error of a connection once (SO_ERROR, socket(7)), and then a stream seems to
// have ended.  True for those, and false for what is wrong with one transfer.
bool BreaksConnection(const Operation& operation) {
  const uint32_t error = operation.data[1];
  if (error == 0 || error == EFAULT || error == ENOMEM || error == ENOBUFS || error == EINVAL) {
    return false;
  }
  const int type = sys::SocketType(operation.transfer.fd);
  return type == SOCK_STREAM || type == SOCK_SEQPACKET;
}

// ---- The source -------------------------------------------------------------------

// The events that epoll watches the socket for, which the record has in `clock`; 0: it is muted.
uint32_t Interest(const Kevent& record) { return static_cast<uint32_t>(record.clock); }

void SetInterest(Kevent& record, uint32_t events) { record.clock = static_cast<int>(events); }

// The closings of the number before it was watched are kept in `found_data`.
void NoteClosings(Kevent& record) {
  record.found_data[0] = WatchedFds::Closings(static_cast<int>(record.key.id));
}

// True if the number is still that of the socket that is watched, as far as calls of close tell.
bool IsSameSocket(const Kevent& record, uint32_t queue) {
  return WatchedFds::Is(static_cast<int>(record.key.id), queue, record.found_data[0]);
}

uint32_t ReadinessOf(Direction line) { return line == kIn ? EPOLLIN : EPOLLOUT; }

uint32_t OrMuted(uint32_t events) { return events == 0 ? kMuted : events; }

uint32_t WantedBy(const Kevent& record) {
  const uint32_t out = First(record, kOut);
  const bool sends = out != 0 && !Operations::At(out - 1).reads_ahead;
  return (First(record, kIn) != 0 ? EPOLLIN : 0u) | (sends ? EPOLLOUT : 0u);
}

int WatchAnew(EventSet& set, uint32_t number, uint32_t events) {
  SetInterest(set.At(number), events);
  return set.Rewatch(number, OrMuted(events));
}

int SetWanted(EventSet& set, uint32_t number, uint32_t events) {
  return Interest(set.At(number)) == events ? 0 : WatchAnew(set, number, events);
}

int Attach(EventSet& set, uint32_t number, const ukevent&) {
  Kevent& record = set.At(number);
  record.handle = 0;
  SetInterest(record, record.event);
  const int fd = static_cast<int>(record.key.id);
  NoteClosings(record);
  // The socket counts before it is watched: a thread that closes it and finds that it was watched
  // looks then if there are any (EventSet::UnwatchFd).
  set.ListSocket(number);
  const int result = set.Watch(number, fd, OrMuted(record.event));
  if (result < 0) set.UnlistSocket(number);
  return result;
}

// The socket was closed unseen, if there is anything in its lines.
void Detach(EventSet& set, uint32_t number) {
  Kevent& record = set.At(number);
  if (record.handle != 0) {
    EndAll(set, record);
    set.set_took_back();
  }
  set.UnlistSocket(number);
  set.Unwatch(number);
}

void Drop(EventSet& set, uint32_t number) {
  EndAll(set, set.At(number));
  set.Leave(number);
}

// After operations were done, or there were none: asks for what is waited for now.  A socket that
// has just received goes on being watched for input, since a program that receives goes on
// receiving; when it is reported in vain, it is watched no more.
void Settle(EventSet& set, uint32_t number, bool any_done) {
  Kevent& record = set.At(number);
  uint32_t wanted = WantedBy(record);
  if (any_done) wanted |= Interest(record) & EPOLLIN;
  if (wanted == 0 && record.handle == 0) {
    set.Leave(number);
  } else if (SetWanted(set, number, wanted) < 0) {
    Drop(set, number);  // the number is another file's by now
  }
}

// In a full batch the socket waits for the next, for which epoll reports it again.
bool Harvest(EventSet& set, Kevent& record, uint32_t epoll_events) {
  if (set.transfers().is_full()) {
    set.transfers().LeaveUnfinished();
    return false;
  }
  const bool ends = (epoll_events & (EPOLLERR | EPOLLHUP)) != 0;
  const uint32_t number = set.NumberOf(record);
  set.RunTransfers(number, ends || (epoll_events & EPOLLIN) != 0,
                   ends || (epoll_events & EPOLLOUT) != 0);
  return false;
}

void FreeAll(const Kevent& record, Direction line) {
  for (uint32_t link = First(record, line); link != 0;) {
    const uint32_t number = link - 1;
    Operation& operation = Operations::At(number);
    link = operation.next.load(std::memory_order_relaxed);
    if (operation.reads_ahead) {
      Transfers::LetGo(number);
      continue;
    }
    if (operation.reader != 0) Operations::Free(operation.reader - 1);
    Operations::Free(number);
  }
}

void Forget(EventSet& set, uint32_t number) {
  FreeAll(set.At(number), kIn);
  FreeAll(set.At(number), kOut);
}

}  // namespace

// ---- The set ------------------------------------------------------------------------

void EventSet::ListSocket(uint32_t number) {
  Kevent& record = At(number);
  record.same_before = 0;
  record.next_watch = transfers_.first_socket_;
  if (record.next_watch != 0) At(record.next_watch - 1).same_before = number + 1;
  transfers_.first_socket_ = number + 1;
  transfers_.sockets_.fetch_add(1, std::memory_order_seq_cst);
}

void EventSet::UnlistSocket(uint32_t number) {
  const Kevent& record = At(number);
  if (record.next_watch != 0) At(record.next_watch - 1).same_before = record.same_before;
  uint32_t& link =
      record.same_before == 0 ? transfers_.first_socket_ : At(record.same_before - 1).next_watch;
  link = record.next_watch;
  transfers_.sockets_.fetch_sub(1, std::memory_order_seq_cst);
}

// Does operations of one line as far as they do not wait: true if there were any.
bool EventSet::RunLine(uint32_t number, bool in) {
  Kevent& record = At(number);
  const Direction line = in ? kIn : kOut;
  size_t turn = kTurn;
  bool any = false;
  while (const uint32_t link = First(record, line)) {
    Operation& operation = Operations::At(link - 1);
    if (operation.reads_ahead) return any;
    if (turn == 0) {
      transfers_.LeaveUnfinished();
      return true;
    }
    any = true;
    const size_t before = turn;
    Advanced state = Advance(transfers_, operation, &turn);
    // Reported in vain: epoll would go on reporting the socket of messages that shutdown has ended.
    const bool in_vain = in && state == Advanced::kWaits && turn == before;
    if (in_vain && sys::HasEndedForReceipts(operation.transfer.fd)) state = Advanced::kEnded;
    turn -= std::min(turn, kCall);
    transfers_.CountMoved(before - turn);
    if (state == Advanced::kReads) ReadAhead(link - 1);
    if (state == Advanced::kWaits && turn == 0) continue;
    if (state != Advanced::kEnded) return true;
    TakeOut(record, line, 0, link);
    const uint32_t error = in && BreaksConnection(operation) ? operation.data[1] : 0;
    End(*this, link - 1);
    if (error != 0) EndReceipts(*this, record, error);
  }
  return any;
}

EventSet::TransferCounts EventSet::CountTransfers() {
  TransferCounts counts = {};
  for (uint32_t link = transfers_.first_socket_; link != 0; link = At(link - 1).next_watch) {
    ++counts.sockets;
    for (const Direction line : {kIn, kOut}) {
      for (uint32_t next = First(At(link - 1), line); next != 0; ++counts.in_flight) {
        next = Operations::At(next - 1).next.load(std::memory_order_relaxed);
      }
    }
  }
  return counts;
}

// The number must not be closed, and given to another file, while the transfers are done: a thread
// that is about to close it clears its entry in WatchedFds, and then waits until no thread probes.
// Requires blocked signals, and a batch.
void EventSet::RunTransfers(uint32_t number, bool in, bool out) {
  probing_.fetch_add(1, std::memory_order_seq_cst);
  const bool is_watched = IsSameSocket(At(number), queue_->number());
  bool any = is_watched && in && RunLine(number, true);
  if (is_watched && out) any |= RunLine(number, false);
  probing_.fetch_add(1, std::memory_order_seq_cst);
  if (is_watched) {
    Settle(*this, number, any);
  } else {
    Drop(*this, number);
  }
}

void EventSet::DropIfClosed(uint32_t number) {
  if (!IsSameSocket(At(number), queue_->number())) Drop(*this, number);
}

void EventSet::DropClosedSockets() {
  const bool any_more = transfers_.TakeLost([this](int fd) {
    const uint32_t link = table_.FirstById(KEVENT_NAIO, static_cast<uint32_t>(fd));
    if (link != 0) DropIfClosed(link - 1);
  });
  if (!any_more) return;
  for (uint32_t link = transfers_.first_socket_; link != 0;) {
    const uint32_t number = link - 1;
    link = At(number).next_watch;
    DropIfClosed(number);
  }
}

void EventSet::HarvestTransfers() {
  const SignalsBlocked blocked;
  DropClosedSockets();
  TakeReaders();
}

// ---- Beginning and cancelling ---------------------------------------------------------

// The record of a socket, plus one; 0: there is none.  One whose number was closed since is
// dropped.
uint32_t EventSet::FindSocket(int socket) {
  const uint32_t link = table_.FirstById(KEVENT_NAIO, static_cast<uint32_t>(socket));
  if (link == 0 || IsSameSocket(At(link - 1), queue_->number())) return link;
  EraseSocket(link - 1);
  return 0;
}

void EventSet::EraseSocket(uint32_t number) {
  const SignalsBlocked blocked;
  const Locked locked(table_lock_);
  Erase(number);
}

// Keeps the file that is to be sent, which the program may close from now on.
int EventSet::KeepFile(Operation* operation) {
  if (operation->source < 0 || operation->source_is_ours) return 0;
  const int kept = Adopt([operation] { return sys::Duplicate(operation->source); });
  if (kept < 0) return -kept;
  operation->source = kept;
  operation->source_is_ours = true;
  return 0;
}

// Puts an operation that has been tried in its line.
int EventSet::WaitInLine(uint32_t link, uint32_t operation, bool could_go_on) {
  Operation& begun = Operations::At(operation);
  if (const int error = KeepFile(&begun); error != 0) return error;
  const Direction line = DirectionOf(begun);
  const uint32_t event = begun.needs_reading ? 0 : ReadinessOf(line);
  if (link != 0) {
    const uint32_t wanted = Interest(At(link - 1)) | event;
    // Watched anew, the socket is told of if it is ready.
    const auto watch = could_go_on ? &WatchAnew : &SetWanted;
    if (watch(*this, link - 1, wanted) < 0) {
      EraseSocket(link - 1);  // the number is another file's, of which no close has told
      link = 0;
    }
  }
  if (link == 0) {
    const SignalsBlocked blocked;
    const Locked locked(table_lock_);
    const auto id = static_cast<uint32_t>(begun.transfer.fd);
    if (const int error = AddInternal(KEVENT_NAIO, id, 0, event); error < 0) return -error;
    link = table_.FirstById(KEVENT_NAIO, id);
  }
  Append(At(link - 1), operation);
  begun.socket = link;
  if (begun.needs_reading) ReadAhead(operation);
  return 0;
}

// A socket that is watched for this direction, with nobody in line, is not tried: as a rule it has
// nothing to give to a program that has just received, and if it has, epoll tells a thread of it
// that polls the queue.  It does not tell of it by a new edge.
int EventSet::BeginTransfer(uint32_t number) {
  Operation& operation = Operations::At(number);
  const Direction line = DirectionOf(operation);
  const uint32_t link = FindSocket(operation.transfer.fd);
  const bool is_first = link == 0 || First(At(link - 1), line) == 0;
  const bool is_watched = link != 0 && (Interest(At(link - 1)) & ReadinessOf(line)) != 0;
  const bool is_empty = operation.transfer.bytes == 0;  // and may have nothing to wait for
  operation.needs_reading = false;
  bool could_go_on = false;
  if (is_first && (!is_watched || is_empty || transfers_.told_by_edges())) {
    size_t turn = kTurn;
    const Advanced state = Advance(transfers_, operation, &turn);
    could_go_on = turn == 0;
    if (state == Advanced::kEnded && operation.moved == 0 && NamesNoSocket(operation)) {
      GiveBack(*this, number);
      return static_cast<int>(operation.data[1]);
    }
    if (state == Advanced::kEnded) return End(*this, number), 0;
    operation.needs_reading = state == Advanced::kReads;
  }
  const int error = WaitInLine(link, number, could_go_on);
  if (error == 0) return 0;
  if (operation.moved != 0) {  // the bytes that were moved are reported
    EndWith(operation, -error);
    End(*this, number);
    return 0;
  }
  GiveBack(*this, number);
  return error;
}

EventSet::Cancelled EventSet::CancelTransfers(int socket, const uint64_t* cookie) {
  const uint32_t link = FindSocket(socket);
  if (link == 0) return {};
  const Cancelled in = CancelLine(*this, At(link - 1), kIn, cookie);
  const Cancelled out = CancelLine(*this, At(link - 1), kOut, cookie);
  EndEmpty(*this, At(link - 1), kIn);
  EndEmpty(*this, At(link - 1), kOut);
  // The socket may be about to be closed by a call that the library does not see.
  if (cookie == nullptr && At(link - 1).handle == 0) EraseSocket(link - 1);
  return {in.any || out.any, in.any_later || out.any_later};
}

constexpr Source kTransferSource = {
    .events = 0, .attach = Attach, .detach = Detach, .forget = Forget, .harvest = Harvest};

}  // namespace kevent::core
