// SPDX-License-Identifier: MIT
//
// What an observing adapter writes: a file, mapped and shared, in a folder that kevrun has made.
// kevrun reads it while the process runs and after it has ended, however it ended.

#ifndef KEVENT_ADAPTERS_OBSERVE_FILE_H_
#define KEVENT_ADAPTERS_OBSERVE_FILE_H_

#include <time.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace kevent::observe {

using Count = std::atomic<uint64_t>;
static_assert(Count::is_always_lock_free, "another process reads them");

// The environment variable that names the folder.
inline constexpr char kFolderVariable[] = "KEVENT_OBSERVE";

// A file in it that each observed process maps from its start on, and so has open for writing: as
// long as one does, F_SETLEASE with F_RDLCK fails with EAGAIN (fcntl(2)).  A mapping takes no
// descriptor, and the child of a fork inherits it.
inline constexpr char kInUse[] = "in-use";

// Behind the PREFIX of a process for whose file there was no room: an empty file.
inline constexpr char kWithout[] = "-without";

// Each file begins so.  Its name is PREFIX.PID.N, N counting from 0 the programs that the process
// has executed.
struct FileHeader {
  uint64_t magic;    // of the kind of file; the last member that is written, released
  uint32_t version;  // of the layout
  uint32_t pid;
  uint32_t parent;
  uint32_t number;      // N
  uint64_t size;        // of the file
  uint64_t started;     // when the process began, as proc(5) has it in /proc/PID/stat
  uint64_t began;       // the file: ns on CLOCK_MONOTONIC
  uint64_t began_real;  // the same on CLOCK_REALTIME
  Count ended;          // ns on CLOCK_MONOTONIC: exit handlers ran, or execve; 0: neither was seen
  char program[256];    // its path, cut if it is longer
};

// The time at which a process began, in clock ticks since the system did; 0: it is not there.
uint64_t StartOf(int pid);

#ifdef KEVENT_OBSERVING
// Maps a new file, all zeros but for its header, whose magic is still 0 (see Publish); nullptr
// where no folder is named or no file can be had.  Where one could not be had, or was discarded for
// want of memory, the process goes without, and no further call tries: its counts would be of a
// part of what it did.  Not async-signal-safe.  Leaves errno alone.
FileHeader* MapNewFile(const char* prefix, size_t size, uint32_t version);
void Publish(FileHeader* file, uint64_t magic);
// Instead of Publish: unmaps the file and removes it.
enum class Reason { kNoMemory, kAnotherIsThere };
void Discard(FileHeader* file, const char* prefix, Reason reason);

// For the start of a program: what this process did before execve ends now, as its timers have.
void EndEarlier(const char* prefix);

uint64_t NanosecondsOf(clockid_t clock);

// Has the system give memory for this part of a mapped file, without which a full file system would
// end the process by SIGBUS at the first access.  False if there is none.
bool HaveMemory(const void* begin, size_t size);

// Where the process has the file's address: memory that the kernel wipes in the child of a fork,
// however it was made, so that the child makes a file of its own.  Null only if there is no memory.
std::atomic<FileHeader*>* FilePlace();
#endif

}  // namespace kevent::observe

#endif  // KEVENT_ADAPTERS_OBSERVE_FILE_H_
