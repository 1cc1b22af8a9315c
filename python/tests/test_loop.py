# SPDX-License-Identifier: MIT
"""Queues in loops of asyncio."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import socket
import subprocess
import sys
import unittest
import weakref
from typing import Any

import kevent
from kevent import Interest
from tests.support import in_child, run_threads


class Loop(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self) -> None:
        self.queue = kevent.Queue()
        self.addCleanup(self.queue.close)

    async def turn(self) -> None:
        """What is ready by now has been looked at."""
        event = kevent.UserEvent(self.queue)
        event.notify()
        await event

    async def test_iterates(self) -> None:
        timers = [kevent.Timer(self.queue, i) for i in range(50)]
        for timer in timers:
            timer.set(random.random() / 100)
        seen = []
        async for event in self.queue:
            self.assertIsInstance(event, kevent.Expiration)
            seen.append(event.data)
            if len(seen) == len(timers):
                break
        self.assertEqual(sorted(seen), list(range(50)))

    async def test_awaits_each_kind(self) -> None:
        timer = kevent.Timer(self.queue)
        timer.set(0.001)
        self.assertEqual((await timer).overruns, 0)
        near, far = socket.socketpair()
        with near, far:
            watch = kevent.DescriptorWatch(self.queue, near)
            far.send(b"x")
            self.assertTrue((await watch).readable)
            watch.close()
        with kevent.ProcessWatch(
            self.queue, (child := subprocess.Popen([sys.executable, "-c", "exit(3)"])).pid
        ) as process:
            self.assertEqual((await process).exit_code, 3)
            child.wait()

    async def test_those_who_await_come_before_those_who_iterate(self) -> None:
        one, other = kevent.Timer(self.queue, "one"), kevent.Timer(self.queue, "other")

        async def first() -> Any:
            async for event in self.queue:
                return event.data

        iterating = asyncio.create_task(first())
        awaiting = asyncio.ensure_future(other)
        await asyncio.sleep(0)
        other.set(0)
        self.assertEqual((await awaiting).data, "other")
        self.assertFalse(iterating.done())
        one.set(0)
        self.assertEqual(await iterating, "one")

    async def test_several_iterate_and_each_event_goes_to_one(self) -> None:
        seen: list[int] = []

        async def iterate() -> None:
            async for event in self.queue:
                seen.append(event.data)
                await asyncio.sleep(0)

        async with asyncio.timeout(100):
            tasks = [asyncio.create_task(iterate()) for _ in range(3)]
            timers = [kevent.Timer(self.queue, i) for i in range(100)]
            kevent.set_all(timers, 0)
            while len(seen) < 100:
                await asyncio.sleep(0)
            self.queue.close()
            await asyncio.gather(*tasks)
        self.assertEqual(sorted(seen), list(range(100)))

    async def test_what_comes_before_it_is_awaited_is_kept(self) -> None:
        early, late = kevent.Timer(self.queue), kevent.Timer(self.queue)
        early.set(0)
        await self.turn()
        late.set(0)
        await late
        await early

    async def test_what_is_kept_is_merged(self) -> None:
        timer = kevent.Timer(self.queue)
        timer.set(1e-3, interval=1e-3)
        await self.turn()
        while not self.kept(timer):
            await self.turn()
        first = self.kept(timer)[0]
        while self.kept(timer)[0] is first:
            await self.turn()
        overruns = (await timer).overruns
        self.assertGreaterEqual(overruns, first.overruns + 1)

    def kept(self, source: kevent.Source) -> list[Any]:
        driver = self.queue._driver
        assert driver is not None
        return [event for event in driver._kept.values() if event.source is source]

    async def test_what_is_kept_is_dropped_when_it_is_set_anew(self) -> None:
        timer = kevent.Timer(self.queue)
        timer.set(0)
        await self.turn()
        self.assertTrue(self.kept(timer))
        timer.set(0.001)
        self.assertFalse((await timer).stale)
        self.assertEqual(timer.remaining(), 0.0)
        timer.set(0)
        await self.turn()
        timer.cancel()
        other = kevent.UserEvent(self.queue)
        other.notify()
        async for event in self.queue:
            self.assertIs(event.source, other)
            break

    async def test_what_is_kept_does_not_keep_closed_ones(self) -> None:
        for _ in range(1000):
            with kevent.Timer(self.queue) as timer:
                timer.set(0)
                await self.turn()
        driver = self.queue._driver
        assert driver is not None
        self.assertLess(len(driver._kept), 70)

    async def test_a_ready_descriptor_that_nobody_takes_does_not_come_again_and_again(self) -> None:
        near, far = socket.socketpair()
        with near, far, kevent.DescriptorWatch(self.queue, near, Interest.WRITE, "near") as watch:
            for _ in range(5):
                await self.turn()
            driver = self.queue._driver
            assert driver is not None
            self.assertIn(watch, driver._paused)
            self.assertTrue((await watch).writable)
            self.assertTrue((await watch).writable)
            for _ in range(5):
                await self.turn()
            async for event in self.queue:
                self.assertEqual(event.data, "near")
                break
            self.assertNotIn(watch, driver._paused)
            async for event in self.queue:
                self.assertEqual(event.data, "near")
                break

    async def test_nothing_is_lost_by_cancelling(self) -> None:
        timer = kevent.Timer(self.queue)
        for _ in range(50):
            task = asyncio.ensure_future(timer)
            await asyncio.sleep(0)
            timer.set(0)
            # Its event may have been handed over, while the task has not run yet.
            for _ in range(random.randrange(4)):
                await asyncio.sleep(0)
            if task.cancel():
                with self.assertRaises(asyncio.CancelledError):
                    await task
                await timer
            else:
                await task
        with self.assertRaises(TimeoutError):
            async with asyncio.timeout(0.001):
                await timer

    async def test_cancelling_one_who_iterates(self) -> None:
        event = kevent.UserEvent(self.queue)
        for _ in range(50):
            task = asyncio.ensure_future(anext(aiter(self.queue)))
            await asyncio.sleep(0)
            event.notify()
            for _ in range(random.randrange(4)):
                await asyncio.sleep(0)
            if task.cancel():
                with self.assertRaises(asyncio.CancelledError):
                    await task
                await event
            else:
                await task

    async def test_close_ends_all(self) -> None:
        timer = kevent.Timer(self.queue)

        async def iterate() -> int:
            return len([event async for event in self.queue])

        iterating, awaiting = asyncio.create_task(iterate()), asyncio.ensure_future(timer)
        await asyncio.sleep(0)
        self.queue.close()
        self.assertEqual(await iterating, 0)
        with self.assertRaises(kevent.ClosedError):
            await awaiting
        with self.assertRaises(kevent.ClosedError):
            await timer
        async for _ in self.queue:
            self.fail("it is closed")

    async def test_close_in_another_thread(self) -> None:
        timer = kevent.Timer(self.queue)
        awaiting = asyncio.ensure_future(timer)
        await asyncio.sleep(0)
        await asyncio.to_thread(self.queue.close)
        with self.assertRaises(kevent.ClosedError):
            await awaiting

    async def test_a_dropped_queue_lets_go_of_the_loop(self) -> None:
        queue = kevent.Queue()
        timer = kevent.Timer(queue)
        timer.set(0)
        await timer
        # The loop has the event until its next turn.
        await asyncio.sleep(0)
        number, gone = queue.fileno(), weakref.ref(queue)
        loop = asyncio.get_running_loop()
        del queue, timer
        gc.collect()
        self.assertIsNone(gone())
        self.assertFalse(loop.remove_reader(number))
        with self.assertRaises(OSError):
            os.fstat(number)

    async def test_a_queue_in_a_cycle_lets_go_of_the_loop(self) -> None:
        class Finalised(kevent.Queue):
            def __del__(self) -> None:
                super().__del__()

        for kind in (kevent.Queue, Finalised):
            await self.check_that_a_cycle_lets_go_of_the_loop(kind())

    async def check_that_a_cycle_lets_go_of_the_loop(self, queue: kevent.Queue) -> None:
        kept, timer = kevent.Timer(queue), kevent.Timer(queue)
        kept.set(0)
        timer.set(0)
        await timer
        await asyncio.sleep(0)
        driver = queue._driver
        assert driver is not None and kept in driver._kept
        number = queue.fileno()
        loop = asyncio.get_running_loop()
        del queue, kept, timer, driver
        gc.collect()
        self.assertFalse(loop.remove_reader(number))
        with self.assertRaises(OSError):
            os.fstat(number)

    async def test_a_number_that_another_thread_has_freed_is_the_next_readers(self) -> None:
        loop = asyncio.get_running_loop()
        ends = os.pipe()
        queue = kevent.Queue()
        number = queue.fileno()
        awaiting = asyncio.ensure_future(kevent.Timer(queue))
        await asyncio.sleep(0)
        # The loop stands meanwhile.
        run_threads([queue.close])
        os.dup2(ends[0], number)
        os.write(ends[1], b"x")
        read = asyncio.Event()
        loop.add_reader(number, read.set)
        with self.assertRaises(kevent.ClosedError):
            await awaiting
        await asyncio.wait_for(read.wait(), 60)
        self.assertTrue(loop.remove_reader(number))
        for fd in (*ends, number):
            os.close(fd)

    async def test_closing_what_is_awaited_by_nobody(self) -> None:
        timer = kevent.Timer(self.queue)
        timer.close()
        with self.assertRaises(kevent.ClosedError):
            await timer


class Loops(unittest.TestCase):
    def test_one_after_the_other(self) -> None:
        with kevent.Queue() as queue:
            timer, kept = kevent.Timer(queue), kevent.Timer(queue)

            async def main() -> None:
                kept.set(0)
                timer.set(0.001)
                await timer

            for _ in range(3):
                asyncio.run(main())

            async def last() -> None:
                await kept

            asyncio.run(last())

    def test_not_two_at_once(self) -> None:
        with kevent.Queue() as queue:
            timer = kevent.Timer(queue)

            async def wait() -> None:
                await timer

            def other() -> None:
                with self.assertRaises(RuntimeError):
                    asyncio.run(wait())

            async def main() -> None:
                task = asyncio.ensure_future(timer)
                await asyncio.sleep(0)
                await asyncio.to_thread(other)
                timer.set(0)
                await task

            asyncio.run(main())

    def test_outside_of_a_loop(self) -> None:
        with kevent.Queue() as queue, self.assertRaises(RuntimeError):
            kevent.Timer(queue).__await__()

    def test_a_child_of_fork_awaits_in_a_loop_of_its_own(self) -> None:
        with kevent.Queue() as queue:

            async def wait() -> None:
                timer = kevent.Timer(queue)
                timer.set(0.001)
                await timer

            asyncio.run(wait())
            self.assertEqual(in_child(lambda: asyncio.run(wait())), 0)
            asyncio.run(wait())

    def test_also_while_its_parent_awaits(self) -> None:
        with kevent.Queue() as queue:

            async def wait() -> None:
                timer = kevent.Timer(queue)
                timer.set(0.001)
                await timer

            def child() -> None:
                # A thread of its own has no loop of the parent's running.
                run_threads([lambda: asyncio.run(wait())])
                queue.close()

            async def main() -> None:
                timer = kevent.Timer(queue)
                awaiting = asyncio.ensure_future(timer)
                await asyncio.sleep(0)
                self.assertEqual(in_child(child), 0)
                timer.set(0)
                await awaiting

            asyncio.run(main())


if __name__ == "__main__":
    unittest.main()
