// SPDX-License-Identifier: MIT
//
// The aio_* calls and lio_listio for operations that complete into a queue.  Results are 0 or an
// errno unless a comment says otherwise.

#ifndef KEVENT_CORE_CALLS_AIO_CALLS_H_
#define KEVENT_CORE_CALLS_AIO_CALLS_H_

#include <aio.h>
#include <signal.h>
#include <time.h>

#include <cstdint>

#include "core/aio/engine.h"
#include "core/base/notification.h"

namespace kevent::core {

int StartRead(aiocb* control);
int StartWrite(aiocb* control);
int StartSync(int operation, aiocb* control);  // O_SYNC or O_DSYNC
int StartSyncBeside(int operation, aiocb* control, sigevent notification);

// True if operations by this descriptor number are in flight in the engine.
bool AnyPending(int fd);

// True if an operation is in flight, and the library's.  If not, and it is in progress, it is the C
// library's, or of no library.
bool IsOurs(const aiocb* control);
// True for a number that the engine keeps for itself: to the program it is not open.
bool IsTheEngines(int fd);

// aio_cancel for one operation of the library's, or for all of a descriptor: AIO_CANCELED and so
// on.
int CancelOperations(int fd, const aiocb* control);

// aio_suspend.  `others` is the C library's; it serves those of the list that are its own.
// Async-signal-safe if that is.  A cancellation point.
using Suspend = int (*)(const aiocb* const list[], int count, const timespec* timeout);
bool AnyOurs(const aiocb* const list[], int count);
int SuspendFor(const aiocb* const list[], int count, const timespec* timeout, Suspend others);

// True if the engine is asked for (KEVENT_AIO_ENGINE in the mode), or the list or one of its
// entries completes into a queue, and lio_listio knows the mode.
bool ListIsForEngine(int mode, aiocb* const list[], int count, const sigevent* notification);
int StartList(int mode, aiocb* const list[], int count, const sigevent* notification);
// kevent_aio_start: the same with other notifications than those of the control blocks.
int StartListBeside(int mode, aiocb* const list[], int count, sigevent* beside,
                    sigevent* notification);

// A descriptor is about to be closed: operations that have not begun with it end with ECANCELED
// (POSIX close), lest they begin with a stranger's file.
inline bool AnyToLoseDescriptors() { return AioEngine::any_in_flight(); }
void LosesDescriptors(unsigned first, unsigned last);

}  // namespace kevent::core

#endif  // KEVENT_CORE_CALLS_AIO_CALLS_H_
