# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Sourced: runs commands without the library and with it, and compares what
# can be observed.  The script's first argument is what LD_PRELOAD is to be.

set -euo pipefail

preload=$1
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT

# needs PROGRAM...: skips the test where one is missing, or does not make timers.
needs() {
  local program
  for program in "$@"; do
    command -v "$program" >/dev/null && continue
    echo "Skipped: there is no $program here."
    exit 77
  done
}

# What a command leaves in $directory/$1: output, errors and exit status (of a
# signal 128 and its number).
observe() {
  local way=$1 status=0
  shift
  # Bash reports a signal that ended it: not ours to show.
  { "$@" >"$directory/$way.out" 2>"$directory/$way.err" </dev/null; } 2>/dev/null || status=$?
  echo "exit status $status" >>"$directory/$way.out"
}

# Fields that are times, and numbers that are chosen anew in each run.
normalise() { cat; }

# same COMMAND...: the same exit status, output and errors both ways.
same() {
  observe plain "$@"
  observe preloaded env "LD_PRELOAD=$preload" "$@"
  local stream
  for stream in out err; do
    normalise <"$directory/plain.$stream" >"$directory/expected"
    normalise <"$directory/preloaded.$stream" >"$directory/found"
    if ! diff -u --label plain --label preloaded "$directory/expected" "$directory/found"; then
      echo "Not the same with the library preloaded: $*" >&2
      exit 1
    fi
  done
  echo "same: $* ($(tail -n 1 "$directory/plain.out"))"
}
