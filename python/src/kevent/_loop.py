# SPDX-License-Identifier: MIT
"""A queue in a loop of asyncio.

The queue's descriptor is in the loop while somebody waits for an event.  What is collected goes to
those who await its source; anything else is kept, one event a source, for the next who asks, and is
handed to those who iterate over the queue.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import errno
import weakref
from collections.abc import AsyncIterator, Callable, Generator, Iterable
from typing import Any

from kevent._kevent import ClosedError, DescriptorWatch, Event, Queue, Source, merge

# None: to look again.
_Future = asyncio.Future[Event | None]


def _closed(text: str) -> ClosedError:
    return ClosedError(errno.EBADF, text)


class _Reader:
    """What the loop calls; it keeps the driver, and what that has kept, while somebody waits."""

    def __init__(self, driver: Driver) -> None:
        self.kept: Driver | None = None
        self._driver = weakref.ref(driver)

    def __call__(self) -> None:
        driver = self._driver()
        if driver is not None:
            driver._collect()


class Driver:
    """What has a queue in one loop; it belongs to the queue, and is used in the loop's thread."""

    def __init__(self, queue: Queue, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._queue = weakref.ref(queue)
        self._fd = queue.fileno()
        self._reader = _Reader(self)
        self._reading = False
        self._waiting = 0
        self._ended = False
        self._awaiting: dict[Source, collections.deque[_Future]] = {}
        self._iterating: collections.deque[_Future] = collections.deque()
        # By source; those of no source of this module by themselves.
        self._kept: dict[Source | Event, Event] = {}
        self._paused: set[Source] = set()
        self._room = 64  # for what is kept, before stale events are looked for

    @property
    def idle(self) -> bool:
        """Whether nobody waits."""
        return self._waiting == 0

    async def next_of(self, source: Source) -> Event:
        """The next event of a source; ClosedError when it reports nothing any more."""
        while True:
            event = self._forget(source)
            if event is None:
                waiting = self._awaiting.setdefault(source, collections.deque())
                try:
                    event = await self._wait(waiting, source)
                finally:
                    if not waiting and self._awaiting.get(source) is waiting:
                        del self._awaiting[source]
            if event is not None and not event.stale:
                return event

    async def next_of_any(self) -> Event | None:
        """The next event that nobody awaits; None when the queue is closed."""
        while True:
            event = self._take()
            if event is None:
                try:
                    event = await self._wait(self._iterating)
                except ClosedError:
                    return None
            if event is not None and not event.stale:
                return event

    async def _wait(
        self, waiting: collections.deque[_Future], source: Source | None = None
    ) -> Event | None:
        """An event; None if what is waited for may have ended."""
        future: _Future = self.loop.create_future()
        waiting.append(future)
        self._waiting += 1
        self._reader.kept = self
        try:
            # Another thread that ends it wakes those who wait by then.
            self._check(source)
            if not self._reading:
                self.loop.add_reader(self._fd, self._reader)
                self._reading = True
            return await future
        except asyncio.CancelledError:
            # It may have been given an event already.
            if future.done() and not future.cancelled() and (event := future.result()) is not None:
                self._deliver(event)
                self._hand_out()
            raise
        finally:
            waiting.remove(future)
            self._waiting -= 1
            if self.idle:
                self._reader.kept = None

    def _check(self, source: Source | None) -> None:
        if self._ended:
            raise _closed("the queue is closed")
        if source is not None and (source.closed or source.queue is not self._queue()):
            raise _closed("it is closed")

    def move_to(self, loop: asyncio.AbstractEventLoop) -> Driver:
        """The driver of another loop, with what this one has kept."""
        queue = self._queue()
        assert queue is not None
        if self._reading and not self.loop.is_closed():
            self.loop.remove_reader(self._fd)
        driver = Driver(queue, loop)
        driver._kept = self._kept
        driver._paused = self._paused
        return driver

    def close(self) -> None:
        """Called by the queue, before its descriptor is closed, and in any thread."""
        self._ended = True
        if self.loop.is_closed():
            return
        self._let_go()
        if not self.idle and not self._in_loop():
            self._call_soon(self._end)
        else:
            self._end()

    def end(self, source: Source) -> None:
        """Called, in any thread, by a source that reports nothing any more.

        Who awaits it looks again in the next turn: its last event is handed over in this one.
        """
        if source in self._awaiting:
            self._call_soon(lambda: self._wake(self._awaiting.get(source, ())))

    def _call_soon(self, function: Callable[[], None]) -> None:
        # The loop may have been closed since.
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(function)

    def _in_loop(self) -> bool:
        try:
            return asyncio.get_running_loop() is self.loop
        except RuntimeError:
            # Perhaps between two runs of the loop.
            return not self.loop.is_running()

    def _let_go(self) -> None:
        if self._reading:
            self._reading = False
            self.loop.remove_reader(self._fd)

    def _end(self) -> None:
        self._wake(self._iterating)
        for futures in self._awaiting.values():
            self._wake(futures)

    def _wake(self, waiting: Iterable[_Future]) -> None:
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def _collect(self) -> None:
        queue = self._queue()
        if queue is None or queue.closed or self.idle:
            self._let_go()
            return
        for event in queue.collect(min_events=0):
            self._deliver(event)
        self._hand_out()

    def _deliver(self, event: Event) -> None:
        source = event.source
        if source is None:
            self._keep(event, event)
            return
        for future in self._awaiting.get(source, ()):
            if not future.done():
                future.set_result(event)
                return
        kept = self._kept.get(source)
        if kept is None or kept.stale:
            self._keep(source, event)
            return
        self._kept[source] = merge(kept, event)
        # It would come in every turn of the loop until somebody takes it.
        if isinstance(source, DescriptorWatch) and source._level and source not in self._paused:
            self._paused.add(source)
            source.pause()

    def _keep(self, key: Source | Event, event: Event) -> None:
        if len(self._kept) >= self._room:
            self._kept = {of: kept for of, kept in self._kept.items() if not kept.stale}
            self._room = max(64, 2 * len(self._kept))
        self._kept[key] = event

    def _hand_out(self) -> None:
        """What is kept, to those who iterate."""
        for future in self._iterating:
            if future.done():
                continue
            event = self._take()
            if event is None:
                return
            future.set_result(event)

    def _take(self) -> Event | None:
        while self._kept:
            key = next(iter(self._kept))
            event = self._kept.pop(key)
            if isinstance(key, Source):
                self._resume(key)
            if not event.stale:
                return event
        return None

    def _forget(self, source: Source) -> Event | None:
        """What is kept of a source; None if it has to be asked for again."""
        event = self._kept.pop(source, None)
        return None if self._resume(source) else event

    def _resume(self, source: Source) -> bool:
        """Whether the source was paused, and what is kept of it can be old."""
        if source not in self._paused:
            return False
        self._paused.remove(source)
        if isinstance(source, DescriptorWatch) and not source.closed:
            source.resume()
        return True


def driver_of(queue: Queue) -> Driver:
    """The driver of a queue in the loop that runs."""
    loop = asyncio.get_running_loop()
    driver = queue._driver
    if driver is None:
        driver = Driver(queue, loop)
    elif driver.loop is not loop:
        if not driver.idle and not driver.loop.is_closed():
            raise RuntimeError("the queue is awaited in another loop")
        driver = driver.move_to(loop)
    queue._driver = driver
    return driver


def next_event(source: Source) -> Generator[Any, Any, Event]:
    """What `await source` does."""
    queue = source.queue
    # Before __init__ there is none.
    if queue is None or queue.closed:
        raise _closed("it is closed" if queue is None else "its queue is closed")
    return driver_of(queue).next_of(source).__await__()


class Events(AsyncIterator[Event]):
    """What `async for event in queue` iterates over; it ends when the queue is closed."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    async def __anext__(self) -> Event:
        if self._queue.closed:
            raise StopAsyncIteration
        event = await driver_of(self._queue).next_of_any()
        if event is None:
            raise StopAsyncIteration
        return event
