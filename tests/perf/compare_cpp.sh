#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# usage: compare_cpp.sh CPP_PATHS BUILD_TYPE [UNDER...]
#
# Instructions that a program takes itself for a hot path, by the C interface and by the C++
# headers, as callgrind counts them: by the headers not more.  A moment that is known only when
# the program runs is checked for what C does not look at, which may take instructions; and so
# does a callback that must be safe to destroy.  Those have bounds.

set -euo pipefail

program=$(realpath "$1") build_type=$2
skipped=77

if [[ $# -gt 2 ]]; then
  echo "Skipped: this build is one for ${*:3}, which adds instructions."
  exit $skipped
fi
if ! command -v valgrind >/dev/null || ! command -v callgrind_annotate >/dev/null; then
  echo "Skipped: there is no valgrind here."
  exit $skipped
fi
if [[ $(uname -m) != x86_64 || $build_type != Release ]]; then
  echo "Skipped: the bounds are those of Release builds on x86-64, this is $build_type on $(uname -m)."
  exit $skipped
fi

directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT

# instructions C|Cpp PATH TIMES: of the program, in one run.
instructions() {
  local out=$directory/out function
  function=$1$(tr '[:lower:]' '[:upper:]' <<<"${2:0:1}")${2:1}
  valgrind --tool=callgrind --callgrind-out-file="$out" --compress-strings=no --compress-pos=no \
    --toggle-collect="$function" --quiet "$program" "${1,,}" "$2" "$3" >&2
  # As in check_instructions.sh.
  awk -v object="$program" '
    /^ob=/ { ours = substr($0, 4) == object; next }
    /^calls=/ { getline; next }
    ours && /^[0-9+*-]/ { sum += $2 }
    END { print sum + 0 }' "$out"
}

few=200 many=1200

# count C|Cpp PATH: of one turn, in hundredths.
count() {
  local low high
  low=$(instructions "$1" "$2" "$few")
  high=$(instructions "$1" "$2" "$many")
  echo $(((high - low) * 100 / (many - few)))
}

failed=0
printf '%-10s %10s %10s %10s\n' "" "C" "C++" "may add"
while read -r path more; do
  c=$(count C "$path")
  cpp=$(count Cpp "$path")
  printf '%-10s %10d.%02d %7d.%02d %10d\n' "$path" $((c / 100)) $((c % 100)) $((cpp / 100)) \
    $((cpp % 100)) "$more"
  if [[ $c -eq 0 || $cpp -eq 0 ]]; then
    echo "callgrind saw no instruction of $program" >&2
    exit 1
  fi
  if ((cpp > c + more * 100)); then
    failed=1
    echo "  more than that"
  fi
done <<'PATHS'
after 0
collect 0
batch 0
at 10
callback 250
PATHS
exit "$failed"
