/* SPDX-License-Identifier: MIT */
/*
 * Compiled, never run: names everything of the public header, as a strict
 * program in C or in C++ would, and checks what a binary relies on.
 */
#include <kevent/kevent.h>
#include <kevent/kevent.h> /* twice does no harm */
#include <stddef.h>

#ifdef __cplusplus
#define ASSERT(condition) static_assert(condition, #condition)
#elif __STDC_VERSION__ >= 201112L
#define ASSERT(condition) _Static_assert(condition, #condition)
#else /* a division by zero where it does not hold */
#define ASSERT(condition) ASSERT_AT(__LINE__, condition)
#define ASSERT_AT(line, condition) ASSERT_IN(line, condition)
#define ASSERT_IN(line, condition) enum { holds_at_##line = 1 / !!(condition) }
#endif

ASSERT(sizeof(struct kevent_id) == 8);
ASSERT(sizeof(struct ukevent) == 40);
ASSERT(offsetof(struct ukevent, id) == 0);
ASSERT(offsetof(struct ukevent, type) == 8);
ASSERT(offsetof(struct ukevent, event) == 12);
ASSERT(offsetof(struct ukevent, req_flags) == 16);
ASSERT(offsetof(struct ukevent, ret_flags) == 20);
ASSERT(offsetof(struct ukevent, ret_data) == 24);
ASSERT(offsetof(struct ukevent, user) == 32);
ASSERT(offsetof(struct ukevent, ptr) == 32);
ASSERT(offsetof(struct kevent_id, raw) == 0);
ASSERT(offsetof(struct kevent_id, raw_u64) == 0);
ASSERT(offsetof(struct kevent_ring, ring_kidx) == 0);
ASSERT(offsetof(struct kevent_ring, ring_over) == 4);
ASSERT(offsetof(struct kevent_ring, event) == 8);
ASSERT(sizeof(struct kevent_ring) == 8);
ASSERT(offsetof(struct sigevent, sigev_kevent_fd) == 16);

ASSERT(KEVENT_SOCKET == 0 && KEVENT_INODE == 1 && KEVENT_TIMER == 2 && KEVENT_POLL == 3);
ASSERT(KEVENT_NAIO == 4 && KEVENT_AIO == 5 && KEVENT_PIPE == 6 && KEVENT_SIGNAL == 7);
ASSERT(KEVENT_POSIX_TIMER == 8 && KEVENT_UNOTIFY == 9 && KEVENT_MAX == 10);
ASSERT(KEVENT_PROCESS == 32 && KEVENT_KEVENT == 33);
ASSERT(KEVENT_TIMER_SPEC == 0x100 && KEVENT_RET_NO_STATUS == 0x100);
ASSERT(KEVENT_UNOTIFY_EVENT == 1 && KEVENT_PROCESS_EXIT == 1 && KEVENT_KEVENT_READY == 1);
ASSERT(KEVENT_INODE_MODIFY == 0x100 && KEVENT_INODE_ATTRIB == 0x200 && KEVENT_INODE_SELF == 0x400);
ASSERT(sizeof(struct kevent_timer_spec) == 40);
ASSERT(offsetof(struct kevent_timer_spec, clockid) == 0);
ASSERT(offsetof(struct kevent_timer_spec, flags) == 4);
ASSERT(offsetof(struct kevent_timer_spec, itimerspec) == 8);
ASSERT(sizeof(struct kevent_setting) == 48);
ASSERT(offsetof(struct kevent_setting, timer) == 0);
ASSERT(offsetof(struct kevent_setting, flags) == 8);
ASSERT(offsetof(struct kevent_setting, error) == 12);
ASSERT(offsetof(struct kevent_setting, value) == 16);
ASSERT(KEVENT_TIMER_FIRED == 1 && KEVENT_AIO_BIO == 1 && KEVENT_SIGNAL_DELIVERY == 1);
ASSERT(KEVENT_SOCKET_RECV == 1 && KEVENT_SOCKET_ACCEPT == 2 && KEVENT_SOCKET_SEND == 4);
ASSERT(KEVENT_INODE_CREATE == 1 && KEVENT_INODE_REMOVE == 2);
ASSERT(KEVENT_POLL_POLLIN == 1 && KEVENT_POLL_POLLRDHUP == 0x2000);
ASSERT(KEVENT_SIGNAL_NOMASK == 1ULL << 63);
ASSERT(KEVENT_MASK_ALL == 0xffffffffU && KEVENT_MASK_EMPTY == 0);
ASSERT(KEVENT_REQ_ONESHOT == 1 && KEVENT_REQ_WAKEUP_ALL == 2 && KEVENT_REQ_ET == 4);
ASSERT(KEVENT_REQ_LAST_CHECK == 8 && KEVENT_REQ_ALWAYS_QUEUE == 16 && KEVENT_REQ_READY == 32);
ASSERT(KEVENT_RET_BROKEN == 1 && KEVENT_RET_DONE == 2 && KEVENT_RET_COPY_FAILED == 4);
ASSERT(KEVENT_CTL_ADD == 0 && KEVENT_CTL_REMOVE == 1 && KEVENT_CTL_MODIFY == 2);
ASSERT(KEVENT_CTL_READY == 3 && KEVENT_FLAGS_ABSTIME == 1 && KEVENT_FLAGS_MONOTONIC == 2);
ASSERT(SIGEV_KEVENT == 8);

