/* SPDX-License-Identifier: MIT */
#include "binding.h"

static struct queue *queue_of(PyObject *self) { return (struct queue *)self; }

/* The descriptor; -1 and ClosedError. */
static int open_fd(PyObject *self) {
  const int fd = fd_of(queue_of(self));
  if (fd == -1) closed("the queue is closed");
  return fd;
}

static int init(PyObject *self, PyObject *args, PyObject *keywords) {
  static char *names[] = {NULL};
  if (!PyArg_ParseTupleAndKeywords(args, keywords, ":Queue", names)) return -1;
  if (queue_of(self)->number != 0 || queue_of(self)->closed) {
    PyErr_SetString(PyExc_RuntimeError, "a queue is initialised once");
    return -1;
  }
  const int fd = kevent_init(NULL, 0, 0);
  if (fd == -1) {
    os_error(errno);
    return -1;
  }
  queue_of(self)->number = fd + 1;
  return 0;
}

/* ---- Closing ------------------------------------------------------------------ */

/* Of the threads that collect and the loop that awaits, a child of fork has none. */
static void leave_parent(struct queue *queue) {
  if (queue->forks == kevent_forks) return;
  queue->forks = kevent_forks;
  queue->collectors = 0;
  Py_CLEAR(queue->driver);
}

/* The interpreter takes sys.meta_path away before it takes modules apart, asyncio's among them. */
static bool modules_are_going(void) {
  PyObject *finders = PySys_GetObject("meta_path");
  return finders == NULL || finders == Py_None;
}

/* Has asyncio let go of the descriptor before that is closed.  -1 and an exception. */
static int close_driver(struct queue *queue) {
  leave_parent(queue);
  PyObject *driver = queue->driver;
  if (driver == NULL) return 0;
  queue->driver = NULL;
  /* No loop runs any more. */
  PyObject *done =
      modules_are_going() ? Py_NewRef(Py_None) : PyObject_CallMethod(driver, "close", NULL);
  Py_DECREF(driver);
  Py_XDECREF(done);
  return done == NULL ? -1 : 0;
}

void tell_driver(struct queue *queue, PyObject *source) {
  leave_parent(queue);
  if (queue->driver == NULL || modules_are_going()) return;
  PyObject *driver = Py_NewRef(queue->driver);
  PyObject *told = PyObject_CallMethod(driver, "end", "O", source);
  if (told == NULL) PyErr_WriteUnraisable(source);
  Py_XDECREF(told);
  Py_DECREF(driver);
}

static void close_driver_of_garbage(struct queue *queue) {
  PyObject *type, *value, *traceback;
  PyErr_Fetch(&type, &value, &traceback);
  if (close_driver(queue) == -1) PyErr_WriteUnraisable(NULL);
  PyErr_Restore(type, value, traceback);
}

static unsigned collectors_of(struct queue *queue) {
  leave_parent(queue);
  return queue->collectors;
}

/* Once, when no call needs the number. */
static void close_number(struct queue *queue) {
  const int fd = queue->number - 1;
  if (fd == -1) return;
  queue->number = 0;
  Py_BEGIN_ALLOW_THREADS;
  kevent_close(fd);
  Py_END_ALLOW_THREADS;
}

static PyObject *close_queue(PyObject *self, PyObject *unused) {
  (void)unused;
  struct queue *queue = queue_of(self);
  const int driver_error = close_driver(queue);
  queue->closed = true;
  if (collectors_of(queue) == 0) {
    close_number(queue);
  } else {
    /* One of those that sleep, and that one wakes the next. */
    kevent_ctl(queue->number - 1, KEVENT_CTL_READY, 0, NULL);
  }
  if (driver_error == -1) return NULL;
  Py_RETURN_NONE;
}

static PyObject *leave(PyObject *self, PyObject *args) {
  (void)args;
  return PyObject_CallMethod(self, "close", NULL);
}

static PyObject *enter(PyObject *self, PyObject *unused) {
  (void)unused;
  return open_fd(self) == -1 ? NULL : Py_NewRef(self);
}

static int traverse(PyObject *self, visitproc visit, void *arg) {
  Py_VISIT((PyObject *)Py_TYPE(self));
  Py_VISIT(queue_of(self)->driver);
  return 0;
}

/* Of a cycle: when its parts are cleared, the driver or the loop may be before the queue. */
static void finalize(PyObject *self) { close_driver_of_garbage(queue_of(self)); }

static int clear(PyObject *self) {
  Py_CLEAR(queue_of(self)->driver);
  return 0;
}

