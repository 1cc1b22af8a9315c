// SPDX-License-Identifier: MIT

#include "core/source.h"

namespace kevent::core {

const Source* SourceOf(uint32_t type) {
  switch (type) {
    case KEVENT_SOCKET:
      return &kSocketSource;
    case KEVENT_INODE:
      return &kInodeSource;
    case KEVENT_TIMER:
      return &kTimerSource;
    case KEVENT_POLL:
      return &kDescriptorSource;
    case KEVENT_PIPE:
      return &kPipeSource;
    case KEVENT_SIGNAL:
      return &kSignalSource;
    case KEVENT_UNOTIFY:
      return &kUserSource;
    case KEVENT_PROCESS:
      return &kProcessSource;
    case KEVENT_KEVENT:
      return &kQueueSource;
    case KEVENT_MQ:
      return &kMessageQueueSource;
    default:
      return nullptr;
  }
}

}  // namespace kevent::core
