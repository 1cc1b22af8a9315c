// SPDX-License-Identifier: MIT

#ifndef KEVENT_CORE_DESCRIPTORS_REPLACEMENT_H_
#define KEVENT_CORE_DESCRIPTORS_REPLACEMENT_H_

#include "core/descriptors/registry.h"

namespace kevent::core {

// A call of dup2 or dup3 on the way to a number, for as long as the object lives: from before the
// call looks at the registration, until it has replaced the number or failed.  Async-signal-safe.
class Replacement {
 public:
  explicit Replacement(int target);
  ~Replacement();
  Replacement(const Replacement&) = delete;
  Replacement& operator=(const Replacement&) = delete;

  // The registration of the number when this call began.
  Registration found() const { return found_; }

  // Says that another file is there now.
  void Succeeded() { succeeded_ = true; }

 private:
  void AwaitMakers();

  const int target_;
  Registration found_;
  bool succeeded_ = false;
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_DESCRIPTORS_REPLACEMENT_H_
