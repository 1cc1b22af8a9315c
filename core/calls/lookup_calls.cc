// SPDX-License-Identifier: MIT

#include "core/calls/lookup_calls.h"

#include <cerrno>

#include "core/lookups/lookups.h"
#include "core/operations/operation.h"
#include "core/queue/notifier.h"
#include "core/system/signals_blocked.h"
#include "core/system/system.h"

namespace kevent::core {

namespace {

// Copies the list, as the program may reuse its array when the call returns: 0 or ENOMEM.
int CopyList(gaicb* const list[], int count, Operation* lookup) {
  size_t requests = 0;
  for (int i = 0; i < count; ++i) requests += list[i] != nullptr;
  lookup->transfer = {};
  lookup->transfer.bytes = requests;
  if (requests == 0) return 0;
  gaicb** copy;
  if (sys::MapPages(Lookups::BytesOf(*lookup), sys::OnFork::kKeep, &copy) < 0) return ENOMEM;
  lookup->transfer.buffer = copy;
  for (int i = 0; i < count; ++i) {
    if (list[i] != nullptr) *copy++ = list[i];
  }
  return 0;
}

}  // namespace

int PrepareLookup(gaicb* const list[], int count, const sigevent& notification, uint32_t* number) {
  if (const int error = TakeOperation(number); error != 0) return error;
  Operation& lookup = Operations::At(*number);
  int error = PlanNotification(notification, &lookup);
  if (error == 0) error = CopyList(list, count, &lookup);
  if (error == 0 && lookup.transfer.bytes != 0) {
    error = NameLookups().Reserve();
    if (error != 0) Lookups::FreeList(lookup);
  }
  if (error != 0) {
    Operations::Free(*number);
    return error;
  }
  lookup.type = KEVENT_GAI;
  lookup.event = KEVENT_GAI_DONE;
  lookup.id = reinterpret_cast<uint64_t>(count > 0 ? list[0] : nullptr);
  lookup.data[0] = lookup.data[1] = 0;
  return 0;
}

void BeforeLookup(gaicb* const list[], int count) { Lookups::AwaitLetGo(list, count); }

void AwaitLookup(uint32_t number) {
  if (Operations::At(number).transfer.bytes == 0) {
    const SignalsBlocked blocked;
    Notifier().Complete(number);
  } else {
    NameLookups().Await(number);
  }
}

void DropLookup(uint32_t number) {
  const Operation& lookup = Operations::At(number);
  if (lookup.transfer.bytes != 0) NameLookups().Unreserve();
  Lookups::FreeList(lookup);
  Operations::Free(number);
}

}  // namespace kevent::core
