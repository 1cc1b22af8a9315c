// SPDX-License-Identifier: MIT
//
// Pipes and sockets: one operation after the other.

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "tests/compat/glibc_aio/stage.h"

namespace aio_conformance {
namespace {

void Pipes(Stage& stage) {
  std::array<char, 16> buffer = {};
  Pipe pipe;
  pipe.Put("abc");
  stage.See("what is there", stage.Read(pipe.from(), buffer.data(), buffer.size()));
  pipe.Put("def");
  stage.See("with an offset", stage.Read(pipe.from(), buffer.data(), buffer.size(), 1000));
  stage.See("its bytes", std::string(buffer.data(), 3));
  stage.See("offset negative", stage.Read(pipe.from(), buffer.data(), 1, -5));
  stage.See("no bytes", stage.Read(pipe.from(), buffer.data(), 0));
  stage.See("written", stage.Write(pipe.to(), "ghi", 3));
  stage.See("its bytes", pipe.Get(16));
  stage.See("the wrong end", stage.Read(pipe.to(), buffer.data(), 1));
  pipe.CloseWriter();
  stage.See("end of file", stage.Read(pipe.from(), buffer.data(), 1));
  Pipe broken;
  broken.CloseReader();
  stage.See("nobody reads", stage.Write(broken.to(), "x", 1));
  Pipe impatient(O_NONBLOCK);
  stage.See("O_NONBLOCK, empty", stage.Read(impatient.from(), buffer.data(), 1));
}

void WhatComesLater(Stage& stage) {
  Pipe pipe;
  char byte = '?';
  aiocb control;
  BeginBlocked(stage, &control, &pipe, &byte);
  stage.See("in progress", Name(aio_error(&control)));
  pipe.Put("x");
  stage.See("notified", stage.Notified(control));
  stage.See("outcome", Stage::Outcome(&control));
  stage.See("its byte", byte);
}

void ReadsInOrder(Stage& stage) {
  constexpr size_t kReads = 20;
  Pipe pipe;
  std::vector<aiocb> controls(kReads);
  std::array<char, kReads> bytes = {};
  for (size_t i = 0; i < kReads; ++i) {
    controls[i] = stage.Control(pipe.from(), &bytes[i], 1);
    controls[i].aio_sigevent = stage.Request(&controls[i]);
    stage.See("call", Stage::Result(aio_read(&controls[i])));
  }
  pipe.Put("abcdefghijklmnopqrst");
  for (const aiocb& control : controls) stage.See("notified in order", stage.Notified(control));
  stage.See("their bytes", std::string(bytes.data(), kReads));
}

void WritesInOrderOfPriority(Stage& stage) {
  Pipe pipe;
  char byte;
  aiocb blocked;
  BeginBlocked(stage, &blocked, &pipe, &byte);
  // On the same descriptor, as the C library has one line for both directions.
  const std::array<int, 5> priorities = {20, 3, 0, 3, 7};
  std::array<aiocb, 5> controls;
  std::array<char, 5> bytes = {};
  for (size_t i = 0; i < controls.size(); ++i) {
    controls[i] = stage.Control(pipe.from(), &bytes[i], 1);
    controls[i].aio_reqprio = priorities[i];
    controls[i].aio_sigevent = stage.Request(&controls[i]);
    stage.See("call", Stage::Result(aio_read(&controls[i])));
  }
  pipe.Put("xabcde");
  stage.See("the first", stage.Notified(blocked));
  for (const size_t i : {2, 1, 3, 4, 0}) stage.See("by priority", stage.Notified(controls[i]));
  stage.See("their bytes", std::string(bytes.data(), bytes.size()));
}

void Priorities(Stage& stage) {
  File file;
  char byte;
  for (const int priority : {-1, 0, 20, 21, 1000}) {
    aiocb control = stage.Control(file.fd(), &byte, 1);
    control.aio_reqprio = priority;
    stage.See("aio_reqprio " + std::to_string(priority), stage.Run(aio_read, &control));
    stage.See("aio_error then", Name(aio_error(&control)));
  }
}

void Sockets(Stage& stage) {
  std::array<int, 2> ends;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) return;
  std::array<char, 16> buffer = {};
  stage.See("written", stage.Write(ends[0], "ping", 4));
  stage.See("read", stage.Read(ends[1], buffer.data(), buffer.size()));
  stage.See("its bytes", buffer.data());
  close(ends[0]);
  stage.See("end of file", stage.Read(ends[1], buffer.data(), 1));
  stage.See("nobody reads", stage.Write(ends[1], "x", 1));
  close(ends[1]);
}

}  // namespace

const std::vector<Named> kStreamScenarios = {
    {"pipes", Pipes},
    {"what comes later", WhatComesLater},
    {"reads in order", ReadsInOrder},
    {"in order of priority", WritesInOrderOfPriority},
    {"priorities", Priorities},
    {"sockets", Sockets},
};

}  // namespace aio_conformance
