/* SPDX-License-Identifier: MIT */
/*
 * Which watches each descriptor has, for kevent.close: libkevent removes its kevents with it,
 * and what has gone so reports nothing to say so.
 */
#include <Python.h>
#include <string.h>

#include "binding.h"

struct list {
  struct watch *first;
};
static struct {
  struct list *lists; /* by the descriptor's number */
  size_t size;
} watches;

static bool is_of_a_descriptor(const struct watch *watch) {
  return watch->request.type == KEVENT_POLL;
}

static uint32_t number_of(const struct watch *watch) { return watch->request.id.raw[0]; }

static bool grow(size_t number) {
  size_t size = watches.size == 0 ? 64 : watches.size;
  while (size <= number) size *= 2;
  struct list *lists = PyMem_Realloc(watches.lists, size * sizeof *lists);
  if (lists == NULL) return false;
  memset(lists + watches.size, 0, (size - watches.size) * sizeof *lists);
  watches.lists = lists;
  watches.size = size;
  return true;
}

int note_watch(struct watch *watch) {
  if (!is_of_a_descriptor(watch)) return 0;
  const uint32_t number = number_of(watch);
  if (number >= watches.size && !grow(number)) return ENOMEM;
  struct watch *next = watches.lists[number].first;
  watch->next = next;
  watch->previous = NULL;
  if (next != NULL) next->previous = watch;
  watches.lists[number].first = watch;
  return 0;
}

void forget_watch(struct watch *watch) {
  if (!is_of_a_descriptor(watch)) return;
  if (watch->next != NULL) watch->next->previous = watch->previous;
  if (watch->previous != NULL) {
    watch->previous->next = watch->next;
  } else {
    watches.lists[number_of(watch)].first = watch->next;
  }
}

void remove_watches_of(int fd) {
  /* From the first again: who is told may close others, or make some. */
  while ((size_t)fd < watches.size && watches.lists[fd].first != NULL) {
    remove_watch(watches.lists[fd].first);
  }
}
