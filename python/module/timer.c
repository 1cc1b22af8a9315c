/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "binding.h"

struct timer {
  struct source source;
  timer_t id;
};

static void delete_timer(struct timer *timer) {
  if (!is_open(&timer->source)) return;
  /* The parent's number may be that of a timer of the child's own. */
  if (is_of_this_process(&timer->source)) kevent_timer_delete(timer->id);
  close_source(&timer->source);
}

static int init(PyObject *self, PyObject *args, PyObject *keywords) {
  static char *names[] = {"queue", "data", "clock", NULL};
  struct timer *timer = (struct timer *)self;
  PyObject *queue = NULL;
  PyObject *data = Py_None;
  int clock = CLOCK_MONOTONIC;
  if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|O$i:Timer", names, &queue, &data, &clock)) {
    return -1;
  }
  delete_timer(timer);
  if (open_source(&timer->source, queue, data) == -1) return -1;
  struct sigevent notification;
  kevent_sigevent(&notification, fd_of(timer->source.queue),
                  cookie_of(timer->source.queue, timer->source.index));
  if (kevent_timer_create(clock, &notification, &timer->id) == -1) {
    const int error = errno;
    close_source(&timer->source);
    os_error(error);
    return -1;
  }
  return 0;
}

static void dealloc(PyObject *self) {
  struct timer *timer = (struct timer *)self;
  PyObject_GC_UnTrack(self);
  if (timer->source.weak_references != NULL) PyObject_ClearWeakRefs(self);
  delete_timer(timer);
  free_source(&timer->source);
}

static PyObject *close_timer(PyObject *self, PyObject *unused) {
  (void)unused;
  delete_timer((struct timer *)self);
  Py_RETURN_NONE;
}

/* ---- Setting --------------------------------------------------------------- */

/* Of a method that takes a time and `interval`, by any of the ways of a call. */
static int parse_times(PyObject *const *args, Py_ssize_t count, PyObject *names, const char *first,
                       struct itimerspec *value) {
  PyObject *time = count > 0 ? args[0] : NULL;
  PyObject *interval = count > 1 ? args[1] : NULL;
  const Py_ssize_t named = names == NULL ? 0 : PyTuple_Size(names);
  for (Py_ssize_t i = 0; i < named; i++) {
    PyObject *name = PyTuple_GetItem(names, i);
    PyObject **place = PyUnicode_CompareWithASCIIString(name, "interval") == 0 ? &interval
                       : PyUnicode_CompareWithASCIIString(name, first) == 0    ? &time
                                                                               : NULL;
    if (place == NULL || *place != NULL) {
      PyErr_Format(PyExc_TypeError, "unexpected argument %R", name);
      return -1;
    }
    *place = args[count + i];
  }
  if (time == NULL || count > 2) {
    PyErr_Format(PyExc_TypeError, "wanted: %s, and perhaps interval", first);
    return -1;
  }
  *value = (struct itimerspec){0};
  if (to_timespec(time, &value->it_value) == -1) return -1;
  if (interval != NULL && to_timespec(interval, &value->it_interval) == -1) return -1;
  /* Now; a value of zero would disarm it. */
  if (value->it_value.tv_sec == 0 && value->it_value.tv_nsec == 0) value->it_value.tv_nsec = 1;
  return 0;
}

static PyObject *set_timer(struct timer *timer, int flags, const struct itimerspec *value) {
  if (!is_usable(&timer->source)) return NULL;
  if (kevent_timer_settime(timer->id, flags, value, NULL) == -1) return os_error(errno);
  timer->source.stamp++;
  Py_RETURN_NONE;
}

static PyObject *set(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
  struct itimerspec value;
  if (parse_times(args, count, names, "after", &value) == -1) return NULL;
  return set_timer((struct timer *)self, 0, &value);
}

static PyObject *set_at(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
  struct itimerspec value;
  if (parse_times(args, count, names, "when", &value) == -1) return NULL;
  return set_timer((struct timer *)self, TIMER_ABSTIME, &value);
}

static PyObject *cancel(PyObject *self, PyObject *unused) {
  (void)unused;
  const struct itimerspec never = {0};
  return set_timer((struct timer *)self, 0, &never);
}

/* Sets the timers of settings[0 .. num-1]; the first error of one goes to *error. */
static void set_batch(unsigned int num, struct kevent_setting *settings, int *error) {
  if (num == 0 || kevent_settime(num, settings) == (int)num) return;
  for (unsigned int i = 0; i < num && *error == 0; i++) *error = settings[i].error;
}

static bool are_timers(PyObject *list) {
  for (Py_ssize_t i = 0; i < PyList_Size(list); i++) {
    PyObject *timer = PyList_GetItem(list, i);
    if (PyObject_TypeCheck(timer, types.timer)) continue;
    PyErr_Format(PyExc_TypeError, "a kevent.Timer is wanted, not %R", (PyObject *)Py_TYPE(timer));
    return false;
  }
  return true;
}

