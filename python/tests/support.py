# SPDX-License-Identifier: MIT
"""What the tests have in common."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable

import kevent


def collect(queue: kevent.Queue, count: int) -> list[kevent.Event]:
    """As many events, however many batches they come in."""
    events: list[kevent.Event] = []
    while len(events) < count:
        events += queue.collect(count - len(events))
    return events


def run_python(program: str, mode: str = "dev") -> subprocess.CompletedProcess[str]:
    """A program in an interpreter like this one, in development mode or another."""
    options = ["-X", "dev"] if mode == "dev" else []
    return subprocess.run(
        [sys.executable, *options, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        check=False,
    )


def in_child(function: Callable[[], None]) -> int:
    """The exit code of a child of fork that calls it."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            function()
            status = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            sys.stderr.flush()
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def run_threads(functions: Iterable[Callable[[], None]]) -> None:
    """All at once, until each has returned; the first exception of one is raised."""
    errors: list[BaseException] = []

    def run(function: Callable[[], None]) -> None:
        try:
            function()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
