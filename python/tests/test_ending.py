# SPDX-License-Identifier: MIT
"""The interpreter's end, with objects left in every way: nothing but what the program says is seen."""

from __future__ import annotations

import unittest

from tests.support import run_python

PRELUDE = """
import asyncio, gc, kevent, logging, sys, threading
logging.getLogger("asyncio").setLevel(logging.ERROR)
"""

# A queue whose event somebody awaits, in a loop that stands between two runs.  Of what it leaves
# without closing it, asyncio itself would speak.
AWAITED = """
import warnings
warnings.simplefilter("ignore", ResourceWarning)
queue, loop = kevent.Queue(), asyncio.new_event_loop()
async def wait(timer): await timer
task = loop.create_task(wait(kevent.Timer(queue)))
task._log_destroy_pending = False
async def turn():
    timer = kevent.Timer(queue)
    timer.set(0)
    await timer
loop.run_until_complete(turn())
"""


class Ending(unittest.TestCase):
    def check(self, program: str) -> None:
        ended = run_python(PRELUDE + program)
        self.assertEqual((ended.stdout, ended.stderr, ended.returncode), ("end\n", "", 0), program)


class Objects(Ending):
    """Objects of the module itself."""

    def test_objects_of_the_module(self) -> None:
        self.check(
            "queue = kevent.Queue(); timers = [kevent.Timer(queue) for _ in range(100)]\n"
            "event = kevent.UserEvent(queue); event.notify(); kept = queue.collect()\n"
            "print('end')"
        )

    def test_a_cycle(self) -> None:
        self.check(
            "gc.disable(); queue = kevent.Queue(); timer = kevent.Timer(queue); timer.data = timer\n"
            "print('end')"
        )

    def test_what_other_modules_hold(self) -> None:
        self.check("sys.kept = kevent.Timer(kevent.Queue()); sys.kept.set(1); print('end')")

    def test_a_finaliser_that_uses_them(self) -> None:
        self.check(
            "class Mine(kevent.Timer):\n"
            "    def __del__(self): self.set(1); self.queue.collect(timeout=0); self.close()\n"
            "sys.kept = Mine(kevent.Queue()); print('end')"
        )

    def test_a_daemon_thread_that_sleeps(self) -> None:
        self.check(
            "queue = kevent.Queue(); started = threading.Event()\n"
            "def sleep():\n"
            "    started.set(); queue.collect()\n"
            "threading.Thread(target=sleep, daemon=True).start(); started.wait(); print('end')"
        )

    def test_atexit(self) -> None:
        self.check(
            "import atexit; queue = kevent.Queue(); timer = kevent.Timer(queue)\n"
            "atexit.register(lambda: (timer.set(0), queue.collect(), queue.close()))\n"
            "print('end')"
        )


