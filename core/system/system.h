// SPDX-License-Identifier: MIT
//
// The seam between the engine and the system: every call that core/ makes to
// the kernel or to the thread library is declared here and nowhere else.
// linux*.cc implement it; unit tests link simulated_system.cc instead,
// so that the same engine runs on simulated time.
//
// Conventions: nothing throws, nothing touches errno, failure is a negative
// errno value.  Unless its comment says otherwise a function is
// async-signal-safe and no cancellation point.  Moments are nanoseconds on the
// named clock.

#ifndef KEVENT_CORE_SYSTEM_SYSTEM_H_
#define KEVENT_CORE_SYSTEM_SYSTEM_H_

#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <time.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace kevent::sys {

// ---- Time ------------------------------------------------------------------

// Reads a clock.  Never fails for the clocks that a timerfd knows and for
// CLOCK_TAI; a CPU-time clock fails with EINVAL when its thread has gone.
int Now(clockid_t clock, uint64_t* nanoseconds);
// CLOCK_MONOTONIC, which every relative setting waits for.
uint64_t MonotonicNow();

// Whether the kernel would make a POSIX timer on this clock: 0 or the error of
// its timer_create.
int ProbeTimerClock(clockid_t clock);

// The clock of the calling thread's CPU time, nameable from any thread.
clockid_t ThreadCpuClock();

// ---- Memory ----------------------------------------------------------------

enum class OnFork { kKeep, kWipe };

// Zeroed pages in *pages: 0 or -ENOMEM.  kWipe: a child of fork finds them zeroed
// (MADV_WIPEONFORK), at a cost that does not grow with their number; -ENOSYS where the
// kernel cannot do so, before Linux 4.14, or the error of a sandbox that forbids it.
int MapPages(size_t bytes, OnFork on_fork, void** pages);

template <typename Contents>
int MapPages(size_t bytes, OnFork on_fork, Contents** contents) {
  void* pages = nullptr;
  const int error = MapPages(bytes, on_fork, &pages);
  *contents = static_cast<Contents*>(pages);
  return error;
}

void UnmapPages(void* pages, size_t bytes);

// Asks for 2 MiB pages where they fit: fewer misses of the translation buffer
// when a timer is picked at random out of very many.
void PreferHugePages(void* pages, size_t bytes);

// ---- Descriptors -----------------------------------------------------------

// All are made close-on-exec.
int CreateEpoll();
int CreateAlwaysReady();  // an eventfd that is readable for ever
int CreatePipe(int* writer);
// How many of the bytes it takes, or a negative errno.
int Write(int fd, const char* text, size_t bytes);
int CreateTimerfd(clockid_t clock);

// The lowest number that is out of the way of the program's own.
int LowestInternal();

// Marks the file that a descriptor is of as one of the engine's own.
int Mark(int fd);  // fails where the mark could not be read, too
int MarkOf(int fd);
bool IsMarked(int fd);

// Locks a file for the calling thread's table of descriptors (F_SETLK), whose locks
// go when it closes one of the file: 0 or a negative errno.
int LockTable(int fd);
// InTableOf: no other table has it locked.  IsLocked: some table has.
bool InTableOf(int fd);
bool IsLocked(int fd);

// `token` is what EpollTake says of the member.
int EpollAdd(int epoll, int fd, uint32_t events, uint64_t token = 0);
int EpollModify(int epoll, int fd, uint32_t events, uint64_t token = 0);
int EpollDelete(int epoll, int fd);

// The members that are ready, `max` at most, without sleeping.
int EpollTake(int epoll, epoll_event* events, unsigned max);
// True where that may find nothing of what is ready while another thread polls the epoll.
bool EpollTakeMayMiss();

// Arms at an absolute moment; 0 disarms.  With `until_clock_set` a timerfd on
// CLOCK_REALTIME also becomes readable when that clock is set.  Returns
// -ECANCELED, armed all the same, when it was set since the last call.
int ArmTimerfd(int timerfd, uint64_t moment, bool until_clock_set);

int Close(int fd);
int CloseRange(unsigned first, unsigned last, int flags);
int Unshare(int flags);
int Duplicate(int fd);
int DuplicateFrom(int fd, int lowest, bool close_on_exec);
int DuplicateTo(int fd, int target, int flags);  // dup3
int DescriptorFlags(int fd);                     // F_GETFD
int DescriptorLimit();                           // RLIMIT_NOFILE: numbers are below
int StatusFlags(int fd);                         // F_GETFL
int SetStatusFlags(int fd, int flags);           // F_SETFL
int Fcntl(int fd, int command, void* argument);

