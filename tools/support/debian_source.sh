# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# Sources of Debian's packages, without a change to what this system's apt knows.  For scripts that
# have sourced script.sh.

# shellcheck source=tools/support/script.sh
: "${cannot:?}"

# debian_source PACKAGE DIRECTORY: makes the directory, with the sources of the release that this
# system is.  apt's lists of sources are kept beside it, in apt/.  Returns with $cannot, and says
# why, where the archive cannot be reached.
debian_source() {
  local package=$1 directory=$2
  local apt=${directory%/*}/apt
  local log=$apt/get.log
  mkdir -p "$apt/lists/partial" "$apt/archives/partial" || return 1
  if [[ ! -e $apt/updated ]]; then
    apt_of_sources "$apt" || return
    echo "Fetching the list of Debian's sources ..."
    if ! APT_CONFIG=$apt/apt.conf watched "$log" apt-get -q -o APT::Update::Error-Mode=any update; then
      tail -n 20 "$log"
      echo "apt-get cannot fetch the list of Debian's sources (see above; is there a network?)"
      return "$cannot"
    fi
    touch "$apt/updated"
  fi
  # In a directory that has its name when it is complete.
  rm -rf "$directory.new" "${apt:?}/$package"
  mkdir "$apt/$package" || return 1
  echo "Fetching the sources of $package ..."
  if fetch_source "$apt" "$package" "$log"; then
    quietly "$log" dpkg-source --no-check --extract "$apt/$package"/*.dsc "$directory.new" || return 1
  elif fetch_source "$apt" "$package" "$log" --tar-only; then
    echo "Debian's changes to $package cannot be fetched: these are the sources before them."
    mkdir "$directory.new" &&
      tar -x -f "$apt/$package"/*.orig.tar.* -C "$directory.new" --strip-components=1 || return 1
  else
    tail -n 20 "$log"
    echo "apt-get cannot fetch the sources of $package (see above; is there a network?)"
    rm -f "$apt/updated"
    return "$cannot"
  fi
  mv "$directory.new" "$directory"
}

# fetch_source APT PACKAGE LOG [OPTION]: apt-get compares what it fetches with the signed lists.
fetch_source() (
  cd "$1/$2" || exit 1
  export APT_CONFIG=$1/apt.conf
  watched "$3" apt-get -q source --download-only --only-source "${@:4}" "$2"
)

# apt_of_sources DIR: a configuration for apt-get, beside which lie the state and the cache.  What
# the system's says of proxies holds.
apt_of_sources() {
  local apt=$1 VERSION_CODENAME='' keys='' lines
  if ! command -v apt-get >/dev/null || [[ ! -r /etc/os-release ]]; then
    echo "There is no apt-get here."
    return "$cannot"
  fi
  # shellcheck source=/dev/null
  . /etc/os-release
  lines=$(debian_lines "$VERSION_CODENAME") || return 1
  if [[ -z $lines ]]; then
    echo "This system's apt knows no archive of Debian."
    return "$cannot"
  fi
  if [[ -r /usr/share/keyrings/debian-archive-keyring.gpg ]]; then
    keys='[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] '
  fi
  printf '%s\n' "${lines//deb /deb-src $keys}" >"$apt/sources.list" || return 1
  cat >"$apt/apt.conf" <<END
Dir::Etc::SourceList "$apt/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::State::Lists "$apt/lists";
Dir::Cache "$apt";
APT::Sandbox::User "$(id -un)";
END
}
