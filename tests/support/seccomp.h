// SPDX-License-Identifier: MIT
//
// What older kernels do not have and sandboxes do not let through, as seccomp filters
// make it seem: for a child of fork, which they are not taken from again.

#ifndef KEVENT_TESTS_SUPPORT_SECCOMP_H_
#define KEVENT_TESTS_SUPPORT_SECCOMP_H_

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <vector>

namespace kevent_test {

inline bool Install(std::vector<sock_filter> code) {
  const sock_fprog program = {static_cast<unsigned short>(code.size()), code.data()};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

inline sock_filter Otherwise(int error) {
  return BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<uint32_t>(error));
}

// From then on this system call fails with this error.
inline bool Refuse(uint32_t system_call, int error) {
  return Install({
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, system_call, 0, 1),
      Otherwise(error),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  });
}

// The same when its argument has this value.
inline bool Refuse(uint32_t system_call, int error, unsigned argument, uint32_t value) {
  const auto low_half = static_cast<uint32_t>(offsetof(seccomp_data, args) + 8 * argument);
  return Install({
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, system_call, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, low_half),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1),
      Otherwise(error),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  });
}

// From then on all system calls but these, and of fcntl all commands but these, are EPERM.
inline bool AllowOnly(const std::vector<uint32_t>& system_calls,
                      const std::vector<uint32_t>& fcntl_commands) {
  std::vector<sock_filter> code = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
  };
  const auto allow = [&code](const std::vector<uint32_t>& values) {
    for (const uint32_t value : values) {
      code.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1));
      code.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    }
  };
  allow(system_calls);
  code.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fcntl, 1, 0));
  code.push_back(Otherwise(EPERM));
  code.push_back(
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(offsetof(seccomp_data, args) + 8)));
  allow(fcntl_commands);
  code.push_back(Otherwise(EPERM));
  return Install(code);
}

}  // namespace kevent_test

#endif  // KEVENT_TESTS_SUPPORT_SECCOMP_H_
