// SPDX-License-Identifier: MIT
//
// Static probes (USDT): places that perf, bpftrace and SystemTap can attach to, named in
// kevent_probes(7).  A probe is one instruction that does nothing, and a note in the object that
// says where it is and in which registers or memory its arguments lie, so that nothing is computed
// for it that the code does not have.
//
// Without <sys/sdt.h> there are none.

#ifndef KEVENT_CORE_BASE_PROBE_H_
#define KEVENT_CORE_BASE_PROBE_H_

#if defined(__has_include)
#if __has_include(<sys/sdt.h>)
#define SDT_USE_VARIADIC 1  // for STAP_PROBEV
#include <sys/sdt.h>
#define KEVENT_PROBE(name, ...) STAP_PROBEV(kevent, name, __VA_ARGS__)
#endif
#endif

#ifndef KEVENT_PROBE
#define KEVENT_PROBE(name, ...) static_cast<void>(0)
#endif

#endif  // KEVENT_CORE_BASE_PROBE_H_
