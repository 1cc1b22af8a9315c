/* SPDX-License-Identifier: MIT */
/*
 * Counts the system calls that a program makes: a seccomp filter turns every
 * system call of every thread into SIGSYS, whose handler counts.  Unlike a
 * tracer's log it needs no second process and nothing installed, and it cannot
 * miss a call that a helper thread makes.
 */

#ifndef KEVENT_TESTS_COMPAT_SYMBOLS_SYSTEM_CALLS_H_
#define KEVENT_TESTS_COMPAT_SYMBOLS_SYSTEM_CALLS_H_

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

static volatile sig_atomic_t counted;
static volatile sig_atomic_t last_number;

static void on_system_call(int signo, siginfo_t *info, void *context) {
  (void)signo;
  counted++;
  last_number = info->si_syscall;
  /* The call was not made; its caller must not take this for success. */
  ucontext_t *interrupted = context;
#if defined(__x86_64__)
  interrupted->uc_mcontext.gregs[REG_RAX] = -ENOSYS;
#elif defined(__aarch64__)
  interrupted->uc_mcontext.regs[0] = (unsigned long long)-ENOSYS;
#else
#error "which register holds the result of a system call?"
#endif
}

/* From here on the process can only print, return from a handler, and exit. */
static int trap_system_calls(void) {
  struct sigaction action = {.sa_sigaction = on_system_call, .sa_flags = SA_SIGINFO};
  if (sigaction(SIGSYS, &action, NULL) != 0) return -1;
#define NUMBER_IS(number, then) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), (then), 0)
#define LOAD(member) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, member))
  struct sock_filter instructions[] = {
      LOAD(nr),
      NUMBER_IS(SYS_rt_sigreturn, 6),
      NUMBER_IS(SYS_exit_group, 5),
      NUMBER_IS(SYS_write, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
      LOAD(args[0]), /* the low half, on these little-endian machines */
      BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, STDERR_FILENO, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {
      .len = sizeof instructions / sizeof instructions[0],
      .filter = instructions,
  };
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -1;
  return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
}

#endif /* KEVENT_TESTS_COMPAT_SYMBOLS_SYSTEM_CALLS_H_ */
