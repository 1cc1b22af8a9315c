#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# check_object.sh LIBRARY EXPORTED_SYMBOLS INTERPOSED [IMPORT...]: what libkevent.so asks
# of a process that loads it, and what it puts there, are no more than what was decided,
# and the imports that are named, which its builder has asked for by compiler options.

set -euo pipefail

library=$1
exported_symbols=$2
interposed=$3
shift 3
asked_for=$(printf '%s\n' "$@")

# The initial-exec variables that were decided on fit into this.
max_tls_bytes=24
max_glibc=2.34

failures=0
fail() {
  echo "FAILED: $*"
  failures=$((failures + 1))
}

dynamic=$(LC_ALL=C readelf --dynamic --wide "$library")

# The nodes themselves are symbols of the type A.
echo "Exports, with the versions that brought them:"
if ! diff "$exported_symbols" <(nm -D --defined-only --format=posix "$library" |
  awk '$2 != "A" { print $1 }' | LC_ALL=C sort); then
  fail "exports differ from $exported_symbols"
fi

# A name of the C library's is found by programs of every age, and a name that only this
# library has by the version that has it.
echo "Versions:"
if nm -D --defined-only --format=posix "$library" | awk '$2 != "A" { print $1 }' |
  grep -v -E '^(kevent_[a-z0-9_]+@@KEVENT_[0-9]+\.[0-9]+|[a-z0-9_]+)$' ||
  grep -E '^kevent_[^@]*$' "$exported_symbols"; then
  fail "each of the library's own names has one version, and no other has any"
fi

echo "Names of the library's own for those that the C library has too:"
if ! diff <(sed -n 's/^INTERPOSED(\(.*\))$/kevent_\1 \1/p' "$interposed" | sort) \
  <(nm -D --defined-only --format=posix "$library" | sort -k 3,3 -k 1,1 | awk '
      $2 == "A" { next }
      { sub(/@.*/, "", $1) }
      $3 == address { print ($1 ~ /^kevent_/ ? $1 " " name : name " " $1) }
      { name = $1; address = $3 }' | sort); then
  fail "each function of shim/interposed.def has two names, and no other has"
fi

# The loader may find the C library's for a name that is looked up.
echo "Exported names that the library calls by looking them up:"
if LC_ALL=C readelf --relocs --wide "$library" | awk '$3 ~ /JUMP|GLOB/ { sub(/@.*/, "", $5); print $5 }' |
  grep -x -F -f <(sed 's/@.*//' "$exported_symbols"); then
  fail "the names above"
fi

# crtbegin.o's own weak reference to __cxa_finalize is in every shared object.
# Any other name of a C++ runtime would have to come from the program.
echo "Imports of a C++ runtime or of Abseil:"
if nm -D --undefined-only "$library" | grep -v ' w __cxa_finalize@' |
  grep -E ' (_Z|__cxa_|__gxx_|_Unwind_|.*absl)'; then
  fail "the names above are not libc's"
fi

# A guest ends no process, prints nothing, leaves the environment alone, makes no
# process, and wakes no thread by a signal.
echo "Imports that no guest has:"
if nm -D --undefined-only --format=posix "$library" | sed 's/[@ ].*//' |
  grep -v -x -F -e "$asked_for" |
  grep -x -E '_?_?(exit|_exit|_Exit|abort|assert_fail|fortify_fail|stack_chk_fail|quick_exit)|'\
'v?f?d?printf|v?f?printf_chk|f?puts|f?putc|f?write|perror|syslog|stdout|stderr|'\
'(un|put|set|clear)env|environ|v?fork|exec[vl].*|posix_spawnp?|system|popen|'\
'kill|raise|tgkill|pthread_(kill|sigqueue)|sigqueue|signal|sigaction'; then
  fail "the names above"
fi

echo "Needed:"
needed=$(sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' <<<"$dynamic")
echo "$needed"
if grep -v -x -E 'libc\.so\.6|ld-linux-x86-64\.so\.2|ld-linux-aarch64\.so\.1' <<<"$needed"; then
  fail "needs more than libc and the loader"
fi

soname=$(sed -n 's/.*(SONAME).*\[\(.*\)\]/\1/p' <<<"$dynamic")
echo "SONAME: $soname"
[[ $soname == libkevent.so.0 ]] || fail "the SONAME is not libkevent.so.0"

flags=$(grep -E '\((FLAGS|FLAGS_1)\)' <<<"$dynamic")
echo "$flags"
for flag in NOW NODELETE; do
  grep -q -w "$flag" <<<"$flags" || fail "$flag is not among the flags"
done
grep -q TEXTREL <<<"$dynamic" && fail "has text relocations"

segments=$(LC_ALL=C readelf --segments --wide "$library")
grep -q GNU_RELRO <<<"$segments" || fail "nothing is made read-only after relocation"
grep -E 'GNU_STACK.* RWE' <<<"$segments" && fail "asks for an executable stack"
tls_bytes=$(awk '$1 == "TLS" { print $6 }' <<<"$segments")
tls_bytes=$((${tls_bytes:-0}))
echo "Thread-local storage: $tls_bytes bytes"
[[ $tls_bytes -le $max_tls_bytes ]] || fail "more than $max_tls_bytes bytes"
# Initial-exec sets STATIC_TLS; the lazy kind calls __tls_get_addr.
if nm -D --undefined-only "$library" | grep __tls_get_addr; then
  fail "thread-local storage is lazy"
fi

glibc=$(LC_ALL=C readelf --version-info --wide "$library" |
  grep -o -E 'GLIBC_[0-9.]+' | sort -u -V | tail -n 1)
echo "Newest version of glibc needed: $glibc"
if [[ $(printf '%s\n' "$glibc" "GLIBC_$max_glibc" | sort -V | tail -n 1) != "GLIBC_$max_glibc" ]]; then
  fail "newer than $max_glibc"
fi

[[ $failures -eq 0 ]] || exit 1
echo "as decided"
