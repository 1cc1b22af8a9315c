// SPDX-License-Identifier: MIT
//
// A file's pages that are not in the page cache are read by the engine of asynchronous I/O before
// they are sent, so that no collector waits for a disk.

#include "core/transfers/advancing.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace kevent::core {
namespace {

using Kind = sys::Transfer::Kind;

int64_t Try(const Operation& operation, size_t bytes) {
  const sys::Transfer& transfer = operation.transfer;
  char* const place = static_cast<char*>(transfer.buffer) + operation.moved;
  return transfer.kind == Kind::kRead
             ? sys::ReceiveAtOnce(transfer.fd, place, bytes, operation.flags)
             : sys::SendAtOnce(transfer.fd, place, bytes, operation.flags);
}

// True for an operation that ends with its last byte; false for one that ends with the first that
// come, or that is of one message.
bool IsWhole(Operation& operation) {
  if (operation.ends == Operation::Ends::kNotKnown) {
    const bool is_stream = sys::SocketType(operation.transfer.fd) == SOCK_STREAM;
    operation.ends = is_stream ? Operation::Ends::kWithAll : Operation::Ends::kWithSome;
  }
  return operation.ends == Operation::Ends::kWithAll;
}

// Transfers up to `turn` bytes between a buffer and the socket.
Advanced MoveOnce(Operation& operation, size_t* turn) {
  const size_t left = operation.transfer.bytes - operation.moved;
  const bool in_parts = (left == 0 || left > *turn) && IsWhole(operation);
  if (in_parts && left == 0) return Advanced::kEnded;
  const size_t bytes = in_parts ? *turn : left;
  const int64_t result = Try(operation, bytes);
  if (result == -EAGAIN) return Advanced::kWaits;
  if (result < 0) return EndWith(operation, result);
  const auto moved = static_cast<size_t>(result);
  operation.moved += moved;
  *turn -= std::min(*turn, moved);
  // The other side has ended, or an empty message has come.
  const bool is_last = moved == 0 && operation.transfer.kind == Kind::kRead;
  return moved >= left || is_last || !IsWhole(operation) ? Advanced::kEnded : Advanced::kMoved;
}

// A stream that takes fewer bytes than it was asked for is full.  One that gives fewer may have
// more: a receipt ends where descriptors or another sender's bytes begin (unix(7)).
Advanced MoveBytes(Operation& operation, size_t* turn) {
  for (;;) {
    const Advanced state = MoveOnce(operation, turn);
    if (state != Advanced::kMoved) return state;
    if (*turn == 0 || operation.transfer.kind != Kind::kRead) return Advanced::kWaits;
  }
}

// True if the file was read ahead there since the transfer has last waited: meanwhile its pages may
// leave the cache.
bool WasReadAhead(const Operation& operation, int64_t place) {
  const sys::Transfer& read = Operations::At(operation.reader - 1).transfer;
  return read.offset >= 0 && read.offset <= place &&
         place < read.offset + static_cast<int64_t>(read.bytes);
}

void ForgetCached(Operation& operation) {
  operation.cached_end = 0;
  Operations::At(operation.reader - 1).transfer.offset = -1;
}

// Finds out which pages of the file are there: true if the next one is.
bool IsCached(CachedParts& parts, Operation& operation) {
  const int64_t place = PlaceOf(operation);
  if (place < operation.cached_end) return true;
  const uint64_t now = sys::MonotonicNow();
  operation.cached_end = parts.EndAt(operation.source_file, place, now);
  if (place < operation.cached_end) return true;
  const size_t left = operation.transfer.bytes - operation.moved;
  const size_t part = std::min(left, kAhead);
  const int64_t cached = sys::CachedBytes(operation.source, place, part);
  // Nothing could be waited for with a file that cannot be asked, or that says of what was just
  // read that it is not there, as one does that has no pages (direct_io of FUSE).
  const bool has_no_pages = cached < 0 || (cached == 0 && WasReadAhead(operation, place));
  operation.cached_end = place + (has_no_pages ? static_cast<int64_t>(part) : cached);
  if (cached == static_cast<int64_t>(part)) {
    parts.Note(operation.source_file, place, operation.cached_end, now);
  }
  return place < operation.cached_end;
}

// Reads what is sent by way of a copy: -EAGAIN if its pages have left the page cache.  Kernels 5.9
// and 5.10 answer 0 now and then where the file has not ended.
int64_t ReadCopy(const Operation& operation, const sys::Transfer& part) {
  int64_t result = sys::ReadAtOnce(part);
  if (result == 0 && sys::EndsBefore(part)) result = -EAGAIN;
  const bool cannot_be_asked = result == -EOPNOTSUPP || result == -ENOSYS || result == -EPERM;
  const bool has_no_pages = result == -EAGAIN && WasReadAhead(operation, part.offset);
  return cannot_be_asked || has_no_pages ? sys::Perform(part) : result;
}

Advanced Sent(Operation& operation, int64_t result, size_t asked, size_t* turn) {
  if (result == -EAGAIN) return Advanced::kWaits;
  if (result < 0) return EndWith(operation, result);
  const auto moved = static_cast<size_t>(result);
  operation.moved += moved;
  *turn -= std::min(*turn, moved);
  if (moved == 0 || operation.moved == operation.transfer.bytes) return Advanced::kEnded;
  return moved < asked ? Advanced::kWaits : Advanced::kMoved;
}

// Sends bytes of the file by a socket that would have sendfile wait.
Advanced SendCopy(Operation& operation, size_t bytes, Transfers::Copy& copy, size_t* turn) {
  const sys::Transfer part = {Kind::kRead, operation.source, copy.data(),
                              std::min(bytes, copy.size()), PlaceOf(operation)};
  const int64_t result = ReadCopy(operation, part);
  if (result == -EAGAIN) return Advanced::kReads;
  if (result <= 0) return result == 0 ? Advanced::kEnded : EndWith(operation, result);
  const auto read = static_cast<size_t>(result);
  return Sent(operation, sys::SendAtOnce(operation.transfer.fd, copy.data(), read, 0), read, turn);
}

bool MayHaveEnded(const Operation& operation) {
  return !sys::EndsBefore({Kind::kRead, operation.source, nullptr, 0, PlaceOf(operation)});
}

Advanced SendOnce(Transfers& transfers, Operation& operation, size_t* turn) {
  const size_t left = operation.transfer.bytes - operation.moved;
  if (left == 0) return Advanced::kEnded;
  if (!IsCached(transfers.cached(), operation)) return Advanced::kReads;
  const auto cached = static_cast<size_t>(operation.cached_end - PlaceOf(operation));
  const size_t bytes = std::min({left, *turn, cached});
  const int status = sys::StatusFlags(operation.transfer.fd);
  if (status < 0) return EndWith(operation, status);
  if ((status & O_NONBLOCK) == 0) return SendCopy(operation, bytes, transfers.copy(), turn);
  const int64_t result =
      sys::SendFileAtOnce(operation.transfer.fd, operation.source, PlaceOf(operation), bytes);
  const Advanced state = Sent(operation, result, bytes, turn);
  // A part was sent, as the socket is full or the file has ended.  Of a socket that is not full no
  // edge would tell.
  const bool is_part = state == Advanced::kWaits && result > 0;
  return is_part && MayHaveEnded(operation) ? Advanced::kMoved : state;
}

// The kernel may let go of the file's pages while the socket is waited for.
Advanced SendFile(Transfers& transfers, Operation& operation, size_t* turn) {
  for (;;) {
    Advanced state = SendOnce(transfers, operation, turn);
    if (state == Advanced::kMoved) {
      if (*turn != 0) continue;
      state = Advanced::kWaits;
    }
    if (state == Advanced::kWaits) ForgetCached(operation);
    return state;
  }
}

}  // namespace

Advanced Advance(Transfers& transfers, Operation& operation, size_t* turn) {
  return operation.source >= 0 ? SendFile(transfers, operation, turn) : MoveBytes(operation, turn);
}

}  // namespace kevent::core
