# SPDX-License-Identifier: MIT
"""Timers: setting, reading, many at once, fork."""

from __future__ import annotations

import gc
import os
import time
import unittest
import weakref
from collections.abc import Callable

import kevent
from tests.support import collect, in_child


class Timers(unittest.TestCase):
    def setUp(self) -> None:
        self.queue = kevent.Queue()
        self.addCleanup(self.queue.close)

    def test_expires_once(self) -> None:
        timer = kevent.Timer(self.queue, "data")
        begin = time.monotonic()
        timer.set(0.01)
        (event,) = self.queue.collect()
        self.assertGreaterEqual(time.monotonic() - begin, 0.01)
        assert isinstance(event, kevent.Expiration)
        self.assertIs(event.source, timer)
        self.assertEqual((event.data, event.overruns, timer.overruns()), ("data", 0, 0))
        self.assertGreaterEqual(event.lateness, 0.0)
        self.assertEqual((timer.remaining(), timer.interval()), (0.0, 0.0))
        self.assertEqual(self.queue.collect(timeout=0), [])

    def test_expires_at_an_interval(self) -> None:
        timer = kevent.Timer(self.queue)
        begin = time.monotonic()
        timer.set(0.001, interval=0.001)
        expirations = 0
        while expirations < 20:
            (event,) = self.queue.collect()
            assert isinstance(event, kevent.Expiration)
            expirations += 1 + event.overruns
        self.assertGreaterEqual(time.monotonic() - begin, 0.02)
        self.assertEqual(timer.interval(), 0.001)

    def test_now_is_not_never(self) -> None:
        timer = kevent.Timer(self.queue)
        for moment in (0, 0.0, -1, -1e300, 1e-300):
            timer.set(moment)
            self.assertEqual(len(self.queue.collect()), 1)
            timer.set_at(moment)
            self.assertEqual(len(self.queue.collect()), 1)

    def test_at_a_moment_of_its_clock(self) -> None:
        for clock in (time.CLOCK_MONOTONIC, time.CLOCK_REALTIME, time.CLOCK_BOOTTIME):
            timer = kevent.Timer(self.queue, clock=clock)
            moment = time.clock_gettime(clock) + 0.01
            timer.set_at(moment)
            self.queue.collect()
            self.assertGreaterEqual(time.clock_gettime(clock), moment)

    def test_a_clock_that_is_none(self) -> None:
        with self.assertRaises(OSError):
            kevent.Timer(self.queue, clock=4711)

    def test_setting_takes_back(self) -> None:
        timer = kevent.Timer(self.queue)
        timer.set(0)
        timer.set(3600)
        self.assertEqual(self.queue.collect(timeout=0), [])
        self.assertGreater(timer.remaining(), 3000)
        timer.set(0)
        timer.cancel()
        self.assertEqual(self.queue.collect(timeout=0), [])
        self.assertEqual(timer.remaining(), 0.0)

    def test_what_was_collected_before_is_stale(self) -> None:
        timer = kevent.Timer(self.queue)
        timer.set(0)
        (event,) = self.queue.collect()
        self.assertFalse(event.stale)
        timer.set(3600)
        self.assertTrue(event.stale)
        timer.set(0)
        (event,) = self.queue.collect()
        timer.close()
        self.assertTrue(event.stale)

    def test_times_saturate(self) -> None:
        timer = kevent.Timer(self.queue)
        for length in (float("inf"), 1e300, 10**30, 4611686018.427387):
            timer.set(length, interval=length)
            self.assertGreater(timer.remaining(), 4.6e9)
            self.assertGreater(timer.interval(), 4.6e9)

    def test_times_are_rounded_up(self) -> None:
        timer = kevent.Timer(self.queue)
        for seconds, interval in ((0.1, 0.1), (1e-12, 1e-9), (1.0000000005, 1.000000001), (7, 7.0)):
            timer.set(3600, interval=seconds)
            self.assertEqual(timer.interval(), interval)

    def test_arguments_by_every_way_of_a_call(self) -> None:
        timer = kevent.Timer(queue=self.queue, data="data")
        timer.set(after=3600, interval=7)
        self.assertEqual(timer.interval(), 7)
        timer.set(3600, 8)
        self.assertEqual(timer.interval(), 8)
        timer.set_at(when=time.monotonic() + 3600, interval=9)
        self.assertEqual(timer.interval(), 9)
        wrong: tuple[Callable[[], object], ...] = (
            lambda: timer.set(),  # type: ignore[call-arg]
            lambda: timer.set(1, 2, 3),  # type: ignore[call-arg]
            lambda: timer.set(1, after=2),  # type: ignore[misc]
            lambda: timer.set(1, when=2),  # type: ignore[call-arg]
            lambda: timer.set("1"),  # type: ignore[arg-type]
            lambda: timer.set(1, interval=None),  # type: ignore[arg-type]
            lambda: kevent.Timer(self.queue, 1, 2),  # type: ignore[misc]
        )
        for call in wrong:
            with self.assertRaises(TypeError):
                call()
        with self.assertRaises(ValueError):
            timer.set(float("nan"))
        self.assertEqual(timer.interval(), 9)

    def test_it_goes_with_its_last_reference(self) -> None:
        timer = kevent.Timer(self.queue)
        timer.set(0)
        gone = weakref.ref(timer)
        del timer
        self.assertIsNone(gone())
        self.assertEqual(self.queue.collect(timeout=0), [])

    def test_an_event_keeps_it(self) -> None:
        timer = kevent.Timer(self.queue, "data")
        timer.set(0)
        (event,) = self.queue.collect()
        del timer
        assert isinstance(event.source, kevent.Timer)
        event.source.set(0)
        self.assertEqual(self.queue.collect()[0].data, "data")

    def test_a_cookie_is_not_taken_for_that_of_the_next(self) -> None:
        for _ in range(1000):
            one = kevent.Timer(self.queue, "one")
            one.set(0)
            one.close()
            other = kevent.Timer(self.queue, "other")
            other.set(0)
            self.assertEqual([event.data for event in self.queue.collect()], ["other"])

    def test_subclasses(self) -> None:
        class Connection(kevent.Timer):
            def __init__(self, queue: kevent.Queue, peer: str) -> None:
                super().__init__(queue)
                self.peer = peer

        connection = Connection(self.queue, "somebody")
        connection.set(0)
        (event,) = self.queue.collect()
        assert isinstance(event.source, Connection)
        self.assertEqual(event.source.peer, "somebody")

    def test_before_init_and_twice(self) -> None:
        timer = kevent.Timer.__new__(kevent.Timer)
        self.assertTrue(timer.closed)
        with self.assertRaises(kevent.ClosedError):
            timer.set(1)
        timer.close()
        timer.__init__(self.queue, "one")  # type: ignore[misc]
        timer.set(0)
        timer.__init__(self.queue, "two")  # type: ignore[misc]
        timer.set(0)
        self.assertEqual([event.data for event in self.queue.collect()], ["two"])
        with self.assertRaises(RuntimeError):
            self.queue.__init__()  # type: ignore[misc]
        with self.assertRaises(kevent.ClosedError):
            kevent.Timer(kevent.Queue.__new__(kevent.Queue))

    def test_data_can_be_changed(self) -> None:
        timer = kevent.Timer(self.queue)
        self.assertIsNone(timer.data)
        timer.data = "data"
        timer.set(0)
        self.assertEqual(self.queue.collect()[0].data, "data")
        del timer.data
        self.assertIsNone(timer.data)

    def test_context(self) -> None:
        with kevent.Timer(self.queue) as timer:
            timer.set(0)
        self.assertTrue(timer.closed)
        self.assertEqual(self.queue.collect(timeout=0), [])


