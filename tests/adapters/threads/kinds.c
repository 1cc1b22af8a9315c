/* SPDX-License-Identifier: MIT */
/*
 * kinds SCENARIO: callbacks of message queues, asynchronous I/O, lists and look-ups, and attributes
 * that a thread of its own is made for.  What is printed is the same with the adapter and without.
 */
#define _GNU_SOURCE
#include <aio.h>
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <netdb.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "tests/adapters/threads/sigev_thread.h"

#define TIMES 200

static sem_t g_done;

/* ---- Message queues -------------------------------------------------------- */

static mqd_t open_queue(void) {
  char name[64];
  snprintf(name, sizeof name, "/kevent.kinds.%d", (int)getpid());
  struct mq_attr attributes = {.mq_maxmsg = 1, .mq_msgsize = 8};
  const mqd_t queue = mq_open(name, O_CREAT | O_EXCL | O_RDWR | O_NONBLOCK, 0600, &attributes);
  CHECK(queue >= 0);
  CHECK(mq_unlink(name) == 0);
  return queue;
}

static void receive_and_register(union sigval value);

static void register_for(const mqd_t *queue) {
  const struct sigevent event = by_thread(receive_and_register, (void *)queue, NULL);
  CHECK(mq_notify(*queue, &event) == 0);
}

static void receive_and_register(union sigval value) {
  const mqd_t *const queue = value.sival_ptr;
  char message[8];
  register_for(queue);
  CHECK(mq_receive(*queue, message, sizeof message, NULL) == 1);
  CHECK(sem_post(&g_done) == 0);
}

static void messages(void) {
  mqd_t queue = open_queue();
  register_for(&queue);
  const struct sigevent again = by_thread(receive_and_register, &queue, NULL);
  CHECK(mq_notify(queue, &again) == -1);
  printf("registered twice: %s\n", strerrorname_np(errno));
  for (int i = 0; i < TIMES; ++i) {
    CHECK(mq_send(queue, "m", 1, 0) == 0);
    await(&g_done);
  }
  CHECK(mq_notify(queue, NULL) == 0);
  CHECK(mq_send(queue, "m", 1, 0) == 0);
  CHECK(mq_close(queue) == 0);
  for (int i = 0; i < TIMES; ++i) {
    queue = open_queue();
    register_for(&queue);
    CHECK(mq_close(queue) == 0);
  }
  CHECK(mq_notify(queue, &again) == -1);
  printf("closed: %s\n", strerrorname_np(errno));
  int value;
  CHECK(sem_getvalue(&g_done, &value) == 0);
  printf("%d callbacks, and %d more\n", TIMES, value);
}

/* ---- Asynchronous I/O ------------------------------------------------------ */

static struct aiocb *new_control(int fd, int opcode, callback_function *function) {
  struct aiocb *const control = calloc(1, sizeof *control + 1);
  CHECK(control != NULL);
  control->aio_fildes = fd;
  control->aio_buf = control + 1;
  control->aio_nbytes = 1;
  control->aio_lio_opcode = opcode;
  control->aio_sigevent = by_thread(function, control, NULL);
  return control;
}

static const char *what_of(const struct aiocb *control) {
  const struct sigevent *const event = &control->aio_sigevent;
  return event->sigev_notify == SIGEV_THREAD && event->sigev_value.sival_ptr == control &&
                 event->sigev_notify_function != NULL && event->sigev_notify_attributes == NULL
             ? "its own notification"
             : "another notification";
}

static atomic_int g_strange;

/* The block is the callback's when it begins: the call that has submitted it leaves it alone. */
static void free_control(union sigval value) {
  struct aiocb *const control = value.sival_ptr;
  CHECK(aio_error(control) == 0);
  CHECK(aio_return(control) >= 0);
  g_strange += strcmp(what_of(control), "its own notification") != 0;
  memset(control, 0x55, sizeof *control);
  free(control);
  CHECK(sem_post(&g_done) == 0);
}

