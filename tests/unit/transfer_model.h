// SPDX-License-Identifier: MIT
//
// A slow, obvious model of transfers: which bytes each of them moves, in which order they end, and
// that the queue is told of each once.

#ifndef KEVENT_TESTS_UNIT_TRANSFER_MODEL_H_
#define KEVENT_TESTS_UNIT_TRANSFER_MODEL_H_

#include <kevent/kevent.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/engine.h"
#include "tests/unit/simulated_sockets.h"

namespace kevent_test {

class TransferModel {
 public:
  struct Socket {
    int fd = -1;
    int type = SOCK_STREAM;
    // What the other side has sent and no event has told of: a stream, or messages.
    std::string to_receive;
    std::deque<std::string> messages;
    bool is_stream() const { return type == SOCK_STREAM; }
  };

  struct Transfer {
    uint64_t cookie = 0;
    Socket* socket = nullptr;
    int fd = -1;  // of the socket when it was begun
    unsigned operation = 0;
    size_t size = 0;
    bool ends_with_some = false;
    std::string buffer;  // received into, or sent; of a file: what is sent of it
    int64_t offset = 0;
    int file = -1;         // of the test's
    bool is_late = false;  // begun after the socket's error was told
    bool may_be_cancelled = false;
    bool must_be_cancelled = false;
    bool may_fail = false;  // with ENOMEM, if something was moved; without a thread that reads
    bool receives() const { return operation == KEVENT_NAIO_RECV; }
    bool is_of_file() const {
      return operation == KEVENT_NAIO_SENDFILE || operation == KEVENT_NAIO_SENDFILE_PATH;
    }
  };
  using Owned = std::unique_ptr<Transfer>;

  bool empty() const { return in_flight_.empty(); }
  size_t size() const { return in_flight_.size(); }
  const Transfer& At(uint64_t i) const { return *in_flight_[i % in_flight_.size()]; }

  void Begun(Owned transfer) { in_flight_.push_back(std::move(transfer)); }

  void Arrived(Socket& socket, const std::string& bytes) {
    if (socket.is_stream()) {
      socket.to_receive += bytes;
    } else {
      socket.messages.push_back(bytes);
    }
  }

  // Those of a socket, with this cookie or all, may end with ECANCELED from here on; and must, if
  // nothing has ended that was not told of.
  void Cancelled(const Socket& socket, const uint64_t* cookie, bool must) {
    for (const Owned& transfer : in_flight_) {
      if (transfer->socket != &socket) continue;
      if (cookie != nullptr && *cookie != transfer->cookie) continue;
      transfer->may_be_cancelled = true;
      transfer->must_be_cancelled |= must;
    }
  }

  // A queue has told of all that has ended, and the first in line have no bytes to end with.
  void CheckAtRest(const Socket& socket) const {
    const Transfer* const first = First(socket, true);
    EXPECT_TRUE(first == nullptr || !first->ends_with_some || socket.to_receive.empty());
    const Transfer* const sends = First(socket, false);
    EXPECT_TRUE(sends == nullptr || !sends->ends_with_some || SocketOf(socket.fd).sent.empty());
  }

  bool AnyOn(const Socket& socket, const uint64_t* cookie) const {
    return std::any_of(in_flight_.begin(), in_flight_.end(), [&](const Owned& transfer) {
      return transfer->socket == &socket && (cookie == nullptr || *cookie == transfer->cookie);
    });
  }

  // No events come of those in flight: the queue was closed, or this is another process.
  void Forget(const std::vector<Socket*>& sockets) {
    in_flight_.clear();
    for (Socket* socket : sockets) {
      SimulatedSocket& real = SocketOf(socket->fd);
      socket->to_receive.clear();
      socket->messages.clear();
      for (const std::string& part : real.came) Arrived(*socket, part);
      real.sent.clear();
      real.messages_sent.clear();
    }
  }

  // The number was given to another socket.
  void Replaced(Socket& socket, int type) {
    Cancelled(socket, nullptr, false);
    socket.type = type;
    socket.to_receive.clear();
    socket.messages.clear();
    // What those had moved cannot be looked at any more.
    for (const Owned& transfer : in_flight_) {
      if (transfer->socket == &socket) transfer->socket = nullptr;
    }
  }

