/* SPDX-License-Identifier: MIT */
/* A plugin that is linked with the library: see plugin_loader.c. */

#include "tests/compat/loading/use_queue.h"

const char *plugin_use(void);
const char *plugin_use(void) { return use_queue(); }
