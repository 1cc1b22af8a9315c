/* SPDX-License-Identifier: MIT */
/*
 * blocks read|write|sync|list|waited_list: a control block is the program's own from the moment on
 * at which aio_error says that its operation has ended.  Each block has a page of its own, which
 * another thread unmaps at that moment, whether the call that has begun the operation has returned
 * or not.
 *
 * blocks refused: what is known of a callback is forgotten if its operation does not begin.
 */
#define _GNU_SOURCE
#include <aio.h>
#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>

#include "tests/adapters/threads/sigev_thread.h"

enum { kRounds = 3000, kMembers = 4 };

static int g_file;
static char g_bytes[kMembers];
static sem_t g_told;

static void tell(union sigval value) { CHECK(sem_post(value.sival_ptr) == 0); }

static void open_file(void) {
  char name[] = "/tmp/kevent.blocks.XXXXXX";
  g_file = mkstemp(name);
  CHECK(g_file >= 0);
  CHECK(unlink(name) == 0);
  CHECK(write(g_file, g_bytes, sizeof g_bytes) == sizeof g_bytes);
}

static void fill(struct aiocb *control, int opcode, int place) {
  control->aio_fildes = g_file;
  control->aio_buf = &g_bytes[place];
  control->aio_nbytes = 1;
  control->aio_offset = place;
  control->aio_lio_opcode = opcode;
  control->aio_sigevent = by_thread(tell, &g_told, NULL);
}

/* ---- Blocks that are unmapped at once -------------------------------------- */

static _Atomic(struct aiocb *) g_blocks[kMembers];
static atomic_int g_unmapped;

static struct aiocb *new_block(int opcode, int place) {
  struct aiocb *const block = mmap(NULL, (size_t)sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE,
                                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(block != MAP_FAILED);
  fill(block, opcode, place);
  /* Else aio_error would say that an operation that has not begun has ended. */
  block->__error_code = EINPROGRESS;
  return block;
}

static void *unmap_what_has_ended(void *nothing) {
  for (;;) {
    for (int i = 0; i < kMembers; ++i) {
      struct aiocb *const block = g_blocks[i];
      if (block == NULL || aio_error(block) == EINPROGRESS) continue;
      CHECK(aio_error(block) == 0);
      CHECK(munmap(block, (size_t)sysconf(_SC_PAGESIZE)) == 0);
      g_blocks[i] = NULL;
      ++g_unmapped;
    }
    sched_yield();
  }
  return nothing;
}

static void begin(const char *kind, struct aiocb *list[], struct sigevent *of_list) {
  if (strcmp(kind, "read") == 0) {
    CHECK(aio_read(list[0]) == 0);
  } else if (strcmp(kind, "write") == 0) {
    CHECK(aio_write(list[0]) == 0);
  } else if (strcmp(kind, "sync") == 0) {
    CHECK(aio_fsync(O_DSYNC, list[0]) == 0);
  } else {
    const int mode = strcmp(kind, "waited_list") == 0 ? LIO_WAIT : LIO_NOWAIT;
    CHECK(lio_listio(mode, list, kMembers, of_list) == 0);
  }
}

static void check_blocks(const char *kind) {
  const int is_list = strstr(kind, "list") != NULL;
  const int members = is_list ? kMembers : 1;
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, unmap_what_has_ended, NULL) == 0);
  for (int round = 0; round < kRounds; ++round) {
    struct aiocb *list[kMembers];
    for (int i = 0; i < members; ++i) {
      const int writes = strcmp(kind, "write") == 0 || (is_list && i % 2 != 0);
      list[i] = new_block(writes ? LIO_WRITE : LIO_READ, i);
    }
    g_unmapped = 0;
    for (int i = 0; i < members; ++i) g_blocks[i] = list[i];
    struct sigevent of_list = by_thread(tell, &g_told, NULL);
    begin(kind, list, &of_list);
    for (int i = 0; i < members + (strcmp(kind, "list") == 0); ++i) await(&g_told);
    while (g_unmapped < members) sched_yield();
  }
}

/* ---- Operations that do not begin ------------------------------------------ */

/* The read is done in the call. */
static void begin_one_and_refuse_others(void) {
  struct aiocb controls[kMembers];
  struct aiocb *list[kMembers];
  memset(controls, 0, sizeof controls);
  for (int i = 0; i < kMembers; ++i) {
    fill(list[i] = &controls[i], LIO_READ, i);
    if (i != 1) controls[i].aio_reqprio = 99;
  }
  struct sigevent of_list = by_thread(tell, &g_told, NULL);
  CHECK(lio_listio(LIO_NOWAIT, list, kMembers, &of_list) == -1 && errno == EINVAL);
  await(&g_told);
  await(&g_told);
  for (int i = 0; i < kMembers; ++i) CHECK(aio_error(list[i]) == (i == 1 ? 0 : EINVAL));
}

static void refuse_one(void) {
  struct aiocb control;
  memset(&control, 0, sizeof control);
  fill(&control, LIO_READ, 0);
  control.aio_reqprio = 99;
  CHECK(aio_read(&control) == -1 && errno == EINVAL);
  control.aio_fildes = -1;
  CHECK(aio_fsync(O_SYNC, &control) == -1 && errno == EBADF);
}

static long count_resident_pages(void) {
  long all;
  long resident;
  FILE *const file = fopen("/proc/self/statm", "r");
  CHECK(file != NULL);
  CHECK(fscanf(file, "%ld %ld", &all, &resident) == 2);
  CHECK(fclose(file) == 0);
  return resident;
}

static void refuse_many(void) {
  for (int i = 0; i < 10000; ++i) {
    begin_one_and_refuse_others();
    refuse_one();
  }
}

/* A record has at least 64 bytes, so 512 pages hold less than is refused.  The last thread of a
 * pool stays as long as a callback may come. */
static void refused(void) {
  refuse_many();
  const long pages = count_resident_pages();
  refuse_many();
  CHECK(count_resident_pages() < pages + 512);
  while (count_threads() > 1) sched_yield();
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  CHECK(sem_init(&g_told, 0, 0) == 0);
  open_file();
  if (strcmp(argv[1], "refused") == 0) {
    refused();
  } else {
    check_blocks(argv[1]);
  }
  return 0;
}
