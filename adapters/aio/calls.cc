// SPDX-License-Identifier: MIT
//
// aio_read, aio_write and aio_fsync.  Of what comes after them only aio_error is replaced
// (adapters/errors/): aio_return reads the control block, and libkevent's aio_suspend and
// aio_cancel know the operations of both sides.

#include <aio.h>
#include <fcntl.h>
#include <kevent/kevent.h>

#include <cerrno>

#include "adapters/aio/exported.h"
#include "adapters/aio/sides.h"
#include "adapters/errors/marks.h"

namespace kevent::aio_adapter {
namespace {

using errors::Mark;

struct Read {
  static constexpr int kOpcode = LIO_READ;
  int InLibrary(aiocb* control) const { return kevent_aio_read(control); }
};

struct Write {
  static constexpr int kOpcode = LIO_WRITE;
  int InLibrary(aiocb* control) const { return kevent_aio_write(control); }
};

// A transfer is a list of one in the engine.  The C library, too, leaves the opcode in the block
// (glibc: __aio_enqueue_request).
int InEngine(const auto& transfer, aiocb* control) {
  control->aio_lio_opcode = transfer.kOpcode;
  Mark::AsLibkevents(control);
  return kevent_lio_listio(LIO_NOWAIT | KEVENT_AIO_ENGINE, &control, 1, nullptr);
}

struct Sync {
  int operation;
  int InLibrary(aiocb* control) const { return kevent_aio_fsync(operation, control); }
};

int InEngine(const Sync& sync, aiocb* control) {
  Mark::AsLibkevents(control);
  return kevent_aio_fsync(sync.operation | KEVENT_AIO_ENGINE, control);
}

// What the engine has no room or thread for, the C library may do.
int Begin(const auto& operation, aiocb* control) {
  if (control->aio_sigevent.sigev_notify == SIGEV_KEVENT) return operation.InLibrary(control);
  const int fd = control->aio_fildes;
  Side side = EnterAny(fd);
  int result = side == Side::kEngine ? InEngine(operation, control) : 0;
  if (result != 0 && errno == EAGAIN && GoOver(fd)) side = Side::kLibrary;
  if (side == Side::kLibrary) {
    Mark::AsTheCLibrarys(control);
    result = operation.InLibrary(control);
  }
  Leave(fd, side);
  return result;
}

int BeginSync(int operation, aiocb* control) {
  // The C library looks at the operation before it looks at the control block.
  if (operation != O_SYNC && operation != O_DSYNC) return kevent_aio_fsync(operation, control);
  return Begin(Sync{operation}, control);
}

}  // namespace
}  // namespace kevent::aio_adapter

using namespace kevent::aio_adapter;

KEVENT_EXPORT int aio_read(aiocb* control) noexcept { return Begin(Read(), control); }

KEVENT_EXPORT int aio_read64(aiocb64* control) noexcept { return Begin(Read(), Same(control)); }

KEVENT_EXPORT int aio_write(aiocb* control) noexcept { return Begin(Write(), control); }

KEVENT_EXPORT int aio_write64(aiocb64* control) noexcept { return Begin(Write(), Same(control)); }

KEVENT_EXPORT int aio_fsync(int operation, aiocb* control) noexcept {
  return BeginSync(operation, control);
}

KEVENT_EXPORT int aio_fsync64(int operation, aiocb64* control) noexcept {
  return BeginSync(operation, Same(control));
}
