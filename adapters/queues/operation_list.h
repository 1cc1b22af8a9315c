// SPDX-License-Identifier: MIT
//
// Lists of operations of asynchronous I/O.  The notifications of a list stand beside the control
// blocks: a block is the program's own again once its operation has ended.

#ifndef KEVENT_ADAPTERS_QUEUES_OPERATION_LIST_H_
#define KEVENT_ADAPTERS_QUEUES_OPERATION_LIST_H_

#include <aio.h>
#include <pthread.h>

#include <algorithm>
#include <cstdlib>

namespace kevent::queues {

using OperationList = aiocb* const*;

static_assert(sizeof(aiocb) == sizeof(aiocb64));
inline aiocb* Same(aiocb64* control) { return reinterpret_cast<aiocb*>(control); }
inline OperationList Same(aiocb64* const* list) { return reinterpret_cast<OperationList>(list); }

inline bool IsMember(const aiocb* control) {
  return control != nullptr && control->aio_lio_opcode != LIO_NOP;
}

bool HasMember(OperationList list, int count, auto condition) {
  return std::any_of(list, list + std::max(count, 0), [&](const aiocb* control) {
    return IsMember(control) && condition(control->aio_sigevent);
  });
}

// Something for each place of a list, zeroed.
template <typename Item>
class PerMember {
 public:
  explicit PerMember(int count) : all_(count <= kFew ? few_ : Allocate(count)) {}
  ~PerMember() {
    if (all_ != few_) std::free(all_);
  }
  PerMember(const PerMember&) = delete;
  PerMember& operator=(const PerMember&) = delete;

  // nullptr if there is no memory.
  Item* all() { return all_; }

 private:
  static constexpr int kFew = 64;
  static Item* Allocate(int count) {
    return static_cast<Item*>(std::calloc(static_cast<size_t>(count), sizeof(Item)));
  }

  Item few_[kFew] = {};
  Item* const all_;
};

// A thread that is cancelled in the call would leave what is kept for the members behind.
int Uncancelled(auto call) {
  int before;
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
  const int result = call();
  pthread_setcancelstate(before, nullptr);
  return result;
}

}  // namespace kevent::queues

#endif  // KEVENT_ADAPTERS_QUEUES_OPERATION_LIST_H_
