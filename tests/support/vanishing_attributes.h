// SPDX-License-Identifier: MIT
//
// Attributes of a thread that end with the thread's first instruction.  The C library reads their
// flags when the thread has begun (glibc 2.36, create_thread), mostly sooner than the thread comes
// to end them: Valgrind, whose threads take turns, has them in the other order.

#ifndef KEVENT_TESTS_SUPPORT_VANISHING_ATTRIBUTES_H_
#define KEVENT_TESTS_SUPPORT_VANISHING_ATTRIBUTES_H_

#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <new>

namespace kevent_test {

// In a page of its own, which nobody can read once they have vanished.
class VanishingAttributes {
 public:
  VanishingAttributes() : page_(static_cast<size_t>(sysconf(_SC_PAGESIZE))) {
    void* const memory =
        mmap(nullptr, page_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT_NE(memory, MAP_FAILED);
    attributes_ = new (memory) pthread_attr_t;
    pthread_attr_init(attributes_);
    pthread_attr_setdetachstate(attributes_, PTHREAD_CREATE_DETACHED);
  }
  ~VanishingAttributes() { munmap(attributes_, page_); }
  VanishingAttributes(const VanishingAttributes&) = delete;
  VanishingAttributes& operator=(const VanishingAttributes&) = delete;

  pthread_attr_t* get() { return attributes_; }
  void Vanish() {
    pthread_attr_destroy(attributes_);
    EXPECT_EQ(mprotect(attributes_, page_, PROT_NONE), 0);
  }

 private:
  const size_t page_;
  pthread_attr_t* attributes_;
};

}  // namespace kevent_test

#endif  // KEVENT_TESTS_SUPPORT_VANISHING_ATTRIBUTES_H_
