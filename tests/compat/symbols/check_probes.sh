#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# check_probes.sh LIBRARY PAGE: the library has the probes that kevent_probes(7) names, with as many
# arguments as there are to be, and no other ones.

set -euo pipefail

library=$1 page=$2
if ! readelf --notes "$library" | grep -q stapsdt; then
  echo "The library was built without <sys/sdt.h>."
  exit 77
fi

# Of the page the names of paragraphs between its description and its notes.
named=$(sed -n '/^\.SH DESCRIPTION/,/^\.SH NOTES/p' "$page" | sed -n '/^\.TP/{n;s/^\.B //p}' | sort)
found=$(readelf --notes --wide "$library" | sed -n -E 's/^ *Name: //p' | sort -u)
diff <(echo "$named") <(echo "$found") || {
  echo "FAILED: < named in the page, > found in the library"
  exit 1
}

declare -A arguments=([timer_create]=4 [timer_set]=4 [timers_set]=3 [timer_delete]=1 [timer_collected]=4
  [collect_begin]=3 [collect_end]=2 [kevent_collected]=3 [completion_collected]=3 [aio_begin]=4 [aio_end]=3)
while read -r name count; do
  [[ ${arguments[$name]} -eq $count ]] || {
    echo "FAILED: $name has $count arguments"
    exit 1
  }
done < <(readelf --notes --wide "$library" |
  sed -n -E '/^ *Name: /{s/^ *Name: //;h};/^ *Arguments: /{s/^ *Arguments: *//;H;x;s/\n/ /;p}' |
  awk '{ print $1, NF - 1 }')
providers=$(readelf --notes --wide "$library" | sed -n -E 's/.*Provider: //p' | sort -u)
[[ $providers == kevent ]] || {
  echo "FAILED: providers $providers"
  exit 1
}
