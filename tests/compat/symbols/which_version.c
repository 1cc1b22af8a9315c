/* SPDX-License-Identifier: MIT */
/*
 * The function that follows by plain dlsym is the C library's function of today,
 * and not the one of before 2003 with its smaller timer_t.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>

int main(void) {
  static const char *const names[] = {"timer_create", "timer_settime", "timer_gettime",
                                      "timer_getoverrun", "timer_delete"};
  void *libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
  if (libc == NULL) return 1;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    void *next = dlsym(RTLD_NEXT, names[i]);
    void *today = dlvsym(libc, names[i], "GLIBC_2.34");
    void *old = dlvsym(libc, names[i], "GLIBC_2.2.5");
    if (next == NULL || next != today || next == old) {
      fprintf(stderr, "%s: next %p, of GLIBC_2.34 %p, of GLIBC_2.2.5 %p\n", names[i], next, today,
              old);
      return 1;
    }
  }
  return 0;
}
