/* SPDX-License-Identifier: MIT */
/*
 * The structures that a program passes by an address inside another one, so that no function's
 * signature names them and libabigail does not see them.  Compiled, and never run.
 */
#define _GNU_SOURCE
#include <kevent-port/port.h>
#include <kevent/kevent.h>
#include <stddef.h>

#define IS(type, member, offset) \
  _Static_assert(offsetof(type, member) == (offset), #type " has " #member " elsewhere")
#define HAS_SIZE(type, size) _Static_assert(sizeof(type) == (size), "another size of " #type)

/* As on every system of Linux with pointers of 64 bits. */
HAS_SIZE(struct kevent_timer_spec, 40);
IS(struct kevent_timer_spec, clockid, 0);
IS(struct kevent_timer_spec, flags, 4);
IS(struct kevent_timer_spec, itimerspec, 8);

HAS_SIZE(struct sigevent, 64);
IS(struct sigevent, sigev_kevent_fd, 16);

HAS_SIZE(port_notify_t, 16);
IS(port_notify_t, portnfy_port, 0);
IS(port_notify_t, portnfy_user, 8);

HAS_SIZE(file_obj_t, 80);
IS(file_obj_t, fo_atime, 0);
IS(file_obj_t, fo_mtime, 16);
IS(file_obj_t, fo_ctime, 32);
IS(file_obj_t, fo_pad, 48);
IS(file_obj_t, fo_name, 72);

int layouts_are_as_they_were;
