#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# porting.sh SOURCE_DIR BUILD_DIR WORK_DIR COMPILER: the programs of docs/porting.md compile, and
# say the same as the one on the queue.

set -euo pipefail

source_dir=$1
build_dir=$2
work=$3
compiler=$4
rm -rf "$work"
mkdir -p "$work"

# A program's first line has its file's name, and what else it is linked with.
awk -v work="$work" '
  /^```c$/ { in_it = 1; text = ""; next }
  /^```$/ && in_it { in_it = 0; print text >(work "/" name); next }
  in_it && text == "" { match($0, /[a-z_]+\.c/); name = substr($0, RSTART, RLENGTH) }
  in_it { text = text $0 "\n" }
' "$source_dir/docs/porting.md"

ran=0
for program in "$work"/*.c; do
  name=$(basename "$program" .c)
  libraries=()
  [[ $name != after ]] || libraries=(-I "$source_dir/include" -L "$build_dir" -lkevent "-Wl,-rpath,$build_dir")
  if other=$(sed -n '1s/.*: \(-l[a-z]*\) .*/\1/p' "$program") && [[ -n $other ]]; then
    libraries=("$other")
    [[ $other != -lkqueue ]] || libraries+=(-I/usr/include/kqueue -pthread)
    header=$(sed -n 's/^#include <\(liburing\|uv\|sys\/event\)\.h>.*/\1.h/p' "$program")
    if ! echo "#include <$header>" | "$compiler" -E "${libraries[@]}" - >/dev/null 2>&1; then
      echo "$name: there is no <$header> here"
      continue
    fi
  fi
  "$compiler" -std=gnu11 -Wall -Wextra -Werror "$program" "${libraries[@]}" -o "$work/$name"
  status=0
  said=$(timeout 60 "$work/$name") || status=$?
  if ((status == 77)); then
    echo "$name: cannot be had here"
    continue
  fi
  if ((status != 0)) || [[ $said != "three ticks" ]]; then
    echo "$name: status $status, says '$said'"
    exit 1
  fi
  ran=$((ran + 1))
done
echo "$ran programs say the same"
# The one on the queue, and those that need the C library alone.
((ran >= 5))
