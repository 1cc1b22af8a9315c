#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Checks that members.txt has every variable of queue.pml, that the engine declares
# them as it says there, and that the types of those that no lock protects have no
# accesses but sequentially consistent loads and read-modify-writes.

set -euo pipefail
here=$(realpath "$(dirname "$0")")
root=$here/../../..
failed=0

complain() {
  echo "$*" >&2
  failed=1
}

declared=$(sed '/Bookkeeping of the properties/q' "$here/queue.pml" |
  sed -n -E 's/^ *(byte|bool|Slot|Register) ([a-z]+)(\[[A-Z]+\])?( = [0-9a-z]+)?;.*/\2/p')
[[ $(wc -l <<<"$declared") -ge 15 ]] || complain "queue.pml: its variables are not found"
while IFS= read -r variable; do
  grep -q -E "^$variable " "$here/members.txt" || complain "$variable of queue.pml is not in members.txt"
done <<<"$declared"

while read -r variable file declaration; do
  [[ -n $variable && $variable != '#'* ]] || continue
  grep -q -F "$declaration" "$root/$file" || complain "$variable: $file does not declare $declaration"
done <"$here/members.txt"

for type in seq_cst atomic_pair; do
  header=core/base/$type.h
  accesses=$(sed -e 's|//.*||' -e 's/memory_order_seq_cst/SEQ_CST/g' -e 's/__ATOMIC_SEQ_CST/SEQ_CST/g' \
    "$root/$header") || accesses=
  grep -q SEQ_CST <<<"$accesses" || complain "$header: its accesses are not found"
  if grep -E 'memory_order|__ATOMIC|store' <<<"$accesses"; then
    complain "$header: not a sequentially consistent load or read-modify-write"
  fi
done
exit "$failed"
