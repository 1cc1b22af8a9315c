/* SPDX-License-Identifier: MIT */
#include "binding.h"

const char *why_unusable(const struct source *source) {
  if (!is_open(source)) return "it is closed";
  if (fd_of(source->queue) == -1) return "its queue is closed";
  if (!is_of_this_process(source)) return "it stayed in the parent of a fork";
  return NULL;
}

bool is_usable(const struct source *source) {
  const char *why = why_unusable(source);
  if (why != NULL) closed(why);
  return why == NULL;
}

int open_source(struct source *source, PyObject *queue, PyObject *data) {
  if (!PyObject_TypeCheck(queue, types.queue)) {
    PyErr_Format(PyExc_TypeError, "a kevent.Queue is wanted, not %R", (PyObject *)Py_TYPE(queue));
    return -1;
  }
  if (fd_of((struct queue *)queue) == -1) {
    closed("the queue is closed");
    return -1;
  }
  uint32_t index;
  if (take_entry((struct queue *)queue, (PyObject *)source, &index) == -1) return -1;
  PyObject *old_queue = (PyObject *)source->queue;
  PyObject *old_data = source->data;
  source->queue = (struct queue *)Py_NewRef(queue);
  source->data = Py_NewRef(data);
  source->index = index;
  source->forks = kevent_forks;
  source->stamp++;
  Py_XDECREF(old_queue);
  Py_XDECREF(old_data);
  return 0;
}

void end_source(struct source *source) {
  if (!is_open(source)) return;
  free_entry(source->queue, source->index);
  source->index = (uint32_t)kNoEntry;
  /* One that is deallocated is awaited by nobody. */
  if (Py_REFCNT((PyObject *)source) > 0) tell_driver(source->queue, (PyObject *)source);
}

void close_source(struct source *source) {
  source->stamp++;
  end_source(source);
}

static int traverse(PyObject *self, visitproc visit, void *arg) {
  struct source *source = (struct source *)self;
  Py_VISIT((PyObject *)Py_TYPE(self));
  Py_VISIT((PyObject *)source->queue);
  Py_VISIT(source->data);
  return 0;
}

static int clear(PyObject *self) {
  Py_CLEAR(((struct source *)self)->data);
  return 0;
}

void free_source(struct source *source) {
  close_source(source);
  PyObject *queue = (PyObject *)source->queue;
  Py_XDECREF(source->data);
  free_object((PyObject *)source);
  Py_XDECREF(queue);
}

static PyObject *get_queue(PyObject *self, void *closure) {
  (void)closure;
  PyObject *queue = (PyObject *)((struct source *)self)->queue;
  return Py_NewRef(queue != NULL ? queue : Py_None);
}

static PyObject *get_data(PyObject *self, void *closure) {
  (void)closure;
  PyObject *data = ((struct source *)self)->data;
  return Py_NewRef(data != NULL ? data : Py_None);
}

static int set_data(PyObject *self, PyObject *value, void *closure) {
  (void)closure;
  PyObject *old = ((struct source *)self)->data;
  ((struct source *)self)->data = Py_XNewRef(value);
  Py_XDECREF(old);
  return 0;
}

static PyObject *get_closed(PyObject *self, void *closure) {
  (void)closure;
  const struct source *source = (struct source *)self;
  return PyBool_FromLong(why_unusable(source) != NULL);
}

static PyObject *enter(PyObject *self, PyObject *unused) {
  (void)unused;
  return Py_NewRef(self);
}

static PyObject *leave(PyObject *self, PyObject *args) {
  (void)args;
  return PyObject_CallMethod(self, "close", NULL);
}

/* asyncio is imported by those that await. */
static PyObject *await_source(PyObject *self) {
  PyObject *module = PyImport_ImportModule("kevent._loop");
  if (module == NULL) return NULL;
  PyObject *awaiter = PyObject_CallMethod(module, "next_event", "O", self);
  Py_DECREF(module);
  return awaiter;
}

static PyGetSetDef properties[] = {
    {"queue", get_queue, NULL, "The queue that it reports into.", NULL},
    {"data", get_data, set_data, "Any object of the program's; its events have it as well.", NULL},
    {"closed", get_closed, NULL,
     "Whether it reports nothing any more: it or its queue was closed; its last event was\n"
     "collected, that of a process, or of a file that is gone; its descriptor was closed by\n"
     "kevent.close(); or it stayed in the parent of a fork.",
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef methods[] = {
    {"__enter__", enter, METH_NOARGS, NULL},
    {"__exit__", leave, METH_VARARGS, "Closes it."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(struct source, weak_references), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc,
     "What reports into a queue: timers, watches and user events.\n\n"
     "It reports for as long as the program keeps it, until close().  To await it is to\n"
     "wait for its next event, or for the ClosedError that says that none will come."},
    {Py_tp_traverse, traverse},
    {Py_tp_clear, clear},
    {Py_tp_getset, properties},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {Py_am_await, await_source},
    {0, NULL},
};

PyType_Spec source_spec = {
    .name = "kevent.Source",
    .basicsize = sizeof(struct source),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = slots,
};
