#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# jemalloc.sh LIBRARY PROGRAM: another allocator preloaded before us and after us.

set -euo pipefail

library=$1 program=$2
jemalloc=$(ldconfig -p | awk '$1 == "libjemalloc.so.2" { path = $NF } END { print path }')
if [[ -z $jemalloc ]]; then
  echo "Skipped: there is no libjemalloc.so.2 here."
  exit 77
fi
for preload in "$jemalloc:$library" "$library:$jemalloc"; do
  [[ $(LD_PRELOAD=$preload "$program") == works ]]
  # It allocates from within look-ups of symbols, and at the end.
  LD_PRELOAD=$preload timeout 60 python3 -c 'print(sum(range(1000)))' | grep -qx 499500
  echo "works: $preload"
done
