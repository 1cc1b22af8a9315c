/* SPDX-License-Identifier: MIT */
/*
 * known MODE: a program that knows what its timers, operations and queues do, for report.sh. Counts
 * that depend on the moment it prints, as "name number".
 */
#define _GNU_SOURCE
#include <aio.h>
#include <fcntl.h>
#include <kevent/kevent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/check.h"

static const struct itimerspec far_off = {{0, 0}, {1000, 0}};
static const struct itimerspec at_once = {{0, 0}, {0, 1}};
static const struct itimerspec disarmed = {{0, 0}, {0, 0}};

static int queue;

static timer_t queue_timer(void) {
  struct sigevent notification;
  kevent_sigevent(&notification, queue, NULL);
  timer_t timer;
  CHECK(timer_create(CLOCK_MONOTONIC, &notification, &timer) == 0);
  return timer;
}

static timer_t timer_of(int notify) {
  struct sigevent notification = {.sigev_notify = notify};
  timer_t timer;
  CHECK(timer_create(CLOCK_MONOTONIC, &notification, &timer) == 0);
  return timer;
}

static void set(timer_t timer, const struct itimerspec *value) {
  CHECK(timer_settime(timer, 0, value, NULL) == 0);
}

static void collect(unsigned number) {
  struct ukevent events[16];
  const struct timespec patience = {60, 0};
  CHECK(kevent_get_events(queue, number, number, &patience, events, 0) == (int)number);
}

static void wait_until_over(timer_t timer) {
  struct itimerspec left;
  do {
    CHECK(timer_gettime(timer, &left) == 0);
  } while (left.it_value.tv_sec != 0 || left.it_value.tv_nsec != 0);
}

static void replaced_in_queue(void) {
  const timer_t timer = queue_timer();
  for (int i = 0; i < 1000; ++i) set(timer, &far_off);
  set(timer, &disarmed);
  set(timer, &far_off);
}

static void expired_in_queue(void) {
  const timer_t timer = queue_timer();
  for (int i = 0; i < 50; ++i) {
    set(timer, &at_once);
    collect(1);
  }
}

static void deleted_in_queue(void) {
  const timer_t timer = queue_timer();
  set(timer, &far_off);
  CHECK(timer_settime(timer, 0, &(struct itimerspec){{0, 0}, {0, 1000000000}}, NULL) == -1);
  CHECK(timer_delete(timer) == 0);
  CHECK(timer_settime(timer, 0, &far_off, NULL) == -1);
}

static void many_at_a_time(void) {
  struct kevent_setting settings[7];
  for (int i = 0; i < 7; ++i) {
    settings[i] = (struct kevent_setting){.timer = queue_timer(), .value = far_off};
  }
  for (int i = 0; i < 3; ++i) CHECK(kevent_settime(7, settings) == 7);
}

static void replaced_silently(void) {
  const timer_t timer = timer_of(SIGEV_NONE);
  for (int i = 0; i < 10; ++i) set(timer, &far_off);
  struct itimerspec old;
  CHECK(timer_settime(timer, 0, &far_off, &old) == 0 && old.it_value.tv_sec > 0);
}

static void expired_silently(void) {
  const timer_t timer = timer_of(SIGEV_NONE);
  for (int i = 0; i < 5; ++i) {
    set(timer, &at_once);
    wait_until_over(timer);
  }
}

static void counts(void) {
  replaced_in_queue();
  expired_in_queue();
  deleted_in_queue();
  many_at_a_time();
  replaced_silently();
  expired_silently();
  struct ukevent event;
  for (int i = 0; i < 3; ++i) CHECK(kevent_get_events(queue, 0, 1, NULL, &event, 0) == 0);
}

static void thousand(void) {
  static timer_t timers[1000];
  for (int i = 0; i < 1000; ++i) timers[i] = queue_timer();
  for (int turn = 0; turn < 5; ++turn) {
    for (int i = 0; i < 1000; ++i) set(timers[i], &far_off);
  }
}

enum { kThreads = 4, kShared = 8, kTurns = 20000 };
static timer_t shared[kShared];

static void *set_shared(void *unused) {
  for (int turn = 0; turn < kTurns; ++turn) {
    for (int i = 0; i < kShared; ++i) set(shared[i], &far_off);
  }
  return unused;
}

static void threads(void) {
  for (int i = 0; i < kShared; ++i) shared[i] = queue_timer();
  pthread_t all[kThreads];
  for (int i = 0; i < kThreads; ++i) CHECK(pthread_create(&all[i], NULL, set_shared, NULL) == 0);
  for (int i = 0; i < kThreads; ++i) CHECK(pthread_join(all[i], NULL) == 0);
}

