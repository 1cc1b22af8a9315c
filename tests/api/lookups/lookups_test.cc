// SPDX-License-Identifier: MIT
//
// getaddrinfo_a that completes into a queue.  Addresses and localhost need no
// server.

#include <arpa/inet.h>
#include <netdb.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <vector>

#include "tests/support/queue.h"

namespace kevent_test {
namespace {

class Lookups : public testing::Test {
 protected:
  Lookups() {
    hints_.ai_family = AF_INET;
    hints_.ai_socktype = SOCK_STREAM;
    for (size_t i = 0; i < requests_.size(); ++i) {
      requests_[i] = {};
      requests_[i].ar_name = "127.0.0.1";
      requests_[i].ar_request = &hints_;
      list_[i] = &requests_[i];
    }
    kevent_sigevent(&notification_, queue_.fd(), this);
  }
  ~Lookups() override {
    for (const gaicb& request : requests_) {
      if (request.ar_result != nullptr) freeaddrinfo(request.ar_result);
    }
  }

  int Start(int mode = GAI_NOWAIT) {
    return getaddrinfo_a(mode, list_.data(), static_cast<int>(list_.size()), &notification_);
  }
  void ExpectEvent(const void* first) {
    const std::vector<ukevent> events = Collect(queue_.fd(), 1, 2);
    ASSERT_EQ(events.size(), 1);
    EXPECT_EQ(events[0].type, static_cast<uint32_t>(KEVENT_GAI));
    EXPECT_EQ(events[0].event, static_cast<uint32_t>(KEVENT_GAI_DONE));
    EXPECT_EQ(events[0].id.raw_u64, reinterpret_cast<uint64_t>(first));
    EXPECT_EQ(events[0].ptr, this);
    EXPECT_EQ(events[0].ret_flags, static_cast<uint32_t>(KEVENT_RET_DONE));
  }

  // False for one that the C library has in progress and does not know.
  static bool Ends(gaicb* request) {
    const gaicb* const list[] = {request};
    while (gai_error(request) == EAI_INPROGRESS) {
      for (int i = 0; i < 100 && gai_error(request) == EAI_INPROGRESS; ++i) sched_yield();
      const int result = gai_suspend(list, 1, nullptr);
      if (result == EAI_ALLDONE && gai_error(request) == EAI_INPROGRESS) return false;
    }
    return true;
  }

