// SPDX-License-Identifier: MIT
//
// aio_suspend, aio_cancel and lio_listio.

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <set>
#include <thread>

#include "tests/compat/glibc_aio/stage.h"

namespace aio_conformance {
namespace {

std::string Cancelled(int result) {
  switch (result) {
    case AIO_CANCELED:
      return "AIO_CANCELED";
    case AIO_NOTCANCELED:
      return "AIO_NOTCANCELED";
    case AIO_ALLDONE:
      return "AIO_ALLDONE";
    default:
      return Stage::Result(result);
  }
}

void Suspending(Stage& stage) {
  File file;
  Pipe pipe;
  char byte;
  const timespec soon = {0, 1'000'000};
  const timespec bad = {0, -1};
  aiocb done = stage.Control(file.fd(), &byte, 1);
  stage.See("one that is done", stage.Run(aio_read, &done));
  const std::array<const aiocb*, 2> of_done = {nullptr, &done};
  stage.See("suspend for it", Stage::Result(aio_suspend(of_done.data(), 2, nullptr)));
  aiocb later;
  BeginBlocked(stage, &later, &pipe, &byte);
  const std::array<const aiocb*, 3> list = {nullptr, &later, nullptr};
  stage.See("timeout", Stage::Result(aio_suspend(list.data(), 3, &soon)));
  stage.See("bad timeout", Stage::Result(aio_suspend(list.data(), 3, &bad)));
  const std::array<const aiocb*, 2> both = {&later, &done};
  stage.See("one is done", Stage::Result(aio_suspend(both.data(), 2, nullptr)));
  std::thread writer([&pipe] { pipe.Put("x"); });
  stage.See("until it is done", Stage::Result(aio_suspend(list.data(), 3, nullptr)));
  writer.join();
  stage.See("outcome", Stage::Outcome(&later));
  stage.See("notified", stage.Notified(later));
}

void Cancelling(Stage& stage) {
  File file;
  Pipe pipe;
  std::array<char, 4> bytes;
  aiocb done = stage.Control(file.fd(), bytes.data(), 1);
  stage.See("one that is done", stage.Run(aio_read, &done));
  stage.See("cancel it", Cancelled(aio_cancel(file.fd(), &done)));
  stage.See("cancel all of its file", Cancelled(aio_cancel(file.fd(), nullptr)));
  stage.See("not open", Cancelled(aio_cancel(-1, nullptr)));
  stage.See("not open, with a control block", Cancelled(aio_cancel(-1, &done)));
  stage.See("of another descriptor", Cancelled(aio_cancel(pipe.from(), &done)));

  aiocb running;
  BeginBlocked(stage, &running, &pipe, bytes.data());
  stage.See("running", Cancelled(aio_cancel(pipe.from(), &running)));
  stage.See("running, of another descriptor", Cancelled(aio_cancel(file.fd(), &running)));
  std::array<aiocb, 3> waiting;
  for (size_t i = 0; i < waiting.size(); ++i) {
    waiting[i] = stage.Control(pipe.from(), &bytes[i + 1], 1);
    waiting[i].aio_sigevent = stage.Request(&waiting[i]);
    stage.See("call", Stage::Result(aio_read(&waiting[i])));
  }
  stage.See("waiting", Cancelled(aio_cancel(pipe.from(), &waiting[1])));
  stage.See("notified", stage.Notified(waiting[1]));
  stage.See("outcome", Stage::Outcome(&waiting[1]));
  stage.See("again", Cancelled(aio_cancel(pipe.from(), &waiting[1])));
  stage.See("all", Cancelled(aio_cancel(pipe.from(), nullptr)));
  stage.See("notified", stage.NotifiedOf(&waiting[0]) && stage.NotifiedOf(&waiting[2]));
  stage.See("outcome", Stage::Outcome(&waiting[0]));
  stage.See("no others", stage.Others());
  pipe.Put("x");
  stage.See("the running one", stage.Notified(running));
  stage.See("outcome", Stage::Outcome(&running));
}

// Three reads of a file.
struct List {
  explicit List(Stage& stage) {
    for (size_t i = 0; i < controls.size(); ++i) {
      controls[i] = stage.Control(file.fd(), &bytes[i], 1, static_cast<off_t>(i));
      controls[i].aio_sigevent = stage.Request(&controls[i]);
      controls[i].aio_lio_opcode = LIO_READ;
      entries[i] = &controls[i];
    }
  }
  int Start(int mode, sigevent* notification = nullptr) {
    return lio_listio(mode, entries.data(), static_cast<int>(entries.size()), notification);
  }
  std::string Outcomes() {
    std::string all;
    for (aiocb* entry : entries) {
      if (entry != nullptr && entry->aio_lio_opcode != LIO_NOP) {
        all += "[" + Stage::Outcome(entry) + "] ";
      }
    }
    return all;
  }

