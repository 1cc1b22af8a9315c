/* SPDX-License-Identifier: MIT */
/* Uses two libraries that both use libkevent, each with a queue of the other one. */

#include <stdio.h>

#include "library.h"

int main(void) {
  const int of_foo = foo_make_queue(), of_bar = bar_make_queue();
  printf("foo %s, ", foo_use(of_bar));
  printf("bar %s\n", bar_use(of_foo));
  return 0;
}
