#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# util-linux's flock: a timer that ends waiting for a lock.

# shellcheck source=tests/compat/programs/both_ways.sh
source "$(dirname "$0")/both_ways.sh"
needs flock

# How long the lock took to get.
normalise() { sed -E 's/[0-9]+\.[0-9]+ seconds/TIME/'; }

lock=$directory/lock
same flock --timeout 0.1 "$lock" echo locked

exec 9>"$lock"
flock 9
same flock --timeout 0.1 "$lock" echo locked
same flock --verbose --timeout 0.1 --conflict-exit-code 9 "$directory/other" true
same flock --timeout 0.1 --conflict-exit-code 42 "$lock" echo locked
