#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# compare.sh EXPECTED COMMAND...: prints the table of the program, and says where it is not that of
# the file.

set -euo pipefail

expected=$1
shift
found=$("$@" </dev/null)
printf '%s\n' "$found"
diff -u "$expected" <(printf '%s\n' "$found")
