// SPDX-License-Identifier: MIT
//
// Transfers against their model, under operations that somebody chooses: what is begun, what the
// other sides do, which pages of files are there, what is cancelled, and which sockets and queues
// are closed meanwhile.

#ifndef KEVENT_TESTS_UNIT_TRANSFER_LIFE_H_
#define KEVENT_TESTS_UNIT_TRANSFER_LIFE_H_

#include <aio.h>
#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/calls/transfer_calls.h"
#include "core/kevents/watched_fds.h"
#include "core/system/system.h"
#include "tests/unit/choices.h"
#include "tests/unit/kevent_requests.h"
#include "tests/unit/transfer_model.h"

namespace kevent_test {

class TransferLife {
 public:
  // A process that has no io_uring, and whose threads leave when they have nothing to do.
  static void BeginProcess() {
    const int parents = kevent::core::InitQueue(nullptr, 0, 0);
    Sim().Fork(true);
    EXPECT_EQ(kevent::core::CloseDescriptor(parents), 0);
    Sim().ring = {};
    Sim().when_waiting = [] { return -ETIMEDOUT; };
  }

  explicit TransferLife(Choices& choices) : choices_(choices) {
    for (Socket& socket : sockets_) Open(socket);
    for (int& file : files_) file = OpenSimulatedFile(Bytes(Pick(64)));
    static const std::string much = Bytes(kTurn + 5);
    large_ = OpenSimulatedFile(much, 4096);
    SetFileOfPaths(files_[0]);
  }
  ~TransferLife() {
    for (const Socket& socket : sockets_) CloseNumber(socket.fd);
    for (const int file : files_) kevent::sys::Close(file);
    kevent::sys::Close(large_);
    SetFileOfPaths(-1);
    EXPECT_EQ(kevent::core::CloseDescriptor(queue_), 0);
    RunPool();
    // The pipe of the pool's threads stays.
    EXPECT_LE(Sim().open_descriptors(), before_ + 2);
    EXPECT_TRUE(Sim().violations.empty()) << Sim().violations.front();
  }
  TransferLife(const TransferLife&) = delete;
  TransferLife& operator=(const TransferLife&) = delete;

  void Step() {
    switch (Pick(20)) {
      case 0:
      case 1:
      case 2:
      case 3:
      case 4:
        BeginSome();
        break;
      case 5:
      case 6:
      case 7:
        Arrive(Any());
        break;
      case 8:
      case 9:
      case 10:
        GiveRoom(Any());
        break;
      case 11:
        CancelSome(Any());
        break;
      case 12:
        Disturb();
        break;
      case 13:
        Watch(Any());
        break;
      case 14:
        RunPool();
        break;
      case 15:
        Pick(4) == 0 ? ReplaceFile() : EvictPages();
        break;
      default:
        CollectSome(1 + static_cast<unsigned>(Pick(4)));
    }
    Compare();
    CheckQueues();
  }

  // The other sides take all, and end: so does everything.
  void End() {
    for (Socket& socket : sockets_) {
      SocketOf(socket.fd).has_ended = true;
      SocketOf(socket.fd).room = SIZE_MAX / 2;
      SocketChanged(socket.fd);
    }
    constexpr int kTurns = 2000;
    for (int i = 0; i < kTurns && !model_.empty() && !testing::Test::HasFailure(); ++i) {
      RunPool();
      CollectSome(16);
    }
    EXPECT_TRUE(model_.empty()) << "one waits for ever";
    // The files that were sent are closed.
    EXPECT_EQ(OpenFiles(), kFiles + 1);
  }

 private:
  using Socket = TransferModel::Socket;
  using Transfer = TransferModel::Transfer;

  static constexpr unsigned kSockets = 3;
  static constexpr unsigned kFiles = 2;
  static constexpr size_t kTurn = kevent::sys::Transfer::kMostAtOnce;
  static constexpr int kNotOpen = 1000;

