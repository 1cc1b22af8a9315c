// SPDX-License-Identifier: MIT
//
// EVFILT_READ and EVFILT_WRITE.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "tests/kqueue/kqueues.h"
#include "tests/support/threads.h"

namespace {

using namespace kqueue_test;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

TEST(Read, IsReportedWhileThereIsSomething) {
  const Kqueue kq;
  const Pipe pipe;
  EXPECT_EQ(kq.MakeFd(pipe.out.fd(), EVFILT_READ, EV_ADD, 0, 0, 7), 0);
  EXPECT_THAT(kq.Ready(), IsEmpty());
  pipe.Write(3);
  EXPECT_THAT(kq.Await(), ElementsAre(IsEvent(pipe.out.fd(), EVFILT_READ, 3, 7u)));
  pipe.Read();
  EXPECT_THAT(kq.Ready(), ElementsAre(IsEvent(pipe.out.fd(), EVFILT_READ, 2, 7u)));
  pipe.Read(2);
  EXPECT_THAT(kq.Ready(), IsEmpty());
}

TEST(Read, WithClearIsReportedForWhatComes) {
  const Kqueue kq;
  const Pipe pipe;
  pipe.Write();
  EXPECT_EQ(kq.MakeFd(pipe.out.fd(), EVFILT_READ, EV_ADD | EV_CLEAR), 0);
  EXPECT_THAT(kq.Ready(), SizeIs(1));
  EXPECT_THAT(kq.Ready(), IsEmpty());
  pipe.Write();
  EXPECT_THAT(kq.Ready(), ElementsAre(IsEvent(pipe.out.fd(), EVFILT_READ, 2, 0u)));
  EXPECT_THAT(kq.Ready(), IsEmpty());
}

TEST(Read, OfAllFlags) {
  const Kqueue kq;
  const Pipe pipe;
  pipe.Write();
  EXPECT_EQ(kq.MakeFd(pipe.out.fd(), EVFILT_READ, EV_ADD | EV_ONESHOT), 0);
  EXPECT_THAT(kq.Ready(), SizeIs(1));
  EXPECT_EQ(kq.MakeFd(pipe.out.fd(), EVFILT_READ, EV_DELETE), ENOENT);
  EXPECT_EQ(kq.MakeFd(pipe.out.fd(), EVFILT_READ, EV_ADD | EV_DISPATCH), 0);
  EXPECT_THAT(kq.Ready(), SizeIs(1));
  EXPECT_THAT(kq.Ready(), IsEmpty());
  EXPECT_EQ(kq.MakeFd(pipe.out.fd(), EVFILT_READ, EV_ENABLE), 0);
  EXPECT_THAT(kq.Ready(), SizeIs(1));
  EXPECT_EQ(kq.MakeFd(pipe.out.fd(), EVFILT_READ, EV_DELETE), 0);
  EXPECT_EQ(kq.MakeFd(pipe.out.fd(), EVFILT_READ, EV_ADD | EV_DISABLE), 0);
  EXPECT_THAT(kq.Ready(), IsEmpty());
  EXPECT_EQ(kq.MakeFd(pipe.out.fd(), EVFILT_READ, EV_ENABLE), 0);
  EXPECT_THAT(kq.Ready(), SizeIs(1));
  EXPECT_EQ(kq.MakeFd(pipe.out.fd(), EVFILT_READ, EV_DELETE), 0);
  EXPECT_THAT(kq.Ready(), IsEmpty());
}

TEST(Read, EndsWithTheWriters) {
  const Kqueue kq;
  Pipe pipe;
  pipe.Write(2);
  EXPECT_EQ(kq.MakeFd(pipe.out.fd(), EVFILT_READ, EV_ADD), 0);
  pipe.in.Close();
  EXPECT_THAT(kq.Ready(), ElementsAre(IsEnd(pipe.out.fd(), EVFILT_READ, 2, 0u)));
  pipe.Read(2);
  EXPECT_THAT(kq.Ready(), ElementsAre(IsEnd(pipe.out.fd(), EVFILT_READ, 0, 0u)));
}

TEST(Read, OfASocketEndsWithItsOtherSide) {
  const Kqueue kq;
  Pair pair;
  EXPECT_EQ(kq.MakeFd(pair.here.fd(), EVFILT_READ, EV_ADD), 0);
  EXPECT_EQ(write(pair.there.fd(), "abc", 3), 3);
  EXPECT_THAT(kq.Ready(), ElementsAre(IsEvent(pair.here.fd(), EVFILT_READ, 3, 0u)));
  EXPECT_EQ(shutdown(pair.there.fd(), SHUT_WR), 0);
  EXPECT_THAT(kq.Ready(), ElementsAre(IsEnd(pair.here.fd(), EVFILT_READ, 3, 0u)));
  pair.there.Close();
  EXPECT_THAT(kq.Ready(), ElementsAre(IsEnd(pair.here.fd(), EVFILT_READ, 3, 0u)));
}

TEST(Read, WaitsForALowWaterMark) {
  const Kqueue kq;
  const Pair pair;
  for (const int flags : {0, EV_CLEAR, EV_DISPATCH, EV_ONESHOT}) {
    EXPECT_EQ(kq.MakeFd(pair.here.fd(), EVFILT_READ, EV_ADD | flags, NOTE_LOWAT, 4), 0);
    EXPECT_EQ(write(pair.there.fd(), "ab", 2), 2);
    EXPECT_THAT(kq.Ready(), IsEmpty());
    EXPECT_THAT(kq.Retrieve(kMillisecond), IsEmpty());
    EXPECT_EQ(write(pair.there.fd(), "cd", 2), 2);
    EXPECT_THAT(kq.Ready(), ElementsAre(IsEvent(pair.here.fd(), EVFILT_READ, 4, 0u)));
    EXPECT_THAT(kq.Ready(), SizeIs(flags == 0 ? 1 : 0));
    char bytes[4];
    EXPECT_EQ(read(pair.here.fd(), bytes, 4), 4);
    EXPECT_THAT(kq.Ready(), IsEmpty());
    kq.MakeFd(pair.here.fd(), EVFILT_READ, EV_DELETE);
  }
}

TEST(Read, OfADatagramWithoutBytesIsOne) {
  const Kqueue kq;
  const Pair pair(SOCK_DGRAM);
  EXPECT_EQ(kq.MakeFd(pair.here.fd(), EVFILT_READ, EV_ADD), 0);
  EXPECT_EQ(send(pair.there.fd(), "", 0, 0), 0);
  EXPECT_THAT(kq.Ready(), ElementsAre(IsEvent(pair.here.fd(), EVFILT_READ, 0, 0u)));
}

TEST(Read, OfAnEventfdIsSomething) {
  const Kqueue kq;
  const Descriptor fd(eventfd(0, EFD_CLOEXEC));
  EXPECT_EQ(kq.MakeFd(fd.fd(), EVFILT_READ, EV_ADD), 0);
  EXPECT_THAT(kq.Ready(), IsEmpty());
  EXPECT_EQ(eventfd_write(fd.fd(), 5), 0);
  EXPECT_THAT(kq.Ready(), ElementsAre(IsEvent(fd.fd(), EVFILT_READ, 1, 0u)));
}

// ---- Connections -----------------------------------------------------------------

class Listener : public Descriptor {
 public:
  Listener() : Descriptor(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    address_.sin_family = AF_INET;
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address_;
    EXPECT_EQ(bind(fd(), reinterpret_cast<sockaddr*>(&address_), size), 0);
    EXPECT_EQ(getsockname(fd(), reinterpret_cast<sockaddr*>(&address_), &size), 0);
    EXPECT_EQ(listen(fd(), 16), 0);
  }
  Descriptor Connect() const {
    Descriptor fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(connect(fd.fd(), reinterpret_cast<const sockaddr*>(&address_), sizeof address_), 0);
    return fd;
  }
  const sockaddr_in& address() const { return address_; }

