# SPDX-License-Identifier: MIT
"""Descriptors, signals, processes, files, and events of the program's own."""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

import kevent
from kevent import FileChange, Interest, Trigger


class Watches(unittest.TestCase):
    def setUp(self) -> None:
        self.queue = kevent.Queue()
        self.addCleanup(self.queue.close)

    def ready(self) -> list[kevent.Event]:
        return self.queue.collect(timeout=0)


class Descriptors(Watches):
    def setUp(self) -> None:
        super().setUp()
        self.near, self.far = socket.socketpair()
        self.addCleanup(self.near.close)
        self.addCleanup(self.far.close)

    def test_by_level(self) -> None:
        watch = kevent.DescriptorWatch(self.queue, self.near, data="data")
        self.assertEqual(watch.fd, self.near.fileno())
        self.assertEqual(self.ready(), [])
        self.far.send(b"x")
        for _ in range(3):
            (event,) = self.queue.collect()
            assert isinstance(event, kevent.Readiness)
            self.assertEqual((event.fd, event.data), (self.near.fileno(), "data"))
            self.assertTrue(event.readable and event.events & Interest.READ)
            self.assertIsInstance(event.events, Interest)
            self.assertFalse(event.writable or event.error or event.hang_up)
        self.near.recv(1)
        self.assertEqual(self.ready(), [])

    def test_by_edge(self) -> None:
        watch = kevent.DescriptorWatch(self.queue, self.near.fileno(), trigger=Trigger.EDGE)
        self.far.send(b"x")
        self.assertEqual(len(self.queue.collect()), 1)
        self.assertEqual(self.ready(), [])
        self.far.send(b"x")
        self.assertEqual(len(self.queue.collect()), 1)
        watch.close()

    def test_once(self) -> None:
        watch = kevent.DescriptorWatch(self.queue, self.near, trigger=Trigger.ONCE)
        self.far.send(b"x")
        self.assertEqual(len(self.queue.collect()), 1)
        self.assertEqual(self.ready(), [])
        watch.resume()
        self.assertEqual(len(self.queue.collect()), 1)

    def test_modify_pause_and_resume(self) -> None:
        watch = kevent.DescriptorWatch(self.queue, self.near, Interest.READ)
        watch.modify(Interest.READ | Interest.WRITE)
        (event,) = self.queue.collect()
        assert isinstance(event, kevent.Readiness)
        self.assertTrue(event.writable and not event.readable)
        watch.pause()
        self.assertEqual(self.ready(), [])
        watch.resume()
        self.assertEqual(len(self.queue.collect()), 1)
        with self.assertRaises(ValueError):
            watch.modify(Interest(0))

    def test_a_hang_up(self) -> None:
        kept = kevent.DescriptorWatch(self.queue, self.near)
        self.far.close()
        (event,) = self.queue.collect()
        assert isinstance(event, kevent.Readiness)
        self.assertTrue(event.hang_up)
        self.assertEqual(event.events & select.POLLHUP, select.POLLHUP)
        kept.close()

    def test_closed_and_dropped_watches(self) -> None:
        watch = kevent.DescriptorWatch(self.queue, self.near)
        self.far.send(b"x")
        watch.close()
        self.assertEqual(self.ready(), [])
        kevent.DescriptorWatch(self.queue, self.near)
        self.assertEqual(self.ready(), [])

    def test_errors(self) -> None:
        number = os.dup(self.near.fileno())
        os.close(number)
        with self.assertRaises(OSError) as raised:
            kevent.DescriptorWatch(self.queue, number)
        self.assertEqual(raised.exception.errno, errno.EBADF)
        self.assertNotIsInstance(raised.exception, kevent.ClosedError)
        with self.assertRaises(TypeError):
            kevent.DescriptorWatch(self.queue, "file")  # type: ignore[arg-type]
        with self.assertRaises(ValueError):
            kevent.DescriptorWatch(self.queue, -1)
        with self.assertRaises(ValueError):
            kevent.DescriptorWatch(self.queue, self.near, trigger=3)  # type: ignore[arg-type]

    def test_close_of_a_descriptor_removes_what_watches_it(self) -> None:
        number = os.dup(self.near.fileno())
        watch = kevent.DescriptorWatch(self.queue, number)
        self.far.send(b"x")
        kevent.close(number)
        with self.assertRaises(OSError):
            os.fstat(number)
        self.assertEqual(self.ready(), [])
        watch.close()
        with self.assertRaises(OSError):
            kevent.close(number)


