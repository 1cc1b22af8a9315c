# SPDX-License-Identifier: MIT
"""expect_trace.py TRACE MODE OUTPUT: the trace is well formed, and that of known.c in this mode."""

import collections

from known import MODE as mode, check, finish, written

trace = written()
events = trace["traceEvents"]


def nanoseconds(event, name="ts"):
    return round(event[name] * 1000)


# ---- Any trace ----

check("phases", {event["ph"] for event in events} <= set("XiCMsfbe"), True)
slices = collections.defaultdict(list)
arrows = collections.defaultdict(list)
operations = collections.defaultdict(list)
for event in events:
    assert isinstance(event["pid"], int) and isinstance(event["tid"], int) and event["name"], event
    assert event["ts"] >= 0, event
    if event["ph"] == "X":
        begin = nanoseconds(event)
        slices[event["pid"], event["tid"]].append((begin, begin + nanoseconds(event, "dur")))
    elif event["ph"] in "sf":
        arrows[event["id"]].append(event)
    elif event["ph"] in "be":
        operations[event["cat"], event["id"]].append(event)
for track, found in slices.items():
    open_ends = []
    for begin, end in sorted(found, key=lambda one: (one[0], -one[1])):
        while open_ends and open_ends[-1] <= begin:
            open_ends.pop()
        check(f"track {track}: nested", not open_ends or end <= open_ends[-1], True)
        open_ends.append(end)
for number, both in arrows.items():
    check(f"arrow {number}", [event["ph"] for event in both], ["s", "f"])
    check(f"arrow {number}: forward", nanoseconds(both[0]) <= nanoseconds(both[1]), True)
    for event in both:
        inside = any(begin <= nanoseconds(event) <= end for begin, end in slices[event["pid"], event["tid"]])
        check(f"arrow {number}: {event['ph']} is at a slice", inside, True)
for name, both in operations.items():
    check(f"operation {name}", [event["ph"] for event in both], ["b", "e"])
    check(f"operation {name}: the same", len({(event["pid"], event["name"]) for event in both}), 1)
named = {(event["pid"], event["tid"]) for event in events if event["ph"] == "M" and event["name"] == "thread_name"}
check("tracks with names", set(slices) <= named, True)

# ---- That of a mode ----

names = collections.Counter(event["name"] for event in events)


def count(end):
    return sum(number for name, number in names.items() if name.endswith(end))


def check_that_all_have_ended():
    ends = collections.Counter(event["args"]["result"] for event in events if event["ph"] == "e")
    check("in flight", ends["in flight"], 0)


if mode == "counts":
    check("dropped", trace["otherData"]["dropped_records"], 0)
    check("created", sum(number for name, number in names.items() if name.startswith("create timer")), 12)
    check("replaced", count(": replaced"), 999 + 7 * 2 + 10)
    check("disarmed", count(": disarmed"), 1)
    check("deleted", count(": deleted"), 1)
    check("expired", count(": expired"), 50)
    check("expired, computed", count(": expired (computed)"), 5)
    check("late", names["late"], 50)
    check("arrows", len(arrows), 50)
    check("collections", sum(number for name, number in names.items() if name.startswith("collect, queue")), 53)
    check("events", sum(event["args"]["events"] for event in events if event["ph"] == "C"), 50)
elif mode == "operations":
    check("operations", len(operations), 3 + 1 + 2 + 2 + 1 + 2 + 2)
    check_that_all_have_ended()
elif mode == "operations_beside":
    check("operations", len(operations), 1 + 2 + 1 + 1 + 2 + 2)
    check_that_all_have_ended()
elif mode == "two_readers":
    check("operations", len(operations), 2 * (3 + 1 + 2 + 2 + 1 + 2 + 2))
    check("processes", len({event["pid"] for event in events}), 2)
elif mode == "called_in_turn":
    check("computed", count(": expired (computed)"), 20)
    check("late", names["late"], 0)
    check("collections", sum(number for name, number in names.items() if "queue" in name), 1)
elif mode == "stays":
    (slice_of_timer,) = [event for event in events if event["name"].endswith(": still set")]
    check("still set", nanoseconds(slice_of_timer, "dur") >= 200 * 10**6, True)
elif mode == "many_threads":
    other = trace["otherData"]
    lacking = len(other["threads_without_ring"])
    check("oldest", other["dropped_oldest_records"], 0)
    check("threads", 70 - 63 <= lacking <= 70, True)
    check("records", other["dropped_records_of_threads"], 3 * lacking)
    check("all", other["dropped_records"], 3 * lacking)
elif mode == "one_is_left":
    # It looks for a ring once in 1024 records.
    other = trace["otherData"]
    check("without a ring", len(other["threads_without_ring"]), 71 - 63)
    check("records", other["dropped_records_of_threads"], 71 - 63 - 1 + 1024)
elif mode == "forked":
    check("processes", len({event["pid"] for event in events}), 2)
elif mode == "threads":
    check("dropped", trace["otherData"]["dropped_records"] > 0, True)
    check("created", sum(number for name, number in names.items() if name.startswith("create timer")), 8)
    check("setting threads", len({event["tid"] for event in events if event["name"].startswith("set timer")}), 4)
elif mode == "killed":
    check("still set", count(": still set"), 1)
    check("replaced", count(": replaced"), 2)
elif mode == "ring":
    check("arrows", len(arrows), 9)
elif mode == "handler":
    check("settings", any(event["name"].startswith("set timer") for event in events), True)
else:
    check("mode", mode, "known")
finish()
