// SPDX-License-Identifier: MIT
//
// Extreme and wrong arguments, and what happens while operations are in flight:
// handlers, closing, forking, very many of them.

#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <functional>
#include <thread>

#include "tests/compat/glibc_aio/stage.h"

namespace aio_conformance {
namespace {

void ExtremeCounts(Stage& stage) {
  std::array<char, 4> bytes = {};
  const int directory = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  stage.See("a directory", stage.Read(directory, bytes.data(), 1));
  stage.See("nothing of a directory", stage.Read(directory, bytes.data(), 0));
  close(directory);
  File file;
  Pipe pipe;
  stage.See("nothing of a file", stage.Read(file.fd(), bytes.data(), 0));
  stage.See("nothing to a file", stage.Write(file.fd(), bytes.data(), 0));
  pipe.Put("abc");
  for (const size_t count : {size_t{SSIZE_MAX}, size_t{SSIZE_MAX} + 1, SIZE_MAX}) {
    stage.See("of a file", stage.Read(file.fd(), bytes.data(), count));
    stage.See("of a pipe", stage.Read(pipe.from(), bytes.data(), count));
    stage.See("to a file", stage.Write(file.fd(), bytes.data(), count));
  }
}

void Syncs(Stage& stage) {
  File file;
  for (const int priority : {-1, 0, 21}) {
    aiocb control = stage.Control(file.fd(), nullptr, 0);
    control.aio_reqprio = priority;
    const auto sync = [](aiocb* each) { return aio_fsync(O_SYNC, each); };
    stage.See("priority " + std::to_string(priority), stage.Run(sync, &control));
    stage.See("aio_reqprio then", control.aio_reqprio);
  }
}

void ListsRefusedWhole(Stage& stage) {
  File file;
  std::array<char, 2> bytes;
  for (const int mode : {LIO_WAIT, LIO_NOWAIT}) {
    std::array<aiocb, 2> controls;
    std::array<aiocb*, 2> list;
    for (size_t i = 0; i < list.size(); ++i) {
      controls[i] = stage.Control(file.fd(), &bytes[i], 1);
      controls[i].aio_sigevent = stage.Request(&controls[i]);
      controls[i].aio_lio_opcode = LIO_READ;
      controls[i].aio_reqprio = 99;
      list[i] = &controls[i];
    }
    sigevent all = stage.Request(&list);
    stage.See("result", Stage::Result(lio_listio(mode, list.data(), 2, &all)));
    if (mode == LIO_NOWAIT) stage.See("the list", stage.NotifiedOf(&list));
    stage.See("others", stage.Others());
    for (aiocb& control : controls) stage.See("outcome", Stage::Outcome(&control));
  }
}

// More than there is room for: all of it, as from a call that blocks.
void LongMessages(Stage& stage) {
  constexpr size_t kBytes = size_t{3} << 20;
  const std::string message(kBytes, 'm');
  Pipe pipe;
  std::array<int, 2> sockets;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets.data()) != 0) return;
  const std::array<std::array<int, 2>, 2> streams = {{{pipe.from(), pipe.to()}, sockets}};
  for (const auto& [from, to] : streams) {
    size_t received = 0;
    std::thread reader([&received, from = from] {
      std::string bytes(1 << 16, '?');
      while (received < kBytes) {
        const ssize_t count = read(from, bytes.data(), bytes.size());
        if (count <= 0) break;
        received += static_cast<size_t>(count);
      }
    });
    stage.See("written", stage.Write(to, message.data(), kBytes));
    reader.join();
    stage.See("received", static_cast<long>(received));
  }
  for (const int socket : sockets) close(socket);
}

std::atomic<int> s_handled;

