// SPDX-License-Identifier: MIT
//
// The commands of kevent_ctl.

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
                                   KEVENT_REQ_READY;

KeventKey KeyOf(const ukevent& entry) {
  return {entry.id.raw_u64, reinterpret_cast<uint64_t>(entry.ptr), entry.type};
}

void Answer(ukevent* entry, int error) {
  entry->ret_flags = KEVENT_RET_DONE;
  if (error == 0) return;
  entry->ret_flags |= KEVENT_RET_BROKEN;
  entry->ret_data[1] = static_cast<uint32_t>(error);
}

// Checks a request: 0 or its error.
int CheckRequest(const Source& source, const ukevent& request) {
  if ((request.req_flags & ~kRequestFlags) != 0) return -EINVAL;
  const bool all = request.event == KEVENT_MASK_ALL;
  if (request.event == 0 || (!all && (request.event & ~source.events) != 0)) return -EINVAL;
  return 0;
}

}  // namespace

bool EventSet::Add(const ukevent& entry, ukevent* returned) {
  const Source* source = SourceOf(entry.type);
  int result = source == nullptr || source->events == 0 ? -ENOSYS : CheckRequest(*source, entry);
  const KeventKey key = KeyOf(entry);
  if (result == 0) {
    if (const uint32_t link = table_.Find(key); link != 0) {
      // A descriptor that was closed takes its kevents with it.
      if (StillWatches(link - 1)) {
        result = -EEXIST;
      } else {
        EraseStale(link - 1);
      }
    }
  }
  uint32_t number = 0;
  if (result == 0) result = -table_.Insert(key, &number);
  if (result < 0) {
    *returned = entry;
    Answer(returned, result);
    return true;
  }

  Kevent& record = At(number);
  record.event = source->InterestOf(entry);
  record.req_flags = entry.req_flags;
  result = source->attach(*this, number, entry);
  if (result == 0) {
    if ((record.req_flags & KEVENT_REQ_READY) != 0) Force(number);
    return false;
  }
  *returned = entry;
  if (result > 0) {
    Describe(record, returned);
  } else {
    Answer(returned, result);
  }
  table_.Erase(number);
  return true;
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

int EventSet::Remove(const ukevent& entry) {
  const uint32_t link = table_.Find(KeyOf(entry));
  if (link == 0) return -ENOENT;
  Erase(link - 1);
  return 0;
}

int EventSet::Modify(const ukevent& entry) {
  const uint32_t link = table_.Find(KeyOf(entry));
  if (link == 0) return -ENOENT;
  const uint32_t number = link - 1;
  Kevent& record = At(number);
  const Source& source = SourceOf(record);
  if (const int error = CheckRequest(source, entry); error != 0) return error;

  // Events from before the change are found by the old mask.
  source.harvest_shared(*this);
  const uint32_t event = record.event;
  const uint32_t req_flags = record.req_flags;
  record.event = source.InterestOf(entry);
  record.req_flags = entry.req_flags;
  const int error = source.change(*this, number, entry);
  if (error < 0) {
    record.event = event;
    record.req_flags = req_flags;
    return error;
  }
  TakeBack(number);
  ForgetFound(record);
  if ((record.req_flags & KEVENT_REQ_READY) != 0) Force(number);
  return 0;
}

// ---- The call -------------------------------------------------------------------

namespace {

// Visits each entry, in chunks, so that collectors do not wait long for the lock.  Returns the
// number of entries that visit() has given back, which it writes to the front.
template <typename Visit>
unsigned ForEach(Queue& queue, EventSet& set, unsigned num, ukevent* entries, Visit visit) {
  constexpr unsigned kChunk = 64;
  unsigned returned = 0;
  bool wake = false;
  bool look = false;
  for (unsigned first = 0; first < num; first += kChunk) {
    const SignalsBlocked blocked;
    SettingBatch settings;
    const unsigned end = num - first < kChunk ? num : first + kChunk;
    queue.WithKevents([&] {
      set.set_call(blocked.before(), &settings);
      for (unsigned i = first; i < end; ++i) {
        if (visit(&entries[i], &entries[returned])) ++returned;
      }
      wake = set.kernel_does_not_know();
      look |= set.TookBack();
      set.set_call({}, nullptr);
    });
  }
  if (wake) queue.Wake();
  if (look && !wake) {
    const SignalsBlocked blocked;
    queue.LookAnew();
  }
  return returned;
}

// Async-signal-safe: takes no lock but the table's.
int Ready(Queue& queue, EventSet* set, unsigned num, ukevent* entries) {
  if (num == 0) queue.RequestExit();
  unsigned missed = 0;
  for (unsigned i = 0; i < num; ++i) {
    if (set->Inject(KeyOf(entries[i]))) continue;
    const ukevent entry = entries[i];
    entries[missed++] = entry;
  }
  if (num == 0 || missed < num) queue.Wake();
  return static_cast<int>(num - missed);
}

int Control(Queue& queue, unsigned cmd, unsigned num, ukevent* entries) {
  if (cmd > KEVENT_CTL_READY) return -EINVAL;
  EventSet* set = queue.kevents();
  if (cmd == KEVENT_CTL_ADD ? num > KeventTable::kMaxRecords
                            : num > (set == nullptr ? 0 : set->registered())) {
    return -EINVAL;
  }
  if (num != 0 && entries == nullptr) return -EFAULT;
  if (cmd == KEVENT_CTL_READY) return Ready(queue, set, num, entries);
  if (num == 0) return 0;
  if (!sys::IsWritable(entries, sizeof(ukevent) * num)) return -EFAULT;

  if (set == nullptr) {
    if (const int error = queue.OpenKevents(&set); error != 0) return -error;
  }
  return static_cast<int>(
      ForEach(queue, *set, num, entries, [set, cmd](ukevent* entry, ukevent* back) {
        if (cmd == KEVENT_CTL_ADD) return set->Add(*entry, back);
        Answer(entry, cmd == KEVENT_CTL_REMOVE ? set->Remove(*entry) : set->Modify(*entry));
        return false;
      }));
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
  if (cmd != KEVENT_CTL_READY) return PinAndControl(kev_fd, cmd, num, entries);
  // A handler that leaves by siglongjmp would leave its pin behind.
  const SignalsBlocked blocked;
  return PinAndControl(kev_fd, cmd, num, entries);
}

}  // namespace kevent::core
