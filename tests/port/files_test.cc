// SPDX-License-Identifier: MIT
//
// PORT_SOURCE_FILE: port_associate(3C) of illumos, and libuv.

#include <dirent.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>

#include "tests/port/ports.h"
#include "tests/support/process.h"
#include "tests/support/threads.h"

namespace port_test {
namespace {

using testing::ElementsAre;

constexpr int kAll = FILE_ACCESS | FILE_MODIFIED | FILE_ATTRIB | FILE_TRUNC;

class Files : public testing::Test {
 protected:
  Files() {
    std::string pattern = testing::TempDir() + "/port.XXXXXX";
    directory_ = mkdtemp(pattern.data());
    Write("file", "hello");
  }
  ~Files() override { std::filesystem::remove_all(directory_); }

  std::string Path(const std::string& name) const { return directory_ + "/" + name; }
  void Write(const std::string& name, const std::string& text, int flags = 0) const {
    const Descriptor file(open(Path(name).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0600));
    ASSERT_EQ(write(file.fd(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }

  // An object whose times are those of now.
  struct Object : file_obj_t {
    explicit Object(std::string path, bool with_times = true)
        : file_obj_t{}, path_(std::move(path)) {
      fo_name = path_.data();
      if (with_times) Refresh();
    }
    void Refresh() {
      struct stat status;
      ASSERT_EQ(lstat(fo_name, &status), 0);
      fo_atime = status.st_atim;
      fo_mtime = status.st_mtim;
      fo_ctime = status.st_ctim;
    }
    uintptr_t address() const {
      return reinterpret_cast<uintptr_t>(static_cast<const file_obj_t*>(this));
    }

   private:
    std::string path_;
  };

  int Watch(const Object& object, int events, uintptr_t user = 0) const {
    return Error([&] {
      return port_associate(port_.fd(), PORT_SOURCE_FILE, object.address(), events, Cookie(user));
    });
  }
  int Unwatch(const Object& object) const {
    return Error([&] { return port_dissociate(port_.fd(), PORT_SOURCE_FILE, object.address()); });
  }
  // The events of the object's only event; 0 if there is none.
  int Events(const Object& object, uintptr_t user = 0) const {
    const Got got = GetN(port_.fd(), 1, 4, 0);
    if (got.nget == 0) return 0;
    EXPECT_EQ(got.nget, 1u);
    EXPECT_THAT(got.events[0],
                IsEvent(PORT_SOURCE_FILE, object.address(), got.events[0].portev_events, user));
    return got.events[0].portev_events;
  }

  const Port port_;
  std::string directory_;
};

TEST_F(Files, ReportAWrite) {
  const Object object(Path("file"));
  EXPECT_EQ(Watch(object, FILE_MODIFIED, 5), 0);
  EXPECT_EQ(Events(object, 5), 0);
  Write("file", "other");
  EXPECT_EQ(Events(object, 5), FILE_MODIFIED);
}

TEST_F(Files, ReportWhatIsAskedForOnly) {
  const Object object(Path("file"));
  EXPECT_EQ(Watch(object, FILE_ACCESS), 0);
  Write("file", "other");
  EXPECT_EQ(Events(object), 0);
  const Descriptor file(open(object.fo_name, O_RDONLY | O_CLOEXEC));
  char byte;
  EXPECT_EQ(read(file.fd(), &byte, 1), 1);
  EXPECT_EQ(Events(object), FILE_ACCESS);
}

TEST_F(Files, ReportAttributes) {
  const Object object(Path("file"));
  EXPECT_EQ(Watch(object, kAll), 0);
  EXPECT_EQ(chmod(object.fo_name, 0644), 0);
  EXPECT_EQ(Events(object), FILE_ATTRIB);
}

TEST_F(Files, ReportTruncation) {
  const Object object(Path("file"));
  EXPECT_EQ(Watch(object, FILE_MODIFIED | FILE_TRUNC), 0);
  EXPECT_EQ(truncate(object.fo_name, 2), 0);
  EXPECT_EQ(Events(object), FILE_MODIFIED | FILE_TRUNC);
}

TEST_F(Files, AreNoLongerAssociatedWhenTheirEventWasRetrieved) {
  Object object(Path("file"));
  EXPECT_EQ(Watch(object, FILE_MODIFIED), 0);
  Write("file", "other");
  EXPECT_EQ(Events(object), FILE_MODIFIED);
  Write("file", "again");
  EXPECT_EQ(Events(object), 0);
  EXPECT_EQ(Unwatch(object), ENOENT);
  object.Refresh();
  EXPECT_EQ(Watch(object, FILE_MODIFIED, 6), 0);
  EXPECT_EQ(Events(object, 6), 0);
  Write("file", "third");
  EXPECT_EQ(Events(object, 6), FILE_MODIFIED);
}

TEST_F(Files, ReportAtOnceThatTimesDiffer) {
  Object object(Path("file"));
  object.fo_mtime.tv_sec -= 1;
  EXPECT_EQ(Watch(object, kAll), 0);
  EXPECT_EQ(Events(object), FILE_MODIFIED);
  object.Refresh();
  object.fo_ctime.tv_nsec ^= 1;
  EXPECT_EQ(Watch(object, kAll), 0);
  EXPECT_EQ(Events(object), FILE_ATTRIB);
  object.Refresh();
  object.fo_atime.tv_sec -= 1;
  EXPECT_EQ(Watch(object, FILE_MODIFIED), 0);
  EXPECT_EQ(Events(object), 0);
}

// libuv leaves the times 0.
TEST_F(Files, WithoutTimesReportWhatComes) {
  const Object object(Path("file"), false);
  EXPECT_EQ(Watch(object, kAll), 0);
  EXPECT_EQ(Events(object), 0);
  Write("file", "other");
  EXPECT_EQ(Events(object), FILE_MODIFIED | FILE_ATTRIB);
}

TEST_F(Files, HaveEventsAndUserReplaced) {
  const Object object(Path("file"));
  EXPECT_EQ(Watch(object, FILE_MODIFIED, 1), 0);
  EXPECT_EQ(Watch(object, FILE_ATTRIB, 2), 0);
  Write("file", "other");
  EXPECT_EQ(Events(object, 2), FILE_ATTRIB);
}

TEST_F(Files, HaveASentEventReplaced) {
  Object object(Path("file"));
  EXPECT_EQ(Watch(object, FILE_MODIFIED, 1), 0);
  Write("file", "other");
  object.Refresh();
  EXPECT_EQ(Watch(object, FILE_MODIFIED, 2), 0);
  EXPECT_EQ(Events(object), 0);
  EXPECT_EQ(Unwatch(object), 0);
}

TEST_F(Files, ReportDeletionUnasked) {
  const Object object(Path("file"));
  EXPECT_EQ(Watch(object, FILE_MODIFIED), 0);
  EXPECT_EQ(unlink(object.fo_name), 0);
  EXPECT_EQ(Events(object), FILE_DELETE);
}

TEST_F(Files, ThatAreOpenReportDeletion) {
  const Object object(Path("file"));
  const Descriptor file(open(object.fo_name, O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(Watch(object, FILE_MODIFIED), 0);
  EXPECT_EQ(unlink(object.fo_name), 0);
  EXPECT_EQ(Events(object), FILE_DELETE);
}

// So a stat of the name finds it where it comes between the kernel's word of the lost link and the
// end of the name: there, and without a link.
TEST_F(Files, ThatHaveLostTheirLastLinkReportDeletion) {
  const Descriptor file(open(Path("file").c_str(), O_RDONLY | O_CLOEXEC));
  const Object object("/proc/self/fd/" + std::to_string(file.fd()), false);
  EXPECT_EQ(Watch(object, kAll), 0);
  EXPECT_EQ(unlink(Path("file").c_str()), 0);
  struct stat status;
  ASSERT_EQ(stat(object.fo_name, &status), 0);
  ASSERT_EQ(status.st_nlink, 0u);
  EXPECT_EQ(Events(object), FILE_DELETE);
}

TEST_F(Files, ReportRenamingUnasked) {
  const Object object(Path("file"));
  EXPECT_EQ(Watch(object, FILE_MODIFIED), 0);
  EXPECT_EQ(rename(object.fo_name, Path("other").c_str()), 0);
  EXPECT_EQ(Events(object), FILE_RENAME_FROM);
}

TEST_F(Files, ReportThatAnotherHasTheirName) {
  const Object object(Path("file"));
  Write("other", "x");
  EXPECT_EQ(Watch(object, FILE_MODIFIED), 0);
  EXPECT_EQ(rename(Path("other").c_str(), object.fo_name), 0);
  EXPECT_EQ(Events(object), FILE_RENAME_TO);
}

TEST_F(Files, OfADirectoryReportItsEntries) {
  Object object(directory_);
  EXPECT_EQ(Watch(object, FILE_MODIFIED), 0);
  Write("file", "other");  // changes the file, not the directory
  EXPECT_EQ(Events(object), 0);
  Write("new", "x");
  EXPECT_EQ(Events(object), FILE_MODIFIED);
  object.Refresh();
  EXPECT_EQ(Watch(object, FILE_MODIFIED), 0);
  EXPECT_EQ(unlink(Path("new").c_str()), 0);
  EXPECT_EQ(Events(object), FILE_MODIFIED);
}

TEST_F(Files, MayBeSymbolicLinks) {
  ASSERT_EQ(symlink("file", Path("link").c_str()), 0);
  Object followed(Path("link"), false);
  Object itself(Path("link"));
  EXPECT_EQ(Watch(followed, FILE_MODIFIED, 1), 0);
  EXPECT_EQ(Watch(itself, FILE_MODIFIED | FILE_NOFOLLOW, 2), 0);
  Write("file", "other");
  EXPECT_EQ(Events(followed, 1), FILE_MODIFIED);
  EXPECT_EQ(unlink(itself.fo_name), 0);
  EXPECT_EQ(Events(itself, 2), FILE_DELETE);
}

TEST_F(Files, OfTwoObjectsHaveTwoEvents) {
  const Object one(Path("file"));
  const Object other(Path("file"));
  EXPECT_EQ(Watch(one, FILE_MODIFIED, 1), 0);
  EXPECT_EQ(Watch(other, FILE_ATTRIB, 2), 0);
  EXPECT_EQ(Unwatch(one), 0);
  EXPECT_EQ(Watch(one, FILE_MODIFIED, 1), 0);
  Write("file", "other");
  const Got got = GetN(port_.fd(), 2, 4, std::nullopt);
  EXPECT_THAT(got.events, testing::UnorderedElementsAre(
                              IsEvent(PORT_SOURCE_FILE, one.address(), FILE_MODIFIED, 1),
                              IsEvent(PORT_SOURCE_FILE, other.address(), FILE_ATTRIB, 2)));
}

TEST_F(Files, AreDissociated) {
  const Object object(Path("file"));
  EXPECT_EQ(Unwatch(object), ENOENT);
  EXPECT_EQ(Watch(object, FILE_MODIFIED), 0);
  Write("file", "other");
  EXPECT_EQ(Unwatch(object), 0);
  EXPECT_EQ(Events(object), 0);
  Object changed(Path("file"));
  changed.fo_mtime.tv_sec -= 1;
  EXPECT_EQ(Watch(changed, FILE_MODIFIED), 0);
  EXPECT_EQ(Unwatch(changed), 0);
  EXPECT_EQ(Events(changed), 0);
}

TEST_F(Files, KeepTheirRelativeName) {
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(directory_);
  const Object object("file");
  EXPECT_EQ(Watch(object, FILE_MODIFIED), 0);
  std::filesystem::current_path(before);
  Write("file", "other");
  EXPECT_EQ(Events(object), FILE_MODIFIED);
}

TEST_F(Files, MakeThePortReadableAndAreCounted) {
  const Object object(Path("file"));
  EXPECT_EQ(Watch(object, FILE_MODIFIED, 3), 0);
  Write("file", "other");
  pollfd descriptor = {port_.fd(), POLLIN, 0};
  EXPECT_EQ(poll(&descriptor, 1, -1), 1);
  unsigned count = 0;
  EXPECT_EQ(Error([&] { return port_getn(port_.fd(), nullptr, 0, &count, nullptr); }), 0);
  EXPECT_EQ(count, 1u);
  EXPECT_EQ(Events(object, 3), FILE_MODIFIED);
  EXPECT_EQ(poll(&descriptor, 1, 0), 0);
}

// A call that does not wait is no cancellation point, also if it reads files.
TEST_F(Files, AreNotLostToACancelledThread) {
  const Object object(Path("file"));
  ASSERT_EQ(Watch(object, FILE_MODIFIED, 3), 0);
  Write("file", "other");
  std::vector<uintptr_t> users;
  Thread thread([&] {
    pthread_cancel(pthread_self());
    users = Users(GetReady(port_));
    pthread_testcancel();
  });
  EXPECT_TRUE(thread.Join());
  EXPECT_EQ(users, std::vector<uintptr_t>{3});
  EXPECT_EQ(Watch(object, FILE_MODIFIED), 0);
}

TEST_F(Files, AreTakenByACallThatWantsNone) {
  const Object object(Path("file"));
  EXPECT_EQ(Watch(object, FILE_MODIFIED, 3), 0);
  Write("file", "other");
  EXPECT_EQ(Users(GetReady(port_)), std::vector<uintptr_t>{3});
}

TEST_F(Files, AreTheParentsAfterFork) {
  const Object object(Path("file"));
  EXPECT_EQ(Watch(object, FILE_MODIFIED), 0);
  ExpectChild([&] {
    Write("file", "other");
    CHILD_CHECK(GetN(port_.fd(), 1, 1, 0).error == ETIME);
    CHILD_CHECK(Unwatch(object) == ENOENT);
    CHILD_CHECK(Watch(object, FILE_ATTRIB) == 0);
    CHILD_CHECK(GetN(port_.fd(), 1, 1, 0).nget == 1);
  });
  EXPECT_EQ(Events(object), FILE_MODIFIED);
}

TEST_F(Files, LeaveNoDescriptorBehind) {
  const std::set<int> before = OpenDescriptors();
  for (int i = 0; i < 3; ++i) {
    const Port port;
    const Object object(Path("file"));
    EXPECT_EQ(Error([&] {
                return port_associate(port.fd(), PORT_SOURCE_FILE, object.address(), FILE_MODIFIED,
                                      nullptr);
              }),
              0);
  }
  // The inotify instance of a closed port goes with the next call that makes one.
  { const Port port; }
  EXPECT_EQ(OpenDescriptors(), before);
}

// The numbers that a port had for itself are other files' then.
TEST_F(Files, OfAPortThatWasClosedUnseenLeaveStrangersAlone) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const int port = port_create();
    file_obj_t object = {};
    std::string name = Path("file");
    object.fo_name = name.data();
    bool is_right = port_associate(port, PORT_SOURCE_FILE, reinterpret_cast<uintptr_t>(&object),
                                   FILE_MODIFIED, nullptr) == 0;
    closefrom(3);
    int strangers[64];
    for (int& fd : strangers) fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    for (int i = 0; i < 4; ++i) is_right &= port_send(port_create(), 1, nullptr) == 0;
    struct stat status;
    for (const int fd : strangers) is_right &= fstat(fd, &status) == 0 && S_ISCHR(status.st_mode);
    _exit(is_right ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

// An association that is made then has the port watch all of its files again.
TEST_F(Files, AreWatchedAgainWhenTheProgramHasClosedWhatWatchesThem) {
  const Object object(Path("file"));
  const Pipe pipe;
  pipe.Write('y');
  const std::set<int> before = OpenDescriptors();
  EXPECT_EQ(Watch(object, FILE_MODIFIED, 1), 0);
  std::set<int> now = OpenDescriptors();
  for (const int fd : before) now.erase(fd);
  ASSERT_EQ(now.size(), 1u);
  const int number = *now.begin();
  ASSERT_EQ(close(number), 0);
  const Descriptor stranger(fcntl(pipe.out.fd(), F_DUPFD_CLOEXEC, number));
  ASSERT_EQ(stranger.fd(), number);
  Write("file", "other");
  EXPECT_EQ(Events(object, 1), 0);
  Write("second", "x");
  const Object second(Path("second"));
  EXPECT_EQ(Watch(second, FILE_MODIFIED, 2), 0);
  EXPECT_EQ(Events(object, 1), FILE_MODIFIED);
  Write("second", "y");
  EXPECT_EQ(Events(second, 2), FILE_MODIFIED);
  EXPECT_EQ(pipe.Read(), 'y');
}

TEST_F(Files, Errors) {
  const Object object(Path("file"));
  EXPECT_EQ(Watch(object, FILE_DELETE), EINVAL);
  EXPECT_EQ(Watch(object, 0x8), EINVAL);
  EXPECT_EQ(Watch(Object(Path("none"), false), FILE_MODIFIED), ENOENT);
  EXPECT_EQ(Watch(Object(Path("file/none"), false), FILE_MODIFIED), ENOTDIR);
  EXPECT_EQ(Watch(Object("", false), FILE_MODIFIED), ENOENT);
  EXPECT_EQ(Watch(Object(std::string(5000, 'x'), false), FILE_MODIFIED), ENAMETOOLONG);
  file_obj_t nameless = {};
  for (const file_obj_t* pointer : {&nameless, static_cast<file_obj_t*>(nullptr)}) {
    EXPECT_EQ(Error([&] {
                return port_associate(port_.fd(), PORT_SOURCE_FILE,
                                      reinterpret_cast<uintptr_t>(pointer), FILE_MODIFIED, nullptr);
              }),
              EFAULT);
  }
  EXPECT_EQ(Error([&] {
              return port_associate(-1, PORT_SOURCE_FILE, object.address(), FILE_MODIFIED, nullptr);
            }),
            EBADF);
  EXPECT_EQ(Unwatch(object), ENOENT);
}

}  // namespace
}  // namespace port_test
