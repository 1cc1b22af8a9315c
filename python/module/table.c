/* SPDX-License-Identifier: MIT */
#include <Python.h>
#include <pthread.h>

#include "binding.h"

/* A bit that no address has, 31 bits of generation, and the entry's index. */
static const uint64_t kTag = UINT64_C(1) << 63;
enum { kGenerations = 0x7fffffff };

unsigned kevent_forks = 0;

static void after_fork(void) { kevent_forks++; }

int count_forks(void) {
  static bool counting = false;
  if (counting) return 0;
  const int error = pthread_atfork(NULL, NULL, after_fork);
  if (error != 0) {
    os_error(error);
    return -1;
  }
  counting = true;
  return 0;
}

static int grow(struct queue *queue) {
  const uint32_t capacity = queue->capacity == 0 ? 8 : queue->capacity * 2;
  struct entry *entries = NULL;
  if (capacity > queue->capacity) {
    entries = PyMem_Realloc(queue->entries, capacity * sizeof *entries);
  }
  if (entries == NULL) {
    PyErr_NoMemory();
    return -1;
  }
  queue->entries = entries;
  queue->capacity = capacity;
  return 0;
}

int take_entry(struct queue *queue, PyObject *source, uint32_t *index) {
  if (queue->first_free != 0) {
    *index = queue->first_free - 1;
    queue->first_free = queue->entries[*index].next_free;
  } else {
    if (queue->size == queue->capacity && grow(queue) == -1) return -1;
    *index = queue->size++;
    queue->entries[*index].generation = 0;
  }
  queue->entries[*index].source = source;
  return 0;
}

void free_entry(struct queue *queue, uint32_t index) {
  struct entry *entry = &queue->entries[index];
  entry->source = NULL;
  /* One whose generations are used up is never taken again. */
  if (entry->generation == kGenerations) return;
  entry->generation++;
  entry->next_free = queue->first_free;
  queue->first_free = index + 1;
}

void *cookie_of(const struct queue *queue, uint32_t index) {
  return (void *)(uintptr_t)(kTag | (uint64_t)queue->entries[index].generation << 32 | index);
}

PyObject *find_source(const struct queue *queue, void *cookie, bool *ours) {
  const uint64_t bits = (uintptr_t)cookie;
  const uint32_t index = (uint32_t)bits;
  *ours = (bits & kTag) != 0;
  if (!*ours || index >= queue->size) return NULL;
  const struct entry *entry = &queue->entries[index];
  if (entry->generation != (uint32_t)(bits >> 32 & kGenerations)) return NULL;
  /* What a subclass does while its object is deallocated may let another thread look. */
  return entry->source != NULL && Py_REFCNT(entry->source) > 0 ? Py_NewRef(entry->source) : NULL;
}
