#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Timeouts of idle connections in a loop of asyncio: a million pending, each pushed back in turn.

Compares asyncio's own call_later with timers of a queue, set one by one and many in one call.  Each
way runs in a process of its own, the ways in turn, several times; a row has the medians of CPU time
and of resident memory.
"""

import argparse
import asyncio
import gc
import json
import os
import random
import statistics
import subprocess
import sys
import time

# Longer than any run, also on a machine that is busy.
TIMEOUT = 86400.0
# How much a loop does between two looks at its timers.
TURN = 1000


def resident():
    """Bytes."""
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/self/status has no VmRSS")


def expired(connection):
    raise RuntimeError(f"the timeout of connection {connection} has passed")


class CallLater:
    """handle.cancel(), and call_later() anew."""

    def __init__(self, loop):
        self.loop = loop

    def create(self, count):
        self.handles = [self.loop.call_later(TIMEOUT, expired, i) for i in range(count)]

    def push_back(self, connections):
        handles, call_later = self.handles, self.loop.call_later
        for i in connections:
            handles[i].cancel()
            handles[i] = call_later(TIMEOUT, expired, i)


class Timers:
    """Timer.set()."""

    def __init__(self, loop):
        import kevent

        self.kevent = kevent
        self.queue = kevent.Queue()
        self.task = loop.create_task(self.watch())

    async def watch(self):
        async for event in self.queue:
            expired(event.data)

    def create(self, count):
        self.timers = [self.kevent.Timer(self.queue, i) for i in range(count)]
        for timer in self.timers:
            timer.set(TIMEOUT)

    def push_back(self, connections):
        timers = self.timers
        for i in connections:
            timers[i].set(TIMEOUT)


class SetAll(Timers):
    """set_all(), with the connections that a turn of the loop has had."""

    def push_back(self, connections):
        timers = self.timers
        self.kevent.set_all([timers[i] for i in connections], TIMEOUT)


WAYS = {"asyncio call_later": CallLater, "kevent Timer.set": Timers, "kevent set_all": SetAll}


async def run(way, count, rounds):
    random.seed(1)
    order = random.sample(range(count), count)
    turns = [order[i : i + TURN] for i in range(0, count, TURN)]
    timeouts = WAYS[way](asyncio.get_running_loop())
    await asyncio.sleep(0)
    gc.collect()
    before, begin = resident(), time.process_time()
    timeouts.create(count)
    await asyncio.sleep(0)
    created, least = time.process_time() - begin, resident() - before
    begin = time.process_time()
    for _ in range(rounds):
        for connections in turns:
            timeouts.push_back(connections)
            await asyncio.sleep(0)
    pushed = time.process_time() - begin
    print(
        json.dumps(
            {
                "create_ns": created / count * 1e9,
                "push_ns": pushed / count / rounds * 1e9,
                "bytes": least / count,
                "bytes_after": (resident() - before) / count,
            }
        ),
        flush=True,
    )
    # A million objects need not be taken apart.
    os._exit(0)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000, help="pending timeouts (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="times that each is pushed back (%(default)s)")
    parser.add_argument("--repetitions", type=int, default=5, help="processes a way (%(default)s)")
    parser.add_argument("--way", choices=list(WAYS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way is not None:
        asyncio.run(run(arguments.way, arguments.count, arguments.rounds))
        return
    results = {way: [] for way in WAYS}
    for _ in range(arguments.repetitions):
        for way in WAYS:
            command = [sys.executable, __file__, "--way", way]
            command += ["--count", str(arguments.count), "--rounds", str(arguments.rounds)]
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            results[way].append(json.loads(output))
    print(f"{arguments.count} pending timeouts, each pushed back {arguments.rounds} times:\n")
    print("| way | to make one | to push one back | memory of one | after that |")
    print("|---|---:|---:|---:|---:|")
    for way, runs in results.items():
        row = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        print(
            f"| {way} | {row['create_ns']:.0f} ns | {row['push_ns']:.0f} ns "
            f"| {row['bytes']:.0f} B | {row['bytes_after']:.0f} B |"
        )


if __name__ == "__main__":
    main()
