// SPDX-License-Identifier: MIT
//
// examples/file_server.c as a process.
#ifndef KEVENT_TESTS_EXAMPLES_FILE_SERVER_SERVER_H_
#define KEVENT_TESTS_EXAMPLES_FILE_SERVER_SERVER_H_

#include <netinet/in.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/examples/file_server/tree.h"

namespace file_load {

class Server {
 public:
  struct Counts {
    unsigned long connections, requests, bytes, timed_out, in_flight;
  };

  Server(const std::string& program, const std::string& root, const std::string& idle_ms) {
    int out[2];
    Require(pipe2(out, O_CLOEXEC) == 0, "pipe");
    id_ = fork();
    if (id_ == 0) {
      dup2(out[1], STDOUT_FILENO);
      execl(program.c_str(), program.c_str(), "--idle", idle_ms.c_str(), root.c_str(), nullptr);
      _exit(127);
    }
    close(out[1]);
    output_ = fdopen(out[0], "r");
    unsigned port = 0;
    Require(fscanf(output_, "listening on %u", &port) == 1, "the server does not start");
    address_.sin_family = AF_INET;
    address_.sin_port = htons(static_cast<uint16_t>(port));
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  }
  ~Server() {
    if (id_ > 0) {
      kill(id_, SIGKILL);
      waitpid(id_, nullptr, 0);
    }
    fclose(output_);
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // From one address there would not be ports enough.
  int Connect(int receive_buffer) {
    sockaddr_in own = {};
    const int on = 1;
    own.sin_family = AF_INET;
    own.sin_addr.s_addr = htonl(INADDR_LOOPBACK + count_++ % 50);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    Require(fd != -1, "socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (receive_buffer != 0) {
      setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    }
    Require(bind(fd, reinterpret_cast<sockaddr*>(&own), sizeof own) == 0, "bind");
    Require(connect(fd, reinterpret_cast<sockaddr*>(&address_), sizeof address_) == 0, "connect");
    Require(fcntl(fd, F_SETFL, O_NONBLOCK) == 0, "fcntl");
    return fd;
  }

  size_t Descriptors() const {
    const std::filesystem::directory_iterator all(DescriptorFolder());
    return static_cast<size_t>(std::distance(begin(all), end(all)));
  }

  // What becomes of connections is the server's to notice.
  void AwaitDescriptors(size_t least, size_t most) const {
    Await(
        [=, this] {
          const size_t count = Descriptors();
          return count >= least && count <= most;
        },
        std::to_string(least) + " to " + std::to_string(most) + " descriptors");
  }
  void AwaitNoConnection() const {
    Await(
        [this] {
          const auto links = Links();
          return std::count_if(links.begin(), links.end(), [](const std::string& link) {
                   return link.starts_with("socket:");
                 }) == 1;
        },
        "no socket but the listener");
  }

  // A call that sleeps may have a descriptor of its own.
  void AwaitSleep() const {
    const auto sleeps = [this] {
      std::ifstream file("/proc/" + std::to_string(id_) + "/stat");
      const std::string text(std::istreambuf_iterator<char>(file), {});
      const size_t end = text.rfind(") ");
      return end != std::string::npos && text[end + 2] == 'S';
    };
    Await(sleeps, "the server asleep");
  }

  Counts Stop() {
    int status = 0;
    kill(id_, SIGTERM);
    Require(waitpid(id_, &status, 0) == id_, "waitpid");
    id_ = 0;
    Require(status == 0, "the server ends with status " + std::to_string(status));
    Counts counts = {};
    Require(
        fscanf(output_, " connections %lu, requests %lu, bytes %lu, timed out %lu, in flight %lu",
               &counts.connections, &counts.requests, &counts.bytes, &counts.timed_out,
               &counts.in_flight) == 5,
        "the server's last words");
    Require(counts.in_flight == 0, "transfers are in flight at the end");
    return counts;
  }

 private:
  std::string DescriptorFolder() const { return "/proc/" + std::to_string(id_) + "/fd"; }

  std::vector<std::string> Links() const {
    std::vector<std::string> links;
    for (const auto& entry : std::filesystem::directory_iterator(DescriptorFolder())) {
      std::error_code closed_meanwhile;
      links.push_back(std::filesystem::read_symlink(entry, closed_meanwhile));
    }
    return links;
  }

  template <typename Condition>
  void Await(Condition condition, const std::string& what) const {
    for (int i = 0; i < 10000; i++) {
      if (condition()) return;
      usleep(1000);
    }
    for (const std::string& link : Links()) std::cerr << link << '\n';
    Require(false, "awaited in vain, with the descriptors above: " + what);
  }

  pid_t id_;
  FILE* output_ = nullptr;
  sockaddr_in address_ = {};
  unsigned count_ = 0;
};

}  // namespace file_load

#endif  // KEVENT_TESTS_EXAMPLES_FILE_SERVER_SERVER_H_
