/* SPDX-License-Identifier: MIT */
/* A source file with <sys/event.h> and <kevent/kevent.h>, in this order or the other. */
#ifdef KEVENT_FIRST
#include <kevent/kevent.h>
#endif
#include <sys/event.h>
#ifndef KEVENT_FIRST
#include <kevent/kevent.h>
#endif

#include <aio.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

int main(void) {
  static char bytes[16];
  struct aiocb control;
  struct kevent event;
  struct ukevent completion;
  const int kq = kqueue();
  const int queue = kevent_init(NULL, 0, 0);
  const int file = open("/tmp", O_TMPFILE | O_RDWR, 0600);

  memset(&control, 0, sizeof control);
  control.aio_fildes = file;
  control.aio_buf = bytes;
  control.aio_nbytes = sizeof bytes;
  control.aio_sigevent.sigev_notify = SIGEV_KEVENT;
  control.aio_sigevent.sigev_notify_kqueue = kq;
  control.aio_sigevent.sigev_value.sival_ptr = &control;
  if (aio_write(&control) != 0) return 1;
  if (kevent(kq, NULL, 0, &event, 1, NULL) != 1) return 2;
  if (event.filter != EVFILT_AIO || event.udata != &control) return 3;
  if (aio_return(&control) != (ssize_t)sizeof bytes) return 4;
  control.aio_sigevent.sigev_kevent_fd = queue;
  if (aio_write(&control) != 0) return 5;
  if (kevent_get_events(queue, 1, 1, NULL, &completion, 0) != 1) return 6;
  if (completion.type != KEVENT_AIO || completion.ptr != &control) return 7;
  return aio_return(&control) == (ssize_t)sizeof bytes ? 0 : 8;
}
