#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# supervise.sh KEVRUN KNOWN: a command of kevrun --report has the signals that are sent to kevrun, and
# kevrun stops, goes on and ends as the command does.  KNOWN is observe/known.c.

set -euo pipefail

# shellcheck source-path=SCRIPTDIR source=../observe/known.sh
source "$(dirname "${BASH_SOURCE[0]}")/../observe/known.sh"
job=$here/../supervise/job.py

# start MODE: $supervisor is a kevrun in a process group of its own, and $command its command, which is
# ready.
start() {
  rm -f waits
  set -m
  "$kevrun" --report=/dev/null "$known" "$1" >out &
  supervisor=$!
  set +m
  until [[ -e waits ]]; do sleep 0.05; done
  command=$(pgrep -g "$supervisor" -f "^$known")
}

# ends STATUS WHAT: with that status.
ends() {
  local status=0
  wait "$supervisor" 2>killed || status=$?
  [[ $status -eq $1 ]] || fail "$2: status $status"
}

# ---- Signals to kevrun ----

# sent HOW: SIGUSR1 comes once to the program when HOW sends it to kevrun or to the group, whose number
# is kevrun's.
sent() {
  start signals
  "$1"
  kill -USR2 "$supervisor"
  ends 0 "$1"
  [[ $(cat out) == "signals 1" ]] || fail "$1: $(cat out)"
}
to_kevrun() { kill -USR1 "$supervisor"; }
to_group() { kill -USR1 -- "-$supervisor"; }
to_both() {
  kill -STOP "$supervisor"
  to_kevrun
  to_group
  kill -CONT "$supervisor"
}
for how in to_kevrun to_group to_both; do sent "$how"; done

# ---- Stops ----

# The first field behind the name, which may have anything in it (proc(5)).
is_stopped() { [[ $(sed 's/.*) //; s/ .*//' "/proc/$1/stat") == T ]]; }
await_stopped() { until is_stopped "$supervisor" && is_stopped "$command"; do sleep 0.05; done; }
# Both run, and kevrun is done with what it was sent: each process on the way to the command takes SIGWINCH
# last, by its number.
await_running() {
  local answers
  answers=$(stat -c %s out)
  while is_stopped "$supervisor" || is_stopped "$command"; do sleep 0.05; done
  kill -WINCH "$supervisor"
  until [[ $(stat -c %s out) -gt $answers ]]; do sleep 0.05; done
}

start answers
for signal in STOP TSTP; do
  for which in "$command" "$supervisor" "-$supervisor"; do
    # Nothing tells of a SIGSTOP to kevrun alone.
    [[ $signal == STOP && $which == "$supervisor" ]] && continue
    for then in "$command" "$supervisor" "-$supervisor"; do
      # One that all have together is for all to end.
      [[ $signal == STOP && $which == -* && $then == "$command" ]] && continue
      kill "-$signal" -- "$which"
      await_stopped
      kill -CONT -- "$then"
      await_running
    done
  done
done
kill -STOP "$command"
await_stopped
kill -KILL "$command"
ends 137 "a command that was killed while it was stopped"

# A key, and SIGTSTP, stop nobody in a group that no shell would have go on.
setsid --wait "$kevrun" --report=/dev/null sh -c 'kill -TSTP $$; kill -TSTP 0; exit 6' && status=0 || status=$?
[[ $status -eq 6 ]] || fail "in an orphaned process group: status $status"

# Without its monitor kevrun knows of no end of the command.
start waits
kill -KILL "$(ps -o ppid= -p "$command" | tr -d ' ')"
ends 137 "without the monitor"
kill -KILL "$command"

# ---- A job of a shell ----

if command -v python3 >/dev/null; then
  python3 -B "$job" "$kevrun" || fail "a job of a shell"
fi

finish "kevrun ends, stops and goes on as its command does"
