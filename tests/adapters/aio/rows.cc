// SPDX-License-Identifier: MIT
//
// What a program of asynchronous I/O observes, as a table: of each kind of descriptor, with each
// kind of notification.  The program knows nothing of libkevent; rows.sh compares its tables with
// and without `kevrun --aio`.

#include <aio.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

namespace {

constexpr size_t kBytes = 4096;
constexpr size_t kBlocks = 8;

std::string g_case;

void See(const std::string& what, const std::string& seen) {
  std::printf("%-14s %-44s %s\n", g_case.c_str(), what.c_str(), seen.c_str());
}
void See(const std::string& what, long seen) { See(what, std::to_string(seen)); }

std::string Name(int error) { return error == 0 ? "0" : strerrorname_np(error); }

// What a call returned: 0, another number, or the name of errno; and that it left errno alone.
std::string Result(const std::function<int()>& call) {
  errno = EXFULL;
  const int result = call();
  if (result == -1) return Name(errno);
  return std::to_string(result) + (errno == EXFULL ? "" : ", errno " + Name(errno));
}

std::string Outcome(aiocb* control) {
  const int error = aio_error(control);
  if (error == EINPROGRESS) return "EINPROGRESS";
  return Name(error) + ", " + std::to_string(aio_return(control));
}

void AwaitEnd(const aiocb& control) {
  const aiocb* const list[] = {&control};
  while (aio_error(&control) == EINPROGRESS) aio_suspend(list, 1, nullptr);
}

// ---- Descriptors ------------------------------------------------------------------

struct File {
  const char* name;
  int fd;
  bool is_written;
};

// Blocks of 'a', of 'b' ..., which O_DIRECT wants aligned.
char* Blocks() {
  void* memory = nullptr;
  if (posix_memalign(&memory, kBytes, kBytes * kBlocks) != 0) std::abort();
  auto* blocks = static_cast<char*>(memory);
  for (size_t i = 0; i < kBlocks; ++i) std::memset(blocks + i * kBytes, 'a' + int(i), kBytes);
  return blocks;
}

std::string MakeFile() {
  const char* directory = std::getenv("TMPDIR");
  std::string name = std::string(directory == nullptr ? "/tmp" : directory) + "/rows.XXXXXX";
  const int fd = mkstemp(name.data());
  char* blocks = Blocks();
  if (write(fd, blocks, kBytes * kBlocks) != ssize_t(kBytes * kBlocks)) std::abort();
  std::free(blocks);
  close(fd);
  return name;
}

aiocb Control(int fd, void* buffer, size_t block = 0) {
  aiocb control;
  std::memset(&control, 0, sizeof control);
  control.aio_fildes = fd;
  control.aio_buf = buffer;
  control.aio_nbytes = kBytes;
  control.aio_offset = static_cast<off_t>(block * kBytes);
  control.aio_sigevent.sigev_notify = SIGEV_NONE;
  return control;
}

// ---- Notifications ----------------------------------------------------------------

sigset_t SignalsOfTests() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGRTMIN, SIGRTMIN + 1, SIGUSR1}) sigaddset(&set, signal);
  return set;
}

sigevent BySignal(int signal, int value) {
  sigevent event = {};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = signal;
  event.sigev_value.sival_int = value;
  return event;
}

std::string NextSignal(int milliseconds = 10'000) {
  const sigset_t set = SignalsOfTests();
  const timespec limit = {milliseconds / 1000, milliseconds % 1000 * 1'000'000L};
  siginfo_t info;
  const int signal = sigtimedwait(&set, &info, &limit);
  if (signal < 0) return "none";
  const std::string name = signal == SIGUSR1 ? "SIGUSR1" : "RT" + std::to_string(signal - SIGRTMIN);
  const bool is_ours = info.si_pid == getpid() && info.si_uid == getuid();
  return name + " value " + std::to_string(info.si_value.sival_int) + " code " +
         std::to_string(info.si_code) + " errno " + std::to_string(info.si_errno) +
         (is_ours ? "" : " of another process");
}

std::string NoMoreSignals() { return NextSignal(1); }

struct Told {
  sem_t semaphore;
  std::atomic<int> count;
  std::string first;
  aiocb* control;
};
Told g_told;