 private:
  sockaddr_in address_ = {};
};

TEST(Connections, ThatWaitAreCounted) {
  const Kqueue kq;
  const Listener listener;
  EXPECT_EQ(kq.MakeFd(listener.fd(), EVFILT_READ, EV_ADD), 0);
  EXPECT_THAT(kq.Ready(), IsEmpty());
  const Descriptor a = listener.Connect();
  const Descriptor b = listener.Connect();
  EXPECT_THAT(kq.Await(), ElementsAre(IsEvent(listener.fd(), EVFILT_READ, 2, 0u)));
}

TEST(Connections, ThatWereNeverMadeAreNeitherReadyNorEnded) {
  const Kqueue kq;
  const Listener listener;
  Descriptor fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  EXPECT_EQ(kq.MakeFd(fd.fd(), EVFILT_READ, EV_ADD), 0);
  EXPECT_EQ(kq.MakeFd(fd.fd(), EVFILT_WRITE, EV_ADD), 0);
  EXPECT_THAT(kq.Retrieve(kMillisecond), IsEmpty());
  const auto* const address = reinterpret_cast<const sockaddr*>(&listener.address());
  EXPECT_TRUE(connect(fd.fd(), address, sizeof listener.address()) == 0 || errno == EINPROGRESS);
  const std::vector<Event> events = kq.Await();
  ASSERT_THAT(events, SizeIs(1));
  EXPECT_EQ(events[0].filter, EVFILT_WRITE);
  EXPECT_EQ(events[0].flags & EV_EOF, 0);
}

TEST(Connections, ThatAreRefusedHaveEndedAndTheErrorIsLeftToTheProgram) {
  const Kqueue kq;
  sockaddr_in address;
  {
    const Listener gone;
    address = gone.address();
  }
  const Descriptor fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  EXPECT_EQ(connect(fd.fd(), reinterpret_cast<sockaddr*>(&address), sizeof address), -1);
  const bool is_refused_at_once = errno == ECONNREFUSED;
  EXPECT_EQ(kq.MakeFd(fd.fd(), EVFILT_WRITE, EV_ADD), 0);
  if (is_refused_at_once) return;
  const std::vector<Event> events = kq.Await();
  ASSERT_THAT(events, SizeIs(1));
  EXPECT_NE(events[0].flags & EV_EOF, 0);
  EXPECT_NE(events[0].fflags, 0u);
  int error = 0;
  socklen_t size = sizeof error;
  EXPECT_EQ(getsockopt(fd.fd(), SOL_SOCKET, SO_ERROR, &error, &size), 0);
  EXPECT_EQ(error, ECONNREFUSED);
}

// ---- Writing -------------------------------------------------------------------------

TEST(Write, SaysHowMuchRoomThereIs) {
  const Kqueue kq;
  const Pipe pipe;
  const int size = fcntl(pipe.in.fd(), F_GETPIPE_SZ);
  EXPECT_EQ(kq.MakeFd(pipe.in.fd(), EVFILT_WRITE, EV_ADD), 0);
  EXPECT_THAT(kq.Ready(), ElementsAre(IsEvent(pipe.in.fd(), EVFILT_WRITE, size, 0u)));
  const std::vector<char> bytes(static_cast<size_t>(size));
  EXPECT_EQ(write(pipe.in.fd(), bytes.data(), bytes.size()), size);
  EXPECT_THAT(kq.Ready(), IsEmpty());
}

TEST(Write, EndsWithTheReader) {
  const Kqueue kq;
  Pipe pipe;
  EXPECT_EQ(kq.MakeFd(pipe.in.fd(), EVFILT_WRITE, EV_ADD | EV_CLEAR), 0);
  EXPECT_THAT(kq.Ready(), SizeIs(1));
  pipe.out.Close();
  const std::vector<Event> events = kq.Ready();
  ASSERT_THAT(events, SizeIs(1));
  EXPECT_NE(events[0].flags & EV_EOF, 0);
}

TEST(Write, AndReadAreTwoOnOneDescriptor) {
  const Kqueue kq;
  const Pair pair;
  EXPECT_EQ(kq.MakeFd(pair.here.fd(), EVFILT_READ, EV_ADD | EV_CLEAR, 0, 0, 1), 0);
  EXPECT_EQ(kq.MakeFd(pair.here.fd(), EVFILT_WRITE, EV_ADD | EV_CLEAR, 0, 0, 2), 0);
  std::vector<Event> events = kq.Ready();
  ASSERT_THAT(events, SizeIs(1));
  EXPECT_EQ(Udata(events[0]), 2u);
  EXPECT_GT(events[0].data, 0);
  EXPECT_EQ(write(pair.there.fd(), "a", 1), 1);
  events = kq.Ready();
  ASSERT_THAT(events, SizeIs(1));
  EXPECT_EQ(Udata(events[0]), 1u);
  EXPECT_EQ(kq.MakeFd(pair.here.fd(), EVFILT_READ, EV_DELETE), 0);
  EXPECT_EQ(kq.MakeFd(pair.here.fd(), EVFILT_WRITE, EV_ADD), 0);
  EXPECT_THAT(kq.Ready(), SizeIs(1));
}

// ---- Regular files ---------------------------------------------------------------------

TEST(Files, AreReadyUpToTheirEnd) {
  const Kqueue kq;
  const File file;
  EXPECT_EQ(kq.MakeFd(file.fd(), EVFILT_READ, EV_ADD, 0, 0, 4), 0);
  EXPECT_THAT(kq.Ready(), IsEmpty());
  EXPECT_EQ(pwrite(file.fd(), "abc", 3, 0), 3);
  EXPECT_THAT(kq.Await(), ElementsAre(IsEvent(file.fd(), EVFILT_READ, 3, 4u)));
  EXPECT_THAT(kq.Ready(), ElementsAre(IsEvent(file.fd(), EVFILT_READ, 3, 4u)));
  EXPECT_EQ(lseek(file.fd(), 3, SEEK_SET), 3);
  EXPECT_THAT(kq.Ready(), IsEmpty());
  EXPECT_EQ(pwrite(file.fd(), "d", 1, 3), 1);
  EXPECT_THAT(kq.Await(), ElementsAre(IsEvent(file.fd(), EVFILT_READ, 1, 4u)));
  EXPECT_EQ(lseek(file.fd(), 10, SEEK_SET), 10);
  EXPECT_THAT(kq.Ready(), ElementsAre(IsEvent(file.fd(), EVFILT_READ, -6, 4u)));
}

TEST(Files, AreReadyInAnyCaseOnRequest) {
  const Kqueue kq;
  const File file;
  EXPECT_EQ(kq.MakeFd(file.fd(), EVFILT_READ, EV_ADD, NOTE_FILE_POLL), 0);
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(kq.Ready(), ElementsAre(IsEvent(file.fd(), EVFILT_READ, 0, 0u)));
  }
}

