/* SPDX-License-Identifier: MIT */
/*
 * Loads a plugin as programs do, and as they can so that it finds the names of
 * its own libraries first; says what becomes of a queue in it.  One process for
 * each, since an object is loaded once.
 *
 *   plugin_loader PLUGIN
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int load(const char *plugin, const char *way, int flags) {
  pid_t child = fork();
  if (child == 0) {
    void *object = dlopen(plugin, RTLD_NOW | flags);
    if (object == NULL) {
      fprintf(stderr, "%s\n", dlerror());
      _exit(1);
    }
    void *address = dlsym(object, "plugin_use");
    const char *(*use)(void);
    memcpy(&use, &address, sizeof use);
    printf("%s: %s\n", way, use());
    fflush(stdout);
    _exit(0);
  }
  int status;
  return waitpid(child, &status, 0) == child ? status : -1;
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  return load(argv[1], "RTLD_LOCAL", RTLD_LOCAL) != 0 ||
         load(argv[1], "RTLD_DEEPBIND", RTLD_LOCAL | RTLD_DEEPBIND) != 0;
}
