// SPDX-License-Identifier: MIT
//
// The seam between the engine and the system: every call that core/ makes to
// the kernel is declared here and nowhere else.  linux*.cc implement it; unit
// tests link simulated_system.cc instead, so that the same engine runs on
// simulated time.  Of the thread library the engine calls directly what is the
// same there: locks (core/base/lock.h), the handlers of cancellation, and
// pthread_self.
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

// Reads a clock.  Never fails for the clocks that a timerfd knows and for CLOCK_TAI; a CPU-time
// clock fails with EINVAL if its thread has ended.
int Now(clockid_t clock, uint64_t* nanoseconds);
// CLOCK_MONOTONIC, on which every relative setting is measured.
uint64_t MonotonicNow();

// Asks the kernel for a POSIX timer on this clock: 0 or the error of its timer_create.
int ProbeTimerClock(clockid_t clock);

// The clock of the calling thread's CPU time, nameable from any thread.
clockid_t ThreadCpuClock();

// ---- Memory ----------------------------------------------------------------

enum class OnFork { kKeep, kWipe };

// Maps zeroed pages: 0 and *pages, or -ENOMEM.  kWipe: a child of fork finds them zeroed
// (MADV_WIPEONFORK), at a cost that does not grow with their number; -ENOSYS if the kernel cannot
// do so, before Linux 4.14, or the error of a sandbox that forbids it.
int MapPages(size_t bytes, OnFork on_fork, void** pages);

template <typename Contents>
int MapPages(size_t bytes, OnFork on_fork, Contents** contents) {
  void* pages = nullptr;
  const int error = MapPages(bytes, on_fork, &pages);
  *contents = static_cast<Contents*>(pages);
  return error;
}

void UnmapPages(void* pages, size_t bytes);

// Asks for 2 MiB pages where they fit: fewer misses of the translation buffer when a timer is
// picked at random out of very many.
void PreferHugePages(void* pages, size_t bytes);

// ---- Descriptors -----------------------------------------------------------

// All descriptors are made close-on-exec.
int CreateEpoll();
// The bytes that can be read from a socket or pipe, or a negative errno.
int UnreadBytes(int fd);
int CreateAlwaysReady();  // an eventfd that is readable for ever
int CreatePipe(int* writer);
// Returns the number of bytes written, or a negative errno.
int Write(int fd, const char* text, size_t bytes);
int CreateTimerfd(clockid_t clock);

// The lowest number for a descriptor of the engine's that is out of the way of the program's own.
int LowestInternal();

// Marks the file of a descriptor as one of the engine's own.
int Mark(int fd);  // fails if the mark could not be read, too
int MarkOf(int fd);
bool IsMarked(int fd);

// Locks a file for the calling thread's table of descriptors (F_SETLK).  The table's locks go when
// it closes a descriptor of the file.  Returns 0 or a negative errno.
int LockTable(int fd);
// InTableOf: true if no other table has the file locked.  IsLocked: true if some table has.
bool InTableOf(int fd);
bool IsLocked(int fd);

// True if the calling thread is known to have another table of descriptors than this thread of the
// process (kcmp).  False where the kernel does not say, as the thread has ended or a sandbox
// refuses to.
bool HasAnotherTableThan(int thread);

// EpollTake returns `token` with the member.
int EpollAdd(int epoll, int fd, uint32_t events, uint64_t token = 0);
int EpollModify(int epoll, int fd, uint32_t events, uint64_t token = 0);
int EpollDelete(int epoll, int fd);

// Takes the members that are ready, `max` at most, without sleeping.
int EpollTake(int epoll, epoll_event* events, unsigned max);
// True if EpollTake may miss a ready member while another thread polls the epoll.
bool EpollTakeMayMiss();

// Arms at an absolute moment; 0 disarms.  With `until_clock_set` a timerfd on CLOCK_REALTIME also
// becomes readable when that clock is set.  Returns -ECANCELED, but arms all the same, if the clock
// was set since the last call.
int ArmTimerfd(int timerfd, uint64_t moment, bool until_clock_set);