  void Check(const ukevent& event) {
    const auto found = std::find_if(in_flight_.begin(), in_flight_.end(), [&](const Owned& one) {
      return reinterpret_cast<void*>(one->cookie) == event.ptr;
    });
    ASSERT_NE(found, in_flight_.end()) << "of one that is told of already, or was not begun";
    Owned transfer = std::move(*found);
    const auto place = found - in_flight_.begin();
    in_flight_.erase(found);
    const size_t moved = event.ret_data[0];
    const auto error = static_cast<int>(event.ret_data[1]);
    EXPECT_EQ(event.type, static_cast<uint32_t>(KEVENT_NAIO));
    EXPECT_EQ(event.event, transfer->operation);
    EXPECT_EQ(event.ret_flags, static_cast<uint32_t>(KEVENT_RET_DONE));
    EXPECT_EQ(event.id.raw[0], static_cast<uint32_t>(transfer->fd));
    EXPECT_EQ(event.id.raw[1], transfer->size);
    ASSERT_LE(moved, transfer->size);
    EXPECT_TRUE(error == ECANCELED ? transfer->may_be_cancelled : !transfer->must_be_cancelled);
    EXPECT_TRUE(error != ENOMEM || (transfer->may_fail && moved != 0));
    EXPECT_TRUE(error != EAGAIN || (transfer->may_fail && transfer->is_of_file()));
    if (transfer->socket == nullptr) {  // the rest cannot be known
      EXPECT_TRUE(transfer->may_be_cancelled);
      return;
    }
    if (moved != 0 || error == 0) CheckOrder(*transfer, static_cast<size_t>(place));
    transfer->receives() ? CheckReceived(*transfer, moved, error)
                         : CheckSent(*transfer, moved, error);
  }

  // The first in line on a socket and in a direction, or nullptr.
  const Transfer* First(const Socket& socket, bool receives) const {
    for (const Owned& transfer : in_flight_) {
      if (transfer->socket == &socket && transfer->receives() == receives) return transfer.get();
    }
    return nullptr;
  }

 private:
  // Those of a socket and a direction end in the order in which they were begun.
  void CheckOrder(const Transfer& transfer, size_t place) const {
    for (size_t i = 0; i < place; ++i) {
      const Transfer& other = *in_flight_[i];
      EXPECT_FALSE(other.socket == transfer.socket && other.receives() == transfer.receives())
          << "one that was begun before has not ended";
    }
  }

  static void CheckError(int error, int when_broken, const SimulatedSocket& real) {
    EXPECT_TRUE(error == 0 || error == ECANCELED || error == ENOMEM || error == EAGAIN ||
                (error == when_broken && real.is_broken))
        << error;
  }

  // A broken connection does not pass for one that has ended with those who waited in line.
  static bool HasEnded(const Transfer& transfer) {
    return SocketOf(transfer.socket->fd).has_ended || transfer.is_late;
  }

  static void CheckReceived(const Transfer& transfer, size_t moved, int error) {
    Socket& socket = *transfer.socket;
    const SimulatedSocket& real = SocketOf(socket.fd);
    CheckError(error, ECONNRESET, real);
    if (!socket.is_stream()) return CheckMessage(transfer, moved, error);
    ASSERT_LE(moved, socket.to_receive.size());
    EXPECT_EQ(transfer.buffer.compare(0, moved, socket.to_receive, 0, moved), 0);
    socket.to_receive.erase(0, moved);
    const bool is_all = moved == transfer.size || (transfer.ends_with_some && moved != 0);
    EXPECT_TRUE(error != 0 || is_all || (HasEnded(transfer) && socket.to_receive.empty()))
        << moved << " bytes";
  }

  static void CheckMessage(const Transfer& transfer, size_t moved, int error) {
    Socket& socket = *transfer.socket;
    if (error != 0 || socket.messages.empty()) {
      EXPECT_EQ(moved, 0U);
      EXPECT_TRUE(error != 0 || HasEnded(transfer));
      return;
    }
    const std::string message = std::move(socket.messages.front());
    socket.messages.pop_front();
    EXPECT_EQ(moved, std::min(message.size(), transfer.size));
    EXPECT_EQ(transfer.buffer.compare(0, moved, message, 0, moved), 0);
  }

  static void CheckSent(const Transfer& transfer, size_t moved, int error) {
    SimulatedSocket& real = SocketOf(transfer.socket->fd);
    CheckError(error, EPIPE, real);
    const std::string& bytes = transfer.buffer;
    ASSERT_LE(moved, bytes.size());
    const bool is_all = moved == bytes.size() || (transfer.ends_with_some && moved != 0);
    EXPECT_TRUE(error != 0 || is_all) << moved << " bytes";
    if (transfer.socket->is_stream()) {
      EXPECT_EQ(real.sent.compare(0, moved, bytes, 0, moved), 0) << "other bytes were sent";
      real.sent.erase(0, moved);
    } else if (error == 0) {
      ASSERT_FALSE(real.messages_sent.empty());
      EXPECT_EQ(real.messages_sent.front(), bytes);
      real.messages_sent.erase(real.messages_sent.begin());
    }
  }

  std::vector<Owned> in_flight_;  // in the order in which they were begun
};

}  // namespace kevent_test

#endif  // KEVENT_TESTS_UNIT_TRANSFER_MODEL_H_
