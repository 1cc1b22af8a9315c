// SPDX-License-Identifier: MIT
//
// One connection to examples/file_server.c, that compares what it gets byte for byte.
#ifndef KEVENT_TESTS_EXAMPLES_FILE_SERVER_CLIENT_H_
#define KEVENT_TESTS_EXAMPLES_FILE_SERVER_CLIENT_H_

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/examples/file_server/tree.h"

namespace file_load {

struct Exchange {
  std::string request;
  std::string status;
  size_t length = 0;      // of Content-Length
  std::string_view body;  // what really comes
  bool ends = false;      // the connection, says the server
};

class Client {
 public:
  struct Manners {
    bool is_slow = false;
    bool is_pipelined = false;
    // It is gone after so many bytes, one way or the other.
    std::optional<size_t> most_sent, most_received;
  };

  Client(int fd, std::vector<Exchange> plan, Manners manners)
      : fd_(fd), plan_(std::move(plan)), manners_(manners) {
    AskNext();
  }
  ~Client() {
    if (fd_ != -1) close(fd_);
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  int fd() const { return fd_; }
  uint32_t interest() const { return EPOLLIN | (to_send_.empty() ? 0u : EPOLLOUT); }
  bool vanishes() const { return manners_.most_sent || manners_.most_received; }
  const std::vector<Exchange>& plan() const { return plan_; }

  // True when it is done.
  bool Go(uint32_t events, Random& random) {
    if ((events & EPOLLIN) != 0 && Receive(random)) return true;
    if ((events & EPOLLOUT) != 0) Send(random);
    const bool gone = (manners_.most_sent && sent_ >= *manners_.most_sent) ||
                      (manners_.most_received && received_ >= *manners_.most_received);
    if (gone && Below(random, 2) == 0) Reset();
    return gone;
  }

  // For one that did not read: what is there is right, and the server has closed.
  void ExpectTruncated() {
    char buffer[65536];
    for (;;) {
      const ssize_t count = recv(fd_, buffer, sizeof buffer, MSG_DONTWAIT);
      if (count > 0) {
        Take(std::string_view(buffer, static_cast<size_t>(count)));
        continue;
      }
      if (count == -1 && errno == EAGAIN) {
        usleep(1000);  // the kernel still sends what it took
        continue;
      }
      Require(answered_ < plan_.size() || plan_.empty(), "a client that is idle gets all");
      return;
    }
  }

 private:
  void AskNext() {
    do {
      if (asked_ == plan_.size()) return;
      to_send_ += plan_[asked_++].request;
    } while (manners_.is_pipelined);
  }

  void Send(Random& random) {
    size_t bytes = to_send_.size();
    if (manners_.most_sent) bytes = std::min(bytes, *manners_.most_sent - sent_);
    if (manners_.is_slow) bytes = std::min(bytes, 1 + Below(random, 16));
    const ssize_t count = send(fd_, to_send_.data(), bytes, MSG_NOSIGNAL);
    if (count == -1 && errno == EAGAIN) return;
    Require(count >= 0, "send");
    to_send_.erase(0, static_cast<size_t>(count));
    sent_ += static_cast<size_t>(count);
  }

  bool Receive(Random& random) {
    char buffer[65536];
    size_t bytes = sizeof buffer;
    if (manners_.is_slow) bytes = 1 + Below(random, body_.size() > 65536 ? 16384 : 300);
    if (manners_.most_received) bytes = std::min(bytes, *manners_.most_received - received_);
    const ssize_t count = recv(fd_, buffer, bytes, 0);
    if (count == -1 && errno == EAGAIN) return false;
    Require(count >= 0, "recv");
    if (count == 0) {
      Require(answered_ == plan_.size() && plan_.back().ends && unread_.empty(),
              "the server has closed a connection too soon");
      return true;
    }
    received_ += static_cast<size_t>(count);
    Take(std::string_view(buffer, static_cast<size_t>(count)));
    return answered_ == plan_.size() && !plan_.back().ends;
  }

  void Take(std::string_view bytes) {
    const std::string joined = unread_ + std::string(bytes);
    std::string_view left = joined;
    while (TakePart(&left)) {
    }
    unread_ = left;
  }

  // A head, or as much of a body as there is; false if there is nothing more to take.
  bool TakePart(std::string_view* left) {
    if (left->empty()) return false;
    Require(answered_ < plan_.size(), "more comes than was asked for");
    const Exchange& exchange = plan_[answered_];
    if (!in_body_) {
      const size_t end = left->find("\r\n\r\n");
      Require(end != std::string_view::npos || left->size() < 1024, "a head without an end");
      if (end == std::string_view::npos) return false;
      CheckHead(left->substr(0, end + 2), exchange);
      left->remove_prefix(end + 4);
      in_body_ = true;
      body_ = exchange.body;
    }
    const size_t common = std::min(body_.size(), left->size());
    Require(body_.substr(0, common) == left->substr(0, common),
            "wrong bytes in the answer to " + exchange.request);
    body_.remove_prefix(common);
    left->remove_prefix(common);
    if (!body_.empty()) return false;
    in_body_ = false;
    answered_++;
    if (!manners_.is_pipelined) AskNext();
    return true;
  }

  static void CheckHead(std::string_view head, const Exchange& exchange) {
    const auto has = [head](const std::string& line) {
      return head.find("\r\n" + line + "\r\n") != std::string_view::npos;
    };
    const bool right = head.starts_with("HTTP/1.1 " + exchange.status + " ") &&
                       has("Content-Length: " + std::to_string(exchange.length)) &&
                       has(exchange.ends ? "Connection: close" : "Connection: keep-alive") &&
                       (exchange.status != "405" || has("Allow: GET, HEAD"));
    Require(right, "the answer to " + exchange.request + "is " + std::string(head));
  }

  void Reset() {
    const linger at_once = {1, 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  }

  int fd_;
  std::vector<Exchange> plan_;
  Manners manners_;
  std::string to_send_;
  size_t asked_ = 0;
  size_t answered_ = 0;
  size_t sent_ = 0;
  size_t received_ = 0;
  std::string unread_;  // a part of a head
  bool in_body_ = false;
  std::string_view body_;  // what of it is still to come
};

}  // namespace file_load

#endif  // KEVENT_TESTS_EXAMPLES_FILE_SERVER_CLIENT_H_
