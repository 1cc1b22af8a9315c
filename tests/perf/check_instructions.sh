#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# usage: check_instructions.sh HOT_PATHS LIBRARY VALUES COMPILER BUILD_TYPE [UNDER...]
#
# Instructions of libkevent.so that a hot path takes, as callgrind counts them,
# beside the checked-in ones: at most 2 % more, and not more than 2 % less, since
# a gain that is not checked in can be lost unseen.  Other objects are not counted:
# under Valgrind the clock is read by a system call.  With KEVENT_BENCH_RECORD set
# to anything the values of this compiler are written anew.

set -euo pipefail

program=$1 library=$(realpath "$2") values=$3 compiler=$4 build_type=$5
skipped=77

if [[ $# -gt 5 ]]; then
  echo "Skipped: this build is one for ${*:6}, whose instructions are not those of a Release build."
  exit $skipped
fi

if ! command -v valgrind >/dev/null || ! command -v callgrind_annotate >/dev/null; then
  echo "Skipped: there is no valgrind here."
  exit $skipped
fi
if [[ $(uname -m) != x86_64 || $build_type != Release ]]; then
  echo "Skipped: the values are those of Release builds on x86-64, this is $build_type on $(uname -m)."
  exit $skipped
fi

directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT

# Instructions of libkevent.so in the turns of one run of the program.
instructions() {
  local out=$directory/$1-$2
  valgrind --tool=callgrind --callgrind-out-file="$out" --compress-strings=no --compress-pos=no \
    --toggle-collect=TakePath --quiet "$program" "$1" "$2" >&2
  # Lines of cost follow the object that they are of; the line after "calls=" is the
  # cost of what was called, which is counted where it is spent.
  awk -v library="$library" '
    /^ob=/ { ours = substr($0, 4) == library; next }
    /^calls=/ { getline; next }
    ours && /^[0-9+*-]/ { sum += $2 }
    END { print sum + 0 }' "$out"
}

few=1000 many=3000

# count PATH: instructions of one turn.
count() {
  local low high
  low=$(instructions "$1" "$few")
  high=$(instructions "$1" "$many")
  echo $(((high - low + (many - few) / 2) / (many - few)))
}

# near COUNT EXPECTED: within 2 %.
near() {
  [[ -n $2 ]] && (($1 * 100 <= $2 * 102 && $1 * 100 >= $2 * 98))
}

failed=0
measured=()
printf '%-10s %10s %12s\n' "" "measured" "checked in"
for path in settime batch gettime collect; do
  expected=$(awk -v c="$compiler" -v p="$path" '$1 == c && $2 == p { print $3 }' "$values")
  # A collection now and then moves other timers in the index, as time passes: on a busy
  # machine one of six counts was 0.5 % higher.
  for ((attempt = 0; attempt < 3; ++attempt)); do
    count=$(count "$path")
    ! near "$count" "$expected" || break
  done
  if [[ $count -eq 0 ]]; then
    echo "$path: callgrind saw no instruction of $library" >&2
    exit 1
  fi
  measured+=("$compiler $path $count")
  printf '%-10s %10d %12s\n' "$path" "$count" "${expected:-none}"
  if ! near "$count" "$expected"; then
    failed=1
    echo "  not within 2 %"
  fi
done

if [[ -n ${KEVENT_BENCH_RECORD:-} ]]; then
  { grep -v "^$compiler " "$values" || true; printf '%s\n' "${measured[@]}"; } >"$directory/values"
  cp "$directory/values" "$values"
  echo "Written to $values."
  exit 0
fi
if ! grep -q "^$compiler " "$values"; then
  echo "Skipped: no values of $compiler are checked in ($values)."
  exit $skipped
fi
if [[ $failed -ne 0 ]]; then
  echo "If it is meant to be so: KEVENT_BENCH_RECORD=1 ctest --test-dir <build> -R bench.instructions"
  exit 1
fi
