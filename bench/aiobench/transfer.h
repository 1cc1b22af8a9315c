// SPDX-License-Identifier: MIT
//
// A file of numbered blocks, and operations on it in which no byte goes astray unseen.

#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "bench/side_by_side.h"

namespace aiobench {

using kevent::bench::Must;

inline constexpr size_t kBlock = 4096;
inline constexpr size_t kBlocks = 16384;

// O_DIRECT wants it aligned.
struct alignas(kBlock) Buffer {
  std::array<uint64_t, kBlock / sizeof(uint64_t)> words;
  void Stamp(uint64_t stamp) { words.front() = words.back() = stamp; }
  bool Has(uint64_t stamp) const { return words.front() == stamp && words.back() == stamp; }
};

// Each block has at both ends the stamp of who wrote it last: at first its number.
class File {
 public:
  explicit File(int flags) : stamps(kBlocks) {
    const char* directory = std::getenv("TMPDIR");
    name_ = std::string(directory == nullptr ? "/var/tmp" : directory) + "/aiobench.XXXXXX";
    const int made = mkostemp(name_.data(), O_CLOEXEC);
    Must(made >= 0, name_.c_str());
    const auto block = std::make_unique<Buffer>();
    for (size_t number = 0; number < kBlocks; ++number) {
      block->Stamp(stamps[number] = number);
      Must(write(made, block.get(), kBlock) == kBlock, "write");
    }
    Must(fsync(made) == 0, "fsync");
    fd_ = open(name_.c_str(), O_RDWR | O_CLOEXEC | flags);
    unlink(name_.c_str());
    close(made);
  }
  ~File() { close(fd_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  int fd() const { return fd_; }
  // Compares this block with what was written to it last.
  void Check(size_t number) const {
    const auto block = std::make_unique<Buffer>();
    Must(pread(fd_, block.get(), kBlock, static_cast<off_t>(number * kBlock)) == kBlock, "pread");
    Must(block->Has(stamps[number]), "a write is not in its place");
  }

  std::vector<uint64_t> stamps;

 private:
  std::string name_;
  int fd_;
};

enum class Operation { kRead, kWrite };

struct Job {
  File* file;
  Operation operation;
  size_t depth;  // in flight
  size_t count;
};

// The blocks of a job, one for each of its slots at a time, at random; no two operations in flight
// are on the same block.
class Transfer {
 public:
  explicit Transfer(const Job& of) : job(of), buffers(new Buffer[of.depth]), numbers(of.depth) {
    for (size_t i = 0; i < kBlocks; ++i) order_[i] = i;
    std::shuffle(order_.begin(), order_.end(), std::minstd_rand(seed_++));
  }

  int fd() const { return job.file->fd(); }

  // The place of the slot's next operation, and its buffer as that wants it.
  off_t Place(size_t slot) {
    numbers[slot] = order_[next_++ % kBlocks];
    if (job.operation == Operation::kWrite) {
      buffers[slot].Stamp(job.file->stamps[numbers[slot]] = ++stamp_);
    } else {
      buffers[slot].Stamp(~uint64_t{0});
    }
    return static_cast<off_t>(numbers[slot] * kBlock);
  }
  void Check(size_t slot, int64_t result) {
    Must(result == static_cast<int64_t>(kBlock), "an operation is short");
    Must(buffers[slot].Has(job.file->stamps[numbers[slot]]), "a read has moved other bytes");
    ++done_;
  }
  // After the last, and outside of what is measured.
  void CheckAll() const {
    Must(done_ == job.count && next_ == job.count, "an operation is lost");
    if (job.operation == Operation::kRead) return;
    for (size_t i = 0; i < std::min(next_, kBlocks); ++i) job.file->Check(order_[i]);
  }

  const Job job;
  const std::unique_ptr<Buffer[]> buffers;
  std::vector<size_t> numbers;

 private:
  static inline uint32_t seed_ = 1;
  static inline uint64_t stamp_ = uint64_t{1} << 32;  // of no block's number

  std::vector<size_t> order_ = std::vector<size_t>(kBlocks);
  size_t next_ = 0;
  size_t done_ = 0;
};

}  // namespace aiobench
