#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# rows.sh KEVRUN ROWS WITHOUT_IO_URING: what the program observes is the same with `kevrun --aio`, and
# without an io_uring.

set -euo pipefail

kevrun=$1 rows=$2 without_io_uring=$3
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"
unset LD_PRELOAD

"$rows" >plain
[[ $(wc -l <plain) -gt 500 ]] || { echo "FAILED: the table is short" && exit 1; }

# same OUTPUT COMMAND...: the program's table is that of the C library.
same() {
  local out=$1
  shift
  "$@" >"$out"
  diff plain "$out" || { echo "FAILED: $* differs" && exit 1; }
}
same with_adapter "$kevrun" --aio "$rows"
same without_io_uring "$without_io_uring" "$kevrun" --aio "$rows"
same library_alone "$kevrun" "$rows"
echo "$(wc -l <plain) rows are the same"
