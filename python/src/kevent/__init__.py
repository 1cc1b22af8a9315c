# SPDX-License-Identifier: MIT
"""Timers, descriptors, signals, files and processes that complete into a queue: libkevent.

    with kevent.Queue() as queue:
        timer = kevent.Timer(queue, data="tick")
        timer.set(0.1, interval=0.1)
        for event in queue.collect():
            print(event)

Timers and watches report into a Queue for as long as the program keeps them.  Queue.collect()
takes events in batches; in a loop of asyncio, `async for event in queue` does, and `await timer`
waits for the next event of one timer or watch.

In a loop of asyncio:

- An event goes to one who awaits its source, else to one who iterates over the queue.  What comes
  while nobody takes it is kept, merged as the queue would have done, and dropped when it is stale.
- To cancel a task, as asyncio.timeout() does, loses no event.
- Timer.cancel() has those who await it wait for the next setting.  close() ends them by ClosedError,
  and so does what else has a source report nothing any more: its last event, or kevent.close().
- Queue.close() does so with all, and ends each `async for`; it belongs into the thread of the loop.
- A queue is in one loop at a time.  A loop that does not await it does not read it.

    async def main():
        with kevent.Queue() as queue:
            timer = kevent.Timer(queue)
            timer.set(0.1)
            print(await timer)

    asyncio.run(main())

A call that fails raises OSError, or the subclass of it that stands for its errno; what is done with
a closed object raises ClosedError.  Times are in seconds.  Everything may be used by any thread.
"""

import enum
import signal as _signal

from kevent._kevent import (
    ClosedError,
    DescriptorWatch,
    Event,
    Expiration,
    FileChanges,
    FileWatch,
    Notification,
    ProcessExit,
    ProcessWatch,
    Queue,
    Readiness,
    SignalReceipt,
    SignalWatch,
    Source,
    Timer,
    UserEvent,
    Watch,
    close,
    library_version,
    set_all,
)
from kevent._kevent import name_numbers as _name_numbers

__all__ = [
    "ClosedError",
    "DescriptorWatch",
    "Event",
    "Expiration",
    "FileChange",
    "FileChanges",
    "FileWatch",
    "Interest",
    "Notification",
    "ProcessExit",
    "ProcessWatch",
    "Queue",
    "Readiness",
    "SignalReceipt",
    "SignalWatch",
    "Source",
    "Timer",
    "Trigger",
    "UserEvent",
    "Watch",
    "close",
    "library_version",
    "set_all",
]


class Interest(enum.IntFlag):
    """What a DescriptorWatch waits for: the bits of poll(2)."""

    READ = 0x1
    URGENT = 0x2
    WRITE = 0x4
    READ_HANG_UP = 0x2000


class Trigger(enum.IntEnum):
    """When a DescriptorWatch reports."""

    LEVEL = 0x0
    """As long as the descriptor is ready."""
    EDGE = 0x4
    """Once for each activity."""
    ONCE = 0x40
    """Once, until resume() or modify()."""


class FileChange(enum.IntFlag):
    """What a FileWatch reports."""

    CREATE = 0x1
    """An entry came into the directory."""
    REMOVE = 0x2
    """An entry left the directory."""
    MODIFY = 0x100
    """The contents of the file, or of a file in the directory, changed."""
    ATTRIB = 0x200
    """Attributes of the file, the directory or an entry of it changed."""
    SELF = 0x400
    """The file or directory itself was removed or renamed."""
    ALL = 0xFFFFFFFF
    """All that the file can have."""


_name_numbers(Interest, FileChange, _signal.Signals)
