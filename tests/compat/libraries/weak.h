/* SPDX-License-Identifier: MIT */
/* What the library of weak.c exports. */
#ifndef KEVENT_TESTS_COMPAT_LIBRARIES_WEAK_H_
#define KEVENT_TESTS_COMPAT_LIBRARIES_WEAK_H_

const char *weak_use(void);

#endif /* KEVENT_TESTS_COMPAT_LIBRARIES_WEAK_H_ */
