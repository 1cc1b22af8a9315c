/* SPDX-License-Identifier: MIT */
/*
 * plugin_host PLUGIN: loads a shared object, as programs load plugins, and
 * returns what its plugin_main() returns.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  void *plugin = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  if (plugin == NULL) {
    fprintf(stderr, "%s\n", dlerror());
    return 1;
  }
  void *address = dlsym(plugin, "plugin_main");
  if (address == NULL) {
    fprintf(stderr, "%s\n", dlerror());
    return 1;
  }
  int (*plugin_main)(void);
  memcpy(&plugin_main, &address, sizeof plugin_main);
  return plugin_main();
}
