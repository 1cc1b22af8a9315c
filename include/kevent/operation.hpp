// SPDX-License-Identifier: MIT
#ifndef KEVENT_OPERATION_HPP_
#define KEVENT_OPERATION_HPP_

#include <aio.h>
#include <fcntl.h>
#include <sys/types.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <kevent/queue.hpp>
#include <memory>
#include <new>
#include <span>
#include <system_error>
#include <utility>

namespace kevent {
namespace detail {

// The control block of an operation, which stays in its place while the operation is in flight.
class Control {
 public:
  Control(int fd, std::span<std::byte> buffer, off_t offset) noexcept {
    block_->aio_fildes = fd;
    block_->aio_buf = buffer.data();
    block_->aio_nbytes = buffer.size();
    block_->aio_offset = offset;
  }
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;
  // An operation writes to its buffer until it ends: what has begun is waited for.
  ~Control() {
    if (!begun_ || forks_ != forks.load(std::memory_order_relaxed)) return;
    const NotCancelled not_cancelled;
    if (in_flight()) cancel();
    // Also of one that has ended: what its thread has written is seen after this call.
    do {
      const aiocb* const list[] = {block_};
      kevent_aio_suspend(list, 1, nullptr);
    } while (in_flight());
  }

  enum class Kind { kRead, kWrite, kSync };
  // 0 or an errno value.  After 0 the event may have come, and this object be gone.
  int begin(Kind kind, int queue, void* cookie) noexcept {
    kevent_sigevent(&block_->aio_sigevent, queue, cookie);
    forks_ = forks.load(std::memory_order_relaxed);
    begun_ = true;
    const int result = kind == Kind::kRead    ? kevent_aio_read(block_)
                       : kind == Kind::kWrite ? kevent_aio_write(block_)
                                              : kevent_aio_fsync(O_SYNC, block_);
    if (result == 0) return 0;
    begun_ = false;
    return errno;
  }
  // An operation that has not begun ends with errc::operation_canceled; another one goes on.
  void cancel() noexcept { kevent_aio_cancel(block_->aio_fildes, block_); }
  // A child of fork has no operation; its copy of the block says EINPROGRESS for ever.
  bool in_flight() const noexcept {
    return begun_ && forks_ == forks.load(std::memory_order_relaxed) &&
           aio_error(block_) == EINPROGRESS;
  }

 private:
  // No member: glibc's has an array of size 0, which a strict program is warned of.
  alignas(aiocb) std::array<std::byte, sizeof(aiocb)> storage_;
  aiocb* const block_ = ::new (static_cast<void*>(storage_.data())) aiocb{};
  std::uint32_t forks_ = 0;
  bool begun_ = false;
};

// aio_write(3) takes the buffer as aio_read(3) does, and only reads it.
inline std::span<std::byte> writable(std::span<const std::byte> buffer) noexcept {
  return {const_cast<std::byte*>(buffer.data()), buffer.size()};
}

}  // namespace detail

// An asynchronous read, write or sync, begun when it is made: sigev_kevent(7).  The buffer and
// the descriptor remain the program's, and must outlive it.  A callback takes a
// const Completion&, or nothing, and is called once.
//
// The destructor cancels an operation that has not begun, and waits for the end of one that has,
// which for a pipe or a socket can take for ever: wait until these are ready, and read then.
class [[nodiscard]] Operation {
 public:
  Operation() = default;
  Operation(Operation&&) = default;
  Operation& operator=(Operation&& other) noexcept {
    Operation old(std::move(other));
    std::swap(slot_, old.slot_);
    std::swap(control_, old.control_);
    return *this;
  }
  template <HandlerFor<Completion> H>
  static Operation read(const Queue& queue, int fd, std::span<std::byte> buffer, off_t offset,
                        H&& handler) {
    return checked(Kind::kRead, queue, fd, buffer, offset, std::forward<H>(handler));
  }
  template <HandlerFor<Completion> H>
  static Operation read(const Queue& queue, int fd, std::span<std::byte> buffer, off_t offset,
                        H&& handler, std::error_code& error) {
    return Operation(Kind::kRead, queue, fd, buffer, offset, std::forward<H>(handler), error);
  }
  template <HandlerFor<Completion> H>
  static Operation write(const Queue& queue, int fd, std::span<const std::byte> buffer,
                         off_t offset, H&& handler) {
    return checked(Kind::kWrite, queue, fd, detail::writable(buffer), offset,
                   std::forward<H>(handler));
  }
  template <HandlerFor<Completion> H>
  static Operation write(const Queue& queue, int fd, std::span<const std::byte> buffer,
                         off_t offset, H&& handler, std::error_code& error) {
    return Operation(Kind::kWrite, queue, fd, detail::writable(buffer), offset,
                     std::forward<H>(handler), error);
  }
  // After all operations on the descriptor that were begun before.
  template <HandlerFor<Completion> H>
  static Operation sync(const Queue& queue, int fd, H&& handler) {
    return checked(Kind::kSync, queue, fd, {}, 0, std::forward<H>(handler));
  }
  template <HandlerFor<Completion> H>
  static Operation sync(const Queue& queue, int fd, H&& handler, std::error_code& error) {
    return Operation(Kind::kSync, queue, fd, {}, 0, std::forward<H>(handler), error);
  }

  // One that has not begun ends with errc::operation_canceled, and reports it.
  void cancel() noexcept {
    if (control_ != nullptr) control_->cancel();
  }
  bool in_flight() const noexcept { return control_ != nullptr && control_->in_flight(); }
  explicit operator bool() const noexcept { return control_ != nullptr; }

 private:
  using Kind = detail::Control::Kind;

  template <class H>
  Operation(Kind kind, const Queue& queue, int fd, std::span<std::byte> buffer, off_t offset,
            H&& handler, std::error_code& error) {
    void* const cookie =
        detail::receive<Completion>(queue.slots(), std::forward<H>(handler), slot_, error);
    if (error) return;
    control_.reset(new (std::nothrow) detail::Control(fd, buffer, offset));
    const int failed = control_ == nullptr ? ENOMEM : control_->begin(kind, queue.fd(), cookie);
    if (failed == 0) return;
    error = detail::error_of(failed);
    control_.reset();
    slot_.reset();
  }

  template <class H>
  static Operation checked(Kind kind, const Queue& queue, int fd, std::span<std::byte> buffer,
                           off_t offset, H&& handler) {
    std::error_code error;
    Operation operation(kind, queue, fd, buffer, offset, std::forward<H>(handler), error);
    detail::check(error, "aio");
    return operation;
  }

  detail::SlotOwner slot_;
  std::unique_ptr<detail::Control> control_;  // ends before its callback goes
};

}  // namespace kevent

#endif  // KEVENT_OPERATION_HPP_
