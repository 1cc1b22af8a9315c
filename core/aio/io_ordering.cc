// SPDX-License-Identifier: MIT

#include "core/aio/io_ordering.h"

#include <cerrno>
#include <utility>

namespace kevent::core {
namespace {

using State = Operation::State;

bool IsSync(const Operation& operation) {
  return operation.transfer.kind == sys::Transfer::Kind::kSync ||
         operation.transfer.kind == sys::Transfer::Kind::kSyncData;
}

bool IsWrite(const Operation& operation) {
  return operation.transfer.kind == sys::Transfer::Kind::kWrite;
}

}  // namespace

constinit std::atomic<IoOrdering::File*> IoOrdering::files_{nullptr};
constinit std::atomic<uint32_t> IoOrdering::writes_{0};

// ---- Lists ----------------------------------------------------------------------

void IoOrdering::Runnable::Append(uint32_t number) {
  Operation& operation = Operations::At(number);
  operation.state = State::kHanded;
  operation.next.store(0, std::memory_order_relaxed);
  Append({number + 1, number + 1, 1});
}

void IoOrdering::Runnable::Append(const Runnable& more) {
  if (more.first == 0) return;
  if (last == 0) {
    first = more.first;
  } else {
    Operations::At(last - 1).next.store(more.first, std::memory_order_relaxed);
  }
  last = more.last;
  count += more.count;
}

void IoOrdering::Runnable::Prepend(uint32_t number) {
  Runnable rest = *this;
  *this = {};
  Append(number);
  Append(rest);
}

uint32_t IoOrdering::Runnable::Take() {
  const uint32_t link = first;
  if (link == 0) return 0;
  first = Operations::At(link - 1).next.load(std::memory_order_relaxed);
  if (first == 0) last = 0;
  --count;
  return link;
}

// ---- Files by descriptor ----------------------------------------------------------

uint32_t IoOrdering::Find(int fd) const {
  uint32_t link = buckets_[static_cast<uint32_t>(fd) % kBuckets];
  while (link != 0 && At(link).fd != fd) link = At(link).same_hash;
  return link;
}

uint32_t IoOrdering::FindOrMake(int fd) {
  if (files_.load(std::memory_order_relaxed) == nullptr) {
    File* fresh;
    if (sys::MapPages(sizeof(File) * Operations::kMax, sys::OnFork::kWipe, &fresh) < 0) return 0;
    files_.store(fresh, std::memory_order_relaxed);
  }
  uint32_t link = Find(fd);
  if (link != 0) return link;
  link = first_free_;
  if (link != 0) {
    first_free_ = At(link).same_hash;
  } else {
    link = ++used_;
  }
  uint32_t& bucket = buckets_[static_cast<uint32_t>(fd) % kBuckets];
  At(link) = {};
  At(link).fd = fd;
  At(link).same_hash = bucket;
  bucket = link;
  return link;
}

void IoOrdering::Detach(int fd) {
  const uint32_t file = Find(fd);
  if (file == 0) return;
  Unhash(file);
  At(file).is_detached = true;
}

void IoOrdering::Unhash(uint32_t file) {
  uint32_t* link = &buckets_[static_cast<uint32_t>(At(file).fd) % kBuckets];
  while (*link != file) link = &At(*link).same_hash;
  *link = At(file).same_hash;
}

void IoOrdering::Drop(uint32_t file) {
  if (!At(file).is_detached) Unhash(file);
  At(file).same_hash = first_free_;
  first_free_ = file;
}

int IoOrdering::AnyInUse(unsigned first, unsigned last, uint64_t newest, uint32_t* bucket) const {
  for (; *bucket < kBuckets; ++*bucket) {
    for (uint32_t file = buckets_[*bucket]; file != 0; file = At(file).same_hash) {
      const auto fd = static_cast<unsigned>(At(file).fd);
      if (fd < first || fd > last) continue;
      for (uint32_t link = At(file).first; link != 0; link = Operations::At(link - 1).file_after) {
        const Operation& operation = Operations::At(link - 1);
        if (operation.order > newest) break;  // as are those after it
        if (!operation.given_up && !operation.file_lost) return At(file).fd;
      }
    }
  }
  return -1;
}

// ---- The threads that operations take ---------------------------------------------

bool IoOrdering::AddsToWanted(const Operation& operation) const {
  const uint32_t link = Find(operation.transfer.fd);
  if (link == 0) return true;
  const uint32_t* together = PooledWith(At(link), operation);
  return together == nullptr || *together == 0;
}

// The number of operations marked `pooled` that one thread is enough for, this one among them;
// nullptr if it takes a thread of its own.
uint32_t* IoOrdering::PooledWith(File& file, const Operation& operation) {
  if (operation.in_line) return &LineOf(file, operation).pooled;
  return operation.takes_turns ? &file.turns.pooled : nullptr;
}

void IoOrdering::MarkPooled(uint32_t number) {
  Operation& operation = Operations::At(number);
  if (operation.pooled) return;
  operation.pooled = true;
  CountPooled(At(operation.file), operation);
}

void IoOrdering::CountPooled(File& file, const Operation& operation) {
  ++pooled_;
  uint32_t* together = PooledWith(file, operation);
  if (together == nullptr || (*together)++ == 0) ++threads_wanted_;
}

void IoOrdering::DiscountPooled(File& file, const Operation& operation) {
  --pooled_;
  uint32_t* together = PooledWith(file, operation);
  if (together == nullptr || --*together == 0) --threads_wanted_;
}

// ---- Operations -------------------------------------------------------------------

int IoOrdering::Add(uint32_t number, Runnable* runnable) {
  Operation& operation = Operations::At(number);
  const uint32_t link = FindOrMake(operation.transfer.fd);
  if (link == 0) return ENOMEM;
  File& file = At(link);
  operation.file = link;
  operation.file_before = file.last;
  operation.file_after = 0;
  (file.last == 0 ? file.first : Operations::At(file.last - 1).file_after) = number + 1;
  file.last = number + 1;
  operation.state = State::kWaiting;
  operation.order = ++orders_;
  if (operation.pooled) CountPooled(file, operation);

  if (IsWrite(operation) && HasPlace(operation)) TrackReads(file);
  if (IsSync(operation)) {
    if (NothingButSyncs(operation.file_before)) runnable->Append(number);
  } else if (!operation.in_line) {
    operation.keepers = CountKeepers(file, operation);
    if (operation.keepers == 0) {
      runnable->Append(number);
    } else {
      ++file.kept_back;
    }
  } else if (Line& line = LineOf(file, operation); line.busy) {
    Enqueue(line, number);
  } else {
    line.busy = true;
    runnable->Append(number);
  }
  if (HasPlace(operation)) EnterPlace(file, number);
  return 0;
}

void IoOrdering::Remove(uint32_t number, Runnable* runnable) {
  const Operation& operation = Operations::At(number);
  File& file = At(operation.file);
  if (operation.has_turn) PassTurn(file, runnable);
  if (operation.in_line) {
    Line& line = LineOf(file, operation);
    if (line.first != 0) {
      const uint32_t next = line.first - 1;
      Dequeue(line, next);
      runnable->Append(next);
    } else {
      line.busy = false;
    }
  }
  Leave(number, runnable);
}

void IoOrdering::GiveUp(uint32_t number, Runnable* runnable) {
  const Operation& operation = Operations::At(number);
  File& file = At(operation.file);
  if (operation.in_line) {
    Dequeue(LineOf(file, operation), number);
  } else if (!IsSync(operation)) {
    --file.kept_back;
  }
  Leave(number, runnable);
}

void IoOrdering::Leave(uint32_t number, Runnable* runnable) {
  const Operation& operation = Operations::At(number);
  File& file = At(operation.file);
  if (operation.pooled) DiscountPooled(file, operation);
  if (HasPlace(operation)) {
    LeavePlace(file, number);
    ReleaseKeptBack(file, operation, runnable);
  }
  if (!IsSync(operation) && NothingButSyncs(operation.file_before)) {
    ReleaseSyncs(operation.file_after, runnable);
  }
  const uint32_t link = std::exchange(Operations::At(number).file, 0);
  Unlink(file, number);
  if (file.first == 0) Drop(link);
}

void IoOrdering::Unlink(File& file, uint32_t number) {
  const Operation& operation = Operations::At(number);
  (operation.file_before == 0 ? file.first : Operations::At(operation.file_before - 1).file_after) =
      operation.file_after;
  (operation.file_after == 0 ? file.last : Operations::At(operation.file_after - 1).file_before) =
      operation.file_before;
}

// True if this operation and all before it are syncs: only then does a sync not wait.
bool IoOrdering::NothingButSyncs(uint32_t link) {
  if (link == 0) return true;
  const Operation& operation = Operations::At(link - 1);
  return IsSync(operation) && operation.state != State::kWaiting;
}

// Releases the syncs from here on that have nothing but other syncs before them.
void IoOrdering::ReleaseSyncs(uint32_t link, Runnable* runnable) {
  while (link != 0 && IsSync(Operations::At(link - 1))) {
    runnable->Append(link - 1);
    link = Operations::At(link - 1).file_after;
  }
}

// ---- Operations that take turns ---------------------------------------------------

bool IoOrdering::TakeTurn(uint32_t number) {
  Operation& operation = Operations::At(number);
  if (!operation.takes_turns || operation.has_turn) return true;
  Turns& turns = At(operation.file).turns;
  if (turns.taken) {
    turns.waiting.Append(number);
    return false;
  }
  turns.taken = operation.has_turn = true;
  return true;
}

void IoOrdering::PassTurn(File& file, Runnable* runnable) {
  const uint32_t next = file.turns.waiting.Take();
  file.turns.taken = next != 0;
  if (next == 0) return;
  Operations::At(next - 1).has_turn = true;
  runnable->Append(next - 1);
}

IoOrdering::Runnable* IoOrdering::AwaitingTurn(uint32_t number) {
  return &At(Operations::At(number).file).turns.waiting;
}

// ---- Operations on places ---------------------------------------------------------

bool IoOrdering::HasPlace(const Operation& operation) {
  return !IsSync(operation) && operation.transfer.offset != sys::Transfer::kStream;
}

// Adds the reads that there are to the tree, and all later ones from now on.
void IoOrdering::TrackReads(File& file) {
  if (file.tracks_reads) return;
  file.tracks_reads = true;
  for (uint32_t link = file.first; link != 0; link = Operations::At(link - 1).file_after) {
    const Operation& operation = Operations::At(link - 1);
    if (HasPlace(operation) && !IsWrite(operation)) file.reads.Add(link - 1);
  }
}

void IoOrdering::EnterPlace(File& file, uint32_t number) {
  if (IsWrite(Operations::At(number))) {
    file.writes.Add(number);
    writes_.fetch_add(1, std::memory_order_relaxed);
  } else if (file.tracks_reads) {
    file.reads.Add(number);
  }
}

void IoOrdering::LeavePlace(File& file, uint32_t number) {
  if (IsWrite(Operations::At(number))) {
    file.writes.Remove(number);
    writes_.fetch_sub(1, std::memory_order_relaxed);
  } else if (file.tracks_reads) {
    file.reads.Remove(number);
  }
}

// The number of older operations that the newer one must wait for.
uint32_t IoOrdering::CountKeepers(const File& file, const Operation& newer) {
  const IntervalTree::Span span = IntervalTree::SpanOf(newer);
  uint32_t count = 0;
  const auto counted = [&count](uint32_t) { ++count; };
  file.writes.ForEachMeeting(span, counted);
  if (IsWrite(newer)) file.reads.ForEachMeeting(span, counted);
  return count;
}

void IoOrdering::ReleaseKeptBack(File& file, const Operation& done, Runnable* runnable) {
  if (file.kept_back == 0) return;
  const IntervalTree::Span span = IntervalTree::SpanOf(done);
  const auto release = [&](uint32_t number) {
    Operation& newer = Operations::At(number);
    if (newer.state != State::kWaiting || newer.in_line || newer.order < done.order) return;
    if (--newer.keepers != 0) return;
    --file.kept_back;
    runnable->Append(number);
  };
  file.writes.ForEachMeeting(span, release);
  if (IsWrite(done)) file.reads.ForEachMeeting(span, release);
}

bool IoOrdering::IsBeingWritten(const sys::Transfer& read) const {
  const uint32_t file = Find(read.fd);
  if (file == 0) return false;
  Operation newer = {};
  newer.transfer = read;
  return CountKeepers(At(file), newer) != 0;
}

// ---- Operations in a line ---------------------------------------------------------

// Puts the operation before less important ones: usually there are none.
void IoOrdering::Enqueue(Line& line, uint32_t number) {
  Operation& operation = Operations::At(number);
  uint32_t before = 0;
  uint32_t after = line.first;
  if (line.last != 0 && Operations::At(line.last - 1).priority >= operation.priority) {
    before = line.last;
    after = 0;
  }
  while (after != 0 && Operations::At(after - 1).priority >= operation.priority) {
    before = after;
    after = Operations::At(after - 1).line_after;
  }
  operation.line_before = before;
  operation.line_after = after;
  (before == 0 ? line.first : Operations::At(before - 1).line_after) = number + 1;
  (after == 0 ? line.last : Operations::At(after - 1).line_before) = number + 1;
}

void IoOrdering::Dequeue(Line& line, uint32_t number) {
  const Operation& operation = Operations::At(number);
  (operation.line_before == 0 ? line.first : Operations::At(operation.line_before - 1).line_after) =
      operation.line_after;
  (operation.line_after == 0 ? line.last : Operations::At(operation.line_after - 1).line_before) =
      operation.line_before;
}

}  // namespace kevent::core
