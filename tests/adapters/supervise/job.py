# SPDX-License-Identifier: MIT
"""job.py KEVRUN: a command of kevrun --report is a job of a shell as it is without kevrun: it stops,
goes on and ends by the keys of a terminal and by its own signals, and the shell sees that.

A key is pressed only after the command has said that it runs in the foreground, by what it reads
from the terminal: a shell tells of a job before it gives the terminal to it."""

import os
import pty
import re
import select
import signal
import sys
import time

PATIENCE = 60  # seconds
KEVRUN = sys.argv[1]
STOP_KEY, INTERRUPT_KEY = "\x1a", "\x03"


class Shell:
    def __init__(self):
        pid, self.terminal = pty.fork()
        if pid == 0:
            os.environ["PS1"] = "ready$ "
            os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
        self.shown = ""
        self.until(r"ready\$ ")

    def key(self, key):
        os.write(self.terminal, key.encode())

    def line(self, text):
        self.key(text + "\n")

    def send(self, number):
        """The signal to the process that the shell has in the foreground, and to that alone."""
        os.kill(os.tcgetpgrp(self.terminal), number)

    def until(self, pattern):
        """Waits until the terminal shows the pattern, behind what was waited for before."""
        deadline = time.monotonic() + PATIENCE
        while not (found := re.search(pattern, self.shown)):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.terminal], [], [], left)[0]:
                sys.exit(f"FAILED: no {pattern!r} in {self.shown!r}")
            self.shown += os.read(self.terminal, 4096).decode()
        self.shown = self.shown[found.end():]

    def stopped(self):
        self.until("Stopped")
        self.until(r"ready\$ ")

    def ended(self, status):
        """With a line that has asked for it."""
        self.until(rf"status={status}\r\n")
        self.until(r"ready\$ ")


shell = Shell()
run = f"'{KEVRUN}' --report=/dev/null"

# The command stops itself, also below a second kevrun.
for runs in (run, f"{run} {run}"):
    shell.line(f"{runs} sh -c 'kill -STOP $$; echo went on; exit 7'")
    shell.stopped()
    shell.line("fg; echo status=$?")
    shell.until(r"went on\r\n")
    shell.ended(7)

# A key stops it, it cannot read in the background, and another key ends it.
shell.line(f"{run} sed -u s/^/got=/")
shell.line("first")
shell.until(r"got=first\r\n")
shell.key(STOP_KEY)
shell.stopped()
shell.line("bg")
shell.until(r"ready\$ ")
shell.line("until jobs -s | grep -q Stopped; do sleep 0.1; done; echo re''ads")
shell.until(r"reads\r\n")
shell.line("fg")
shell.until(r"sed -u s/\^/got=/\r\n")
shell.line("second")
shell.until(r"got=second\r\n")
shell.key(INTERRUPT_KEY)
shell.until(r"ready\$ ")
shell.line("echo status=$?")
shell.ended(130)

# One that has a handler for the key stops when that does.
shell.line(f"{run} bash -c 'trap \"echo handled; kill -STOP $$\" TSTP; echo be''gun; "
           "until read -t 0.1 word; do :; done; echo got=$word'")
shell.until(r"begun\r\n")
shell.key(STOP_KEY)
shell.until(r"handled\r\n")
shell.stopped()
shell.line("fg; echo status=$?")
shell.until(r"got=\$word'\r\n")
shell.line("word")
shell.until(r"got=word\r\n")
shell.ended(0)

# One that ignores the key keeps the terminal.
shell.line(f"{run} sh -c 'trap \"\" TSTP; echo be''gun; read word; echo got=$word'; echo status=$?")
shell.until(r"begun\r\n")
shell.key(STOP_KEY)
shell.line("word")
shell.until(r"got=word\r\n")
shell.ended(0)

# What a key has sent to all is not what is sent to kevrun alone later.  kevrun hands on one signal after
# the other: when the second has come, it is done with the first.
shell.line(f"{run} bash -c 'trap \"echo inter''rupted\" INT; trap \"echo us''ed\" USR2; trap \"exit 4\" TERM; "
           "echo be''gun; while :; do sleep 0.05; done'; echo status=$?")
shell.until(r"begun\r\n")
shell.key(INTERRUPT_KEY)
shell.until(r"interrupted\r\n")
for signal_number, answer in ((signal.SIGUSR2, "used"), (signal.SIGINT, "interrupted")):
    shell.send(signal_number)
    shell.until(rf"{answer}\r\n")
shell.send(signal.SIGTERM)
shell.ended(4)

# One that has job control itself is in a process group of its own.
shell.line(f"PS1='inner> ' {run} bash --norc --noprofile -i")
shell.until("inner> ")
shell.line("suspend")
shell.stopped()
shell.line("fg; echo status=$?")
shell.until("inner> ")
shell.line("exit 5")
shell.ended(5)
shell.line("exit")
