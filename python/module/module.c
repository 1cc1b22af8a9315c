/* SPDX-License-Identifier: MIT */
#include "binding.h"

struct types types;

static PyInterpreterState *owner = NULL;

static void *raise_error(PyObject *type, int number, const char *text) {
  PyObject *error = PyObject_CallFunction(type, "is", number, text);
  if (error != NULL) PyErr_SetObject((PyObject *)Py_TYPE(error), error);
  Py_XDECREF(error);
  return NULL;
}

void *closed(const char *text) { return raise_error(types.closed_error, EBADF, text); }

void *os_error_with(int number, const char *text) {
  return raise_error(PyExc_OSError, number, text);
}

void *os_error(int number) {
  errno = number;
  return PyErr_SetFromErrno(PyExc_OSError);
}

void free_object(PyObject *self) {
  PyTypeObject *type = Py_TYPE(self);
  freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
  release(self);
  Py_DECREF((PyObject *)type);
}

static PyObject *close_number(PyObject *module, PyObject *argument) {
  (void)module;
  const int fd = PyObject_AsFileDescriptor(argument);
  if (fd == -1) return NULL;
  /* First: once the GIL is released, others may have and watch the number again. */
  remove_watches_of(fd);
  int status;
  int error = 0;
  Py_BEGIN_ALLOW_THREADS;
  status = kevent_close(fd);
  if (status == -1) error = errno;
  Py_END_ALLOW_THREADS;
  if (status == -1 && error != EINTR) return os_error(error);
  Py_RETURN_NONE;
}

static PyObject *name_numbers(PyObject *module, PyObject *args) {
  (void)module;
  PyObject *interest, *file_change, *signals;
  if (!PyArg_ParseTuple(args, "OOO:name_numbers", &interest, &file_change, &signals)) return NULL;
  /* They stay as long as the process. */
  types.interest = Py_NewRef(interest);
  types.file_change = Py_NewRef(file_change);
  types.signals = Py_NewRef(signals);
  Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"set_all", (PyCFunction)(void (*)(void))set_all, METH_VARARGS | METH_KEYWORDS, set_all_doc},
    {"close", close_number, METH_O,
     "close($module, fd, /)\n--\n\n"
     "Closes a descriptor as os.close does, and what watches it in any queue."},
    {"merge", merge_events, METH_VARARGS,
     "merge($module, older, newer, /)\n--\n\nOne event in place of two of a source."},
    {"name_numbers", name_numbers, METH_VARARGS,
     "name_numbers($module, interest, file_change, signals, /)\n--\n\n"
     "Has events give their numbers as members of these, once."},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject *add_type(PyObject *module, PyType_Spec *spec, PyTypeObject *base) {
  PyTypeObject *type = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, (PyObject *)base);
  if (type == NULL || PyModule_AddType(module, type) == -1) {
    Py_XDECREF((PyObject *)type);
    return NULL;
  }
  return type;
}

static bool add_types(PyObject *module) {
  static const struct {
    PyType_Spec *spec;
    PyTypeObject **base, **type;
  } all[] = {
      {&queue_spec, NULL, &types.queue},
      {&source_spec, NULL, &types.source},
      {&timer_spec, &types.source, &types.timer},
      {&watch_spec, &types.source, &types.watch},
      {&descriptor_watch_spec, &types.watch, NULL},
      {&signal_watch_spec, &types.watch, NULL},
      {&process_watch_spec, &types.watch, NULL},
      {&file_watch_spec, &types.watch, NULL},
      {&user_event_spec, &types.watch, NULL},
      {&event_spec, NULL, &types.event},
      {&expiration_spec, &types.event, &types.expiration},
      {&readiness_spec, &types.event, &types.readiness},
      {&signal_receipt_spec, &types.event, &types.signal_receipt},
      {&process_exit_spec, &types.event, &types.process_exit},
      {&file_changes_spec, &types.event, &types.file_changes},
      {&notification_spec, &types.event, &types.notification},
  };
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    PyTypeObject *type = add_type(module, all[i].spec, all[i].base == NULL ? NULL : *all[i].base);
    if (type == NULL) return false;
    /* Those that the module's code asks for stay as long as the process. */
    if (all[i].type != NULL) {
      *all[i].type = type;
    } else {
      Py_DECREF((PyObject *)type);
    }
  }
  return true;
}

static bool add_closed_error(PyObject *module) {
  types.closed_error = PyErr_NewExceptionWithDoc(
      "kevent.ClosedError", "The queue, timer or watch is closed; errno is EBADF.", PyExc_OSError,
      NULL);
  return types.closed_error != NULL &&
         PyModule_AddObjectRef(module, "ClosedError", types.closed_error) == 0;
}

static int execute(PyObject *module) {
  if (owner != NULL) {
    PyErr_SetString(PyExc_ImportError, "kevent can be imported by one interpreter of a process");
    return -1;
  }
  if (count_forks() == -1 || !add_closed_error(module) || !add_types(module)) return -1;
  if (PyModule_AddStringConstant(module, "library_version", kevent_version()) == -1) return -1;
  owner = PyInterpreterState_Get();
  return 0;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, execute},
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "kevent._kevent",
    .m_doc = "The part of kevent that calls libkevent.",
    .m_methods = functions,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__kevent(void) { return PyModuleDef_Init(&definition); }
