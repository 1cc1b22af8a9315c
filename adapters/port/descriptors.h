// SPDX-License-Identifier: MIT
//
// PORT_SOURCE_FD: a descriptor is a kevent of the port's queue, by its number.  The kevent pauses
// with each event, and goes on when the descriptor is associated again, which takes half of the
// system calls that a new one does.  So it is noted here which descriptors are associated.

#ifndef KEVENT_ADAPTERS_PORT_DESCRIPTORS_H_
#define KEVENT_ADAPTERS_PORT_DESCRIPTORS_H_

#include <cstdint>

namespace kevent::port {

// Zeroed memory is that of a port without descriptors.  Under the lock of the ports.
class Descriptors {
 public:
  // 0 or an errno; queue is the descriptor of the port.
  int Associate(int queue, uintptr_t object, int events, void* user);
  int Dissociate(int queue, uintptr_t object);

  // Whether the queue has had an association of the descriptor.
  bool Knows(uintptr_t object) const;
  // Its event, of an association with this user, was taken for a program.
  void Retrieved(int fd, const void* user);
  // Its event was taken and no program has got it: what it is associated for goes on.
  int PutBack(int queue, int fd);
  void Close();

 private:
  struct Association {
    void* user;
    int events;
    bool is_there;
    bool has_kevent;  // paused, if it is not there
  };

  bool MakeRoomFor(int fd);

  Association* by_number_;
  int numbers_;
};

}  // namespace kevent::port

#endif  // KEVENT_ADAPTERS_PORT_DESCRIPTORS_H_