/* All that can be set; false and the first exception if some cannot. */
static bool set_timers(PyObject *list, const struct itimerspec *value) {
  enum { kBatch = 128 };
  struct kevent_setting settings[kBatch];
  unsigned int num = 0;
  int error = 0;
  const char *unusable = NULL;
  /* No code of the program's runs before the end, so the list stays as it is. */
  for (Py_ssize_t i = 0; i < PyList_Size(list); i++) {
    struct timer *timer = (struct timer *)PyList_GetItem(list, i);
    const char *why = why_unusable(&timer->source);
    if (why != NULL) {
      if (unusable == NULL) unusable = why;
      continue;
    }
    settings[num++] = (struct kevent_setting){.timer = timer->id, .value = *value};
    timer->source.stamp++;
    if (num == kBatch) {
      set_batch(num, settings, &error);
      num = 0;
    }
  }
  set_batch(num, settings, &error);
  if (unusable != NULL) {
    closed(unusable);
  } else if (error != 0) {
    os_error(error);
  }
  return unusable == NULL && error == 0;
}

const char set_all_doc[] =
    "set_all($module, timers, after, interval=0.0)\n--\n\n"
    "Sets each of the timers as Timer.set() would, in few calls of the library.\n\n"
    "Where some cannot be set, all others are, and then one exception is raised: ClosedError\n"
    "if one of them is closed, else OSError.  If one is no Timer it is TypeError, and none is set.";

PyObject *set_all(PyObject *module, PyObject *args, PyObject *keywords) {
  (void)module;
  static char *names[] = {"timers", "after", "interval", NULL};
  PyObject *timers, *times[2] = {NULL, NULL};
  struct itimerspec value;
  if (!PyArg_ParseTupleAndKeywords(args, keywords, "OO|O:set_all", names, &timers, &times[0],
                                   &times[1])) {
    return NULL;
  }
  if (parse_times(times, times[1] == NULL ? 1 : 2, NULL, "after", &value) == -1) return NULL;
  PyObject *list = PyList_Check(timers) ? Py_NewRef(timers) : PySequence_List(timers);
  if (list == NULL) return NULL;
  const bool all = are_timers(list) && set_timers(list, &value);
  Py_DECREF(list);
  if (!all) return NULL;
  Py_RETURN_NONE;
}

/* ---- Reading --------------------------------------------------------------- */

static bool get_setting(PyObject *self, struct itimerspec *value) {
  const struct timer *timer = (struct timer *)self;
  if (!is_usable(&timer->source)) return false;
  return kevent_timer_gettime(timer->id, value) == 0 || os_error(errno) != NULL;
}

static PyObject *remaining(PyObject *self, PyObject *unused) {
  (void)unused;
  struct itimerspec value;
  return get_setting(self, &value) ? PyFloat_FromDouble(to_seconds(&value.it_value)) : NULL;
}

static PyObject *interval(PyObject *self, PyObject *unused) {
  (void)unused;
  struct itimerspec value;
  return get_setting(self, &value) ? PyFloat_FromDouble(to_seconds(&value.it_interval)) : NULL;
}

static PyObject *overruns(PyObject *self, PyObject *unused) {
  (void)unused;
  const struct timer *timer = (struct timer *)self;
  if (!is_usable(&timer->source)) return NULL;
  const int count = kevent_timer_getoverrun(timer->id);
  return count == -1 ? os_error(errno) : PyLong_FromLong(count);
}

static PyMethodDef methods[] = {
    {"set", (PyCFunction)(void (*)(void))set, METH_FASTCALL | METH_KEYWORDS,
     "set($self, after, interval=0.0)\n--\n\n"
     "Expires after so many seconds, and from then on every interval if that is not 0.\n\n"
     "0, or less, is at once: cancel() is what disarms it.  Replaces what was set, and takes\n"
     "back an expiration that was not collected."},
    {"set_at", (PyCFunction)(void (*)(void))set_at, METH_FASTCALL | METH_KEYWORDS,
     "set_at($self, when, interval=0.0)\n--\n\n"
     "Expires at this moment of its clock, in seconds; otherwise as set()."},
    {"cancel", cancel, METH_NOARGS,
     "cancel($self)\n--\n\nDisarms it, and takes back an expiration that was not collected."},
    {"remaining", remaining, METH_NOARGS,
     "remaining($self)\n--\n\nSeconds to the next expiration; 0.0 if it is not set."},
    {"interval", interval, METH_NOARGS, "interval($self)\n--\n\nSeconds; 0.0 if it has none."},
    {"overruns", overruns, METH_NOARGS,
     "overruns($self)\n--\n\nThat of the expiration collected last, as timer_getoverrun(2)."},
    {"close", close_timer, METH_NOARGS,
     "close($self)\n--\n\nDeletes it; it reports nothing any more."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc,
     "Timer(queue, data=None, *, clock=time.CLOCK_MONOTONIC)\n--\n\n"
     "A POSIX timer that expires into a queue, as an Expiration.\n\n"
     "It is deleted when nothing refers to it.  Times are seconds, and saturate at 146\n"
     "years.  Setting it takes no lock, and usually no system call."},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_init, init},
    {Py_tp_dealloc, dealloc},
    {Py_tp_methods, methods},
    {0, NULL},
};

PyType_Spec timer_spec = {
    .name = "kevent.Timer",
    .basicsize = sizeof(struct timer),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = slots,
};