  static size_t OpenFiles() {
    return static_cast<size_t>(
        std::count_if(Sim().table_.begin(), Sim().table_.end(),
                      [](const auto& entry) { return entry.second->content != nullptr; }));
  }

  uint64_t Pick(uint64_t n) { return choices_.Below(n); }
  Socket& Any() { return sockets_[Pick(kSockets)]; }

  // Other ones each time.
  std::string Bytes(size_t count) {
    std::string bytes(count, '\0');
    for (char& byte : bytes) byte = static_cast<char>(next_byte_ = next_byte_ * 29 + 17);
    return bytes;
  }

  size_t AnySize() { return Pick(64) == 0 ? kTurn + Pick(9) : Pick(12); }

  void Open(Socket& socket) {
    constexpr int kTypes[] = {SOCK_STREAM, SOCK_STREAM, SOCK_STREAM, SOCK_SEQPACKET};
    socket.type = kTypes[Pick(4)];
    socket.fd = OpenSimulatedSocket(socket.type, Pick(2) == 0 ? O_NONBLOCK : 0);
  }

  // ---- Beginning ----------------------------------------------------------------

  TransferModel::Owned AnyTransfer() {
    auto transfer = std::make_unique<Transfer>();
    transfer->socket = &Any();
    transfer->fd = transfer->socket->fd;
    transfer->cookie = ++cookies_;
    transfer->size = AnySize();
    const uint64_t kind = Pick(8);
    if (kind < 3) {
      transfer->operation = KEVENT_NAIO_RECV;
      transfer->ends_with_some = Pick(4) == 0;
      transfer->buffer.assign(transfer->size, '\0');
    } else if (kind < 6) {
      transfer->operation = KEVENT_NAIO_SEND;
      transfer->buffer = Bytes(transfer->size);
    } else {
      ChooseFile(*transfer, kind == 7);
    }
    return transfer;
  }

  void ChooseFile(Transfer& transfer, bool by_path) {
    transfer.operation = by_path ? KEVENT_NAIO_SENDFILE_PATH : KEVENT_NAIO_SENDFILE;
    transfer.file = by_path ? files_[0] : transfer.size > kTurn ? large_ : files_[Pick(kFiles)];
    transfer.offset = static_cast<int64_t>(Pick(8));
    const std::string& bytes = ContentOf(transfer.file).bytes;
    const auto offset = static_cast<size_t>(transfer.offset);
    if (offset < bytes.size()) transfer.buffer = bytes.substr(offset, transfer.size);
  }

  static kevent_transfer Request(Transfer& transfer) {
    kevent_transfer request = {};
    request.operation = transfer.operation;
    request.socket = transfer.fd;
    request.flags = transfer.ends_with_some ? KEVENT_NAIO_SOME : 0;
    request.size = transfer.size;
    request.cookie = reinterpret_cast<void*>(transfer.cookie);
    request.error = -1;
    if (transfer.is_of_file()) {
      request.path = "any";
      request.offset = transfer.offset;
      request.file = transfer.file;
    } else {
      request.buffer = transfer.buffer.data();
    }
    return request;
  }

  // What is wrong with a request, and the error that it has; 0: nothing.
  int Spoil(kevent_transfer& request) {
    switch (Pick(5)) {
      case 0:
        request.socket = kNotOpen;
        return EBADF;
      case 1:
        request.socket = files_[0];
        return ENOTSOCK;
      case 2:
        request.operation = 77;
        return EINVAL;
      case 3:
        request.flags |= MSG_PEEK;
        return EINVAL;
      default:
        request.socket = queue_;
        return ENOTSOCK;
    }
  }

