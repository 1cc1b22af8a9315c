/* SPDX-License-Identifier: MIT */
/* A program for kqueue: a read of a file completes into a kqueue. */
#include <aio.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/event.h>
#include <unistd.h>

int main(void) {
  struct aiocb control;
  struct kevent event;
  char byte;
  const int queue = kqueue();

  memset(&control, 0, sizeof control);
  control.aio_fildes = open("/dev/zero", O_RDONLY);
  control.aio_buf = &byte;
  control.aio_nbytes = sizeof byte;
  control.aio_sigevent.sigev_notify = SIGEV_KEVENT;
  control.aio_sigevent.sigev_notify_kqueue = queue;
  control.aio_sigevent.sigev_value.sival_ptr = &byte;
  if (aio_read(&control) != 0) return 1;
  if (kevent(queue, NULL, 0, &event, 1, NULL) != 1) return 2;
  if (event.filter != EVFILT_AIO || event.udata != &byte) return 3;
  if (aio_return((struct aiocb *)event.ident) != 1) return 4;
  if (close(queue) != 0) return 5;
  printf("a read has completed into a kqueue\n");
  return 0;
}
