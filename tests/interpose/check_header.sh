#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# check_header.sh SOURCE INCLUDE_DIR COMPILER...: the public header raises no
# warning in a strict program, with any of the compilers, in C and in C++,
# with functions that must be there and with weak ones.

set -euo pipefail

source=$1
include_dir=$2
shift 2

compiled=0
for compiler in "$@"; do
  for mode in "c c11" "c gnu17" "c++ c++17" "c++ gnu++20"; do
    read -r language standard <<<"$mode"
    for define in -UKEVENT_WEAK -DKEVENT_WEAK; do
      # POSIX is asked for by the program, as a strict standard offers none.
      command=("$compiler" -x "$language" "-std=$standard" -D_POSIX_C_SOURCE=200809L "$define"
        -Wall -Wextra -pedantic -Werror -I "$include_dir" -fsyntax-only "$source")
      if ! "${command[@]}"; then
        echo "failed: ${command[*]}"
        exit 1
      fi
      compiled=$((compiled + 1))
    done
  done
done
echo "compiled in $compiled ways by $*"
[[ $compiled -gt 0 ]]
