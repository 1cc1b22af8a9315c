#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# trace.sh KEVRUN KNOWN...: kevrun --trace writes a well-formed timeline that has what the program, which
# knows what it does (report/known.c), has done, whether it exits or is killed.

set -euo pipefail

kevrun=$(realpath "$1")
shift
if ! command -v python3 >/dev/null; then
  echo "Skipped: there is no python3 here, which reads the JSON."
  exit 77
fi
script=$(dirname "$(realpath "${BASH_SOURCE[0]}")")/expect_trace.py
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"
unset LD_PRELOAD
failures=0
options=()

fail() {
  echo "FAILED: $*"
  failures=$((failures + 1))
}

# expect MODE [STATUS]
expect() {
  local status=0
  { "$kevrun" "${options[@]}" --trace=trace.json "$known" "$1" >out 2>err || status=$?; } 2>killed
  [[ $status -eq ${2:-0} ]] || fail "$known $1: status $status"
  python3 "$script" trace.json "$1" || fail "$known $1: the trace above"
}

for known in "$@"; do
  for mode in counts operations operations_beside forked threads ring handler; do expect "$mode"; done
  for mode in two_readers stays many_threads one_is_left called_in_turn; do expect "$mode"; done
  options=(--threads)
  expect called_in_turn
  options=()
  expect killed 137
done

expect threads
grep -q 'lacks the oldest [0-9]* records' err || fail "what is dropped is not told: $(cat err)"
expect many_threads
grep -q 'lacks [0-9]* records of threads that found no ring, as 63 have one at a time: [0-9]' err ||
  fail "what threads have no ring is not told: $(cat err)"
(ulimit -f 1 && exec "$kevrun" --trace=/dev/null "$known" counts 2>err) || fail "with a limit of files"
grep -q 'lacks process [0-9]*: no file' err || fail "with a limit of files it says: $(cat err)"
"$kevrun" --trace=/dev/null "$known" no_room_at_first 2>err || fail "no_room_at_first"
grep -q 'lacks process [0-9]*: no file' err || fail "with no room at first, half a trace: $(cat err)"
for status_of in "125 0" "3 3"; do
  status=0
  "$kevrun" --trace=/dev/full sh -c "exit ${status_of#* }" 2>err || status=$?
  [[ $status -eq ${status_of% *} ]] || fail "a full file after exit ${status_of#* }: status $status"
done
status=0
"$kevrun" --trace=nothing/trace touch ran 2>err || status=$?
[[ $status -eq 125 && ! -e ran ]] || fail "a file that cannot be written: status $status"
status=0
"$kevrun" --trace=trace.json --report true 2>err || status=$?
[[ $status -eq 2 ]] || fail "--trace with --report: status $status"

[[ $failures -eq 0 ]] && echo "the traces have what the program has done"