// What a call returns that sleeps while a handler runs.
std::string AfterHandlers(bool restarted, const std::function<int()>& sleep, const Pipe& pipe) {
  std::atomic<bool> returned = false;
  std::string result;
  s_handled = 0;
  std::thread sleeper([&] {
    result = Stage::Result(sleep());
    returned = true;
  });
  do {
    pthread_kill(sleeper.native_handle(), SIGUSR1);
    usleep(1'000);
  } while (restarted ? s_handled < 5 : !returned);
  if (restarted) pipe.Put("x");
  sleeper.join();
  return result;
}

void Handlers(Stage& stage) {
  struct sigaction before;
  sigaction(SIGUSR1, nullptr, &before);
  for (const int flags : {0, SA_RESTART}) {
    struct sigaction action = {};
    action.sa_handler = [](int) { ++s_handled; };
    action.sa_flags = flags;
    sigaction(SIGUSR1, &action, nullptr);
    const std::string how = flags == 0 ? "" : "SA_RESTART, ";
    Pipe pipe;
    char byte;
    aiocb control;
    BeginBlocked(stage, &control, &pipe, &byte);
    const aiocb* one = &control;
    const timespec long_time = {1'000, 0};
    stage.See(how + "suspended for a time",
              AfterHandlers(
                  false, [&] { return aio_suspend(&one, 1, &long_time); }, pipe));
    stage.See(how + "suspended",
              AfterHandlers(
                  flags != 0, [&] { return aio_suspend(&one, 1, nullptr); }, pipe));
    if (flags == 0) pipe.Put("x");
    stage.See("notified", stage.Notified(control));
    stage.See("outcome", Stage::Outcome(&control));
    // A list that is ended by a handler, the C library refers to for ever.
    if (flags == 0) continue;
    control.aio_sigevent = stage.Request(&control);
    control.aio_lio_opcode = LIO_READ;
    aiocb* entry = &control;
    const auto list = [&entry] { return lio_listio(LIO_WAIT, &entry, 1, nullptr); };
    stage.See(how + "list", AfterHandlers(true, list, pipe));
    stage.See("notified", stage.Notified(control));
    stage.See("outcome", Stage::Outcome(&control));
  }
  sigaction(SIGUSR1, &before, nullptr);
}

// A pipe with one that has begun and two that wait.
struct Busy {
  explicit Busy(Stage& stage) {
    BeginBlocked(stage, &running, &pipe, bytes.data());
    for (size_t i = 1; i < controls.size(); ++i) {
      controls[i] = stage.Control(pipe.from(), &bytes[i], 1);
      controls[i].aio_sigevent = stage.Request(&controls[i]);
      stage.See("call", Stage::Result(aio_read(&controls[i])));
    }
  }
  Pipe pipe;
  std::array<char, 3> bytes = {};
  std::array<aiocb, 3> controls;
  aiocb& running = controls[0];
};

void Closing(Stage& stage) {
  Busy busy(stage);
  const int closed = busy.pipe.from();
  const int other = fcntl(closed, F_DUPFD_CLOEXEC, 0);
  busy.pipe.CloseReader();
  stage.See("cancel it", Stage::Result(aio_cancel(closed, &busy.running)));
  stage.See("cancel all", Stage::Result(aio_cancel(closed, nullptr)));
  if (write(busy.pipe.to(), "x", 1) != 1) return;
  // The running one may not have got as far as its descriptor; those that wait
  // have lost it.
  int notified = 0;
  for (int i = 0; i < 3; ++i) {
    const void* cookie = stage.Next();
    for (const aiocb& control : busy.controls) notified += cookie == &control ? 1 : 0;
  }
  stage.See("notified", notified);
  for (size_t i = 1; i < 3; ++i) stage.See("returned", aio_return(&busy.controls[i]));
  close(other);
}

void Forking(Stage& stage) {
  Busy busy(stage);
  const pid_t child = fork();
  if (child == 0) _exit(aio_error(&busy.running) == EINPROGRESS ? 7 : 0);
  int status = 0;
  waitpid(child, &status, 0);
  stage.See("in progress in the child", WEXITSTATUS(status));
  busy.pipe.Put("xyz");
  for (const aiocb& control : busy.controls) stage.See("notified", stage.Notified(control));
  for (aiocb& control : busy.controls) stage.See("outcome", Stage::Outcome(&control));
}

void VeryMany(Stage& stage) {
  constexpr size_t kReads = 3'000;
  Pipe pipe;
  std::vector<aiocb> controls(kReads);
  std::string bytes(kReads, '?');
  std::string written;
  int refused = 0;
  for (size_t i = 0; i < kReads; ++i) {
    written += static_cast<char>('a' + i % 26);
    controls[i] = stage.Control(pipe.from(), &bytes[i], 1);
    controls[i].aio_sigevent = stage.Request(&controls[i]);
    if (aio_read(&controls[i]) != 0) ++refused;
  }
  stage.See("refused", refused);
  pipe.Put(written);
  int notified = 0;
  for (const aiocb& control : controls) notified += stage.Notified(control) ? 1 : 0;
  stage.See("notified in order", notified);
  stage.See("their bytes", bytes == written);
}

// A thread of real-time scheduling comes before one without.
void RealTime(Stage& stage) {
  Pipe pipe;
  std::array<char, 3> bytes = {};
  aiocb running;
  BeginBlocked(stage, &running, &pipe, bytes.data());
  std::array<aiocb, 2> controls;
  const auto ask = [&](size_t i) {
    controls[i] = stage.Control(pipe.from(), &bytes[i + 1], 1);
    controls[i].aio_sigevent = stage.Request(&controls[i]);
    stage.See("call", Stage::Result(aio_read(&controls[i])));
  };
  ask(0);
  std::thread other([&] {
    const sched_param high = {10};
    const bool may = pthread_setschedparam(pthread_self(), SCHED_FIFO, &high) == 0;
    stage.See("may be real-time", may);
    ask(1);
  });
  other.join();
  pipe.Put("xab");
  stage.See("notified", stage.Notified(running));
  for (int i = 0; i < 2; ++i) {
    void* cookie = stage.Next();
    stage.See("then", cookie == &controls[0] ? "the first" : "the second");
  }
}

}  // namespace

const std::vector<Named> kOddScenarios = {
    {"extreme counts", ExtremeCounts},
    {"syncs", Syncs},
    {"lists refused whole", ListsRefusedWhole},
    {"long messages", LongMessages},
    {"handlers", Handlers},
    {"closing", Closing},
    {"forking", Forking},
    {"very many", VeryMany},
    {"real-time", RealTime},
};

}  // namespace aio_conformance
