# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# For scripts that run known.c under kevrun, sourced with their arguments, KEVRUN KNOWN...: a directory
# of their own, checks that go on, and those of every option that observes.

kevrun=$(realpath "$1")
known=$2
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory" || exit
unset LD_PRELOAD
failures=0
options=() # of kevrun, beside the one that observes

fail() {
  echo "FAILED: $*"
  failures=$((failures + 1))
}

# skip_without_python: for what reads the JSON.
skip_without_python() {
  if ! command -v python3 >/dev/null; then
    echo "Skipped: there is no python3 here, which reads the JSON."
    exit 77
  fi
}

# judge OPTION FILE MODE: what is in the file is as expect_OPTION.py knows of known.c in this mode, which
# has printed what is in the file out.
judge() {
  python3 -B "$here/expect_$1.py" "$2" "$3" out
}

# expect OPTION MODE [STATUS]: so is what kevrun writes, and ends with this status.
expect() {
  local option=$1 mode=$2 wanted=${3:-0} status=0
  rm -f seen.json
  { "$kevrun" "${options[@]}" "--$option=seen.json" "$known" "$mode" >out 2>err || status=$?; } 2>killed
  [[ $status -eq $wanted ]] || fail "$known $mode: status $status, it says: $(cat err)"
  judge "$option" seen.json "$mode" || fail "$known $mode: the $option above"
}

# file_is_no_good OPTION: one that cannot be written in the end is a failure of kevrun's, but not before the
# command's; one that cannot be opened is one before the command has run.
file_is_no_good() {
  local option=$1 status_of status
  for status_of in "125 0" "3 3"; do
    status=0
    "$kevrun" "--$option=/dev/full" sh -c "exit ${status_of#* }" 2>err || status=$?
    [[ $status -eq ${status_of% *} ]] || fail "--$option: a full file after exit ${status_of#* }: status $status"
    grep -q '/dev/full: No space' err || fail "--$option: a full file: $(cat err)"
  done
  status=0
  "$kevrun" "--$option=nothing/file" touch ran 2>err || status=$?
  [[ $status -eq 125 && ! -e ran ]] || fail "--$option: a file that cannot be opened: status $status"
  grep -q 'nothing/file: No such file' err || fail "--$option: a file that cannot be opened: $(cat err)"
}

# finish WHAT: ends the script, with these words if nothing has failed.
finish() {
  [[ $failures -eq 0 ]] || exit 1
  echo "$*"
}
