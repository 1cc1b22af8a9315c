// SPDX-License-Identifier: MIT
//
// The commands of kevent_ctl.

#include <algorithm>
#include <cerrno>

#include "core/calls/queue_calls.h"
#include "core/calls/setting_batch.h"
#include "core/kevents/event_set.h"
#include "core/queue/queues.h"
#include "core/system/signals_blocked.h"

namespace kevent::core {
namespace {

constexpr uint32_t kRequestFlags = KEVENT_REQ_ONESHOT | KEVENT_REQ_WAKEUP_ALL | KEVENT_REQ_ET |
                                   KEVENT_REQ_LAST_CHECK | KEVENT_REQ_ALWAYS_QUEUE |
                                   KEVENT_REQ_READY | KEVENT_REQ_DISPATCH;

KeventKey KeyOf(const ukevent& entry) {
  return {entry.id.raw_u64, reinterpret_cast<uint64_t>(entry.ptr), entry.type};
}

// Puts the result of a command into its entry, the same way for each command; true if it was
// carried out.
bool Answer(ukevent* entry, int result) {
  entry->ret_flags = KEVENT_RET_DONE;
  if (result == 0) return true;
  if (result == Source::kReadyNow) {
    entry->ret_flags |= KEVENT_RET_READY;
  } else {
    entry->ret_flags |= KEVENT_RET_BROKEN;
    entry->ret_data[1] = static_cast<uint32_t>(result);
  }
  return false;
}

// Checks a request: 0 or its error.
int CheckRequest(const Source& source, const ukevent& request) {
  if ((request.req_flags & ~kRequestFlags) != 0) return -EINVAL;
  const bool all = request.event == KEVENT_MASK_ALL;
  return all || (request.event & ~source.events) == 0 ? 0 : -EINVAL;
}

// True for the errors of a change that say that the number names another file than the kevent's, or
// none.
bool IsOfAnotherFile(int error) { return error == -ENOENT || error == -EBADF; }

}  // namespace

// Finds the kevent that an entry names: 0, -ENOENT, or -ENOTUNIQ if it is one of several.
int EventSet::FindNamed(const ukevent& entry, Naming naming, uint32_t* number) {
  const uint32_t link =
      naming.by_id ? table_.FirstById(entry.type, entry.id.raw_u64) : table_.Find(KeyOf(entry));
  // kevent_ctl does not name a kevent of a type that it does not take (AddInternal).
  if (link == 0 || SourceOf(At(link - 1)).events == 0) return -ENOENT;
  *number = link - 1;
  return naming.by_id && At(*number).same_id_after != 0 ? -ENOTUNIQ : 0;
}

// Erases those of several kevents whose descriptor was closed, and took its kevents with it.
void EventSet::EraseStaleOf(const ukevent& entry) {
  for (uint32_t link = table_.FirstById(entry.type, entry.id.raw_u64); link != 0;) {
    const uint32_t number = link - 1;
    link = At(number).same_id_after;
    if (SourceOf(At(number)).was_closed(At(number))) {
      Erase(number);
    } else if (!StillWatches(number)) {
      EraseStale(number);
    }
  }
}

// Finds as FindNamed does, for a command under the queue's lock.
int EventSet::FindLive(const ukevent& entry, Naming naming, uint32_t* number) {
  const int error = FindNamed(entry, naming, number);
  if (error == -ENOTUNIQ) {
    EraseStaleOf(entry);
    return FindNamed(entry, naming, number);
  }
  if (error != 0 || !SourceOf(At(*number)).was_closed(At(*number))) return error;
  Erase(*number);
  return -ENOENT;
}

int EventSet::Add(ukevent* entry, Naming naming) {
  const Source* source = SourceOf(entry->type);
  if (source == nullptr || source->events == 0) return -ENOSYS;
  if (const int error = CheckRequest(*source, *entry); error != 0) return error;
  uint32_t number;
  const int missing = FindLive(*entry, naming, &number);
  if (missing == -ENOENT) return Register(entry);
  if (missing != 0) return missing;
  // A descriptor that was closed takes its kevents with it.  Where the kevent is to be replaced,
  // the one system call that watches the program's descriptor anew tells of closings unseen, too.
  const Kevent& record = At(number);
  const bool is_programs = record.fd >= 0 && !record.fd_is_ours;
  const bool is_current =
      naming.replaces && is_programs ? MayWatch(record.fd) : StillWatches(number);
  if (!is_current) {
    EraseStale(number);
    return Register(entry);
  }
  if (!naming.replaces) return -EEXIST;
  // It is not looked for again: a thread may just have closed the number.
  const int error = ModifyFound(number, *entry, naming);
  if (!IsOfAnotherFile(error)) return error;
  if (is_programs) {
    EraseStale(number);
  } else {
    Erase(number);
  }
  return Register(entry);
}

int EventSet::Register(ukevent* entry) {
  uint32_t number;
  if (const int error = table_.Insert(KeyOf(*entry), &number); error != 0) return -error;
  Kevent& record = At(number);
  const Source& source = SourceOf(record);
  record.event = source.InterestOf(*entry);
  record.req_flags = entry->req_flags;
  record.paused = entry->event == KEVENT_MASK_EMPTY;
  const int result = source.attach(*this, number, *entry);
  if (result == 0) {
    if ((record.req_flags & KEVENT_REQ_READY) != 0) Force(number);
    return 0;
  }
  if (result > 0) Describe(record, entry);
  table_.Erase(number);
  return result;
}

int EventSet::AddInternal(uint32_t type, uint64_t id, uint64_t cookie, uint32_t event) {
  if (++serials_ == 0) ++serials_;
  uint32_t number;
  if (const int error = table_.Insert({id, cookie, type, serials_}, &number); error != 0) {
    return -error;
  }
  At(number).event = event;
  At(number).req_flags = 0;
  const int result = SourceOf(At(number)).attach(*this, number, {});
  if (result < 0) table_.Erase(number);
  return result;
}

int EventSet::Remove(const ukevent& entry, Naming naming) {
  uint32_t number;
  const int missing = FindLive(entry, naming, &number);
  if (missing == 0) Erase(number);
  return missing;
}

int EventSet::Modify(const ukevent& entry, Naming naming) {
  uint32_t number;
  if (const int missing = FindLive(entry, naming, &number); missing != 0) return missing;
  return ModifyFound(number, entry, naming);
}

int EventSet::ModifyFound(uint32_t number, const ukevent& entry, Naming naming) {
  if (const int error = CheckRequest(SourceOf(At(number)), entry); error != 0) return error;
  if (At(number).injected) TakeInjected();
  if (const int error = ModifyRecord(number, entry); error != 0) return error;
  if (naming.by_id) table_.SetCookie(number, reinterpret_cast<uint64_t>(entry.ptr));
  return 0;
}

bool EventSet::ModifiesInPlace(const ukevent& entry, Naming naming, int* result) {
  uint32_t number;
  if (FindNamed(entry, naming, &number) != 0) return false;
  const Kevent& record = At(number);
  const Source& source = SourceOf(record);
  const bool is_in_place = source.changes_in_place && record.fd >= 0 && !record.fd_is_ours &&
                           record.key.cookie == reinterpret_cast<uint64_t>(entry.ptr);
  if (!is_in_place) return false;
  if (naming.replaces && !MayWatch(record.fd)) return false;
  *result = CheckRequest(source, entry);
  if (*result != 0) return true;
  // The list of the injected is the table lock's.  What comes into it from here on comes after the
  // change, and stays there.
  HarvestInjected();
  *result = ModifyRecord(number, entry);
  return !(naming.replaces && IsOfAnotherFile(*result));
}

int EventSet::ModifyRecord(uint32_t number, const ukevent& entry) {
  Kevent& record = At(number);
  const Source& source = SourceOf(record);
  // Events from before the change are found by the old mask.
  source.harvest_shared(*this);
  const uint32_t event = record.event;
  const uint32_t req_flags = record.req_flags;
  const bool was_paused = record.paused;
  record.event = source.InterestOf(entry);
  record.req_flags = entry.req_flags;
  record.paused = entry.event == KEVENT_MASK_EMPTY;
  const int error = source.change(*this, number, entry);
  if (error < 0) {
    record.event = event;
    record.req_flags = req_flags;
    record.paused = was_paused;
    return error;
  }
  if (record.paused) {
    Pause(number);
  } else if (was_paused) {
    GoOn(number);
  } else if (!record.ended) {
    TakeBack(number);
    ForgetFound(record);
  }
  if ((record.req_flags & KEVENT_REQ_READY) != 0) Force(number);
  return 0;
}

// ---- The call -------------------------------------------------------------------

namespace {

// Entries are worked off in chunks, so that collectors do not wait long for the lock.
constexpr unsigned kChunk = 64;

// The outcome of a call: how many of its entries were not carried out, and whether collectors are
// to be woken or the queue is to be looked at anew when the locks are released.
struct Outcome {
  unsigned not_done = 0;
  bool wake = false;
  bool look = false;

