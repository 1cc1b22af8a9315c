// SPDX-License-Identifier: MIT
//
// What a scenario works with, and what it has seen.

#ifndef KEVENT_TESTS_COMPAT_GLIBC_AIO_STAGE_H_
#define KEVENT_TESTS_COMPAT_GLIBC_AIO_STAGE_H_

#include <aio.h>
#include <fcntl.h>

#include <array>
#include <string>
#include <vector>

#include "tests/compat/glibc_aio/way.h"

namespace aio_conformance {

struct Observation {
  std::string what;
  std::string seen;
};

// The name of an errno value, or 0.
std::string Name(int error);

class Stage {
 public:
  explicit Stage(Way* way) : way_(way) {}
  const std::vector<Observation>& observations() const { return observations_; }

  void See(const std::string& what, const std::string& seen) {
    observations_.push_back({what, seen});
  }
  void See(const std::string& what, long seen) { See(what, std::to_string(seen)); }

  sigevent Request(void* cookie) const { return way_->Request(cookie); }
  aiocb Control(int fd, const void* buffer, size_t bytes, off_t offset = 0) const;
  // What a call returned: 0, another number, or the name of errno.
  static std::string Result(int result);
  // The cookie of the next notification is this one's address.
  bool Notified(const aiocb& control);
  bool NotifiedOf(const void* cookie);
  // The cookie of the next notification; nullptr if none comes.
  void* Next();
  // How many more notifications come.
  int Others();
  // The outcome of what has completed.
  static std::string Outcome(aiocb* control);
  // Starts, waits for the notification: result of the call or outcome.
  std::string Read(int fd, void* buffer, size_t bytes, off_t offset = 0);
  std::string Write(int fd, const void* buffer, size_t bytes, off_t offset = 0);
  std::string Run(int (*start)(aiocb*), aiocb* control);

 private:
  Way* const way_;
  std::vector<Observation> observations_;
};

using Scenario = void (*)(Stage& stage);
struct Named {
  const char* name;
  Scenario run;
};

extern const std::vector<Named> kFileScenarios;
extern const std::vector<Named> kStreamScenarios;
extern const std::vector<Named> kEndScenarios;
extern const std::vector<Named> kCallScenarios;
extern const std::vector<Named> kOddScenarios;
extern const std::vector<Named> kOtherScenarios;

// ---- What scenarios read and write ----

class File {
 public:
  explicit File(int flags = 0, const std::string& text = "0123456789");
  ~File();
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int fd() const { return fd_; }
  // Opened anew, in another way.
  int Reopen(int flags);
  std::string Text() const;

 private:
  std::string name_;
  int fd_;
  std::vector<int> others_;
};

class Pipe {
 public:
  explicit Pipe(int flags = 0);
  ~Pipe();
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  int from() const { return ends_[0]; }
  int to() const { return ends_[1]; }
  void Put(const std::string& text) const;
  std::string Get(size_t bytes) const;
  void CloseReader();
  void CloseWriter();

 private:
  std::array<int, 2> ends_;
};

// Begins with an operation on an empty pipe: what comes later waits behind it.
// Returns once it can't be cancelled any more.
void BeginBlocked(Stage& stage, aiocb* control, Pipe* pipe, char* byte);

}  // namespace aio_conformance

#endif  // KEVENT_TESTS_COMPAT_GLIBC_AIO_STAGE_H_