/* A timer of the kernel interrupts settings of the same timers that its handler sets. */
static const struct {
  int notify;
  clockid_t clock;
} set_in_both[] = {{SIGEV_KEVENT, CLOCK_MONOTONIC},
                   {SIGEV_NONE, CLOCK_MONOTONIC},
                   {SIGEV_NONE, CLOCK_PROCESS_CPUTIME_ID}};
enum { kInBoth = sizeof set_in_both / sizeof *set_in_both };

static atomic_long handled;
static void set_in_handler(int signal) {
  (void)signal;
  for (int i = 0; i < kInBoth; ++i) timer_settime(shared[i], 0, &far_off, NULL);
  atomic_fetch_add(&handled, 1);
}

static void handler(void) {
  for (int i = 0; i < kInBoth; ++i) {
    struct sigevent notification = {.sigev_notify = set_in_both[i].notify};
    if (notification.sigev_notify == SIGEV_KEVENT) kevent_sigevent(&notification, queue, NULL);
    CHECK(timer_create(set_in_both[i].clock, &notification, &shared[i]) == 0);
  }
  signal(SIGRTMIN, set_in_handler);
  struct sigevent notification = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
  timer_t ticking;
  CHECK(timer_create(CLOCK_MONOTONIC, &notification, &ticking) == 0);
  set(ticking, &(struct itimerspec){{0, 50000}, {0, 50000}});
  long settings = 0;
  while (atomic_load(&handled) < 2000) {
    for (int i = 0; i < kInBoth; ++i) set(shared[i], &far_off);
    ++settings;
  }
  sigset_t ticks;
  sigemptyset(&ticks);
  sigaddset(&ticks, SIGRTMIN);
  sigprocmask(SIG_BLOCK, &ticks, NULL);
  printf("settings %ld\n", settings + atomic_load(&handled));
}

/* The same for the first settings of timers, one after the other. */
static timer_t new_one;
static atomic_bool is_there;
static void set_new_one(int signal) {
  (void)signal;
  if (atomic_load(&is_there) && timer_settime(new_one, 0, &far_off, NULL) == 0) {
    atomic_fetch_add(&handled, 1);
  }
}

static void handler_first(void) {
  signal(SIGRTMIN, set_new_one);
  struct sigevent notification = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
  timer_t ticking;
  CHECK(timer_create(CLOCK_MONOTONIC, &notification, &ticking) == 0);
  notification.sigev_notify = SIGEV_NONE;
  set(ticking, &(struct itimerspec){{0, 50000}, {0, 50000}});
  long settings = 0;
  while (atomic_load(&handled) < 1000) {
    CHECK(timer_create(CLOCK_PROCESS_CPUTIME_ID, &notification, &new_one) == 0);
    atomic_store(&is_there, true);
    set(new_one, &far_off);
    atomic_store(&is_there, false);
    CHECK(timer_delete(new_one) == 0);
    ++settings;
  }
  CHECK(timer_delete(ticking) == 0);
  printf("settings %ld\n", settings + atomic_load(&handled));
}

/* Until three of them run at the same time. */
static atomic_int inside;
static atomic_int called;
static void callback(union sigval value) {
  (void)value;
  atomic_fetch_add(&inside, 1);
  while (atomic_load(&inside) < 3) usleep(100);
  atomic_fetch_add(&called, 1);
  if (atomic_load(&called) % 2 == 0) pthread_exit(NULL);
}

static void callbacks(void) {
  struct sigevent notification = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = callback};
  timer_t timer;
  CHECK(timer_create(CLOCK_MONOTONIC, &notification, &timer) == 0);
  enum { kTimes = 20 };
  /* Each begins before the next expiration, which would be an overrun of it otherwise. */
  for (int i = 0; i < kTimes; ++i) {
    set(timer, &at_once);
    while (atomic_load(&inside) == i) usleep(100);
  }
  while (atomic_load(&called) < kTimes) usleep(100);
  printf("callbacks %d\n", kTimes);
}

static void again(void) {
  const struct rlimit none = {0, 0};
  CHECK(setrlimit(RLIMIT_SIGPENDING, &none) == 0);
  timer_t timer;
  for (int i = 0; i < 3; ++i) CHECK(timer_create(CLOCK_MONOTONIC, NULL, &timer) == -1);
  CHECK(errno == EAGAIN);
  CHECK(timer_create((clockid_t)77, NULL, &timer) == -1 && errno == EINVAL);
}

