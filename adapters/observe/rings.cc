// SPDX-License-Identifier: MIT

#include "adapters/observe/rings.h"

#include <array>
#include <atomic>

#include "adapters/observe/memory.h"

namespace kevent::observe {
namespace {

struct Ring {
  std::atomic<kevent_ring*> ring;
  std::atomic<unsigned> events;
};
constinit std::array<Ring, 4096> g_rings = {};

}  // namespace

void KeepRing(int kev_fd, kevent_ring* ring, unsigned events) {
  if (static_cast<unsigned>(kev_fd) >= g_rings.size()) return;
  g_rings[kev_fd].ring = ring;
  g_rings[kev_fd].events = events;
}

bool CopyFromRing(int kev_fd, unsigned back, ukevent* event) {
  if (static_cast<unsigned>(kev_fd) >= g_rings.size()) return false;
  const kevent_ring* const ring = g_rings[kev_fd].ring;
  const unsigned events = g_rings[kev_fd].events;
  unsigned end;
  if (ring == nullptr || events == 0 || !Copy(&ring->ring_kidx, &end)) return false;
  return Copy(&ring->event[(end % events + events - back % events) % events], event);
}

}  // namespace kevent::observe
