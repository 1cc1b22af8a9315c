#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# later_program.sh PROGRAM LIBRARY: the program needs a later version of the library.  The loader
# refuses it before it has begun, and says which version that is.

set -euo pipefail

program=$1 library=$2
status=0
said=$(LD_LIBRARY_PATH=$(dirname "$library") "$program" 2>&1) || status=$?
echo "$said"
[[ $status -eq 1 && $said == *"version \`KEVENT_99.0' not found"* ]]
