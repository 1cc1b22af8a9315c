// SPDX-License-Identifier: MIT

#ifndef KEVENT_CORE_BASE_INVARIANT_H_
#define KEVENT_CORE_BASE_INVARIANT_H_

namespace kevent::core {

// In a Debug build, stops a program in which an invariant of the object does not hold; a debugger
// shows which one by `call object.Check()`.  In a Release build this does nothing: a library that
// is a guest in a process does not end it.
//
// Check() returns the first invariant that does not hold, as a sentence, or nullptr.
template <typename Object>
void CheckInDebugBuild(const Object& object) {
#ifndef NDEBUG
  if (object.Check() != nullptr) __builtin_trap();
#else
  (void)object;
#endif
}

}  // namespace kevent::core

#endif  // KEVENT_CORE_BASE_INVARIANT_H_