static int open_file(void) {
  char name[] = "/tmp/kevent.kinds.XXXXXX";
  const int fd = mkstemp(name);
  CHECK(fd >= 0);
  CHECK(unlink(name) == 0);
  CHECK(write(fd, "byte", 4) == 4);
  return fd;
}

static atomic_int g_error;

static void note_error(union sigval value) {
  g_error = aio_error(value.sival_ptr);
  CHECK(sem_post(&g_done) == 0);
}

static void operations(void) {
  const int fd = open_file();
  for (int i = 0; i < TIMES; ++i) {
    CHECK(aio_read(new_control(fd, LIO_READ, free_control)) == 0);
    CHECK(aio_write(new_control(fd, LIO_WRITE, free_control)) == 0);
    CHECK(aio_fsync(O_DSYNC, new_control(fd, LIO_NOP, free_control)) == 0);
    for (int callbacks = 0; callbacks < 3; ++callbacks) await(&g_done);
  }
  printf("%d strange blocks\n", g_strange);
  struct aiocb *const wrong = new_control(-1, LIO_READ, note_error);
  const int result = aio_read(wrong);
  if (result == 0) await(&g_done);
  printf("a wrong descriptor: %d, %s, %s\n", result, strerrorname_np(result == 0 ? g_error : errno),
         what_of(wrong));
  struct aiocb *const wild = (struct aiocb *)16;
  CHECK(aio_fsync(77, wild) == -1);
  printf("a wrong operation: %s\n", strerrorname_np(errno));
}

static void count_end(union sigval value) {
  (void)value;
  CHECK(sem_post(&g_done) == 0);
}

/* Operations of one descriptor keep their order, whether a thread is told of them or nobody. */
static void mixed(void) {
  enum { kWrites = 200 };
  static struct aiocb controls[kWrites];
  static unsigned char bytes[kWrites];
  int ends[2];
  CHECK(pipe(ends) == 0);
  for (int i = 0; i < kWrites; ++i) {
    bytes[i] = (unsigned char)i;
    controls[i].aio_fildes = ends[1];
    controls[i].aio_buf = &bytes[i];
    controls[i].aio_nbytes = 1;
    controls[i].aio_sigevent.sigev_notify = SIGEV_NONE;
    if (i % 2 == 0) controls[i].aio_sigevent = by_thread(count_end, NULL, NULL);
    CHECK(aio_write(&controls[i]) == 0);
  }
  int astray = 0;
  for (int i = 0; i < kWrites; ++i) {
    unsigned char byte;
    CHECK(read(ends[0], &byte, 1) == 1);
    astray += byte != i;
  }
  for (int i = 0; i < kWrites / 2; ++i) await(&g_done);
  printf("%d writes astray\n", astray);
}

static void end_list(union sigval value) { CHECK(sem_post(value.sival_ptr) == 0); }

static void lists(void) {
  enum { kMembers = 8 };
  const int fd = open_file();
  sem_t ended;
  CHECK(sem_init(&ended, 0, 0) == 0);
  for (int i = 0; i < TIMES; ++i) {
    struct aiocb *list[kMembers + 1] = {NULL};
    struct aiocb quiet = {.aio_lio_opcode = LIO_READ, .aio_fildes = fd};
    quiet.aio_sigevent.sigev_notify = SIGEV_NONE;
    for (int member = 1; member < kMembers; ++member) {
      list[member] = new_control(fd, member % 2 == 0 ? LIO_READ : LIO_WRITE, free_control);
    }
    list[kMembers] = &quiet;
    struct sigevent event = by_thread(end_list, &ended, NULL);
    struct sigevent *const of_list = i % 2 == 0 ? &event : NULL;
    CHECK(lio_listio(LIO_NOWAIT, list, kMembers + 1, of_list) == 0);
    for (int member = 1; member < kMembers; ++member) await(&g_done);
    if (of_list != NULL) await(&ended);
    const struct aiocb *const last[] = {&quiet};
    while (aio_error(&quiet) == EINPROGRESS) CHECK(aio_suspend(last, 1, NULL) == 0);
    CHECK(event.sigev_notify == SIGEV_THREAD);
  }
  struct aiocb *waited[] = {new_control(fd, LIO_READ, free_control)};
  CHECK(lio_listio(LIO_WAIT, waited, 1, NULL) == 0);
  await(&g_done);
  printf("%d strange blocks\n", g_strange);
}