  Queue queue_;
  addrinfo hints_ = {};
  std::array<gaicb, 4> requests_;
  std::array<gaicb*, 4> list_;
  sigevent notification_;
};

TEST_F(Lookups, OneEventWhenTheWholeListIsDone) {
  requests_[1].ar_name = "localhost";
  requests_[2].ar_name = "no address";
  ASSERT_EQ(Start(), 0);
  ExpectEvent(&requests_[0]);
  for (gaicb& request : requests_) EXPECT_NE(gai_error(&request), EAI_INPROGRESS);
  ASSERT_EQ(gai_error(&requests_[0]), 0);
  const auto* address = reinterpret_cast<sockaddr_in*>(requests_[0].ar_result->ai_addr);
  EXPECT_EQ(address->sin_addr.s_addr, htonl(INADDR_LOOPBACK));
  EXPECT_NE(gai_error(&requests_[2]), 0);
  EXPECT_TRUE(Collect(queue_.fd(), 0, 1).empty());
}

TEST_F(Lookups, AgainAndAgain) {
  for (int round = 0; round < 50; ++round) {
    ASSERT_EQ(Start(), 0);
    ExpectEvent(&requests_[0]);
    for (gaicb& request : requests_) {
      ASSERT_EQ(gai_error(&request), 0);
      freeaddrinfo(request.ar_result);
      request.ar_result = nullptr;
    }
  }
}

TEST_F(Lookups, AnEmptyListIsDone) {
  list_.fill(nullptr);
  ASSERT_EQ(Start(), 0);
  ExpectEvent(nullptr);
}

TEST_F(Lookups, WaitNotifiesNobody) {
  ASSERT_EQ(Start(GAI_WAIT), 0);
  EXPECT_EQ(gai_error(&requests_[3]), 0);
  EXPECT_TRUE(Collect(queue_.fd(), 0, 1).empty());
}

TEST_F(Lookups, SuspendWorksOnThem) {
  ASSERT_EQ(Start(), 0);
  const std::array<const gaicb*, 1> list = {&requests_[3]};
  const int result = gai_suspend(list.data(), 1, nullptr);
  EXPECT_TRUE(result == 0 || result == EAI_ALLDONE) << result;
  EXPECT_EQ(gai_error(&requests_[3]), 0);
  ExpectEvent(&requests_[0]);
}

// gai_error has a result before the event comes: the library's threads may look at the
// request still when the program asks for something else with it.
TEST_F(Lookups, ARequestIsAskedAgainBeforeItsEvent) {
  constexpr int kRounds = 4000;
  size_t collected = 0;
  for (int round = 0; round < kRounds; ++round) {
    for (gaicb* request : list_) {
      if (request->ar_result != nullptr) freeaddrinfo(request->ar_result);
      request->ar_result = nullptr;
      ASSERT_EQ(getaddrinfo_a(GAI_NOWAIT, &request, 1, &notification_), 0);
    }
    for (gaicb* request : list_) ASSERT_TRUE(Ends(request)) << "in round " << round;
    collected += Collect(queue_.fd(), 0, 64).size();
  }
  // The requests are looked at until the last event.
  while (collected < kRounds * list_.size()) collected += Collect(queue_.fd(), 1, 64).size();
}

// More than there are threads for.
TEST_F(Lookups, ManyListsAtATime) {
  constexpr int kLists = 64;
  std::vector<gaicb> requests(kLists);
  for (gaicb& request : requests) {
    request.ar_name = "127.0.0.1";
    gaicb* list[] = {&request};
    kevent_sigevent(&notification_, queue_.fd(), &request);
    ASSERT_EQ(getaddrinfo_a(GAI_NOWAIT, list, 1, &notification_), 0);
  }
  for (const ukevent& event : Collect(queue_.fd(), kLists, kLists)) {
    auto* request = static_cast<gaicb*>(event.ptr);
    EXPECT_EQ(event.id.raw_u64, reinterpret_cast<uint64_t>(request));
    ASSERT_EQ(gai_error(request), 0);
    freeaddrinfo(request->ar_result);
    request->ar_result = nullptr;
    request->ar_name = nullptr;
  }
  for (const gaicb& request : requests) EXPECT_EQ(request.ar_name, nullptr);
}

// More lists than there are threads for, whether they are cancelled before or
// after a thread waits for them: each has its event all the same.
TEST_F(Lookups, ThoseThatAreCancelledAreDone) {
  constexpr int kLists = 30;
  for (int round = 0; round < kLists; ++round) {
    std::vector<gaicb> requests(64, requests_[0]);
    std::vector<gaicb*> list(requests.size());
    for (size_t i = 0; i < list.size(); ++i) list[i] = &requests[i];
    ASSERT_EQ(getaddrinfo_a(GAI_NOWAIT, list.data(), 64, &notification_), 0);
    for (gaicb* request : list) gai_cancel(request);
    ExpectEvent(list[0]);
    for (const gaicb& request : requests) {
      if (request.ar_result != nullptr) freeaddrinfo(request.ar_result);
    }
  }
  EXPECT_TRUE(Collect(queue_.fd(), 0, 1).empty());
}

// A signal that all threads have blocked stays for whoever asks for it.
TEST_F(Lookups, TakeNoSignal) {
  sigset_t signals;
  sigset_t before;
  sigemptyset(&signals);
  sigaddset(&signals, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &signals, &before);
  kill(getpid(), SIGUSR1);
  ASSERT_EQ(Start(), 0);
  ExpectEvent(&requests_[0]);
  const timespec at_once = {0, 0};
  EXPECT_EQ(sigtimedwait(&signals, nullptr, &at_once), SIGUSR1);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

// Nothing tells when the library is done with their control blocks: they stay.
TEST_F(Lookups, AClosedQueueHearsNothing) {
  static auto& requests = *new std::array<gaicb, 4>();
  requests = requests_;
  for (size_t i = 0; i < requests.size(); ++i) list_[i] = &requests[i];
  {
    const Queue closed;
    kevent_sigevent(&notification_, closed.fd(), this);
    ASSERT_EQ(Start(), 0);
  }
  std::array<const gaicb*, 4> list;
  std::copy(list_.begin(), list_.end(), list.begin());
  for (const gaicb* request : list) {
    while (gai_error(const_cast<gaicb*>(request)) == EAI_INPROGRESS) {
      gai_suspend(&request, 1, nullptr);
    }
  }
  EXPECT_TRUE(Collect(queue_.fd(), 0, 1).empty());
  for (gaicb& request : requests) freeaddrinfo(request.ar_result);
}

TEST_F(Lookups, BadCalls) {
  kevent_sigevent(&notification_, -1, this);
  EXPECT_EQ(Start(), EAI_SYSTEM);
  EXPECT_EQ(errno, EBADF);
  kevent_sigevent(&notification_, STDERR_FILENO, this);
  EXPECT_EQ(Start(), EAI_SYSTEM);
  EXPECT_EQ(errno, EINVAL);
  kevent_sigevent(&notification_, queue_.fd(), this);
  EXPECT_EQ(getaddrinfo_a(17, list_.data(), 1, &notification_), EAI_SYSTEM);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_TRUE(Collect(queue_.fd(), 0, 1).empty());
}

}  // namespace
}  // namespace kevent_test
