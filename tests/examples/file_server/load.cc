// SPDX-License-Identifier: MIT
//
// A load for examples/file_server.c, which it starts itself.
//
//     file_load SERVER AT_ONCE ROUNDS
//
// Makes a tree of 10 000 files.  AT_ONCE connections are open before the first of them asks; when
// one is done another comes, until each file was asked for ROUNDS times.  Some pipeline, some are
// slow to send and to read, some vanish in the middle of a request or an answer, and some never say
// anything.  Then the server must have as many descriptors as at first, whichever client is left to
// a second server's idle time must be closed, never before it, and both must end by SIGTERM with
// nothing in flight.
//
// Where a process may have fewer descriptors there are fewer connections, and with less than 500
// it ends with 77, as a skipped test does.

#include <sys/resource.h>

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <unordered_map>

#include "tests/examples/file_server/client.h"
#include "tests/examples/file_server/server.h"
#include "tests/examples/file_server/tree.h"

namespace file_load {
namespace {

constexpr size_t kFewest = 500;
constexpr size_t kSpare = 128;

// ---- What is asked for ----------------------------------------------------------

// With some characters as %XX, and with a query at times.
std::string Encoded(const std::string& path, Random& random) {
  std::string text;
  for (const char c : path) {
    char hex[4];
    snprintf(hex, sizeof hex, "%%%02x", static_cast<unsigned char>(c));
    text += c == ' ' || (c != '/' && Below(random, 10) == 0) ? std::string(hex) : std::string(1, c);
  }
  return Below(random, 10) == 0 ? text + "?a=%zz" : text;
}

std::string Request(const std::string& method, const std::string& target,
                    const std::string& fields = "") {
  return method + " " + target + " HTTP/1.1\r\nHost: here\r\n" + fields + "\r\n";
}

Exchange Get(const File& file, Random& random) {
  return {Request("GET", Encoded(file.path, random)), "200", file.content.size(), file.content};
}

Exchange Refused(const std::string& request, const std::string& status) {
  return {request, status, 0, {}, status != "404"};
}

// Something that is not just a file.
Exchange Special(const Tree& tree, Random& random) {
  const File& file = tree.file(Below(random, Tree::kFiles));
  static const char* const not_there[] = {
      "/",
      "/0",
      "/0%20a%20folder",
      "/0%20a%20folder/",
      "/../outside",
      "/.hidden",
      "/%2e./outside",
      "/%2E%2E/outside",
      "/1%20a%20folder/%2e%2e/huge",
      "/..%2foutside",
      "/fifo",
      "/dangling",
      "/leads%20out",
      "/leads%20beside",
      "/huge/x",
  };
  if (Below(random, 3) == 0) {
    Exchange head = Get(file, random);
    head.request.replace(0, 3, "HEAD");
    head.body = {};
    return head;
  }
  return Refused(Request("GET", not_there[Below(random, std::size(not_there))]), "404");
}

// After which the server ends the connection.
Exchange Last(const Tree& tree, Random& random) {
  const File& file = tree.file(Below(random, Tree::kFiles));
  switch (Below(random, 10)) {
    case 0:
      return Refused(Request("POST", "/x", "Content-Length: 3\r\n") + "abc", "405");
    case 1:
      return Refused(Request("get", "/huge"), "405");
    case 2:
      return Refused(Request("GET", "/%zz"), "400");
    case 3:
      return Refused(Request("GET", "/a%00"), "400");
    case 4:
      return Refused(Request("GET", "huge"), "400");
    case 5:
      return Refused("GET /huge HTTP/1.1\r\n\r\n", "400");
    case 6:
      return Refused("GET  /huge HTTP/1.1\r\nHost: here\r\n\r\n", "400");
    case 7:
      return Refused(Request("GET", "/" + std::string(5000, 'x')), "431");
    case 8:
      return Refused("nonsense\r\n\r\n", "400");
    default: {
      Exchange last = Get(file, random);
      last.request = Request("GET", Encoded(file.path, random), "Connection: close\r\n");
      last.ends = true;
      return last;
    }
  }
}

// ---- The crowd --------------------------------------------------------------------

class Crowd {
 public:
  Crowd(Server& server, const Tree& tree, Random& random, size_t rounds)
      : server_(server),
        tree_(tree),
        random_(random),
        to_ask_(rounds * Tree::kFiles),
        epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    Require(epoll_ != -1, "epoll_create1");
  }
  ~Crowd() { close(epoll_); }
  Crowd(const Crowd&) = delete;
  Crowd& operator=(const Crowd&) = delete;

