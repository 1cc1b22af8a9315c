// SPDX-License-Identifier: MIT
//
// Threads with a table of descriptors of their own, which make a queue when nothing uses the
// process's table.

#include <functional>
#include <string>
#include <thread>
#include <utility>

#include "core/calls/descriptor_calls.h"
#include "core/descriptors/kept_table.h"
#include "core/descriptors/process_state.h"
#include "tests/unit/engine.h"

namespace kevent_test {
namespace {

using kevent::core::CloseDescriptor;
using kevent::core::InitQueue;
using kevent::core::KeptTable;
using kevent::core::Process;

class Tables : public testing::Test {
 protected:
  Tables() {
    const int parents = InitQueue(nullptr, 0, 0);
    Sim().Fork(true);  // in which no table is in use
    EXPECT_EQ(CloseDescriptor(parents), 0);
  }
  ~Tables() override {
    Sim().before_call = nullptr;
    Sim().own_table = false;
    EXPECT_TRUE(Sim().violations.empty());
  }

  // In a thread that has left the table, with a copy of it.
  static void InOwnTable(const std::function<void()>& body) {
    const bool before = std::exchange(Sim().own_table, true);
    std::thread([&body] {
      kevent::core::LeaveTable();
      body();
    }).join();
    Sim().own_table = before;
  }
  static void InProcessTable(const std::function<void()>& body) {
    const bool before = std::exchange(Sim().own_table, false);
    std::thread(body).join();
    Sim().own_table = before;
  }

  // The process's last queue is closed while its table has a user, whose end is seen by a thread
  // with another table, which cannot close the pipe that was kept; returns its number.
  static int LeavePipe() {
    KeptTable::AddUser();
    const int queue = InitQueue(nullptr, 0, 0);
    EXPECT_EQ(CloseDescriptor(queue), 0);
    int pipe = -1;
    for (const auto& [number, file] : Sim().table_) {
      if (file->locked_by != 0) pipe = number;
    }
    EXPECT_GE(pipe, 0);
    InOwnTable([] { KeptTable::DropUser(); });
    EXPECT_TRUE(Sim().IsOpen(pipe));
    return pipe;
  }
};

TEST_F(Tables, APipeThatNobodyHasAUseForTellsNothing) {
  LeavePipe();
  InOwnTable([] {
    const int queue = InitQueue(nullptr, 0, 0);
    ASSERT_GE(queue, 0);
    EXPECT_EQ(CloseDescriptor(queue), 0);
  });
}

TEST_F(Tables, APipeThatNobodyHasAUseForIsClosedInItsTable) {
  const int pipe = LeavePipe();
  const auto file = Sim().File(pipe);
  const int queue = InitQueue(nullptr, 0, 0);
  EXPECT_NE(Sim().File(pipe), file);
  EXPECT_EQ(CloseDescriptor(queue), 0);
}

// The pipe of the queue that is closed is kept, and not taken for that of the table before.
TEST_F(Tables, APipeThatNobodyHasAUseForIsFollowedByAnother) {
  LeavePipe();
  InOwnTable([] {
    const int queue = InitQueue(nullptr, 0, 0);
    ASSERT_GE(queue, 0);
    KeptTable::AddUser();
    EXPECT_EQ(CloseDescriptor(queue), 0);
  });
  InProcessTable([] {
    EXPECT_FALSE(Process::SharesTable());
    EXPECT_EQ(InitQueue(nullptr, 0, 0), -EBADF);
  });
  InOwnTable([] {
    EXPECT_TRUE(Process::SharesTable());
    KeptTable::DropUser();
  });
  EXPECT_EQ(CloseDescriptor(InitQueue(nullptr, 0, 0)), 0);
}

// A call that hands something to one of the library's threads counts itself and then looks for the
// process's table; whoever takes a table looks for such calls.  Here the call comes between: while
// the lock on a lost pipe is asked for.
TEST_F(Tables, ATableIsNotTakenFromACallThatHasFoundItToBeItsOwn) {
  Sim().ReplaceBehindBack(LeavePipe());
  bool came = false;
  bool shares = false;
  InOwnTable([&] {
    Sim().before_call = [&](const std::string& call) {
      if (call != "InTableOf" || std::exchange(came, true)) return;
      InProcessTable([&] {
        KeptTable::AddUser();
        shares = Process::SharesTable();
      });
    };
    EXPECT_EQ(InitQueue(nullptr, 0, 0), -EBADF);
    Sim().before_call = nullptr;
  });
  EXPECT_TRUE(shares);
  InProcessTable([] { EXPECT_TRUE(Process::SharesTable()); });
  InProcessTable([] { KeptTable::DropUser(); });
  InOwnTable([] {
    const int queue = InitQueue(nullptr, 0, 0);
    EXPECT_GE(queue, 0);
    EXPECT_EQ(CloseDescriptor(queue), 0);
  });
}

// Nor is a queue refused in the process's own table because of such a call.
TEST_F(Tables, AQueueIsMadeBesideACallInTheSameTable) {
  Sim().ReplaceBehindBack(LeavePipe());
  bool came = false;
  Sim().before_call = [&](const std::string& call) {
    if (call != "InTableOf" || std::exchange(came, true)) return;
    InProcessTable([] {
      KeptTable::AddUser();
      EXPECT_TRUE(Process::SharesTable());
    });
  };
  const int queue = InitQueue(nullptr, 0, 0);
  Sim().before_call = nullptr;
  EXPECT_TRUE(came);
  ASSERT_GE(queue, 0);
  KeptTable::DropUser();
  EXPECT_EQ(CloseDescriptor(queue), 0);
}

}  // namespace
}  // namespace kevent_test
