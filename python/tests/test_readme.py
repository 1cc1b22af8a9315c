# SPDX-License-Identifier: MIT
"""The programs of the README files do what they say."""

from __future__ import annotations

import pathlib
import re
import textwrap
import unittest

import kevent
from tests.support import run_python

HERE = pathlib.Path(__file__).parent


def programs(file: pathlib.Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", file.read_text(), re.MULTILINE | re.DOTALL)


def members(kind: type) -> set[str]:
    return {name for name in vars(kind) if not name.startswith("_")}


class Readme(unittest.TestCase):
    def test_the_table_of_events_has_the_members_of_each(self) -> None:
        text = (HERE.parent / "README.md").read_text()
        rows = dict(re.findall(r"^\| (?:every )?`(\w+)` \| (.*?) \|", text, re.MULTILINE))
        kinds = [kevent.Event, *kevent.Event.__subclasses__()]
        self.assertEqual(
            {kind.__name__: set(re.findall(r"`(\w+)`", rows[kind.__name__])) for kind in kinds},
            {kind.__name__: members(kind) for kind in kinds},
        )

    def run_program(self, program: str) -> str:
        ended = run_python(program, "default")
        self.assertEqual((ended.stderr, ended.returncode), ("", 0), program)
        return ended.stdout

    def test_the_first_program_of_this_directory(self) -> None:
        first, second = programs(HERE.parent / "README.md")
        lines = self.run_program(first).splitlines()
        self.assertEqual([line.split(":")[0] for line in lines][-2:], ["timeout", "done"])
        self.assertTrue(all(line.startswith("tick: ") for line in lines[:-2]))
        self.assertEqual(self.run_program(second), "all have expired\n")

    def test_the_programs_of_help(self) -> None:
        text = kevent.__doc__ or ""
        parts = re.findall(r"(?:^(?:    .*)?\n)+", text, re.MULTILINE)
        found = [program for part in parts if (program := textwrap.dedent(part)).strip()]
        self.assertEqual(len(found), 2)
        for program in found:
            with self.subTest(program):
                output = self.run_program("import asyncio, kevent\n" + program)
                self.assertRegex(output, r"^<kevent\.Expiration .*>\n$")

    def test_the_first_program_of_the_project(self) -> None:
        (program,) = programs(HERE.parents[1] / "README.md")
        lines = self.run_program(program).splitlines()
        self.assertEqual([line.split(":")[0] for line in lines], ["cookie 2006"] * 3)


if __name__ == "__main__":
    unittest.main()
