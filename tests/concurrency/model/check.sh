#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Checks queue.pml: each scenario to the end of its state space, without an error;
# and with each decisive step taken out, which must be found.

set -euo pipefail
here=$(realpath "$(dirname "$0")")
model=$here/queue.pml
core=$here/../../../core

if ! command -v spin >/dev/null || ! command -v gcc >/dev/null; then
  echo "Skipped: there is no spin here."
  exit 77
fi
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT

# explore NAME OPTIONS DEFINITION...: the verifier's report of one configuration;
# options of its compiler, in one word.  It takes up to $memory MB, 1500 if that is not set.
explore() {
  local place=$directory/$1
  local options
  read -r -a options <<<"$2"
  shift 2
  mkdir "$place"
  (
    cd "$place"
    cp "$model" .
    spin -a "$@" queue.pml >spin.log 2>&1 || { cat spin.log >&2 && exit 1; }
    gcc "${options[@]}" -w -DSAFETY -DVECTORSZ=512 -DMEMLIM="${memory:-1500}" -o pan pan.c
    # Invalid end states are no errors: the monitor says what the end must be.
    ./pan -E -m100000 ${pan_options:+"$pan_options"} >report 2>&1 || true
    cat report
  )
}

# holds SCENARIO DEFINITION...: no error in the full state space.
holds() {
  local name=holds.$1 report
  shift
  report=$(explore "$name" "-O2 -DCOLLAPSE" "$@")
  if ! grep -q 'errors: 0' <<<"$report"; then
    printf '%s: does not hold\n%s\n' "$name" "$(tail -n 30 <<<"$report")" >&2
    return 1
  fi
  if grep -q -E 'not completed|max search depth|MEMLIM' <<<"$report"; then
    printf '%s: not explored to the end\n%s\n' "$name" "$(tail -n 30 <<<"$report")" >&2
    return 1
  fi
  awk -v name="${name#holds.}" '/states, stored/ { states = $1 }
    /elapsed time/ { printf "%-28s holds, %9d states, %5.1f s\n", name, states, $4 }' <<<"$report"
}

# bounded SCENARIO DEFINITION...: no error in what a table of 2^32 bits has room
# for, where the full state space takes more memory than there may be.
bounded() {
  local name=bounded.$1 report
  shift
  report=$(pan_options=-w32 explore "$name" "-O2 -DBITSTATE" "$@")
  if ! grep -q 'errors: 0' <<<"$report" || grep -q 'max search depth' <<<"$report"; then
    printf '%s: does not hold\n%s\n' "$name" "$(tail -n 30 <<<"$report")" >&2
    return 1
  fi
  awk -v name="${name#bounded.}" '/states, stored/ { states = $1 } /hash factor/ { factor = $3 }
    /elapsed time/ { printf "%-28s holds, %9d states (hash factor %s), %5.1f s\n",
      name, states, factor, $4 }' <<<"$report"
}

# finds TAKEN_OUT DEFINITION...: without this step, which the code names, there is
# an error, and breadth first it is soon found.
finds() { finds_by "-O0 -DBFS" "$@"; }

# The same for an error that lies deep.
finds_deep() { finds_by "-O2 -DCOLLAPSE" "$@"; }

finds_by() {
  local report by=$1
  shift
  if ! grep -q -r -w "$1" "$core"; then
    echo "$1: no step of core/ is named so" >&2
    return 1
  fi
  report=$(explore "finds.$1" "$by" "-D$1" "${@:2}")
  if ! grep -q 'errors: 1' <<<"$report"; then
    printf '%s: nothing found\n%s\n' "$1" "$(tail -n 30 <<<"$report")" >&2
    return 1
  fi
  awk -v name="$1" '/elapsed time/ { printf "%-40s found, %5.1f s\n", name, $4 }' <<<"$report"
}