static void forked(void) {
  set(queue_timer(), &far_off);
  const pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    const timer_t one = queue_timer();
    set(one, &at_once);
    set(one, &at_once);
    collect(1);
    queue_timer();
    set(timer_of(SIGEV_NONE), &far_off);
    _exit(0);
  }
  CHECK(waitpid(child, NULL, 0) == child);
}

static void family(void) {
  for (int one = 0; one < 100; ++one) {
    const pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
      set(timer_of(SIGEV_NONE), &far_off);
      _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
  }
}

/* By a thread of its own or not, one callback after the other. */
static void count_call(union sigval value) {
  (void)value;
  atomic_fetch_add(&called, 1);
}

static void called_in_turn(void) {
  struct sigevent notification = {.sigev_notify = SIGEV_THREAD,
                                  .sigev_notify_function = count_call};
  timer_t timer;
  CHECK(timer_create(CLOCK_MONOTONIC, &notification, &timer) == 0);
  for (int i = 0; i < 20; ++i) {
    set(timer, &at_once);
    while (atomic_load(&called) == i) usleep(100);
  }
}

static void stays(void) {
  set(timer_of(SIGEV_NONE), &far_off);
  usleep(200000);
}

/* Functions of C whose names would be those of types. */
__attribute__((noinline)) static void v(void) { set(queue_timer(), &far_off); }
__attribute__((noinline)) static timer_t i(void) {
  timer_t timer;
  CHECK(timer_create(CLOCK_MONOTONIC, NULL, &timer) == 0);
  return timer;
}
static void names(void) {
  v();
  CHECK(timer_delete(i()) == 0);
}

enum { kMany = 70 };
static pthread_barrier_t all_here;
static void *set_own(void *unused) {
  pthread_barrier_wait(&all_here);
  const timer_t timer = timer_of(SIGEV_NONE);
  for (int turn = 0; turn < 3; ++turn) set(timer, &far_off);
  pthread_barrier_wait(&all_here);
  return unused;
}

/* None of them has made anything before. */
static void together(int count) {
  pthread_t all[kMany];
  CHECK(pthread_barrier_init(&all_here, NULL, (unsigned)count) == 0);
  for (int one = 0; one < count; ++one) CHECK(pthread_create(&all[one], NULL, set_own, NULL) == 0);
  for (int one = 0; one < count; ++one) CHECK(pthread_join(all[one], NULL) == 0);
}
static void first_together(void) { together(16); }
static void many_threads(void) { together(kMany); }

/* More threads than have a ring, of which the last one goes on when the others have ended. */
static void *set_when_alone(void *others) {
  const timer_t timer = timer_of(SIGEV_NONE);
  pthread_barrier_wait(&all_here);
  set(timer, &far_off);
  pthread_barrier_wait(&all_here);
  for (int one = 0; one < kMany; ++one) {
    CHECK(pthread_join(((pthread_t *)others)[one], NULL) == 0);
  }
  for (int turn = 0; turn < 5000; ++turn) set(timer, &far_off);
  return NULL;
}
static void *set_once(void *unused) {
  const timer_t timer = timer_of(SIGEV_NONE);
  set(timer, &far_off);
  pthread_barrier_wait(&all_here);
  pthread_barrier_wait(&all_here);
  return unused;
}
static void one_is_left(void) {
  pthread_t all[kMany];
  pthread_t last;
  CHECK(pthread_barrier_init(&all_here, NULL, kMany + 1) == 0);
  for (int one = 0; one < kMany; ++one) CHECK(pthread_create(&all[one], NULL, set_once, NULL) == 0);
  CHECK(pthread_create(&last, NULL, set_when_alone, all) == 0);
  CHECK(pthread_join(last, NULL) == 0);
}

/* Files may be long again when the first thing that is made has been. */
static void no_room_at_first(void) {
  struct rlimit limit;
  CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
  const struct rlimit little = {1024, limit.rlim_max};
  CHECK(setrlimit(RLIMIT_FSIZE, &little) == 0);
  set(timer_of(SIGEV_NONE), &far_off);
  CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
  for (int turn = 0; turn < 3; ++turn) set(timer_of(SIGEV_NONE), &far_off);
}

static void finish(struct aiocb *control, ssize_t wanted) {
  const struct aiocb *const list[] = {control};
  while (aio_error(control) == EINPROGRESS) aio_suspend(list, 1, NULL);
  CHECK(aio_return(control) == wanted);
}

