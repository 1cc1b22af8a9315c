// SPDX-License-Identifier: MIT
//
// A tree of files for examples/file_server.c, whose contents are known without reading them.
#ifndef KEVENT_TESTS_EXAMPLES_FILE_SERVER_TREE_H_
#define KEVENT_TESTS_EXAMPLES_FILE_SERVER_TREE_H_

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace file_load {

using Random = std::mt19937_64;

inline size_t Below(Random& random, size_t limit) { return random() % limit; }

inline void Require(bool condition, const std::string& what) {
  if (condition) return;
  throw std::runtime_error(what + " (errno: " + std::strerror(errno) + ")");
}

struct File {
  std::string path;  // from the root of the tree, with a slash
  std::string_view content;
};

// Each file is a slice of one block of random bytes.
class Tree {
 public:
  static constexpr size_t kFiles = 10000;
  static constexpr size_t kLargest = size_t{4} << 20;

  explicit Tree(Random& random) : block_(2 * kLargest, '\0') {
    for (size_t i = 0; i < block_.size(); i += sizeof(uint64_t)) {
      const uint64_t word = random();
      std::memcpy(block_.data() + i, &word, sizeof word);
    }
    std::string name = (Place() / "file_load.XXXXXX").string();
    Require(mkdtemp(name.data()) != nullptr, "a temporary directory");
    top_ = name;
    std::filesystem::create_directory(root());
    huge_ = {"/huge", std::string_view(block_)};
    Write(huge_);
    AddWhatIsNotServed();
    for (size_t i = 0; i < kFolders; i++)
      std::filesystem::create_directory(root().string() + Folder(i));
    for (size_t i = 0; i < kFiles; i++) Add(i, SizeOf(i, random), random);
  }
  ~Tree() {
    std::error_code ignored;
    std::filesystem::remove_all(top_, ignored);
  }
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;

  std::filesystem::path root() const { return top_ / "tree"; }
  const File& file(size_t number) const { return files_[number]; }
  // More than sockets keep for a client that does not read.
  const File& huge() const { return huge_; }

 private:
  // In memory, since 10 000 files are a while's work for a busy disk; with KEVENT_LONG on the disk,
  // which has the server read ahead.
  static std::filesystem::path Place() {
    std::filesystem::path memory = "/dev/shm";
    std::error_code not_there;
    const std::filesystem::space_info space = std::filesystem::space(memory, not_there);
    const bool has_room = !not_there && space.available >= size_t{512} << 20;
    if (has_room && std::getenv("KEVENT_LONG") == nullptr) return memory;
    return std::filesystem::temp_directory_path();
  }

  static constexpr size_t kFolders = 100;
  static std::string Folder(size_t number) { return "/" + std::to_string(number) + " a folder"; }

  // Most files are small; some are as large as a piece, and a byte more or less.
  static size_t SizeOf(size_t number, Random& random) {
    constexpr size_t kPiece = 256 * 1024;
    if (number == 0) return kLargest;
    if (number <= 3) return kPiece - 2 + number;
    if (number <= 10) return Below(random, kLargest);
    if (number <= 100) return Below(random, size_t{1} << 20);
    if (number <= 1000) return Below(random, size_t{64} << 10);
    return Below(random, size_t{8} << 10);
  }

  void Add(size_t number, size_t size, Random& random) {
    const std::string_view all = block_;
    files_.push_back({Folder(number % kFolders) + "/" + std::to_string(number),
                      all.substr(Below(random, all.size() - size + 1), size)});
    Write(files_.back());
  }

  // Pages of large files leave the cache, where the system can do that: the server reads them
  // ahead.
  void Write(const File& file) const {
    const std::string path = root().string() + file.path;
    const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    Require(fd != -1, path);
    for (std::string_view left = file.content; !left.empty();) {
      const ssize_t written = write(fd, left.data(), left.size());
      Require(written > 0, path);
      left.remove_prefix(static_cast<size_t>(written));
    }
    if (file.content.size() >= size_t{1} << 20) {
      Require(fdatasync(fd) == 0, path);
      posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    }
    close(fd);
  }

  void AddWhatIsNotServed() const {
    namespace fs = std::filesystem;
    fs::create_symlink("huge", root() / "link");
    fs::create_symlink("/etc/passwd", root() / "leads out");
    fs::create_symlink("no such file", root() / "dangling");
    fs::create_directory(top_ / "tree beside it");
    Write({"/../outside", "secret"});
    Write({"/../tree beside it/file", "secret"});
    Write({"/.hidden", "secret"});
    fs::create_symlink("../tree beside it/file", root() / "leads beside");
    Require(mkfifo((root() / "fifo").c_str(), 0644) == 0, "mkfifo");
  }

  std::string block_;
  std::filesystem::path top_;
  std::vector<File> files_;
  File huge_;
};

}  // namespace file_load

#endif  // KEVENT_TESTS_EXAMPLES_FILE_SERVER_TREE_H_
