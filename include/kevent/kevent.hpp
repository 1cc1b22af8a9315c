// SPDX-License-Identifier: MIT
//
// <kevent/kevent.hpp>: libkevent for C++20.
//
//     kevent::Queue queue;
//     kevent::Timer tick(queue, [](const kevent::Expiration& expiration) { ... });
//     tick.expires_every(1s);
//     queue.run();
//
// Header only, over <kevent/kevent.h>; kevent_hpp(3) is its manual.  Every function that can
// fail throws std::system_error, or sets the std::error_code that it is given.  All objects are
// moved and not copied.  With a cookie in place of the callback an object costs what the C
// interface does.
//
// Callbacks: those of one object never overlap.  An event that comes while its callback runs in
// another thread is merged into the next call.  The destructor of an object removes it, and
// waits while another thread runs its callback; afterwards the callback does not run any more,
// though its event may be in a batch of some thread.  An object may be destroyed in its own
// callback.  Two callbacks that destroy each other's objects wait for each other for ever, as
// does a destructor under a lock that the callback wants: abandon() does not wait.
#ifndef KEVENT_KEVENT_HPP_
#define KEVENT_KEVENT_HPP_

#if !defined(__cplusplus) || __cplusplus < 202002L
#error "kevent.hpp needs C++20: use -std=c++20"
#endif

#ifdef KEVENT_KQUEUE_SYS_EVENT_H_
#error "<sys/event.h> has a structure of the name of this namespace: include them in two files"
#endif

#include <kevent/clock.hpp>      // IWYU pragma: export
#include <kevent/coroutine.hpp>  // IWYU pragma: export
#include <kevent/error.hpp>      // IWYU pragma: export
#include <kevent/event.hpp>      // IWYU pragma: export
#include <kevent/operation.hpp>  // IWYU pragma: export
#include <kevent/queue.hpp>      // IWYU pragma: export
#include <kevent/task.hpp>       // IWYU pragma: export
#include <kevent/timer.hpp>      // IWYU pragma: export
#include <kevent/watch.hpp>      // IWYU pragma: export

#endif  // KEVENT_KEVENT_HPP_
