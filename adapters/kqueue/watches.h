// SPDX-License-Identifier: MIT
//
// A registration as a kevent of the queue.

#ifndef KEVENT_ADAPTERS_KQUEUE_WATCHES_H_
#define KEVENT_ADAPTERS_KQUEUE_WATCHES_H_

#include <kevent/kevent.h>

#include <cstdint>

#include "adapters/kqueue/kqueues.h"

namespace kevent::kqueue {

// The kevent as the registration would have it: with its events and flags, or paused.  Its cookie
// is the handle.
ukevent RequestOf(const Knotes& knotes, const Knote& knote);
// The same for a registration that is not as it stands there.
ukevent RequestOf(const Knotes& knotes, const Knote& place, const Knote& knote);

// Whether the kevent is of the type KEVENT_INODE.  It stays when a descriptor of the file is
// closed.
inline bool IsOnFile(Watch watch) { return watch == Watch::kFile || watch == Watch::kVnode; }

// Whether the kevent pauses with each event, so that one thread has it.
bool PausesWithEvent(const Knote& knote);

// Whether the kevent is of a type of which the source says once what stays true.
bool SaysOnce(Watch watch);

// The queue of a kqueue, by a descriptor that was the kqueue's when it was last looked at.  It is
// made sure that it still is by what the first call of kevent_ctl says of the witness that goes
// with it.
class Queue {
 public:
  // In place of an errno: the descriptor is another queue's, or none's.  Nothing was done.
  static constexpr int kIsAnother = -1;

  Queue(int fd, Kqueue* kqueue) : fd_(fd), kqueue_(kqueue) {}

  bool is_sure() const { return is_sure_; }
  // 0, kIsAnother or an errno.
  int MakeSure();

  // Carries out a command for requests[1 .. count]; requests[0] is room for the witness.  0 says
  // that each has its outcome in its place.
  int Control(unsigned command, ukevent* requests, unsigned count);
  // The same for one request: the errno of its outcome.
  int Control(unsigned command, const ukevent& request);

 private:
  const int fd_;
  Kqueue* const kqueue_;
  bool is_sure_ = false;
};

// The errno of a request's outcome, or 0.
inline int OutcomeOf(const ukevent& request) {
  return (request.ret_flags & KEVENT_RET_BROKEN) != 0 ? -static_cast<int>(request.ret_data[1]) : 0;
}

// Requests of one command, which go out several at a time.
template <unsigned kCommand>
class Requests {
 public:
  explicit Requests(int queue) : queue_(queue) {}
  ~Requests() { Flush(); }
  Requests(const Requests&) = delete;
  Requests& operator=(const Requests&) = delete;

  void Add(const ukevent& request) {
    if (count_ == kMost) Flush();
    requests_[count_++] = request;
  }
  // What fails has nothing left to change: its descriptor, or the queue, was closed.
  void Flush() {
    if (count_ != 0) kevent_ctl(queue_, kCommand, count_, requests_);
    count_ = 0;
  }

 private:
  static constexpr unsigned kMost = 32;
  const int queue_;
  unsigned count_ = 0;
  ukevent requests_[kMost];
};

}  // namespace kevent::kqueue

#endif  // KEVENT_ADAPTERS_KQUEUE_WATCHES_H_
