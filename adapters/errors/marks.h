// SPDX-License-Identifier: MIT
//
// Which of the two libraries has an operation, noted in its control block before it begins.

#ifndef KEVENT_ADAPTERS_ERRORS_MARKS_H_
#define KEVENT_ADAPTERS_ERRORS_MARKS_H_

#include <aio.h>

#include <cstdint>
#include <cstring>

namespace kevent::errors {

// In bytes that the C library does not use, behind those that libkevent does.  It differs from
// block to block: a copy is not taken for the block.
class Mark {
 public:
  static void AsLibkevents(aiocb* control) { Put(control, Of(control)); }
  static void AsTheCLibrarys(aiocb* control) { Put(control, 0); }
  static bool IsLibkevents(const aiocb* control) {
    uint64_t mark;
    std::memcpy(&mark, control->__glibc_reserved + kPlace, sizeof mark);
    return mark == Of(control);
  }

 private:
  static constexpr unsigned kPlace = 8;
  static_assert(kPlace + sizeof(uint64_t) <= sizeof(aiocb::__glibc_reserved));

  static uint64_t Of(const aiocb* control) {
    return reinterpret_cast<uint64_t>(control) ^ 0x6b65766e745f6169;  // no address
  }
  static void Put(aiocb* control, uint64_t mark) {
    std::memcpy(control->__glibc_reserved + kPlace, &mark, sizeof mark);
  }
};

}  // namespace kevent::errors

#endif  // KEVENT_ADAPTERS_ERRORS_MARKS_H_
