/* SPDX-License-Identifier: MIT */
/* Uses a library with weak references to libkevent, and perhaps (WITH_FOO) one that
 * is linked with it. */

#include <stdio.h>

#include "library.h"
#include "weak.h"

int main(void) {
#ifdef WITH_FOO
  printf("foo %s, ", foo_use(foo_make_queue()));
#endif
  printf("weak %s\n", weak_use());
  return 0;
}
