// SPDX-License-Identifier: MIT

#ifndef KEVENT_ADAPTERS_KQUEUE_TIMER_SETTING_H_
#define KEVENT_ADAPTERS_KQUEUE_TIMER_SETTING_H_

#include <kevent/kevent.h>

#include <cstdint>

#include "adapters/kqueue/knotes.h"
#include "core/base/timespec.h"

namespace kevent::kqueue {

// What the kevent of a timer is set to.
kevent_timer_spec SettingOf(const Knote& knote);

// Whether a timer with the parameters of the one can be set to those of the other.
bool HasSameClock(uint32_t fflags, uint32_t other);

}  // namespace kevent::kqueue

#endif  // KEVENT_ADAPTERS_KQUEUE_TIMER_SETTING_H_