  void Note(EventSet& set) {
    wake = set.kernel_does_not_know();
    look |= set.TookBack();
  }
};

// Modifies kevents up to the first that takes more than that (EventSet::ModifiesInPlace).  A
// program that has its descriptors pause with each event makes such a call for each, mostly of one
// entry. Returns the number of entries.
unsigned ModifyInPlace(Queue& queue, EventSet::Naming naming, unsigned num, ukevent* entries,
                       Outcome* outcome) {
  bool in_place = true;
  unsigned count = 0;
  while (in_place && count < num) {
    const unsigned end = count + std::min(num - count, kChunk);
    queue.WithTableAsIs([&](EventSet& set) {
      for (int result; count < end; ++count) {
        in_place = set.ModifiesInPlace(entries[count], naming, &result);
        if (!in_place) break;
        if (!Answer(&entries[count], result)) ++outcome->not_done;
      }
      outcome->Note(set);
    });
  }
  return count;
}

// Carries out a command for each entry.
template <typename Command>
void ForEach(Queue& queue, EventSet& set, unsigned num, ukevent* entries, Command command,
             Outcome* outcome) {
  for (unsigned first = 0; first < num; first += kChunk) {
    const SignalsBlocked blocked;
    SettingBatch settings;
    const unsigned end = first + std::min(num - first, kChunk);
    queue.WithKevents([&] {
      set.set_call(blocked.before(), &settings);
      for (unsigned i = first; i < end; ++i) {
        if (!Answer(&entries[i], command(&entries[i]))) ++outcome->not_done;
      }
      outcome->Note(set);
      set.set_call({}, nullptr);
    });
  }
}

void TellCollectors(Queue& queue, const Outcome& outcome) {
  if (outcome.wake) {
    queue.Wake();
  } else if (outcome.look) {
    const SignalsBlocked blocked;
    queue.LookAnew();
  }
}

// Async-signal-safe: takes no lock but the table's.
int Ready(Queue& queue, EventSet* set, EventSet::Naming naming, unsigned num, ukevent* entries) {
  if (num == 0) queue.RequestExit();
  unsigned found = 0;
  for (unsigned i = 0; i < num; ++i) {
    if (Answer(&entries[i], set == nullptr ? -ENOENT : set->Inject(entries[i], naming))) ++found;
  }
  if (num == 0 || found != 0) queue.Wake();
  return static_cast<int>(found);
}

int Control(Queue& queue, unsigned cmd, unsigned num, ukevent* entries) {
  const EventSet::Naming naming = {(cmd & KEVENT_CTL_BY_ID) != 0, (cmd & KEVENT_CTL_REPLACE) != 0};
  cmd &= ~unsigned{KEVENT_CTL_BY_ID | KEVENT_CTL_REPLACE};
  if (cmd > KEVENT_CTL_READY || (naming.replaces && cmd != KEVENT_CTL_ADD)) return -EINVAL;
  if (num > KeventTable::kMaxRecords) return -EINVAL;
  if (num != 0 && entries == nullptr) return -EFAULT;
  if (num != 0 && !sys::IsWritable(entries, sizeof(ukevent) * num)) return -EFAULT;
  EventSet* set = queue.kevents();
  if (cmd == KEVENT_CTL_READY) return Ready(queue, set, naming, num, entries);
  if (num == 0) return 0;

  if (set == nullptr && cmd != KEVENT_CTL_ADD) {
    for (unsigned i = 0; i < num; ++i) Answer(&entries[i], -ENOENT);
    return static_cast<int>(num);
  }
  if (set == nullptr) {
    if (const int error = queue.OpenKevents(&set); error != 0) return -error;
  }
  Outcome outcome;
  const unsigned in_place = cmd == KEVENT_CTL_MODIFY || naming.replaces
                                ? ModifyInPlace(queue, naming, num, entries, &outcome)
                                : 0;
  const auto command = [=](ukevent* entry) {
    switch (cmd) {
      case KEVENT_CTL_ADD:
        return set->Add(entry, naming);
      case KEVENT_CTL_REMOVE:
        return set->Remove(*entry, naming);
      default:
        return set->Modify(*entry, naming);
    }
  };
  ForEach(queue, *set, num - in_place, entries + in_place, command, &outcome);
  TellCollectors(queue, outcome);
  return static_cast<int>(outcome.not_done);
}

int PinAndControl(int kev_fd, unsigned cmd, unsigned num, ukevent* entries) {
  Queue* queue;
  if (const int error = Queues::Pin(kev_fd, &queue); error != 0) return -error;
  const int result = Control(*queue, cmd, num, entries);
  queue->Unpin();
  return result;
}

}  // namespace

int ControlKevents(int kev_fd, unsigned cmd, unsigned num, ukevent* entries) {
  if ((cmd & ~unsigned{KEVENT_CTL_BY_ID}) != KEVENT_CTL_READY)
    return PinAndControl(kev_fd, cmd, num, entries);
  // A handler that leaves by siglongjmp would leave its pin behind.
  const SignalsBlocked blocked;
  return PinAndControl(kev_fd, cmd, num, entries);
}

}  // namespace kevent::core