class Signals(Watches):
    def test_a_blocked_signal(self) -> None:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
        self.addCleanup(signal.pthread_sigmask, signal.SIG_SETMASK, before)
        kept = kevent.SignalWatch(self.queue, signal.SIGUSR1, "data")
        os.kill(os.getpid(), signal.SIGUSR1)
        (event,) = self.queue.collect()
        assert isinstance(event, kevent.SignalReceipt)
        self.assertEqual(
            (event.signal, event.count, event.sender, event.data),
            (signal.SIGUSR1, 1, os.getpid(), "data"),
        )
        kept.close()

    def test_one_that_is_not_blocked(self) -> None:
        with self.assertRaises(OSError) as raised:
            kevent.SignalWatch(self.queue, signal.SIGUSR2)
        self.assertEqual(raised.exception.errno, errno.EINVAL)
        self.assertIn("not blocked", raised.exception.strerror)
        self.assertIn("pthread_sigmask", raised.exception.strerror)

    def test_those_that_cannot_be_watched(self) -> None:
        for number in (0, -1, 4711, signal.SIGKILL, signal.SIGSTOP):
            with self.assertRaises(OSError) as raised:
                kevent.SignalWatch(self.queue, number)
            self.assertEqual(raised.exception.errno, errno.EINVAL)
            self.assertNotIn("not blocked", raised.exception.strerror)
            self.assertIn("cannot be watched", raised.exception.strerror)

    def test_numbers_have_names(self) -> None:
        # Those between the first and the last have none in Python.
        for number in (signal.SIGUSR1, signal.SIGRTMIN + 3):
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {number})
            self.addCleanup(signal.pthread_sigmask, signal.SIG_SETMASK, before)
            with kevent.SignalWatch(self.queue, number):
                os.kill(os.getpid(), number)
                (event,) = self.queue.collect()
            assert isinstance(event, kevent.SignalReceipt)
            self.assertEqual(event.signal, number)
            self.assertIs(type(event.signal), type(number))


class Processes(Watches):
    def test_children(self) -> None:
        for code, end in ((0, "pass"), (7, "sys.exit(7)"), (-9, "os.kill(os.getpid(), 9)")):
            child = subprocess.Popen([sys.executable, "-c", f"import os, sys; {end}"])
            kept = kevent.ProcessWatch(self.queue, child.pid, "data")
            (event,) = self.queue.collect()
            assert isinstance(event, kevent.ProcessExit)
            self.assertEqual((event.pid, event.exit_code, event.data), (child.pid, code, "data"))
            self.assertEqual(os.waitstatus_to_exitcode(event.status or 0), code)
            self.assertEqual(child.wait(), code)
            kept.close()

    def test_one_that_is_none(self) -> None:
        child = subprocess.Popen([sys.executable, "-c", ""])
        child.wait()
        with self.assertRaises(ProcessLookupError):
            kevent.ProcessWatch(self.queue, child.pid)


class Files(Watches):
    def setUp(self) -> None:
        super().setUp()
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        self.file = os.path.join(directory.name, "file")

    def changes(self) -> kevent.FileChanges:
        (event,) = self.queue.collect()
        assert isinstance(event, kevent.FileChanges)
        return event

    def test_a_directory(self) -> None:
        kept = kevent.FileWatch(self.queue, self.directory, FileChange.CREATE | FileChange.REMOVE)
        open(self.file, "w").close()
        event = self.changes()
        self.assertEqual((event.changes, event.count), (FileChange.CREATE, 1))
        self.assertIn("CREATE", repr(event.changes))
        self.assertFalse(event.lost or event.gone)
        os.remove(self.file)
        self.assertEqual(self.changes().changes, FileChange.REMOVE)
        kept.close()

    def test_a_file_until_it_is_gone(self) -> None:
        with open(self.file, "w") as file:
            by_name = kevent.FileWatch(self.queue, self.file.encode(), data="name")
            file.write("x")
        self.assertEqual((self.changes().changes, by_name.data), (FileChange.MODIFY, "name"))
        os.remove(self.file)
        changes, gone = 0, False
        while not gone:
            event = self.changes()
            changes, gone = changes | event.changes, event.gone
        self.assertTrue(changes & FileChange.SELF)
        by_name.close()

    def test_by_descriptor(self) -> None:
        with open(self.file, "w") as file:
            kept = kevent.FileWatch(self.queue, file, FileChange.MODIFY)
            number = kevent.FileWatch(self.queue, file.fileno(), FileChange.MODIFY)
            file.write("x")
            file.flush()
            events = self.queue.collect(min_events=2)
            self.assertEqual({event.source for event in events}, {kept, number})

    def test_errors(self) -> None:
        with self.assertRaises(FileNotFoundError) as raised:
            kevent.FileWatch(self.queue, self.file)
        self.assertEqual(raised.exception.filename, self.file)
        open(self.file, "w").close()
        with self.assertRaises(NotADirectoryError):
            kevent.FileWatch(self.queue, self.file, FileChange.CREATE)
        # The first takes a descriptor for all of them; no other is left open.
        kevent.FileWatch(self.queue, self.directory)
        before = os.listdir("/proc/self/fd")
        for _ in range(10):
            kevent.FileWatch(self.queue, self.directory)
        self.assertEqual(os.listdir("/proc/self/fd"), before)


class UserEvents(Watches):
    def test_from_another_thread(self) -> None:
        event = kevent.UserEvent(self.queue, "data")
        thread = threading.Thread(target=event.notify)
        thread.start()
        (one,) = self.queue.collect()
        self.assertIsInstance(one, kevent.Notification)
        self.assertEqual((one.data, one.source), ("data", event))
        thread.join()

    def test_several_calls_make_one_event(self) -> None:
        event = kevent.UserEvent(self.queue)
        for _ in range(3):
            event.notify()
        self.assertEqual(len(self.queue.collect()), 1)
        self.assertEqual(self.ready(), [])


if __name__ == "__main__":
    unittest.main()
