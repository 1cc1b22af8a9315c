// SPDX-License-Identifier: MIT

#include "tests/robustness/random/worker.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <new>

namespace kevent_test {
namespace {

constexpr int kNotBegun = -77;  // what a control block says that no call has taken

int TemporaryFile(int flags) {
  char name[] = "/tmp/kevent.XXXXXX";
  const int fd = mkostemp(name, flags | O_CLOEXEC);
  HOLDS(fd >= 0, "a file");
  unlink(name);
  return fd;
}

unsigned char StampAt(uint32_t stamp, size_t i) {
  return static_cast<unsigned char>(stamp * 29 + i * 3 + (i >> 7));
}

}  // namespace

// ---- What a phase has -----------------------------------------------------------------

Worker::Worker(uint64_t seed, Shared* shared) : random_(seed), shared_(shared) {
  void* pages = mmap(nullptr, sizeof *ops_, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  HOLDS(pages != MAP_FAILED, "memory for the books");
  ops_ = static_cast<std::array<Op, kOps>*>(pages);
}

void Worker::Open() {
  pattern_ = open(shared_->pattern, O_RDONLY | O_CLOEXEC);
  slots_file_ = TemporaryFile(0);
  append_file_ = TemporaryFile(O_APPEND);
  appended_ = 0;
  slot_in_use_.fill(false);
  for (size_t i = 0; i < streams_.size(); ++i) {
    streams_[i].reads = i % 2 == 0;
    OpenStream(&streams_[i]);
  }
  for (QueueBook& queue : queues_) OpenQueue(&queue);
  char name[64];
  snprintf(name, sizeof name, "/kevent.%d.%p", getpid(), static_cast<void*>(this));
  mq_attr attributes = {};
  attributes.mq_maxmsg = 4;
  attributes.mq_msgsize = 8;
  messages_ = mq_open(name, O_RDWR | O_CREAT | O_NONBLOCK | O_CLOEXEC, 0600, &attributes);
  if (messages_ >= 0) mq_unlink(name);
}

void Worker::Close() {
  for (QueueBook& queue : queues_) {
    ++queue.incarnation;
    if (const int fd = queue.fd.exchange(-1); fd >= 0) close(fd);
  }
  for (TimerBook& timer : timers_) {
    if (timer.in_use) HOLDS(timer_delete(timer.timer) == 0, "a timer");
    timer.in_use = false;
  }
  struct stat status;
  HOLDS(fstat(append_file_, &status) == 0, "a file");
  HOLDS(static_cast<uint64_t>(status.st_size) == appended_, "%lld bytes were appended, not %llu",
        static_cast<long long>(status.st_size), static_cast<unsigned long long>(appended_));
  for (Op& op : *ops_) op.task = Task::kFree;
  for (ListBook& list : lists_) list.in_use = list.is_refused = false;
  for (MessageBook& message : registrations_) message.in_use = false;
  registered_ = nullptr;
  for (Stream& stream : streams_) {
    close(stream.fd);
    if (!stream.ends) close(stream.other);
  }
  for (const int fd : {pattern_, slots_file_, append_file_}) close(fd);
  if (messages_ >= 0) mq_close(messages_);
}

void Worker::OpenStream(Stream* stream) {
  int ends[2];  // to be read from, to be written to
  if (stream - streams_.data() < 2) {
    if (pipe2(ends, O_CLOEXEC) != 0) return;
  } else {
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return;
  }
  stream->fd = ends[stream->reads ? 0 : 1];
  stream->other = ends[stream->reads ? 1 : 0];
  stream->position = stream->fed = 0;
  stream->first = stream->count = stream->received_bytes = 0;
  stream->ends = false;
  fcntl(stream->other, F_SETFL, O_NONBLOCK);
}

void Worker::OpenQueue(QueueBook* queue) {
  const int fd = kevent_init(nullptr, 0, 0);
  if (fd < 0) HOLDS(IsLack(errno), "kevent_init");
  queue->fd.store(fd);
}

void Worker::ReopenQueue(QueueBook* queue) {
  const int fd = queue->fd.exchange(-1);
  ++queue->incarnation;
  if (fd >= 0) {
    switch (random_.Below(3)) {
      case 0:
        HOLDS(close(fd) == 0, "close");
        break;
      case 1:
        // No number beyond the limit can be given again, though it is open.
        HOLDS(dup2(pattern_, fd) == fd || errno == EBADF, "dup2");
        HOLDS(close(fd) == 0, "close");
        break;
      default:
        HOLDS(close_range(static_cast<unsigned>(fd), static_cast<unsigned>(fd), 0) == 0, "close");
    }
  }
  OpenQueue(queue);
}

// ---- Beginning --------------------------------------------------------------------------

// A queue: of this thread mostly, whoever's otherwise.  It has no number while it is made
// again.
void Worker::Address(sigevent* notification, const void* book, Cookie kind, QueueBook** queue,
                     uint32_t* incarnation) {
  *queue = random_.OneIn(4) ? shared_->queues[random_.Below(shared_->queues.size())]
                            : &queues_[random_.Below(kQueues)];
  // In this order: a queue that is about to be closed has no number any more.
  *incarnation = (*queue)->incarnation.load();
  kevent_sigevent(notification, (*queue)->fd.load(), CookieOf(book, kind));
}

// A call has refused what it was asked for: for want of something, or its queue has gone.
bool Worker::MayRefuse(const QueueBook* queue, uint32_t incarnation, int error) {
  if (IsLack(error)) return true;
  const bool gone = queue->fd.load() < 0 || queue->incarnation.load() != incarnation;
  return gone && (error == EBADF || error == EINVAL);
}

Op* Worker::Take(Task task, int fd, size_t bytes, off_t offset) {
  for (Op& op : *ops_) {
    if (op.task != Task::kFree) continue;
    if (op.was_given_back) {
      for (const unsigned char byte : op.buffer) {
        HOLDS(byte == kGivenBack, "a buffer is written to after its end");
      }
      op.was_given_back = false;
    }
    std::memset(static_cast<void*>(&op.control()), 0, sizeof op.control());
    op.Fill();
    op.control().aio_fildes = fd;
    op.control().aio_buf = op.buffer;
    op.control().aio_nbytes = bytes;
    op.control().aio_offset = offset;
    op.control().__error_code = kNotBegun;
    Address(&op.control().aio_sigevent, &op, Cookie::kOp, &op.queue, &op.incarnation);
    if (op.control().aio_sigevent.sigev_kevent_fd < 0) return nullptr;
    op.task = task;
    op.cancelled = op.may_be_cancelled = op.checked = false;
    op.list = nullptr;
    op.told.store(0);
    return &op;
  }
  return nullptr;
}

Op* Worker::PrepareFile() {
  const size_t bytes = random_.OneIn(8) ? 0 : 1 + random_.Below(kBuffer);
  switch (random_.Below(8)) {
    case 0: {
      const auto slot = static_cast<uint32_t>(random_.Below(kSlots));
      if (slot_in_use_[slot]) return nullptr;
      const size_t length = std::clamp(bytes, size_t{1}, kSlotBytes);
      Op* op = Take(Task::kWrite, slots_file_, length, static_cast<off_t>(slot * kSlotBytes));
      if (op == nullptr) return nullptr;
      op->slot = slot;
      slot_in_use_[slot] = true;
      ++stamps_[slot];
      for (size_t i = 0; i < length; ++i) op->buffer[i] = StampAt(stamps_[slot], i);
      return op;
    }
    case 1:
      return Take(Task::kAppend, append_file_, 1 + bytes % 64, 0);
    case 2:
      return Take(Task::kSync, slots_file_, 0, 0);
    default:
      return Take(Task::kRead, pattern_, bytes,
                  static_cast<off_t>(random_.Below(kFileBytes + kBuffer)));
  }
}

Op* Worker::PrepareStream() {
  Stream& stream = streams_[random_.Below(kStreams)];
  if (stream.ends || stream.count >= 24) return nullptr;
  if (stream.reads) {
    return Take(Task::kStreamRead, stream.fd, 1 + random_.Below(48), 0);
  }
  const size_t bytes = 1 + random_.Below(random_.OneIn(6) ? kBuffer : 64);
  Op* op = Take(Task::kStreamWrite, stream.fd, bytes, 0);
  if (op == nullptr) return nullptr;
  op->slot = static_cast<uint32_t>(random_.Next());
  for (size_t i = 0; i < bytes; ++i) op->buffer[i] = StampAt(op->slot, i);
  return op;
}

int Worker::Begin(Op* op) {
  switch (op->task) {
    case Task::kRead:
    case Task::kStreamRead:
      return aio_read(&op->control());
    case Task::kSync:
      return aio_fsync(O_SYNC, &op->control());
    default:
      return aio_write(&op->control());
  }
}

void Worker::GiveBack(Op* op) {
  if (op->task == Task::kWrite) slot_in_use_[op->slot] = false;
  // The program's own again: looked at when it is taken the next time.
  std::memset(op->buffer, kGivenBack, sizeof op->buffer);
  op->was_given_back = true;
  op->task = Task::kFree;
}

void Worker::NoteBegun(Op* op) {
  ++begun_;
  Stream* stream = StreamOf(*op);
  if (stream == nullptr) return;
  stream->in_order[(stream->first + stream->count++) % kOps] = static_cast<int>(op - ops_->data());
}

void Worker::BeginOne() {
  Op* op = random_.OneIn(2) ? PrepareFile() : PrepareStream();
  if (op == nullptr) return;
  if (Begin(op) == 0) return NoteBegun(op);
  HOLDS(MayRefuse(op->queue, op->incarnation, errno), "an operation is refused");
  GiveBack(op);
}

void Worker::BeginList(bool wait) {
  const auto found = std::find_if(lists_.begin(), lists_.end(), [](const ListBook& list) {
    return !list.in_use && !list.is_refused;
  });
  if (found == lists_.end()) return;
  ListBook& list = *found;
  Op* members[8];
  int count = 0;
  for (auto want = static_cast<int>(1 + random_.Below(8)); want > 0; --want) {
    Op* op = wait || random_.OneIn(2) ? PrepareFile() : PrepareStream();
    if (op == nullptr) continue;
    if (op->task == Task::kSync) {  // lists have none
      GiveBack(op);
      continue;
    }
    const bool reads = op->task == Task::kRead || op->task == Task::kStreamRead;
    op->control().aio_lio_opcode = reads ? LIO_READ : LIO_WRITE;
    op->list = wait ? nullptr : &list;
    list.entries[count] = &op->control();
    members[count++] = op;
  }
  if (count == 0) return;
  sigevent notification;
  Address(&notification, &list, Cookie::kList, &list.queue, &list.incarnation);
  if (notification.sigev_kevent_fd < 0) {
    for (int i = 0; i < count; ++i) GiveBack(members[i]);
    return;
  }
  list.told.store(0);
  list.begun = static_cast<uint32_t>(count);
  list.in_use = !wait;
  const int result =
      lio_listio(wait ? LIO_WAIT : LIO_NOWAIT, list.entries, count, wait ? nullptr : &notification);
  const int error = errno;
  // One that is refused may be told of or not: not taken again in this phase.
  if (result != 0) {
    const std::lock_guard<std::mutex> lock(list.telling);
    list.in_use = false;
  }
  list.is_refused = result != 0 && !wait;
  bool any_refused = false;
  for (int i = 0; i < count; ++i) {
    Op* op = members[i];
    const int state = aio_error(&op->control());
    const bool refused = state == kNotBegun || IsLack(state) || state == EBADF || state == EINVAL;
    if (result != 0) op->list = nullptr;
    if (!refused) {
      HOLDS(!wait || state != EINPROGRESS, "a list was to be waited for");
      NoteBegun(op);
      continue;
    }
    any_refused = true;
    HOLDS(state == kNotBegun || MayRefuse(op->queue, op->incarnation, state), "an entry: %d",
          state);
    GiveBack(op);
  }
  if (result == 0) HOLDS(!any_refused, "a list that has begun");
  if (result != 0) {
    errno = error;
    HOLDS(any_refused || error == EIO, "a list is refused");
  }
}

void Worker::BeginLookup() {
  auto* book = new (std::nothrow) LookupBook();
  if (book == nullptr) return;
  book->next_of_all = shared_->lookups_of_all.load();
  while (!shared_->lookups_of_all.compare_exchange_weak(book->next_of_all, book)) {
  }
  book->hints.ai_socktype = SOCK_STREAM;
  book->hints.ai_family = random_.OneIn(2) ? AF_INET : AF_UNSPEC;
  book->count = static_cast<int>(1 + random_.Below(4));
  for (int i = 0; i < book->count; ++i) {
    constexpr const char* kNames[] = {"127.0.0.1", "::1", "localhost", "10.0.0.1"};
    book->requests[i].ar_name = kNames[random_.Below(4)];
    book->requests[i].ar_request = &book->hints;
    book->list[i] = &book->requests[i];
  }
  sigevent notification;
  Address(&notification, book, Cookie::kLookup, &book->queue, &book->incarnation);
  if (notification.sigev_kevent_fd < 0) return;
  const int result = getaddrinfo_a(GAI_NOWAIT, book->list, book->count, &notification);
  if (result != 0) {
    HOLDS(result == EAI_AGAIN || result == EAI_MEMORY ||
              (result == EAI_SYSTEM && MayRefuse(book->queue, book->incarnation, errno)),
          "a look-up is refused: %d", result);
    return;  // some of it may go on
  }
  book->in_use = true;
  book->next = lookups_;
  lookups_ = book;
  if (random_.OneIn(4)) {
    book->any_cancelled = true;
    gai_cancel(&book->requests[random_.Below(static_cast<uint64_t>(book->count))]);
  }
}

// ---- What else can be done with what has begun ---------------------------------------------

void Worker::CancelSome() {
  Op& op = (*ops_)[random_.Below(kOps)];
  if (op.task == Task::kFree || op.checked) return;
  const int fd = op.control().aio_fildes;
  if (random_.OneIn(4)) {
    for (Op& other : *ops_) {
      if (other.task != Task::kFree && !other.checked && other.control().aio_fildes == fd) {
        other.may_be_cancelled = true;
      }
    }
    HOLDS(aio_cancel(fd, nullptr) >= 0, "aio_cancel");
    return;
  }
  switch (const int result = aio_cancel(fd, &op.control())) {
    case AIO_CANCELED:
      op.cancelled = op.may_be_cancelled = true;
      HOLDS(aio_error(&op.control()) == ECANCELED, "cancelled");
      break;
    case AIO_ALLDONE:
      HOLDS(op.has_ended(), "all done");
      break;
    default:
      HOLDS(result == AIO_NOTCANCELED, "aio_cancel: %d", result);
  }
}

void Worker::Suspend() {
  const aiocb* list[4] = {};
  int count = 0;
  for (int i = 0; i < 8 && count < 4; ++i) {
    const Op& op = (*ops_)[random_.Below(kOps)];
    if (op.task != Task::kFree) list[count++] = &op.control();
  }
  if (count == 0) return;
  const timespec timeout = {0, static_cast<long>(random_.Below(1'000'000))};
  const int result = aio_suspend(list, count, &timeout);
  if (result != 0) {
    HOLDS(errno == EAGAIN || errno == EINTR, "aio_suspend");
    return;
  }
  bool any = false;
  for (int i = 0; i < count; ++i) any = any || aio_error(list[i]) != EINPROGRESS;
  HOLDS(any, "aio_suspend returns for nothing");
}

// Puts in what reads take, or takes what writes put in.
void Worker::Feed(Stream* stream, bool all) {
  if (stream->ends) return;
  if (stream->reads) {
    uint64_t wanted = 1 + random_.Below(64);
    if (all) wanted = stream->count * 48 + 1;
    unsigned char bytes[256];
    while (wanted != 0) {
      const size_t length = std::min<uint64_t>(wanted, sizeof bytes);
      for (size_t i = 0; i < length; ++i) bytes[i] = PatternAt(stream->fed + i);
      const ssize_t count = write(stream->other, bytes, length);
      if (count <= 0) break;
      stream->fed += static_cast<uint64_t>(count);
      wanted -= static_cast<uint64_t>(count);
    }
    return;
  }
  const size_t room = stream->received.size() - stream->received_bytes;
  const size_t wanted = all ? room : std::min<size_t>(room, random_.Below(4096));
  const ssize_t count =
      read(stream->other, stream->received.data() + stream->received_bytes, wanted);
  if (count > 0) stream->received_bytes += static_cast<size_t>(count);
}

// All of a stream ends when the driver's end is closed.  Its own descriptor is closed when
// they have: only then may the number be another's.
void Worker::Renew(Stream* stream) {
  close(stream->other);
  stream->ends = true;
  while (stream->count != 0) {
    for (QueueBook& queue : queues_) Collect(&queue, 1, 200'000);
    ReapStream(stream);
  }
  close(stream->fd);
  for (;;) {
    OpenStream(stream);
    if (!stream->ends) return;
    HOLDS(IsLack(errno), "a stream");
    usleep(500);
  }
}

void Worker::UseTimer() {
  TimerBook& book = timers_[random_.Below(timers_.size())];
  if (!book.in_use) {
    constexpr clockid_t kClocks[] = {CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME,
                                     CLOCK_PROCESS_CPUTIME_ID};
    sigevent notification;
    Address(&notification, &book, Cookie::kTimer, &book.queue, &book.incarnation);
    if (notification.sigev_kevent_fd < 0) return;
    const int result = timer_create(kClocks[random_.Below(4)], &notification, &book.timer);
    book.in_use = result == 0;
    if (result != 0) {
      HOLDS(MayRefuse(book.queue, book.incarnation, errno), "a timer is refused");
    }
  } else if (random_.OneIn(8)) {
    HOLDS(timer_delete(book.timer) == 0, "timer_delete");
    book.in_use = false;
  } else {
    const itimerspec setting = {{0, static_cast<long>(random_.Below(2) * 700'000)},
                                {0, static_cast<long>(random_.Below(1'000'000))}};
    HOLDS(timer_settime(book.timer, 0, &setting, nullptr) == 0, "timer_settime");
  }
}

void Worker::UseMessages() {
  if (messages_ < 0) return;
  char message[8] = {};
  if (registered_ != nullptr) {
    if (mq_send(messages_, message, 1, 0) == 0) {
      registered_->sent = true;
      registered_ = nullptr;
    }
    return;
  }
  while (mq_receive(messages_, message, sizeof message, nullptr) >= 0) {
  }
  for (MessageBook& book : registrations_) {
    if (book.in_use) continue;
    sigevent notification;
    book.told.store(0);
    book.sent = false;
    Address(&notification, &book, Cookie::kMessage, &book.queue, &book.incarnation);
    if (notification.sigev_kevent_fd < 0) return;
    if (mq_notify(messages_, &notification) == 0) {
      book.in_use = true;
      registered_ = &book;
    } else {
      HOLDS(MayRefuse(book.queue, book.incarnation, errno), "mq_notify");
    }
    return;
  }
}

// ---- Collecting -----------------------------------------------------------------------------

void Worker::Collect(QueueBook* queue, int min, long nanoseconds) {
  ukevent events[32];
  const timespec timeout = {0, nanoseconds};
  const uint32_t incarnation = queue->incarnation.load();
  const int fd = queue->fd.load();
  if (fd < 0) return;
  const int count = kevent_get_events(fd, static_cast<unsigned>(min), 32, &timeout, events, 0);
  if (count < 0) {
    // EINVAL: a limit of fewer descriptors than it sleeps on (kevent_get_events(3)).
    HOLDS(errno == EINTR || errno == EINVAL || IsLack(errno) ||
              queue->incarnation.load() != incarnation,
          "collecting");
    return;
  }
  for (int i = 0; i < count; ++i) Tell(events[i]);
}

void Worker::Tell(const ukevent& event) {
  const auto cookie = reinterpret_cast<uintptr_t>(event.ptr);
  void* book = reinterpret_cast<void*>(cookie & ~kCookieMask);
  switch (static_cast<Cookie>(cookie & kCookieMask)) {
    case Cookie::kOp: {
      auto* op = static_cast<Op*>(book);
      HOLDS(event.type == KEVENT_AIO, "type %u", event.type);
      HOLDS(event.id.raw_u64 == reinterpret_cast<uintptr_t>(&op->control()), "another's id");
      HOLDS(op->task != Task::kFree, "told of what was told of");
      HOLDS(op->has_ended(), "told of before its end");
      op->told_data[0] = event.ret_data[0];
      op->told_data[1] = event.ret_data[1];
      HOLDS(op->told.fetch_add(1) == 0, "told of twice");
      break;
    }
    case Cookie::kList: {
      auto* list = static_cast<ListBook*>(book);
      HOLDS(event.type == KEVENT_LIO, "type %u", event.type);
      const std::lock_guard<std::mutex> lock(list->telling);
      if (list->in_use) {
        for (uint32_t i = 0; i < list->begun; ++i) {
          HOLDS(aio_error(list->entries[i]) != EINPROGRESS, "a list is told of before its end");
        }
        HOLDS(list->told.fetch_add(1) == 0, "a list is told of twice");
      }
      break;
    }
    case Cookie::kLookup: {
      auto* lookup = static_cast<LookupBook*>(book);
      HOLDS(event.type == KEVENT_GAI, "type %u", event.type);
      for (int i = 0; i < lookup->count; ++i) {
        HOLDS(lookup->any_cancelled || gai_error(&lookup->requests[i]) != EAI_INPROGRESS,
              "a look-up is told of before its end");
      }
      HOLDS(lookup->told.fetch_add(1) == 0, "a look-up is told of twice");
      break;
    }
    case Cookie::kTimer:
      HOLDS(event.type == KEVENT_POSIX_TIMER, "type %u", event.type);
      static_cast<TimerBook*>(book)->told.fetch_add(1);
      break;
    case Cookie::kMessage:
      HOLDS(event.type == KEVENT_MQ, "type %u", event.type);
      HOLDS(static_cast<MessageBook*>(book)->told.fetch_add(1) == 0, "a message is told of twice");
      break;
    default:
      HOLDS(false, "a cookie of nobody's: %p", event.ptr);
  }
}

// ---- What it has come to ------------------------------------------------------------------------

Worker::Stream* Worker::StreamOf(const Op& op) {
  if (op.task != Task::kStreamRead && op.task != Task::kStreamWrite) return nullptr;
  for (Stream& stream : streams_) {
    if (stream.fd == op.control().aio_fildes) return &stream;
  }
  return nullptr;
}

void Worker::CheckTold(const Op& op) {
  const int error = aio_error(&op.control());
  const ssize_t result = aio_return(const_cast<aiocb*>(&op.control()));
  HOLDS((result < 0) == (error != 0), "result %zd with error %d", result, error);
  HOLDS(!op.cancelled || error == ECANCELED, "cancelled, and then error %d", error);
  // ECONNRESET: the other side was closed with bytes that nobody had read (unix(7)).
  const bool is_broken = error == EPIPE || error == ECONNRESET;
  HOLDS(error == 0 || (error == ECANCELED && op.may_be_cancelled) ||
            (is_broken && op.task == Task::kStreamWrite),
        "task %d ends with error %d", static_cast<int>(op.task), error);
  if (op.told.load() != 0) {
    HOLDS(op.told_data[1] == static_cast<uint32_t>(error), "told of error %u", op.told_data[1]);
    HOLDS(op.told_data[0] == static_cast<uint32_t>(result), "told of result %u", op.told_data[0]);
  }
}

void Worker::CheckFile(Op* op) {
  op->checked = true;
  const ssize_t result = aio_return(&op->control());
  const size_t bytes = op->control().aio_nbytes;
  if (result < 0) return;
  const auto count = static_cast<size_t>(result);
  switch (op->task) {
    case Task::kRead: {
      const auto place = static_cast<size_t>(op->control().aio_offset);
      const size_t there = place >= kFileBytes ? 0 : std::min(bytes, kFileBytes - place);
      HOLDS(count == there, "%zu bytes are read of %zu at %zu", count, there, place);
      for (size_t i = 0; i < count; ++i) {
        HOLDS(op->buffer[i] == PatternAt(place + i), "the byte at %zu", place + i);
      }
      HOLDS(op->IsUntouchedFrom(count), "beyond what was read");
      break;
    }
    case Task::kWrite: {
      unsigned char found[kSlotBytes];
      HOLDS(count == bytes, "%zu bytes are written of %zu", count, bytes);
      const ssize_t there = pread(slots_file_, found, bytes, op->control().aio_offset);
      HOLDS(there == static_cast<ssize_t>(bytes) && std::memcmp(found, op->buffer, bytes) == 0,
            "slot %u", op->slot);
      break;
    }
    case Task::kAppend:
      appended_ += count;
      break;
    default:
      break;
  }
}

void Worker::CheckStream(Stream* stream, Op* op) {
  op->checked = true;
  const ssize_t result = aio_return(&op->control());
  if (result <= 0) return;
  const auto count = static_cast<size_t>(result);
  HOLDS(count <= op->control().aio_nbytes, "%zu bytes", count);
  if (stream->reads) {
    for (size_t i = 0; i < count; ++i) {
      HOLDS(op->buffer[i] == PatternAt(stream->position + i), "a byte of a stream");
    }
    HOLDS(op->IsUntouchedFrom(count), "beyond what was read");
    stream->position += count;
    return;
  }
  if (stream->ends) return;
  while (stream->received_bytes < count) {
    const size_t before = stream->received_bytes;
    Feed(stream, true);
    HOLDS(stream->received_bytes != before, "what was written is not there");
  }
  HOLDS(std::memcmp(stream->received.data(), op->buffer, count) == 0, "bytes of a stream");
  stream->received_bytes -= count;
  std::memmove(stream->received.data(), stream->received.data() + count, stream->received_bytes);
}

// In the order in which they were begun.
void Worker::ReapStream(Stream* stream) {
  while (stream->count != 0) {
    Op& op = (*ops_)[static_cast<size_t>(stream->in_order[stream->first])];
    if (!op.has_ended()) return;
    CheckStream(stream, &op);
    stream->first = (stream->first + 1) % kOps;
    --stream->count;
  }
}

void Worker::Reap() {
  for (Stream& stream : streams_) ReapStream(&stream);
  for (Op& op : *ops_) {
    if (op.task == Task::kFree || !op.has_ended()) continue;
    const bool of_stream = op.task == Task::kStreamRead || op.task == Task::kStreamWrite;
    if (!of_stream && !op.checked) CheckFile(&op);
    if (!op.checked || op.told.load() == 0) continue;
    CheckTold(op);
    ListBook* list = op.list;
    // Of a queue that was closed, too: a thread may have collected its event before.
    if (list != nullptr && list->in_use && list->told.load() == 0) continue;
    GiveBack(&op);
  }
  ReapOthers();
}

void Worker::ReapOthers() {
  // Of a list its members are given back first.
  for (ListBook& list : lists_) {
    if (!list.in_use || list.told.load() == 0) continue;
    const bool any = std::any_of(ops_->begin(), ops_->end(), [&list](const Op& op) {
      return op.task != Task::kFree && op.list == &list;
    });
    if (!any) list.in_use = false;
  }
  for (LookupBook** link = &lookups_; *link != nullptr;) {
    LookupBook* book = *link;
    if (book->told.load() != 0) {
      *link = book->next;
      for (int i = 0; i < book->count; ++i) {
        if (book->requests[i].ar_result != nullptr) freeaddrinfo(book->requests[i].ar_result);
      }
      // The program's own again: looked at in the end.
      std::memset(static_cast<void*>(book->requests), kGivenBack, sizeof book->requests);
      book->was_given_back = true;
    } else {
      link = &book->next;
    }
  }
  for (MessageBook& message : registrations_) {
    if (message.in_use && message.told.load() != 0 && &message != registered_) {
      message.in_use = false;
    }
  }
}

// ---- Going on
// ---------------------------------------------------------------------------------------

void Worker::Step() {
  switch (random_.Below(32)) {
    default:
      BeginOne();
      break;
    case 0:
    case 1:
      BeginList(random_.OneIn(4));
      break;
    case 2:
      if (shared_->lookups) BeginLookup();
      break;
    case 3:
    case 4:
      CancelSome();
      break;
    case 5:
      Suspend();
      break;
    case 6:
    case 7:
    case 8:
    case 9:
      Feed(&streams_[random_.Below(kStreams)], false);
      break;
    case 10:
    case 11:
      UseTimer();
      break;
    case 12:
      UseMessages();
      break;
    case 13:
    case 14:
    case 15:
    case 16:
      Collect(&queues_[random_.Below(kQueues)], static_cast<int>(random_.Below(3)),
              static_cast<long>(random_.Below(100'000)));
      Reap();
      break;
    case 17:
      Collect(shared_->queues[random_.Below(shared_->queues.size())], 1, 50'000);
      break;
    case 18:
      if (random_.OneIn(20)) ReopenQueue(&queues_[random_.Below(kQueues)]);
      break;
    case 19:
      if (random_.OneIn(10)) Renew(&streams_[random_.Below(kStreams)]);
      break;
    case 20:
      if (shared_->forks && random_.OneIn(40)) Fork();
      break;
  }
}

// The child's queue is another one, empty, in which its own operations complete.
void Worker::Fork() {
  QueueBook& queue = queues_[random_.Below(kQueues)];
  const int fd = queue.fd.load();
  if (fd < 0) return;
  const pid_t child = fork();
  if (child == 0) {
    alarm(120);
    for (const auto resource : {RLIMIT_NOFILE, RLIMIT_AS}) {
      rlimit limit;
      getrlimit(resource, &limit);
      limit.rlim_cur = limit.rlim_max;
      setrlimit(resource, &limit);
    }
    // Where there were no descriptors for another queue its number is closed, and may be
    // one inside of a queue then.
    ukevent none;
    if (kevent_get_events(fd, 0, 1, nullptr, &none, 0) < 0) {
      HOLDS(errno == EBADF || errno == EINVAL, "in the child");
      _exit(0);
    }
    static Op mine[4];
    const int file = open(shared_->pattern, O_RDONLY | O_CLOEXEC);
    for (Op& op : mine) {
      op.Fill();
      op.control().aio_fildes = file;
      op.control().aio_buf = op.buffer;
      op.control().aio_nbytes = 100;
      op.control().aio_offset = 1000;
      kevent_sigevent(&op.control().aio_sigevent, fd, &op);
      HOLDS(aio_read(&op.control()) == 0, "in the child");
    }
    int left = 4;
    while (left > 0) {
      ukevent events[8];
      const int count = kevent_get_events(fd, 1, 8, nullptr, events, 0);
      HOLDS(count > 0, "in the child");
      for (int i = 0; i < count; ++i) {
        const auto* op = static_cast<const Op*>(events[i].ptr);
        HOLDS(op >= mine && op < mine + 4, "the parent's, in the child");
        HOLDS(op->buffer[99] == PatternAt(1099) && op->IsUntouchedFrom(100), "in the child");
        --left;
      }
    }
    _exit(0);
  }
  if (child < 0) return;
  int status = -1;
  while (waitpid(child, &status, 0) < 0) HOLDS(errno == EINTR, "a child");
  HOLDS(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child ends with %#x", status);
}

bool Worker::AnyLeft() const {
  for (const Op& op : *ops_) {
    if (op.task == Task::kFree) continue;
    if (!op.checked || (op.told.load() == 0 && op.queue_is_open())) return true;
  }
  for (const ListBook& list : lists_) {
    if (list.in_use && list.told.load() == 0 &&
        list.queue->incarnation.load() == list.incarnation) {
      return true;
    }
  }
  for (const LookupBook* book = lookups_; book != nullptr; book = book->next) {
    if (book->queue->incarnation.load() == book->incarnation) return true;
  }
  for (const MessageBook& message : registrations_) {
    if (message.in_use && message.sent && message.told.load() == 0 &&
        message.queue->incarnation.load() == message.incarnation) {
      return true;
    }
  }
  return false;
}

void Worker::Settle() {
  bool settled = false;
  if (registered_ != nullptr) {
    mq_notify(messages_, nullptr);
    registered_->in_use = false;
    registered_ = nullptr;
  }
  // Others' operations complete into these queues as well.
  do {
    for (Stream& stream : streams_) Feed(&stream, true);
    for (QueueBook& queue : queues_) Collect(&queue, 1, 500'000);
    Reap();
    if (!settled && !AnyLeft()) {
      settled = true;
      --shared_->unsettled;
    }
  } while (shared_->unsettled != 0);
  for (QueueBook& queue : queues_) Collect(&queue, 0, 0);
  // Those of queues that were closed: nothing says when they can go.
  lookups_ = nullptr;
}

void Worker::Describe() const {
  for (const Op& op : *ops_) {
    if (op.task == Task::kFree) continue;
    if (op.checked && (op.told.load() != 0 || !op.queue_is_open())) continue;
    dprintf(STDERR_FILENO, "task %d of %d, %zu bytes: error %d, told %u, queue %s\n",
            static_cast<int>(op.task), op.control().aio_fildes, op.control().aio_nbytes,
            aio_error(&op.control()), op.told.load(), op.queue_is_open() ? "open" : "closed");
  }
  for (const ListBook& list : lists_) {
    if (list.in_use)
      dprintf(STDERR_FILENO, "a list of %u: told %u\n", list.begun, list.told.load());
  }
  for (const LookupBook* book = lookups_; book != nullptr; book = book->next) {
    dprintf(STDERR_FILENO, "a look-up of %d: told %u%s\n", book->count, book->told.load(),
            book->any_cancelled ? ", cancelled" : "");
  }
  for (const MessageBook& message : registrations_) {
    if (message.in_use) dprintf(STDERR_FILENO, "a message: sent %d\n", message.sent);
  }
}

}  // namespace kevent_test
