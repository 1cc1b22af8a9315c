#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# check_headers.sh INCLUDE_DIR COMPILER...: each C++ header compiles by itself and raises no
# warning in a strict program, and so does one that uses all of it, with any of the compilers,
# optimised and not, without exceptions where the program calls the forms that do not throw,
# whatever widths the program asks for.  A form that throws is then refused where it is called,
# and so is C++17.

set -euo pipefail

include_dir=$1
shift
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT

cat >"$directory/uses.cc" <<'CC'
#include <kevent/kevent.hpp>

#include <array>
#include <chrono>
#include <span>
#include <system_error>

using namespace std::chrono_literals;

#ifdef __cpp_exceptions
kevent::Task<int> wait(kevent::Queue& queue);
kevent::Task<int> wait(kevent::Queue& queue) {
  co_await queue.after(1ms);
  co_await queue.until(std::chrono::system_clock::now());
  co_await queue.ready(0, kevent::Interest::kRead);
  co_await queue.exit_of(1);
  co_await queue.signal(1);
  std::array<std::byte, 1> buffer;
  co_await queue.write(0, buffer, 0);
  co_await queue.sync(0);
  co_return static_cast<int>(co_await queue.read(0, buffer, 0));
}
#endif

int main() {
  std::error_code error;
  kevent::Queue queue(error);
  kevent::Timer timer(queue, [](const kevent::Expiration&) {}, error);
  kevent::SystemCookieTimer date(queue, &error, error);
  timer.expires_after(1ms, 1.5s, error);
  timer.expires_at(std::chrono::steady_clock::now(), error);
  date.expires_at(std::chrono::system_clock::now(), 1ms, error);
  timer.expires_every(std::chrono::duration<float>(2), error);
  std::array<kevent_setting, 2> settings = {timer.setting_after(1s),
                                            date.setting_at(std::chrono::system_clock::now())};
  kevent::set(settings, error);
  const kevent::DescriptorWatch watch(queue, 0, kevent::Interest::kRead | kevent::Interest::kWrite,
                                      [](const kevent::Readiness&) {}, kevent::Trigger::kEdge,
                                      error);
  const kevent::SignalWatch signal(queue, 1, [] {}, error);
  const kevent::ProcessWatch process(queue, 1, [](const kevent::ProcessExit&) {}, error);
  const kevent::UserEvent event(queue, [](const kevent::Notification&) {}, 0, error);
  std::array<std::byte, 1> buffer = {};
  const auto read = kevent::Operation::read(queue, 0, buffer, 0, [] {}, error);
  const auto write = kevent::Operation::write(queue, 0, buffer, 0, &buffer, error);
  const auto sync = kevent::Operation::sync(queue, 0, [](const kevent::Completion&) {}, error);
  std::array<ukevent, 8> room;
  queue.dispatch(queue.collect(room, 0, error));
  queue.collect_for(room, 1ms, 1, error);
  queue.collect_until(room, std::chrono::steady_clock::now(), 1, error);
  queue.run_for(1ms, error);
  queue.run_until(std::chrono::system_clock::now(), error);
  queue.stop();
  queue.run(error);
  queue.poll(error);
#ifdef __cpp_exceptions
  timer.expires_after(1ms);
  timer.cancel();
  return wait(queue).done() ? 0 : 1;
#endif
}
CC

strict=(-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wold-style-cast
  -Wnon-virtual-dtor -Woverloaded-virtual -Wnull-dereference -Wformat=2 -Wcast-align
  -Wredundant-decls -Wmissing-declarations -Wundef -Wswitch-enum -Werror)

compiled=0
# compile COMPILER OPTION...
compile() {
  if ! "$@" -D_POSIX_C_SOURCE=200809L -I "$include_dir"; then
    echo "failed: $*"
    exit 1
  fi
  compiled=$((compiled + 1))
}

# Some warnings come of optimising, and what throws is refused by its call.
object=(-c -o "$directory/object.o")

for compiler in "$@"; do
  more=()
  case $("$compiler" --version) in
    *clang*) more=(-Wdocumentation -Wextra-semi -Wshadow-all) ;;
    *) more=(-Wduplicated-cond -Wlogical-op -Wuseless-cast -Wextra-semi) ;;
  esac
  for header in "$include_dir"/kevent/*.hpp; do
    echo "#include <kevent/$(basename "$header")>" >"$directory/alone.cc"
    compile "$compiler" -std=c++20 "${strict[@]}" "${more[@]}" -fsyntax-only "$directory/alone.cc"
  done
  for way in "-O2" "-O0 -fno-exceptions -fno-rtti"; do
    read -r -a options <<<"$way"
    compile "$compiler" -std=c++20 "${options[@]}" "${strict[@]}" "${more[@]}" "${object[@]}" \
      "$directory/uses.cc"
  done
  for way in -std=gnu++20 -std=c++2b "-D_FILE_OFFSET_BITS=64 -D_TIME_BITS=64" -DKEVENT_NO_BINDING \
    -DKEVENT_WEAK; do
    read -r -a options <<<"$way"
    compile "$compiler" -std=c++20 "${options[@]}" "${strict[@]}" "${more[@]}" -fsyntax-only \
      "$directory/uses.cc"
  done
  cat >"$directory/throws.cc" <<'CC'
#include <kevent/kevent.hpp>
int main() { kevent::Queue queue; }
CC
  if "$compiler" -std=c++20 -fno-exceptions -I "$include_dir" -c "$directory/throws.cc" \
    -o "$directory/object.o" 2>"$directory/said"; then
    echo "failed: $compiler without exceptions takes what throws"
    exit 1
  fi
  grep -q 'pass a std::error_code' "$directory/said"
  if "$compiler" -std=c++17 -I "$include_dir" -fsyntax-only "$directory/throws.cc" \
    2>"$directory/said"; then
    echo "failed: $compiler takes C++17"
    exit 1
  fi
  grep -q 'needs C++20' "$directory/said"
done
echo "compiled in $compiled ways by $*"
[[ $compiled -gt 0 ]]