// ---- Sources of kevents ----------------------------------------------------

// What poll says of a descriptor now, or a negative errno.
int PollNow(int fd, short events);

int FileMode(int fd);  // st_mode

// True if a program's array can be written to, which leaves it as it is; not
// async-signal-safe.
bool IsWritable(void* address, size_t bytes);

// Readable when the signal is pending.  TakeSignals takes what is: how many and
// the process that sent the last; -EAGAIN when there is none.
int CreateSignalfd(int signal);
int SetSignalfd(int signalfd, uint64_t signals);  // from then on for these, a SignalSet
int TakeSignals(int signalfd, uint32_t* count, uint32_t* sender);

// Readable when the process has ended.  ExitStatus, after that, leaves it for wait(2): 0
// and its status, -ECHILD if it is no child or was reaped, -EAGAIN if a process that
// traces it has not let go of it.
int CreatePidfd(int process);
int ExitStatus(int pidfd, int process, int* status);

// Readable when something has happened to what is watched.  InotifyAdd watches
// what a descriptor is of, adding to what it watches that for: a watch.
int CreateInotify();
int InotifyAdd(int inotify, int fd, uint32_t mask);
void InotifyRemove(int inotify, int watch);
int ReadInotify(int inotify, void* buffer, size_t bytes);

// ---- Asynchronous I/O ------------------------------------------------------

struct Transfer {
  enum class Kind : uint8_t { kNothing, kRead, kWrite, kSync, kSyncData };
  Kind kind;
  int fd;
  void* buffer;
  size_t bytes;    // for the io_uring kMostBytes at most
  int64_t offset;  // kStream: where the file is, or it has no places
  static constexpr int64_t kStream = -1;
  static constexpr size_t kMostBytes = 0x7ffff000;  // that read(2) and write(2) move in one call
  static constexpr size_t kMostAtOnce = 1 << 20;    // to be copied while others wait
};

// Does it, blocking.  What was moved or a negative errno; without a place to
// read from or write to (ESPIPE), as read(2) and write(2).
int64_t Perform(const Transfer& transfer);

// The same in the caller's thread, for what does not block: the transfer has no
// signal for it (SIGPIPE), and is no job control's (SIGTTIN, SIGTTOU).
int64_t PerformWithoutSignals(const Transfer& transfer);

// A read as far as it does not block: what is in the page cache.  -EAGAIN where
// nothing is, -EOPNOTSUPP where the file system cannot tell.
int64_t ReadAtOnce(const Transfer& transfer);

// Properties of a file that decide how a transfer is done that is not done at once.
struct Nature {
  // Bytes in order, without places: an offset has no meaning.
  bool is_stream;
  // An io_uring ends the transfer when a blocking call would.  It waits until a file is
  // ready before it has tried, where the file cannot be tried: that is for ever where
  // the call has an answer at once (nothing to be read from such a file at all, or not
  // by so few bytes).  Nor does it know of a call that ends after a time.
  bool is_for_ring;
};
Nature NatureOf(const Transfer& transfer, bool nonblock);

// True if a read of nothing at this place is not the end of the file: a file of a disk
// is longer.
bool EndsBefore(const Transfer& read);

// Loads what OpenRing needs, once: 0; -ENOSYS where it is not to be had; or -EAGAIN
// when there was no descriptor or memory for it, which another call may have.  Not with
// a lock held: the loader has one of its own, under which it runs constructors of the
// program's, which may call us.
int LoadRing();

// An io_uring, one of each for the process: its descriptor, or a negative errno.
// -ENOSYS without the library for it or where the kernel or a sandbox has none.
// Not async-signal-safe.
enum class Ring : uint8_t { kOperations, kReads };
int OpenRing(Ring ring);
// Its descriptor was moved.
void RingMoved(Ring ring, int fd);

// What ReadAtOnce does, many in one call by the ring for that: 0, or a negative
// errno and nothing done.  They must be of files that have places, else the kernel
// reads a stream.  Not together with another ReadTogether.
inline constexpr unsigned kReadsTogether = 64;
int ReadTogether(const Transfer* reads, unsigned count, int64_t* results);