static void operations(void) {
  static char bytes[4096];
  char name[] = "known-XXXXXX";
  const int file = mkstemp(name);
  CHECK(file >= 0 && unlink(name) == 0);
  struct aiocb control = {.aio_fildes = file,
                          .aio_buf = bytes,
                          .aio_nbytes = sizeof bytes,
                          .aio_lio_opcode = LIO_WRITE};
  control.aio_sigevent.sigev_notify = SIGEV_NONE;
  for (int i = 0; i < 3; ++i) {
    CHECK(aio_write(&control) == 0);
    finish(&control, sizeof bytes);
  }
  CHECK(aio_fsync(O_SYNC, &control) == 0);
  finish(&control, 0);
  /* Through a queue, and shorter than asked. */
  kevent_sigevent(&control.aio_sigevent, queue, NULL);
  control.aio_offset = 1096;
  for (int i = 0; i < 2; ++i) {
    CHECK(aio_read(&control) == 0);
    collect(1);
    CHECK(aio_return(&control) == 3000);
  }
  struct aiocb second = {.aio_fildes = file, .aio_buf = bytes, .aio_nbytes = 100};
  second.aio_lio_opcode = LIO_READ;
  second.aio_sigevent.sigev_notify = SIGEV_NONE;
  struct aiocb third = second;
  struct aiocb *const list[] = {&second, NULL, &third};
  CHECK(lio_listio(LIO_WAIT, list, 3, NULL) == 0);
  finish(&second, 100);
  finish(&third, 100);
  CHECK(aio_fsync(77, &control) == -1);
  /* A list that cannot begin at all. */
  CHECK(lio_listio(77, list, 3, NULL) == -1 && errno == EINVAL);
  /* One that cannot begin, beside one that does. */
  third.aio_reqprio = -1;
  CHECK(lio_listio(LIO_NOWAIT, list, 3, NULL) == -1 && errno == EINVAL);
  finish(&second, 100);
}

/* With notifications beside the control blocks. */
static void operations_beside(void) {
  static char bytes[100];
  char name[] = "known-XXXXXX";
  const int file = mkstemp(name);
  CHECK(file >= 0 && unlink(name) == 0);
  struct aiocb written = {.aio_fildes = file, .aio_buf = bytes, .aio_nbytes = sizeof bytes};
  struct aiocb read = written;
  written.aio_lio_opcode = LIO_WRITE;
  read.aio_lio_opcode = LIO_READ;
  struct aiocb *const list[] = {&written, NULL, &read};
  struct sigevent notifications[3];
  for (int i = 0; i < 3; ++i) notifications[i] = (struct sigevent){.sigev_notify = SIGEV_NONE};
  CHECK(kevent_aio_start(LIO_WAIT, list, 1, notifications, NULL) == 0);
  finish(&written, sizeof bytes);
  kevent_sigevent(&notifications[2], queue, NULL);
  CHECK(kevent_aio_start(LIO_NOWAIT, list, 3, notifications, NULL) == 0);
  collect(1);
  finish(&written, sizeof bytes);
  CHECK(kevent_aio_start_fsync(O_DSYNC, &written, &notifications[0]) == 0);
  finish(&written, 0);
  CHECK(kevent_aio_start_fsync(77, &written, &notifications[0]) == -1);
  CHECK(kevent_aio_start(77, list, 3, NULL, NULL) == -1 && errno == EINVAL);
  /* One that cannot begin, beside one that does. */
  read.aio_reqprio = -1;
  CHECK(kevent_aio_start(LIO_NOWAIT, list, 3, notifications, NULL) == -1 && errno == EINVAL);
  finish(&written, sizeof bytes);
}

/* Two threads ask for the result of each operation at the same time. */
enum { kAskedTwice = 20000 };
static struct aiocb asked_for;
static atomic_int turns_begun;
static atomic_int turns_over;
static void *ask_as_well(void *unused) {
  for (int turn = 1; turn <= kAskedTwice; ++turn) {
    while (atomic_load(&turns_begun) < turn) sched_yield();
    CHECK(aio_return(&asked_for) == 0);
    atomic_store(&turns_over, turn);
  }
  return unused;
}
static void asked_twice(void) {
  const int file = open("/dev/null", O_RDONLY);
  CHECK(file >= 0);
  asked_for = (struct aiocb){.aio_fildes = file};
  asked_for.aio_sigevent.sigev_notify = SIGEV_NONE;
  pthread_t other;
  CHECK(pthread_create(&other, NULL, ask_as_well, NULL) == 0);
  for (int turn = 1; turn <= kAskedTwice; ++turn) {
    CHECK(aio_read(&asked_for) == 0);
    while (aio_error(&asked_for) == EINPROGRESS) sched_yield();
    atomic_store(&turns_begun, turn);
    CHECK(aio_return(&asked_for) == 0);
    while (atomic_load(&turns_over) < turn) sched_yield();
  }
  CHECK(pthread_join(other, NULL) == 0);
}

