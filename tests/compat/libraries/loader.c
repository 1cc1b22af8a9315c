/* SPDX-License-Identifier: MIT */
/*
 * Loads a library of library.c as a plugin.  One process for each way, since an
 * object is loaded once.
 *
 *   loader LIBRARY
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void *find(void *library, const char *name) {
  void *address = dlsym(library, name);
  if (address == NULL) fprintf(stderr, "%s\n", dlerror());
  return address;
}

static int use(const char *file, int way) {
  void *library = dlopen(file, RTLD_NOW | way);
  if (library == NULL) {
    fprintf(stderr, "%s\n", dlerror());
    return 1;
  }
  /* What the library's look-ups may have left behind. */
  const char *error = dlerror();
  if (error != NULL) printf("(%s) ", error);
  int (*make_queue)(void);
  const char *(*use_queue)(int);
  void *address = find(library, "foo_make_queue");
  memcpy(&make_queue, &address, sizeof make_queue);
  address = find(library, "foo_use");
  memcpy(&use_queue, &address, sizeof use_queue);
  printf("%s\n", use_queue(make_queue()));
  return 0;
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  static const struct {
    const char *name;
    int flags;
  } ways[] = {
      {"RTLD_LOCAL", RTLD_LOCAL},
      {"RTLD_GLOBAL", RTLD_GLOBAL},
      {"RTLD_DEEPBIND", RTLD_LOCAL | RTLD_DEEPBIND},
  };
  for (unsigned i = 0; i < sizeof ways / sizeof *ways; i++) {
    printf("%s: ", ways[i].name);
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
      const int status = use(argv[1], ways[i].flags);
      fflush(stdout);
      _exit(status);
    }
    int status;
    if (waitpid(child, &status, 0) != child || status != 0) return 1;
  }
  return 0;
}
