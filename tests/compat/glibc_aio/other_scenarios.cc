// SPDX-License-Identifier: MIT
//
// The other two calls with a struct sigevent: mq_notify and getaddrinfo_a.

#include <mqueue.h>
#include <netdb.h>
#include <unistd.h>

#include <cerrno>

#include "tests/compat/glibc_aio/stage.h"

namespace aio_conformance {
namespace {

// A queue that is open in several ways.
class Messages {
 public:
  Messages() : name_("/conformance." + std::to_string(getpid())) {}
  ~Messages() {
    for (const mqd_t each : open_) mq_close(each);
    mq_unlink(name_.c_str());
  }
  Messages(const Messages&) = delete;
  Messages& operator=(const Messages&) = delete;

  mqd_t Open(int flags) {
    mq_attr attributes = {};
    attributes.mq_maxmsg = 4;
    attributes.mq_msgsize = 8;
    open_.push_back(mq_open(name_.c_str(), flags | O_CREAT, 0600, &attributes));
    return open_.back();
  }
  void Close(mqd_t id) {
    mq_close(id);
    std::erase(open_, id);
  }
  int Unlink() const { return mq_unlink(name_.c_str()); }

 private:
  const std::string name_;
  std::vector<mqd_t> open_;
};

void Empty(mqd_t id) {
  std::array<char, 8> message;
  while (mq_receive(id, message.data(), message.size(), nullptr) >= 0) {
  }
}

void Notifying(Stage& stage) {
  Messages messages;
  const mqd_t id = messages.Open(O_RDWR | O_NONBLOCK);
  const mqd_t other = messages.Open(O_RDWR);
  int cookie = 0;
  const auto ask = [&](mqd_t of) {
    const sigevent request = stage.Request(&cookie);
    return Stage::Result(mq_notify(of, &request));
  };
  // Those of a message have come when the call that sends it returns.
  const auto send = [&](const std::string& what) {
    stage.See(what, Stage::Result(mq_send(id, "m", 1, 0)));
    stage.See("notifications", stage.Others());
  };
  stage.See("not open", ask(-1));
  stage.See("no message queue", ask(STDIN_FILENO));
  stage.See("nothing to end", Stage::Result(mq_notify(id, nullptr)));
  stage.See("not open, NULL", Stage::Result(mq_notify(-1, nullptr)));

  stage.See("asked for", ask(id));
  stage.See("again", ask(id));
  stage.See("by another descriptor", ask(other));
  send("first message");
  send("second message");
  stage.See("asked for, not empty", ask(id));
  send("third message");
  Empty(id);
  send("first message");

  Empty(id);
  stage.See("asked for", ask(id));
  stage.See("ended by another descriptor", Stage::Result(mq_notify(other, nullptr)));
  send("message");
  Empty(id);
  stage.See("asked for", ask(id));
  const mqd_t third = messages.Open(O_RDONLY);
  messages.Close(third);
  send("message after a close");
  Empty(id);
  stage.See("asked for", ask(id));
  close(dup(id));
  send("message after the close of a copy");

  Empty(id);
  stage.See("asked for", ask(id));
  stage.See("unlinked", Stage::Result(messages.Unlink()));
  send("message");
}

// ---- Names ------------------------------------------------------------------------

struct Names {
  Names() {
    hints.ai_family = AF_INET;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_NUMERICHOST;
    for (size_t i = 0; i < requests.size(); ++i) {
      requests[i] = {};
      requests[i].ar_name = "127.0.0.1";
      requests[i].ar_request = &hints;
      list[i] = &requests[i];
    }
    requests[1].ar_name = "no number";
    list[2] = nullptr;
  }
  std::string Outcomes() {
    std::string all;
    for (gaicb& request : requests) {
      all += std::to_string(gai_error(&request)) + " ";
      if (request.ar_result != nullptr) freeaddrinfo(request.ar_result);
      request.ar_result = nullptr;
    }
    return all;
  }
  addrinfo hints = {};
  std::array<gaicb, 4> requests;
  std::array<gaicb*, 4> list;
};

void LookingUp(Stage& stage) {
  Names names;
  sigevent request = stage.Request(&names);
  const auto start = [&](int mode, int count) {
    errno = 0;
    const int result = getaddrinfo_a(mode, names.list.data(), count, &request);
    return std::to_string(result) + (result == EAI_SYSTEM ? " " + Name(errno) : "");
  };
  stage.See("four", start(GAI_NOWAIT, 4));
  stage.See("notified", stage.NotifiedOf(&names));
  stage.See("outcomes", names.Outcomes());
  stage.See("no others", stage.Others());
  stage.See("waited for", start(GAI_WAIT, 4));
  stage.See("outcomes", names.Outcomes());
  stage.See("no others", stage.Others());
  stage.See("bad mode", start(17, 4));
  stage.See("no others", stage.Others());
  stage.See("none", start(GAI_NOWAIT, 0));
  stage.See("notified", stage.NotifiedOf(&names));
  names.list.fill(nullptr);
  stage.See("null entries", start(GAI_NOWAIT, 4));
  stage.See("notified", stage.NotifiedOf(&names));
  stage.See("null entries, waited for", start(GAI_WAIT, 4));
  stage.See("no others", stage.Others());
}

}  // namespace

const std::vector<Named> kOtherScenarios = {
    {"mq_notify", Notifying},
    {"getaddrinfo_a", LookingUp},
};

}  // namespace aio_conformance
