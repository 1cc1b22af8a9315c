// SPDX-License-Identifier: MIT

#include "adapters/port/kept.h"

#include <climits>
#include <cstdlib>

#include "adapters/port/queue.h"

namespace kevent::port {
namespace {

int Sum(int a, int b) { return a > INT_MAX - b ? INT_MAX : a + b; }

}  // namespace

uint32_t KeptEvents::Keep(const port_event_t& event, void** ptr) {
  auto* const kept = static_cast<Kept*>(std::malloc(sizeof(Kept)));
  if (kept == nullptr || !by_name_.Reserve()) return std::free(kept), 0;
  const uint32_t name = Name::NewNumber();
  *kept = {nullptr, name, event};
  by_name_.Insert(kept);
  *ptr = kept;
  return name;
}

bool KeptEvents::AddExpirations(const port_event_t& event) {
  Kept* const kept = OfTimer(event.portev_object);
  if (kept == nullptr) return false;
  kept->event.portev_events = Sum(kept->event.portev_events, event.portev_events);
  return true;
}

void KeptEvents::TakeExpirations(port_event_t* event) {
  Kept* const kept = OfTimer(event->portev_object);
  if (kept == nullptr) return;
  event->portev_events = Sum(event->portev_events, kept->event.portev_events);
  by_name_.Remove(kept);
  std::free(kept);
}

KeptEvents::Kept* KeptEvents::OfTimer(uintptr_t timer) {
  Kept* found = nullptr;
  by_name_.ForEach([&](Kept* kept) {
    if (kept->event.portev_source == PORT_SOURCE_TIMER && kept->event.portev_object == timer) {
      found = kept;
    }
  });
  return found;
}

bool KeptEvents::Take(uint32_t name, port_event_t* event) {
  Kept* const kept = by_name_.First(name);
  if (kept == nullptr) return false;
  *event = kept->event;
  by_name_.Remove(kept);
  std::free(kept);
  return true;
}

void KeptEvents::Drop() {
  by_name_.ForEach([](Kept* kept) { std::free(kept); });
  by_name_.Close();
}

}  // namespace kevent::port
