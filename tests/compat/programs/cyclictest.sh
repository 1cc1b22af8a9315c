#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# rt-tests' cyclictest with POSIX timers, and without.

# shellcheck source=tests/compat/programs/both_ways.sh
source "$(dirname "$0")/both_ways.sh"
needs cyclictest

# Load, thread ids and latencies differ; cycles do not. With --relative some of
# the latencies that cyclictest computes are below zero.
normalise() {
  sed -E -e '/^# \/dev\/cpu_dma_latency/d' -e '/loadavg|^policy/d' \
    -e 's/\( *[0-9]+\)/(TID)/' -e 's/(Min|Act|Avg|Max): *-?[0-9]+/\1: N/g' -e 's/ +/ /g'
}

same cyclictest --quiet --loops=100 --interval=1000 --posix_timers
same cyclictest --quiet --loops=100 --interval=1000 --posix_timers --relative
same cyclictest --quiet --loops=100 --interval=1000