TEST(Files, AreAlwaysReadyToWriteTo) {
  const Kqueue kq;
  const File file;
  EXPECT_EQ(kq.MakeFd(file.fd(), EVFILT_WRITE, EV_ADD, 0, 0, 5), 0);
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(kq.Ready(), ElementsAre(IsEvent(file.fd(), EVFILT_WRITE, 0, 5u)));
  }
  EXPECT_EQ(kq.MakeFd(file.fd(), EVFILT_WRITE, EV_DELETE), 0);
  EXPECT_THAT(kq.Ready(), IsEmpty());
}

TEST(Files, AreReadyToWriteToWithClearWhenTheyWereWritten) {
  const Kqueue kq;
  const File file;
  EXPECT_EQ(kq.MakeFd(file.fd(), EVFILT_WRITE, EV_ADD | EV_CLEAR), 0);
  EXPECT_THAT(kq.Ready(), SizeIs(1));
  EXPECT_THAT(kq.Ready(), IsEmpty());
  EXPECT_EQ(pwrite(file.fd(), "abc", 3, 0), 3);
  EXPECT_THAT(kq.Await(), SizeIs(1));
  EXPECT_THAT(kq.Ready(), IsEmpty());
}

// One registration each, though both watch the file.
TEST(Files, AreReadyToReadAndToWriteTo) {
  const Kqueue kq;
  const File file;
  EXPECT_EQ(pwrite(file.fd(), "abc", 3, 0), 3);
  EXPECT_EQ(kq.MakeFd(file.fd(), EVFILT_READ, EV_ADD, 0, 0, 1), 0);
  EXPECT_EQ(kq.MakeFd(file.fd(), EVFILT_WRITE, EV_ADD, 0, 0, 2), 0);
  EXPECT_THAT(kq.Ready(), UnorderedElementsAre(IsEvent(file.fd(), EVFILT_READ, 3, 1u),
                                               IsEvent(file.fd(), EVFILT_WRITE, 0, 2u)));
  EXPECT_EQ(lseek(file.fd(), 3, SEEK_SET), 3);
  EXPECT_THAT(kq.Ready(), ElementsAre(IsEvent(file.fd(), EVFILT_WRITE, 0, 2u)));
  EXPECT_EQ(kq.MakeFd(file.fd(), EVFILT_WRITE, EV_DELETE), 0);
  EXPECT_EQ(pwrite(file.fd(), "d", 1, 3), 1);
  EXPECT_THAT(kq.Await(), ElementsAre(IsEvent(file.fd(), EVFILT_READ, 1, 1u)));
}

