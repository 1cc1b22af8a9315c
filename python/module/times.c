/* SPDX-License-Identifier: MIT */
#include <Python.h>
#include <math.h>

#include "binding.h"

/* Both as README has them under "Limits": a deadline saturates at 2^62 - 1 ns. */
static const double kLongest = 4611686018.0;
enum { kNanoseconds = 1000000000 };

int to_timespec(PyObject *seconds, struct timespec *time) {
  const double value = PyFloat_AsDouble(seconds);
  if (value == -1.0 && PyErr_Occurred() != NULL) return -1;
  if (isnan(value)) {
    PyErr_SetString(PyExc_ValueError, "a time that is not a number (NaN)");
    return -1;
  }
  *time = (struct timespec){0};
  if (value <= 0.0) return 0;
  const double whole = value < kLongest ? floor(value) : kLongest;
  const double part = value < kLongest ? ceil((value - whole) * kNanoseconds) : 0.0;
  time->tv_sec = (time_t)whole;
  time->tv_nsec = (long)part;
  if (time->tv_nsec >= kNanoseconds) {
    time->tv_sec++;
    time->tv_nsec -= kNanoseconds;
  }
  return 0;
}

double to_seconds(const struct timespec *time) {
  return (double)time->tv_sec + (double)time->tv_nsec / kNanoseconds;
}

void add_time(struct timespec *time, const struct timespec *more) {
  time->tv_sec += more->tv_sec;
  time->tv_nsec += more->tv_nsec;
  if (time->tv_nsec >= kNanoseconds) {
    time->tv_sec++;
    time->tv_nsec -= kNanoseconds;
  }
}
