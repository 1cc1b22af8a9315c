// SPDX-License-Identifier: MIT

#ifndef KEVENT_ADAPTERS_QUEUES_EXPORTED_H_
#define KEVENT_ADAPTERS_QUEUES_EXPORTED_H_

#define KEVENT_EXPORT extern "C" __attribute__((__visibility__("default")))

#endif  // KEVENT_ADAPTERS_QUEUES_EXPORTED_H_