static void dealloc(PyObject *self) {
  struct queue *queue = queue_of(self);
  PyObject_GC_UnTrack(self);
  if (queue->weak_references != NULL) PyObject_ClearWeakRefs(self);
  close_driver_of_garbage(queue);
  if (queue->number != 0) kevent_close(queue->number - 1);
  PyMem_Free(queue->entries);
  free_object(self);
}

/* ---- Collecting ------------------------------------------------------------------ */

enum { kOnStack = 256, kMost = 1 << 20 };

/* How a call waits. */
struct wait {
  unsigned int min, max;
  bool forever;
  struct timespec deadline; /* CLOCK_MONOTONIC */
};

static int parse_wait(PyObject *args, PyObject *keywords, struct wait *wait) {
  static char *names[] = {"max_events", "min_events", "timeout", NULL};
  int max = kOnStack;
  int min = 1;
  PyObject *timeout = Py_None;
  if (!PyArg_ParseTupleAndKeywords(args, keywords, "|i$iO:collect", names, &max, &min, &timeout)) {
    return -1;
  }
  if (max < 1 || min < 0 || min > max) {
    PyErr_SetString(PyExc_ValueError, "wanted: 0 <= min_events <= max_events, and 1 <= max_events");
    return -1;
  }
  if (min > kMost) {
    PyErr_Format(PyExc_ValueError, "wanted: min_events <= %d", (int)kMost);
    return -1;
  }
  if (max > kMost) max = kMost;
  *wait = (struct wait){.min = (unsigned)min, .max = (unsigned)max, .forever = timeout == Py_None};
  if (wait->forever) return 0;
  struct timespec time;
  if (to_timespec(timeout, &time) == -1) return -1;
  if (time.tv_sec == 0 && time.tv_nsec == 0) wait->min = 0;
  clock_gettime(CLOCK_MONOTONIC, &wait->deadline);
  add_time(&wait->deadline, &time);
  return 0;
}

/* kevent_get_events without the GIL; -1 and *error. */
static int sleep_for_events(struct queue *queue, const struct wait *wait, struct ukevent *events,
                            int *error) {
  const struct timespec *deadline = wait->forever ? NULL : &wait->deadline;
  const unsigned int flags = wait->forever ? 0 : KEVENT_FLAGS_ABSTIME | KEVENT_FLAGS_MONOTONIC;
  const int fd = queue->number - 1;
  int count;
  queue->collectors = collectors_of(queue) + 1;
  Py_BEGIN_ALLOW_THREADS;
  count = kevent_get_events(fd, wait->min, wait->max, deadline, events, flags);
  if (count == -1) *error = errno;
  Py_END_ALLOW_THREADS;
  queue->collectors--;
  if (!queue->closed) return count;
  if (queue->collectors == 0) {
    close_number(queue);
  } else {
    kevent_ctl(fd, KEVENT_CTL_READY, 0, NULL);
  }
  *error = EBADF;
  return -1;
}

/* How many; -1 and an exception. */
static int get_events(struct queue *queue, const struct wait *wait, struct ukevent *events) {
  for (;;) {
    if (fd_of(queue) == -1) break;
    int error = 0;
    const int count = sleep_for_events(queue, wait, events, &error);
    if (count != -1) return count;
    if (queue->closed) break;
    if (error != EINTR) {
      os_error(error);
      return -1;
    }
    /* PEP 475: the handler may raise; otherwise the wait goes on. */
    if (PyErr_CheckSignals() == -1) return -1;
  }
  closed("the queue is closed");
  return -1;
}

static int append_events(const struct queue *queue, PyObject *list, const struct ukevent *events,
                         int count) {
  for (int i = 0; i < count; i++) {
    bool ours;
    PyObject *source = find_source(queue, events[i].ptr, &ours);
    /* Closed since this thread has collected it. */
    if (ours && source == NULL) continue;
    PyObject *event = make_event(&events[i], source);
    const int status = event == NULL ? -1 : PyList_Append(list, event);
    if (status == 0 && source != NULL && is_last(&events[i])) {
      end_source((struct source *)source);
    }
    Py_XDECREF(event);
    Py_XDECREF(source);
    if (status == -1) return -1;
  }
  return 0;
}

/* Another batch is asked for when the sources of all that has come were closed meanwhile. */
static int collect_into(PyObject *self, PyObject *list, const struct wait *wait,
                        struct ukevent *events) {
  int count;
  do {
    count = get_events(queue_of(self), wait, events);
    if (count != -1 && append_events(queue_of(self), list, events, count) == -1) count = -1;
  } while (count > 0 && wait->min > 0 && PyList_Size(list) == 0);
  return count;
}

