#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The file server at full size: the tree is on a disk, and served five times.
# Only with KEVENT_LONG in the environment, since it takes most of a minute.
#
#   large.sh FILE_LOAD FILE_SERVER

set -euo pipefail

[[ -n ${KEVENT_LONG:-} ]] || exit 77
exec "$1" "$2" 5000 5
