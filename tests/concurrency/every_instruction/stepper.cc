// SPDX-License-Identifier: MIT

#include "tests/concurrency/every_instruction/stepper.h"

#include <dlfcn.h>
#include <link.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <map>
#include <random>

namespace kevent_test {
namespace {

// A segment of the library.
struct Text {
  uintptr_t load_address;
  uintptr_t begin;
  uintptr_t end;
  bool contains(uintptr_t address) const { return begin <= address && address < end; }
};

Text FindText() {
  // Not &kevent_init: in a program that may be the address of an entry of its own PLT.
  static uintptr_t s_inside;
  s_inside = reinterpret_cast<uintptr_t>(dlsym(RTLD_DEFAULT, "kevent_init"));
  Text text = {};
  dl_iterate_phdr(
      [](dl_phdr_info* object, size_t, void* result) {
        for (int i = 0; i < object->dlpi_phnum; ++i) {
          const ElfW(Phdr)& segment = object->dlpi_phdr[i];
          const uintptr_t begin = object->dlpi_addr + segment.p_vaddr;
          const Text found = {object->dlpi_addr, begin, begin + segment.p_memsz};
          if (segment.p_type != PT_LOAD || !found.contains(s_inside)) continue;
          *static_cast<Text*>(result) = found;
          return 1;
        }
        return 0;
      },
      &text);
  return text;
}

const Text& LibraryText() {
  static const Text s_text = FindText();
  return s_text;
}

bool MakeTextWritable() {
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const uintptr_t begin = LibraryText().begin / page * page;
  return mprotect(reinterpret_cast<void*>(begin), LibraryText().end - begin,
                  PROT_READ | PROT_WRITE | PROT_EXEC) == 0;
}

uint8_t ReplaceByte(uintptr_t address, uint8_t byte) {
  return __atomic_exchange_n(reinterpret_cast<uint8_t*>(address), byte, __ATOMIC_SEQ_CST);
}

void RaiseTrap() { syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGTRAP); }

#if defined(__x86_64__)
constexpr uint8_t kInt3 = 0xcc;
constexpr greg_t kTrapFlag = 0x100;

greg_t& Register(void* context, int number) {
  return static_cast<ucontext_t*>(context)->uc_mcontext.gregs[number];
}
void StepFrom(void* context) { Register(context, REG_EFL) |= kTrapFlag; }
void RunFrom(void* context) { Register(context, REG_EFL) &= ~kTrapFlag; }
bool IsStepping(void* context) { return (Register(context, REG_EFL) & kTrapFlag) != 0; }
uintptr_t Address(void* context) { return static_cast<uintptr_t>(Register(context, REG_RIP)); }
void SetAddress(void* context, uintptr_t address) {
  Register(context, REG_RIP) = static_cast<greg_t>(address);
}
#else
constexpr uint8_t kInt3 = 0;
void StepFrom(void*) {}
void RunFrom(void*) {}
bool IsStepping(void*) { return false; }
uintptr_t Address(void*) { return 0; }
void SetAddress(void*, uintptr_t) {}
#endif

unsigned long FromEnvironment(const char* name, unsigned long otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr ? otherwise : std::strtoul(value, nullptr, 10);
}

// Every so-manyth of the instructions, from one of the first of them on.
class Strides {
 public:
  size_t length() const { return length_; }

  // One for each operation, so that together they differ more than two runs of one.
  size_t First(size_t instructions) {
    return std::uniform_int_distribution<size_t>(
        0, std::clamp(instructions, size_t{1}, length_) - 1)(random_);
  }

 private:
  static std::minstd_rand Seeded(size_t length) {
    const unsigned long seed = FromEnvironment("KEVENT_STEP_SEED", std::random_device()());
    if (length > 1) {
      std::printf("Every %zu. instruction; the same again: KEVENT_STEP_SEED=%lu\n", length, seed);
    }
    return std::minstd_rand(static_cast<unsigned>(seed));
  }

