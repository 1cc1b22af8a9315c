// SPDX-License-Identifier: MIT

#include <signal.h>
#include <string.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "tests/compat/signals/scenario.h"

namespace conformance {
namespace {

using kevent_test::kMillisecond;
using kevent_test::kSecond;

// Long enough for any machine, and it ends the run with a table that says what
// did not come.
constexpr Nanos kPatience = 60 * kSecond;

int64_t FloorDivide(int64_t dividend, int64_t divisor) {
  const int64_t quotient = dividend / divisor;
  return quotient - (dividend % divisor < 0 ? 1 : 0);
}

// Expirations of `deadline` up to `moment`: the least and the most that its
// bounds allow.
struct Count {
  int64_t least;
  int64_t most;
};

int64_t ExpirationsBy(Nanos moment, Nanos first, Nanos interval) {
  if (moment < first) return 0;
  return interval == 0 ? 1 : FloorDivide(moment - first, interval) + 1;
}

Count Expirations(const Deadline& deadline, Nanos before, Nanos after) {
  return {ExpirationsBy(before, deadline.latest, deadline.interval),
          ExpirationsBy(after, deadline.earliest, deadline.interval)};
}

}  // namespace

std::string ErrorName(int error) {
  if (error == 0) return "0";
  const char* name = strerrorname_np(error);
  return name != nullptr ? name : std::to_string(error);
}

std::string CallResult(int result) {
  if (result == -1) return ErrorName(errno);
  return std::to_string(result);
}

Stage::~Stage() {
  for (const timer_t timer : timers_) timer_delete(timer);
}

timer_t Stage::Create() {
  // Unlike any pointer, index or descriptor of the process.
  return Create(0xfeed'0000'0000'0000 + timers_.size());
}

timer_t Stage::Create(uintptr_t cookie) {
  sigevent request = delivery_.Request(cookie);
  timer_t timer = {};
  if (timer_create(clock_.id(), &request, &timer) != 0) {
    Say("timer_create", ErrorName(errno));
    return {};
  }
  timers_.push_back(timer);
  cookies_.push_back(cookie);
  return timer;
}

Deadline Stage::Arm(timer_t timer, int flags, Nanos value, Nanos interval, itimerspec* old) {
  const itimerspec setting = kevent_test::Setting(value, interval);
  const Nanos before = clock_.Now();
  if (Set(timer, flags, &setting, old) != 0) {
    Say("timer_settime", ErrorName(errno));
  }
  const Nanos after = clock_.Now();
  if ((flags & TIMER_ABSTIME) != 0) return {value, value, interval};
  return {before + value, after + value, interval};
}

int Stage::Set(timer_t timer, int flags, const itimerspec* setting, itimerspec* old) {
  return delivery_.Set(timer, flags, setting, old);
}

Deadline Stage::ArmIn(timer_t timer, Nanos value, Nanos interval, int other_flags,
                      itimerspec* old) {
  return Arm(timer, other_flags, value, interval, old);
}

Deadline Stage::ArmAt(timer_t timer, Nanos moment, Nanos interval, int other_flags,
                      itimerspec* old) {
  return Arm(timer, other_flags | TIMER_ABSTIME, moment, interval, old);
}

void Stage::Disarm(timer_t timer, itimerspec* old) { Arm(timer, 0, 0, 0, old); }

void Stage::Delete(timer_t timer) {
  if (timer_delete(timer) != 0) Say("timer_delete", ErrorName(errno));
  for (size_t i = 0; i < timers_.size(); ++i) {
    if (timers_[i] != timer) continue;
    timers_.erase(timers_.begin() + static_cast<ptrdiff_t>(i));
    cookies_.erase(cookies_.begin() + static_cast<ptrdiff_t>(i));
  }
}

Nanos Stage::Past(Nanos age) const {
  const Nanos now = clock_.Now();
  return std::max<Nanos>(1, now > age ? now - age : now / 2);
}

void Stage::AwaitPending(const Deadline& deadline) {
  while (clock_.Now() < deadline.latest || !delivery_.Pending()) clock_.Pass(kMillisecond / 2);
}

void Stage::Say(std::string_view name, std::string_view value) {
  if (!record_.empty()) record_ += ' ';
  record_.append(name).append("=").append(value);
}

bool Stage::Collect(Completion* completion) {
  int result;
  if (clock_.needs_work()) {
    // Collecting sleeps, and this clock does not advance while we sleep.
    const Nanos end = clock_.Now() + kPatience;
    while ((result = delivery_.Collect(0, completion)) == 0 && clock_.Now() < end) {
      clock_.Pass(kMillisecond / 2);
    }
  } else {
    result = delivery_.Collect(kPatience, completion);
  }
  if (result < 0) {
    Say("collect", ErrorName(-result));
  } else if (result == 0) {
    Say("collect", "nothing");
  } else if (std::find(cookies_.begin(), cookies_.end(), completion->cookie) == cookies_.end()) {
    Say("collect", "unknown-cookie");
  } else {
    return true;
  }
  return false;
}

void Stage::SayWhatIsLeft(std::string_view name) {
  Completion completion;
  const int result = delivery_.Collect(0, &completion);
  if (result < 0) {
    Say(name, ErrorName(-result));
  } else if (result == 0) {
    Say(name, "none");
  } else {
    const auto found = std::find(cookies_.begin(), cookies_.end(), completion.cookie);
    Say(name, found == cookies_.end() ? "unknown-cookie"
                                      : "timer" + std::to_string(found - cookies_.begin()) + "+" +
                                            std::to_string(completion.overruns));
  }
}

int64_t Stage::CollectAndSay(std::string_view name, timer_t timer, const Deadline& deadline,
                             int64_t consumed) {
  const Nanos before = clock_.Now();
  Completion completion;
  if (!Collect(&completion)) return consumed;
  const Nanos after = clock_.Now();

  const auto index = std::find(timers_.begin(), timers_.end(), timer) - timers_.begin();
  if (completion.cookie != cookies_[static_cast<size_t>(index)]) {
    Say(name, "another-timer's");
    return consumed;
  }
  const Count expected = Expirations(deadline, before, after);
  const int64_t total = consumed + completion.overruns + 1;
  std::string verdict;
  if (total > expected.most && completion.overruns != 0) {
    verdict = "too-many-overruns:" + std::to_string(completion.overruns);
  } else if (total > expected.most) {
    verdict = "early";
  } else if (total < expected.least && completion.overruns != INT_MAX) {
    verdict = "too-few-overruns:" + std::to_string(completion.overruns) + "<" +
              std::to_string(expected.least - consumed - 1);
  } else if (completion.overruns == INT_MAX) {
    verdict = "overruns-saturated";
  } else if (deadline.interval == 0) {
    verdict = "overruns:" + std::to_string(completion.overruns);
  } else {
    verdict = "overruns-by-clock";
  }
  Say(name, verdict);
  if (timer_getoverrun(timer) != completion.overruns) {
    Say("getoverrun-differs", CallResult(timer_getoverrun(timer)));
  }
  return total;
}

void Stage::SayRemaining(std::string_view name, timer_t timer, const Deadline& deadline,
                         int64_t consumed) {
  itimerspec value = {};
  const Nanos before = clock_.Now();
  if (timer_gettime(timer, &value) != 0) {
    Say(name, ErrorName(errno));
    return;
  }
  SayRemaining(name, value, deadline, before, clock_.Now(), consumed);
}

void Stage::SayRemainingUntil(std::string_view name, timer_t timer, const Deadline& deadline) {
  itimerspec value = {};
  const Nanos before = clock_.Now();
  if (timer_gettime(timer, &value) != 0) {
    Say(name, ErrorName(errno));
    return;
  }
  const Nanos after = clock_.Now();
  if (after >= deadline.earliest) {
    Say(name, "until-first");
  } else {
    SayRemaining(name, value, deadline, before, after);
  }
}

void Stage::SayRemaining(std::string_view name, const itimerspec& value, const Deadline& deadline,
                         Nanos before, Nanos after, int64_t consumed) {
  const Nanos remaining = kevent_test::ToNanos(value.it_value);
  const Nanos interval = kevent_test::ToNanos(value.it_interval);
  if (interval != deadline.interval) {
    Say(name, "interval:" + std::to_string(interval));
    return;
  }
  // The next expiration, if there is one, lies in [before, after] + remaining;
  // the arming puts expirations in [earliest, latest] + k * interval.
  std::string verdict;
  if (remaining == 0) {
    verdict = deadline.interval == 0 && after >= deadline.earliest ? "0" : "wrongly-0";
  } else if (consumed == 0 && before + remaining <= deadline.latest &&
             after + remaining >= deadline.earliest) {
    verdict = "until-first";
  } else if (remaining == 1 && deadline.interval != 0 && after >= deadline.earliest &&
             delivery_.SaysOneNanosecondWhenDue()) {
    verdict = "until-next-on-phase";
  } else if (deadline.interval == 0 || after + remaining < deadline.earliest) {
    verdict = "out-of-bounds:" + std::to_string(remaining);
  } else {
    const int64_t most = FloorDivide(after + remaining - deadline.earliest, interval);
    verdict = before + remaining <= deadline.latest + most * interval ? "until-next-on-phase"
                                                                      : "off-phase";
  }
  Say(name, verdict);
}

void Stage::SayOverrun(std::string_view name, timer_t timer) {
  errno = 0;
  Say(name, CallResult(timer_getoverrun(timer)));
}

}  // namespace conformance
