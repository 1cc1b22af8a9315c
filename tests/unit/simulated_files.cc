// SPDX-License-Identifier: MIT
//
// The part of the simulated seam that completions use.  There are no files here but those that
// transfers send (simulated_sockets.h): an operation on another one, once handed on, stays there
// until it is cancelled, or until the simulated io_uring is told to end it.

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/system/system.h"
#include "tests/unit/simulated_sockets.h"
#include "tests/unit/simulated_system.h"

namespace kevent::sys {

using kevent_test::SimulatedContent;
using kevent_test::SimulatedFile;
using kevent_test::SimulatedRing;
using kevent_test::Simulation;

namespace {

Simulation& Sim() { return Simulation::Get(); }

int EnterFallible(const char* function) {
  Sim().Enter(function);
  return Sim().Fail();
}

int64_t ReadCached(const SimulatedContent& content, const Transfer& transfer) {
  const auto place = static_cast<size_t>(transfer.offset);
  if (place >= content.bytes.size()) return 0;
  const size_t cached = content.CachedFrom(place, transfer.bytes);
  const size_t part = std::min(cached, content.bytes.size() - place);
  std::memcpy(transfer.buffer, content.bytes.data() + place, part);
  return part == 0 ? -EAGAIN : static_cast<int64_t>(part);
}

}  // namespace

int64_t Perform(const Transfer& transfer) {
  const auto file = Sim().File(transfer.fd);
  if (file == nullptr || file->content == nullptr) return -EIO;
  file->content->Cache(static_cast<size_t>(transfer.offset), transfer.bytes);
  return transfer.kind == Transfer::Kind::kReadAhead ? 0 : ReadAtOnce(transfer);
}
int64_t PerformWithoutSignals(const Transfer& transfer) { return Perform(transfer); }
int64_t ReadAtOnce(const Transfer& transfer) {
  const auto file = Sim().File(transfer.fd);
  if (file != nullptr && file->content != nullptr) return ReadCached(*file->content, transfer);
  return Sim().files_are_cached ? static_cast<int64_t>(transfer.bytes) : -EAGAIN;
}
Nature NatureOf(const Transfer& transfer, int) {
  const bool is_stream = transfer.kind == Transfer::Kind::kWrite && !Sim().files_have_places;
  return {is_stream, !Sim().may_end_by_time};
}
bool EndsBefore(const Transfer&) { return false; }
bool ReadsMayEndInVain() { return false; }

int LoadRing() {
  Sim().Enter(__func__);
  return 0;
}
int OpenRing(Ring) {
  const int error = EnterFallible(__func__);
  if (error != 0) return error;
  return Sim().ring.is_there ? Sim().Install(std::make_shared<SimulatedFile>(), 3)
                             : Sim().ring.refusal;
}

void RingMoved(Ring, int) {}
void ForgetRing(Ring) { Sim().Enter(__func__); }

int ReadTogether(const Transfer* reads, unsigned count, int64_t* results) {
  if (const int error = EnterFallible(__func__); error != 0) return error;
  if (Sim().ring.closed) return -EBADF;
  for (unsigned i = 0; i < count; ++i) results[i] = ReadAtOnce(reads[i]);
  return 0;
}

bool RingAdd(const Transfer& transfer, uint64_t token) {
  Sim().ring.added.push_back({transfer, token});
  return true;
}

int RingSubmit() {
  SimulatedRing& ring = Sim().ring;
  if (ring.closed) return -EBADF;
  if (ring.is_full) return -EAGAIN;
  ring.taken.insert(ring.taken.end(), ring.added.begin(), ring.added.end());
  ring.added.clear();
  return 0;
}

unsigned RingTakeOut(uint64_t (&tokens)[kRingEntries]) {
  unsigned count = 0;
  for (const SimulatedRing::Given& given : Sim().ring.added) tokens[count++] = given.token;
  Sim().ring.added.clear();
  return count;
}

int RingTake(RingResult* results, unsigned max, Sleep sleep) {
  SimulatedRing& ring = Sim().ring;
  if (sleep != Sleep::kNot && ring.closed) return -EBADF;
  if (ring.results.empty()) ring.when_asleep();
  unsigned count = 0;
  for (; count < max && !ring.results.empty(); ++count) {
    results[count] = ring.results.front();
    ring.results.pop_front();
  }
  if (count == 0 && sleep == Sleep::kForAWhile && ring.times_out) return -ETIMEDOUT;
  return static_cast<int>(count);
}

void AwaitLookup(gaicb*) { Sim().Enter(__func__); }

void Notify(const sigevent&) { Sim().Enter(__func__); }

int CreateAnnouncer() {
  if (const int error = EnterFallible(__func__); error != 0) return error;
  auto file = std::make_shared<SimulatedFile>();
  file->kind = SimulatedFile::Kind::kSubject;
  file->subject = -1;
  return Sim().Install(std::move(file), 3);
}

int AnnounceMessage(int, int) { return EnterFallible(__func__); }

int Announcement(int) {
  Sim().Enter(__func__);
  return -EAGAIN;
}

}  // namespace kevent::sys
