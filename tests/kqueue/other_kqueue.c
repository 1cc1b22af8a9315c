/* SPDX-License-Identifier: MIT */
/* What libkqueue.so.0 is to the loader: functions with its names, which say that they were called.
 */
int kqueue(void);
int kevent(int kq, const void *changes, int change_count, void *events, int room,
           const void *timeout);

int kqueue(void) { return 4711; }

int kevent(int kq, const void *changes, int change_count, void *events, int room,
           const void *timeout) {
  (void)changes;
  (void)events;
  (void)timeout;
  return kq + change_count + room;
}