std::string ThreadAsItIs() {
  sigset_t mask;
  pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  int blocked = 0;
  for (int signal = 1; signal <= SIGRTMAX; ++signal) blocked += sigismember(&mask, signal) == 1;
  char name[16];
  prctl(PR_GET_NAME, name);
  pthread_attr_t attributes;
  pthread_getattr_np(pthread_self(), &attributes);
  int detached;
  size_t stack;
  size_t guard;
  pthread_attr_getdetachstate(&attributes, &detached);
  pthread_attr_getstacksize(&attributes, &stack);
  pthread_attr_getguardsize(&attributes, &guard);
  pthread_attr_destroy(&attributes);
  int state;
  pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &state);
  int policy;
  sched_param parameters;
  pthread_getschedparam(pthread_self(), &policy, &parameters);
  return std::string(name) + ", blocked " + std::to_string(blocked) +
         (detached == PTHREAD_CREATE_DETACHED ? ", detached" : ", joinable") + ", stack " +
         std::to_string(stack >> 10) + "k, guard " + std::to_string(guard) + ", cancel state " +
         std::to_string(state) + ", policy " + std::to_string(policy);
}

// The C library's threads that notify block no signal: this one would take those of later rows,
// which are for the main thread to wait for, while it ends.
void Tell(sigval value) {
  if (++g_told.count == 1) {
    g_told.first = ThreadAsItIs() + ", value " + std::to_string(value.sival_int);
    if (g_told.control != nullptr) g_told.first += ": " + Outcome(g_told.control);
  }
  const sigset_t signals = SignalsOfTests();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  sem_post(&g_told.semaphore);
}

sigevent ByThread(int value, aiocb* control, pthread_attr_t* attributes = nullptr) {
  g_told.count = 0;
  g_told.control = control;
  sigevent event = {};
  event.sigev_notify = SIGEV_THREAD;
  event.sigev_notify_function = &Tell;
  event.sigev_notify_attributes = attributes;
  event.sigev_value.sival_int = value;
  return event;
}

std::string NextThread() {
  while (sem_wait(&g_told.semaphore) != 0) {
  }
  return g_told.first;
}

// ---- One operation ----------------------------------------------------------------

void Silent(const File& file, char* buffer) {
  for (const int notify : {static_cast<int>(SIGEV_NONE), 77}) {
    aiocb control = Control(file.fd, buffer, 2);
    control.aio_sigevent.sigev_notify = notify;
    See("aio_read, notify " + std::to_string(notify), Result([&] { return aio_read(&control); }));
    AwaitEnd(control);
    See("  outcome", Outcome(&control));
    See("  bytes", std::string(buffer, 1) + buffer[kBytes - 1]);
    See("  opcode", control.aio_lio_opcode);
    See("  notify then", control.aio_sigevent.sigev_notify);
  }
  aiocb control = Control(file.fd, buffer + 3 * kBytes, 3);
  control.aio_lio_opcode = LIO_NOP;
  See("aio_write", Result([&] { return aio_write(&control); }));
  AwaitEnd(control);
  See("  outcome", Outcome(&control));
  See("  opcode", control.aio_lio_opcode);
  for (const int operation : {O_SYNC, O_DSYNC, 77}) {
    aiocb sync = Control(file.fd, nullptr);
    sync.aio_reqprio = 50;
    See("aio_fsync " + std::to_string(operation),
        Result([&] { return aio_fsync(operation, &sync); }));
    AwaitEnd(sync);
    See("  outcome", Outcome(&sync));
    See("  aio_reqprio then", sync.aio_reqprio);
  }
}

std::atomic<int> g_handled;
std::atomic<int> g_seen_by_handler;

void Handle(int /*signal*/, siginfo_t* info, void* /*context*/) {
  g_seen_by_handler = aio_error(static_cast<aiocb*>(info->si_value.sival_ptr));
  ++g_handled;
}

void BySignals(const File& file, char* buffer) {
  for (const int signal : {SIGRTMIN, SIGUSR1}) {
    aiocb control = Control(file.fd, buffer, 1);
    control.aio_sigevent = BySignal(signal, 5);
    See("signal", Result([&] { return aio_read(&control); }));
    See("  it", NextSignal());
    See("  outcome then", Outcome(&control));
    See("  more", NoMoreSignals());
  }
  for (const int signal : {0, 99, -1, 65}) {
    aiocb control = Control(file.fd, buffer, 1);
    control.aio_sigevent = BySignal(signal, 5);
    See("signal " + std::to_string(signal), Result([&] { return aio_read(&control); }));
    const timespec pause = {0, 1'000'000};
    // The C library stores the error after the result.
    do {
      AwaitEnd(control);
      nanosleep(&pause, nullptr);
    } while (signal != 0 && aio_error(&control) == 0);
    See("  outcome", Outcome(&control));
    See("  more", NoMoreSignals());
  }
  struct sigaction action = {};
  struct sigaction before;
  action.sa_sigaction = &Handle;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGUSR2, &action, &before);
  g_handled = 0;
  aiocb control = Control(file.fd, buffer, 1);
  control.aio_sigevent = BySignal(SIGUSR2, 0);
  control.aio_sigevent.sigev_value.sival_ptr = &control;
  See("handler", Result([&] { return aio_read(&control); }));
  while (g_handled == 0) usleep(1'000);
  See("  aio_error in it", Name(g_seen_by_handler));
  See("  outcome", Outcome(&control));
  sigaction(SIGUSR2, &before, nullptr);
}

