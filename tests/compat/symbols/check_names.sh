#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# check_names.sh SOURCE INCLUDE_DIR COMPILER...: which function a name of POSIX stands
# for in a program that includes the public header, wherever it does.

set -euo pipefail

source=$1 include_dir=$2
shift 2

directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT

timers="timer_create timer_delete timer_getoverrun timer_gettime timer_settime"
others="aio_cancel aio_fsync aio_read aio_suspend aio_write getaddrinfo_a lio_listio mq_notify"

# The names among those above that the object wants, those of 64 bits by the short name.
wanted() {
  nm --undefined-only --format=posix "$directory/object" | cut -d ' ' -f 1 | sed 's/64$//' |
    grep -E "^(kevent_)?(${timers// /|}|${others// /|})\$" | sort | tr '\n' ' '
}

named() {
  local prefix=$1 name
  shift
  for name in "$@"; do echo "$prefix$name"; done
}

failures=0
tried=0
for compiler in "$@"; do
  for mode in "c c11" "c++ c++17"; do
    read -r language standard <<<"$mode"
    for define in -UKEVENT_WEAK -DKEVENT_WEAK -DKEVENT_NO_BINDING; do
      # shellcheck disable=SC2086 # each is a list
      case $define in
        -DKEVENT_WEAK) expected=$(named kevent_ $timers && named '' $timers $others) ;;
        -DKEVENT_NO_BINDING) expected=$(named '' $timers $others) ;;
        *) expected=$(named kevent_ $timers $others) ;;
      esac
      expected=$(sort <<<"$expected" | tr '\n' ' ')
      for order in "" -DBEFORE -DEARLY; do
        for widths in "" "-D_FILE_OFFSET_BITS=64 -D_TIME_BITS=64"; do
          # shellcheck disable=SC2206 # several words or none
          command=("$compiler" -x "$language" "-std=$standard" -D_GNU_SOURCE "$define" $order
            $widths -O2 -Wall -Wextra -Wpedantic -Wredundant-decls -Werror -fPIC
            -I "$include_dir" -c "$source" -o "$directory/object")
          tried=$((tried + 1))
          if said=$("${command[@]}" 2>&1); then
            found=$(wanted)
            [[ $found != "$expected" ]] || continue
            printf 'expected: %s\nfound:    %s\n' "$expected" "$found"
          # clang cannot, and must say so rather than take the C library's.
          elif [[ $order == -DEARLY && $define != -DKEVENT_NO_BINDING &&
            $said == *"after its first use"* && $("$compiler" --version) == *clang* ]]; then
            continue
          else
            printf '%s\n' "$said"
          fi
          echo "FAILED: ${command[*]}"
          failures=$((failures + 1))
        done
      done
    done
  done
done
echo "$tried compiled, by $*"
[[ $failures -eq 0 && $tried -gt 0 ]]