int main(void) {
  if (!kevent_available()) return 1;
  int kev_fd = kevent_init(NULL, 0, 0);
  struct sigevent sev;
  kevent_sigevent(&sev, kev_fd, &kev_fd);
  if (sev.sigev_kevent_fd != kev_fd) return 1;
#ifndef __cplusplus
  struct sigevent sigev = {
      .sigev_notify = SIGEV_KEVENT,
      .sigev_kevent_fd = kev_fd,
      .sigev_value.sival_ptr = &kev_fd,
  };
  sev = sigev;
#endif
  timer_t timer;
  if (timer_create(CLOCK_MONOTONIC, &sev, &timer) != 0) return 1;
  const struct timespec timeout = {1, 0};
  struct ukevent events[4];
  sigset_t mask;
  sigemptyset(&mask);
  int n = kevent_get_events(kev_fd, 0, 4, &timeout, events, KEVENT_FLAGS_ABSTIME);
  n += kevent_pget_events(kev_fd, 0, 4, NULL, events, 0, &mask);
  struct kevent_timer_spec spec = {CLOCK_MONOTONIC, 0, {{0, 0}, {1, 0}}};
  events[0].id.raw_u64 = 1;
  events[0].type = KEVENT_TIMER;
  events[0].event = KEVENT_TIMER_FIRED | KEVENT_TIMER_SPEC;
  events[0].ptr = &spec;
  n += kevent_ctl(kev_fd, KEVENT_CTL_ADD, 1, events);
  n += kevent_wait(kev_fd, 1, 0, &timeout, 0);
  n += kevent_commit(kev_fd, 0, 0);
  struct kevent_setting setting = {timer, 0, 0, {{0, 0}, {1, 0}}};
  n += kevent_settime(1, &setting);
  n += kevent_dump(kev_fd, 2);
  char buffer[1];
  n += kevent_aio_recv(kev_fd, -1, buffer, 1, 0) + kevent_aio_send(kev_fd, -1, buffer, 1, 0);
  n += (int)kevent_aio_sendfile(kev_fd, -1, -1, 0, 1);
  n += (int)kevent_aio_sendfile_path(kev_fd, -1, "", 0, 1);
#if !defined(KEVENT_NO_BINDING) && !defined(KEVENT_WEAK)
  n += aio_recv(kev_fd, -1, buffer, 1, 0) + aio_send(kev_fd, -1, buffer, 1, 0);
  n += (int)aio_sendfile(kev_fd, -1, -1, 0, 1) + (int)aio_sendfile_path(kev_fd, -1, "", 0, 1);
#endif
  struct kevent_transfer transfer;
  __builtin_memset(&transfer, 0, sizeof transfer);
  transfer.operation = KEVENT_NAIO_RECV;
  n += kevent_transfers(kev_fd, 1, &transfer) + kevent_cancel_transfers(kev_fd, -1, NULL);
  if (n > 0 && events[0].ptr == &kev_fd && events[0].id.raw_u64 != 0) return 2;
  return kevent_version()[0] == KEVENT_VERSION[0] ? 0 : 1;
}
