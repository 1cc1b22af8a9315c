#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# shown_programs.sh SOURCE_DIR BUILD_DIR WORK_DIR COMPILER CXX_COMPILER: the programs and
# functions that README and the manual show compile as they are; those that collect in a loop
# leave it when their queue is closed; and those in C++ end by themselves, with status 0.

set -euo pipefail

source_dir=$1
build_dir=$2
work=$3
compiler=$4
cxx_compiler=$5
rm -rf "$work"
mkdir -p "$work"

# One file for each that is whole: it includes the header, and leaves nothing out.
split() {
  awk -v work="$work" -v name="$(basename "$1")" '
    /^\.EX$|^```c(pp)?$/ { in_it = 1; text = ""; next }
    /^\.EE$|^```$/ {
      if (in_it && text ~ /#include <kevent\/kevent.hpp>/)
        printf "%s", text >(work "/" name "." ++count ".cc")
      if (in_it && text ~ /#include <kevent\/kevent.h>/ && text ~ /\n}\n/ && text !~ /\n\.\.\.\n/)
        printf "%s", text >(work "/" name "." ++count ".c")
      in_it = 0
    }
    in_it { gsub(/\\-/, "-"); gsub(/\\e/, "\\"); gsub(/\\&/, ""); text = text $0 "\n" }
  ' "$1"
}
for page in "$source_dir"/README.md "$source_dir"/man/*.[37]; do split "$page"; done

# A queue is closed whenever somebody is about to collect from it.
cat >"$work/closed.h" <<'C'
#define _GNU_SOURCE
#include <kevent/kevent.h>
#include <unistd.h>
static inline int from_closed(int kev_fd, unsigned min_nr, unsigned max_nr,
                              const struct timespec *timeout, struct ukevent *events,
                              unsigned flags) {
  close(kev_fd);
  return kevent_get_events(kev_fd, min_nr, max_nr, timeout, events, flags);
}
#define kevent_get_events from_closed
C

# The functions, each with somebody who calls it.
cat >"$work/kevent_kevent.7.main" <<'C'
static void nothing(struct ukevent *event) { (void)event; }
int main(void) { serve(kevent_init(NULL, 0, 0), kevent_init(NULL, 0, 0), nothing, nothing); }
C
cat >"$work/kevent_pipe.7.main" <<'C'
int main(void) {
  int ends[2];
  if (pipe(ends) == -1) return 2;
  drain(kevent_init(NULL, 0, 0), ends[0]);
}
C
cat >"$work/kevent_socket.7.main" <<'C'
int main(void) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == -1) return 2;
  return accept_all(kevent_init(NULL, 0, 0), ends[0]) == -1 ? 0 : 2;
}
C
cat >"$work/kevent_inode.7.main" <<'C'
int main(void) { return watch_directory(kevent_init(NULL, 0, 0), "/") == -1 ? 0 : 2; }
C

compiled=0
run=0
for program in "$work"/*.c; do
  # A page may show what may go unused, or be read without looking at how much.
  "$compiler" -std=gnu11 -Wall -Wextra -Werror -Wno-unused-result -I "$source_dir/include" \
    -fsyntax-only "$program"
  compiled=$((compiled + 1))
  page=$(basename "${program%.*.c}")
  main=$work/$page.main
  grep -q 'kevent_get_events' "$program" || continue
  [[ -e $main ]] || grep -q '^int main' "$program" || continue
  {
    echo '#include "closed.h"'
    grep -v '^#define _\(GNU\|POSIX_C\)_SOURCE' "$program"
    [[ ! -e $main ]] || cat "$main"
  } >"$program.closed"
  "$compiler" -std=gnu11 -I "$source_dir/include" -I "$work" -x c "$program.closed" -x none \
    -L "$build_dir" -lkevent -Wl,-rpath,"$build_dir" -o "$program.run"
  status=0
  timeout 60 "$program.run" >"$program.said" 2>&1 || status=$?
  if ((status > 1)); then
    echo "$page: ended with $status where its queue was closed (124: it did not end)"
    head -3 "$program.said"
    exit 1
  fi
  run=$((run + 1))
done
# They wait for their input, or for the time that they say.
ended=0
for program in "$work"/*.cc; do
  "$cxx_compiler" -std=c++20 -Wall -Wextra -Wpedantic -Werror -I "$source_dir/include" "$program" \
    -L "$build_dir" -lkevent -Wl,-rpath,"$build_dir" -o "$program.run"
  status=0
  echo input | timeout 60 "$program.run" >"$program.said" 2>&1 || status=$?
  if ((status != 0)) || [[ ! -s $program.said ]]; then
    echo "$program: ended with $status (124: it did not end)"
    head -3 "$program.said"
    exit 1
  fi
  ended=$((ended + 1))
done
echo "$compiled compiled, $run left a closed queue, $ended in C++ ended"
# As many as there are: an example that is not found is not looked at.
((compiled >= 11 && run >= 9 && ended >= 3))