// ---- Closing ------------------------------------------------------------------------------

TEST(Closed, DescriptorsAreRegisteredNoMore) {
  const Kqueue kq;
  Pipe pipe;
  const int number = pipe.out.fd();
  EXPECT_EQ(kq.MakeFd(number, EVFILT_READ, EV_ADD, 0, 0, 1), 0);
  pipe.Write();
  pipe.out.Close();
  EXPECT_THAT(kq.Ready(), IsEmpty());
  EXPECT_EQ(kq.MakeFd(number, EVFILT_READ, EV_DELETE), EBADF);
  const Pipe other;
  ASSERT_EQ(other.out.fd(), number);
  EXPECT_EQ(kq.MakeFd(number, EVFILT_READ, EV_ENABLE), ENOENT);
  other.Write();
  EXPECT_THAT(kq.Ready(), IsEmpty());
  EXPECT_EQ(kq.MakeFd(number, EVFILT_READ, EV_ADD, 0, 0, 2), 0);
  EXPECT_THAT(kq.Ready(), ElementsAre(IsEvent(number, EVFILT_READ, 1, 2u)));
}

TEST(Closed, DescriptorsWhoseFileIsOpenAreRegisteredNoMore) {
  const Kqueue kq;
  Pipe pipe;
  const int number = pipe.out.fd();
  const Descriptor copy(fcntl(number, F_DUPFD_CLOEXEC, 0));
  EXPECT_EQ(kq.MakeFd(number, EVFILT_READ, EV_ADD), 0);
  pipe.out.Close();
  pipe.Write();
  EXPECT_THAT(kq.Ready(), IsEmpty());
  // The number is one of the same file again.
  pipe.out = Descriptor(fcntl(copy.fd(), F_DUPFD_CLOEXEC, number));
  ASSERT_EQ(pipe.out.fd(), number);
  EXPECT_EQ(kq.MakeFd(number, EVFILT_READ, EV_ENABLE), ENOENT);
  EXPECT_EQ(kq.MakeFd(number, EVFILT_READ, EV_ADD), 0);
  EXPECT_THAT(kq.Ready(), SizeIs(1));
}

TEST(Closed, FilesAreRegisteredNoMore) {
  const Kqueue kq;
  File file;
  const int number = file.fd();
  EXPECT_EQ(kq.MakeFd(number, EVFILT_READ, EV_ADD, NOTE_FILE_POLL), 0);
  EXPECT_THAT(kq.Ready(), SizeIs(1));
  file.Close();
  EXPECT_THAT(kq.Ready(), IsEmpty());
  const File other;
  ASSERT_EQ(other.fd(), number);
  EXPECT_EQ(kq.MakeFd(number, EVFILT_READ, EV_DELETE), ENOENT);
  EXPECT_EQ(kq.MakeFd(number, EVFILT_READ, EV_ADD, NOTE_FILE_POLL), 0);
  EXPECT_THAT(kq.Ready(), SizeIs(1));
}

}  // namespace
