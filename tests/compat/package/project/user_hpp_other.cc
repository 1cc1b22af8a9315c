// SPDX-License-Identifier: MIT
#include <kevent/kevent.hpp>

kevent::Timer OtherTimer(const kevent::Queue& queue, int& expirations);
const void* OtherForks();

kevent::Timer OtherTimer(const kevent::Queue& queue, int& expirations) {
  return kevent::Timer(queue, [&expirations] { ++expirations; });
}

const void* OtherForks() { return &kevent::detail::forks; }
