// SPDX-License-Identifier: MIT

#include "adapters/port/descriptors.h"

#include <fcntl.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "adapters/port/queue.h"

namespace kevent::port {
namespace {

// The events of poll(2) that a kevent takes; ERR and HUP come in any case, and keep a mask of
// nothing from being a pause.
constexpr int kOfPoll = POLLIN | POLLPRI | POLLOUT | KEVENT_POLL_POLLRDNORM |
                        KEVENT_POLL_POLLRDBAND | KEVENT_POLL_POLLWRNORM | KEVENT_POLL_POLLWRBAND |
                        KEVENT_POLL_POLLMSG | KEVENT_POLL_POLLRDHUP;

constexpr unsigned kReplace = KEVENT_CTL_ADD | KEVENT_CTL_REPLACE | KEVENT_CTL_BY_ID;
constexpr unsigned kModify = KEVENT_CTL_MODIFY | KEVENT_CTL_BY_ID;
constexpr unsigned kRemove = KEVENT_CTL_REMOVE | KEVENT_CTL_BY_ID;

ukevent Request(int fd, int events, void* user) {
  ukevent request = {};
  request.id.raw[0] = static_cast<uint32_t>(fd);
  request.type = KEVENT_POLL;
  request.event = static_cast<uint32_t>(events & kOfPoll) | POLLERR | POLLHUP;
  request.req_flags = KEVENT_REQ_DISPATCH | KEVENT_REQ_LAST_CHECK | KEVENT_REQ_ALWAYS_QUEUE;
  request.ptr = user;
  return request;
}

int Remove(int queue, int fd) {
  ukevent request = Request(fd, 0, nullptr);
  return Control(queue, kRemove, &request);
}

int Replace(int queue, int fd, int events, void* user) {
  ukevent request = Request(fd, events, user);
  return Control(queue, kReplace, &request);
}

// EBADF is for the port, EBADFD for what is associated.
int OfDescriptor(int queue, int error) {
  if (error != EBADF) return error;
  return CheckQueue(queue) == 0 ? EBADFD : EBADF;
}

bool IsNumber(uintptr_t object) { return object < INT32_MAX; }

}  // namespace

int Descriptors::Associate(int queue, uintptr_t object, int events, void* user) {
  if (!IsNumber(object)) return EBADFD;
  const int fd = static_cast<int>(object);
  if (!MakeRoomFor(fd)) return ENOMEM;
  const int error = OfDescriptor(queue, Replace(queue, fd, events, user));
  if (error == 0 && fd < numbers_) by_number_[fd] = {user, events, true, true};
  return error;
}

int Descriptors::Dissociate(int queue, uintptr_t object) {
  if (!IsNumber(object)) return EBADFD;
  const int fd = static_cast<int>(object);
  const bool is_open = kevent_fcntl(fd, F_GETFD) != -1;
  const bool is_there = fd < numbers_ && by_number_[fd].is_there;
  const int error = OfDescriptor(queue, Remove(queue, fd));
  if (error != 0 && error != ENOENT) return error;
  if (fd < numbers_) by_number_[fd] = {};
  if (!is_open) return EBADFD;
  return is_there ? error : ENOENT;
}

bool Descriptors::Knows(uintptr_t object) const {
  return object < static_cast<uintptr_t>(numbers_) && by_number_[object].has_kevent;
}

// It may have been associated again since its event was collected; with the same user the event is
// as good as one of that.
void Descriptors::Retrieved(int fd, const void* user) {
  if (fd < numbers_ && by_number_[fd].user == user) by_number_[fd].is_there = false;
}

// Whether it is noted as associated does not count: an event of a former association, with the same
// user, may have been retrieved since this one was made (Retrieved).
int Descriptors::PutBack(int queue, int fd) {
  if (fd >= numbers_ || !by_number_[fd].has_kevent) return 0;
  // Not by kReplace: another file that has the number by now was not associated.
  ukevent request = Request(fd, by_number_[fd].events, by_number_[fd].user);
  const int error = Control(queue, kModify, &request);
  if (error == 0) by_number_[fd].is_there = true;
  return error;
}

void Descriptors::Close() {
  std::free(by_number_);
  by_number_ = nullptr;
  numbers_ = 0;
}

// No room for a number that is too large to be a descriptor's.
bool Descriptors::MakeRoomFor(int fd) {
  if (fd < numbers_ || kevent_fcntl(fd, F_GETFD) == -1) return true;
  const int numbers = std::max({64, fd + 1, 2 * numbers_});
  auto* const room = static_cast<Association*>(
      std::realloc(by_number_, static_cast<size_t>(numbers) * sizeof(Association)));
  if (room == nullptr) return false;
  std::memset(room + numbers_, 0, static_cast<size_t>(numbers - numbers_) * sizeof(Association));
  by_number_ = room;
  numbers_ = numbers;
  return true;
}

}  // namespace kevent::port