twice=("-DARMER=2,1,NO_MORE")
thrice=("-DARMER=1,0,2")
# Descriptors are watched: a collection that takes all has its harvest withdraw the
# announcement, and one that does not finds it taken.
watching=(-DWATCHES -DARMERS_OF_TWO -DTIMERS=2)
takes_all=("${watching[@]}" -DFIRST_OF_SECOND=2 -DMAX_NR=2)
takes_one=("${watching[@]}" -DFIRST_OF_SECOND=1 -DMAX_NR=1)
batch=(-DTIMERS=2 -DBATCH=1 -DFIRST_OF_SECOND=1 -DMAX_NR=1)
later_first=(-DTIMERS=2 -DBATCH=2 -DFIRST_OF_SECOND=1)
# Collectors have a second kernel timer.
second=(-DSECOND_TIMER)
second_and_two=("${second[@]}" -DBOTH -DTIMERS=2)
second_while_held=("${second[@]}" -DTIMERS=2 -DBATCH=1 -DFIRST_OF_SECOND=2 -DMIN_NR=2 -DMAX_NR=2)
two_to_come=(-DARMERS_OF_TWO -DTIMERS=2 -DFIRST_OF_SECOND=2 -DMIN_NR=2 -DMAX_NR=2)

first() {
  holds delete_and_reuse -DDELETE
  holds one_armer_twice "${twice[@]}"
  holds one_armer_thrice "${thrice[@]}"
  holds two_timers_max_1 -DARMERS_OF_TWO -DTIMERS=2 -DFIRST_OF_SECOND=1
  holds two_timers_in_one_call "${batch[@]}"
  holds two_timers_in_one_call_later_first "${later_first[@]}"
  finds TOLD_BEFORE_ALL_ARE_MARKED "${batch[@]}"
  holds close -DCLOSE
  holds close_two_collectors -DCLOSE -DCOLLECTORS=2
  finds_deep WITHOUT_SECOND_LOOK_AFTER_TELLING -DARMERS_OF_ONE
  finds INBOX_NOT_LOOKED_AT_AGAIN "${twice[@]}"
  finds WORD_IS_READ_FIRST "${thrice[@]}"
  finds MARK_IS_CLEARED_LAST "${thrice[@]}"
  holds watching_takes_all "${takes_all[@]}"
  finds WITHDRAWAL_IS_FORGOTTEN "${takes_all[@]}"
  holds second_timer_one_armer_thrice "${second[@]}" "${thrice[@]}"
  holds second_timer_close "${second[@]}" -DCLOSE
  finds_deep LEFT_TO_A_TIMER_NOT_TOLD "${second[@]}" "${thrice[@]}"
}

second() {
  holds handler_in_an_armer -DHANDLER
  holds two_collectors "${twice[@]}" -DCOLLECTORS=2
  holds two_timers_min_2 "${two_to_come[@]}"
  holds two_armers_of_one_timer -DARMERS_OF_ONE
  holds watching_takes_one "${takes_one[@]}"
  finds WHAT_WAS_TAKEN_IS_LEFT_OFF "${takes_one[@]}"
  finds SIGNALS_NOT_BLOCKED -DHANDLER
  finds CLOSE_DOES_NOT_RING -DCLOSE
  finds_deep LEADER_IS_NOT_SUCCEEDED "${twice[@]}" -DCOLLECTORS=2
  finds ASKS_NOT_WHETHER_HELD "${two_to_come[@]}"
  finds HOLDS_WITHOUT_LOOKING_AGAIN "${two_to_come[@]}"
  finds CLAIM_DOES_NOT_COMPARE -DDELETE
  finds LIFE_IS_NOT_ASKED_FOR -DDELETE
  finds DELETE_DOES_NOT_DISARM -DDELETE
  holds second_timer_two_timers "${second_and_two[@]}"
  holds second_timer_while_held "${second_while_held[@]}"
  finds_deep PUT_OFF_WITHOUT_LOOKING_AGAIN "${second_and_two[@]}"
  finds_deep LEFT_WHILE_HELD "${second_while_held[@]}"
}

# The largest, only where there is time.
long() {
  [[ -n ${KEVENT_LONG:-} ]] || return 0
  memory=3000 holds handler_and_two_collectors -DHANDLER -DCOLLECTORS=2
  bounded close_under_two_armers -DCLOSE -DARMERS_OF_ONE
  bounded delete_under_two_collectors -DDELETE -DCOLLECTORS=2
}

first &
one=$!
second &
other=$!
failed=0
wait "$one" || failed=1
wait "$other" || failed=1
[[ $failed -ne 0 ]] || long
exit "$failed"
