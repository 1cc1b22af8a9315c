# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# Roots of Debian's releases, kept in the user's cache.  For scripts that have sourced script.sh.

# shellcheck source=tools/support/script.sh
: "${cannot:?}"

# As root, or as a user who is root in a namespace with a range of further users.
namespaces=(unshare --mount)
[[ $EUID -eq 0 ]] || namespaces+=(--map-root-user --map-auto)
# shellcheck disable=SC2034 # for the scripts
root_environment=(HOME=/root LANG=C.UTF-8
  PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)

# debian_root SUITE CACHE THING [PACKAGE...]: makes CACHE/root, with these packages, if it is not
# there: by one at a time, and who waited finds it made.  Ends the script, which says that there
# can be no THING, where there can be no such root.
debian_root() {
  local suite=$1 cache=$2 thing=$3
  shift 3
  "${namespaces[@]}" true 2>/dev/null || cannot_be_had "$thing" "'${namespaces[*]}' fails"
  mkdir -p "$cache"
  (
    flock 9
    [[ -d $cache/root ]] || make_debian_root "$suite" "$cache" "$thing" "$@"
  ) 9>"$cache/lock"
}

make_debian_root() {
  local suite=$1 cache=$2 thing=$3 packages lines status=0
  packages=$(IFS=, && echo "${*:4}")
  local root=$cache/root options=$cache/apt.conf
  ./tools/install-dependencies root || cannot_be_had "$thing" "there is no mmdebstrap"
  lines=$(debian_lines "$suite")
  [[ -n $lines ]] || cannot_be_had "$thing" "this system's apt knows no archive of Debian"
  echo "Making a root of Debian $suite in $root; this takes a while ..."
  # How this system reaches its mirror.
  (umask 077 && apt-config dump Acquire >"$options") # perhaps with a password
  # In a directory that becomes the root when it is complete.
  "${namespaces[@]}" rm -rf --one-file-system "$root.new"
  # A root that is not complete is made anew: no file of it need reach the disk before another.
  quietly "$cache/mmdebstrap.log" "${namespaces[@]}" mmdebstrap --mode=root --variant=apt \
    --dpkgopt=force-unsafe-io \
    ${packages:+"--include=$packages"} --aptopt="$options" --skip=output/dev \
    "$suite" "$root.new" - <<<"$lines" || status=1
  rm -f "$options"
  [[ $status -eq 0 ]] || fail "mmdebstrap failed, see above"
  mv "$root.new" "$root"
}