// The rest is the other one's.
// Adds an operation to those that the next RingSubmit hands to the kernel; false
// when there is no room.
inline constexpr unsigned kRingEntries = 256;
bool RingAdd(const Transfer& transfer, uint64_t token);
// 0; -EAGAIN when the kernel will take the rest another time; or another negative
// errno: its descriptor was closed by a call that we don't see.
int RingSubmit();
// Takes those out again that were added and that the kernel has not taken: how
// many, and their tokens.
unsigned RingTakeOut(uint64_t (&tokens)[kRingEntries]);
// What has completed, `max` at most; sleeps until something has if it is to, or for a
// while: then -ETIMEDOUT says that nothing has.  Another negative errno as above.  Not
// together with another RingTake.
enum class Sleep : uint8_t { kNot, kForAWhile, kUntilSomething };
struct RingResult {
  uint64_t token;
  int64_t result;
};
int RingTake(RingResult* results, unsigned max, Sleep sleep);

// What the C library's aio does at the end of an operation: queues a signal
// (SI_ASYNCIO) to the process, or runs the function in a new thread.  Not
// async-signal-safe.
void Notify(const sigevent& notification);

// ---- Look-ups of names -------------------------------

// Sleeps until it is not in progress, or was cancelled.
void AwaitLookup(gaicb* request);

// ---- Message queues --------------------------------------------------------

// A socket that the kernel announces the next message of a queue on, and the
// registration of it: 0 or mq_notify's error.
int CreateAnnouncer();
int AnnounceMessage(int message_queue, int announcer);
// Whether it has come (1), the registration has ended without (0), or neither
// yet (-EAGAIN).
int Announcement(int announcer);

// ---- Sleeping --------------------------------------------------------------

// ppoll(2).  A cancellation point.  Not restarted after a signal handler.
int Poll(pollfd* descriptors, unsigned count, const timespec* timeout, const sigset_t* mask);

// Whether reading from it would not block.
bool IsReadable(int fd);

// Sleeps while *word == expected, until `deadline` on CLOCK_MONOTONIC; nullptr
// is for ever.  0 when woken or when the word differs, -ETIMEDOUT, -EINTR.  Not
// restarted after a signal handler, whatever its SA_RESTART.
int FutexWait(const std::atomic<uint32_t>* word, uint32_t expected, const timespec* deadline);
// The same, and a cancellation point: for the calls whose manual says that they are one,
// and that own nothing while they wait.
int FutexWaitCancellably(const std::atomic<uint32_t>* word, uint32_t expected,
                         const timespec* deadline);
// That without a deadline, but restarted by the kernel after a handler with SA_RESTART.
int FutexWaitCancellablyRestarted(const std::atomic<uint32_t>* word, uint32_t expected);
void FutexWake(const std::atomic<uint32_t>* word);
void FutexWakeAll(const std::atomic<uint32_t>* word);

// What the C library knows of the calling thread's; 0 without real-time scheduling.
// Not async-signal-safe.
int ThreadPriority();

// Gives way to other threads, also to those of lower priority.
void Pause();

// ---- Signals ---------------------------------------------------------------

// The kernel's signal set: unlike sigset_t it names the two signals that the C
// library keeps for itself.
using SignalSet = uint64_t;
SignalSet BlockAllSignals();
// Of those that the thread that calls has blocked: pending for it, or for the process.
SignalSet PendingSignals();
// Lets those be handled now that are pending and not in *mask: -EINTR when a handler
// ran.  No cancellation point.
int LetSignalsThrough(const sigset_t* mask);
void RestoreSignals(SignalSet set);

// ---- Processes and threads -------------------------------------------------

int ProcessId();
bool ProcessExists(int id);

// Registers a handler that fork runs in the child.  Not async-signal-safe.
int AtForkInChild(void (*handler)());

// ---- CPU-time alarms: the clocks that no timerfd serves -------------------

// Starts a detached thread that runs `body(argument)`, with all signals blocked that
// a program can send or catch, on the CPUs that the process was given when the library
// was loaded, and of the usual scheduling policy; returns its kernel thread id.  `name`
// is that of the thread, of 15 characters at most.  Not async-signal-safe.
int StartThread(void (*body)(void*), void* argument, const char* name);

int ThreadId();  // the kernel's, of the calling thread

// A kernel timer whose expirations are delivered to the thread `tid` alone, by
// the signal number that the C library reserves, with `value`.
int CreateAlarm(clockid_t clock, int tid, int value, int* alarm);
int ArmAlarm(int alarm, uint64_t moment);
void DeleteAlarm(int alarm);

// Called by that thread: sleeps for the next expiration and gives its value, or -EAGAIN
// when the timeout, if any, has passed.
int WaitForAlarm(int* value, const timespec* timeout);

}  // namespace kevent::sys

#endif  // KEVENT_CORE_SYSTEM_SYSTEM_H_
