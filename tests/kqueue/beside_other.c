/* SPDX-License-Identifier: MIT */
/* A program that was compiled for libkqueue, where libkevent-kqueue.so comes first. */
#include <stddef.h>

int kqueue(void);
int kevent(int kq, const void *changes, int change_count, void *events, int room,
           const void *timeout);

int main(void) {
  if (kqueue() != 4711) return 1;
  return kevent(1, NULL, 2, NULL, 3, NULL) == 6 ? 0 : 2;
}
