/* SPDX-License-Identifier: MIT */
/* PORT_SOURCE_FILE: port_associate(3C). */

#include <sys/stat.h>

#include "table.h"

static char name[] = "/tmp/port.XXXXXX";
static file_obj_t object;

static void refresh(void) {
  struct stat status;
  EXPECT(stat(name, &status) == 0);
  object.fo_atime = status.st_atim;
  object.fo_mtime = status.st_mtim;
  object.fo_ctime = status.st_ctim;
  object.fo_name = name;
}

static int associate(int events, intptr_t user) {
  return port_associate(port, PORT_SOURCE_FILE, (uintptr_t)&object, events, (void *)user);
}

static void again(int events, intptr_t user) {
  refresh();
  EXPECT(associate(events, user) == 0);
}

int main(void) {
  const uintptr_t address = (uintptr_t)&object;
  char byte;
  make_port();
  const int file = mkstemp(name);
  EXPECT(file >= 0 && write(file, "hello", 5) == 5);
  refresh();

  call("a file is associated by its times and name", associate(FILE_MODIFIED, 1));
  retrieved("no change, no event", 1, 16, address);
  EXPECT(write(file, "x", 1) == 1);
  retrieved("a change of what was asked for is an event", 1, 16, address);
  call("  with which the association is over", port_dissociate(port, PORT_SOURCE_FILE, address));
  object.fo_mtime.tv_sec--;
  call("times that differ", associate(FILE_MODIFIED, 2));
  retrieved("  are an event at once", 1, 16, address);
  again(FILE_ATTRIB, 3);
  EXPECT(fchmod(file, 0640) == 0);
  retrieved("a change of fo_ctime is FILE_ATTRIB", 1, 16, address);
  again(FILE_ACCESS, 4);
  EXPECT(pread(file, &byte, 1, 0) == 1);
  retrieved("a change of fo_atime is FILE_ACCESS", 1, 16, address);
  again(FILE_MODIFIED | FILE_TRUNC, 5);
  EXPECT(ftruncate(file, 1) == 0);
  retrieved("FILE_TRUNC is set if the operation truncates", 1, 16, address);
  again(FILE_MODIFIED, 6);
  call("dissociate removes the association", port_dissociate(port, PORT_SOURCE_FILE, address));
  EXPECT(pwrite(file, "x", 1, 0) == 1);
  retrieved("  so that there is no event", 1, 16, address);
  again(FILE_MODIFIED, 7);
  EXPECT(unlink(name) == 0);
  retrieved("FILE_DELETE cannot be filtered", 1, 16, address);
  call("ENOENT: the file does not exist", associate(FILE_MODIFIED, 8));
  object.fo_name = (char *)"";
  call("ENOENT: the path is an empty string", associate(FILE_MODIFIED, 8));
  return 0;
}
