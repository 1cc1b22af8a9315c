/* SPDX-License-Identifier: MIT */
#include "binding.h"

int control_watch(const struct watch *watch, unsigned command) {
  /* Results are written to it. */
  struct ukevent entry = watch->request;
  if (kevent_ctl(fd_of(watch->source.queue), command, 1, &entry) == -1) return errno;
  return (entry.ret_flags & KEVENT_RET_BROKEN) != 0 ? -(int)entry.ret_data[1] : 0;
}

PyObject *command_watch(struct watch *watch, unsigned command) {
  if (!is_usable(&watch->source)) return NULL;
  const int error = control_watch(watch, command);
  if (error != 0) return os_error(error);
  Py_RETURN_NONE;
}

void remove_watch(struct watch *watch) {
  if (is_open(&watch->source)) {
    forget_watch(watch);
    /* It may have gone already, with an event that another thread has yet to look at. */
    if (fd_of(watch->source.queue) != -1 && is_of_this_process(&watch->source)) {
      control_watch(watch, KEVENT_CTL_REMOVE);
    }
  }
  close_source(&watch->source);
}

int add_watch(struct watch *watch, PyObject *queue, PyObject *data, const struct ukevent *request) {
  remove_watch(watch);
  if (open_source(&watch->source, queue, data) == -1) return -1;
  watch->request = *request;
  watch->request.ptr = cookie_of(watch->source.queue, watch->source.index);
  int error = control_watch(watch, KEVENT_CTL_ADD);
  if (error == 0) {
    error = note_watch(watch);
    if (error == 0) return 0;
    control_watch(watch, KEVENT_CTL_REMOVE);
  }
  close_source(&watch->source);
  return error;
}

int open_watch(struct watch *watch, PyObject *queue, PyObject *data,
               const struct ukevent *request) {
  const int error = add_watch(watch, queue, data, request);
  if (error > 0) os_error(error);
  return error == 0 ? 0 : -1;
}

static void dealloc(PyObject *self) {
  struct watch *watch = (struct watch *)self;
  PyObject_GC_UnTrack(self);
  if (watch->source.weak_references != NULL) PyObject_ClearWeakRefs(self);
  remove_watch(watch);
  free_source(&watch->source);
}

static PyObject *close_watch(PyObject *self, PyObject *unused) {
  (void)unused;
  remove_watch((struct watch *)self);
  Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"close", close_watch, METH_NOARGS,
     "close($self)\n--\n\nRemoves it; it reports nothing any more."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "What a queue watches.  It is removed when nothing refers to it."},
    {Py_tp_dealloc, dealloc},
    {Py_tp_methods, methods},
    {0, NULL},
};

PyType_Spec watch_spec = {
    .name = "kevent.Watch",
    .basicsize = sizeof(struct watch),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = slots,
};
