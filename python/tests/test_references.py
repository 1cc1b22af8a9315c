# SPDX-License-Identifier: MIT
"""No reference is leaked: sys.gettotalrefcount, which a debug interpreter has, stays what it is."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
import tempfile
import unittest
from collections.abc import Callable

import kevent
from kevent import FileChange, Interest
from tests.support import collect, in_child


def timers() -> None:
    with kevent.Queue() as queue:
        timers = [kevent.Timer(queue, [i]) for i in range(300)]
        kevent.set_all((timer for timer in timers), after=0, interval=3600)
        for event in collect(queue, 300):
            assert isinstance(event, kevent.Expiration)
            event.source, event.data, event.raw, event.stale, event.overruns, event.lateness
            repr(event)
        timer = timers[0]
        timer.data = (timer.remaining(), timer.interval(), timer.overruns(), timer.queue)
        timer.set_at(when=1.0, interval=1)
        timer.__init__(queue, data=[])  # type: ignore[misc]
        timer.cancel()


def cycles() -> None:
    class Mine(kevent.Timer):
        pass

    timer = Mine(kevent.Queue())
    timer.set(0)
    timer.data = [timer, timer.queue.collect()]


def watches() -> None:
    with kevent.Queue() as queue, tempfile.TemporaryDirectory() as name:
        ends = os.pipe()
        with contextlib.closing(kevent.UserEvent(queue, [])) as event:
            file = kevent.FileWatch(queue, name, FileChange.CREATE)
            watch = kevent.DescriptorWatch(queue, ends[1], Interest.WRITE)
            event.notify()
            for one in queue.collect(1000, min_events=2):
                repr(one)
            watch.modify(Interest.WRITE)
            watch.pause()
            watch.resume()
            file.close()
        kevent.close(ends[0])
        kevent.close(ends[1])


def errors() -> None:
    queue = kevent.Queue()
    timer = kevent.Timer(queue)
    wrong: tuple[Callable[[], object], ...] = (
        lambda: timer.set(),  # type: ignore[call-arg]
        lambda: timer.set("1"),  # type: ignore[arg-type]
        lambda: timer.set(1, after=1),  # type: ignore[misc]
        lambda: timer.set(1, interval=None),  # type: ignore[arg-type]
        lambda: kevent.set_all([None], 1),  # type: ignore[list-item]
        lambda: kevent.set_all(7, 1),  # type: ignore[arg-type]
        lambda: kevent.Timer(7),  # type: ignore[arg-type]
        lambda: kevent.Timer(queue, clock=4711),
        lambda: kevent.FileWatch(queue, "/no/such/file"),
        lambda: kevent.DescriptorWatch(queue, "file"),  # type: ignore[arg-type]
        lambda: kevent.SignalWatch(queue, 0),
        lambda: kevent.SignalWatch(queue, signal.SIGUSR2),
        lambda: queue.collect(1 << 30, min_events=1 << 30),
        lambda: queue.collect(min_events=2, max_events=1),
        lambda: queue.collect(timeout="1"),  # type: ignore[arg-type]
        lambda: queue.__init__(),  # type: ignore[misc]
        lambda: kevent.close(-1),
        kevent.Event,
    )
    for call in wrong:
        with contextlib.suppress(TypeError, ValueError, OSError, RuntimeError):
            call()
            raise AssertionError("it was right")
    queue.close()
    closed: tuple[Callable[[], object], ...] = (
        queue.collect,
        queue.wake,
        timer.cancel,
        lambda: kevent.set_all([timer, timer], 1),
        lambda: kevent.Timer(queue),
    )
    for call in closed:
        with contextlib.suppress(kevent.ClosedError):
            call()
            raise AssertionError("it was open")


def loops() -> None:
    async def main() -> None:
        with kevent.Queue() as queue:
            timer, other, kept = (kevent.Timer(queue, [i]) for i in range(3))
            kept.set(0, interval=1e-6)
            timer.set(0)
            await timer
            other.set(0)
            await other
            task = asyncio.ensure_future(other)
            await asyncio.sleep(0)
            task.cancel()
            async for event in queue:
                if event.source is kept:
                    queue.close()
            with contextlib.suppress(kevent.ClosedError):
                await timer

    asyncio.run(main())


def last_events() -> None:
    async def main() -> None:
        with kevent.Queue() as queue, tempfile.TemporaryDirectory() as name:
            ends = os.pipe()
            directory = os.path.join(name, "directory")
            os.mkdir(directory)
            timer = kevent.Timer(queue)
            watches = [
                kevent.DescriptorWatch(queue, ends[0]),
                kevent.DescriptorWatch(queue, ends[0]),
                kevent.FileWatch(queue, directory, FileChange.SELF),
            ]
            tasks = [asyncio.ensure_future(source) for source in (timer, *watches, watches[2])]
            await asyncio.sleep(0)
            timer.close()
            kevent.close(ends[0])
            os.close(ends[1])
            os.rmdir(directory)
            await asyncio.wait(tasks)
            assert all(source.closed for source in (timer, *watches))
            for task in tasks:
                if task.exception() is None and isinstance(event := task.result(), kevent.FileChanges):
                    assert event.changes & FileChange.SELF

    asyncio.run(main())


def forks() -> None:
    with kevent.Queue() as queue:
        timer = kevent.Timer(queue)

        def child() -> None:
            timer.close()
            queue.close()

        assert in_child(child) == 0


@unittest.skipUnless(hasattr(sys, "gettotalrefcount"), "the interpreter is no debug build")
class References(unittest.TestCase):
    def check(self, function: Callable[[], None]) -> None:
        def total() -> int:
            gc.collect()
            count: int = sys.gettotalrefcount()
            return count

        for _ in range(5):
            function()
        rounds = 40
        before = total()
        for _ in range(rounds):
            function()
        # A leak is one a round; what the interpreter keeps for itself is less.
        self.assertLess(total() - before, rounds)

    def test_timers(self) -> None:
        self.check(timers)

    def test_cycles(self) -> None:
        self.check(cycles)

    def test_watches(self) -> None:
        self.check(watches)

    def test_errors(self) -> None:
        self.check(errors)

    def test_loops(self) -> None:
        self.check(loops)

    def test_last_events(self) -> None:
        self.check(last_events)

    def test_forks(self) -> None:
        self.check(forks)


if __name__ == "__main__":
    unittest.main()
