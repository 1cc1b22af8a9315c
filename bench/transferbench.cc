// SPDX-License-Identifier: MIT
//
// What does a message cost a server of a thousand connections by transfers of the queue, beside
// epoll with recv and send, and beside an io_uring?  And a file of 1 MiB by aio_sendfile, beside
// epoll with sendfile?  The clients are another process.  What is shown is CPU time of the thread
// that serves, in turns, and the median of the ratios of the turns.

#include <absl/flags/flag.h>
#include <fcntl.h>
#include <kevent/kevent.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#if KEVENT_HAVE_LIBURING
#include <liburing.h>
#endif

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "bench/goals.h"
#include "bench/side_by_side.h"
#include "tools/support/command_line.h"

ABSL_FLAG(bool, quick, false, "5 rounds instead of 21: a quarter of the time");
ABSL_FLAG(bool, smoke, false, "one round of few messages, to see that each is right; no times");
ABSL_FLAG(std::string, only, "", "only the loads whose names have this text");
ABSL_FLAG(std::string, goals, "",
          "append the table of what is wanted to this file (it is not written)");

namespace {

using kevent::bench::Compare;
using kevent::bench::Must;
using kevent::bench::Nanoseconds;
using kevent::bench::Side;

constexpr size_t kFileBytes = 1 << 20;
constexpr unsigned kBatch = 256;

// ---- Connections -------------------------------------------------------------------

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

// ---- The clients --------------------------------------------------------------------

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

// ---- Servers -------------------------------------------------------------------------

// Answers `messages` of `bytes` on these sockets, each by itself.
using Serve = std::function<void(const std::vector<Connection>&, size_t bytes, size_t messages)>;

struct Buffer {
  std::span<char> bytes;
  size_t received = 0;
  size_t sent = 0;
  bool sends = false;
};

// Room that is there before the time runs.  It is shared, lest a page of it is copied for the first
// write after a fork.
std::vector<Buffer> Buffers(size_t count, size_t bytes) {
  constexpr size_t kMost = size_t{64} << 20;
  static char* const room = static_cast<char*>(mmap(
      nullptr, kMost, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0));
  Must(room != MAP_FAILED && count * bytes <= kMost, "mmap");
  std::vector<Buffer> buffers(count);
  for (size_t i = 0; i < count; ++i) buffers[i].bytes = {room + i * bytes, bytes};
  return buffers;
}

void Watch(int epoll, int command, int fd, uint32_t events, size_t number) {
  epoll_event interest = {};
  interest.events = events;
  interest.data.u64 = number;
  Must(epoll_ctl(epoll, command, fd, &interest) == 0, "epoll_ctl");
}

void EchoByEpoll(const std::vector<Connection>& all, size_t bytes, size_t messages) {
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  std::vector<Buffer> buffers = Buffers(all.size(), bytes);
  for (size_t i = 0; i < all.size(); ++i) Watch(epoll, EPOLL_CTL_ADD, all[i].server, EPOLLIN, i);
  std::array<epoll_event, kBatch> events;
  for (size_t answered = 0; answered < messages;) {
    const int count = epoll_wait(epoll, events.data(), kBatch, 60'000);
    Must(count > 0, "epoll_wait");
    for (int i = 0; i < count; ++i) {
      const size_t number = events[static_cast<size_t>(i)].data.u64;
      const int fd = all[number].server;
      Buffer& buffer = buffers[number];
      if (!buffer.sends) {
        const ssize_t got = recv(fd, &buffer.bytes[buffer.received], bytes - buffer.received, 0);
        if (got < 0 && errno == EAGAIN) continue;
        Must(got > 0, "recv");
        buffer.received += static_cast<size_t>(got);
        if (buffer.received != bytes) continue;
      }
      const ssize_t sent = send(fd, &buffer.bytes[buffer.sent], bytes - buffer.sent, MSG_NOSIGNAL);
      Must(sent > 0 || errno == EAGAIN, "send");
      if (sent > 0) buffer.sent += static_cast<size_t>(sent);
      if (buffer.sent != bytes) {
        if (!buffer.sends) Watch(epoll, EPOLL_CTL_MOD, fd, EPOLLOUT, number);
        buffer.sends = true;
        continue;
      }
      if (buffer.sends) Watch(epoll, EPOLL_CTL_MOD, fd, EPOLLIN, number);
      buffer.sends = false;
      buffer.received = buffer.sent = 0;
      ++answered;
    }
  }
  close(epoll);
}

kevent_transfer Transfer(unsigned operation, int socket, std::span<char> bytes, size_t number) {
  kevent_transfer transfer = {};
  transfer.operation = operation;
  transfer.socket = socket;
  transfer.buffer = bytes.data();
  transfer.size = bytes.size();
  transfer.cookie = reinterpret_cast<void*>(number);
  return transfer;
}

void EchoByTransfers(const std::vector<Connection>& all, size_t bytes, size_t messages) {
  const int queue = kevent_init(nullptr, 0, 0);
  std::vector<Buffer> buffers = Buffers(all.size(), bytes);
  std::vector<kevent_transfer> transfers;
  const auto begin = [&] {
    const auto count = static_cast<unsigned>(transfers.size());
    Must(kevent_transfers(queue, count, transfers.data()) == static_cast<int>(count),
         "kevent_transfers");
    transfers.clear();
  };
  for (size_t i = 0; i < all.size(); ++i) {
    transfers.push_back(Transfer(KEVENT_NAIO_RECV, all[i].server, buffers[i].bytes, i));
  }
  begin();
  std::array<ukevent, kBatch> events;
  const timespec patience = {60, 0};
  for (size_t answered = 0; answered < messages;) {
    const int count = kevent_get_events(queue, 1, kBatch, &patience, events.data(), 0);
    Must(count > 0, "kevent_get_events");
    for (int i = 0; i < count; ++i) {
      const ukevent& event = events[static_cast<size_t>(i)];
      Must(event.ret_data[0] == bytes, "a message is cut");
      const auto number = reinterpret_cast<size_t>(event.ptr);
      const bool was_sent = event.event == KEVENT_NAIO_SEND;
      answered += was_sent ? 1 : 0;
      transfers.push_back(Transfer(was_sent ? KEVENT_NAIO_RECV : KEVENT_NAIO_SEND,
                                   all[number].server, buffers[number].bytes, number));
    }
    if (answered < messages) begin();
  }
  close(queue);
}

// The same by the calls of 2006, one by one.
void EchoByCalls(const std::vector<Connection>& all, size_t bytes, size_t messages) {
  const int queue = kevent_init(nullptr, 0, 0);
  std::vector<Buffer> buffers = Buffers(all.size(), bytes);
  std::vector<size_t> numbers(1 << 16);
  for (size_t i = 0; i < all.size(); ++i) {
    numbers[static_cast<size_t>(all[i].server)] = i;
    Must(aio_recv(queue, all[i].server, buffers[i].bytes.data(), bytes, 0) == 0, "aio_recv");
  }
  std::array<ukevent, kBatch> events;
  const timespec patience = {60, 0};
  for (size_t answered = 0; answered < messages;) {
    const int count = kevent_get_events(queue, 1, kBatch, &patience, events.data(), 0);
    Must(count > 0, "kevent_get_events");
    for (int i = 0; i < count; ++i) {
      const ukevent& event = events[static_cast<size_t>(i)];
      const int fd = static_cast<int>(event.id.raw[0]);
      if (event.event == KEVENT_NAIO_SEND) {
        if (++answered == messages) break;
        Must(aio_recv(queue, fd, event.ptr, bytes, 0) == 0, "aio_recv");
      } else {
        Must(aio_send(queue, fd, event.ptr, bytes, 0) == 0, "aio_send");
      }
    }
  }
  close(queue);
}

#if KEVENT_HAVE_LIBURING
void EchoByRing(const std::vector<Connection>& all, size_t bytes, size_t messages) {
  io_uring ring;
  Must(io_uring_queue_init(4096, &ring, 0) == 0, "io_uring_queue_init");
  std::vector<Buffer> buffers = Buffers(all.size(), bytes);
  const auto begin = [&](size_t number, bool sends, size_t done) {
    io_uring_sqe* sqe = io_uring_get_sqe(&ring);
    if (sqe == nullptr) {
      io_uring_submit(&ring);
      sqe = io_uring_get_sqe(&ring);
    }
    char* const place = buffers[number].bytes.data() + done;
    if (sends) {
      io_uring_prep_send(sqe, all[number].server, place, bytes - done, MSG_NOSIGNAL | MSG_WAITALL);
    } else {
      io_uring_prep_recv(sqe, all[number].server, place, bytes - done, MSG_WAITALL);
    }
    sqe->user_data = number << 1 | (sends ? 1 : 0);
  };
  for (size_t i = 0; i < all.size(); ++i) begin(i, false, 0);
  std::array<io_uring_cqe*, kBatch> found;
  for (size_t answered = 0; answered < messages;) {
    Must(io_uring_submit_and_wait(&ring, 1) >= 0, "io_uring_submit_and_wait");
    const unsigned count = io_uring_peek_batch_cqe(&ring, found.data(), kBatch);
    for (unsigned i = 0; i < count; ++i) {
      const size_t number = found[i]->user_data >> 1;
      const bool was_sent = (found[i]->user_data & 1) != 0;
      Must(found[i]->res > 0, "an io_uring's transfer");
      size_t& done = buffers[number].received;
      done += static_cast<size_t>(found[i]->res);
      if (done < bytes) {
        begin(number, was_sent, done);
        continue;
      }
      done = 0;
      answered += was_sent ? 1 : 0;
      begin(number, !was_sent, 0);
    }
    io_uring_cq_advance(&ring, count);
  }
  io_uring_queue_exit(&ring);
}
#endif

// ---- Files ------------------------------------------------------------------------------

// A file of 1 MiB in the page cache.
int File() {
  static const int s_file = [] {
    std::FILE* const file = std::tmpfile();
    Must(file != nullptr, "tmpfile");
    const std::string text(kFileBytes, 'f');
    Must(write(fileno(file), text.data(), text.size()) == static_cast<ssize_t>(text.size()),
         "write");
    return fileno(file);
  }();
  return s_file;
}

void FilesByEpoll(const std::vector<Connection>& all, size_t bytes, size_t messages) {
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  std::vector<Buffer> buffers = Buffers(all.size(), bytes);
  for (size_t i = 0; i < all.size(); ++i) Watch(epoll, EPOLL_CTL_ADD, all[i].server, EPOLLIN, i);
  std::array<epoll_event, kBatch> events;
  for (size_t answered = 0; answered < messages;) {
    const int count = epoll_wait(epoll, events.data(), kBatch, 60'000);
    Must(count > 0, "epoll_wait");
    for (int i = 0; i < count; ++i) {
      const size_t number = events[static_cast<size_t>(i)].data.u64;
      const int fd = all[number].server;
      Buffer& buffer = buffers[number];
      if (!buffer.sends) {
        const ssize_t got = recv(fd, buffer.bytes.data(), bytes, 0);
        if (got < 0 && errno == EAGAIN) continue;
        Must(got == static_cast<ssize_t>(bytes), "recv");
      }
      auto place = static_cast<off_t>(buffer.sent);
      const ssize_t sent = sendfile(fd, File(), &place, kFileBytes - buffer.sent);
      Must(sent > 0 || errno == EAGAIN, "sendfile");
      if (sent > 0) buffer.sent += static_cast<size_t>(sent);
      const bool is_over = buffer.sent == kFileBytes;
      if (is_over == buffer.sends) {
        Watch(epoll, EPOLL_CTL_MOD, fd, is_over ? EPOLLIN : EPOLLOUT, number);
      }
      buffer.sends = !is_over;
      if (!is_over) continue;
      buffer.sent = 0;
      ++answered;
    }
  }
  close(epoll);
}

void FilesByTransfers(const std::vector<Connection>& all, size_t bytes, size_t messages) {
  const int queue = kevent_init(nullptr, 0, 0);
  std::vector<Buffer> buffers = Buffers(all.size(), bytes);
  const auto ask = [&](size_t number) {
    kevent_transfer transfer =
        Transfer(KEVENT_NAIO_RECV, all[number].server, buffers[number].bytes, number);
    Must(kevent_transfers(queue, 1, &transfer) == 1, "kevent_transfers");
  };
  for (size_t i = 0; i < all.size(); ++i) ask(i);
  std::array<ukevent, kBatch> events;
  const timespec patience = {60, 0};
  for (size_t answered = 0; answered < messages;) {
    const int count = kevent_get_events(queue, 1, kBatch, &patience, events.data(), 0);
    Must(count > 0, "kevent_get_events");
    for (int i = 0; i < count; ++i) {
      const ukevent& event = events[static_cast<size_t>(i)];
      const auto number = reinterpret_cast<size_t>(event.ptr);
      if (event.event == KEVENT_NAIO_SENDFILE) {
        Must(event.ret_data[0] == kFileBytes, "a file is cut");
        if (++answered < messages) ask(number);
        continue;
      }
      kevent_transfer transfer = {};
      transfer.operation = KEVENT_NAIO_SENDFILE;
      transfer.socket = all[number].server;
      transfer.file = File();
      transfer.size = kFileBytes;
      transfer.cookie = event.ptr;
      Must(kevent_transfers(queue, 1, &transfer) == 1, "kevent_transfers");
    }
  }
  close(queue);
}

// ---- Measuring --------------------------------------------------------------------------

struct Load {
  const char* what;
  size_t connections;
  size_t asks;     // bytes
  size_t answers;  // bytes
  unsigned turns;
};

// CPU time of the server for a message.
double Run(const Load& load, const Serve& serve) {
  const Connections connections(absl::GetFlag(FLAGS_smoke) ? 50 : load.connections);
  const unsigned turns = absl::GetFlag(FLAGS_smoke) ? 2 : load.turns;
  std::fflush(stdout);
  const pid_t child = fork();
  Must(child >= 0, "fork");
  if (child == 0) {
    Clients(connections, load.asks, load.answers, turns).Run();
    _exit(EXIT_SUCCESS);
  }
  const size_t messages = connections.all().size() * turns;
  const double begin = Nanoseconds(CLOCK_THREAD_CPUTIME_ID);
  serve(connections.all(), load.asks, messages);
  const double cost =
      (Nanoseconds(CLOCK_THREAD_CPUTIME_ID) - begin) / static_cast<double>(messages);
  int status;
  Must(waitpid(child, &status, 0) == child && status == 0, "the clients");
  return cost;
}

bool IsChosen(const Load& load) {
  return std::string(load.what).find(absl::GetFlag(FLAGS_only)) != std::string::npos;
}

void RaiseLimit() {
  rlimit limit;
  Must(getrlimit(RLIMIT_NOFILE, &limit) == 0, "getrlimit");
  limit.rlim_cur = limit.rlim_max;
  Must(setrlimit(RLIMIT_NOFILE, &limit) == 0, "setrlimit");
}

}  // namespace

int main(int argc, char** argv) {
  kevent::tools::ParseCommandLine(
      argc, argv,
      "Measures what a message of a thousand connections, and a file of 1 MiB, cost a server that\n"
      "transfers by the queue, beside epoll with recv, send and sendfile, and beside an io_uring.\n"
      "Prints CPU time of the thread that serves, in nanoseconds, and the ratio of the two.  "
      "Exits\n"
      "with 1 if a byte is lost.");
  const int rounds = absl::GetFlag(FLAGS_smoke) ? 1 : absl::GetFlag(FLAGS_quick) ? 5 : 21;
  const kevent::bench::Goals goals(absl::GetFlag(FLAGS_goals));
  RaiseLimit();
  Buffers(1, 1);  // the room is made
  kevent::bench::PrintHeadings();
  const Load echoes[] = {
      {"an echo of 64 bytes, 1 000 connections", 1'000, 64, 64, 40},
      {"an echo of 64 KiB, 1 000 connections", 1'000, 64 << 10, 64 << 10, 4},
  };
  for (const Load& load : echoes) {
    if (!IsChosen(load)) continue;
    const Side ours = {"kevent_transfers", [&] { return Run(load, EchoByTransfers); }};
    const Side calls = {"aio_recv, aio_send", [&] { return Run(load, EchoByCalls); }};
    const Side epoll = {"epoll, recv, send", [&] { return Run(load, EchoByEpoll); }};
    goals.AtLeast(load.what, "epoll", 0.91, 1 / Compare(load.what, ours, epoll, rounds));
    Compare(load.what, calls, epoll, rounds);
#if KEVENT_HAVE_LIBURING
    Compare(load.what, ours, {"io_uring", [&] { return Run(load, EchoByRing); }}, rounds);
#endif
  }
  const Load files = {"a file of 1 MiB, 16 connections", 16, 64, kFileBytes, 40};
  if (!IsChosen(files)) return EXIT_SUCCESS;
  const Side ours = {"SENDFILE", [&] { return Run(files, FilesByTransfers); }};
  const Side epoll = {"epoll, sendfile", [&] { return Run(files, FilesByEpoll); }};
  goals.AtLeast(files.what, "epoll, sendfile", 0.952, 1 / Compare(files.what, ours, epoll, rounds));
}
