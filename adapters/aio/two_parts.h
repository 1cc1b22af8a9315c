// SPDX-License-Identifier: MIT
//
// The notification of a list whose parts are done on different sides: it is made when both parts
// have ended.

#ifndef KEVENT_ADAPTERS_AIO_TWO_PARTS_H_
#define KEVENT_ADAPTERS_AIO_TWO_PARTS_H_

#include <signal.h>

#include <atomic>

namespace kevent::aio_adapter {

class TwoParts {
 public:
  // Makes one, which is gone when both parts have ended; false without memory.  Each part is begun
  // with the notification *of_part.
  static bool Make(const sigevent& notification, sigevent* of_part);

 private:
  static void EndPart(sigval parts);

  std::atomic<int> left_;
  sigevent notification_;
};

}  // namespace kevent::aio_adapter

#endif  // KEVENT_ADAPTERS_AIO_TWO_PARTS_H_
