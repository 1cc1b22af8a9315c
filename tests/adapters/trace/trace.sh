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

fail() {
  echo "FAILED: $*"
  failures=$((failures + 1))
}

# expect MODE [STATUS]
expect() {
  local status=0
  { "$kevrun" --trace=trace.json "$known" "$1" >out 2>err || status=$?; } 2>killed
  [[ $status -eq ${2:-0} ]] || fail "$known $1: status $status"
  python3 "$script" trace.json "$1" || fail "$known $1: the trace above"
}

for known in "$@"; do
  for mode in counts operations forked threads ring handler; do expect "$mode"; done
  expect killed 137
done

expect threads
grep -q 'lacks the oldest [0-9]* records' err || fail "what is dropped is not told: $(cat err)"
status=0
"$kevrun" --trace=nothing/trace touch ran 2>err || status=$?
[[ $status -eq 125 && ! -e ran ]] || fail "a file that cannot be written: status $status"
status=0
"$kevrun" --trace=trace.json --report true 2>err || status=$?
[[ $status -eq 2 ]] || fail "--trace with --report: status $status"

[[ $failures -eq 0 ]] && echo "the traces have what the program has done"
