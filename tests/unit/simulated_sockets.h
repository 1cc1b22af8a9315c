// SPDX-License-Identifier: MIT
//
// What transfers meet in the simulated system: sockets that somebody at the other side fills and
// empties, and files some of whose pages are in the page cache.

#ifndef KEVENT_TESTS_UNIT_SIMULATED_SOCKETS_H_
#define KEVENT_TESTS_UNIT_SIMULATED_SOCKETS_H_

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

namespace kevent_test {

struct SimulatedSocket {
  int type = SOCK_STREAM;
  // What the other side has sent: messages, or a stream in parts; and that it has ended.
  std::deque<std::string> came;
  bool has_ended = false;
  bool is_broken = false;  // as after a reset: nothing can be sent, and what came is still there
  bool was_told = false;   // of that: once (SO_ERROR)
  size_t room = 0;         // for so many bytes, or messages, before a sender waits
  std::string sent;        // a stream
  std::vector<std::string> messages_sent;

  bool IsReadable() const { return !came.empty() || has_ended || is_broken; }
  bool IsWritable() const { return room != 0 || is_broken; }
  uint32_t Readiness() const;
};

struct SimulatedContent {
  SimulatedContent(std::string content, size_t bytes_of_page)
      : bytes(std::move(content)), page(bytes_of_page), cached(bytes.size() / page + 1) {}
  // From this place on, and up to `most`: nothing has to be read beyond the end.
  size_t CachedFrom(size_t place, size_t most) const;
  void Cache(size_t place, size_t count);
  void Evict() { cached.assign(cached.size(), false); }

  std::string bytes;
  size_t page;
  std::vector<bool> cached;  // a page each
  bool has_no_pages = false;
  uint64_t number = 0;  // of the file: no other one ever has it
};

int OpenSimulatedSocket(int type, int status_flags);
SimulatedSocket& SocketOf(int fd);
// Something has happened at the other side: whoever watches hears of it.
void SocketChanged(int fd);

int OpenSimulatedFile(std::string content, size_t bytes_of_page = 4);
SimulatedContent& ContentOf(int fd);
// The file that OpenFile finds by every path.
void SetFileOfPaths(int fd);

}  // namespace kevent_test

#endif  // KEVENT_TESTS_UNIT_SIMULATED_SOCKETS_H_
