#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# stress-ng's timer stressor: POSIX timers by signal as fast as they come.

# shellcheck source=tests/compat/programs/both_ways.sh
source "$(dirname "$0")/both_ways.sh"
needs stress-ng

# Numbers of processes, times and rates differ.
normalise() {
  sed -E -e 's/\[[0-9]+\]/[PID]/' -e 's/[0-9]+\.[0-9]+s|in [0-9.]+ secs?/TIME/g' \
    -e 's/[0-9]+(\.[0-9]+)?/N/g' -e 's/ +/ /g'
}

same stress-ng --timer 1 --timer-ops 2000 --timer-freq 20000 --verify --metrics-brief --no-rand-seed

# bogo operations, in the run with the library: as many as were asked for.
operations=$(cat "$directory"/preloaded.* | awk '$4 == "timer" && $5 ~ /^[0-9]+$/ { print $5 }')
if [[ -z $operations || $operations -lt 2000 ]]; then
  echo "stress-ng counted ${operations:-no} operations with the library preloaded" >&2
  cat "$directory"/preloaded.* >&2
  exit 1
fi
echo "operations: $operations"
