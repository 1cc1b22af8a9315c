// SPDX-License-Identifier: MIT
//
// The functions behind those that this object takes the place of: of the next object that has the
// name, which is another adapter or libkevent.

#ifndef KEVENT_ADAPTERS_THREADS_NEXT_H_
#define KEVENT_ADAPTERS_THREADS_NEXT_H_

#include <kevent/kevent.h>
#include <mqueue.h>
#include <netdb.h>
#include <time.h>

#include <atomic>

namespace kevent::threads {

#define KEVENT_THREADS_INTERPOSED(function) \
  function(timer_create);                   \
  function(timer_delete);                   \
  function(mq_notify);                      \
  function(getaddrinfo_a)

// The attributes of arguments (nonnull) are no part of a type.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wignored-attributes"
struct Next {
#define KEVENT_THREADS_MEMBER(name) \
  std::atomic<decltype(&::name)> name { &kevent_##name }
  KEVENT_THREADS_INTERPOSED(KEVENT_THREADS_MEMBER);
#undef KEVENT_THREADS_MEMBER
};
#pragma GCC diagnostic pop

// libkevent's own until this object's constructor has run, so that no call has to wait for it.
extern constinit Next g_next;

#define KEVENT_NEXT(name) ::kevent::threads::g_next.name.load(std::memory_order_acquire)

}  // namespace kevent::threads

#endif  // KEVENT_ADAPTERS_THREADS_NEXT_H_