void ByThreads(const File& file, char* buffer) {
  aiocb control = Control(file.fd, buffer, 1);
  control.aio_sigevent = ByThread(6, &control);
  See("thread", Result([&] { return aio_read(&control); }));
  See("  it", NextThread());
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, size_t{300} << 10);
  pthread_attr_setguardsize(&attributes, 2 * kBytes);
  for (const int state : {PTHREAD_CREATE_DETACHED, PTHREAD_CREATE_JOINABLE}) {
    pthread_attr_setdetachstate(&attributes, state);
    control.aio_sigevent = ByThread(7, &control, &attributes);
    See("thread, attributes", Result([&] { return aio_read(&control); }));
    See("  it", NextThread());
  }
  pthread_attr_destroy(&attributes);
}

void Errors(const File& file, char* buffer) {
  for (const int priority : {-1, 20, 21}) {
    aiocb control = Control(file.fd, buffer);
    control.aio_reqprio = priority;
    control.aio_sigevent = BySignal(SIGRTMIN, priority);
    See("aio_reqprio " + std::to_string(priority), Result([&] { return aio_read(&control); }));
    AwaitEnd(control);
    See("  signal", priority == 20 ? NextSignal() : NoMoreSignals());
    See("  outcome", Outcome(&control));
  }
  aiocb control = Control(file.fd, buffer);
  control.aio_offset = -1;
  control.aio_sigevent = BySignal(SIGRTMIN, 8);
  See("offset -1", Result([&] { return aio_read(&control); }));
  See("  signal", NextSignal());
  See("  outcome", Outcome(&control));
  control = Control(file.fd, nullptr);
  control.aio_sigevent = BySignal(SIGRTMIN, 8);
  See("no buffer", Result([&] { return aio_read(&control); }));
  See("  signal", NextSignal());
  See("  outcome", Outcome(&control));
  control = Control(file.fd, buffer, kBlocks);
  control.aio_sigevent = BySignal(SIGRTMIN, 8);
  See("at the end", Result([&] { return aio_read(&control); }));
  See("  signal", NextSignal());
  See("  outcome", Outcome(&control));
  See("cancel it", Result([&] { return aio_cancel(file.fd, &control); }));
  See("cancel all", Result([&] { return aio_cancel(file.fd, nullptr); }));
}

// ---- Lists ------------------------------------------------------------------------

struct List {
  List(const File& file, char* buffer) {
    for (size_t i = 0; i < controls.size(); ++i) {
      controls[i] = Control(file.fd, buffer + i * kBytes, i);
      controls[i].aio_lio_opcode = LIO_READ;
      controls[i].aio_sigevent = BySignal(SIGRTMIN, static_cast<int>(i));
      entries[i] = &controls[i];
    }
  }
  std::string Start(int mode, sigevent* notification) {
    return Result([&] {
      return lio_listio(mode, entries.data(), static_cast<int>(entries.size()), notification);
    });
  }
  std::string Outcomes() {
    std::string all;
    for (aiocb* control : entries) {
      if (control == nullptr || control->aio_lio_opcode == LIO_NOP) continue;
      AwaitEnd(*control);
      all += "[" + Outcome(control) + "] ";
    }
    return all;
  }
  // The signals of the members, which may come in any order on places of a file.
  static std::string Signals(size_t count) {
    std::vector<std::string> signals;
    for (size_t i = 0; i < count; ++i) signals.push_back(NextSignal());
    std::sort(signals.begin(), signals.end());
    std::string all;
    for (const std::string& signal : signals) all += "[" + signal + "] ";
    return all;
  }

  std::vector<aiocb> controls = std::vector<aiocb>(4);
  std::vector<aiocb*> entries = std::vector<aiocb*>(4);
};

