// SPDX-License-Identifier: MIT
//
// SIGEV_THREAD: a function that counts stands before the program's.

#ifndef KEVENT_ADAPTERS_REPORT_CALLBACKS_H_
#define KEVENT_ADAPTERS_REPORT_CALLBACKS_H_

#include <signal.h>

#include "adapters/report/table.h"

namespace kevent::report {

// One timer's.  A callback may begin after timer_delete, so none is ever used for another timer.
struct Callback {
  void (*function)(sigval);
  sigval value;
  Table* table;
  std::atomic<Timer*> timer;
  std::atomic<uint64_t> serial;  // the timer's: its row may become another one's
};

// Puts the counting function into *notification, which is a copy of the program's; nullptr: there
// is no room for one more, and the callbacks of this timer are not counted.
Callback* CountCallbacks(Table* table, sigevent* notification);

}  // namespace kevent::report

#endif  // KEVENT_ADAPTERS_REPORT_CALLBACKS_H_
