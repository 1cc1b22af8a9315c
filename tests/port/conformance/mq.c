/* SPDX-License-Identifier: MIT */
/* PORT_SOURCE_MQ: mq_notify(3C), signal.h(3HEAD). */

#include <mqueue.h>

#include "table.h"

int main(void) {
  char name[64];
  char message[16];
  struct mq_attr attributes;
  struct sigevent sigev;
  make_port();
  snprintf(name, sizeof name, "/port.%ld", (long)getpid());
  memset(&attributes, 0, sizeof attributes);
  attributes.mq_maxmsg = 4;
  attributes.mq_msgsize = sizeof message;
  const mqd_t queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
  EXPECT(queue != (mqd_t)-1 && mq_unlink(name) == 0);
  port_notify_t notify = {port, (void *)5};
  memset(&sigev, 0, sizeof sigev);
  sigev.sigev_notify = SIGEV_PORT;
  sigev.sigev_value.sival_ptr = &notify;
  const uintptr_t object = (uintptr_t)queue;

  call("a queue is associated by SIGEV_PORT", mq_notify(queue, &sigev));
  call("EBUSY: one registration at any time", mq_notify(queue, &sigev));
  retrieved("an empty queue has no event", 1, 16, object);
  EXPECT(mq_send(queue, "x", 1, 0) == 0);
  awaited("a message that makes it non-empty is an event", object);
  call("the registration is removed when it is notified", mq_notify(queue, &sigev));
  EXPECT(mq_send(queue, "x", 1, 0) == 0);
  retrieved("a message into a queue that is not empty is none", 1, 16, object);
  EXPECT(mq_receive(queue, message, sizeof message, NULL) == 1);
  EXPECT(mq_receive(queue, message, sizeof message, NULL) == 1);
  EXPECT(mq_send(queue, "x", 1, 0) == 0);
  awaited("  until it was empty again", object);
  EXPECT(mq_notify(queue, &sigev) == 0);
  call("NULL removes the registration", mq_notify(queue, NULL));
  return 0;
}