class Many(unittest.TestCase):
    def test_set_all(self) -> None:
        with kevent.Queue() as queue:
            timers = [kevent.Timer(queue, i) for i in range(1000)]
            kevent.set_all(timers, 3600)
            self.assertTrue(all(timer.remaining() > 3000 for timer in timers))
            kevent.set_all((timer for timer in timers), after=0, interval=0)
            self.assertEqual(sorted(event.data for event in collect(queue, 1000)), list(range(1000)))
            kevent.set_all([], 1)
            for wrong in ([None], [timers[0], queue]):
                with self.assertRaises(TypeError):
                    kevent.set_all(wrong, 1)  # type: ignore[arg-type]

    def test_where_some_cannot_be_set(self) -> None:
        for closed in ([0], [3], [299], [0, 127, 128, 299]):
            with kevent.Queue() as queue:
                timers = [kevent.Timer(queue, i) for i in range(300)]
                for i in closed:
                    timers[i].close()
                with self.assertRaises(kevent.ClosedError):
                    kevent.set_all(timers, 3600)
                others = [timer for timer in timers if timer.data not in closed]
                self.assertTrue(all(timer.remaining() > 3000 for timer in others))

    def test_where_one_is_no_timer(self) -> None:
        with kevent.Queue() as queue:
            timers = [kevent.Timer(queue) for _ in range(300)]
            event = kevent.UserEvent(queue)
            for wrong in ([*timers, event], [event, *timers]):
                with self.assertRaises(TypeError):
                    kevent.set_all(wrong, 3600)  # type: ignore[arg-type]
                self.assertTrue(all(timer.remaining() == 0.0 for timer in timers))

    def test_a_hundred_thousand(self) -> None:
        with kevent.Queue() as queue:
            timers = [kevent.Timer(queue, i) for i in range(100_000)]
            kevent.set_all(timers, 3600)
            kevent.set_all(timers, 0)
            self.assertEqual(sorted(e.data for e in collect(queue, 100_000)), list(range(100_000)))


class Fork(unittest.TestCase):
    def test_the_child_has_an_empty_queue(self) -> None:
        with kevent.Queue() as queue:
            old = kevent.Timer(queue, "parent")
            old.set(0)
            event = kevent.UserEvent(queue)
            event.notify()

            def child() -> None:
                nonlocal old, event
                self.assertEqual(queue.collect(timeout=0), [])
                for call in (lambda: old.set(1), old.remaining, event.notify):
                    with self.assertRaises(kevent.ClosedError):
                        call()
                self.assertTrue(old.closed)
                # The first of the child's own may have the number of the parent's.
                new = [kevent.Timer(queue, "child") for _ in range(4)]
                kevent.set_all(new, 3600)
                old.close()
                del event
                gc.collect()
                for timer in new:
                    self.assertGreater(timer.remaining(), 3000)
                kevent.set_all(new, 0)
                self.assertEqual([e.data for e in collect(queue, 4)], ["child"] * 4)
                number = queue.fileno()
                queue.close()
                with self.assertRaises(OSError):
                    os.fstat(number)

            self.assertEqual(in_child(child), 0)
            self.assertEqual(len(collect(queue, 2)), 2)
            self.assertFalse(old.closed)

    def test_a_child_of_a_process_whose_threads_sleep(self) -> None:
        import threading

        with kevent.Queue() as queue:
            thread = threading.Thread(target=lambda: self.assertEqual(queue.collect(), []))
            thread.start()

            def child() -> None:
                number = queue.fileno()
                queue.close()
                with self.assertRaises(OSError):
                    os.fstat(number)

            for _ in range(20):
                self.assertEqual(in_child(child), 0)
            queue.wake()
            thread.join()


if __name__ == "__main__":
    unittest.main()
