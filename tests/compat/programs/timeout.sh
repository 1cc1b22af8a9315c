#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# coreutils' timeout: timer_create by default clock and signal.

# shellcheck source=tests/compat/programs/both_ways.sh
source "$(dirname "$0")/both_ways.sh"
needs timeout

same timeout 0.1 sleep 100
same timeout 100 true
same timeout 100 false
same timeout 100 sh -c 'echo output; echo errors >&2; exit 7'
same timeout --preserve-status 0.1 sleep 100
same timeout --signal=KILL 0.1 sleep 100
same timeout --signal=USR1 0.1 sleep 100
same timeout --verbose --kill-after=0.1 0.1 sh -c 'trap "" TERM; while :; do sleep 0.02; done'
same timeout --foreground 0.1 sleep 100
same timeout --foreground 100 true
same timeout --foreground --signal=INT --preserve-status 0.1 sleep 100
same timeout 0 true
same timeout 100 sh -c 'kill -s SEGV $$'
same timeout nonsense true
