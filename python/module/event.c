/* SPDX-License-Identifier: MIT */
#include <Python.h>
#include <limits.h>
#include <sys/wait.h>

#include "binding.h"

struct event {
  PyObject base;
  PyObject *source; /* NULL: it was not registered by this module */
  struct ukevent event;
  uint32_t stamp; /* of the source */
};

static const struct ukevent *event_of(PyObject *self) { return &((struct event *)self)->event; }

static PyTypeObject *type_of(const struct ukevent *event) {
  switch (event->type) {
    case KEVENT_POSIX_TIMER:
    case KEVENT_TIMER:
      return types.expiration;
    case KEVENT_POLL:
      return types.readiness;
    case KEVENT_SIGNAL:
      return types.signal_receipt;
    case KEVENT_PROCESS:
      return types.process_exit;
    case KEVENT_INODE:
      return types.file_changes;
    case KEVENT_UNOTIFY:
      return types.notification;
    default:
      return types.event;
  }
}

PyObject *make_event(const struct ukevent *event, PyObject *source) {
  struct event *made = PyObject_GC_New(struct event, type_of(event));
  if (made == NULL) return NULL;
  made->source = Py_XNewRef(source);
  made->event = *event;
  made->stamp = source == NULL ? 0 : ((struct source *)source)->stamp;
  PyObject_GC_Track(made);
  return (PyObject *)made;
}

bool is_last(const struct ukevent *event) {
  switch (event->type) {
    case KEVENT_PROCESS:
      return true;
    case KEVENT_INODE:
      return (event->ret_flags & KEVENT_RET_BROKEN) != 0;
    default:
      return false;
  }
}

static int traverse(PyObject *self, visitproc visit, void *arg) {
  Py_VISIT((PyObject *)Py_TYPE(self));
  Py_VISIT(((struct event *)self)->source);
  return 0;
}

static int clear(PyObject *self) {
  Py_CLEAR(((struct event *)self)->source);
  return 0;
}

static void dealloc(PyObject *self) {
  PyObject_GC_UnTrack(self);
  clear(self);
  free_object(self);
}

/* ---- Merging ------------------------------------------------------------------ */

static uint32_t add(uint32_t one, uint32_t other, uint32_t most) {
  const uint64_t sum = (uint64_t)one + other;
  return sum < most ? (uint32_t)sum : most;
}

/* One event in place of two of a source, as the queue would have reported it. */
PyObject *merge_events(PyObject *module, PyObject *args) {
  (void)module;
  PyObject *older, *newer;
  if (!PyArg_ParseTuple(args, "O!O!:merge", types.event, &older, types.event, &newer)) return NULL;
  const struct ukevent *one = event_of(older);
  struct ukevent merged = *event_of(newer);
  switch (merged.type) {
    case KEVENT_POSIX_TIMER:
    case KEVENT_TIMER:
      merged.ret_data[0] = add(add(one->ret_data[0], merged.ret_data[0], INT_MAX), 1, INT_MAX);
      break;
    case KEVENT_SIGNAL:
      merged.ret_data[0] = add(one->ret_data[0], merged.ret_data[0], UINT32_MAX);
      break;
    case KEVENT_INODE:
      merged.ret_flags |= one->ret_flags;
      merged.ret_data[0] |= one->ret_data[0];
      merged.ret_data[1] = add(one->ret_data[1], merged.ret_data[1], UINT32_MAX);
      break;
    default:
      break;
  }
  return make_event(&merged, ((struct event *)newer)->source);
}

/* ---- Members of all events ------------------------------------------------------ */

static PyObject *get_source(PyObject *self, void *closure) {
  (void)closure;
  PyObject *source = ((struct event *)self)->source;
  return Py_NewRef(source != NULL ? source : Py_None);
}

static PyObject *get_data(PyObject *self, void *closure) {
  (void)closure;
  const struct source *source = (struct source *)((struct event *)self)->source;
  return Py_NewRef(source != NULL && source->data != NULL ? source->data : Py_None);
}

