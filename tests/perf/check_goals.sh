#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# check_goals.sh TABLE WANTED
#
# The programs of the benchmark have written into TABLE what the library is to reach: all
# rows of WANTED with their bounds and no other ones, in any order, each with a verdict.

set -euo pipefail
table=$1
wanted=$2

# Without spaces at the ends of fields.
rows() {
  sed -E 's/ *\| */|/g; s/^\|//; s/\|$//' "$@"
}

rows "$table" | cut -d'|' -f1-3 | sort >"$table.rows"
grep -v '^#' "$wanted" | sort >"$table.wanted"
missing=$(comm -13 "$table.rows" "$table.wanted")
surplus=$(comm -23 "$table.rows" "$table.wanted")
failed=0
if [[ -n $missing ]]; then
  echo "not in the table: $missing"
  failed=1
fi
if [[ -n $surplus ]]; then
  echo "in the table, and not wanted: $surplus"
  failed=1
fi
while IFS='|' read -r what _ bound measured reached; do
  bound=${bound#≥ }
  case $reached in
    -) [[ $measured == "not measured" ]] && continue ;;
    yes) awk -v a="${measured%% *}" -v b="$bound" 'BEGIN { exit !(a >= b) }' && continue ;;
    NO) awk -v a="${measured%% *}" -v b="$bound" 'BEGIN { exit !(a <= b) }' && continue ;;
  esac
  echo "$what: measured '$measured', wanted '$bound', reached '$reached'"
  failed=1
done < <(rows "$table")
exit "$failed"
