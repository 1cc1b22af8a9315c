/* SPDX-License-Identifier: MIT */
/*
 * This program copies a directory tree with asynchronous I/O, and meanwhile answers
 * messages, looks up names and shows its progress: all of that completes into one queue.
 * It makes no thread, uses no signal, and waits in one place.
 *
 *     cc copy_tree.c -lkevent
 *     ./a.out SOURCE TARGET
 *
 * It looks up the names that it is given, and localhost, so that there is always a look-up.
 * While it runs, `copy_tree --send QUEUE status` asks for its progress, and
 * `copy_tree --send QUEUE stop` ends it in good order.  It prints QUEUE at first.
 */
#define _GNU_SOURCE
#include <aio.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <kevent/kevent.h>
#include <mqueue.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCKS = 32, BLOCK_BYTES = 65536, MAX_NAMES = 16, EVENTS = 64, MESSAGE_BYTES = 64 };

/* A file that is being copied. */
struct file {
  int in, out;
  off_t size, next; /* no block has begun with the bytes from `next` on */
  int blocks;       /* number of blocks in flight */
  int failed;
  mode_t mode;
  char *target;
};

/* A directory whose entries were all looked at.  Its mode is set at the end: until then
 * the program may have to remove a file in it whose copy has failed. */
struct directory {
  char *target;
  mode_t mode;
  struct directory *next;
};

/* A part of a file: read, then written. */
struct block {
  struct aiocb control;
  struct file *file; /* NULL: free */
  enum { TO_READ, READING, TO_WRITE, WRITING } state;
  off_t offset;
  size_t left, have, written; /* bytes of the part to read; in the buffer; written of these */
  char *buffer;
};

static struct {
  int queue;
  mqd_t messages;
  char message_queue[64];
  FTS *walk;
  size_t source_length;
  const char *target;
  struct file *current;
  struct directory *done, **done_end; /* those within others first */
  struct block blocks[BLOCKS];
  int names_left, stopping;
  struct gaicb names[MAX_NAMES];
  struct gaicb *name_list[MAX_NAMES];
  int name_count;
  unsigned long long bytes;
  unsigned files, directories, links, errors, unfinished;
} copy;

static void complain(const char *what) {
  fprintf(stderr, "copy_tree: %s: %s\n", what, strerror(errno));
  ++copy.errors;
}

static void must(int good, const char *what) {
  if (good) return;
  complain(what);
  exit(EXIT_FAILURE);
}

static void print_progress(const char *label) {
  printf("%s: %u files, %llu bytes, %u directories, %u links, %u errors\n", label, copy.files,
         copy.bytes, copy.directories, copy.links, copy.errors);
  fflush(stdout);
}

/* ---- The tree ------------------------------------------------------------ */

static char *target_of(const FTSENT *entry) {
  char *path;
  must(asprintf(&path, "%s%s", copy.target, entry->fts_path + copy.source_length) >= 0, "asprintf");
  return path;
}

static void copy_link(const FTSENT *entry, const char *target) {
  char text[4096];
  const ssize_t length = readlink(entry->fts_accpath, text, sizeof text - 1);
  if (length < 0) {
    complain(entry->fts_path);
    return;
  }
  text[length] = '\0';
  if (symlink(text, target) != 0) {
    complain(target);
  } else {
    ++copy.links;
  }
}

static void remember_directory(const FTSENT *entry, char *target) {
  struct directory *directory = malloc(sizeof *directory);
  if (directory == NULL) {
    complain(target);
    exit(EXIT_FAILURE);
  }
  *directory = (struct directory){target, entry->fts_statp->st_mode & 07777, NULL};
  *copy.done_end = directory;
  copy.done_end = &directory->next;
}

static void set_modes(void) {
  struct directory *directory;
  while ((directory = copy.done) != NULL) {
    copy.done = directory->next;
    if (chmod(directory->target, directory->mode) != 0) complain(directory->target);
    free(directory->target);
    free(directory);
  }
}