int Close(int fd);
int CloseRange(unsigned first, unsigned last, int flags);
int Unshare(int flags);
int Duplicate(int fd);
int DuplicateFrom(int fd, int lowest, bool close_on_exec);
int DuplicateTo(int fd, int target, int flags);  // dup3
int DescriptorFlags(int fd);                     // F_GETFD
int DescriptorLimit();                           // RLIMIT_NOFILE: all numbers are lower
int StatusFlags(int fd);                         // F_GETFL
int SetStatusFlags(int fd, int flags);           // F_SETFL
int Fcntl(int fd, int command, void* argument);

// ---- Sources of kevents ----------------------------------------------------

// The answer of poll for a descriptor now, or a negative errno.
int PollNow(int fd, short events);

int FileMode(int fd);  // st_mode

// True if a program's array can be written to; leaves it as it is.  Not async-signal-safe.
bool IsWritable(void* address, size_t bytes);

// The signalfd is readable while the signal is pending.  TakeSignals takes what is pending: the
// number of signals and the process that sent the last one; -EAGAIN if there is none.
int CreateSignalfd(int signal);
int SetSignalfd(int signalfd, uint64_t signals);  // from then on for these, a SignalSet
int TakeSignals(int signalfd, uint32_t* count, uint32_t* sender);

// The pidfd is readable after the process has ended.  ExitStatus, after that, leaves the status for
// wait(2): 0 and the status, -ECHILD if the process is no child or was reaped, -EAGAIN if a process
// that traces it has not let go of it.
int CreatePidfd(int process);
int ExitStatus(int pidfd, int process, int* status);

// The inotify is readable when one of its watches has an event.  InotifyAdd watches the file of a
// descriptor, or adds to the events of its watch; returns the watch.
int CreateInotify();
int InotifyAdd(int inotify, int fd, uint32_t mask);
void InotifyRemove(int inotify, int watch);
int ReadInotify(int inotify, void* buffer, size_t bytes);

// ---- Transfers on sockets ---------------------------------------------------

// SO_TYPE, or -ENOTSOCK, -EBADF.
int SocketType(int fd);

// Receives or sends without waiting, whatever the socket's O_NONBLOCK, and without SIGPIPE: the
// number of bytes, or a negative errno, -EAGAIN when it would wait.
int64_t ReceiveAtOnce(int socket, void* buffer, size_t bytes, int flags);
int64_t SendAtOnce(int socket, const void* buffer, size_t bytes, int flags);
// True if a receipt is to end without bytes though ReceiveAtOnce says -EAGAIN: sockets of messages
// that shutdown has ended say so to a recv that waits alone (net/core/datagram.c).
bool HasEndedForReceipts(int socket);

// Sends bytes of a file by a socket that has O_NONBLOCK; may read the file's device, for which it
// waits.  Results as SendAtOnce; 0 at the end of the file.
int64_t SendFileAtOnce(int socket, int file, int64_t offset, size_t bytes);

// The number of bytes from this place on that are in the page cache, as far as that can be known
// without reading them, or a negative errno.
int64_t CachedBytes(int file, int64_t offset, size_t bytes);

// A hash of the device and inode of a file that can be sent; or 0, and a negative errno.
uint64_t FileToSend(int fd, int* error);

// Opens a file for reading: its descriptor, or a negative errno.  -EINVAL unless it has places.
int OpenFile(const char* path);

// ---- Asynchronous I/O ------------------------------------------------------

struct Transfer {
  // kReadAhead: into the page cache alone; there is no buffer.
  enum class Kind : uint8_t { kNothing, kRead, kWrite, kSync, kSyncData, kReadAhead };
  Kind kind;
  int fd;
  void* buffer;
  size_t bytes;    // at most kMostBytes for the io_uring
  int64_t offset;  // kStream: at the file's own offset, or the file has no places
  static constexpr int64_t kStream = -1;
  static constexpr size_t kMostBytes = 0x7ffff000;  // the most that read(2) and write(2) move in
                                                    // one call
  static constexpr size_t kMostAtOnce = 1 << 20;    // the most that is copied while others wait
};