  File file;
  std::array<char, 3> bytes = {};
  std::array<aiocb, 3> controls;
  std::array<aiocb*, 3> entries;
};

void WaitingForLists(Stage& stage) {
  {
    List list(stage);
    stage.See("reads", Stage::Result(list.Start(LIO_WAIT)));
    stage.See("outcomes", list.Outcomes());
    stage.See("notifications", stage.Others());
    stage.See("their bytes", std::string(list.bytes.data(), 3));
  }
  {
    List list(stage);
    list.controls[1].aio_lio_opcode = LIO_WRITE;
    list.controls[2].aio_lio_opcode = LIO_NOP;
    stage.See("read, write, nop", Stage::Result(list.Start(LIO_WAIT)));
    stage.See("outcomes", list.Outcomes());
    stage.See("notifications", stage.Others());
  }
  {
    List list(stage);
    list.controls[1].aio_fildes = -1;
    stage.See("one fails", Stage::Result(list.Start(LIO_WAIT)));
    stage.See("outcomes", list.Outcomes());
    stage.See("notifications", stage.Others());
  }
  {
    List list(stage);
    list.entries[0] = nullptr;
    list.controls[1].aio_lio_opcode = 77;
    stage.See("null, bad opcode", Stage::Result(list.Start(LIO_WAIT)));
    stage.See("outcomes", list.Outcomes());
    stage.See("notifications", stage.Others());
  }
  {
    List list(stage);
    list.controls[1].aio_reqprio = 99;
    stage.See("one is refused", Stage::Result(list.Start(LIO_WAIT)));
    stage.See("outcomes", list.Outcomes());
    stage.See("notifications", stage.Others());
  }
}

void NotifyingOfLists(Stage& stage) {
  List list(stage);
  sigevent all = stage.Request(&list);
  stage.See("reads", Stage::Result(list.Start(LIO_NOWAIT, &all)));
  // At places of a file, so in no order.
  std::set<const void*> entries;
  for (size_t i = 0; i < list.controls.size(); ++i) entries.insert(stage.Next());
  for (const aiocb& control : list.controls) stage.See("entry", entries.contains(&control) ? 1 : 0);
  stage.See("the list is last", stage.NotifiedOf(&list));
  stage.See("no others", stage.Others());

  for (aiocb& control : list.controls) control.aio_sigevent.sigev_notify = SIGEV_NONE;
  stage.See("silent entries", Stage::Result(list.Start(LIO_NOWAIT, &all)));
  stage.See("the list", stage.NotifiedOf(&list));
  list.controls[0].aio_fildes = -1;
  stage.See("one fails", Stage::Result(list.Start(LIO_NOWAIT, &all)));
  stage.See("the list", stage.NotifiedOf(&list));
  stage.See("outcomes", list.Outcomes());
  list.controls[0].aio_reqprio = 99;
  stage.See("one is refused", Stage::Result(list.Start(LIO_NOWAIT, &all)));
  stage.See("the list", stage.NotifiedOf(&list));
  stage.See("nothing to do", Stage::Result(lio_listio(LIO_NOWAIT, list.entries.data(), 0, &all)));
  stage.See("the list", stage.NotifiedOf(&list));
  list.entries = {nullptr, nullptr, nullptr};
  stage.See("null entries", Stage::Result(list.Start(LIO_NOWAIT, &all)));
  stage.See("the list", stage.NotifiedOf(&list));
  stage.See("waited for", Stage::Result(list.Start(LIO_WAIT, &all)));
  stage.See("no others", stage.Others());
  stage.See("bad mode", Stage::Result(list.Start(99, &all)));
  stage.See("no others", stage.Others());
}

// One control block again and again, and freed memory in between.
void Reuse(Stage& stage) {
  File file;
  for (int round = 0; round < 20; ++round) {
    char byte = '?';
    auto* control = new aiocb(stage.Control(file.fd(), &byte, 1, round % 10));
    stage.See("outcome", stage.Run(aio_read, control));
    stage.See("its byte", byte);
    std::memset(control, 0x5a, sizeof *control);
    delete control;
  }
}

}  // namespace

const std::vector<Named> kCallScenarios = {
    {"suspending", Suspending},
    {"cancelling", Cancelling},
    {"waiting for lists", WaitingForLists},
    {"notifying of lists", NotifyingOfLists},
    {"reuse", Reuse},
};

}  // namespace aio_conformance