/* ---- Look-ups -------------------------------------------------------------- */

static void look_ups(void) {
  for (int i = 0; i < TIMES; ++i) {
    struct gaicb requests[2] = {{.ar_name = "127.0.0.1"}, {.ar_name = "::1"}};
    struct gaicb *list[] = {&requests[0], NULL, &requests[1]};
    struct sigevent event = by_thread(end_list, &g_done, NULL);
    CHECK(getaddrinfo_a(GAI_NOWAIT, list, 3, &event) == 0);
    await(&g_done);
    for (int request = 0; request < 2; ++request) {
      CHECK(gai_error(&requests[request]) == 0);
      freeaddrinfo(requests[request].ar_result);
    }
  }
  printf("%d callbacks\n", TIMES);
}

/* ---- Attributes ------------------------------------------------------------ */

static atomic_uintptr_t g_frame;

static void note_place(union sigval value) {
  g_frame = (uintptr_t)__builtin_frame_address(0);
  CHECK(sem_post(value.sival_ptr) == 0);
}

static void make_with(pthread_attr_t *attributes) {
  struct sigevent event = by_thread(note_place, &g_done, attributes);
  timer_t timer;
  CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
  arm(timer, 1, 0);
  await(&g_done);
  CHECK(timer_delete(timer) == 0);
}

static void attributes(void) {
  enum { kStack = 1 << 18 };
  char *const stack =
      mmap(NULL, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  CHECK(stack != MAP_FAILED);
  pthread_attr_t given;
  CHECK(pthread_attr_init(&given) == 0);
  CHECK(pthread_attr_setstack(&given, stack, kStack) == 0);
  make_with(&given);
  printf("on the stack that was given: %d\n",
         g_frame > (uintptr_t)stack && g_frame < (uintptr_t)stack + kStack);
  CHECK(pthread_attr_destroy(&given) == 0);

  CHECK(pthread_attr_init(&given) == 0);
  cpu_set_t all;
  CHECK(sched_getaffinity(0, sizeof all, &all) == 0);
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &all)) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    CHECK(pthread_attr_setaffinity_np(&given, sizeof one, &one) == 0);
    /* Which the C library ignores in timers (glibc 2.36). */
    make_with(&given);
  }
  CHECK(pthread_attr_destroy(&given) == 0);

  /* The smallest stack that there can be, and more kinds of attributes than there are pools. */
  for (size_t i = 0; i < 40; ++i) {
    CHECK(pthread_attr_init(&given) == 0);
    CHECK(pthread_attr_setstacksize(&given, (size_t)PTHREAD_STACK_MIN + i * 4096) == 0);
    make_with(&given);
    CHECK(pthread_attr_destroy(&given) == 0);
  }
  printf("on stacks of 40 sizes\n");
}

static const struct scenario {
  const char *name;
  void (*run)(void);
} kScenarios[] = {
    {"messages", messages}, {"operations", operations}, {"mixed", mixed},
    {"lists", lists},       {"look_ups", look_ups},     {"attributes", attributes},
};

int main(int argc, char **argv) {
  CHECK(argc == 2);
  CHECK(sem_init(&g_done, 0, 0) == 0);
  for (size_t i = 0; i < sizeof kScenarios / sizeof *kScenarios; ++i) {
    if (strcmp(kScenarios[i].name, argv[1]) != 0) continue;
    kScenarios[i].run();
    return 0;
  }
  CHECK(!"a scenario of this name");
}
