#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# report.sh KEVRUN KNOWN...: kevrun --report says of a program that knows what it does just that, of
# children and programs that it executes as well, while it runs and after it was killed.  Each KNOWN is
# known.c, one that calls the library's own names and one that calls those of POSIX.

set -euo pipefail

# shellcheck source-path=SCRIPTDIR source=known.sh
source "$(dirname "${BASH_SOURCE[0]}")/known.sh"
shift
skip_without_python

for known in "$@"; do
  for mode in counts thousand threads handler handler_first callbacks again forked operations operations_beside ring too_many \
    one_after_the_other executed called_in_turn asked_twice freed_by_handler; do
    expect report "$mode"
  done
  options=(--threads)
  for mode in called_in_turn callbacks asked_twice; do expect report "$mode"; done
  options=()
  for _ in {1..10}; do
    expect report first_together
    [[ ! -s err ]] || fail "$known first_together says: $(cat err)"
  done
  expect report killed 137
done

# ---- Of a process that goes on without kevrun, and of one that was killed ----

# All that remains is removed with the directory.
mkdir -m 0700 runtime
export XDG_RUNTIME_DIR=$directory/runtime
rm -f daemon
"$kevrun" --report=report.json "$known" daemonized
until [[ -e daemon ]]; do sleep 0.05; done
daemon=$(cat daemon)
"$kevrun" --report-of "$daemon" --report=live.json
judge report live.json daemonized || fail "--report-of a process that runs"
"$kevrun" --report-of "$daemon" | grep -q "(process $daemon): runs" || fail "--report-of: no table"
kill -9 "$daemon"
while [[ -e /proc/$daemon/exe ]]; do sleep 0.05; done
"$kevrun" --report-of="$daemon" --report=dead.json
judge report dead.json daemonized || fail "--report-of a process that was killed"
"$kevrun" --report-of 1 >out 2>&1 && fail "there is a report of a stranger"
grep -q 'process 1: it does not run.*this user.*XDG_RUNTIME_DIR' out ||
  fail "--report-of 1 says: $(cat out)"
echo before >kept
status=0
"$kevrun" --report-of 1 --report=kept 2>/dev/null || status=$?
[[ $status -eq 1 && $(cat kept) == before ]] || fail "--report-of 1: status $status, $(cat kept)"

# One that makes its first timer when kevrun has ended keeps the folder, which later runs remove.
rm -rf daemon go runtime/kevrun
"$kevrun" --report=report.json "$known" daemonized_late
touch go
until [[ -e daemon ]]; do sleep 0.05; done
daemon=$(cat daemon)
"$kevrun" --report-of "$daemon" --report=live.json || fail "--report-of a process that was late"
judge report live.json daemonized || fail "--report-of a process that was late"
touch -d '2 days ago' runtime/kevrun/run-*
"$kevrun" --report=table.txt true
[[ $(ls runtime/kevrun) == run-* ]] || fail "the folder of a process that runs is gone"
kill -9 "$daemon"
while [[ -e /proc/$daemon/exe ]]; do sleep 0.05; done
"$kevrun" --report=table.txt true
"$kevrun" --report-of "$daemon" >/dev/null || fail "the report of a process is gone at once"
touch -d '2 days ago' runtime/kevrun/run-*
"$kevrun" --report=table.txt true
[[ -z $(ls runtime/kevrun) ]] || fail "left behind: $(ls -R runtime/kevrun)"

# Tables of children are there however long the command goes on without a table or the folder's name.
rm -f waits go
"$kevrun" --report=report.json sh -c \
  "'$known' thousand; exec env -i sh -c 'touch waits; until test -e go; do sleep 0.05; done'" &
supervisor=$!
until [[ -e waits ]]; do sleep 0.05; done
touch -d '2 days ago' runtime/kevrun/run-*
"$kevrun" --report=table.txt true
flock --nonblock runtime/kevrun/run-* true && fail "the folder of a run has no lock for systemd-tmpfiles"
touch go
wait "$supervisor" || fail "a long run: status $?"
judge report report.json thousand || fail "a long run"
[[ -z $(ls runtime/kevrun) ]] || fail "left behind: $(ls -R runtime/kevrun)"

# One table at a time is in kevrun's memory.
rm -f report.json
(ulimit -v 200000 && exec "$kevrun" --report=report.json "$known" family) || fail "family: status $?"
judge report report.json family || fail "family"
unset XDG_RUNTIME_DIR

# ---- The table, and where it goes ----

"$kevrun" --report "$known" counts 2>table
grep -q 'replaced_in_queue\|queue_timer' table || fail "the table does not name a function: $(cat table)"
grep -q '~' table || fail "the table does not say what is computed: $(cat table)"
"$kevrun" --report=table.txt "$known" counts 2>err
grep -q '^timers' table.txt || fail "the file has no table: $(cat table.txt)"
[[ ! -s err ]] || fail "with a file it says: $(cat err)"
"$kevrun" --report true 2>table
grep -q 'kevrun saw no timer' table || fail "of a program without timers it says: $(cat table)"
status=0
"$kevrun" --report ./nothing 2>err || status=$?
[[ $status -eq 127 ]] || fail "a program that is not there: status $status"
# shellcheck disable=SC2016 # for the inner shell to expand
[[ $("$kevrun" --report=table.txt sh -c 'echo "$0"; exit 0' word) == word ]] || fail "no words"

"$kevrun" --report=table.txt "$known" names || fail "names"
for name in v i; do
  grep -q "^  $name+0x\|^  queue_timer+0x.*queue" table.txt || fail "$name is not named: $(cat table.txt)"
done
"$kevrun" --help | grep -q -- '--report-of=TEXT' || fail "--help has no --report-of"

# Where there is no room for what is counted, the program runs without, which is told.
(ulimit -f 1 && exec "$kevrun" --report "$known" counts 2>err) || fail "with a limit of files"
grep -q 'Process [0-9]* is not in this report: .*RLIMIT_FSIZE' err ||
  fail "with a limit of files it says: $(cat err)"
"$kevrun" --report "$known" no_room_at_first 2>err || fail "no_room_at_first"
for said in 'Process [0-9]* is not in this report: .*RLIMIT_FSIZE' 'kevrun saw no timer'; do
  grep -q "$said" err || fail "with no room at first, half a report: $(cat err)"
done

file_is_no_good report

# ---- Signals to kevrun ----

rm -f waits
"$kevrun" --report=report.json "$known" waits &
supervisor=$!
until [[ -e waits ]]; do sleep 0.05; done
"$kevrun" --report-of "$supervisor" | grep -q 'known.*: runs' || fail "--report-of kevrun's number"
kill -TERM "$supervisor"
status=0
wait "$supervisor" || status=$?
[[ $status -eq 15 ]] || fail "after SIGTERM to kevrun: status $status"
judge report report.json waits || fail "after SIGTERM"

# ---- Nothing is left behind ----

XDG_RUNTIME_DIR=$directory "$kevrun" --report=table.txt "$known" counts
[[ -d kevrun && -z $(ls -A kevrun) ]] || fail "left behind: $(ls -R kevrun)"
chmod 755 kevrun
XDG_RUNTIME_DIR=$directory "$kevrun" --report=table.txt "$known" counts || fail "no other folder is taken"
mkdir -m 0777 theirs
XDG_RUNTIME_DIR=$directory/theirs "$kevrun" --report=table.txt "$known" counts || fail "no other folder is taken"
[[ -z $(ls -A theirs) ]] || fail "a runtime folder that others may write to is taken"

finish "the reports say what the program knows"
