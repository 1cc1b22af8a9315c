# SPDX-License-Identifier: MIT
"""What expect_report.py and expect_trace.py share, which are called with FILE MODE OUTPUT: the JSON
that kevrun has written, the mode of known.c, and what that has printed."""

import json
import sys

MODE = sys.argv[2]
_failed = False


def _unique(pairs):
    names = [name for name, value in pairs]
    assert len(names) == len(set(names)), names
    return dict(pairs)


def written():
    """The JSON, no object of which has a name twice."""
    with open(sys.argv[1], encoding="utf-8") as file:
        return json.load(file, object_pairs_hook=_unique)


def printed():
    """The numbers of lines "name number"."""
    with open(sys.argv[3], encoding="utf-8") as file:
        return {line.split()[0]: int(line.split()[1]) for line in file if len(line.split()) == 2}


def check(what, found, wanted):
    global _failed
    if found != wanted:
        print(f"{MODE}: {what}: {found}, not {wanted}")
        _failed = True


def finish():
    sys.exit(_failed)