class Loops(Ending):
    """Queues that a loop has awaited."""

    def test_a_loop_that_was_left_with_the_queue(self) -> None:
        self.check(
            "queue = kevent.Queue(); timer = kevent.Timer(queue); timer.set(0)\n"
            "async def main(): await timer\n"
            "loop = asyncio.new_event_loop(); loop.run_until_complete(main()); loop.close()\n"
            "print('end')"
        )

    def test_nothing_is_closed(self) -> None:
        self.check(AWAITED + "print('end')")

    def test_the_loop_is_closed_first(self) -> None:
        self.check(AWAITED + "loop.close(); queue.close(); print('end')")

    def test_the_queue_is_closed_first(self) -> None:
        self.check(AWAITED + "queue.close(); loop.close(); print('end')")

    def test_the_queue_is_closed_and_the_loop_left(self) -> None:
        self.check(AWAITED + "queue.close(); print('end')")

    def test_a_source_is_closed_that_somebody_awaits(self) -> None:
        for end in ("timer.close()", "import atexit; atexit.register(timer.close)", "sys.kept = Last()"):
            self.check(
                f"{AWAITED}timer = kevent.Timer(queue)\n"
                "other = loop.create_task(wait(timer)); other._log_destroy_pending = False\n"
                "loop.run_until_complete(turn())\n"
                "class Last:\n"
                "    def __del__(self, timer=timer): timer.close()\n"
                f"{end}\n"
                "print('end')"
            )

    def test_closed_at_exit(self) -> None:
        for first, second in (("loop", "queue"), ("queue", "loop")):
            self.check(
                f"{AWAITED}import atexit; atexit.register({second}.close)\n"
                f"atexit.register({first}.close); print('end')"
            )

    def test_what_stays_longer_than_the_modules(self) -> None:
        """A module in C is taken apart after those that the driver of the loop calls."""
        for kept in ("queue", "queue, loop", "queue, loop, task", "Last()"):
            self.check(
                f"{AWAITED}import _asyncio\n"
                "class Last:\n"
                "    def __del__(self, queue=queue, task=task, loop=loop): queue.close()\n"
                f"_asyncio.kept = ({kept},)\n"
                "print('end')"
            )

    def test_a_loop_that_runs_in_a_daemon_thread(self) -> None:
        for end in ("", "queue.close()\n", "import atexit; atexit.register(queue.close)\n"):
            self.check(
                "queue, started = kevent.Queue(), threading.Event()\n"
                "async def main():\n"
                "    asyncio.get_running_loop().call_soon(started.set)\n"
                "    async for event in queue: pass\n"
                "    threading.Event().wait()\n"
                "threading.Thread(target=lambda: asyncio.run(main()), daemon=True).start()\n"
                f"started.wait()\n{end}print('end')"
            )

    def test_a_cycle_with_the_loop(self) -> None:
        for collect in ("gc.disable()", "gc.collect()"):
            self.check(
                f"{AWAITED}loop.mine = (queue, task)\n"
                f"del queue, loop, task; {collect}; print('end')"
            )

    def test_a_cycle_through_what_is_kept(self) -> None:
        for collect in ("gc.disable()", "gc.collect()"):
            self.check(
                f"{AWAITED}task.cancel()\n"
                "timer = kevent.Timer(queue); timer.set(0); loop.run_until_complete(turn())\n"
                "assert queue._driver._kept and not queue._driver._awaiting\n"
                f"del queue, timer, task; {collect}; print('end')"
            )

    def test_a_child_of_fork_in_a_loop_that_runs(self) -> None:
        for end in ("sys.exit(0)", "queue.close(); sys.exit(0)", "del queue; gc.collect(); sys.exit(0)"):
            self.check(
                "import os\n"
                "async def main():\n"
                "    queue = kevent.Queue()\n"
                "    timer = kevent.Timer(queue)\n"
                "    awaiting = asyncio.ensure_future(timer)\n"
                "    await asyncio.sleep(0)\n"
                "    if (pid := os.fork()) == 0:\n"
                f"        {end}\n"
                "    assert os.waitpid(pid, 0)[1] == 0\n"
                "    timer.set(0)\n"
                "    await awaiting\n"
                "asyncio.run(main()); print('end')"
            )

    def test_another_interpreter_of_the_process(self) -> None:
        ended = run_python(
            "try:\n"
            "    import _xxsubinterpreters as interpreters\n"
            "    other = interpreters.create(isolated=False)\n"
            "except ImportError:\n"
            "    import _interpreters as interpreters\n"
            "    other = interpreters.create('legacy')\n"
            f"program = {PRELUDE + AWAITED!r} 'import _asyncio; _asyncio.kept = (queue, loop, task)'\n"
            "assert interpreters.run_string(other, program) is None\n"
            "interpreters.destroy(other); print('end')"
        )
        self.assertEqual((ended.stdout, ended.stderr, ended.returncode), ("end\n", "", 0))


if __name__ == "__main__":
    unittest.main()
