/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the extension module share.  All of it belongs to whoever holds the GIL.
 *
 * An event carries a cookie, and a thread can have collected it, without the GIL, when its object
 * goes away.  So a cookie is no address: it names an entry of the queue's table and the entry's
 * generation, and is looked up once the collector has the GIL.
 */
#ifndef KEVENT_PYTHON_BINDING_H
#define KEVENT_PYTHON_BINDING_H

#include <Python.h>
#include <errno.h>
#include <kevent/kevent.h>
#include <stdbool.h>
#include <stdint.h>
#include <structmember.h>
#include <time.h>

/* How often the process has forked, in the line of this process.  kevent(7): a child of fork has
 * an empty queue in place of the parent's, and none of its timers. */
extern unsigned kevent_forks;
int count_forks(void);

/* ---- Queues: queue.c, and the table of what reports into one: table.c ------ */

struct entry {
  PyObject *source; /* borrowed; NULL: the entry is free */
  uint32_t generation;
  uint32_t next_free;
};

struct queue {
  PyObject base;
  PyObject *driver; /* what asyncio reads it by: kevent/_loop.py; may be NULL */
  PyObject *weak_references;
  struct entry *entries;
  uint32_t size;
  uint32_t capacity;
  uint32_t first_free; /* 1 more than its index; 0: none */
  int number;          /* 1 more than the descriptor; 0: there is none */
  bool closed;         /* also while the number is kept for those that collect */
  unsigned collectors; /* calls without the GIL, for which the number must name the queue */
  unsigned forks;      /* at which they were counted, and the driver set */
};
extern PyType_Spec queue_spec;

/* The descriptor; -1 if it is closed. */
static inline int fd_of(const struct queue *queue) {
  return queue->closed ? -1 : queue->number - 1;
}

/* An entry for source; -1 and MemoryError without memory. */
int take_entry(struct queue *queue, PyObject *source, uint32_t *index);
void free_entry(struct queue *queue, uint32_t index);
void *cookie_of(const struct queue *queue, uint32_t index);
/* A new reference: making the event may collect cycles.  NULL if the cookie is of no object, or of
 * none any more.  `ours` says whether a queue of this module has made the cookie. */
PyObject *find_source(const struct queue *queue, void *cookie, bool *ours);
/* Has those look who await source, which reports nothing any more; no error leaves it. */
void tell_driver(struct queue *queue, PyObject *source);

/* ---- What reports into a queue: source.c ---------------------------------- */

enum { kNoEntry = -1 };

struct source {
  PyObject base;
  /* As long as the object: any cycle through the queue goes on through what the queue drops. */
  struct queue *queue;
  PyObject *data;
  PyObject *weak_references;
  uint32_t index; /* kNoEntry: closed */
  unsigned forks;
  uint32_t stamp; /* of its setting: what was collected under another one is stale */
};
extern PyType_Spec source_spec;

static inline bool is_open(const struct source *source) {
  return source->queue != NULL && source->index != (uint32_t)kNoEntry;
}
/* Whether what it has registered is there to be removed. */
static inline bool is_of_this_process(const struct source *source) {
  return source->forks == kevent_forks;
}
/* That it is closed, its queue is, or it is of the parent process; NULL if none of these. */
const char *why_unusable(const struct source *source);
/* False, and a ClosedError that says why. */
bool is_usable(const struct source *source);
/* What __init__ of each begins with, and what it ends with. */
int open_source(struct source *source, PyObject *queue, PyObject *data);
/* By its last event, which stays fresh; those who await it are told. */
void end_source(struct source *source);
/* So that what was collected of it is stale. */
void close_source(struct source *source);
void free_source(struct source *source);

extern PyType_Spec timer_spec;            /* timer.c */
extern PyType_Spec watch_spec;            /* watch.c */
extern PyType_Spec descriptor_watch_spec; /* kinds.c */
extern PyType_Spec signal_watch_spec;
extern PyType_Spec process_watch_spec;
extern PyType_Spec file_watch_spec;
extern PyType_Spec user_event_spec;

PyObject *set_all(PyObject *module, PyObject *args, PyObject *keywords); /* timer.c */
extern const char set_all_doc[];

struct watch {
  struct source source;
  struct ukevent request;
  struct watch *next, *previous; /* of the same descriptor */
};
int open_watch(struct watch *watch, PyObject *queue, PyObject *data, const struct ukevent *request);
/* The same without an OSError for the errno value that it returns; -1 and an exception. */
int add_watch(struct watch *watch, PyObject *queue, PyObject *data, const struct ukevent *request);
void remove_watch(struct watch *watch);
/* An errno value, or 0. */
int control_watch(const struct watch *watch, unsigned command);
/* None, or NULL and an OSError. */
PyObject *command_watch(struct watch *watch, unsigned command);

/* ---- What watches a descriptor: descriptors.c -------------------------------- */

/* Those of kevent_poll(7); of other kinds nothing is done. */
int note_watch(struct watch *watch); /* 0, or ENOMEM */
void forget_watch(struct watch *watch);
/* Of all queues. */
void remove_watches_of(int fd);

/* ---- Events: event.c ------------------------------------------------------ */

extern PyType_Spec event_spec;
extern PyType_Spec expiration_spec;
extern PyType_Spec readiness_spec;
extern PyType_Spec signal_receipt_spec;
extern PyType_Spec process_exit_spec;
extern PyType_Spec file_changes_spec;
extern PyType_Spec notification_spec;

PyObject *make_event(const struct ukevent *event, PyObject *source);
/* Whether its source reports nothing after it. */
bool is_last(const struct ukevent *event);
PyObject *merge_events(PyObject *module, PyObject *args);

/* ---- Times: times.c ------------------------------------------------------- */

/* Seconds into a timespec, rounded up, saturating as libkevent does.  Not positive is 0.  -1 and a
 * TypeError or ValueError if it is no number. */
int to_timespec(PyObject *seconds, struct timespec *time);
double to_seconds(const struct timespec *time);
void add_time(struct timespec *time, const struct timespec *more);

/* ---- The module: module.c ------------------------------------------------- */

/* One interpreter of a process has the module, so its types are variables. */
extern struct types {
  PyTypeObject *queue, *source, *timer, *watch;
  PyTypeObject *event, *expiration, *readiness, *signal_receipt, *process_exit, *file_changes,
      *notification;
  PyObject *closed_error;
  PyObject *interest, *file_change, *signals; /* Python's names of numbers */
} types;

/* NULL, and ClosedError with EBADF and this text. */
void *closed(const char *text);
/* NULL, and the subclass of OSError that stands for the number, with this text. */
void *os_error_with(int number, const char *text);
/* The same with the system's text. */
void *os_error(int number);
/* self's memory, when its members have been dropped. */
void free_object(PyObject *self);

#endif /* KEVENT_PYTHON_BINDING_H */
