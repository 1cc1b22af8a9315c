// SPDX-License-Identifier: MIT
//
// The hot paths by the C interface and by the C++ headers, for callgrind to count the
// instructions of this program in them:
//
//   cpp_paths c|cpp after|at|collect|batch|callback TIMES
//
// What both do is the same: errors are looked at, and lead out of the loop.  A program in C that
// has callbacks (the path "callback") calls a function by the cookie, and does nothing else.

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <kevent/kevent.hpp>
#include <span>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;

constexpr std::size_t kTimers = 16;

[[noreturn, gnu::cold]] void Fail(const char* what) {
  std::perror(what);
  std::exit(EXIT_FAILURE);
}

struct Callback {
  void (*function)(Callback& callback, const ukevent& event);
  unsigned long overruns;
};

[[gnu::noinline]] void AddOverruns(Callback& callback, const ukevent& event) {
  callback.overruns += event.ret_data[0];
}

// What both interfaces are given.
struct Setup {
  kevent::Queue queue;
  std::vector<kevent::CookieTimer> timers;
  std::vector<timer_t> ids;  // of these
  kevent::Timer called;      // with a callback
  Callback callback{&AddOverruns, 0};
  std::array<ukevent, 8> room;
  std::array<kevent_setting, kTimers> settings;
  std::chrono::steady_clock::time_point deadline;
  long nanoseconds;  // the same
};

// Two of the timers have expired.
[[gnu::noinline]] void MakeReady(Setup& setup) {
  const itimerspec passed = {.it_interval = {}, .it_value = {.tv_sec = 0, .tv_nsec = 1}};
  timer_settime(setup.ids[0], TIMER_ABSTIME, &passed, nullptr);
  timer_settime(setup.ids[1], TIMER_ABSTIME, &passed, nullptr);
}

}  // namespace

// Each is a path, `times` times; callgrind counts in these alone.
extern "C" {

[[gnu::noinline]] void CAfter(Setup& setup, long times) {
  for (long i = 0; i < times; ++i) {
    const itimerspec value = {.it_interval = {}, .it_value = {.tv_sec = 3600, .tv_nsec = 0}};
    if (timer_settime(setup.ids[static_cast<std::size_t>(i) % kTimers], 0, &value, nullptr) == -1) {
      Fail("timer_settime");
    }
  }
}
[[gnu::noinline]] void CppAfter(Setup& setup, long times) {
  for (long i = 0; i < times; ++i) {
    setup.timers[static_cast<std::size_t>(i) % kTimers].expires_after(1h);
  }
}

[[gnu::noinline]] void CAt(Setup& setup, long times) {
  for (long i = 0; i < times; ++i) {
    const long deadline = setup.nanoseconds + i;
    const itimerspec value = {
        .it_interval = {},
        .it_value = {.tv_sec = deadline / 1'000'000'000, .tv_nsec = deadline % 1'000'000'000}};
    if (timer_settime(setup.ids[static_cast<std::size_t>(i) % kTimers], TIMER_ABSTIME, &value,
                      nullptr) == -1) {
      Fail("timer_settime");
    }
  }
}
[[gnu::noinline]] void CppAt(Setup& setup, long times) {
  for (long i = 0; i < times; ++i) {
    setup.timers[static_cast<std::size_t>(i) % kTimers].expires_at(setup.deadline +
                                                                   std::chrono::nanoseconds(i));
  }
}

[[gnu::noinline]] void CCollect(Setup& setup, long times) {
  for (long i = 0; i < times; ++i) {
    MakeReady(setup);
    const int count =
        kevent_get_events(setup.queue.fd(), 0, setup.room.size(), nullptr, setup.room.data(), 0);
    if (count == -1) Fail("kevent_get_events");
    for (int k = 0; k < count; ++k)
      setup.callback.overruns += setup.room[static_cast<std::size_t>(k)].ret_data[0];
  }
}
[[gnu::noinline]] void CppCollect(Setup& setup, long times) {
  for (long i = 0; i < times; ++i) {
    MakeReady(setup);
    const std::span<const ukevent> events = setup.queue.collect(setup.room, 0);
    for (std::size_t k = 0; k < events.size(); ++k) {
      setup.callback.overruns += kevent::Expiration(events[k]).overruns;
    }
  }
}

[[gnu::noinline]] void CBatch(Setup& setup, long times) {
  for (long i = 0; i < times; ++i) {
    for (std::size_t k = 0; k < kTimers; ++k) {
      setup.settings[k] = {.timer = setup.ids[k],
                           .flags = 0,
                           .error = 0,
                           .value = {.it_interval = {}, .it_value = {.tv_sec = 60, .tv_nsec = 0}}};
    }
    if (kevent_settime(kTimers, setup.settings.data()) == -1) Fail("kevent_settime");
  }
}
[[gnu::noinline]] void CppBatch(Setup& setup, long times) {
  for (long i = 0; i < times; ++i) {
    for (std::size_t k = 0; k < kTimers; ++k) {
      setup.settings[k] = setup.timers[k].setting_after(1min);
    }
    kevent::set(setup.settings);
  }
}

[[gnu::noinline]] void CCallback(Setup& setup, long times) {
  ukevent event = {};
  event.ptr = &setup.callback;
  for (long i = 0; i < times; ++i) {
    const std::span<const ukevent> events(&event, 1);
    for (const ukevent& each : events) {
      auto* const callback = static_cast<Callback*>(each.ptr);
      callback->function(*callback, each);
    }
  }
}
[[gnu::noinline]] void CppCallback(Setup& setup, long times) {
  // Its first expiration is handed to it again and again.
  setup.called.expires_after(0s);
  const std::span<const ukevent> events = setup.queue.collect(setup.room, 1);
  for (long i = 0; i < times; ++i) setup.queue.dispatch(events);
}

}  // extern "C"

static int Run(char** argv) {
  Setup setup;
  for (std::size_t i = 0; i < kTimers; ++i) {
    setup.timers.emplace_back(setup.queue, &setup);
    setup.ids.push_back(setup.timers.back().id());
  }
  setup.called = kevent::Timer(setup.queue, [&setup](const kevent::Expiration& expiration) {
    setup.callback.overruns += expiration.overruns;
  });
  setup.deadline = std::chrono::steady_clock::now() + 1h;
  setup.nanoseconds = setup.deadline.time_since_epoch().count();

  using Path = void (*)(Setup&, long);
  constexpr std::array<std::pair<const char*, std::array<Path, 2>>, 5> kPaths = {{
      {"after", {CAfter, CppAfter}},
      {"at", {CAt, CppAt}},
      {"collect", {CCollect, CppCollect}},
      {"batch", {CBatch, CppBatch}},
      {"callback", {CCallback, CppCallback}},
  }};
  for (const auto& [name, paths] : kPaths) {
    if (std::strcmp(argv[2], name) != 0) continue;
    paths[std::strcmp(argv[1], "cpp") == 0 ? 1 : 0](setup, std::atol(argv[3]));
    return EXIT_SUCCESS;
  }
  return EXIT_FAILURE;
}

int main(int argc, char** argv) {
  try {
    return argc == 4 ? Run(argv) : EXIT_FAILURE;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return EXIT_FAILURE;
  }
}