static struct file *open_file(const FTSENT *entry, char *target) {
  const int in = open(entry->fts_accpath, O_RDONLY | O_CLOEXEC);
  if (in < 0) {
    complain(entry->fts_path);
    return NULL;
  }
  const int out = open(target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  struct file *file = malloc(sizeof *file);
  if (out < 0 || file == NULL) {
    complain(target);
    free(file);
    close(in);
    if (out >= 0) close(out);
    return NULL;
  }
  *file = (struct file){.in = in,
                        .out = out,
                        .size = entry->fts_statp->st_size,
                        .mode = entry->fts_statp->st_mode & 07777,
                        .target = target};
  return file;
}

static void close_file(struct file *file) {
  const int whole = !file->failed && file->next >= file->size;
  if (whole && fchmod(file->out, file->mode) != 0) complain(file->target);
  close(file->in);
  if (close(file->out) != 0) complain(file->target);
  if (whole) {
    ++copy.files;
  } else {
    ++copy.unfinished;
    fprintf(stderr, "copy_tree: not copied: %s\n", file->target);
    unlink(file->target);
  }
  free(file->target);
  free(file);
}

/* Returns the next regular file that is not empty, or NULL at the end.  Copies the
 * directories, links and empty files that come before it. */
static struct file *next_file(void) {
  while (!copy.stopping) {
    errno = 0; /* NULL is the end, or an error */
    const FTSENT *entry = fts_read(copy.walk);
    if (entry == NULL) {
      if (errno != 0) complain("fts_read");
      return NULL;
    }
    char *target = target_of(entry);
    struct file *file = NULL;
    switch (entry->fts_info) {
      case FTS_D:
        if (mkdir(target, 0700) == 0) {
          ++copy.directories;
        } else {
          complain(target);
          fts_set(copy.walk, (FTSENT *)entry, FTS_SKIP);
        }
        break;
      case FTS_DP:
        remember_directory(entry, target);
        continue;
      case FTS_SL:
      case FTS_SLNONE:
        copy_link(entry, target);
        break;
      case FTS_F:
        file = open_file(entry, target);
        break;
      case FTS_DNR:
      case FTS_ERR:
      case FTS_NS:
        errno = entry->fts_errno;
        complain(entry->fts_path);
        break;
      default:
        printf("skipped: %s\n", entry->fts_path);
    }
    if (file != NULL && file->size != 0) return file; /* the file owns `target` */
    if (file != NULL) {
      close_file(file);
    } else {
      free(target);
    }
  }
  return NULL;
}

/* ---- Blocks -------------------------------------------------------------- */

/* Begins the next step of a block.  If there is no room for the operation (EAGAIN), the
 * loop tries again after the next event. */
static int start(struct block *block) {
  struct aiocb *control = &block->control;
  const int writes = block->state == TO_WRITE;
  memset(control, 0, sizeof *control);
  control->aio_fildes = writes ? block->file->out : block->file->in;
  control->aio_buf = block->buffer + (writes ? block->written : 0);
  control->aio_nbytes = writes ? block->have - block->written : block->left;
  control->aio_offset = block->offset + (off_t)block->written;
  kevent_sigevent(&control->aio_sigevent, copy.queue, block);
  if ((writes ? aio_write(control) : aio_read(control)) != 0) {
    must(errno == EAGAIN, writes ? "aio_write" : "aio_read");
    return 0;
  }
  block->state = writes ? WRITING : READING;
  return 1;
}

static void end_block(struct block *block) {
  struct file *file = block->file;
  block->file = NULL;
  if (--file->blocks == 0 && (file != copy.current || file->next >= file->size)) {
    if (file == copy.current) copy.current = NULL;
    close_file(file);
  }
}

/* Gives a free block a part of the current file.  Returns 0 when there is no part left. */
static int give_work(struct block *block) {
  if (copy.stopping) return 0;
  if (copy.current == NULL) copy.current = next_file();
  struct file *file = copy.current;
  if (file == NULL) return 0;
  block->file = file;
  block->state = TO_READ;
  block->offset = file->next;
  block->left = file->size - file->next < BLOCK_BYTES ? (size_t)(file->size - file->next)
                                                      : (size_t)BLOCK_BYTES;
  block->have = block->written = 0;
  file->next += (off_t)block->left;
  ++file->blocks;
  if (file->next >= file->size) copy.current = NULL;
  return 1;
}

static void keep_busy(void) {
  for (int i = 0; i < BLOCKS; ++i) {
    struct block *block = &copy.blocks[i];
    if (block->file == NULL && !give_work(block)) continue;
    if ((block->state == TO_READ || block->state == TO_WRITE) && !start(block)) return;
  }
}

static void step_done(struct block *block, const struct ukevent *event) {
  const int error = (int)event->ret_data[1];
  const size_t bytes = event->ret_data[0];
  if (error != 0 || (block->state == WRITING && bytes == 0)) {
    errno = error != 0 ? error : EIO;
    if (!block->file->failed) complain(block->file->target);
    block->file->failed = 1;
    end_block(block);
  } else if (block->state == READING) {
    block->have = bytes;
    block->written = 0;
    block->state = TO_WRITE;
    if (bytes == 0) end_block(block); /* the file has become shorter */
  } else {
    copy.bytes += bytes;
    block->written += bytes;
    block->state = TO_WRITE;
    if (block->written < block->have) return;
    block->offset += (off_t)block->have;
    block->left -= block->have;
    block->have = block->written = 0;
    block->state = TO_READ;
    if (block->left == 0) end_block(block);
  }
}

static int busy(void) {
  for (int i = 0; i < BLOCKS; ++i) {
    if (copy.blocks[i].file != NULL) return 1;
  }
  return 0;
}

/* From now on no block begins with another part. */
static void stop(void) {
  printf("stopping\n");
  copy.stopping = 1;
  if (copy.current != NULL && copy.current->blocks == 0) close_file(copy.current);
  copy.current = NULL;
}

/* ---- Messages, names, time ------------------------------------------------ */

static void expect_message(void) {
  struct sigevent notification;
  kevent_sigevent(&notification, copy.queue, NULL);
  must(mq_notify(copy.messages, &notification) == 0, "mq_notify");
}

/* Registers again before it empties the queue: a message that comes in between is read
 * either by this loop or after the next event. */
static void read_messages(void) {
  char text[MESSAGE_BYTES + 1];
  ssize_t length;
  expect_message();
  while ((length = mq_receive(copy.messages, text, MESSAGE_BYTES, NULL)) >= 0) {
    text[length] = '\0';
    if (strcmp(text, "status") == 0) {
      print_progress("status");
    } else if (strcmp(text, "stop") == 0) {
      stop();
    } else {
      printf("unknown message: %s\n", text);
    }
  }
}

static void remove_messages(void) { mq_unlink(copy.message_queue); }

/* Prints the name only when the queue is watched: a message that arrived before would
 * not notify, nor would those after it, as only one that arrives at an empty queue
 * does (mq_notify(3)). */
static void open_messages(void) {
  struct mq_attr attributes = {.mq_maxmsg = 8, .mq_msgsize = MESSAGE_BYTES};
  snprintf(copy.message_queue, sizeof copy.message_queue, "/copy_tree.%d", (int)getpid());
  copy.messages =
      mq_open(copy.message_queue, O_RDONLY | O_CREAT | O_EXCL | O_NONBLOCK, 0600, &attributes);
  must(copy.messages >= 0, copy.message_queue);
  atexit(remove_messages);
  expect_message();
  printf("messages: %s\n", copy.message_queue);
  fflush(stdout);
}

static void look_up_names(void) {
  struct sigevent notification;
  for (int i = 0; i < copy.name_count; ++i) copy.name_list[i] = &copy.names[i];
  kevent_sigevent(&notification, copy.queue, NULL);
  const int error = getaddrinfo_a(GAI_NOWAIT, copy.name_list, copy.name_count, &notification);
  if (error != 0) {
    fprintf(stderr, "copy_tree: getaddrinfo_a: %s\n", gai_strerror(error));
    exit(EXIT_FAILURE);
  }
  copy.names_left = 1;
}

static void print_names(void) {
  copy.names_left = 0;
  for (int i = 0; i < copy.name_count; ++i) {
    const int error = gai_error(&copy.names[i]);
    char address[INET6_ADDRSTRLEN + 16] = "";
    const struct addrinfo *found = copy.names[i].ar_result;
    if (error == 0) {
      getnameinfo(found->ai_addr, found->ai_addrlen, address, sizeof address, NULL, 0,
                  NI_NUMERICHOST);
    }
    printf("name: %s is %s\n", copy.names[i].ar_name, error == 0 ? address : gai_strerror(error));
    if (error == 0) freeaddrinfo(copy.names[i].ar_result);
  }
}

static void start_timer(void) {
  const struct itimerspec each = {{0, 100000000}, {0, 100000000}};
  struct sigevent notification;
  timer_t timer;
  kevent_sigevent(&notification, copy.queue, NULL);
  must(timer_create(CLOCK_MONOTONIC, &notification, &timer) == 0, "timer_create");
  must(timer_settime(timer, 0, &each, NULL) == 0, "timer_settime");
}

/* ---- The loop ------------------------------------------------------------- */

static void handle(const struct ukevent *event) {
  switch (event->type) {
    case KEVENT_AIO:
      step_done(event->ptr, event);
      break;
    case KEVENT_MQ:
      read_messages();
      break;
    case KEVENT_GAI:
      print_names();
      break;
    case KEVENT_POSIX_TIMER:
      print_progress("progress");
      break;
  }
}

static void run(void) {
  struct ukevent events[EVENTS];
  for (keep_busy(); busy() || copy.names_left; keep_busy()) {
    const int count = kevent_get_events(copy.queue, 1, EVENTS, NULL, events, 0);
    if (count < 0 && errno == EINTR) continue;
    must(count >= 0, "kevent_get_events");
    for (int i = 0; i < count; ++i) handle(&events[i]);
  }
}

static int send_message(const char *queue, const char *text) {
  const mqd_t messages = mq_open(queue, O_WRONLY);
  must(messages >= 0, queue);
  must(mq_send(messages, text, strlen(text), 0) == 0, queue);
  return EXIT_SUCCESS;
}

static void usage(void) {
  printf(
      "usage: copy_tree [--resolve NAME]... SOURCE TARGET\n"
      "       copy_tree --send QUEUE status|stop\n"
      "\n"
      "Copies the tree SOURCE to TARGET, which must not exist.  Meanwhile prints how far\n"
      "it is, each 100 ms, looks up localhost and each NAME, and takes messages from the\n"
      "queue whose name it prints.  Exits with 0 if all was copied, else with 1.\n"
      "\n"
      "  --resolve NAME            look this up, too; up to %d times\n"
      "  --send QUEUE status|stop  ask the copy_tree of this QUEUE how far it is, or to end\n"
      "  --help                    print this and exit\n",
      MAX_NAMES - 1);
}

static int misused(const char *why, const char *argument) {
  fprintf(stderr, "copy_tree: %s '%s'\nTry 'copy_tree --help'.\n", why, argument);
  return 2;
}

static void open_tree(char *source) {
  size_t length = strlen(source);
  while (length > 1 && source[length - 1] == '/') source[--length] = '\0';
  copy.source_length = length;
  copy.done_end = &copy.done;
  char *roots[] = {source, NULL};
  copy.walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
  must(copy.walk != NULL, source);
  for (int i = 0; i < BLOCKS; ++i) {
    copy.blocks[i].buffer = malloc(BLOCK_BYTES);
    must(copy.blocks[i].buffer != NULL, "malloc");
  }
}

int main(int argc, char **argv) {
  int i = 1;
  copy.names[copy.name_count++].ar_name = "localhost";
  for (; i < argc && argv[i][0] == '-'; i += 2) {
    const int resolve = strcmp(argv[i], "--resolve") == 0;
    const int send = strcmp(argv[i], "--send") == 0;
    if (strcmp(argv[i], "--help") == 0) {
      usage();
      return EXIT_SUCCESS;
    }
    if (!resolve && !send) return misused("unknown option", argv[i]);
    if (argc - i < (send ? 3 : 2)) return misused("there is not enough after", argv[i]);
    if (send) {
      if (argc - i > 3) return misused("surplus argument", argv[i + 3]);
      return send_message(argv[i + 1], argv[i + 2]);
    }
    if (copy.name_count == MAX_NAMES) return misused("too many names with", argv[i + 1]);
    copy.names[copy.name_count++].ar_name = argv[i + 1];
  }
  if (argc - i > 2) return misused("surplus argument", argv[i + 2]);
  if (argc - i < 2) return misused("SOURCE and TARGET are to follow", argv[argc - 1]);
  copy.queue = kevent_init(NULL, 0, 0);
  must(copy.queue >= 0, "kevent_init");
  copy.target = argv[i + 1];
  open_tree(argv[i]);
  open_messages();
  look_up_names();
  start_timer();
  run();
  set_modes();
  print_progress(copy.stopping ? "stopped" : "copied");
  return copy.stopping || copy.errors != 0 || copy.unfinished != 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