  // All of them are connected before one of them asks.
  void Run(size_t at_once) {
    const size_t before = server_.Descriptors();
    const size_t silent = at_once / 20;
    for (size_t i = 0; i < at_once; i++) Open(i < silent ? Silent() : Somebody());
    server_.AwaitDescriptors(before + at_once, SIZE_MAX);
    for (const auto& [fd, client] : clients_) Watch(EPOLL_CTL_ADD, *client);
    while (clients_.size() > silent) {
      epoll_event events[256];
      const int count = epoll_wait(epoll_, events, 256, 30000);
      Require(count > 0, "the server is silent");
      for (int i = 0; i < count; i++) Go(events[i]);
    }
    Require(asked_ >= to_ask_, "the crowd is gone too soon");
    clients_.clear();
  }

  size_t connections() const { return connections_; }
  size_t vanished() const { return vanished_; }
  size_t answers() const { return answers_; }
  size_t bytes() const { return bytes_; }

 private:
  std::unique_ptr<Client> Silent() {
    return std::make_unique<Client>(server_.Connect(0), std::vector<Exchange>{}, Client::Manners{});
  }

  std::unique_ptr<Client> Somebody() {
    std::vector<Exchange> plan;
    Client::Manners manners;
    const size_t chance = Below(random_, 100);
    const bool vanishes = chance < 20;
    manners.is_slow = chance >= 20 && chance < 25;
    manners.is_pipelined = Below(random_, 2) == 0;
    for (size_t i = 1 + Below(random_, 5); i > 0; i--) {
      const size_t number = vanishes ? Below(random_, Tree::kFiles) : asked_++ % Tree::kFiles;
      plan.push_back(Get(tree_.file(number), random_));
      if (Below(random_, 4) == 0) plan.push_back(Special(tree_, random_));
    }
    if (Below(random_, 4) == 0) plan.push_back(Last(tree_, random_));
    if (vanishes) {
      if (Below(random_, 3) == 0) plan[0] = Get(tree_.huge(), random_);
      if (Below(random_, 2) == 0) {
        manners.most_sent = Below(random_, plan[0].request.size());
      } else {
        manners.most_received = 1 + Below(random_, std::min(plan[0].length, size_t{300000}) + 100);
      }
    }
    const int receive_buffer = manners.is_slow || vanishes ? 65536 : 0;
    return std::make_unique<Client>(server_.Connect(receive_buffer), std::move(plan), manners);
  }

  void Open(std::unique_ptr<Client> client) {
    connections_++;
    const int fd = client->fd();
    clients_[fd] = std::move(client);
  }

  void Watch(int operation, const Client& client) const {
    epoll_event event = {};
    event.events = client.interest();
    event.data.fd = client.fd();
    Require(epoll_ctl(epoll_, operation, client.fd(), &event) == 0, "epoll_ctl");
  }

  void Go(const epoll_event& event) {
    Client& client = *clients_.at(event.data.fd);
    const uint32_t interest = client.interest();
    const bool ends = (event.events & (EPOLLERR | EPOLLHUP)) != 0;
    if (!client.Go(event.events | (ends ? EPOLLIN : 0u), random_)) {
      if (client.interest() != interest) Watch(EPOLL_CTL_MOD, client);
      return;
    }
    if (client.vanishes()) {
      vanished_++;
    } else {
      answers_ += client.plan().size();
      for (const Exchange& exchange : client.plan()) bytes_ += exchange.body.size();
    }
    clients_.erase(event.data.fd);
    if (asked_ >= to_ask_) return;
    std::unique_ptr<Client> next = Somebody();
    Watch(EPOLL_CTL_ADD, *next);
    Open(std::move(next));
  }

