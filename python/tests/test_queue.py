# SPDX-License-Identifier: MIT
"""Queues: batches, waiting, closing, threads, signals of Python's own."""

from __future__ import annotations

import errno
import functools
import gc
import os
import random
import select
import signal
import sys
import threading
import time
import unittest
import weakref
from collections.abc import Callable

import kevent
from tests.support import run_python, run_threads


class Collecting(unittest.TestCase):
    def setUp(self) -> None:
        self.queue = kevent.Queue()
        self.addCleanup(self.queue.close)

    def user_events(self, count: int) -> list[kevent.UserEvent]:
        return [kevent.UserEvent(self.queue, i) for i in range(count)]

    def test_a_batch_has_what_is_ready_in_order(self) -> None:
        events = self.user_events(600)
        for event in events:
            event.notify()
        batch = self.queue.collect(500)
        self.assertEqual([event.data for event in batch], list(range(500)))
        self.assertEqual([event.source for event in batch], events[:500])
        self.assertEqual(len(self.queue.collect()), 100)

    def test_a_batch_of_any_size(self) -> None:
        (event,) = self.user_events(1)
        for size in (1 << 20, (1 << 20) + 1, 10**9, (1 << 31) - 1):
            event.notify()
            self.assertEqual(len(self.queue.collect(size)), 1)

    def test_waits_for_so_many(self) -> None:
        one, other = self.user_events(2)
        one.notify()
        threading.Thread(target=other.notify).start()
        self.assertEqual(len(self.queue.collect(min_events=2)), 2)

    def test_a_timeout_ends_in_no_event(self) -> None:
        begin = time.monotonic()
        self.assertEqual(self.queue.collect(timeout=0.02), [])
        self.assertGreaterEqual(time.monotonic() - begin, 0.02)
        self.assertEqual(self.queue.collect(timeout=0), [])
        self.assertEqual(self.queue.collect(timeout=-1), [])
        self.assertEqual(self.queue.collect(min_events=0), [])

    def test_a_timeout_without_an_end(self) -> None:
        (event,) = self.user_events(1)
        event.notify()
        for timeout in (float("inf"), 1e300, 1 << 40):
            self.assertEqual(len(self.queue.collect(timeout=timeout)), 1)
            event.notify()

    def test_wake_has_a_call_return(self) -> None:
        self.queue.wake()
        self.assertEqual(self.queue.collect(), [])

    def test_the_descriptor_can_be_polled(self) -> None:
        (event,) = self.user_events(1)
        poller = select.poll()
        poller.register(self.queue, select.POLLIN)
        self.assertEqual(poller.poll(0), [])
        event.notify()
        self.assertEqual(poller.poll(), [(self.queue.fileno(), select.POLLIN)])

    def test_arguments_that_make_no_sense(self) -> None:
        for arguments in ({"max_events": 0}, {"min_events": -1}, {"max_events": 2, "min_events": 3}):
            with self.assertRaises(ValueError):
                self.queue.collect(**arguments)
        with self.assertRaises(ValueError):
            self.queue.collect(1 << 30, min_events=1 << 30)
        with self.assertRaises(ValueError):
            self.queue.collect(timeout=float("nan"))
        with self.assertRaises(TypeError):
            self.queue.collect(timeout="1")  # type: ignore[arg-type]
        with self.assertRaises(TypeError):
            kevent.Timer(7)  # type: ignore[arg-type]
        with self.assertRaises(TypeError):
            kevent.Event()
        with self.assertRaises(TypeError):
            kevent.Source()

    def test_events_of_another_part_of_the_program(self) -> None:
        import ctypes

        library = ctypes.CDLL("libkevent.so.0")
        # struct ukevent of kevent_values(7): KEVENT_UNOTIFY, its event, a cookie.
        request = (ctypes.c_uint64 * 5)(42, 1 << 32 | 9, 0, 0, 4711)
        self.assertEqual(library.kevent_ctl(self.queue.fileno(), 0, 1, request), 0)
        self.assertEqual(library.kevent_ctl(self.queue.fileno(), 3, 1, request), 1)
        (event,) = self.queue.collect()
        self.assertIsInstance(event, kevent.Notification)
        self.assertIsNone(event.source)
        self.assertIsNone(event.data)
        self.assertFalse(event.stale)
        self.assertEqual((event.raw["id"], event.raw["ptr"]), (42, 4711))

    def test_text_for_people(self) -> None:
        (event,) = self.user_events(1)
        event.notify()
        self.assertIn("Notification", repr(self.queue.collect()[0]))
        self.assertIn(str(self.queue.fileno()), repr(self.queue))
        self.queue.close()
        self.assertIn("closed", repr(self.queue))


