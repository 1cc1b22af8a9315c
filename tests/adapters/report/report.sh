#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# report.sh KEVRUN KNOWN...: kevrun --report says of a program that knows what it does just that, of
# children and programs that it executes as well, while it runs and after it was killed.  Each KNOWN is
# known.c, one that calls the library's own names and one that calls those of POSIX.

set -euo pipefail

kevrun=$(realpath "$1")
shift
if ! command -v python3 >/dev/null; then
  echo "Skipped: there is no python3 here, which reads the JSON."
  exit 77
fi
script=$(dirname "$(realpath "${BASH_SOURCE[0]}")")/expect_report.py
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"
unset LD_PRELOAD
failures=0

fail() {
  echo "FAILED: $*"
  failures=$((failures + 1))
}

# expect MODE: the report of this mode is as expect_report.py knows.
expect() {
  local status=0
  rm -f report.json
  "$kevrun" --report=report.json "$known" "$1" >out || status=$?
  [[ $status -eq ${2:-0} ]] || fail "$known $1: status $status"
  python3 "$script" report.json "$1" out || fail "$known $1: the report above"
}

for known in "$@"; do
  for mode in counts thousand threads handler callbacks again forked operations ring too_many \
    one_after_the_other executed; do
    expect "$mode"
  done
  expect killed 137
done

# ---- Of a process that goes on without kevrun, and of one that was killed ----

rm -f daemon
"$kevrun" --report=report.json "$known" daemonized
until [[ -e daemon ]]; do sleep 0.05; done
daemon=$(cat daemon)
"$kevrun" --report-of "$daemon" --report=live.json
python3 "$script" live.json daemonized out || fail "--report-of a process that runs"
"$kevrun" --report-of "$daemon" | grep -q "(process $daemon): runs" || fail "--report-of: no table"
kill -9 "$daemon"
while [[ -e /proc/$daemon/exe ]]; do sleep 0.05; done
"$kevrun" --report-of="$daemon" --report=dead.json
python3 "$script" dead.json daemonized out || fail "--report-of a process that was killed"
"$kevrun" --report-of 1 >out 2>&1 && fail "there is a report of a stranger"
grep -q 'process 1: it does not run' out || fail "--report-of 1 says: $(cat out)"

# ---- The table, and where it goes ----

"$kevrun" --report "$known" counts 2>table
grep -q 'replaced_in_queue\|queue_timer' table || fail "the table does not name a function: $(cat table)"
grep -q '~' table || fail "the table does not say what is computed: $(cat table)"
"$kevrun" --report=table.txt "$known" counts 2>err
grep -q '^timers' table.txt || fail "the file has no table: $(cat table.txt)"
[[ ! -s err ]] || fail "with a file it says: $(cat err)"
"$kevrun" --report true 2>table
grep -q 'No process' table || fail "of a program without timers it says: $(cat table)"
status=0
"$kevrun" --report=nothing/report touch ran 2>err || status=$?
[[ $status -eq 125 && ! -e ran ]] || fail "a file that cannot be written: status $status"
grep -q 'nothing/report: No such file' err || fail "a file that cannot be written: $(cat err)"
status=0
"$kevrun" --report ./nothing 2>err || status=$?
[[ $status -eq 127 ]] || fail "a program that is not there: status $status"
# shellcheck disable=SC2016 # for the inner shell to expand
[[ $("$kevrun" --report=table.txt sh -c 'echo "$0"; exit 0' word) == word ]] || fail "no words"

# Where there is no room for what is counted, the program runs without.
(ulimit -f 1 && exec "$kevrun" --report=/dev/null "$known" counts) || fail "with a limit of files"

# ---- Signals to kevrun ----

rm -f waits
"$kevrun" --report=report.json "$known" waits &
supervisor=$!
until [[ -e waits ]]; do sleep 0.05; done
kill -TERM "$supervisor"
status=0
wait "$supervisor" || status=$?
[[ $status -eq 15 ]] || fail "after SIGTERM to kevrun: status $status"
python3 "$script" report.json waits out || fail "after SIGTERM"

# ---- Nothing is left behind ----

XDG_RUNTIME_DIR=$directory "$kevrun" --report=table.txt "$known" counts
[[ -d kevrun && -z $(ls -A kevrun) ]] || fail "left behind: $(ls -R kevrun)"
chmod 755 kevrun
XDG_RUNTIME_DIR=$directory "$kevrun" --report=table.txt "$known" counts || fail "no other folder is taken"

[[ $failures -eq 0 ]] && echo "the reports say what the program knows"
