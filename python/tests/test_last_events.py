# SPDX-License-Identifier: MIT
"""Sources that report nothing any more: they say so, and wake those who await them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
import unittest
from collections.abc import Callable, Iterator

import kevent
from tests.support import collect, in_child


@contextlib.contextmanager
def ended_process() -> Iterator[int]:
    """The number of a child that has ended, or is about to."""
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        yield child.pid


class Closed(unittest.TestCase):
    """What `closed` says, and what a source answers from then on."""

    def setUp(self) -> None:
        self.queue = kevent.Queue()
        self.addCleanup(self.queue.close)

    def test_by_the_only_event_of_a_process(self) -> None:
        with ended_process() as pid:
            watch = kevent.ProcessWatch(self.queue, pid)
            self.assertFalse(watch.closed)
            (event,) = self.queue.collect()
            self.assertTrue(watch.closed)
            self.assertIs(event.source, watch)
            self.assertFalse(event.stale)
            watch.close()
            self.assertTrue(event.stale)

    def test_another_takes_the_place(self) -> None:
        with ended_process() as pid:
            watch = kevent.ProcessWatch(self.queue, pid)
            self.queue.collect()
            other = kevent.UserEvent(self.queue)
            watch.close()
            other.notify()
            self.assertIs(self.queue.collect()[0].source, other)

    def test_registered_again(self) -> None:
        with ended_process() as pid:
            watch = kevent.ProcessWatch(self.queue, pid, 1)
            self.queue.collect()
            watch.__init__(self.queue, pid, 2)  # type: ignore[misc]
            self.assertFalse(watch.closed)
            self.assertEqual(self.queue.collect()[0].data, 2)

    def test_by_the_last_event_of_a_file(self) -> None:
        with tempfile.TemporaryDirectory() as name:
            directory = os.path.join(name, "directory")
            os.mkdir(directory)
            watch = kevent.FileWatch(self.queue, directory)
            os.mkdir(os.path.join(directory, "entry"))
            self.queue.collect()
            self.assertFalse(watch.closed)
            os.rmdir(os.path.join(directory, "entry"))
            os.rmdir(directory)
            gone = False
            while not gone:
                self.assertFalse(watch.closed)
                (event,) = self.queue.collect()
                assert isinstance(event, kevent.FileChanges)
                gone = event.gone
            self.assertTrue(watch.closed)
            self.assertFalse(event.stale)

    def test_by_closing_the_descriptor(self) -> None:
        near, far = socket.socketpair()
        with near, far, kevent.Queue() as second:
            number = os.dup(near.fileno())
            watches = [kevent.DescriptorWatch(queue, number) for queue in (self.queue, second) * 3]
            other = kevent.DescriptorWatch(self.queue, near)
            # Of the descriptor's no more.
            watches[2].close()
            watches[1].__init__(self.queue, far)  # type: ignore[misc]
            again = watches.pop(1)
            far.send(b"x")
            (event, *_) = second.collect()
            kevent.close(number)
            self.assertTrue(all(watch.closed for watch in watches))
            self.assertTrue(event.stale)
            self.assertFalse(other.closed or again.closed)
            with self.assertRaises(kevent.ClosedError):
                watches[0].resume()
            self.assertEqual([event.source for event in collect(self.queue, 1)], [other])
            # One that has the number next.
            self.assertEqual(os.dup(near.fileno()), number)
            new = kevent.DescriptorWatch(second, number)
            del watches
            self.assertIs(second.collect()[0].source, new)
            kevent.close(number)

    def test_a_child_closes_its_copy(self) -> None:
        near, far = socket.socketpair()
        with near, far:
            watch = kevent.DescriptorWatch(self.queue, near)
            self.assertEqual(in_child(lambda: kevent.close(near.fileno())), 0)
            far.send(b"x")
            self.assertIs(self.queue.collect()[0].source, watch)


class Awaited(unittest.IsolatedAsyncioTestCase):
    """Whoever waits for an event that cannot come gets a ClosedError."""

    async def asyncSetUp(self) -> None:
        self.queue = kevent.Queue()
        self.addCleanup(self.queue.close)

    async def wait_for(self, source: kevent.Source) -> list[asyncio.Task[kevent.Event]]:
        """Three who await it."""

        async def wait() -> kevent.Event:
            return await source

        tasks = [asyncio.create_task(wait()) for _ in range(3)]
        await asyncio.sleep(0)
        return tasks

    async def outcomes(self, tasks: list[asyncio.Task[kevent.Event]]) -> list[kevent.Event]:
        """The events of those who got one; the others have a ClosedError."""
        done, pending = await asyncio.wait(tasks, timeout=60)
        for task in pending:
            task.cancel()
        self.assertFalse(pending, "they wait for ever")
        errors = [error for task in done if (error := task.exception()) is not None]
        self.assertTrue(all(isinstance(error, kevent.ClosedError) for error in errors), errors)
        return [task.result() for task in done if task.exception() is None]

    async def until_closed(self, source: kevent.Source) -> None:
        async with asyncio.timeout(60):
            while not source.closed:
                await asyncio.sleep(0)

    async def keep_last_event(self, watch: kevent.Watch) -> None:
        """It comes while another's is awaited."""
        wake = kevent.UserEvent(self.queue)
        async with asyncio.timeout(60):
            while not watch.closed:
                wake.notify()
                await wake

    def sources(self) -> list[kevent.Source]:
        near, far = socket.socketpair()
        self.addCleanup(near.close)
        self.addCleanup(far.close)
        return [
            kevent.Timer(self.queue),
            kevent.UserEvent(self.queue),
            kevent.DescriptorWatch(self.queue, near),
            kevent.FileWatch(self.queue, "."),
            kevent.ProcessWatch(self.queue, os.getpid()),
        ]

    async def test_closed_in_each_way(self) -> None:
        def close_by_with(source: kevent.Source) -> None:
            with source:
                pass

        def close_in_thread(source: kevent.Source) -> None:
            thread = threading.Thread(target=source.close)
            thread.start()
            thread.join()

        ways: tuple[Callable[[kevent.Source], None], ...] = (
            lambda source: source.close(),
            close_by_with,
            close_in_thread,
        )
        for way in ways:
            for source in self.sources():
                with self.subTest(source):
                    tasks = await self.wait_for(source)
                    way(source)
                    self.assertEqual(await self.outcomes(tasks), [])
        driver = self.queue._driver
        assert driver is not None
        self.assertTrue(driver.idle and not driver._awaiting)

    async def test_others_wait_on(self) -> None:
        one, other = kevent.Timer(self.queue), kevent.Timer(self.queue)
        tasks = await self.wait_for(other)
        one.close()
        for _ in tasks:
            other.set(0)
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            tasks = [task for task in tasks if not task.done()]
        self.assertEqual(tasks, [])

    async def test_closed_between_its_event_and_who_awaits_it(self) -> None:
        event = kevent.UserEvent(self.queue)
        for turns in range(4):
            tasks = await self.wait_for(event)
            event.notify()
            for _ in range(turns):
                await asyncio.sleep(0)
            event.close()
            self.assertLessEqual(len(await self.outcomes(tasks)), 1)
            event.__init__(self.queue)  # type: ignore[misc]

    async def test_closed_before_it_is_waited_for(self) -> None:
        timer = kevent.Timer(self.queue)
        waiting = timer.__await__()
        timer.close()
        with self.assertRaises(kevent.ClosedError):
            next(waiting)

    async def test_registered_with_another_queue(self) -> None:
        timer = kevent.Timer(self.queue)
        tasks = await self.wait_for(timer)
        with kevent.Queue() as other:
            timer.__init__(other)  # type: ignore[misc]
            self.assertEqual(await self.outcomes(tasks), [])

    async def test_a_descriptor_that_is_closed(self) -> None:
        near, far = socket.socketpair()
        with near, far:
            number = os.dup(near.fileno())
            watch = kevent.DescriptorWatch(self.queue, number)
            tasks = await self.wait_for(watch)
            kevent.close(number)
            self.assertEqual(await self.outcomes(tasks), [])

    async def test_the_only_event_of_a_process(self) -> None:
        with ended_process() as pid:
            watch = kevent.ProcessWatch(self.queue, pid)
            (event,) = await self.outcomes(await self.wait_for(watch))
            self.assertIs(event.source, watch)
            with self.assertRaises(kevent.ClosedError):
                await watch

    async def test_that_another_thread_takes(self) -> None:
        with ended_process() as pid:
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
            watch = kevent.ProcessWatch(self.queue, pid)
            tasks = await self.wait_for(watch)
            thread = threading.Thread(target=self.queue.collect)
            # The loop is not at its selector meanwhile.
            thread.start()
            thread.join()
            self.assertEqual(await self.outcomes(tasks), [])

    async def test_that_is_kept(self) -> None:
        with ended_process() as pid:
            watch = kevent.ProcessWatch(self.queue, pid)
            await self.keep_last_event(watch)
            self.assertIs((await watch).source, watch)
            with self.assertRaises(kevent.ClosedError):
                await watch

    async def test_that_is_kept_goes_with_the_watch(self) -> None:
        with ended_process() as pid:
            watch = kevent.ProcessWatch(self.queue, pid)
            await self.keep_last_event(watch)
            watch.close()
            with self.assertRaises(kevent.ClosedError):
                await watch

    async def test_that_is_handed_over_when_who_got_it_is_cancelled(self) -> None:
        for turns in range(5):
            with ended_process() as pid:
                watch = kevent.ProcessWatch(self.queue, pid)
                tasks = await self.wait_for(watch)
                await self.until_closed(watch)
                for _ in range(turns):
                    await asyncio.sleep(0)
                taken = [task for task in tasks if task.cancel()]
                if len(taken) < len(tasks):
                    continue
                for task in tasks:
                    with self.assertRaises(asyncio.CancelledError):
                        await task
                self.assertIs((await watch).source, watch)

    async def test_that_the_next_gets_when_the_first_is_cancelled(self) -> None:
        with ended_process() as pid:
            watch = kevent.ProcessWatch(self.queue, pid)
            first, second, third = await self.wait_for(watch)
            await self.until_closed(watch)
            self.assertTrue(first.cancel())
            (event,) = await self.outcomes([second, third])
            self.assertIs(event.source, watch)

    async def test_of_a_file_that_is_gone(self) -> None:
        with tempfile.TemporaryDirectory() as name:
            directory = os.path.join(name, "directory")
            os.mkdir(directory)
            watch = kevent.FileWatch(self.queue, directory)
            tasks = await self.wait_for(watch)
            os.rmdir(directory)
            self.assertGreaterEqual(len(await self.outcomes(tasks)), 1)
            with self.assertRaises(kevent.ClosedError):
                while True:
                    await watch


if __name__ == "__main__":
    unittest.main()
