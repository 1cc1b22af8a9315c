// SPDX-License-Identifier: MIT
//
// The sandboxes that programs are put into, by the lists in tests/robustness/sandboxes/, and
// kernels that answer ENOSYS to every call that is newer than some version: each part of the
// library works there, or its first call says that it does not.

#include <fcntl.h>
#include <mqueue.h>
#include <sys/syscall.h>

#include <cerrno>
#include <fstream>
#include <functional>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "tests/robustness/guest/features.h"
#include "tests/support/process.h"
#include "tests/support/seccomp.h"

namespace kevent_test {
namespace {

const std::map<std::string, uint32_t> kSystemCalls = {
#include "system_call_names.inc"
};

// ---- The lists -----------------------------------------------------------------------------
//
// A line begins with the name of a system call.  By itself that is let through; followed by an
// error, the call fails with it.  Followed by numbers, the first is that of an argument, and the
// call is let through if that has one of the other values; if not, it is treated as what comes
// after the word "otherwise", or as all calls that have no line: the line "otherwise" has that.

constexpr uint32_t kAllow = SECCOMP_RET_ALLOW;

uint32_t ActionOf(const std::string& word) {
  if (word == "trap") return SECCOMP_RET_TRAP;
  if (word == "EPERM") return SECCOMP_RET_ERRNO | EPERM;
  if (word == "ENOSYS") return SECCOMP_RET_ERRNO | ENOSYS;
  ADD_FAILURE() << "no action: " << word;
  return kAllow;
}

struct Rule {
  uint32_t system_call = 0;
  uint32_t action = kAllow;
  uint32_t argument = 0;
  std::vector<uint32_t> values;  // for which it is let through
};

struct Sandbox {
  std::vector<Rule> rules;
  uint32_t otherwise = 0;
};

Rule RuleOf(uint32_t system_call, std::istringstream words, uint32_t otherwise) {
  Rule rule;
  rule.system_call = system_call;
  bool has_argument = false;
  std::string word;
  while (words >> word) {
    if (word == "otherwise") continue;
    if (word.find_first_not_of("0123456789") != std::string::npos) {
      rule.action = ActionOf(word);
    } else if (!has_argument) {
      rule.argument = static_cast<uint32_t>(std::stoul(word));
      rule.action = otherwise;
      has_argument = true;
    } else {
      rule.values.push_back(static_cast<uint32_t>(std::stoul(word)));
    }
  }
  return rule;
}

Sandbox SandboxOf(const std::string& name) {
  const std::string here = __FILE__;  // tests/robustness/guest/
  std::ifstream file(here.substr(0, here.rfind('/')) + "/../sandboxes/" + name);
  Sandbox sandbox;
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream words(line);
    std::string first;
    if (!(words >> first) || first[0] == '#') continue;
    if (first == "otherwise") {
      words >> first;
      sandbox.otherwise = ActionOf(first);
    } else if (const auto call = kSystemCalls.find(first); call != kSystemCalls.end()) {
      sandbox.rules.push_back(RuleOf(call->second, std::move(words), sandbox.otherwise));
    }
  }
  EXPECT_GT(sandbox.rules.size(), 100) << name;
  EXPECT_NE(sandbox.otherwise, 0) << name;
  return sandbox;
}

// From then on this process is in it.
bool Enter(const Sandbox& sandbox) {
  std::vector<sock_filter> code;
  for (const Rule& rule : sandbox.rules) {
    // The argument has taken the number's place.
    code.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)));
    const auto length = static_cast<uint8_t>(rule.values.empty() ? 1 : 2 * rule.values.size() + 2);
    code.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, rule.system_call, 0, length));
    if (!rule.values.empty()) {
      const auto low_half = static_cast<uint32_t>(offsetof(seccomp_data, args) + 8 * rule.argument);
      code.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, low_half));
      for (const uint32_t value : rule.values) {
        code.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1));
        code.push_back(BPF_STMT(BPF_RET | BPF_K, kAllow));
      }
    }
    code.push_back(BPF_STMT(BPF_RET | BPF_K, rule.action));
  }
  code.push_back(BPF_STMT(BPF_RET | BPF_K, sandbox.otherwise));
  return Install(code);
}

// ---- What works in them -----------------------------------------------------------------------

void UseMessages(int queue, const int*) {
  const std::string name = "/kevent_known_sandbox_" + std::to_string(getpid());
  mq_attr attributes = {};
  attributes.mq_maxmsg = 1;
  attributes.mq_msgsize = 8;
  const mqd_t messages = mq_open(name.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600, &attributes);
  CHILD_CHECK(messages >= 0 && mq_unlink(name.c_str()) == 0);
  const sigevent request = ToQueue(queue);
  CHILD_CHECK(mq_notify(messages, &request) == 0);
  CHILD_CHECK(mq_send(messages, "k", 1, 0) == 0);
  CHILD_CHECK(CollectOne(queue).type == KEVENT_MQ);
}

