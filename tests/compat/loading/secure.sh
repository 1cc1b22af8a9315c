#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# secure.sh LIBRARY PROGRAM LINKED: a program that runs with more rights than who
# started it.  The loader does not preload into it; a linked one has the library.

set -euo pipefail

library=$1 program=$2 linked=$3
if [[ $(id -u) -ne 0 ]] || ! command -v setpriv >/dev/null; then
  echo "Skipped: only root can make such a program."
  exit 77
fi
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
chmod 755 "$directory"
install -m 4755 "$program" "$directory/program"
install -m 4755 "$linked" "$directory/linked"
install -m 644 "$library" "$directory/libkevent.so.0"

as_nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
if [[ $(as_nobody "$directory/program") != "secure: not there" ]]; then
  echo "Skipped: set-user-ID has no effect in $directory."
  exit 77
fi
[[ $(as_nobody env "LD_PRELOAD=$directory/libkevent.so.0" "$directory/program" 2>/dev/null) == \
  "secure: not there" ]]
[[ $(as_nobody "$directory/linked") == "secure: works" ]]
echo "not preloaded, works when linked"
