// SPDX-License-Identifier: MIT
//
// Where a program registers descriptors, and waits for what comes to them: a queue, a bare epoll,
// and the system calls of a queue alone.

#pragma once

#include <fcntl.h>
#include <kevent/kevent.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "bench/side_by_side.h"

namespace kevent::bench {

constexpr size_t kReady = 64;  // events that a collection has room for

class Poller {
 public:
  virtual ~Poller() = default;
  virtual void Add(int fd) = 0;
  virtual void MakeEdgeTriggered(int fd) = 0;
  virtual void Remove(int fd) = 0;
  // How many are ready; the first kReady of them.
  virtual int Wait(int seconds, int* ready) = 0;
};

class Queue final : public Poller {
 public:
  Queue() : queue_(kevent_init(nullptr, 0, 0)) { Must(queue_ >= 0, "kevent_init"); }
  ~Queue() override { close(queue_); }
  // As kevent_loops(7) has loops do it: what is ready is reported by the queue.
  void Add(int fd) override { Control(KEVENT_CTL_ADD, fd, KEVENT_REQ_ALWAYS_QUEUE); }
  void MakeEdgeTriggered(int fd) override { Control(KEVENT_CTL_MODIFY, fd, KEVENT_REQ_ET); }
  void Remove(int fd) override { Control(KEVENT_CTL_REMOVE, fd, 0); }
  int Wait(int seconds, int* ready) override {
    std::array<ukevent, kReady> events;
    const timespec patience = {seconds, 0};
    const int count =
        kevent_get_events(queue_, seconds == 0 ? 0 : 1, kReady, &patience, events.data(), 0);
    for (int i = 0; i < count; ++i) {
      ready[i] = static_cast<int>(events[static_cast<size_t>(i)].id.raw[0]);
    }
    return count;
  }

 private:
  void Control(unsigned int command, int fd, uint32_t req_flags) const {
    ukevent request = {};
    request.id.raw[0] = static_cast<uint32_t>(fd);
    request.type = KEVENT_SOCKET;
    request.event = KEVENT_SOCKET_RECV;
    request.req_flags = req_flags;
    Must(kevent_ctl(queue_, command, 1, &request) == 0 &&
             (request.ret_flags & KEVENT_RET_BROKEN) == 0,
         "kevent_ctl");
  }

  const int queue_;
};

class Epoll final : public Poller {
 public:
  Epoll() : epoll_(epoll_create1(EPOLL_CLOEXEC)) { Must(epoll_ >= 0, "epoll_create1"); }
  ~Epoll() override { close(epoll_); }
  void Add(int fd) override { Control(EPOLL_CTL_ADD, fd, EPOLLIN); }
  void MakeEdgeTriggered(int fd) override { Control(EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLET); }
  void Remove(int fd) override { Control(EPOLL_CTL_DEL, fd, 0); }
  int Wait(int seconds, int* ready) override {
    std::array<epoll_event, kReady> events;
    const int count = epoll_wait(epoll_, events.data(), kReady, seconds * 1000);
    for (int i = 0; i < count; ++i) ready[i] = events[static_cast<size_t>(i)].data.fd;
    return count;
  }

 private:
  void Control(int operation, int fd, uint32_t events) const {
    epoll_event event = {.events = events, .data = {.fd = fd}};
    Must(epoll_ctl(epoll_, operation, fd, &event) == 0, "epoll_ctl");
  }

  const int epoll_;
};

// The system calls that the engine makes, without the engine.
class BareCalls final : public Poller {
 public:
  BareCalls() : epoll_(epoll_create1(EPOLL_CLOEXEC)) { Must(epoll_ >= 0, "epoll_create1"); }
  ~BareCalls() override { close(epoll_); }
  void Add(int fd) override {
    const Changing changing;
    struct stat status;
    Must(fstat(fd, &status) == 0, "fstat");
    Control(EPOLL_CTL_ADD, fd, EPOLLIN);
  }
  void MakeEdgeTriggered(int fd) override {
    const Changing changing;
    Control(EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLET);
  }
  void Remove(int fd) override {
    const Changing changing;
    Control(EPOLL_CTL_DEL, fd, 0);
  }
  int Wait(int seconds, int* ready) override {
    const int found = Look(ready);
    if (found != 0 || seconds == 0) return found;
    Must(fcntl(epoll_, F_GETFL) >= 0, "fcntl");
    const timespec patience = {seconds, 0};
    pollfd readable = {epoll_, POLLIN, 0};
    ppoll(&readable, 1, &patience, nullptr);
    return Look(ready);
  }

 private:
  // Sees to it that the array can be written, and blocks signals while a lock would be held.
  class Changing {
   public:
    Changing() {
      sigset_t all;
      sigfillset(&all);
      Must(madvise(PageOf(this), kPage, MADV_POPULATE_WRITE) == 0, "madvise");
      sigprocmask(SIG_SETMASK, &all, &before_);
    }
    ~Changing() { sigprocmask(SIG_SETMASK, &before_, nullptr); }
    Changing(const Changing&) = delete;
    Changing& operator=(const Changing&) = delete;

   private:
    static constexpr uintptr_t kPage = 4096;
    static void* PageOf(void* object) {
      return static_cast<char*>(object) - reinterpret_cast<uintptr_t>(object) % kPage;
    }
    sigset_t before_;
  };

  int Look(int* ready) const {
    std::array<epoll_event, kReady> events;
    const int count = epoll_wait(epoll_, events.data(), kReady, 0);
    for (int i = 0; i < count; ++i) ready[i] = events[static_cast<size_t>(i)].data.fd;
    return count;
  }
  void Control(int operation, int fd, uint32_t events) const {
    epoll_event event = {.events = events, .data = {.fd = fd}};
    Must(epoll_ctl(epoll_, operation, fd, &event) == 0, "epoll_ctl");
  }

  const int epoll_;
};

}  // namespace kevent::bench
