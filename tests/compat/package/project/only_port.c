/* SPDX-License-Identifier: MIT */
/* A program that calls nothing of libkevent's but functions of event ports. */
#include <port.h>
#include <stdio.h>

int main(void) {
  port_event_t event;
  const int port = port_create();

  if (port_send(port, 1, NULL) != 0) return 1;
  if (port_get(port, &event, NULL) != 0 || event.portev_source != PORT_SOURCE_USER) return 2;
  printf("ports alone\n");
  return 0;
}