void Lists(const File& file, char* buffer) {
  for (const int mode : {LIO_WAIT, LIO_NOWAIT}) {
    const std::string how = mode == LIO_WAIT ? "LIO_WAIT, " : "LIO_NOWAIT, ";
    sigevent all = BySignal(SIGRTMIN, 100);
    const auto of_list = [&] { return mode == LIO_WAIT ? "" : NextSignal(); };
    {
      List list(file, buffer);
      See(how + "signals", list.Start(mode, &all));
      See("  them", List::Signals(4));
      See("  of the list", of_list());
      See("  more", NoMoreSignals());
      See("  outcomes", list.Outcomes());
    }
    {
      List list(file, buffer);
      list.entries[0] = nullptr;
      list.controls[1].aio_lio_opcode = LIO_NOP;
      list.controls[2].aio_lio_opcode = 77;
      list.controls[3].aio_nbytes = 0;
      See(how + "odd entries", list.Start(mode, &all));
      See("  signals", List::Signals(2));
      See("  of the list", of_list());
      See("  more", NoMoreSignals());
      See("  outcomes", list.Outcomes());
    }
    {
      List list(file, buffer);
      list.controls[1].aio_reqprio = 99;
      See(how + "one refused", list.Start(mode, &all));
      See("  signals", List::Signals(3));
      See("  of the list", of_list());
      See("  more", NoMoreSignals());
      See("  outcomes", list.Outcomes());
    }
    {
      List list(file, buffer);
      for (aiocb& control : list.controls) control.aio_reqprio = 99;
      See(how + "all refused", list.Start(mode, &all));
      See("  of the list", of_list());
      See("  more", NoMoreSignals());
      See("  outcomes", list.Outcomes());
    }
    {
      List list(file, buffer);
      list.controls[1].aio_fildes = -1;
      list.controls[2].aio_sigevent.sigev_notify = SIGEV_NONE;
      See(how + "one fails", list.Start(mode, &all));
      See("  signals", List::Signals(3));
      See("  of the list", of_list());
      See("  outcomes", list.Outcomes());
    }
    {
      List list(file, buffer);
      for (aiocb& control : list.controls) control.aio_sigevent.sigev_notify = SIGEV_NONE;
      list.controls[1].aio_sigevent = BySignal(99, 0);
      See(how + "a signal that is none", list.Start(mode, nullptr));
      if (mode == LIO_WAIT) See("  outcomes", list.Outcomes());
      for (const aiocb& control : list.controls) AwaitEnd(control);
    }
    {
      List list(file, buffer);
      for (size_t i = 0; i < list.controls.size(); ++i) {
        list.controls[i].aio_sigevent = ByThread(9, nullptr);
      }
      // No signal for the list: such a thread blocks none.
      See(how + "threads", list.Start(mode, nullptr));
      for (size_t i = 0; i < list.controls.size(); ++i) NextThread();
      See("  one of them", g_told.first);
      See("  outcomes", list.Outcomes());
    }
    {
      List list(file, buffer);
      for (aiocb& control : list.controls) control.aio_sigevent.sigev_notify = SIGEV_NONE;
      sigevent by_thread = ByThread(10, &list.controls[3]);
      See(how + "a thread for all", list.Start(mode, &by_thread));
      if (mode == LIO_NOWAIT) See("  it", NextThread());
      See("  threads", mode == LIO_WAIT ? g_told.count.load() : 0);
      See("  outcomes", list.Outcomes());
      See(how + "nothing notified", list.Start(mode, nullptr));
      See("  outcomes", list.Outcomes());
      See("  more", NoMoreSignals());
    }
  }
  List list(file, buffer);
  sigevent all = BySignal(SIGRTMIN, 100);
  See("bad mode", list.Start(77, &all));
  list.entries.clear();
  See("empty", list.Start(LIO_NOWAIT, &all));
  See("  of the list", NextSignal());
  See("empty, waited for", list.Start(LIO_WAIT, &all));
  See("  more", NoMoreSignals());
}

// ---- A pipe -----------------------------------------------------------------------

void Put(int fd, const std::string& text) {
  if (write(fd, text.data(), text.size()) != static_cast<ssize_t>(text.size())) std::abort();
}

// Begins reads of one byte: the first is not to be cancelled any more, and the others wait for it.
void BeginReads(int fd, std::vector<aiocb>* controls, std::string* bytes) {
  for (size_t i = 0; i < controls->size(); ++i) {
    aiocb& control = (*controls)[i];
    do {
      control = Control(fd, bytes->data() + i);
      control.aio_nbytes = 1;
      control.aio_sigevent = BySignal(SIGRTMIN, static_cast<int>(i));
      if (aio_read(&control) != 0) std::abort();
    } while (i == 0 && aio_cancel(fd, &control) == AIO_CANCELED && !NextSignal().empty());
  }
}

