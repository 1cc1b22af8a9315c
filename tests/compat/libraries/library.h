/* SPDX-License-Identifier: MIT */
/*
 * What libraries of library.c export, and nothing of libkevent: programs that
 * include this know of none.
 */
#ifndef KEVENT_TESTS_COMPAT_LIBRARIES_LIBRARY_H_
#define KEVENT_TESTS_COMPAT_LIBRARIES_LIBRARY_H_

/* A queue, and what becomes of using all of libkevent with a queue, of whichever
 * library, which is closed then. */
int foo_make_queue(void);
const char *foo_use(int queue);
/* Whether timer_create of libkevent comes before the C library's. */
int foo_finds_libkevent_first(void);

int bar_make_queue(void);
const char *bar_use(int queue);
int bar_finds_libkevent_first(void);

#endif /* KEVENT_TESTS_COMPAT_LIBRARIES_LIBRARY_H_ */
