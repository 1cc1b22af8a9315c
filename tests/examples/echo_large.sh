#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The echo server at full size: 10 000 connections at a time, 100 000 altogether.
# Only with KEVENT_LONG in the environment, since it takes most of a minute.
#
#   echo_large.sh ECHO_LOAD ECHO_SERVER

set -euo pipefail

[[ -n ${KEVENT_LONG:-} ]] || exit 77
exec "$1" "$2" 10000 100000 10000
