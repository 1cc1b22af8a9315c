// SPDX-License-Identifier: MIT
//
// The connections of a load, and the process of its clients.

#ifndef KEVENT_BENCH_TRANSFERBENCH_CLIENTS_H_
#define KEVENT_BENCH_TRANSFERBENCH_CLIENTS_H_

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "bench/side_by_side.h"

namespace transferbench {

using kevent::bench::Must;

// So many events at most are taken from the kernel, or from a queue, at a time.
constexpr unsigned kBatch = 256;

struct Connection {
  int server = -1;
  int client = -1;
};

class Connections {
 public:
  explicit Connections(size_t count) : all_(count) {
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in name = {};
    name.sin_family = AF_INET;
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof name;
    auto* const address = reinterpret_cast<sockaddr*>(&name);
    Must(bind(listener, address, size) == 0 && listen(listener, 128) == 0 &&
             getsockname(listener, address, &size) == 0,
         "listen");
    for (Connection& one : all_) {
      one.client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      Must(connect(one.client, address, size) == 0, "connect");
      one.server = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
      Must(one.server >= 0, "accept4");
      Must(fcntl(one.client, F_SETFL, O_NONBLOCK) == 0, "O_NONBLOCK");
      const int yes = 1;
      for (const int fd : {one.server, one.client}) {
        Must(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes) == 0, "TCP_NODELAY");
      }
    }
    close(listener);
  }
  ~Connections() {
    for (const Connection& one : all_) {
      close(one.server);
      close(one.client);
    }
  }
  Connections(const Connections&) = delete;
  Connections& operator=(const Connections&) = delete;
  const std::vector<Connection>& all() const { return all_; }

 private:
  std::vector<Connection> all_;
};

// Sends `asks` bytes on each connection and awaits `answers`, `turns` times.
class Clients {
 public:
  Clients(const Connections& connections, size_t asks, size_t answers, unsigned turns)
      : asks_(asks), answers_(answers), turns_(turns), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    const auto& all = connections.all();
    states_.resize(all.size());
    for (size_t i = 0; i < all.size(); ++i) {
      states_[i].fd = all[i].client;
      close(all[i].server);
      epoll_event interest = {};
      interest.events = EPOLLIN | EPOLLOUT | EPOLLET;
      interest.data.u64 = i;
      Must(epoll_ctl(epoll_, EPOLL_CTL_ADD, states_[i].fd, &interest) == 0, "epoll_ctl");
    }
  }

  void Run() {
    std::array<epoll_event, kBatch> events;
    size_t finished = 0;
    while (finished != states_.size()) {
      const int count = epoll_wait(epoll_, events.data(), kBatch, 60'000);
      Must(count > 0, "the clients wait in vain");
      for (int i = 0; i < count; ++i) {
        if (GoOn(states_[events[static_cast<size_t>(i)].data.u64])) ++finished;
      }
    }
  }

 private:
  struct State {
    int fd = -1;
    size_t sent = 0;
    size_t received = 0;
    unsigned turn = 0;
  };

  // As far as nothing blocks; true when the last turn has ended.
  bool GoOn(State& state) {
    while (state.turn != turns_) {
      if (state.sent < asks_) {
        const ssize_t sent = send(state.fd, text_.data(), asks_ - state.sent, MSG_NOSIGNAL);
        if (sent > 0) state.sent += static_cast<size_t>(sent);
        Must(sent > 0 || errno == EAGAIN, "send");
        if (sent > 0 && state.sent < asks_) continue;
      }
      const size_t room = std::min(answers_ - state.received, text_.size());
      const ssize_t received = recv(state.fd, answer_.data(), room, 0);
      if (received < 0 && errno == EAGAIN) {
        return false;
      }
      Must(received > 0, "recv");
      state.received += static_cast<size_t>(received);
      if (state.received != answers_) continue;
      state.received = state.sent = 0;
      if (++state.turn == turns_) return true;
    }
    return false;
  }

  const size_t asks_;
  const size_t answers_;
  const unsigned turns_;
  const int epoll_;
  std::vector<State> states_;
  std::string text_ = std::string(64 << 10, 'm');
  std::string answer_ = std::string(64 << 10, '\0');
};

}  // namespace transferbench

#endif  // KEVENT_BENCH_TRANSFERBENCH_CLIENTS_H_