static PyObject *get_stale(PyObject *self, void *closure) {
  (void)closure;
  const struct event *event = (struct event *)self;
  const struct source *source = (struct source *)event->source;
  return PyBool_FromLong(source != NULL && source->stamp != event->stamp);
}

static PyObject *get_raw(PyObject *self, void *closure) {
  (void)closure;
  const struct ukevent *event = event_of(self);
  return Py_BuildValue("{s:K,s:I,s:I,s:I,s:I,s:(II),s:K}", "id",
                       (unsigned long long)event->id.raw_u64, "type", event->type, "event",
                       event->event, "req_flags", event->req_flags, "ret_flags", event->ret_flags,
                       "ret_data", event->ret_data[0], event->ret_data[1], "ptr",
                       (unsigned long long)(uintptr_t)event->ptr);
}

static PyObject *represent(PyObject *self) {
  PyObject *data = get_data(self, NULL);
  const struct ukevent *event = event_of(self);
  PyObject *name = PyType_GetQualName(Py_TYPE(self));
  PyObject *text = name == NULL
                       ? NULL
                       : PyUnicode_FromFormat("<kevent.%U id=%llu ret_data=(%u, %u) data=%R>", name,
                                              (unsigned long long)event->id.raw_u64,
                                              event->ret_data[0], event->ret_data[1], data);
  Py_XDECREF(name);
  Py_DECREF(data);
  return text;
}

