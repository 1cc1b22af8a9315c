// SPDX-License-Identifier: MIT
//
// A queue in an io_context of Asio.  Includes <asio.hpp>, or <boost/asio.hpp> if
// KEVENT_BOOST_ASIO is defined.
#ifndef KEVENT_LOOPS_ASIO_HPP
#define KEVENT_LOOPS_ASIO_HPP

#include <kevent/loops/drain.h>

#include <cerrno>
#include <functional>
#include <memory>
#include <span>
#include <system_error>
#include <utility>

#ifdef KEVENT_BOOST_ASIO
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#else
#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#endif

namespace kevent::loops {

#ifdef KEVENT_BOOST_ASIO
namespace asio = ::boost::asio;
#else
namespace asio = ::asio;
#endif

// Hands the events of a queue to a function, in the io_context, until it is destroyed; the function
// may do that.  Not thread-safe: destroyed in the thread, or strand, that runs the io_context.
class AsioSource {
 public:
  using Function = std::function<void(std::span<ukevent>)>;

  // The queue outlives the object.  Throws std::system_error.
  AsioSource(asio::io_context& context, int kev_fd, Function function)
      : state_(std::make_shared<State>(context, kev_fd, std::move(function))) {
    Wait(state_);
  }
  ~AsioSource() {
    if (state_ != nullptr) state_->Close();
  }
  AsioSource(AsioSource&&) = default;
  AsioSource& operator=(AsioSource&& other) {
    if (this == &other) return *this;
    if (state_ != nullptr) state_->Close();
    state_ = std::move(other.state_);
    return *this;
  }

 private:
  // Lives until the last handler has run.
  struct State {
    State(asio::io_context& context, int kev_fd, Function handler)
        : function(std::move(handler)), descriptor(context) {
      if (kevent_drain_open(&drain, kev_fd, &State::HandOver, this) == -1) {
        throw std::system_error(errno, std::generic_category(), "kevent_drain_open");
      }
      try {
        descriptor.assign(kevent_drain_fd(&drain));
      } catch (...) {
        kevent_drain_close(&drain);
        throw;
      }
    }
    // The descriptor closes the number.
    ~State() { drain.epoll_fd = -1; }
    State(const State&) = delete;
    State& operator=(const State&) = delete;

    static void HandOver(ukevent* events, unsigned num, void* state) {
      static_cast<State*>(state)->function(std::span(events, num));
    }
    void Close() {
      drain.epoll_fd = -1;
      descriptor.close();
    }

    Function function;
    kevent_drain drain;
    asio::posix::stream_descriptor descriptor;
  };

  // An exception of the function leaves io_context::run(), and the source goes on.
  static void Run(const std::shared_ptr<State>& state) {
    int events;
    try {
      events = kevent_drain_run(&state->drain);
    } catch (...) {
      if (state->drain.epoll_fd != -1) Wait(state);
      throw;
    }
    if (events != -1 && state->drain.epoll_fd != -1) Wait(state);
  }

  static void Wait(const std::shared_ptr<State>& state) {
    state->descriptor.async_wait(asio::posix::stream_descriptor::wait_read,
                                 [state](const auto& error) {
                                   if (error || state->drain.epoll_fd == -1) return;
                                   Run(state);
                                 });
  }

  std::shared_ptr<State> state_;
};

}  // namespace kevent::loops

#endif  // KEVENT_LOOPS_ASIO_HPP
