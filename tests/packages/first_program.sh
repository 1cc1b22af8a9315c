# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# The first program of README, for scripts that source this file.

# run_first_program README DIR OPTION...: compiles it with these options, and expects an expiration.
run_first_program() {
  local readme=$1 directory=$2 said
  shift 2
  awk '/^```c$/ { inside = 1; next } /^```$/ && inside { exit } inside' "$readme" >"$directory/first.c"
  grep -q '#include <kevent/kevent.h>' "$directory/first.c" || {
    echo "FAILED: $readme does not begin with a program"
    return 1
  }
  cc -Wall -Wextra "$directory/first.c" "$@" -o "$directory/first" || return 1
  # It would go on for ever; a pipe has all of a line or nothing.
  coproc first { exec timeout 60 stdbuf -oL "$directory/first"; }
  # shellcheck disable=SC2154 # set by coproc
  IFS= read -r said <&"${first[0]}" || said=''
  # shellcheck disable=SC2154
  kill "$first_PID" 2>/dev/null || true
  wait "$first_PID" 2>/dev/null || true
  echo "README's first program: $said"
  [[ $said == "cookie 2006: 0 overruns, "*" ns late" ]]
}