void Pipes(int from, int to) {
  std::vector<aiocb> controls(6);
  std::string bytes(controls.size(), '?');
  BeginReads(from, &controls, &bytes);
  See("in progress", Name(aio_error(&controls[5])));
  See("cancel the first", Result([&] { return aio_cancel(from, controls.data()); }));
  See("cancel the last", Result([&] { return aio_cancel(from, &controls[5]); }));
  See("  signal", NextSignal());
  See("  outcome", Outcome(&controls[5]));
  See("  again", Result([&] { return aio_cancel(from, &controls[5]); }));
  Put(to, "abcde");
  for (int i = 0; i < 5; ++i) See("signals in order", NextSignal());
  for (int i = 0; i < 5; ++i) See("  outcome", Outcome(&controls[i]));
  See("  bytes", bytes);

  BeginReads(from, &controls, &bytes);
  See("cancel all", Result([&] { return aio_cancel(from, nullptr); }));
  See("  signals", List::Signals(5));
  Put(to, "f");
  See("  the first", NextSignal());
  See("  outcome", Outcome(controls.data()));
  See("nothing left", Result([&] { return aio_cancel(from, nullptr); }));

  controls.resize(1);
  BeginReads(from, &controls, &bytes);
  const aiocb* const list[] = {nullptr, controls.data()};
  const timespec soon = {0, 1'000'000};
  See("suspend", Result([&] { return aio_suspend(list, 2, &soon); }));
  Put(to, "g");
  See("suspend", Result([&] { return aio_suspend(list, 2, nullptr); }));
  See("  signal", NextSignal());
  See("  outcome", Outcome(controls.data()));

  // By priority, behind one that has begun.
  BeginReads(from, &controls, &bytes);
  std::vector<aiocb> others(4);
  const int priorities[] = {20, 3, 0, 3};
  for (size_t i = 0; i < others.size(); ++i) {
    others[i] = Control(from, bytes.data() + i + 1);
    others[i].aio_nbytes = 1;
    others[i].aio_reqprio = priorities[i];
    others[i].aio_sigevent = BySignal(SIGRTMIN, 10 + static_cast<int>(i));
    See("aio_reqprio", Result([&] { return aio_read(&others[i]); }));
  }
  Put(to, "hijkl");
  for (int i = 0; i < 5; ++i) See("signals by priority", NextSignal());
  See("  bytes", bytes.substr(1, 4));

  // A child has none of them, and its own work.
  BeginReads(from, &controls, &bytes);
  std::fflush(stdout);
  const pid_t child = fork();
  // Not by aio_error: its lock may for ever be that of a thread of the parent.
  if (child == 0) _exit(std::atomic_ref(controls[0].__error_code) == EINPROGRESS ? 7 : 0);
  int status = 0;
  waitpid(child, &status, 0);
  See("in progress in a child", WEXITSTATUS(status));
  Put(to, "m");
  See("  and in the parent", NextSignal());
}

}  // namespace

int main() {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  const sigset_t signals = SignalsOfTests();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  sem_init(&g_told.semaphore, 0, 0);
  const std::string name = MakeFile();
  const File files[] = {
      {"read-only", open(name.c_str(), O_RDONLY | O_CLOEXEC), false},
      {"O_DIRECT", open(name.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC), true},
      {"only read,direct", open(name.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC), false},
      {"writable", open(name.c_str(), O_RDWR | O_CLOEXEC), true},
      {"not open", -1, false},
  };
  unlink(name.c_str());
  for (const File& file : files) {
    g_case = file.name;
    See("open", file.fd >= 0);
    for (const auto& part : {&Silent, &BySignals, &ByThreads, &Errors, &Lists}) {
      char* buffer = Blocks();
      part(file, buffer);
      std::free(buffer);
    }
  }
  int pipe[2];
  if (pipe2(pipe, O_CLOEXEC) != 0) return EXIT_FAILURE;
  g_case = "pipe";
  Pipes(pipe[0], pipe[1]);
  // Writable: all of it is the C library's.
  const std::string fifo = name + ".fifo";
  if (mkfifo(fifo.c_str(), 0600) != 0) return EXIT_FAILURE;
  const int both = open(fifo.c_str(), O_RDWR | O_CLOEXEC);
  unlink(fifo.c_str());
  g_case = "fifo";
  Pipes(both, both);
  return EXIT_SUCCESS;
}
