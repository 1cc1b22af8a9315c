// SPDX-License-Identifier: MIT

#include "tools/kevrun/witness.h"

#include <unistd.h>

#include <fstream>
#include <string>

#include "tools/kevrun/beside.h"

namespace kevent::kevrun {

Witness::~Witness() { EndBeside(pid_); }

bool Witness::HasSeen(int signal) {
  if ((Pending() >> (signal - 1) & 1) == 0) return false;
  EndBeside(pid_);
  Begin();
  return true;
}

void Witness::Begin() {
  pid_ = ForkBeside();
  if (pid_ != 0) return;
  close_range(0, ~0U, 0);  // whoever reads to the end of a pipe does not wait for this process
  for (;;) pause();
}

uint64_t Witness::Pending() const {
  std::ifstream status("/proc/" + std::to_string(pid_) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("ShdPnd:", 0) == 0) return std::stoull(line.substr(7), nullptr, 16);
  }
  return 0;
}

}  // namespace kevent::kevrun