// The library is used for the first time in there, as by a program that is started in it.
void ExpectToWork(const Feature& feature, const std::function<bool()>& enter) {
  ExpectChild([&] {
    sigset_t user;
    sigemptyset(&user);
    sigaddset(&user, SIGUSR1);
    CHILD_CHECK(sigprocmask(SIG_BLOCK, &user, nullptr) == 0);
    CHILD_CHECK(enter());
    int ends[2];
    CHILD_CHECK(pipe2(ends, O_CLOEXEC) == 0);
    const int queue = kevent_init(nullptr, 0, 0);
    CHILD_CHECK(queue >= 0);
    feature.use(queue, ends);
    CHILD_CHECK(close(queue) == 0);
  });
}

std::vector<Feature> Features() {
  std::vector<Feature> all(std::begin(kFeatures), std::end(kFeatures));
  all.push_back({"messages", {}, UseMessages});
  return all;
}

class KnownSandboxes : public testing::TestWithParam<const char*> {};

TEST_P(KnownSandboxes, HaveEveryPart) {
  const Sandbox sandbox = SandboxOf(GetParam());
  for (const Feature& feature : Features()) {
    SCOPED_TRACE(feature.name);
    ExpectToWork(feature, [&] { return Enter(sandbox); });
  }
}

INSTANTIATE_TEST_SUITE_P(Of, KnownSandboxes, testing::Values("system-service", "docker"),
                         [](const auto& info) {
                           return std::string(info.param) == "docker" ? "docker" : "systemd";
                         });

// Chromium's lets no timerfd through and traps whoever asks; but first it refuses, with an error,
// memory that is wiped in a child of fork, and so there is an answer.
TEST(Chromium, RendererHasNoQueuesAndIsToldSo) {
  const Sandbox sandbox = SandboxOf("chromium-renderer");
  ExpectChild([&] {
    CHILD_CHECK(Enter(sandbox));
    for (int i = 0; i < 3; ++i) {
      CHILD_CHECK(kevent_init(nullptr, 0, 0) == -1 && errno == EPERM);
    }
    // What is not the library's goes on as ever.
    int ends[2];
    CHILD_CHECK(pipe2(ends, O_CLOEXEC) == 0 && ends[0] < 16);
    CHILD_CHECK(fcntl(ends[0], F_SETFD, 0) == 0 && dup2(ends[0], ends[1]) == ends[1]);
    CHILD_CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
  });
}

// A timer that is armed in there asks for what the sandbox ends the process for.
TEST(Chromium, RendererIsNoPlaceForQueuesThatWereMadeBefore) {
  const Sandbox sandbox = SandboxOf("chromium-renderer");
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const int queue = kevent_init(nullptr, 0, 0);
    const timer_t timer = MakeTimer(queue, CLOCK_MONOTONIC);
    CHILD_CHECK(Enter(sandbox));
    Arm(timer, kHour);
    ukevent event;
    kevent_get_events(queue, 1, 1, nullptr, &event, 0);
    _exit(0);
  }
  EXPECT_EQ(ExitStatus(child), 128 + SIGSYS);
}

// ---- Kernels that know nothing newer
// --------------------------------------------------------------

struct World {
  std::string name;
  uint32_t last;  // number of a system call that the kernel has
  bool has_pidfd;
};
class Worlds : public testing::TestWithParam<World> {};

TEST_P(Worlds, HaveEveryPart) {
  const auto enter = [] {
    return Install({
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        // The C library has registered it for the first thread already, and insists for others.
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rseq, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, GetParam().last, 0, 1),
        Otherwise(ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, kAllow),
    });
  };
  for (const Feature& feature : Features()) {
    if (!GetParam().has_pidfd && feature.name == std::string("processes")) continue;
    SCOPED_TRACE(feature.name);
    ExpectToWork(feature, enter);
  }
}

// Since 5.1 numbers are given out for all processors alike.
INSTANTIATE_TEST_SUITE_P(Of, Worlds,
                         testing::Values(World{"Linux4_14", SYS_statx, false},
                                         World{"Linux5_3", 435 /* clone3 */, true},
                                         World{"Linux5_9", 439 /* faccessat2 */, true},
                                         World{"Linux5_15", 448 /* process_mrelease */, true}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace kevent_test
