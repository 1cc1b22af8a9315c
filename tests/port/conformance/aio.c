/* SPDX-License-Identifier: MIT */
/* PORT_SOURCE_AIO: aio_read(3C), aio_write(3C), lio_listio(3C), signal.h(3HEAD). */

#include <aio.h>

#include "table.h"

int main(void) {
  char name[] = "/tmp/port.XXXXXX";
  char buffer[4] = "abc";
  struct aiocb control;
  make_port();
  const int file = mkstemp(name);
  EXPECT(file >= 0 && unlink(name) == 0);
  port_notify_t notify = {port, (void *)4};
  memset(&control, 0, sizeof control);
  control.aio_fildes = file;
  control.aio_buf = buffer;
  control.aio_nbytes = 3;
  control.aio_sigevent.sigev_notify = SIGEV_PORT;
  control.aio_sigevent.sigev_value.sival_ptr = &notify;

  call("a write is associated by SIGEV_PORT", aio_write(&control));
  awaited("its end is an event, with the aiocb as object", (uintptr_t)&control);
  call("  after which it has its status", aio_error(&control));
  printf("%-66s %ld\n", "  and its result", (long)aio_return(&control));
  retrieved("one event for each operation", 1, 16, 0);
  call("a read likewise", aio_read(&control));
  awaited("  has its event", (uintptr_t)&control);
  printf("%-66s %ld\n", "  and its result", (long)aio_return(&control));
  control.aio_lio_opcode = LIO_READ;
  struct aiocb *list[] = {&control, NULL};
  call("as if by aio_read for each operation of a list", lio_listio(LIO_WAIT, list, 2, NULL));
  awaited("  there is an event", (uintptr_t)&control);
  struct sigevent sigev = control.aio_sigevent;
  control.aio_sigevent.sigev_notify = SIGEV_NONE;
  call("a list is associated by SIGEV_PORT", lio_listio(LIO_NOWAIT, list, 2, &sigev));
  awaited("  its end is an event", (uintptr_t)list);
  return 0;
}
