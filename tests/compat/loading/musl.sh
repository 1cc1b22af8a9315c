#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# musl.sh LIBRARY: programs of another C library that inherit the preload, as CAVEATS of
# kevent(7) has it.

set -euo pipefail

library=$1
if ! command -v musl-gcc >/dev/null; then
  echo "Skipped: there is no musl-gcc here."
  exit 77
fi
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
printf 'int puts(const char *);\nint main(void) { puts("runs"); return 0; }\n' >"$directory/prog.c"
musl-gcc -o "$directory/dynamic" "$directory/prog.c"
musl-gcc -static -o "$directory/static" "$directory/prog.c"

status=0
said=$(LD_PRELOAD=$library "$directory/dynamic" 2>&1) || status=$?
[[ $status == 127 && $said == *"Error relocating $library"* && $said != *runs* ]]
# By its name alone the loader of musl looks for it where its own libraries are, and goes on.
[[ $(LD_PRELOAD=${library##*/} "$directory/dynamic") == runs ]]
export LD_PRELOAD=$library
[[ $(env -u LD_PRELOAD "$directory/dynamic") == runs ]]
[[ $("$directory/static") == runs ]]