class Closing(unittest.TestCase):
    def test_what_a_closed_queue_answers(self) -> None:
        with kevent.Queue() as queue:
            timer = kevent.Timer(queue)
            watch = kevent.UserEvent(queue)
        self.assertTrue(queue.closed and timer.closed and watch.closed)
        calls: tuple[Callable[[], object], ...] = (
            queue.collect,
            queue.wake,
            queue.fileno,
            queue.__enter__,
            timer.remaining,
            timer.cancel,
            watch.notify,
            lambda: timer.set(1),
            lambda: kevent.Timer(queue),
            lambda: kevent.UserEvent(queue),
            lambda: kevent.set_all([timer], 1),
        )
        for call in calls:
            with self.assertRaises(kevent.ClosedError) as raised:
                call()
            self.assertEqual(raised.exception.errno, errno.EBADF)
            self.assertIsInstance(raised.exception, OSError)
        queue.close()
        timer.close()
        watch.close()

    def test_the_descriptor_is_closed(self) -> None:
        for end in ("close", "drop", "drop with a timer"):
            queue = kevent.Queue()
            timer = kevent.Timer(queue)
            number = queue.fileno()
            if end == "close":
                queue.close()
            del queue, timer
            with self.assertRaises(OSError):
                os.fstat(number)

    def test_a_queue_outlives_the_name_that_its_timer_has_it_by(self) -> None:
        timer = kevent.Timer(kevent.Queue(), "data")
        timer.set(0)
        self.assertEqual([event.data for event in timer.queue.collect()], ["data"])

    def test_close_ends_every_call_that_sleeps(self) -> None:
        queue = kevent.Queue()
        number = queue.fileno()
        started, ended = [], []
        # A thread has the GIL until it sleeps: who has started sleeps in collect().
        self.addCleanup(sys.setswitchinterval, sys.getswitchinterval())
        sys.setswitchinterval(1000)

        def sleep() -> None:
            started.append(True)
            try:
                while True:
                    queue.collect()
            except kevent.ClosedError:
                ended.append(True)

        def close() -> None:
            while len(started) < 5:
                time.sleep(0.001)
            queue.close()
            # None of them has run since, so the number cannot be another's yet.
            with kevent.Queue() as other:
                self.assertNotEqual(other.fileno(), number)

        run_threads([sleep] * 5 + [close])
        self.assertEqual(len(ended), 5)
        with self.assertRaises(OSError):
            os.fstat(number)

    def test_cycles_are_collected(self) -> None:
        class Node(kevent.Timer):
            pass

        queue = kevent.Queue()
        number = queue.fileno()
        timer = Node(queue)
        timer.data = [timer, queue]
        timer.set(0)
        (event,) = queue.collect()
        timer.data.append(event)
        gone = weakref.ref(timer)
        queue_gone = weakref.ref(queue)
        del queue, timer, event
        gc.collect()
        self.assertIsNone(gone())
        self.assertIsNone(queue_gone())
        with self.assertRaises(OSError):
            os.fstat(number)

    def test_a_cycle_is_collected_while_its_event_is_made(self) -> None:
        program = """
import gc, kevent
class Node(kevent.Timer): pass
queue = kevent.Queue()
gc.disable()
gc.collect()
nodes = [Node(queue) for _ in range(100)]
for node in nodes:
    node.data = [node]
    node.set(0)
# What is counted from here on are the events.
gc.collect(0)
del node, nodes
gc.set_threshold(50, 0, 1000)
gc.enable()
events = queue.collect()
assert 0 < len(events) < 100, events
assert all(event.source.data[0] is event.source for event in events)
"""
        ended = run_python(program)
        self.assertEqual((ended.stderr, ended.returncode), ("", 0))


