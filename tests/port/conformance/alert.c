/* SPDX-License-Identifier: MIT */
/* PORT_SOURCE_ALERT: port_alert(3C). */

#include "table.h"

int main(void) {
  make_port();
  EXPECT(port_send(port, 1, (void *)1) == 0);
  call("a port is set in alert mode", port_alert(port, PORT_ALERT_SET, 8, (void *)2));
  awaited("a retrieval brings the alert", 0);
  retrieved("  and so does the next, a single event", 3, 16, 0);
  call("events can be sent to it", port_send(port, 1, (void *)3));
  call("SET updates events and user", port_alert(port, PORT_ALERT_SET, 9, (void *)4));
  awaited("  of the alert", 0);
  call("UPDATE in alert mode", port_alert(port, PORT_ALERT_UPDATE, 10, (void *)5));
  awaited("  leaves the alert as it was", 0);
  call("SET and UPDATE exclude each other",
       port_alert(port, PORT_ALERT_SET | PORT_ALERT_UPDATE, 1, NULL));
  call("events 0 end the alert mode", port_alert(port, PORT_ALERT_SET, 0, NULL));
  retrieved("  and the events are retrievable", 1, 16, 0);
  call("UPDATE sets a port that is not in alert mode",
       port_alert(port, PORT_ALERT_UPDATE, 11, (void *)6));
  awaited("  in alert mode", 0);
  return 0;
}
