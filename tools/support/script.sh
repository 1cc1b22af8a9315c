# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# The functions that the scripts of tools/ share.  They source this file in the project's directory,
# and define usage().

# other_argument ARGUMENT: for one that the script does not know.
other_argument() {
  case $1 in
    -h | --help) usage && exit 0 ;;
    -*) misused "unknown option '$1'" ;;
    *) misused "${2:-surplus argument} '$1'" ;;
  esac
}

# misused WHY, which names the argument: ends the script.
misused() {
  printf '%s: %s\nTry '\''%s --help'\''.\n' "${0##*/}" "$1" "$0" >&2
  exit 2
}

# fail WHY: ends the script.
fail() {
  echo "${0##*/}: $1" >&2
  exit 1
}

# A stage of tools/check that cannot be had on this system ends with this status.
# shellcheck disable=SC2034 # for the scripts
cannot=77

# cannot_be_had THING WHY: ends the script.
cannot_be_had() {
  echo "${0##*/}: there can be no $1 here: $2" >&2
  exit "$cannot"
}

# watched LOG COMMAND...: runs it with its output in the log, whose last line a terminal
# shows meanwhile.
watched() {
  local log=$1 watcher='' status=0
  shift
  mkdir -p "$(dirname "$log")"
  : >"$log"
  if [[ -t 1 ]]; then
    show_last_line "$log" &
    watcher=$!
  fi
  "$@" >"$log" 2>&1 || status=$?
  if [[ -n $watcher ]]; then
    kill "$watcher" 2>/dev/null || true
    wait "$watcher" 2>/dev/null || true
    printf '\r\033[K'
  fi
  return "$status"
}

# show_last_line LOG: each second, while the script runs: an interrupt does not reach what
# a script runs in the background.
show_last_line() {
  while sleep 1 && kill -0 $$ 2>/dev/null; do
    printf '\r\033[K   %s' "$(tail -n 1 "$1" | tr -d '\0\r' | cut -c -75)"
  done
}

# needs PROGRAM...: fails, and says so, where one of them is not installed.
needs() {
  local program missing=()
  for program in "$@"; do
    command -v "$program" >/dev/null || missing+=("$program")
  done
  [[ ${#missing[@]} -gt 0 ]] || return 0
  echo "Not installed, and needed: ${missing[*]} (tools/install-dependencies --help)"
  return 1
}

# quietly LOG COMMAND...: runs it as watched does, and shows the end of the log if it fails.
quietly() {
  local log=$1
  shift
  if ! watched "$log" "$@"; then
    tail -n 100 "$log"
    echo "The command was: $*"
    echo "All of its output: $log"
    return 1
  fi
}

# configured DIR LOG OPTION...: by Ninja, unless the directory was made with another
# generator, which it keeps.
configured() {
  local dir=$1 log=$2
  shift 2
  [[ -f $dir/CMakeCache.txt ]] || set -- -G Ninja "$@"
  quietly "$log" cmake -S . -B "$dir" "$@"
}

# debian_lines SUITE: the lines of a sources.list for that release of Debian, made of those
# that this system has for its own: whatever mirror they name.  None if it is not Debian.
debian_lines() {
  local suite=$1 ID='' VERSION_CODENAME=''
  # shellcheck source=/dev/null
  . /etc/os-release
  [[ $ID == debian && -n $VERSION_CODENAME ]] || return 0
  # shellcheck disable=SC2016 # for apt-get to expand
  apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
    sed -n -E "s/^(.*) $VERSION_CODENAME(|-updates|-security) (main)\$/deb \1 $suite\2 \3/p" | sort -u
}
