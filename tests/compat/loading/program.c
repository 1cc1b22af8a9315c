/* SPDX-License-Identifier: MIT */
/* Says how the library does in whatever process this becomes. */

#define KEVENT_NO_BINDING /* by the names that the C library has too */
#include <sys/auxv.h>

#include "tests/compat/loading/use_queue.h"

int main(void) {
  dprintf(STDOUT_FILENO, "%s%s\n", getauxval(AT_SECURE) != 0 ? "secure: " : "", use_queue());
  return 0;
}
