/* SPDX-License-Identifier: MIT */
/*
 * A shared object that uses the library from a constructor of highest priority
 * and from a destructor that runs after all others.
 */

#include "tests/compat/loading/use_queue.h"

__attribute__((constructor(101))) static void begin(void) {
  dprintf(STDOUT_FILENO, "constructor: %s\n", use_queue());
}

__attribute__((destructor(101))) static void end(void) {
  dprintf(STDOUT_FILENO, "destructor: %s\n", use_queue());
}
