/* SPDX-License-Identifier: MIT */
/* PORT_SOURCE_USER, and how many events a retrieval brings: port_send(3C), port_get(3C). */

#include "table.h"

static int send_numbers(intptr_t first, intptr_t last) {
  for (intptr_t i = first; i <= last; i++) {
    if (port_send(port, 1, (void *)i) == -1) return -1;
  }
  return 0;
}

int main(void) {
  port_event_t event;
  uint_t count;
  make_port();

  call("an event is sent", port_send(port, -1, (void *)7));
  awaited("it has the events and the user that were sent", 0);
  EXPECT(send_numbers(1, 3) == 0);
  retrieved("as many as are there, in the order in which they were sent", 1, 16, 0);
  EXPECT(send_numbers(1, 3) == 0);
  retrieved("max of them at most", 1, 2, 0);
  count = 99;
  EXPECT(port_getn(port, NULL, 0, &count, NULL) == 0);
  printf("%-66s %u\n", "max 0: nget is the number of events, none is retrieved", count);
  retrieved("ETIME: fewer than were wanted; nget says how many", 2, 16, 0);
  retrieved("ETIME: none", 1, 16, 0);
  EXPECT(send_numbers(1, 2) == 0);
  retrieved("as many as were wanted", 2, 16, 0);

  int ports[] = {port, -1, 0};
  int errors[] = {-1, -1, -1};
  printf("%-66s %d\n", "sendn returns the number of events that were sent",
         port_sendn(ports, errors, 3, 2, NULL));
  printf("%-66s %s %s %s\n", "  errors has 0 or an error for each", error_name(errors[0]),
         error_name(errors[1]), error_name(errors[2]));
  call("EINVAL: nent is 0", port_sendn(ports, errors, 0, 2, NULL));

  timespec_t negative = {-1, 0};
  call("EINVAL: timeout", port_get(port, &event, &negative));
  count = 2;
  call("EINVAL: nget > max > 0", port_getn(port, &event, 1, &count, NULL));
  call("EINVAL: list is NULL", port_getn(port, NULL, 2, &count, NULL));
  call("EINVAL: nget is NULL", port_getn(port, &event, 1, NULL, NULL));
  call("EBADFD: port is no port", port_get(0, &event, NULL));
  call("EBADF: port is not valid", port_get(-1, &event, NULL));
  return 0;
}
