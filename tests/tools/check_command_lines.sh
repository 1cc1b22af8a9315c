#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# check_command_lines.sh PROGRAM=SOURCE[,SOURCE...]...
# check_command_lines.sh --scripts
#
# How each program, or each script of tools/, .ci/ and backends, takes its command line:
#   - --help prints, to the standard output alone, a usage, a sentence on what the program
#     does, and every option that the source knows; nothing else happens, status 0
#   - an option that it does not know, an argument too many and a word for a number are
#     each named on the standard error with a hint to --help, status 2
# An example whose main takes no arguments has no command line.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
failures=0
checked=0

fail() {
  echo "FAILED: $*"
  failures=$((failures + 1))
}

# run COMMAND...: its status and where its words are.
run() {
  status=0
  timeout 60 "$@" >"$directory/out" 2>"$directory/err" </dev/null || status=$?
}

# accepted SOURCE...: the options that are in them: those of a script's case, or those of
# each way that is in use here to read options in C and C++.
accepted() {
  if [[ $1 != *.c && $1 != *.cc ]]; then
    grep -hoP '^\s*(-[a-z-]+(=\*)?( \| )?)+(?=\))' "$@" | grep -oP -- '--[a-z_-]+' | sort -u || true
    return
  fi
  {
    # Abseil's flags, getopt_long, and comparisons.
    cat "$@" | tr '\n' ' ' | grep -oP 'ABSL_FLAG\([^,]+,\s*\K\w+' | sed 's/^/--/;s/_/-/g' || true
    cat "$@" | grep -oP '\{"\K[a-z_-]+(?=", (no|required|optional)_argument)' | sed 's/^/--/' || true
    cat "$@" | grep -oP '"\K--[a-z][a-z_-]*(?==?")' || true
  } | sort -u
}

# refused WORD ARGUMENT...: `program` takes none of it and names the word.
refused() {
  local word=$1
  shift
  run "$program" "$@"
  [[ $status -eq 2 ]] || fail "$program $*: status $status, not 2"
  [[ ! -s $directory/out ]] || fail "$program $*: printed on the standard output"
  grep -q -e "$word" "$directory/err" || fail "$program $*: does not name the argument"
  grep -q -e --help "$directory/err" || fail "$program $*: no hint to --help"
}

# check PROGRAM SOURCE...
check() {
  local program=$1 option
  shift
  checked=$((checked + 1))
  run "$program" --help
  [[ $status -eq 0 ]] || fail "$program --help: status $status"
  [[ ! -s $directory/err ]] || fail "$program --help: printed on the standard error"
  cp "$directory/out" "$directory/help"
  head -n 1 "$directory/help" | grep -q "^usage: .*${program##*/}" ||
    fail "$program --help: does not begin with the usage"
  sed '1,/^$/d' "$directory/help" | head -n 1 | grep -q '^[A-Z]' ||
    fail "$program --help: no sentence on what it does after the usage"
  accepted "$@" >"$directory/accepted"
  while IFS= read -r option; do
    grep -q -P -e "^ +$option(?![\w-])" "$directory/help" ||
      fail "$program --help: does not list $option"
  done <"$directory/accepted"
  while IFS= read -r option; do
    grep -q -x -e "$option" "$directory/accepted" || [[ $option == --help || $option == --benchmark_* ]] ||
      fail "$program --help: lists $option, which the source does not know"
  done < <(grep -oP '^ +\K--[a-z_-]+' "$directory/help")

  refused --no-such-option --no-such-option
  # Some take words, as many as three, some any command.
  grep -q '^usage: .* COMMAND' "$directory/help" || refused 'one\|two\|three\|four' one two three four
  while IFS= read -r option; do
    refused "${option%?N}.*no_number\|no_number.*${option%?N}\|no_number" "${option%?N}" no_number
  done < <(grep -oP '^ +\K--[a-z_-]+[= ]N(?!\w)' "$directory/help")
}

if [[ ${1:-} == --scripts ]]; then
  while IFS= read -r -d '' script; do
    check "./$script" "$script"
  done < <(find tools .ci {examples,tests,bench}/backends tests/port/clients -maxdepth 1 -type f -perm -u+x -print0 | sort -z)
else
  for argument in "$@"; do
    IFS=, read -r -a sources <<<"${argument#*=}"
    if [[ ${sources[0]} == */examples/* ]] && grep -q '^int main(\(void\)\?)' "${sources[@]}"; then
      continue
    fi
    check "${argument%%=*}" "${sources[@]}"
  done
fi
echo "$checked command lines were looked at"
[[ $failures -eq 0 && $checked -gt 0 ]]
