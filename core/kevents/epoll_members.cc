// SPDX-License-Identifier: MIT
//
// Descriptors that kevents watch.  epoll forgets a descriptor, and reports nothing, when the last
// number for its file is closed.  The library takes a number that the program closes out of the
// epolls (core/kevents/watched_fds.h); a record that became stale in another way is found when its
// number is watched again.

#include "core/kevents/epoll_members.h"

#include <sys/epoll.h>

#include <cerrno>

#include "core/descriptors/internal_descriptors.h"
#include "core/descriptors/registry.h"
#include "core/kevents/event_set.h"
#include "core/kevents/source.h"
#include "core/kevents/watched_fds.h"
#include "core/system/signals_blocked.h"

namespace kevent::core {

// Index 0 is the queue's own epoll, the others are overflow epolls.
int EventSet::EpollAt(uint32_t epoll_index) const {
  return epoll_index == 0 ? queue_->epoll()
                          : overflow_epolls_[epoll_index - 1].load(std::memory_order_acquire) - 1;
}

int EventSet::AddOverflowEpoll() {
  if (overflow_count_ == kMaxOverflowEpolls) return -ENOSPC;
  const int epoll = AdoptMember(Token(kOverflowToken, overflow_count_ + 1), sys::CreateEpoll);
  if (epoll < 0) return epoll;
  overflow_epolls_[overflow_count_].store(epoll + 1, std::memory_order_release);
  ++overflow_count_;
  return 0;
}

// For epolls that are nested too deep, or by too many ways, some kernels answer EINVAL and others
// ELOOP (fs/eventpoll.c, reverse_path_check and ep_loop_check).  Apart from that, EINVAL comes here
// only for an epoll inside itself.
int EventSet::Watch(uint32_t number, int fd, uint32_t epoll_events) {
  if (fd < 0 || fd >= Registry::kMaxDescriptor) return -EBADF;
  if (const int error = table_.ReserveWatchers(fd); error != 0) return -error;
  Kevent& record = At(number);
  for (uint32_t epoll_index = 0;; ++epoll_index) {
    if (epoll_index > overflow_count_) {
      if (const int error = AddOverflowEpoll(); error < 0) return error;
    }
    const int result = AddMember(epoll_index, fd, epoll_events, Token(record.generation, number));
    if (result == -EEXIST) continue;
    if (result < 0) return result == -EINVAL ? -ELOOP : result;
    record.fd = fd;
    record.epoll_index = static_cast<uint8_t>(epoll_index);
    record.met = 0;
    LinkWatcher(number);
    DropStale(fd, epoll_index, number);  // after this one is linked: the number stays in WatchedFds
    return 0;
  }
}

// A thread that closes a number looks if it is watched, and then makes its system call; in between
// the number must not be put into an epoll.  A thread that begins to close the number after it was
// marked here sees the mark, clears it, and waits until no thread probes.
int EventSet::AddMember(uint32_t epoll_index, int fd, uint32_t epoll_events, uint64_t token) {
  if (Registry::Get(fd).is_internal())
    return sys::EpollAdd(EpollAt(epoll_index), fd, epoll_events, token);
  constexpr int kTries = 100;  // a bound against threads that close it again and again
  for (int tries = 1;; ++tries) {
    if (const int error = WatchedFds::Add(fd, queue_->number()); error != 0) return -error;
    if (ABSL_PREDICT_FALSE(Closing::Any(fd))) Closing::Await(fd);
    probing_.fetch_add(1, std::memory_order_seq_cst);
    const bool marked =
        (WatchedFds::Is(fd, queue_->number()) && !Closing::Any(fd)) || tries == kTries;
    const int result = marked ? sys::EpollAdd(EpollAt(epoll_index), fd, epoll_events, token) : 0;
    probing_.fetch_add(1, std::memory_order_seq_cst);
    if (marked) return result;
  }
}

int EventSet::Rewatch(uint32_t number, uint32_t epoll_events) {
  Kevent& record = At(number);
  record.silenced = false;
  ForgetTold(record.fd);
  const int error = sys::EpollModify(EpollAt(record.epoll_index), record.fd, epoll_events,
                                     Token(record.generation, number));
  // The number may be another file's by now.  The kernel answers EPERM if epoll does not take that
  // file, EINVAL if it is the epoll itself, and ENOENT otherwise (fs/eventpoll.c, do_epoll_ctl).
  return error == -EPERM || error == -EINVAL ? -ENOENT : error;
}

void EventSet::Unwatch(uint32_t number) {
  Kevent& record = At(number);
  if (record.nests) Unnest(number);
  if (record.fd < 0) return;
  sys::EpollDelete(EpollAt(record.epoll_index), record.fd);
  const int fd = record.fd;
  UnlinkWatcher(number);
  if (record.fd_is_ours) Abandon(fd);
  record.fd_is_ours = false;
}

// The number must not be closed between the two calls on it: afterwards no thread could take out
// the member that the first call has put in.  A thread that is about to close it clears its entry
// in WatchedFds, and then waits until no thread probes.
bool EventSet::StillWatches(uint32_t number) {
  const Kevent& record = At(number);
  if (record.fd < 0) return true;
  if (!MayWatch(record.fd)) return false;
  const SignalsBlocked blocked;  // a handler that closes would wait for this thread
  probing_.fetch_add(1, std::memory_order_seq_cst);
  int result = -EBADF;
  if (MayWatch(record.fd)) {
    // If there is a member, this call leaves it alone, its edges too.
    result = sys::EpollAdd(EpollAt(record.epoll_index), record.fd, EPOLLET | EPOLLONESHOT, 0);
    if (result == 0) sys::EpollDelete(EpollAt(record.epoll_index), record.fd);
  }
  probing_.fetch_add(1, std::memory_order_seq_cst);
  return result == -EEXIST;
}

bool EventSet::MayWatch(int fd) const {
  return Registry::Get(fd).is_internal() || WatchedFds::Is(fd, queue_->number());
}

void EventSet::UnwatchFd(int fd) {
  if (transfers_.any()) transfers_.LoseNumber(fd);
  // A probe that begins from here on finds the number not watched.
  const uint32_t seen = probing_.load(std::memory_order_seq_cst);
  while (seen % 2 != 0 && probing_.load(std::memory_order_seq_cst) == seen) sys::Pause();
  sys::EpollDelete(queue_->epoll(), fd);
  for (const std::atomic<int>& overflow : overflow_epolls_) {
    const int epoll = overflow.load(std::memory_order_acquire) - 1;
    if (epoll < 0) return;
    if (sys::IsMarked(epoll)) sys::EpollDelete(epoll, fd);
  }
}

void EventSet::LinkWatcher(uint32_t number) {
  Kevent& record = At(number);
  uint32_t& first = table_.WatchersOf(record.fd);
  record.same_descriptor = first;
  first = number + 1;
  ++watched_;
}

void EventSet::UnlinkWatcher(uint32_t number) {
  Kevent& record = At(number);
  uint32_t* link = &table_.WatchersOf(record.fd);
  while (*link != number + 1) link = &At(*link - 1).same_descriptor;
  *link = record.same_descriptor;
  if (table_.WatchersOf(record.fd) == 0 && !IsWatchedBesideEpoll(record.fd)) {
    WatchedFds::Remove(record.fd, queue_->number());
  }
  ForgetTold(record.fd);
  record.fd = -1;
  --watched_;
}

// True if a kevent on a file that epoll does not take has this number: no record of it is linked
// there, and it ends when a close of the number is counted, which the mark in WatchedFds has done.
bool EventSet::IsWatchedBesideEpoll(int fd) {
  for (const uint32_t type : kTypesOfSources) {
    if (!SourceOf(type)->watches_any_file) continue;
    for (uint32_t link = table_.FirstById(type, static_cast<uint32_t>(fd)); link != 0;) {
      const Kevent& record = At(link - 1);
      if (record.fd < 0 || record.fd_is_ours) return true;
      link = record.same_id_after;
    }
  }
  return false;
}

// The records that watch the descriptor have changed, so none is taken to have been told in place
// of another.
void EventSet::ForgetTold(int fd) {
  for (uint32_t link = table_.WatchersOf(fd); link != 0; link = At(link - 1).same_descriptor) {
    At(link - 1).told_to_others = 0;
  }
}

// ADD succeeded, so another record that claims this descriptor in this epoll is stale.
void EventSet::DropStale(int fd, uint32_t epoll_index, uint32_t but) {
  for (uint32_t link = table_.WatchersOf(fd); link != 0;) {
    const uint32_t number = link - 1;
    link = At(number).same_descriptor;
    if (number == but || At(number).epoll_index != epoll_index) continue;
    EraseStale(number);
  }
}

// ---- Descriptors of the engine's own -------------------------------------------

uint32_t EventSet::queue_number() const { return queue_->number(); }

int EventSet::WatchAdopted(uint32_t number, int fd, uint32_t epoll_events) {
  if (fd < 0) return fd;
  if (const int error = Watch(number, fd, epoll_events); error < 0) {
    Abandon(fd);
    return error;
  }
  At(number).fd_is_ours = true;
  return fd;
}

int EventSet::AddAdopted(int fd, uint64_t token) {
  if (fd < 0) return fd;
  if (const int error = sys::EpollAdd(queue_->epoll(), fd, EPOLLIN, token); error < 0) {
    Abandon(fd);
    return error;
  }
  return fd;
}

void EventSet::Abandon(int fd) { ReleaseDescriptor(fd, queue_->number(), kRoleSource); }

}  // namespace kevent::core