static PyObject *collect(PyObject *self, PyObject *args, PyObject *keywords) {
  struct wait wait;
  if (parse_wait(args, keywords, &wait) == -1 || open_fd(self) == -1) return NULL;
  struct ukevent on_stack[kOnStack];
  struct ukevent *events = on_stack;
  if (wait.max > kOnStack) events = PyMem_Malloc(wait.max * sizeof *events);
  if (events == NULL) return PyErr_NoMemory();
  PyObject *list = PyList_New(0);
  if (list != NULL && collect_into(self, list, &wait, events) == -1) Py_CLEAR(list);
  if (events != on_stack) PyMem_Free(events);
  return list;
}

static PyObject *wake(PyObject *self, PyObject *unused) {
  (void)unused;
  const int fd = open_fd(self);
  if (fd == -1) return NULL;
  if (kevent_ctl(fd, KEVENT_CTL_READY, 0, NULL) == -1) return os_error(errno);
  Py_RETURN_NONE;
}

/* ---- Reading ---------------------------------------------------------------------- */

static PyObject *number(PyObject *self, PyObject *unused) {
  (void)unused;
  const int fd = open_fd(self);
  return fd == -1 ? NULL : PyLong_FromLong(fd);
}

static PyObject *get_closed(PyObject *self, void *closure) {
  (void)closure;
  return PyBool_FromLong(fd_of(queue_of(self)) == -1);
}

static PyObject *represent(PyObject *self) {
  const int fd = fd_of(queue_of(self));
  if (fd == -1) return PyUnicode_FromString("<kevent.Queue closed>");
  return PyUnicode_FromFormat("<kevent.Queue fd=%d>", fd);
}

static PyObject *iterate(PyObject *self) {
  PyObject *module = PyImport_ImportModule("kevent._loop");
  if (module == NULL) return NULL;
  PyObject *iterator = PyObject_CallMethod(module, "Events", "O", self);
  Py_DECREF(module);
  return iterator;
}

static PyObject *get_driver(PyObject *self, void *closure) {
  (void)closure;
  leave_parent(queue_of(self));
  PyObject *driver = queue_of(self)->driver;
  return Py_NewRef(driver != NULL ? driver : Py_None);
}

static int set_driver(PyObject *self, PyObject *value, void *closure) {
  (void)closure;
  leave_parent(queue_of(self));
  PyObject *old = queue_of(self)->driver;
  queue_of(self)->driver = Py_XNewRef(value);
  Py_XDECREF(old);
  return 0;
}

static PyGetSetDef properties[] = {
    {"_driver", get_driver, set_driver, NULL, NULL},
    {"closed", get_closed, NULL, "Whether it is closed.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef methods[] = {
    {"collect", (PyCFunction)(void (*)(void))collect, METH_VARARGS | METH_KEYWORDS,
     "collect($self, max_events=256, *, min_events=1, timeout=None)\n--\n\n"
     "Waits for min_events, takes what is ready, and returns a list of Event.\n\n"
     "A list has max_events at most, and never more than 1048576.\n\n"
     "timeout is in seconds; None is for ever.  The list is short, or empty, after the timeout\n"
     "and after wake().  Any number of threads may collect; each event goes to one."},
    {"wake", wake, METH_NOARGS,
     "wake($self)\n--\n\nHas one call of collect() return, with what is ready."},
    {"fileno", number, METH_NOARGS,
     "fileno($self)\n--\n\nThe descriptor, readable whenever something can be collected."},
    {"close", close_queue, METH_NOARGS,
     "close($self)\n--\n\nCloses it; its timers and watches report nothing any more."},
    {"__enter__", enter, METH_NOARGS, NULL},
    {"__exit__", leave, METH_VARARGS, "Closes it."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(struct queue, weak_references), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc,
     "Queue()\n--\n\n"
     "A queue that timers and watches report into.\n\n"
     "It is closed when nothing refers to it.  A child of fork has an empty queue in\n"
     "its place.  `async for event in queue` takes events in a loop of asyncio."},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_init, init},
    {Py_tp_dealloc, dealloc},
    {Py_tp_finalize, finalize},
    {Py_tp_traverse, traverse},
    {Py_tp_clear, clear},
    {Py_tp_repr, represent},
    {Py_tp_getset, properties},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {Py_am_aiter, iterate},
    {0, NULL},
};

PyType_Spec queue_spec = {
    .name = "kevent.Queue",
    .basicsize = sizeof(struct queue),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = slots,
};
