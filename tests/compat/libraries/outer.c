/* SPDX-License-Identifier: MIT */
/* A plugin that uses a library that uses libkevent: in the order of its objects
 * libkevent comes after the C library. */

#include "library.h"

int outer_make_queue(void);
int outer_make_queue(void) { return foo_make_queue(); }
