/* SPDX-License-Identifier: MIT */
/* A program that calls nothing of libkevent's but kqueue's two functions. */
#include <stdio.h>
#include <sys/event.h>

int main(void) {
  struct kevent event;
  const int queue = kqueue();

  EV_SET(&event, 1, EVFILT_USER, EV_ADD | EV_ONESHOT, NOTE_TRIGGER, 0, NULL);
  if (kevent(queue, &event, 1, &event, 1, NULL) != 1 || event.filter != EVFILT_USER) return 1;
  printf("kqueue alone\n");
  return 0;
}
