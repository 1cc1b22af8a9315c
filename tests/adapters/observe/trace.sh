#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# trace.sh KEVRUN KNOWN...: kevrun --trace writes a well-formed timeline that has what the program, which
# knows what it does (known.c), has done, whether it exits or is killed.

set -euo pipefail

# shellcheck source-path=SCRIPTDIR source=known.sh
source "$(dirname "${BASH_SOURCE[0]}")/known.sh"
shift
skip_without_python

for known in "$@"; do
  for mode in counts operations operations_beside forked threads ring handler; do expect trace "$mode"; done
  for mode in two_readers stays many_threads one_is_left called_in_turn; do expect trace "$mode"; done
  options=(--threads)
  expect trace called_in_turn
  options=()
  expect trace killed 137
done

expect trace threads
grep -q 'lacks the oldest [0-9]* records' err || fail "what is dropped is not told: $(cat err)"
expect trace many_threads
grep -q 'lacks [0-9]* records of threads that found no ring, as 63 have one at a time: [0-9]' err ||
  fail "what threads have no ring is not told: $(cat err)"
(ulimit -f 1 && exec "$kevrun" --trace=/dev/null "$known" counts 2>err) || fail "with a limit of files"
grep -q 'lacks process [0-9]*: no file' err || fail "with a limit of files it says: $(cat err)"
"$kevrun" --trace=/dev/null "$known" no_room_at_first 2>err || fail "no_room_at_first"
grep -q 'lacks process [0-9]*: no file' err || fail "with no room at first, half a trace: $(cat err)"
file_is_no_good trace
status=0
"$kevrun" --trace=trace.json --report true 2>err || status=$?
[[ $status -eq 2 ]] || fail "--trace with --report: status $status"

finish "the traces have what the program has done"
