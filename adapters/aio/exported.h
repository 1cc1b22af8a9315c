// SPDX-License-Identifier: MIT

#ifndef KEVENT_ADAPTERS_AIO_EXPORTED_H_
#define KEVENT_ADAPTERS_AIO_EXPORTED_H_

#include <aio.h>

#define KEVENT_EXPORT extern "C" __attribute__((__visibility__("default")))

namespace kevent::aio_adapter {

// The two structures are one where off_t has 64 bits.
static_assert(sizeof(aiocb) == sizeof(aiocb64));
inline aiocb* Same(aiocb64* control) { return reinterpret_cast<aiocb*>(control); }

}  // namespace kevent::aio_adapter

#endif  // KEVENT_ADAPTERS_AIO_EXPORTED_H_
