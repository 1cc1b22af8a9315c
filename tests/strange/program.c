/* SPDX-License-Identifier: MIT */
/* Says how the library does in whatever process this becomes. */

#include <sys/auxv.h>

#include "tests/strange/use_queue.h"

int main(void) {
  dprintf(STDOUT_FILENO, "%s%s\n", getauxval(AT_SECURE) != 0 ? "secure: " : "", use_queue());
  return 0;
}
