/* SPDX-License-Identifier: MIT */
/* The kinds of watches: what each asks kevent_ctl(3) for. */
#include <Python.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>

#include "binding.h"

/* ---- Descriptors ------------------------------------------------------------ */

static int init_descriptor(PyObject *self, PyObject *args, PyObject *keywords) {
  static char *names[] = {"queue", "fd", "events", "data", "trigger", NULL};
  PyObject *queue = NULL, *file = NULL, *data = Py_None;
  unsigned int events = KEVENT_POLL_POLLIN;
  unsigned int trigger = 0;
  if (!PyArg_ParseTupleAndKeywords(args, keywords, "OO|IO$I:DescriptorWatch", names, &queue, &file,
                                   &events, &data, &trigger)) {
    return -1;
  }
  const int fd = PyObject_AsFileDescriptor(file);
  if (fd == -1) return -1;
  if (trigger != 0 && trigger != KEVENT_REQ_ET && trigger != KEVENT_REQ_DISPATCH) {
    PyErr_SetString(PyExc_ValueError, "trigger is one of kevent.Trigger");
    return -1;
  }
  const struct ukevent request = {.id.raw_u64 = (uint32_t)fd,
                                  .type = KEVENT_POLL,
                                  .event = events,
                                  .req_flags = trigger | KEVENT_REQ_ALWAYS_QUEUE};
  return open_watch((struct watch *)self, queue, data, &request);
}

static PyObject *modify(PyObject *self, PyObject *argument) {
  struct watch *watch = (struct watch *)self;
  const unsigned long events = PyLong_AsUnsignedLong(argument);
  if (events == (unsigned long)-1 && PyErr_Occurred() != NULL) return NULL;
  if (events == 0 || events > UINT32_MAX) {
    PyErr_SetString(PyExc_ValueError, "events is one of kevent.Interest, or several");
    return NULL;
  }
  const uint32_t before = watch->request.event;
  watch->request.event = (uint32_t)events;
  PyObject *done = command_watch(watch, KEVENT_CTL_MODIFY);
  if (done == NULL) {
    watch->request.event = before;
  } else {
    watch->source.stamp++;
  }
  return done;
}

static PyObject *pause_watch(PyObject *self, PyObject *unused) {
  (void)unused;
  struct watch *watch = (struct watch *)self;
  const uint32_t events = watch->request.event;
  watch->request.event = KEVENT_MASK_EMPTY;
  PyObject *done = command_watch(watch, KEVENT_CTL_MODIFY);
  watch->request.event = events;
  return done;
}

static PyObject *resume(PyObject *self, PyObject *unused) {
  (void)unused;
  return command_watch((struct watch *)self, KEVENT_CTL_MODIFY);
}

static PyObject *get_fd(PyObject *self, void *closure) {
  (void)closure;
  return PyLong_FromLong((int)((struct watch *)self)->request.id.raw[0]);
}

static PyObject *get_level(PyObject *self, void *closure) {
  (void)closure;
  const uint32_t flags = ((struct watch *)self)->request.req_flags;
  return PyBool_FromLong((flags & (KEVENT_REQ_ET | KEVENT_REQ_DISPATCH)) == 0);
}

