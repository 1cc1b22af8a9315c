// SPDX-License-Identifier: MIT
//
// Which operations libkevent's engine does, and which the C library.

#include <sys/wait.h>

#include <thread>
#include <vector>

#include "tests/adapters/aio/plain_aio.h"

namespace aio_adapter_test {
namespace {

TEST(AioSides, ReadOnlyDescriptorsAreTheEngines) {
  const Stream stream(Stream::kReadOnly);
  Read read(stream.fd());
  BeginOn(true, stream, &read);
  stream.Put("a");
  EXPECT_EQ(read.Await(), 'a');
}

TEST(AioSides, WritableDescriptorsAreTheCLibrarys) {
  const Stream stream(Stream::kWritable);
  Read read(stream.fd());
  BeginOn(false, stream, &read);
  stream.Put("a");
  EXPECT_EQ(read.Await(), 'a');
}

TEST(AioSides, DirectDescriptorsAreTheEngines) {
  const Stream stream(Stream::kWritable);
  stream.SetDirect(true);
  Read read(stream.fd());
  BeginOn(true, stream, &read);
  stream.Put("a");
  EXPECT_EQ(read.Await(), 'a');
}

void ExpectSideOfNext(bool in_engine, const Stream& stream, int fd) {
  Read read(fd);
  BeginOn(in_engine, stream, &read);
  stream.Put("y");
  EXPECT_EQ(read.Await(), 'y');
}

void ExpectSideOfNext(bool in_engine, const Stream& stream) {
  ExpectSideOfNext(in_engine, stream, stream.fd());
}

TEST(AioSides, OperationsInFlightKeepTheirSideWhenFlagsChange) {
  const Stream stream(Stream::kWritable);
  Read first(stream.fd());
  BeginOn(false, stream, &first);
  stream.SetDirect(true);
  std::deque<Read> others;
  for (int i = 0; i < 5; ++i) {
    others.emplace_back(stream.fd()).Begin();
    EXPECT_EQ(PendingInEngine(stream.fd()), 0);
  }
  stream.Put("abcdef");
  EXPECT_EQ(first.Await(), 'a');
  char wanted = 'b';
  for (Read& read : others) EXPECT_EQ(read.Await(), wanted++);
  ExpectSideOfNext(true, stream);

  BeginOn(true, stream, &first);
  stream.SetDirect(false);
  for (Read& read : others) read.Begin();
  stream.Put("ABCDE");
  EXPECT_EQ(first.Await(), 'A');
  wanted = 'B';
  for (size_t i = 0; i + 1 < others.size(); ++i) EXPECT_EQ(others[i].Await(), wanted++);
  EXPECT_EQ(PendingInEngine(stream.fd()), 1) << "the last one is still there";
  stream.Put("F");
  EXPECT_EQ(others.back().Await(), 'F');
  ExpectSideOfNext(false, stream);
}

// Nothing is in flight when the file is replaced: neither library could say by which file an
// operation goes on that has not got as far as its descriptor.
TEST(AioSides, ANumberThatWasClosedMayChangeSides) {
  const Stream engines(Stream::kReadOnly);
  const Stream librarys(Stream::kWritable);
  const int number = dup(engines.fd());
  for (int round = 0; round < 3; ++round) {
    ASSERT_EQ(dup2(engines.fd(), number), number);
    ExpectSideOfNext(true, engines, number);
    ASSERT_EQ(dup2(librarys.fd(), number), number);
    ExpectSideOfNext(false, librarys, number);
  }
  close(number);
}

TEST(AioSides, ClosedWithOperationsInFlight) {
  for (const auto kind : {Stream::kReadOnly, Stream::kWritable}) {
    Stream stream(kind);
    std::deque<Read> reads;
    reads.emplace_back(stream.fd()).BeginRunning();
    for (int i = 0; i < 3; ++i) reads.emplace_back(stream.fd()).Begin();
    stream.Close();
    stream.Put("x");
    // It may not have got as far as its descriptor.
    const char byte = reads[0].Await();
    EXPECT_TRUE(byte == 'x' || byte == '\0');
    for (int i = 1; i < 4; ++i) {
      EXPECT_EQ(reads[i].Await(), '\0');
      EXPECT_TRUE(aio_error(&reads[i].control) == ECANCELED ||
                  aio_error(&reads[i].control) == EBADF);
    }
  }
}

TEST(AioSides, CancellingKnowsBothSides) {
  for (const auto kind : {Stream::kReadOnly, Stream::kWritable}) {
    const Stream stream(kind);
    const int fd = stream.fd();
    EXPECT_EQ(aio_cancel(fd, nullptr), AIO_ALLDONE);
    Read running(fd);
    running.BeginRunning();
    std::deque<Read> waiting;
    for (int i = 0; i < 3; ++i) waiting.emplace_back(fd).Begin();
    EXPECT_EQ(aio_cancel(fd, &waiting[1].control), AIO_CANCELED);
    EXPECT_EQ(aio_error(&waiting[1].control), ECANCELED);
    EXPECT_EQ(aio_cancel(fd, nullptr), AIO_NOTCANCELED);
    for (Read& read : waiting) EXPECT_EQ(read.Await(), '\0');
    stream.Put("a");
    EXPECT_EQ(running.Await(), 'a');
    EXPECT_EQ(aio_cancel(fd, nullptr), AIO_ALLDONE);
  }
}

TEST(AioSides, SuspendingWaitsForBothSides) {
  const Stream engines(Stream::kReadOnly);
  const Stream librarys(Stream::kWritable);
  for (const Stream* first : {&engines, &librarys}) {
    Read one(engines.fd());
    Read other(librarys.fd());
    one.Begin();
    other.Begin();
    const aiocb* const list[] = {nullptr, &one.control, &other.control};
    const timespec soon = {0, 1'000'000};
    EXPECT_EQ(aio_suspend(list, 3, &soon), -1);
    EXPECT_EQ(errno, EAGAIN);
    std::thread writer([first] { first->Put("a"); });
    EXPECT_EQ(aio_suspend(list, 3, nullptr), 0);
    writer.join();
    EXPECT_FALSE(first == &engines ? one.IsInProgress() : other.IsInProgress());
    (first == &engines ? librarys : engines).Put("b");
    EXPECT_NE(one.Await(), '\0');
    EXPECT_NE(other.Await(), '\0');
  }
}

TEST(AioSides, AChildBeginsAnew) {
  const Stream stream(Stream::kReadOnly);
  const Stream librarys(Stream::kWritable);
  Read parents(stream.fd());
  Read others(librarys.fd());
  BeginOn(true, stream, &parents);
  BeginOn(false, librarys, &others);
  const pid_t child = fork();
  if (child == 0) {
    // A descriptor of the C library's in the parent is nobody's here.
    librarys.SetDirect(true);
    const Stream own(Stream::kReadOnly);
    Read read(own.fd());
    Read of_shared(librarys.fd());
    read.Begin();
    const bool is_engines = PendingInEngine(own.fd()) == 1;
    const bool is_new = PendingInEngine(stream.fd()) == 0;
    own.Put("c");
    const bool has_read = read.AwaitInChild() == 'c';
    of_shared.Begin();
    const bool is_engines_too = PendingInEngine(librarys.fd()) == 1;
    _exit(is_engines && is_new && has_read && is_engines_too && !testing::Test::HasFailure() ? 0
                                                                                             : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(PendingInEngine(stream.fd()), 1);
  stream.Put("p");
  librarys.Put("l");
  EXPECT_EQ(parents.Await(), 'p');
  EXPECT_EQ(others.Await(), 'l');
}

TEST(AioSides, AProgramThatClosesAllDescriptorsGoesOn) {
  closefrom(3);
  const Stream stream(Stream::kReadOnly);
  Read read(stream.fd());
  BeginOn(true, stream, &read);
  stream.Put("a");
  EXPECT_EQ(read.Await(), 'a');
}

TEST(AioSides, WhatTheEngineHasNoRoomForIsTheCLibrarys) {
  const Stream full(Stream::kReadOnly);
  std::deque<Read> reads;
  int result;
  do {
    result = aio_read(&reads.emplace_back(full.fd()).control);
  } while (result == 0);
  EXPECT_EQ(errno, EAGAIN);
  reads.pop_back();
  EXPECT_EQ(reads.size(), 65'536u);
  const Stream stream(Stream::kReadOnly);
  Read read(stream.fd());
  read.Begin();
  EXPECT_EQ(PendingInEngine(stream.fd()), 0);
  stream.Put("a");
  EXPECT_EQ(read.Await(), 'a');
  EXPECT_EQ(aio_cancel(full.fd(), nullptr), AIO_NOTCANCELED);
  full.Put("b");
  for (Read& each : reads) each.Await();
  ExpectSideOfNext(true, stream);
}

}  // namespace
}  // namespace aio_adapter_test
