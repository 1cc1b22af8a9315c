#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The example that copies a tree, with real trees.
#
#   copy_tree.sh PROGRAM...   the example, after what starts it if anything

set -euo pipefail
copy_tree=("$@")
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"

fail() {
  echo "FAILED: $*" >&2
  cat output >&2
  exit 1
}

# expect STATUS ARGUMENT...: its output is in output.
expect() {
  local wanted=$1 status=0
  shift
  "${copy_tree[@]}" "$@" >output 2>&1 || status=$?
  [[ $status -eq $wanted ]] || fail "status $status, expected $wanted: $*"
}

# in_output PATTERN
in_output() {
  grep -q -E "$1" output || fail "no line like: $1"
}

echo "== a tree"
mkdir -p 'source/a/b c/d' source/empty
for bytes in 0 1 4095 4096 65535 65536 65537 3000001; do
  head -c "$bytes" /dev/urandom >"source/a/b c/$bytes"
done
chmod 0640 'source/a/b c/1'
chmod 0751 source/a
ln -s '../no such target' source/a/dangling
ln -s a source/to_a
mkfifo source/fifo
expect 0 --resolve 127.0.0.1 --resolve 'no name' source/ target
in_output '^skipped: source/fifo$'
in_output '^name: localhost is '
in_output '^name: 127.0.0.1 is 127.0.0.1$'
in_output '^name: no name is [A-Z]'
in_output '^copied: 8 files, 3204801 bytes, 5 directories, 2 links, 0 errors$'
rm source/fifo
diff -r --no-dereference source target || fail "they differ"
modes() { (cd "$1" && find . ! -type l -printf '%m %p\n' | sort); }
[[ $(modes source) == "$(modes target)" ]] || fail "modes differ"

echo "== a target that exists, and a source that doesn't"
expect 1 source target
in_output 'target: File exists'
expect 1 'no such source' another
in_output 'no such source: No such file'
expect 2 --resolve

echo "== a file that fails, in a directory that is not to be written to"
mkdir -p failing/read_only
head -c 300000 /dev/urandom >failing/read_only/file
chmod 0555 failing/read_only
mkdir -m 0777 nobodys
limited=(bash -c 'trap "" XFSZ; ulimit -f 100; exec "$@"' limited)
if [[ $(id -u) -eq 0 ]]; then # who would be allowed to all the same
  chmod 0755 "$directory"
  limited+=(setpriv --reuid 65534 --clear-groups)
fi
if "${limited[@]}" test -x "${copy_tree[-1]}" -a -w nobodys; then
  status=0
  "${limited[@]}" "${copy_tree[@]}" failing nobodys/target >output 2>&1 || status=$?
  [[ $status -eq 1 ]] || fail "status $status"
  in_output 'nobodys/target/read_only/file: File too large$'
  [[ -z $(find nobodys -type f) ]] || fail "half of a file is left"
  [[ $(stat -c %a nobodys/target/read_only) == 555 ]] || fail "the mode of its directory differs"
else
  echo "left out: nobody may not run it here"
fi
chmod -R u+w failing nobodys

echo "== asked how far it is, and stopped"
truncate -s 512M source/big
mkfifo lines
"${copy_tree[@]}" source stopped >lines 2>errors &
pid=$!
exec 3<lines
IFS=' ' read -r _ queue <&3
"${copy_tree[@]}" --send "$queue" status
"${copy_tree[@]}" --send "$queue" stop
cat <&3 >output
status=0
wait "$pid" || status=$?
cat errors >>output
[[ $status -eq 1 ]] || fail "stopped with status $status"
in_output '^status: '
in_output '^stopping$'
in_output '^stopped: '
# Whatever is there is there in full.
while IFS= read -r file; do
  cmp -s "source/$file" "stopped/$file" || fail "half of $file is left"
done < <(cd stopped && find . -type f)
expect 1 --send "$queue" status
echo "All as expected."