/* Of lists that fail for their last member, while handlers give back the memory of the others. */
enum { kFreedLists = 1000, kFreed = 32 };
static atomic_int freed;
static void free_control(int signal, siginfo_t *info, void *context) {
  (void)signal;
  (void)context;
  struct aiocb *const control = info->si_value.sival_ptr;
  CHECK(aio_return(control) == 0);
  CHECK(munmap(control, sizeof *control) == 0);
  atomic_fetch_add(&freed, 1);
}
static void freed_by_handler(void) {
  const int file = open("/dev/null", O_RDONLY);
  CHECK(file >= 0);
  struct sigaction action = {.sa_sigaction = free_control, .sa_flags = SA_SIGINFO | SA_RESTART};
  CHECK(sigaction(SIGRTMIN, &action, NULL) == 0);
  struct aiocb last = {.aio_fildes = file, .aio_lio_opcode = LIO_READ, .aio_reqprio = -1};
  last.aio_nbytes = 7;
  struct aiocb *list[kFreed + 1];
  list[kFreed] = &last;
  for (int turn = 1; turn <= kFreedLists; ++turn) {
    for (int i = 0; i < kFreed; ++i) {
      list[i] =
          mmap(NULL, sizeof *list[i], PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      CHECK(list[i] != MAP_FAILED);
      *list[i] = (struct aiocb){.aio_fildes = file, .aio_lio_opcode = LIO_READ};
      list[i]->aio_sigevent.sigev_notify = SIGEV_SIGNAL;
      list[i]->aio_sigevent.sigev_signo = SIGRTMIN;
      list[i]->aio_sigevent.sigev_value.sival_ptr = list[i];
    }
    CHECK(lio_listio(LIO_NOWAIT, list, kFreed + 1, NULL) == -1 && errno == EINVAL);
    while (atomic_load(&freed) < turn * kFreed) usleep(100);
  }
}

static void two_readers(void) {
  const pid_t child = fork();
  CHECK(child >= 0);
  operations();
  if (child == 0) _exit(0);
  int status;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
}

static void ring(void) {
  struct kevent_ring *const memory = calloc(1, sizeof *memory + 4 * sizeof(struct ukevent));
  close(queue);
  queue = kevent_init(memory, 4, 0);
  CHECK(queue >= 0);
  const timer_t timer = queue_timer();
  unsigned index = 0;
  for (int i = 0; i < 9; ++i) {
    set(timer, &at_once);
    const struct timespec patience = {60, 0};
    CHECK(kevent_wait(queue, 4, index, &patience, 0) == 1);
    index = memory->ring_kidx;
    CHECK(kevent_commit(queue, index, memory->ring_over) == 1);
  }
  /* The number of a queue whose ring is no more becomes a copy of this one. */
  const size_t bytes = 65536;
  void *const gone = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(gone != MAP_FAILED);
  const int copy = kevent_init(gone, 4, 0);
  CHECK(copy >= 0 && close(copy) == 0 && munmap(gone, bytes) == 0);
  CHECK(dup2(queue, copy) == copy);
  set(timer, &at_once);
  CHECK(kevent_wait(copy, 4, index, &(struct timespec){60, 0}, 0) == 1);
}

/* For docs/trace.svg: a periodic timer, one that is put off again and again, one of the kernel's.
 */
static void timeline(void) {
  const timer_t periodic = queue_timer();
  const timer_t put_off = queue_timer();
  set(timer_of(SIGEV_NONE), &(struct itimerspec){{0, 0}, {0, 9000000}});
  set(periodic, &(struct itimerspec){{0, 3000000}, {0, 3000000}});
  for (int i = 0; i < 4; ++i) {
    set(put_off, &(struct itimerspec){{0, 0}, {0, 5000000}});
    collect(1);
  }
  collect(1);
  collect(1);
}

static void one_after_the_other(void) {
  for (int i = 0; i < 200000; ++i) {
    const timer_t timer = queue_timer();
    set(timer, &far_off);
    CHECK(timer_delete(timer) == 0);
  }
}

static void too_many(void) {
  for (int i = 0; i < 70000; ++i) set(queue_timer(), &far_off);
}

/* Goes on when its parent has ended, and writes its number into a file when all is set. */
static void go_on(void) {
  const timer_t timer = queue_timer();
  for (int i = 0; i < 12345; ++i) set(timer, &far_off);
  FILE *const file = fopen("daemon.new", "w");
  CHECK(file != NULL && fprintf(file, "%d\n", getpid()) > 0 && fclose(file) == 0);
  CHECK(rename("daemon.new", "daemon") == 0);
  for (;;) pause();
}

static void daemonized(void) {
  const pid_t child = fork();
  CHECK(child >= 0);
  if (child != 0) return;
  setsid();
  go_on();
}

/* The same, but it makes nothing before there is a file "go". */
static void daemonized_late(void) {
  const pid_t child = fork();
  CHECK(child >= 0);
  if (child != 0) return;
  setsid();
  while (access("go", F_OK) != 0) usleep(10000);
  go_on();
}

static void killed(void) {
  const timer_t timer = queue_timer();
  for (int i = 0; i < 3; ++i) set(timer, &far_off);
  raise(SIGKILL);
}

static void terminated(int signal) { _exit(signal == SIGTERM ? 15 : 1); }
static void waits(void) {
  CHECK(signal(SIGTERM, terminated) != SIG_ERR);
  queue_timer();
  const int file = open("waits", O_CREAT | O_WRONLY, 0600);
  CHECK(file >= 0);
  for (;;) pause();
}

/* A byte for each SIGWINCH. */
static void answer(int signal) {
  (void)signal;
  if (write(STDOUT_FILENO, "w", 1) != 1) abort();
}
static void answers(void) {
  CHECK(signal(SIGWINCH, answer) != SIG_ERR);
  waits();
}

/* Until SIGUSR2 comes. */
static void signals(void) {
  sigset_t both;
  sigemptyset(&both);
  sigaddset(&both, SIGUSR1);
  sigaddset(&both, SIGUSR2);
  CHECK(sigprocmask(SIG_BLOCK, &both, NULL) == 0);
  CHECK(open("waits", O_CREAT | O_WRONLY, 0600) >= 0);
  int first = 0;
  for (int signal; sigwait(&both, &signal) == 0 && signal == SIGUSR1;) ++first;
  printf("signals %d\n", first);
}

int main(int argc, char **argv) {
  static const struct {
    const char *name;
    void (*run)(void);
  } modes[] = {
      {"counts", counts},
      {"thousand", thousand},
      {"threads", threads},
      {"handler", handler},
      {"handler_first", handler_first},
      {"callbacks", callbacks},
      {"again", again},
      {"forked", forked},
      {"family", family},
      {"operations", operations},
      {"operations_beside", operations_beside},
      {"asked_twice", asked_twice},
      {"freed_by_handler", freed_by_handler},
      {"ring", ring},
      {"too_many", too_many},
      {"daemonized", daemonized},
      {"daemonized_late", daemonized_late},
      {"called_in_turn", called_in_turn},
      {"stays", stays},
      {"names", names},
      {"many_threads", many_threads},
      {"one_is_left", one_is_left},
      {"two_readers", two_readers},
      {"killed", killed},
      {"waits", waits},
      {"answers", answers},
      {"signals", signals},
      {"timeline", timeline},
      {"one_after_the_other", one_after_the_other},
  };
  CHECK(argc >= 2);
  if (strcmp(argv[1], "first_together") == 0) {
    first_together();
    return EXIT_SUCCESS;
  }
  if (strcmp(argv[1], "no_room_at_first") == 0) {
    no_room_at_first();
    return EXIT_SUCCESS;
  }
  queue = kevent_init(NULL, 0, 0);
  CHECK(queue >= 0);
  if (strcmp(argv[1], "executed") == 0) {
    set(queue_timer(), &far_off);
    set(timer_of(SIGEV_NONE), &(struct itimerspec){{0, 1000000}, {0, 1000000}});
    execl("/proc/self/exe", argv[0], "stays", (char *)NULL);
  }
  for (size_t i = 0; i < sizeof modes / sizeof *modes; ++i) {
    if (strcmp(argv[1], modes[i].name) != 0) continue;
    modes[i].run();
    return EXIT_SUCCESS;
  }
  return EXIT_FAILURE;
}