  const size_t length_ = std::max(FromEnvironment("KEVENT_STEP_STRIDE", 1), 1ul);
  std::minstd_rand random_ = Seeded(length_);
};

bool SignalsBlocked(void* context) {
  return sigismember(&static_cast<ucontext_t*>(context)->uc_sigmask, SIGUSR1) == 1;
}

}  // namespace

// ---- The other thread -------------------------------------------------------

void OtherThread::Do(Errand errand) {
  errand_ = errand;
  state_ = kAsked;
  state_.notify_one();
  while (state_ == kAsked) state_.wait(kAsked);
}

void OtherThread::Serve() {
  for (;;) {
    state_.wait(kIdle);
    if (state_ == kEnd) return;
    errand_();
    state_ = kIdle;
    state_.notify_one();
  }
}

// ---- The stepper ------------------------------------------------------------

Stepper::Stepper(Intruder intruder)
    : intruder_(intruder),
      shared_(static_cast<Shared*>(mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE,
                                        MAP_SHARED | MAP_ANONYMOUS, -1, 0))) {
  if (intruder == Intruder::kOtherThread) other_ = std::make_unique<OtherThread>();
  LibraryText();
  s_stepper = this;
  struct sigaction action = {};
  action.sa_sigaction = &Stepper::OnTrap;
  action.sa_flags = SA_SIGINFO;
  // While it is held up a thread handles nothing, its own cancellation
  // included, by a signal that sigfillset leaves out.
  if (intruder == Intruder::kOtherThread) {
    std::memset(&action.sa_mask, 0xff, sizeof action.sa_mask);
  }
  sigaction(SIGTRAP, &action, &before_);
}

Stepper::~Stepper() {
  if (begun_ && testing::Test::HasFailure()) Report();
  sigaction(SIGTRAP, &before_, nullptr);
  s_stepper = nullptr;
  munmap(shared_, sizeof(Shared));
}

bool Stepper::Possible() {
  static const bool s_possible = [] {
    if (kInt3 == 0 || !MakeTextWritable()) return false;
    Stepper probe(Intruder::kSignalHandler);
    ukevent event;
    const auto operation = [&] { kevent_get_events(-1, 0, 1, nullptr, &event, 0); };
    const auto intrusion = [] {};
    probe.Run(operation, intrusion);
    return probe.shared_->noted != 0;
  }();
  return s_possible;
}

bool Stepper::Next() {
  if (testing::Test::HasFailure()) return false;
  if (!begun_) return begun_ = true;
  if (shared_->interrupted.exchange(false)) ++reached_;
  if (noting()) ChoosePoints();
  if (next_ == points_.size()) {
    // Which slots the timers have decides about a few loops.
    EXPECT_GE(reached_ * 2, points_.size()) << "the state was not the same every time";
    return false;
  }
  ++next_;
  return true;
}

void Stepper::ChoosePoints() {
  const size_t noted = shared_->noted;
  EXPECT_GT(noted, 10u) << "the library was not stepped through";
  EXPECT_LT(noted, std::size(shared_->addresses)) << "too many instructions";
  static Strides s_strides;
  const size_t first = s_strides.First(noted);
  std::map<uintptr_t, unsigned> times;
  for (size_t i = 0; i < noted; ++i) {
    const uintptr_t address = shared_->addresses[i];
    const unsigned so_often = ++times[address];
    if (i % s_strides.length() == first) points_.push_back({address, so_often, i + 1});
  }
}

void Stepper::Report() const {
  if (noting()) {
    ADD_FAILURE() << "In the run that was not interrupted.";
    return;
  }
  const Point& point = points_[next_ - 1];
  ADD_FAILURE() << (interrupted() ? "Interrupted" : "Not interrupted") << " before instruction "
                << point.number << " of " << shared_->noted << ", at 0x" << std::hex
                << point.address - LibraryText().load_address << " in the library.";
}

