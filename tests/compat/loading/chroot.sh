#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# chroot.sh LIBRARY PROGRAM: where there is no /proc, and nothing else.

set -euo pipefail

library=$1 program=$2
if [[ $(id -u) -ne 0 ]]; then
  echo "Skipped: only root can change the root directory."
  exit 77
fi
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cp "$program" "$directory/program"
cp -L "$library" "$directory/libkevent.so.0"
ldd "$program" "$library" | grep -o '/[^ ]*' | grep -v ':$' | sort -u |
  while IFS= read -r object; do
    mkdir -p "$directory$(dirname "$object")"
    cp -L "$object" "$directory$object"
  done
found=$(LD_PRELOAD=/libkevent.so.0 chroot "$directory" /program)
echo "$found"
[[ $found == works ]]
