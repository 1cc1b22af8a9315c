/* SPDX-License-Identifier: MIT */
/*
 * CHECK for test programs in C: says what is not so, and ends the program.
 */
#ifndef KEVENT_TESTS_SUPPORT_CHECK_H_
#define KEVENT_TESTS_SUPPORT_CHECK_H_

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                            \
  do {                                                                              \
    if (!(condition)) {                                                             \
      fprintf(stderr, "line %d: %s (%s)\n", __LINE__, #condition, strerror(errno)); \
      exit(EXIT_FAILURE);                                                           \
    }                                                                               \
  } while (0)

#endif /* KEVENT_TESTS_SUPPORT_CHECK_H_ */
