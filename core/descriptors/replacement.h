// SPDX-License-Identifier: MIT

#ifndef KEVENT_CORE_DESCRIPTORS_REPLACEMENT_H_
#define KEVENT_CORE_DESCRIPTORS_REPLACEMENT_H_

#include "core/descriptors/registry.h"

namespace kevent::core {

// A call of dup2 or dup3 on the way to a number, for as long as it lives: from before
// it looks at what is registered, until it has replaced it or failed.
// Async-signal-safe.
class Replacement {
 public:
  explicit Replacement(int target);
  ~Replacement();
  Replacement(const Replacement&) = delete;
  Replacement& operator=(const Replacement&) = delete;

  // The registration of the number when this call began.
  Registration found() const { return found_; }

  // Another file is there now.
  void Succeeded() { succeeded_ = true; }

 private:
  const int target_;
  Registration found_;
  bool succeeded_ = false;
};

}  // namespace kevent::core

#endif  // KEVENT_CORE_DESCRIPTORS_REPLACEMENT_H_
