// SPDX-License-Identifier: MIT
//
// What has become of the members of a list whose call has failed.

#ifndef KEVENT_ADAPTERS_OBSERVE_LISTS_H_
#define KEVENT_ADAPTERS_OBSERVE_LISTS_H_

#include <aio.h>

#include <cerrno>
#include <cstdint>

#include "adapters/observe/memory.h"

namespace kevent::observe {

struct Member {
  const aiocb* control;
  int error;
};

// The member in a place of a list.  A callback may have freed the list and control blocks by now;
// false where there is none.
inline bool ReadMember(aiocb* const* place, Member* member) {
  uintptr_t address;
  aiocb copy;
  if (!CopyMemory(place, &address, sizeof address) || address == 0) return false;
  member->control = reinterpret_cast<const aiocb*>(address);
  if (!Copy(member->control, &copy) || copy.aio_lio_opcode == LIO_NOP) return false;
  member->error = aio_error(&copy);
  return true;
}

// Visits the control blocks of those that have not begun when lio_listio or kevent_aio_start has
// failed with `error`.  With EIO and EINTR all have begun.  With other errors those that have not
// have the call's, as has one that began and failed by itself with the same; if none has it, the
// call as a whole was refused, and has not touched their blocks.
template <typename Visit>
void ForEachNotBegun(aiocb* const list[], int count, int error, Visit visit) {
  if (error == EIO || error == EINTR) return;
  Member member;
  bool is_refused_as_a_whole = true;
  for (int i = 0; i < count; ++i) {
    if (ReadMember(&list[i], &member) && member.error == error) is_refused_as_a_whole = false;
  }
  for (int i = 0; i < count; ++i) {
    if (!ReadMember(&list[i], &member)) continue;
    if (is_refused_as_a_whole || member.error == error) visit(member.control);
  }
}

}  // namespace kevent::observe

#endif  // KEVENT_ADAPTERS_OBSERVE_LISTS_H_
