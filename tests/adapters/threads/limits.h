/* SPDX-License-Identifier: MIT */
#ifndef KEVENT_TESTS_ADAPTERS_THREADS_LIMITS_H_
#define KEVENT_TESTS_ADAPTERS_THREADS_LIMITS_H_

#include <grp.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/support/check.h"

/* A limit that is reached already; root is exempt from this one. */
static void allow_no_more_threads(void) {
  if (geteuid() == 0) {
    CHECK(setgroups(0, NULL) == 0);
    CHECK(setresgid(65534, 65534, 65534) == 0);
    CHECK(setresuid(65534, 65534, 65534) == 0);
  }
  const struct rlimit none = {1, 1};
  CHECK(setrlimit(RLIMIT_NPROC, &none) == 0);
}

#endif /* KEVENT_TESTS_ADAPTERS_THREADS_LIMITS_H_ */