  void BeginSome() {
    std::vector<TransferModel::Owned> transfers;
    std::vector<kevent_transfer> requests;
    std::vector<int> wrong;
    const uint64_t count = 1 + Pick(3);
    for (uint64_t i = 0; i < count; ++i) {
      transfers.push_back(AnyTransfer());
      requests.push_back(Request(*transfers.back()));
      const bool is_message =
          transfers.back()->is_of_file() && !transfers.back()->socket->is_stream();
      wrong.push_back(Pick(16) == 0 ? Spoil(requests.back()) : is_message ? EINVAL : 0);
    }
    const bool may_fail = Pick(8) == 0;
    Sim().FailCall(may_fail ? 1 + static_cast<int>(Pick(6)) : 0, ENOMEM);
    const int begun = kevent::core::BeginTransfers(queue_, static_cast<unsigned>(requests.size()),
                                                   requests.data());
    Sim().FailCall(0, 0);
    if (begun < 0) {
      EXPECT_TRUE(may_fail && begun == -EAGAIN) << begun;
      return;
    }
    int expected = 0;
    for (size_t i = 0; i < requests.size(); ++i) {
      const int error = requests[i].error;
      expected += error == 0;
      EXPECT_TRUE(error == wrong[i] || (may_fail && error != 0)) << error << " for " << wrong[i];
      transfers[i]->may_fail = may_fail;
      transfers[i]->is_late = SocketOf(transfers[i]->fd).was_told;  // one before it may have heard
      if (error == 0) model_.Begun(std::move(transfers[i]));
    }
    EXPECT_EQ(begun, expected);
  }

  // ---- The other sides ------------------------------------------------------------

  void Arrive(Socket& socket) {
    SimulatedSocket& real = SocketOf(socket.fd);
    if (real.has_ended || real.is_broken) return;
    const std::string bytes = Bytes(std::max<size_t>(AnySize(), socket.is_stream() ? 1 : 0));
    real.came.push_back(bytes);
    model_.Arrived(socket, bytes);
    SocketChanged(socket.fd);
  }

  void GiveRoom(const Socket& socket) {
    SimulatedSocket& real = SocketOf(socket.fd);
    if (real.room < 2 * kTurn) real.room += AnySize();
    SocketChanged(socket.fd);
  }

  void Disturb() {
    Socket& socket = Any();
    SimulatedSocket& real = SocketOf(socket.fd);
    switch (Pick(6)) {
      case 0:
        real.has_ended = true;
        break;
      case 1:
        real.is_broken = true;
        break;
      case 2:
        return CloseQueue();
      case 3:
        return ForkOnce();
      default:
        return Replace(socket);
    }
    SocketChanged(socket.fd);
  }

  // Another one has the number, whose bytes transfers that were begun before do not send.
  void ReplaceFile() {
    int& file = files_[1];
    kevent::sys::Close(file);
    const int before = file;
    file = OpenSimulatedFile(Bytes(Pick(64)));
    EXPECT_EQ(file, before);
  }

  // Not before what was read was sent, as far as it can be: no file would ever be sent.
  void EvictPages() {
    CollectAll();
    // Longer than the library takes for granted that pages are there.
    Sim().Advance(kSecond);
    for (const int file : files_) ContentOf(file).Evict();
    ContentOf(large_).Evict();
  }

  // The threads that read files ahead do what there is.
  static void RunPool() {
    if (Sim().thread_ != nullptr) Sim().RunThread();
  }

  // ---- Cancelling and closing -------------------------------------------------------

  void CancelSome(const Socket& socket) {
    const uint64_t cookie = model_.empty() ? 77 : model_.At(Pick(model_.size())).cookie;
    void* const wanted = reinterpret_cast<void*>(cookie);
    const uint64_t* const chosen = Pick(2) == 0 ? &cookie : nullptr;
    // Those that have ended are in flight for the model until the queue tells of them.
    const bool is_exact = Pick(2) == 0;
    if (is_exact) CollectAll();
    const bool any = model_.AnyOn(socket, chosen);
    model_.Cancelled(socket, chosen, is_exact);
    const int result =
        kevent::core::CancelTransfers(queue_, socket.fd, chosen == nullptr ? nullptr : &wanted);
    const bool is_done = result == AIO_CANCELED || result == AIO_NOTCANCELED;
    EXPECT_TRUE(any ? is_done || (!is_exact && result == AIO_ALLDONE) : result == AIO_ALLDONE)
        << result;
  }