// Does the transfer, blocking.  Returns the number of bytes moved or a negative errno; if the file
// has no places (ESPIPE), does it as read(2) and write(2) do.
int64_t Perform(const Transfer& transfer);

// Does what Perform does, in the caller's thread, for a transfer that does not block: it causes no
// SIGPIPE, and job control does not stop it (SIGTTIN, SIGTTOU).
int64_t PerformWithoutSignals(const Transfer& transfer);

// Reads as far as it does not block, that is from the page cache.  -EAGAIN if nothing is there,
// -EOPNOTSUPP if the file system cannot tell.
int64_t ReadAtOnce(const Transfer& transfer);

// Properties of a file that decide how a transfer is done that its call did not do at once.
struct Nature {
  // The file has bytes in order, without places: an offset has no meaning.
  bool is_stream;
  // An io_uring ends the transfer when a blocking call would.  If a file cannot be tried, an
  // io_uring waits until it is ready before the first attempt: for ever, if the call has an answer
  // at once (nothing can be read from such a file at all, or not by so few bytes).  Nor does it
  // know of a call that ends after a time.
  bool is_for_ring;
  // A write to the page cache of a file, which the kernel writes to by one call at a time (inode
  // lock), and by none that would not wait on most file systems (EOPNOTSUPP): several threads would
  // only wait for each other, as an io_uring's workers do.
  bool excludes_others = false;
};
Nature NatureOf(const Transfer& transfer, int status_flags);

// True if a read of no bytes at this place does not mean the end of the file: a file of a disk is
// longer.
bool EndsBefore(const Transfer& read);

// True if an io_uring may answer 0 to a read before the file ends (Linux 5.9 and 5.10).
bool ReadsMayEndInVain();

// Loads the library that OpenRing needs, once: 0; -ENOSYS if it is not to be had; or -EAGAIN if
// there was no descriptor or memory for it, which another call may have.  No lock may be held: the
// loader has one of its own, under which it runs constructors of the program's, which may call this
// library.
int LoadRing();

// Makes an io_uring, one of each kind for the process: its descriptor, or a negative errno. -ENOSYS
// without the library, or if the kernel or a sandbox has none.  Not async-signal-safe.
enum class Ring : uint8_t { kOperations, kReads };
int OpenRing(Ring ring);
// Says that the ring's descriptor was moved.
void RingMoved(Ring ring, int fd);
// Gives back the pages of a ring that has nothing in flight, and leaves its number alone, which is
// the caller's to close.  Not in a child of fork, which has no such pages.
void ForgetRing(Ring ring);

// Does what ReadAtOnce does, for many reads in one call, by the ring kReads: 0, or a negative errno
// and nothing done.  The files must have places, or else the kernel reads a stream.  Not to be
// called together with another ReadTogether.
inline constexpr unsigned kReadsTogether = 64;
int ReadTogether(const Transfer* reads, unsigned count, int64_t* results);

// The functions below use the ring kOperations.  RingAdd adds an operation to those that the next
// RingSubmit hands to the kernel; false if there is no room.
inline constexpr unsigned kRingEntries = 256;
bool RingAdd(const Transfer& transfer, uint64_t token);
// Returns 0; -EAGAIN if the kernel will take the remaining operations another time; or another
// negative errno: the ring's descriptor was closed by a call that the library does not see.
int RingSubmit();
// Takes back the operations that were added and that the kernel has not taken; returns their
// number, and their tokens.
unsigned RingTakeOut(uint64_t (&tokens)[kRingEntries]);
// Takes the results of completed operations, `max` at most.  Unless `sleep` is kNot, sleeps until
// there is one; with kForAWhile, -ETIMEDOUT says that there is none after a while.  Another
// negative errno is as for RingSubmit.  Not to be called together with another RingTake.
enum class Sleep : uint8_t { kNot, kForAWhile, kUntilSomething };
struct RingResult {
  uint64_t token;
  int64_t result;
};
int RingTake(RingResult* results, unsigned max, Sleep sleep);

// Notifies as the C library's aio does at the end of an operation: queues a signal (SI_ASYNCIO) to
// the process, or runs the function in a new thread.  Not async-signal-safe.
void Notify(const sigevent& notification);