  Server& server_;
  const Tree& tree_;
  Random& random_;
  const size_t to_ask_;
  const int epoll_;
  std::unordered_map<int, std::unique_ptr<Client>> clients_;
  size_t asked_ = 0;
  size_t connections_ = 0;
  size_t vanished_ = 0;
  size_t answers_ = 0;
  size_t bytes_ = 0;
};

// ---- Phases -------------------------------------------------------------------------

// What the server needs only once is there afterwards: of transfers, of files that are read ahead,
// and of two timers at a time.
void WarmUp(Server& server, const Tree& tree, Random& random) {
  {
    const Client another(server.Connect(0), {}, {});
    Client client(server.Connect(0), {Get(tree.huge(), random)}, {});
    while (!client.Go(EPOLLIN | client.interest(), random)) {
    }
  }
  server.AwaitNoConnection();
  server.AwaitSleep();
}

// A client that says nothing, half of a request, a request and no more, or that does not read.
std::unique_ptr<Client> Idler(Server& server, const Tree& tree, size_t kind) {
  const File& huge = tree.huge();
  const std::string request = Request("GET", kind == 3 ? huge.path : "/none");
  const size_t bytes = kind == 0 ? 0 : kind == 1 ? request.size() / 2 : request.size();
  std::vector<Exchange> plan;
  if (kind == 2) plan = {2, Refused(request, "404")};
  if (kind == 3) plan = {{request, "200", huge.content.size(), huge.content}};
  const int fd = server.Connect(65536);
  Require(send(fd, request.data(), bytes, MSG_NOSIGNAL) == static_cast<ssize_t>(bytes), "send");
  return std::make_unique<Client>(fd, std::move(plan), Client::Manners{});
}

void TestLoad(const std::string& program, const Tree& tree, Random& random, size_t at_once,
              size_t rounds) {
  Server server(program, tree.root(), "600000");
  WarmUp(server, tree, random);
  const size_t descriptors = server.Descriptors();
  Crowd crowd(server, tree, random, rounds);
  const auto since = std::chrono::steady_clock::now();
  crowd.Run(at_once);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - since;
  server.AwaitDescriptors(0, descriptors);
  std::cout << at_once << " connections at once, " << crowd.connections() << " altogether, "
            << crowd.vanished() << " vanished; " << crowd.answers() << " answers of "
            << crowd.bytes() << " bytes, all right, in " << took.count() << " s\n";

  std::vector<std::unique_ptr<Client>> left;
  for (size_t i = 0; i < 100; i++) left.push_back(Idler(server, tree, i % 4));
  server.AwaitDescriptors(descriptors + left.size(), SIZE_MAX);
  const Server::Counts counts = server.Stop();
  Require(counts.timed_out == 0, "connections timed out");
  Require(counts.requests >= crowd.answers() && counts.bytes >= crowd.bytes(), "the counts");
  std::cout << "stopped with " << left.size()
            << " connections open; it says: " << counts.connections << " connections, "
            << counts.requests << " requests, " << counts.bytes << " bytes\n";
}

void TestIdleTime(const std::string& program, const Tree& tree, Random& random) {
  constexpr std::chrono::milliseconds kIdle(1000);
  Server server(program, tree.root(), std::to_string(kIdle.count()));
  WarmUp(server, tree, random);
  const size_t descriptors = server.Descriptors();
  std::vector<std::unique_ptr<Client>> idlers;
  std::chrono::steady_clock::time_point last;
  for (size_t i = 0; i < 400; i++) {
    last = std::chrono::steady_clock::now();
    idlers.push_back(Idler(server, tree, i % 4));
  }
  server.AwaitDescriptors(0, descriptors);
  Require(std::chrono::steady_clock::now() - last >= kIdle, "a client is closed before its time");
  for (const auto& idler : idlers) idler->ExpectTruncated();
  const Server::Counts counts = server.Stop();
  Require(counts.timed_out == idlers.size(),
          std::to_string(counts.timed_out) + " connections timed out");
  std::cout << counts.timed_out << " idle connections were closed\n";
}

int Main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: file_load SERVER AT_ONCE ROUNDS\n";
    return 2;
  }
  rlimit limit;
  Require(getrlimit(RLIMIT_NOFILE, &limit) == 0, "getrlimit");
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  const size_t wanted = std::stoul(argv[2]);
  const size_t possible = limit.rlim_cur < kSpare ? 0 : (limit.rlim_cur - kSpare) / 2;
  const size_t at_once = std::min(wanted, possible);
  if (at_once < wanted) {
    std::cout << "A process may have " << limit.rlim_cur << " descriptors: " << at_once
              << " connections at once, not " << wanted << ".\n";
  }
  if (at_once < kFewest) return 77;
  const char* const given = std::getenv("KEVENT_TEST_SEED");
  const uint64_t seed = given != nullptr ? std::stoull(given) : std::random_device{}();
  std::cout << std::unitbuf << "seed " << seed << "\n";
  Random random(seed);
  const Tree tree(random);
  std::cout << "a tree of " << Tree::kFiles << " files is made\n";
  TestLoad(argv[1], tree, random, at_once, std::stoul(argv[3]));
  TestIdleTime(argv[1], tree, random);
  return 0;
}

}  // namespace
}  // namespace file_load

int main(int argc, char** argv) {
  try {
    return file_load::Main(argc, argv);
  } catch (const std::exception& failure) {
    std::cerr << "file_load: FAILED: " << failure.what() << '\n';
    return 1;
  }
}