static PyGetSetDef event_properties[] = {
    {"source", get_source, NULL,
     "The timer or watch that has reported it; None if it is not one of this module.", NULL},
    {"data", get_data, NULL, "The data of its source.", NULL},
    {"stale", get_stale, NULL,
     "Whether its source was set, modified or closed since it was collected.", NULL},
    {"raw", get_raw, NULL, "The members of struct ukevent: kevent_values(7).", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

/* ---- Members of each kind --------------------------------------------------------- */

static PyObject *get_first(PyObject *self, void *closure) {
  (void)closure;
  return PyLong_FromUnsignedLong(event_of(self)->ret_data[0]);
}

static PyObject *get_second(PyObject *self, void *closure) {
  (void)closure;
  return PyLong_FromUnsignedLong(event_of(self)->ret_data[1]);
}

static PyObject *get_id(PyObject *self, void *closure) {
  (void)closure;
  return PyLong_FromLong((int)event_of(self)->id.raw[0]);
}

/* The number as Python names it; as it is where Python has no name for it. */
static PyObject *named(PyObject *names, long number) {
  if (names == NULL) return PyLong_FromLong(number);
  PyObject *name = PyObject_CallFunction(names, "l", number);
  if (name != NULL || !PyErr_ExceptionMatches(PyExc_ValueError)) return name;
  PyErr_Clear();
  return PyLong_FromLong(number);
}

static PyObject *get_readiness(PyObject *self, void *closure) {
  (void)closure;
  return named(types.interest, event_of(self)->ret_data[0]);
}

static PyObject *get_changes(PyObject *self, void *closure) {
  (void)closure;
  return named(types.file_change, event_of(self)->ret_data[0]);
}

static PyObject *get_signal(PyObject *self, void *closure) {
  (void)closure;
  return named(types.signals, (int)event_of(self)->id.raw[0]);
}

static PyObject *get_lateness(PyObject *self, void *closure) {
  (void)closure;
  return PyFloat_FromDouble(event_of(self)->ret_data[1] / 1e9);
}

static PyGetSetDef expiration_properties[] = {
    {"overruns", get_first, NULL, "Expirations after the first that this event stands for.", NULL},
    {"lateness", get_lateness, NULL,
     "Seconds from the last expiration to its collection; saturates at 4.29.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

/* closure: the bits that are asked for. */
static PyObject *has_bits(PyObject *self, void *closure) {
  return PyBool_FromLong((event_of(self)->ret_data[0] & (uint32_t)(uintptr_t)closure) != 0);
}

static PyGetSetDef readiness_properties[] = {
    {"fd", get_id, NULL, "The descriptor.", NULL},
    {"events", get_readiness, NULL, "An Interest, which may have further bits of poll(2).", NULL},
    {"readable", has_bits, NULL, "Whether POLLIN is set.", (void *)KEVENT_POLL_POLLIN},
    {"writable", has_bits, NULL, "Whether POLLOUT is set.", (void *)KEVENT_POLL_POLLOUT},
    {"error", has_bits, NULL, "Whether POLLERR is set.", (void *)KEVENT_POLL_POLLERR},
    {"hang_up", has_bits, NULL, "Whether POLLHUP is set.", (void *)KEVENT_POLL_POLLHUP},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyGetSetDef signal_receipt_properties[] = {
    {"signal", get_signal, NULL,
     "The number of the signal: a signal.Signals, or an int where that has none.", NULL},
    {"count", get_first, NULL, "How many instances were taken.", NULL},
    {"sender", get_second, NULL, "The process id of the last one's sender, as the kernel has it.",
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyObject *get_status(PyObject *self, void *closure) {
  (void)closure;
  if ((event_of(self)->ret_flags & KEVENT_RET_NO_STATUS) != 0) Py_RETURN_NONE;
  return PyLong_FromLong((int)event_of(self)->ret_data[0]);
}

static PyObject *get_exit_code(PyObject *self, void *closure) {
  (void)closure;
  if ((event_of(self)->ret_flags & KEVENT_RET_NO_STATUS) != 0) Py_RETURN_NONE;
  const int status = (int)event_of(self)->ret_data[0];
  return PyLong_FromLong(WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status));
}

static PyGetSetDef process_exit_properties[] = {
    {"pid", get_id, NULL, "The process id.", NULL},
    {"status", get_status, NULL, "As os.waitpid has it; None if it cannot be known.", NULL},
    {"exit_code", get_exit_code, NULL,
     "As os.waitstatus_to_exitcode has it; None if it cannot be known.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyObject *get_lost(PyObject *self, void *closure) {
  (void)closure;
  return PyBool_FromLong(event_of(self)->ret_data[1] == UINT32_MAX);
}

static PyObject *get_gone(PyObject *self, void *closure) {
  (void)closure;
  return PyBool_FromLong((event_of(self)->ret_flags & KEVENT_RET_BROKEN) != 0);
}

static PyGetSetDef file_changes_properties[] = {
    {"changes", get_changes, NULL, "What has happened: a FileChange.", NULL},
    {"count", get_second, NULL, "How many changes, equal ones in a row counted as one.", NULL},
    {"lost", get_lost, NULL, "Whether the kernel has lost some.", NULL},
    {"gone", get_gone, NULL, "Whether the file itself is gone; this event is the last.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot event_slots[] = {
    {Py_tp_doc, "One completion of a queue: struct ukevent."},
    {Py_tp_dealloc, dealloc},
    {Py_tp_traverse, traverse},
    {Py_tp_clear, clear},
    {Py_tp_repr, represent},
    {Py_tp_getset, event_properties},
    {0, NULL},
};

PyType_Spec event_spec = {
    .name = "kevent.Event",
    .basicsize = sizeof(struct event),
    /* A base of the kinds alone. */
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = event_slots,
};

#define KIND(kind, title, text)                                         \
  static PyType_Slot kind##_slots[] = {                                 \
      {Py_tp_doc, text}, {Py_tp_getset, kind##_properties}, {0, NULL}}; \
  PyType_Spec kind##_spec = {                                           \
      .name = "kevent." title,                                          \
      .basicsize = sizeof(struct event),                                \
      .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,  \
      .slots = kind##_slots,                                            \
  }

static PyGetSetDef notification_properties[] = {{NULL, NULL, NULL, NULL, NULL}};

KIND(expiration, "Expiration", "A timer has expired.");
KIND(readiness, "Readiness", "A descriptor is ready.");
KIND(signal_receipt, "SignalReceipt", "A signal was taken from the process.");
KIND(process_exit, "ProcessExit", "A process has ended; a child is still to be reaped.");
KIND(file_changes, "FileChanges", "A directory or file has changed.");
KIND(notification, "Notification", "UserEvent.notify() was called, once or more often.");
