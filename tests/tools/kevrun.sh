#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# kevrun.sh KEVRUN LIBRARY PROGRAM STATIC LINKED: kevrun runs what can be reached in its own place, with
# the library beside what LD_PRELOAD has, and refuses the rest, with a reason and a status.
# PROGRAM says "works" where it has the library.

set -euo pipefail

kevrun=$1 library=$2 program=$3 static=$4 linked=$5
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
chmod 755 "$directory"
cd "$directory"
unset LD_PRELOAD
failures=0

fail() {
  echo "FAILED: $*"
  failures=$((failures + 1))
}

# run STATUS PATTERN ARGUMENT...: kevrun ends so, and what it prints has a line like that, if any.
run() {
  local wanted=$1 pattern=$2 status=0
  shift 2
  { "$kevrun" "$@" >out 2>&1 || status=$?; } 2>killed
  [[ $status -eq $wanted ]] || fail "kevrun $*: status $status, not $wanted: $(cat out)"
  [[ -z $pattern ]] || grep -q -e "$pattern" out || fail "kevrun $*: no line like '$pattern' in: $(cat out)"
}

# refused STATUS PATTERN COMMAND: both ways, and --check says 1 for whatever reason.
refused() {
  run "$1" "$2" "$3"
  run 1 "is not reached: .*$2" --check "$3"
}

# ---- What is reached ----

run 0 '^works$' "$program"
run 0 '^works$' -- "$program"
run 0 '^--check$' echo --check
# shellcheck disable=SC2016 # for the inner shells to expand
{
  run 7 '^words: one two$' sh -c 'echo "words: $1 $2"; exit 7' name one two
  run 137 '' sh -c 'sh -c "kill -9 \$PPID"; echo survived'
  grep -q survived out && fail "a killed program goes on"
  [[ $("$kevrun" sh -c 'echo $PPID') == "$BASHPID" ]] || fail "it is not run in the place of kevrun"
}
cp "$library" libother.so
run 0 "^$directory/libother.so\$" --library=libother.so printenv LD_PRELOAD

printf '#!%s\n' "$program" >script
printf '#!/usr/bin/env -S A=b %s\n' "$(basename "$program")" >script_by_env
printf '#!%s/script\n' "$directory" >script_by_script
printf '#!%s/endless\n' "$directory" >endless
chmod +x script script_by_env script_by_script endless
PATH=$(dirname "$program"):$directory:$PATH
run 0 '^works$' script
run 0 '^works$' ./script_by_env
run 0 "is a script, run by $program\$" --check script_by_script
cat >lineless <<'END'
echo "by the shell: $0 $1"
END
chmod +x lineless
run 0 '^by the shell: ./lineless one$' ./lineless one
run 0 'is a script, run by /bin/sh$' --check lineless
run 0 'calls POSIX timers: timer_create' --check "$program"
run 0 "is reached by LD_PRELOAD=.*/libkevent.so" --check "$program"
run 0 'timers in queues: yes' --check "$program"
run 0 '^works$' "$linked"
run 0 'is linked with libkevent' --check "$linked"
run 0 'calls libkevent: kevent_' --check "$linked"

# ---- LD_PRELOAD ----

echo 'int other;' | cc -shared -fPIC -x c -o other.so -
ours=$("$kevrun" printenv LD_PRELOAD)
preloads() {
  local found
  found=$(LD_PRELOAD=$1 "$kevrun" printenv LD_PRELOAD)
  [[ $found == "$2" ]] || fail "LD_PRELOAD=$1 became $found, not $2"
}
preloads "$directory/other.so" "$ours:$directory/other.so"
preloads "$directory/other.so $ours" "$ours:$directory/other.so"
preloads "$(realpath "$ours"):$directory/other.so" "$ours:$directory/other.so"
cp other.so libasan.so.77
preloads "$directory/other.so:$directory/libasan.so.77" \
  "$directory/libasan.so.77:$ours:$directory/other.so"
if echo 'int main(void) { return 0; }' | gcc -fsanitize=address -x c -o asan - 2>/dev/null; then
  run 0 '^$' sh -c 'echo'
  run 0 'LD_PRELOAD=libasan.so[.0-9]*:.*libkevent' --check ./asan
  run 0 '' ./asan
  [[ ! -s out ]] || fail "a program under ASan says: $(cat out)"
fi

# ---- What is not reached ----

refused 127 'no such program' ./nothing
refused 127 'no such program' nothing_along_path
refused 126 'cannot be run' "$directory/out"
refused 126 'it is no file' "$directory"
refused 126 'scripts without end' ./endless
printf '#!/no/interpreter\n' >orphan
chmod +x orphan
refused 127 'interpreter that is not there' ./orphan
refused 125 'linked statically' "$static"
if command -v musl-gcc >/dev/null; then
  echo 'int main(void) { return 0; }' >main.c
  musl-gcc -o musl main.c
  refused 125 'not that of the GNU C library' ./musl
fi
if [[ $(id -u) -eq 0 ]] && command -v setpriv >/dev/null; then
  install -m 4755 "$program" set_user_id
  install -m 755 "$program" with_capability
  install -m 755 "$library" libkevent.so.0
  as_nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
  # Where nobody may read the build, kevrun is put beside its library.
  install -m 755 "$kevrun" kevrun
  if [[ $(as_nobody ./set_user_id) == "secure: not there" ]]; then
    status=0
    as_nobody ./kevrun ./set_user_id >out 2>&1 || status=$?
    [[ $status -eq 125 ]] || fail "a set-user-ID program: status $status"
    grep -q 'set-user-ID' out || fail "a set-user-ID program: no reason in: $(cat out)"
    run 0 '^works$' ./set_user_id
  fi
fi
if [[ $(uname -m) == x86_64 ]]; then
  cat >old.c <<'END'
#include <signal.h>
#include <time.h>
__asm__(".symver timer_create, timer_create@GLIBC_2.2.5");
int main(void) { int timer[4]; return timer_create(CLOCK_MONOTONIC, 0, (timer_t *)timer); }
END
  if cc -o old old.c -lrt 2>/dev/null; then
    run 1 'glibc before 2.3.3' --check ./old
    run 125 'glibc before 2.3.3' ./old
  fi
fi

# ---- The library ----

run 125 'there is no ' --library=nothing.so "$program"
mkdir 'with space'
cp "$library" 'with space/libkevent.so'
run 125 'colon or a space' --library='with space/libkevent.so' "$program"
run 125 'is no library of libkevent' --library=other.so --check "$program"
run 125 'is no library of libkevent' --library=other.so "$program"

# ---- Adapters ----

run 0 '/adapters/libkevent-threads.so:[^:]*/libkevent.so[.0-9]*$' --threads printenv LD_PRELOAD
run 0 'is reached by LD_PRELOAD=[^:]*/libkevent-threads.so:' --threads --check "$program"
run 0 '^works$' --threads "$program"
run 125 'there is no libkevent-threads.so beside ' --threads --library=libother.so "$program"
mkdir -p lib/kevent
cp "$library" lib/libkevent.so.0
cp "$(dirname "$library")/adapters/libkevent-threads.so" lib/kevent
run 0 "^$directory/lib/kevent/libkevent-threads.so:$directory/lib/libkevent.so.0\$" \
  --threads --library=lib/libkevent.so.0 printenv LD_PRELOAD

[[ $failures -eq 0 ]] && echo "kevrun runs what it reaches, and says why not otherwise"
