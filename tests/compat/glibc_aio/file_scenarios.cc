// SPDX-License-Identifier: MIT
//
// Regular files: operations on places.

#include <sys/mman.h>
#include <unistd.h>

#include <climits>
#include <cstdint>

#include "tests/compat/glibc_aio/stage.h"

namespace aio_conformance {
namespace {

void Reading(Stage& stage) {
  File file;
  std::array<char, 32> buffer = {};
  stage.See("whole", stage.Read(file.fd(), buffer.data(), 10));
  stage.See("its bytes", buffer.data());
  stage.See("from a place", stage.Read(file.fd(), buffer.data(), 3, 4));
  stage.See("its bytes", std::string(buffer.data(), 3));
  stage.See("across the end", stage.Read(file.fd(), buffer.data(), 20, 7));
  stage.See("at the end", stage.Read(file.fd(), buffer.data(), 20, 10));
  stage.See("behind the end", stage.Read(file.fd(), buffer.data(), 20, 1'000'000));
  stage.See("no bytes", stage.Read(file.fd(), buffer.data(), 0));
  stage.See("the file's offset stays", lseek(file.fd(), 0, SEEK_CUR));
  stage.See("offset negative", stage.Read(file.fd(), buffer.data(), 1, -5));
  stage.See("offset -1", stage.Read(file.fd(), buffer.data(), 1, -1));
  stage.See("offset at the limit", stage.Read(file.fd(), buffer.data(), 1, INT64_MAX));
  stage.See("too many bytes", stage.Read(file.fd(), buffer.data(), size_t{SSIZE_MAX} + 1));
  stage.See("bad address", stage.Read(file.fd(), reinterpret_cast<void*>(8), 4));
  stage.See("null", stage.Read(file.fd(), nullptr, 4));
  stage.See("null, no bytes", stage.Read(file.fd(), nullptr, 0));
}

void Writing(Stage& stage) {
  File file;
  stage.See("in the middle", stage.Write(file.fd(), "abc", 3, 2));
  stage.See("the file", file.Text());
  stage.See("behind the end", stage.Write(file.fd(), "x", 1, 12));
  stage.See("the file's size", lseek(file.fd(), 0, SEEK_END));
  stage.See("no bytes", stage.Write(file.fd(), "x", 0));
  stage.See("offset negative", stage.Write(file.fd(), "x", 1, -5));
  stage.See("bad address", stage.Write(file.fd(), reinterpret_cast<void*>(8), 4));
  const int to_read = file.Reopen(O_RDONLY);
  stage.See("open for reading", stage.Write(to_read, "x", 1));
  const int appends = file.Reopen(O_WRONLY | O_APPEND);
  stage.See("open for writing, read", stage.Read(appends, nullptr, 1));
  stage.See("appended, whatever the offset", stage.Write(appends, "END", 3, 0));
  stage.See("the file", file.Text().substr(10));
}

void Appending(Stage& stage) {
  constexpr int kWrites = 50;
  File file(O_APPEND, "");
  std::vector<aiocb> controls(kWrites);
  std::string expected;
  std::array<char, kWrites> bytes;
  for (size_t i = 0; i < kWrites; ++i) {
    bytes[i] = static_cast<char>('0' + i);
    expected += bytes[i];
    controls[i] = stage.Control(file.fd(), &bytes[i], 1);
    controls[i].aio_sigevent = stage.Request(&controls[i]);
    stage.See("call", Stage::Result(aio_write(&controls[i])));
  }
  aiocb sync = stage.Control(file.fd(), nullptr, 0);
  sync.aio_sigevent = stage.Request(&sync);
  stage.See("sync behind them", Stage::Result(aio_fsync(O_SYNC, &sync)));
  for (const aiocb& control : controls) stage.See("notified in order", stage.Notified(control));
  stage.See("the sync is last", stage.Notified(sync));
  stage.See("in order", file.Text() == expected);
}

void OtherFiles(Stage& stage) {
  char byte;
  const int directory = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  stage.See("directory", stage.Read(directory, &byte, 1));
  close(directory);
  stage.See("not open", stage.Read(-1, &byte, 1));
  stage.See("not open, write", stage.Write(12345, &byte, 1));
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  stage.See("/dev/null", stage.Read(null, &byte, 1));
  stage.See("/dev/null, write", stage.Write(null, "abc", 3));
  close(null);
  const int zero = open("/dev/zero", O_RDWR | O_CLOEXEC);
  stage.See("/dev/zero", stage.Read(zero, &byte, 1, 17));
  close(zero);
  const int full = open("/dev/full", O_RDWR | O_CLOEXEC);
  stage.See("/dev/full, write", stage.Write(full, "abc", 3));
  close(full);
  const int memory = memfd_create("aio", MFD_CLOEXEC);
  stage.See("memfd, write", stage.Write(memory, "abc", 3, 5));
  stage.See("memfd", stage.Read(memory, &byte, 1, 7));
  stage.See("its byte", byte);
  close(memory);
}

void Syncing(Stage& stage) {
  File file;
  aiocb control = stage.Control(file.fd(), nullptr, 0);
  stage.See("O_SYNC", stage.Run([](aiocb* c) { return aio_fsync(O_SYNC, c); }, &control));
  stage.See("O_DSYNC", stage.Run([](aiocb* c) { return aio_fsync(O_DSYNC, c); }, &control));
  stage.See("bad operation", stage.Run([](aiocb* c) { return aio_fsync(17, c); }, &control));
  control.aio_fildes = -1;
  stage.See("not open", stage.Run([](aiocb* c) { return aio_fsync(O_SYNC, c); }, &control));
  control.aio_fildes = file.Reopen(O_RDONLY);
  stage.See("open for reading", stage.Run([](aiocb* c) { return aio_fsync(O_SYNC, c); }, &control));
  Pipe pipe;
  control.aio_fildes = pipe.to();
  stage.See("pipe", stage.Run([](aiocb* c) { return aio_fsync(O_SYNC, c); }, &control));
}

void LargeFileNames(Stage& stage) {
  File file;
  char byte = '?';
  aiocb64 control = {};
  control.aio_fildes = file.fd();
  control.aio_buf = &byte;
  control.aio_nbytes = 1;
  control.aio_offset = 4;
  control.aio_sigevent = stage.Request(&control);
  stage.See("aio_read64", Stage::Result(aio_read64(&control)));
  stage.See("notified", stage.NotifiedOf(&control));
  stage.See("outcome", Name(aio_error64(&control)) + ", " + std::to_string(aio_return64(&control)));
  stage.See("its byte", byte);
  stage.See("aio_write64", Stage::Result(aio_write64(&control)));
  stage.See("notified", stage.NotifiedOf(&control));
  stage.See("aio_fsync64", Stage::Result(aio_fsync64(O_SYNC, &control)));
  stage.See("notified", stage.NotifiedOf(&control));
  const aiocb64* list[] = {&control};
  stage.See("aio_suspend64", Stage::Result(aio_suspend64(list, 1, nullptr)));
  stage.See("aio_cancel64", Stage::Result(aio_cancel64(file.fd(), &control)));
  aiocb64* entries[] = {&control};
  control.aio_lio_opcode = LIO_READ;
  stage.See("lio_listio64", Stage::Result(lio_listio64(LIO_WAIT, entries, 1, nullptr)));
  stage.See("notified", stage.NotifiedOf(&control));
}

// Asked for together, on one place: each finds what those before it have left.
void OnePlace(Stage& stage) {
  constexpr int kRounds = 100;
  constexpr size_t kBytes = 1 << 16;
  File file;
  int stale = 0;
  int overtaken = 0;
  int out_of_order = 0;
  for (int round = 0; round < kRounds; ++round) {
    const std::string first(kBytes, static_cast<char>('a' + round % 7));
    const std::string last(kBytes, static_cast<char>('A' + round % 7));
    std::string between(kBytes, '?');
    std::string after(kBytes, '?');
    std::array<aiocb, 4> controls = {
        stage.Control(file.fd(), first.data(), kBytes),
        stage.Control(file.fd(), between.data(), kBytes),
        stage.Control(file.fd(), last.data(), kBytes),
        stage.Control(file.fd(), after.data(), kBytes),
    };
    for (size_t i = 0; i < controls.size(); ++i) {
      controls[i].aio_sigevent = stage.Request(&controls[i]);
      if ((i % 2 == 0 ? aio_write : aio_read)(&controls[i]) != 0) stage.See("refused", 1);
    }
    for (const aiocb& control : controls) {
      if (!stage.Notified(control)) ++out_of_order;
    }
    if (between != first) ++stale;
    if (after != last) ++overtaken;
  }
  stage.See("reads of what was before", stale);
  stage.See("reads of the first write", overtaken);
  stage.See("out of order", out_of_order);
}

}  // namespace

const std::vector<Named> kFileScenarios = {
    {"reading", Reading},        {"writing", Writing}, {"appending", Appending},
    {"other files", OtherFiles}, {"syncing", Syncing}, {"64-bit names", LargeFileNames},
    {"one place", OnePlace},
};

}  // namespace aio_conformance
