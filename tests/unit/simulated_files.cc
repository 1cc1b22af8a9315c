// SPDX-License-Identifier: MIT
//
// The part of the simulated seam that completions use.  There are no files here,
// and no thread runs: an operation that was handed on stays there until it is
// cancelled.

#include <cerrno>

#include "core/system.h"
#include "tests/unit/simulated_system.h"

namespace kevent::sys {

using kevent_test::SimulatedFile;
using kevent_test::Simulation;

namespace {

Simulation& Sim() { return Simulation::Get(); }

int EnterFallible(const char* function) {
  Sim().Enter(function);
  return Sim().Fail();
}

}  // namespace

int64_t Perform(const Transfer&) { return -EIO; }
int64_t ReadAtOnce(const Transfer&) { return -EAGAIN; }
bool IsStream(int) { return true; }

void LoadRing() { Sim().Enter(__func__); }
int OpenRing() {
  const int error = EnterFallible(__func__);
  return error != 0 ? error : -ENOSYS;
}
void RingMoved(int) {}
bool RingAdd(const Transfer&, uint64_t) { return false; }
int RingSubmit() { return -ENOSYS; }
int RingTake(RingResult*, unsigned, bool) { return -ENOSYS; }

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
