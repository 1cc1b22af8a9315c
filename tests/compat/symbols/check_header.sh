#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# check_header.sh SOURCE INCLUDE_DIR COMPILER...: the public header raises no
# warning in a strict program, with any of the compilers, in C and in C++,
# with functions that must be there and with weak ones, with the names of POSIX
# bound and not, whatever widths the program asks for, from C99 and C++11 on, and
# by itself from C90 on; and that a program that does not ask for POSIX is told so,
# in one line.

set -euo pipefail

source=$1
include_dir=$2
shift 2

compiled=0
for compiler in "$@"; do
  for mode in "c gnu90 alone" "c c90 alone" "c c99" "c gnu99" "c c11" "c gnu17" \
    "c++ c++11" "c++ c++17" "c++ gnu++20"; do
    read -r language standard alone <<<"$mode"
    what=$source
    # A program of that age declares and initialises in another way.
    [[ -z $alone ]] || what="-include kevent/kevent.h /dev/null"
    for define in -UKEVENT_WEAK -DKEVENT_WEAK -DKEVENT_NO_BINDING; do
      for widths in "" "-D_FILE_OFFSET_BITS=64 -D_TIME_BITS=64"; do
        # POSIX is asked for by the program, as a strict standard offers none.
        # shellcheck disable=SC2206 # several words each, or none
        command=("$compiler" -x "$language" "-std=$standard" -D_POSIX_C_SOURCE=200809L "$define"
          $widths -Wall -Wextra -pedantic-errors -Wredundant-decls -Werror
          -I "$include_dir" -fsyntax-only $what)
        if ! "${command[@]}"; then
          echo "failed: ${command[*]}"
          exit 1
        fi
        compiled=$((compiled + 1))
      done
    done
  done
  said=$(echo '#include <kevent/kevent.h>' |
    "$compiler" -x c -std=c11 -I "$include_dir" -fsyntax-only - 2>&1) && exit 1
  if [[ $(grep -c 'error:' <<<"$said") -ne 1 || $said != *"_POSIX_C_SOURCE"* ]]; then
    printf '%s\n' "$said"
    echo "failed: -std=c11 without POSIX is not one error that says what to do"
    exit 1
  fi
done
echo "compiled in $compiled ways by $*"
[[ $compiled -gt 0 ]]
