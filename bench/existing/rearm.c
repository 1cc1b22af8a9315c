// SPDX-License-Identifier: MIT
//
// Sets random ones of N live timers of a queue again and again, and prints the CPU time of a
// setting in nanoseconds.
#include <kevent/kevent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static uint64_t cpu_time(void) {
  struct timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: rearm TIMERS SETTINGS\n");
    return 2;
  }
  const uint32_t count = (uint32_t)strtoul(argv[1], NULL, 10);
  const uint64_t settings = strtoull(argv[2], NULL, 10);
  timer_t *timers = calloc(count, sizeof *timers);
  const int queue = kevent_init(NULL, 0, 0);
  if (timers == NULL || queue < 0) return 1;
  for (uint32_t i = 0; i < count; ++i) {
    struct sigevent notification;
    kevent_sigevent(&notification, queue, NULL);
    if (timer_create(CLOCK_MONOTONIC, &notification, &timers[i]) != 0) return 1;
  }
  struct itimerspec setting = {{0, 0}, {10, 0}};
  uint32_t random = 1;
  uint64_t begin = 0;
  for (uint64_t i = 0; i < settings + settings / 8; ++i) {
    if (i == settings / 8) begin = cpu_time();
    random = random * 1664525 + 1013904223;
    setting.it_value.tv_nsec = (long)(random % 1000000000);
    if (timer_settime(timers[(uint64_t)random * count >> 32], 0, &setting, NULL) != 0) return 1;
  }
  printf("%.2f\n", (double)(cpu_time() - begin) / (double)settings);
  return 0;
}
