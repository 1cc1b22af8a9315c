# SPDX-License-Identifier: MIT
"""Uses libkevent by a handle of it, as a binding of any language may.

by_handle.py LIBKEVENT: the program that runs this knows nothing of libkevent, and
has its own close.

by_handle.py LIBKEVENT preloaded: names that the C library has too, by a handle of
the C library and by one of the program.
"""

import ctypes
import errno
import os
import sys

CLOCK_MONOTONIC = 1
SIGEV_KEVENT = 8
KEVENT_POSIX_TIMER = 8


class Sigevent(ctypes.Structure):
    _fields_ = [("value", ctypes.c_void_p), ("signo", ctypes.c_int), ("notify", ctypes.c_int),
                ("kevent_fd", ctypes.c_int), ("rest", ctypes.c_char * 44)]


class Itimerspec(ctypes.Structure):
    _fields_ = [("interval", ctypes.c_long * 2), ("value", ctypes.c_long * 2)]


class Ukevent(ctypes.Structure):
    _fields_ = [("id", ctypes.c_uint64), ("type", ctypes.c_uint32), ("event", ctypes.c_uint32),
                ("req_flags", ctypes.c_uint32), ("ret_flags", ctypes.c_uint32),
                ("ret_data", ctypes.c_uint32 * 2), ("ptr", ctypes.c_void_p)]


def check(result, what):
    if result == -1:
        raise OSError(ctypes.get_errno(), what)
    return result


def main():
    kevent = ctypes.CDLL(sys.argv[1], use_errno=True)
    queue = check(kevent.kevent_init(None, 0, 0), "kevent_init")
    timer = ctypes.c_void_p()
    sigev = Sigevent(value=2006, notify=SIGEV_KEVENT, kevent_fd=queue)
    check(kevent.kevent_timer_create(CLOCK_MONOTONIC, ctypes.byref(sigev), ctypes.byref(timer)),
          "kevent_timer_create")
    soon = Itimerspec(value=(0, 1))
    check(kevent.kevent_timer_settime(timer, 0, ctypes.byref(soon), None), "kevent_timer_settime")
    event = Ukevent()
    minute = (ctypes.c_long * 2)(60, 0)
    found = check(kevent.kevent_get_events(queue, 1, 1, minute, ctypes.byref(event), 0),
                  "kevent_get_events")
    assert (found, event.type, event.ptr) == (1, KEVENT_POSIX_TIMER, 2006)
    assert event.id == timer.value
    check(kevent.kevent_timer_gettime(timer, ctypes.byref(soon)), "kevent_timer_gettime")
    check(kevent.kevent_timer_getoverrun(timer), "kevent_timer_getoverrun")
    check(kevent.kevent_timer_delete(timer), "kevent_timer_delete")

    copy = check(kevent.kevent_dup(queue), "kevent_dup")
    check(kevent.kevent_close(queue), "kevent_close")
    assert kevent.kevent_get_events(copy, 0, 1, None, ctypes.byref(event), 0) == 0

    # By a name that is the interpreter's and the C library's.
    os.close(copy)
    assert kevent.kevent_get_events(copy, 0, 1, None, ctypes.byref(event), 0) == -1
    print("works")


def preloaded():
    queue = ctypes.CDLL(sys.argv[1]).kevent_init(None, 0, 0)
    timer = ctypes.c_void_p()
    sigev = Sigevent(value=2006, notify=SIGEV_KEVENT, kevent_fd=queue)
    for handle in ("libc.so.6", None):
        create = ctypes.CDLL(handle, use_errno=True).timer_create
        result = create(CLOCK_MONOTONIC, ctypes.byref(sigev), ctypes.byref(timer))
        print("works" if result == 0 else errno.errorcode[ctypes.get_errno()])


if sys.argv[2:] == ["preloaded"]:
    preloaded()
else:
    main()