  static void CloseNumber(int fd) {
    kevent::core::WatchedFds::Unwatch(fd);
    kevent::sys::Close(fd);
  }

  void Replace(Socket& socket) {
    CloseNumber(socket.fd);
    const int before = socket.fd;
    Open(socket);
    EXPECT_EQ(socket.fd, before);
    model_.Replaced(socket, socket.type);
  }

  void CloseQueue() {
    EXPECT_EQ(kevent::core::CloseDescriptor(queue_), 0);
    queue_ = kevent::core::InitQueue(nullptr, 0, 0);
    ForgetAll();
  }

  // Once, as it takes long.
  void ForkOnce() {
    if (std::exchange(has_forked_, true)) return;
    Sim().Fork(true);
    Sim().ring = {};
    Sim().thread_ = nullptr;
    ForgetAll();
  }

  void ForgetAll() {
    std::vector<Socket*> all;
    for (Socket& socket : sockets_) all.push_back(&socket);
    model_.Forget(all);
    for (bool& is_watched : is_watched_) is_watched = false;
  }

  // ---- Collecting -----------------------------------------------------------------

  // A kevent of the program's on the same socket.
  void Watch(const Socket& socket) {
    bool& is_watched = is_watched_[&socket - sockets_];
    const auto id = static_cast<uint64_t>(socket.fd);
    if (is_watched) {
      const ukevent request = kevent_test::Request(KEVENT_POLL, id, KEVENT_POLL_POLLIN);
      // The kevent of a socket whose number was closed is gone.
      Control(queue_, KEVENT_CTL_REMOVE, request);
    } else {
      const ukevent request =
          kevent_test::Request(KEVENT_POLL, id, KEVENT_POLL_POLLIN, KEVENT_REQ_ONESHOT);
      Control(queue_, KEVENT_CTL_ADD, request);
    }
    is_watched = !is_watched;
  }

  // Until there is nothing.  What is found out to be of no use is not looked at again: the queue is
  // readable in vain a few times at most.
  void CollectAll() {
    constexpr int kTurns = 2000;
    int turns = 0;
    for (int in_vain = 0; in_vain < 4; ++turns) {
      ASSERT_LT(turns, kTurns) << "does not come to rest";
      in_vain = CollectSome(16) == 0 ? in_vain + 1 : 0;
    }
    EXPECT_FALSE(Sim().Readable(queue_)) << "readable in vain";
    for (const Socket& socket : sockets_) model_.CheckAtRest(socket);
  }

  size_t CollectSome(unsigned max) {
    const std::vector<ukevent> events = Collect(queue_, 0, max);
    for (const ukevent& event : events) {
      if (event.type == KEVENT_NAIO) {
        model_.Check(event);
      } else {
        EXPECT_EQ(event.type, static_cast<uint32_t>(KEVENT_POLL));
      }
    }
    return events.size();
  }

  bool GoesOn(const Socket& socket, bool receives) const {
    const Transfer* const first = model_.First(socket, receives);
    if (first == nullptr) return false;
    const SimulatedSocket& real = SocketOf(socket.fd);
    if (receives) return real.IsReadable();
    // A file's transfer may wait for the thread that reads it.
    return real.IsWritable() && !first->is_of_file();
  }

  void Compare() const {
    for (const Socket& socket : sockets_) {
      EXPECT_TRUE(!(GoesOn(socket, true) || GoesOn(socket, false)) || Sim().Readable(queue_))
          << "nobody wakes for what can go on";
    }
  }

  Choices& choices_;
  const size_t before_ = Sim().open_descriptors();
  int queue_ = kevent::core::InitQueue(nullptr, 0, 0);
  Socket sockets_[kSockets];
  bool is_watched_[kSockets] = {};
  int files_[kFiles];
  int large_;
  uint64_t cookies_ = 0;
  unsigned next_byte_ = 0;
  bool has_forked_ = false;
  TransferModel model_;
};

}  // namespace kevent_test

#endif  // KEVENT_TESTS_UNIT_TRANSFER_LIFE_H_
