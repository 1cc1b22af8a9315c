/* SPDX-License-Identifier: MIT */
/* Uses a library, and knows nothing of what that one uses. */

#include <dlfcn.h>
#include <stdio.h>

#include "library.h"

int main(void) {
  /* What look-ups at the start may have left behind. */
  const char *error = dlerror();
  if (error != NULL) printf("(%s) ", error);
  printf("%s first: %s\n", foo_finds_libkevent_first() ? "libkevent" : "the C library",
         foo_use(foo_make_queue()));
  return 0;
}