class Threads(unittest.TestCase):
    def test_each_event_goes_to_one_of_many(self) -> None:
        with kevent.Queue() as queue:
            timers = [kevent.Timer(queue, i) for i in range(5000)]
            lists: list[list[int]] = [[] for _ in range(4)]
            missing = threading.Semaphore(0)

            def collector(mine: list[int]) -> None:
                while True:
                    try:
                        batch = queue.collect(16)
                    except kevent.ClosedError:
                        return
                    mine.extend(event.data for event in batch)
                    for _ in batch:
                        missing.release()

            def setter() -> None:
                for timer in timers:
                    timer.set(random.random() / 50)
                for _ in timers:
                    missing.acquire()
                queue.close()

            run_threads([setter, *(functools.partial(collector, mine) for mine in lists)])
            self.assertEqual(sorted(sum(lists, [])), list(range(5000)))

    def test_objects_come_and_go_under_collectors(self) -> None:
        seed = int(os.environ.get("KEVENT_TEST_SEED", random.randrange(1 << 32)))
        print(f"seed {seed}")
        with kevent.Queue() as queue:
            seen = [0]

            class Bare(kevent.Timer):
                def __del__(self) -> None:
                    # Lets other threads look at what is about to go.
                    time.sleep(0)

            def live(random: random.Random) -> None:
                mine: list[kevent.Timer | kevent.UserEvent] = []
                for i in range(3000):
                    kind = random.choice((kevent.Timer, Bare, kevent.UserEvent))
                    mine.append(kind(queue, i))
                    source = random.choice(mine)
                    if isinstance(source, kevent.Timer):
                        source.set(random.choice((0, 0, 1e-6, 1e-4)), random.choice((0, 1e-5)))
                    else:
                        source.notify()
                    while len(mine) > 20:
                        gone = mine.pop(random.randrange(len(mine)))
                        if random.random() < 0.5:
                            gone.close()

            def collect() -> None:
                try:
                    while True:
                        for event in queue.collect(random.randrange(1, 40)):
                            self.assertIsInstance(event.data, int)
                            seen[0] += 1
                except kevent.ClosedError:
                    pass

            def owner() -> None:
                try:
                    run_threads(functools.partial(live, random.Random(seed + i)) for i in range(3))
                finally:
                    queue.close()

            run_threads([owner, collect, collect])
            self.assertGreater(seen[0], 0)


class Raised(Exception):
    """Of a handler."""


class PythonsSignals(unittest.TestCase):
    """A handler of Python's runs while a call sleeps, and may raise: PEP 475."""

    def handle(self, *_: object) -> None:
        self.handled += 1
        if self.handled == self.raise_at:
            raise Raised

    def setUp(self) -> None:
        self.handled, self.raise_at = 0, -1
        self.queue = kevent.Queue()
        before = signal.signal(signal.SIGALRM, self.handle)
        self.addCleanup(self.queue.close)
        self.addCleanup(signal.signal, signal.SIGALRM, before)
        self.addCleanup(signal.setitimer, signal.ITIMER_REAL, 0)
        signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)

    def test_an_exception_leaves_the_call(self) -> None:
        self.raise_at = 5
        with self.assertRaises(Raised):
            self.queue.collect()

    def test_the_wait_goes_on(self) -> None:
        begin = time.monotonic()
        while self.handled < 3:
            begin = time.monotonic()
            self.assertEqual(self.queue.collect(timeout=0.05), [])
            self.assertGreaterEqual(time.monotonic() - begin, 0.05)

    def test_keyboard_interrupt(self) -> None:
        program = """
import kevent, sys, threading, os, signal
queue = kevent.Queue()
def interrupt():
    # As long as it takes: the first can come before the call sleeps.
    while not done.wait(0.01):
        os.kill(os.getpid(), signal.SIGINT)
done = threading.Event()
thread = threading.Thread(target=interrupt)
try:
    thread.start()
    queue.collect()
except KeyboardInterrupt:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    done.set()
    print("interrupted")
"""
        ended = run_python(program)
        self.assertEqual((ended.stdout, ended.stderr, ended.returncode), ("interrupted\n", "", 0))


if __name__ == "__main__":
    unittest.main()