static PyMethodDef descriptor_methods[] = {
    {"modify", modify, METH_O,
     "modify($self, events, /)\n--\n\nWaits for these from now on, also if it has paused."},
    {"pause", pause_watch, METH_NOARGS,
     "pause($self)\n--\n\nReports nothing until resume() or modify(), which lose nothing."},
    {"resume", resume, METH_NOARGS,
     "resume($self)\n--\n\nGoes on after pause(), or after an event of Trigger.ONCE."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef descriptor_properties[] = {
    {"fd", get_fd, NULL, "The descriptor.", NULL},
    {"_level", get_level, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot descriptor_slots[] = {
    {Py_tp_doc,
     "DescriptorWatch(queue, fd, events=Interest.READ, data=None, *, trigger=Trigger.LEVEL)\n"
     "--\n\n"
     "Watches a descriptor, or what has a fileno(), and reports a Readiness.\n\n"
     "The descriptor remains the program's: close the watch before it is closed."},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_init, init_descriptor},
    {Py_tp_methods, descriptor_methods},
    {Py_tp_getset, descriptor_properties},
    {0, NULL},
};

/* ---- Signals ------------------------------------------------------------------ */

/* An OSError with EINVAL that says which of its reasons there is: kevent_signal(7). */
static void refuse_signal(int number) {
  sigset_t blocked;
  const bool can_be_blocked =
      (number > 0 && number < 32 && number != SIGKILL && number != SIGSTOP) ||
      (number >= SIGRTMIN && number <= SIGRTMAX);
  char text[128];
  if (can_be_blocked && pthread_sigmask(SIG_BLOCK, NULL, &blocked) == 0 &&
      sigismember(&blocked, number) == 0) {
    snprintf(text, sizeof text,
             "signal %d is not blocked in the calling thread, as signal.pthread_sigmask does",
             number);
  } else {
    snprintf(text, sizeof text, "signal %d cannot be watched", number);
  }
  os_error_with(EINVAL, text);
}

static int init_signal(PyObject *self, PyObject *args, PyObject *keywords) {
  static char *names[] = {"queue", "signal", "data", NULL};
  PyObject *queue = NULL, *data = Py_None;
  int number = 0;
  if (!PyArg_ParseTupleAndKeywords(args, keywords, "Oi|O:SignalWatch", names, &queue, &number,
                                   &data)) {
    return -1;
  }
  const struct ukevent request = {
      .id.raw_u64 = (uint32_t)number, .type = KEVENT_SIGNAL, .event = KEVENT_SIGNAL_DELIVERY};
  const int error = add_watch((struct watch *)self, queue, data, &request);
  if (error == EINVAL) {
    refuse_signal(number);
  } else if (error > 0) {
    os_error(error);
  }
  return error == 0 ? 0 : -1;
}

static PyType_Slot signal_slots[] = {
    {Py_tp_doc,
     "SignalWatch(queue, signal, data=None)\n--\n\n"
     "Takes a signal that the program has blocked in all of its threads, by\n"
     "signal.pthread_sigmask, and reports a SignalReceipt.\n\n"
     "OSError with EINVAL says that the calling thread has not blocked it, or that it is\n"
     "none, SIGKILL or SIGSTOP.  A thread that has not blocked it gets it as without a watch:\n"
     "it is best blocked before the program starts threads, which inherit the mask."},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_init, init_signal},
    {0, NULL},
};

/* ---- Processes ---------------------------------------------------------------- */

static int init_process(PyObject *self, PyObject *args, PyObject *keywords) {
  static char *names[] = {"queue", "pid", "data", NULL};
  PyObject *queue = NULL, *data = Py_None;
  int pid = 0;
  if (!PyArg_ParseTupleAndKeywords(args, keywords, "Oi|O:ProcessWatch", names, &queue, &pid,
                                   &data)) {
    return -1;
  }
  const struct ukevent request = {
      .id.raw_u64 = (uint32_t)pid, .type = KEVENT_PROCESS, .event = KEVENT_PROCESS_EXIT};
  return open_watch((struct watch *)self, queue, data, &request);
}

static PyType_Slot process_slots[] = {
    {Py_tp_doc,
     "ProcessWatch(queue, pid, data=None)\n--\n\n"
     "Reports the end of a process, once, as a ProcessExit.  A child is still to be\n"
     "reaped, by os.waitpid or subprocess.Popen.wait."},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_init, init_process},
    {0, NULL},
};

/* ---- Files ---------------------------------------------------------------------- */

/* A descriptor for the time of the registration, which is by the file: kevent_inode(7). */
static int open_path(PyObject *path) {
  PyObject *encoded = NULL;
  if (!PyUnicode_FSConverter(path, (void *)&encoded)) return -1;
  const int fd = open(PyBytes_AsString(encoded), O_PATH | O_CLOEXEC);
  if (fd == -1) PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, path);
  Py_DECREF(encoded);
  return fd;
}

static int init_file(PyObject *self, PyObject *args, PyObject *keywords) {
  static char *names[] = {"queue", "file", "changes", "data", NULL};
  PyObject *queue = NULL, *file = NULL, *data = Py_None;
  unsigned int changes = KEVENT_MASK_ALL;
  if (!PyArg_ParseTupleAndKeywords(args, keywords, "OO|IO:FileWatch", names, &queue, &file,
                                   &changes, &data)) {
    return -1;
  }
  const bool is_number = PyLong_Check(file) || PyObject_HasAttrString(file, "fileno");
  const int fd = is_number ? PyObject_AsFileDescriptor(file) : open_path(file);
  if (fd == -1) return -1;
  const struct ukevent request = {
      .id.raw_u64 = (uint32_t)fd, .type = KEVENT_INODE, .event = changes};
  const int status = open_watch((struct watch *)self, queue, data, &request);
  if (!is_number) kevent_close(fd);
  return status;
}

static PyType_Slot file_slots[] = {
    {Py_tp_doc,
     "FileWatch(queue, file, changes=FileChange.ALL, data=None)\n--\n\n"
     "Watches a directory or a file, by path or descriptor, and reports FileChanges."},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_init, init_file},
    {0, NULL},
};

/* ---- Events of the program's own -------------------------------------------------- */

static int init_user_event(PyObject *self, PyObject *args, PyObject *keywords) {
  static char *names[] = {"queue", "data", NULL};
  PyObject *queue = NULL, *data = Py_None;
  if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|O:UserEvent", names, &queue, &data))
    return -1;
  const struct ukevent request = {.type = KEVENT_UNOTIFY, .event = KEVENT_UNOTIFY_EVENT};
  return open_watch((struct watch *)self, queue, data, &request);
}

static PyObject *notify(PyObject *self, PyObject *unused) {
  (void)unused;
  return command_watch((struct watch *)self, KEVENT_CTL_READY);
}

static PyMethodDef user_event_methods[] = {
    {"notify", notify, METH_NOARGS,
     "notify($self)\n--\n\nMakes it ready, from any thread.  Several calls before the collection "
     "make\n"
     "one event."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot user_event_slots[] = {
    {Py_tp_doc,
     "UserEvent(queue, data=None)\n--\n\n"
     "An event of the program's own, reported as a Notification after notify()."},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_init, init_user_event},
    {Py_tp_methods, user_event_methods},
    {0, NULL},
};

#define KIND(variable, title, its_slots)                 \
  PyType_Spec variable = {                               \
      .name = "kevent." title,                           \
      .basicsize = sizeof(struct watch),                 \
      .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, \
      .slots = its_slots,                                \
  }
KIND(descriptor_watch_spec, "DescriptorWatch", descriptor_slots);
KIND(signal_watch_spec, "SignalWatch", signal_slots);
KIND(process_watch_spec, "ProcessWatch", process_slots);
KIND(file_watch_spec, "FileWatch", file_slots);
KIND(user_event_spec, "UserEvent", user_event_slots);
