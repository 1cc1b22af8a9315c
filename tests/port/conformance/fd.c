/* SPDX-License-Identifier: MIT */
/* PORT_SOURCE_FD: port_associate(3C). */

#include "table.h"

static int associate(int fd, int events, intptr_t user) {
  return port_associate(port, PORT_SOURCE_FD, (uintptr_t)fd, events, (void *)user);
}

int main(void) {
  int ends[2];
  char byte;
  make_port();
  EXPECT(pipe(ends) == 0);
  const int fd = ends[0];
  const uintptr_t object = (uintptr_t)fd;

  call("an object is associated", associate(fd, POLLRDNORM, 1));
  retrieved("no data, no event", 1, 16, object);
  EXPECT(write(ends[1], "xx", 2) == 2);
  awaited("an event is sent when data become available", object);
  retrieved("at most one event for each association", 1, 16, object);
  call("a retrieved object is associated no more", port_dissociate(port, PORT_SOURCE_FD, object));
  call("it can be associated again", associate(fd, POLLIN, 2));
  retrieved("data that are there: an event at once", 1, 16, object);
  EXPECT(associate(fd, POLLPRI, 3) == 0);
  call("associating what is associated updates events and user", associate(fd, POLLIN, 4));
  retrieved("  the event is that of the update", 1, 16, object);
  EXPECT(associate(fd, POLLIN, 5) == 0);
  call("dissociate removes the association", port_dissociate(port, PORT_SOURCE_FD, object));
  retrieved("  and its event", 1, 16, object);
  EXPECT(read(fd, &byte, 1) == 1 && read(fd, &byte, 1) == 1);
  EXPECT(associate(fd, POLLIN, 6) == 0);
  EXPECT(close(ends[1]) == 0);
  retrieved("a hang-up is reported as poll(2) reports it", 1, 16, object);
  EXPECT(close(fd) == 0);
  call("EBADFD: object is no descriptor", associate(fd, POLLIN, 7));
  call("EINVAL: source is not valid", port_associate(port, 99, 0, POLLIN, NULL));
  call("EBADF: port is not valid", port_associate(-1, PORT_SOURCE_FD, 0, POLLIN, NULL));
  return 0;
}