void Stepper::Run(Errand operation, Errand intrusion) {
  intrusion_ = intrusion;
  thread_ = static_cast<pid_t>(syscall(SYS_gettid));
  times_ = 0;
  if (!noting()) displaced_ = ReplaceByte(points_[next_ - 1].address, kInt3);
  running_ = true;
  if (sigsetjmp(s_environment, 1) == 0) {
    if (noting()) RaiseTrap();  // its handler sets the trap flag, to return to
    operation();
  }
  running_ = false;  // the next trap clears the flag
  if (!noting() && !interrupted()) ReplaceByte(points_[next_ - 1].address, displaced_);
}

void Stepper::OnTrap(int, siginfo_t* info, void* context) {
  const int before = errno;
  switch (info->si_code) {
    case SI_TKILL:
      StepFrom(context);
      break;
    case TRAP_TRACE:
      s_stepper->OnStep(context);
      break;
    default:
      // A step whose cause a virtual machine has lost (DR6 is 0) has the code of a breakpoint.
      if (IsStepping(context) && !s_stepper->IsBehindPoint(context)) {
        s_stepper->OnStep(context);
      } else {
        s_stepper->OnBreakpoint(context);
      }
  }
  errno = before;
}

bool Stepper::MayIntrude(void* context) const {
  return intruder_ != Intruder::kSignalHandler || !SignalsBlocked(context);
}

bool Stepper::IsBehindPoint(void* context) const {
  return !noting() && Address(context) == points_[next_ - 1].address + 1;
}

void Stepper::OnStep(void* context) {
  if (!noting()) {  // past the breakpoint, which did not count
    RunFrom(context);
    if (running_ && !interrupted()) ReplaceByte(points_[next_ - 1].address, kInt3);
  } else if (!running_) {
    RunFrom(context);
  } else if (LibraryText().contains(Address(context)) &&
             shared_->noted < std::size(shared_->addresses) && MayIntrude(context)) {
    shared_->addresses[shared_->noted++] = Address(context);
  }
}

void Stepper::OnBreakpoint(void* context) {
  const Point& point = points_[next_ - 1];
  SetAddress(context, Address(context) - 1);
  if (interrupted()) return;  // it has just been taken out
  ReplaceByte(point.address, displaced_);
  // The times are of those that were noted.
  if (static_cast<pid_t>(syscall(SYS_gettid)) != thread_ || !MayIntrude(context) ||
      ++times_ != point.times) {
    StepFrom(context);
    return;
  }
  shared_->interrupted = true;
  if (other_ != nullptr) {
    other_->Do(intrusion_);
  } else {
    intrusion_();
  }
}

}  // namespace kevent_test

#if defined(__x86_64__)
// Found before the C library's by libkevent.so too, which blocks signals by it:
// a trap while SIGTRAP is blocked would end the process.
extern "C" long syscall(long number, ...) noexcept {
  va_list list;
  va_start(list, number);
  long arguments[6];
  for (long& argument : arguments) argument = va_arg(list, long);
  va_end(list);

  uint64_t mask;
  if (number == SYS_rt_sigprocmask && arguments[1] != 0 && arguments[0] != SIG_UNBLOCK) {
    std::memcpy(&mask, reinterpret_cast<const void*>(arguments[1]), sizeof mask);
    mask &= ~(uint64_t{1} << (SIGTRAP - 1));
    arguments[1] = reinterpret_cast<long>(&mask);
  }
  long result = number;
  register long fourth __asm__("r10") = arguments[3];
  register long fifth __asm__("r8") = arguments[4];
  register long sixth __asm__("r9") = arguments[5];
  __asm__ volatile("syscall"
                   : "+a"(result)
                   : "D"(arguments[0]), "S"(arguments[1]), "d"(arguments[2]), "r"(fourth),
                     "r"(fifth), "r"(sixth)
                   : "rcx", "r11", "memory");
  if (result < 0 && result >= -4095) {
    errno = static_cast<int>(-result);
    return -1;
  }
  return result;
}
#endif