// ---- Look-ups of names -------------------------------

// Sleeps until the look-up is not in progress, or was cancelled.
void AwaitLookup(gaicb* request);

// ---- Message queues --------------------------------------------------------

// Makes a socket on which the kernel announces the next message of a queue, and registers it: 0 or
// mq_notify's error.
int CreateAnnouncer();
int AnnounceMessage(int message_queue, int announcer);
// Returns 1 if the message has come, 0 if the registration has ended without one, -EAGAIN if
// neither has happened yet.
int Announcement(int announcer);

// ---- Sleeping --------------------------------------------------------------

// ppoll(2).  A cancellation point.  Not restarted after a signal handler.
int Poll(pollfd* descriptors, unsigned count, const timespec* timeout, const sigset_t* mask);

// True if a read would not block.
bool IsReadable(int fd);

// Sleeps while *word == expected, until `deadline` on CLOCK_MONOTONIC; nullptr is for ever.  0
// after a wake-up or if the word differs, -ETIMEDOUT, -EINTR.  Not restarted after a signal
// handler, whatever its SA_RESTART.
int FutexWait(const std::atomic<uint32_t>* word, uint32_t expected, const timespec* deadline);
// As FutexWait, and a cancellation point: for the calls whose manual says that they are one, and
// that own nothing while they wait.
int FutexWaitCancellably(const std::atomic<uint32_t>* word, uint32_t expected,
                         const timespec* deadline);
// As FutexWaitCancellably without a deadline, but restarted by the kernel after a handler with
// SA_RESTART.
int FutexWaitCancellablyRestarted(const std::atomic<uint32_t>* word, uint32_t expected);
void FutexWake(const std::atomic<uint32_t>* word);
void FutexWakeAll(const std::atomic<uint32_t>* word);

// True if the C library knows the calling thread's id.  It does not in the child of a clone that it
// did not make, which has the parent's there.  Not async-signal-safe.
bool ThreadIdIsKnown();

// The calling thread's priority, as the C library knows it; 0 without real-time scheduling.  Not
// async-signal-safe.
int ThreadPriority();

// Gives way to other threads, also to those of lower priority.
void Pause();

// ---- Signals ---------------------------------------------------------------

// The kernel's signal set: unlike sigset_t it names the two signals that the C
// library keeps for itself.
using SignalSet = uint64_t;
SignalSet BlockAllSignals();
// The signals that are pending for the calling thread or for the process, of those that the thread
// has blocked.
SignalSet PendingSignals();
// Lets the pending signals that are not in *mask be handled now: -EINTR if a handler ran.  No
// cancellation point.
int LetSignalsThrough(const sigset_t* mask);
void RestoreSignals(SignalSet set);

// ---- Processes and threads -------------------------------------------------

int ProcessId();
bool ProcessExists(int id);

// Registers a handler that fork runs in the child.  Not async-signal-safe.
int AtForkInChild(void (*handler)());

// ---- CPU-time alarms: the clocks that no timerfd serves -------------------

// Starts a detached thread that runs `body(argument)` with all signals blocked that a program can
// send or catch, on the CPUs that the process was given when the library was loaded, and with the
// usual scheduling policy; returns its kernel thread id.  `name` is the thread's name, of 15
// characters at most.  Not async-signal-safe.
int StartThread(void (*body)(void*), void* argument, const char* name);

int ThreadId();  // the kernel's id of the calling thread

// Makes a kernel timer whose expirations are delivered to the thread `tid` alone, by the signal
// number that the C library reserves, with `value`.
int CreateAlarm(clockid_t clock, int tid, int value, int* alarm);
int ArmAlarm(int alarm, uint64_t moment);
void DeleteAlarm(int alarm);

// Called by that thread: sleeps until the next expiration and returns its value, or -EAGAIN if the
// timeout, if any, has passed.
int WaitForAlarm(int* value, const timespec* timeout);

}  // namespace kevent::sys

#endif  // KEVENT_CORE_SYSTEM_SYSTEM_H_
