#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# fio.sh PRELOAD KEVRUN: fio writes blocks by its engine of POSIX AIO, syncs in between, and reads
# them again with their check sums.

# shellcheck source=tests/compat/programs/both_ways.sh
source "$(dirname "$0")/../../compat/programs/both_ways.sh"
kevrun=$2
needs fio

if [[ $(env -u LD_PRELOAD "$kevrun" --aio printenv LD_PRELOAD) != *libkevent-aio.so:*libkevent.so* ]]; then
  echo "kevrun --aio does not preload the adapter" >&2
  exit 1
fi

# Errors, and the kilobytes that were read and written, of fio's columns of version 3.
normalise() { awk -F';' 'NF > 50 { print $5, $6, $47; next } { print }'; }

# verify RW DEPTH
verify() {
  same fio --name=verify --filename="$directory/file" --size=4M --bs=4k --ioengine=posixaio \
    --rw="$1" --direct="$direct" --iodepth="$2" --fsync=64 --verify=crc32c --verify_fatal=1 \
    --verify_state_save=0 \
    --output-format=terse --terse-version=3
}

# TMPDIR's file system may have no O_DIRECT: then fio says so both ways.
for direct in 0 1; do
  rm -f "$directory/file"
  verify randwrite 16
  verify randread 64
  verify randrw 16
done
