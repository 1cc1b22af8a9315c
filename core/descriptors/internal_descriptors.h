// SPDX-License-Identifier: MIT
//
// Descriptors that the engine keeps for itself: how a number becomes one of them, how it is
// recognised, and how it is given back.  All functions are async-signal-safe.
//
// Two things say that a number is the engine's: it is registered (core/descriptors/registry.h), and
// its file carries a mark, which other files never have.  Before both are known, nothing is done to
// a number, no epoll_ctl, no F_SETSIG and no close:
// - a number that the kernel has just given is registered first.  The claim fails if a call of dup2
//   in another thread may have put its file there meanwhile; then the number is left alone, and
//   another one is taken.
// - a copy of a marked file is looked at again after it was registered.
// - a number that the program has closed by a system call that the library does not see has no
//   mark, or is registered as something else.
//
// Descriptors of the engine lie out of the way of the program's own.

#ifndef KEVENT_CORE_DESCRIPTORS_INTERNAL_DESCRIPTORS_H_
#define KEVENT_CORE_DESCRIPTORS_INTERNAL_DESCRIPTORS_H_

#include <cstdint>

#include "core/descriptors/closing.h"
#include "core/descriptors/range_closes.h"
#include "core/descriptors/registry.h"
#include "core/system/signals_blocked.h"

namespace kevent::core {

// Covers the time from taking a number from the kernel to registering it.  Other threads wait for
// its end, so signals are blocked: a handler could wait for its own thread, or leave by siglongjmp.
//
// Within another Taking or Making of the thread it waits for no other thread: those wait for this
// one already.
class Taking {
 public:
  Taking() {
    if (depth_++ == 0) RangeCloses::BeginTaking();
  }
  ~Taking() {
    if (--depth_ == 0) RangeCloses::EndTaking();
  }
  Taking(const Taking&) = delete;
  Taking& operator=(const Taking&) = delete;

  static bool is_outermost() { return depth_ == 0; }

 private:
  static thread_local constinit unsigned depth_;
  const SignalsBlocked blocked_;
};

// A thread that is about to make a descriptor lets calls of dup2 pass that wait until none
// is made, for a second at most: otherwise threads that make some again and again would let
// no such call begin.  Within a Making of its own it lets none pass, as they wait for this thread.
class LettingPass {
 public:
  LettingPass();
};

// Covers the time from making a descriptor to registering its number, or from making several: a
// thread that waits once for them is not held up each time by calls that have come meanwhile.
class Making {
 public:
  Making() : since_(Begin()) {}
  ~Making() { Registry::EndMaking(); }
  Making(const Making&) = delete;
  Making& operator=(const Making&) = delete;
  Registry::Moment since() const { return since_; }

 private:
  // No call of dup2 may be on the way from here on: it might put its file there, or might have
  // before the program closed the number and the kernel gave it anew.
  static Registry::Moment Begin() {
    Registry::BeginMaking();
    Closing::AwaitReplacements();
    return Registry::Now();
  }
  const LettingPass letting_pass_;
  const Taking taking_;
  const Registry::Moment since_;
};

// Registers the number of a descriptor that was made since that moment as new: 0, or a negative
// errno, -EAGAIN if the number may be a stranger's.
int ClaimNew(int fd, Registry::Moment since, uint32_t queue);

// Marks a new descriptor and moves it out of the way; returns its number from then on, or a
// negative errno.
int MoveNewAway(int fd, uint32_t queue, uint16_t role);

// Takes over the descriptor that `create` makes; returns its number from then on, or a negative
// errno, which may be that of `create`.
template <typename Create>
int AdoptDescriptor(uint32_t queue, uint16_t role, Create create) {
  for (;;) {
    int fd;
    int error;
    {
      const Making making;
      fd = create();
      if (fd < 0) return fd;
      error = ClaimNew(fd, making.since(), queue);
    }
    if (error == 0) return MoveNewAway(fd, queue, role);
    if (error != -EAGAIN) return error;
  }
}

// Adopts the end of a pipe with a byte in it that is never read, so that it is ready for ever.  An
// eventfd would be, too, but has no file of its own that can be locked (Queue::AdoptAlwaysReady).
// A pipe whose other end is closed would be ready as well, but a child of fork may have that end.
int AdoptFullPipe(uint32_t queue, uint16_t role);

// Makes a copy of a descriptor of the engine's, with that role; returns its number or a negative
// errno.
int CopyInternal(int fd, uint32_t queue, uint16_t role);

// Registers a descriptor for the program, which the kernel has given since that moment as a copy of
// a queue's epoll; true if it names the queue now.  If not, the number may be a stranger's.  The
// caller has counted the name.
bool NameNew(int fd, Registry::Moment since, uint32_t queue);

// True if the number is one that the engine keeps for itself, of whatever queue: to the program it
// is not open.  If it was closed by a system call that the library does not see, it is no longer
// registered afterwards.
bool IsInternal(int fd);
// True if the program has the number open.
bool IsOpen(int fd);

// True if the number still has this role in the queue.
bool OwnsDescriptor(int fd, uint32_t queue, uint16_t role);

// Closes the number if OwnsDescriptor.
void ReleaseDescriptor(int fd, uint32_t queue, uint16_t role);

}  // namespace kevent::core

#endif  // KEVENT_CORE_DESCRIPTORS_INTERNAL_DESCRIPTORS_H_
