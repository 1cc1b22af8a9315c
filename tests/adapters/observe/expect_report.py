# SPDX-License-Identifier: MIT
"""expect_report.py REPORT MODE OUTPUT: the report is that of known.c in this mode.  OUTPUT has what
the program has printed."""

from known import MODE as mode, check, finish, printed, written

report = written()
processes = report["processes"]


def each(process):
    """The timers of a process in the order of their creation."""
    timers = [timer for place in process["timers"] for timer in place["each"]]
    return sorted(timers, key=lambda timer: timer["serial"])


def total(process, name):
    return sum(place[name] for place in process["timers"])


def numbers(timers, *names):
    return [tuple(timer[name] for name in names) for timer in timers]


def no_more_processes(number):
    check("processes", len(processes), number)


process = processes[-1]
for one in processes:
    if mode != "too_many":
        check("dropped", set(one["dropped"].values()), {0})
    assert one["lasted_ns"] is None or one["lasted_ns"] > 0
    for place in one["timers"]:
        for timer in place["each"]:
            # Beyond 2^53 a number is not exact everywhere.
            assert isinstance(timer["timer"], str) and int(timer["timer"]) >= 0
        check("object", place["created_in"]["object"].split("/")[-1][:5], "known")

if mode == "counts":
    no_more_processes(1)
    timers = each(process)
    check("timers", len(timers), 12)
    check(
        "settings, disarmings, replaced, expirations",
        numbers(timers, "settings", "disarmings", "replaced", "expirations"),
        [(1002, 1, 1000, 0), (50, 0, 0, 50), (1, 0, 1, 0)] + 7 * [(3, 0, 2, 0)] + [(11, 0, 10, 0), (5, 0, 0, 5)],
    )
    check("live", [timer["live"] for timer in timers], [True, True, False] + 9 * [True])
    check("collections", timers[1]["collections"], 50)
    check("most late", timers[1]["most_late_ns"] > 0, True)
    check("late", sum(sum(place["lateness_by_powers_of_2_ns"]) for place in process["timers"]), 50)
    check("computed", sorted(place["expirations_are_computed"] for place in process["timers"])[0], False)
    (queue,) = process["queues"]
    check("queue", [queue[name] for name in ("collections", "events", "empty", "failed", "might_sleep")],
          [53, 50, 3, 0, 50])
    check("batches", queue["batches_by_powers_of_2"], [3, 50])
    check("types", queue["events_by_type"], {"8": 50})
elif mode == "thousand":
    no_more_processes(1)
    check("each", numbers(each(process), "settings", "replaced"), 1000 * [(5, 4)])
    check("timers", total(process, "timers"), 1000)
    check("value", {timer["value_ns"] for timer in each(process)}, {1000 * 10**9})
elif mode == "threads":
    check("each", numbers(each(process), "settings", "replaced"), 8 * [(80000, 79999)])
elif mode == "handler":
    timers = each(process)
    settings = printed()["settings"]
    check("settings, replaced", numbers(timers[:3], "settings", "replaced"), 3 * [(settings, settings - 1)])
    check("at least", timers[3]["expirations"] >= 2000, True)
elif mode == "handler_first":
    settings = printed()["settings"]
    places = [place for place in process["timers"] if place["notify"] == "none"]
    check("settings", [place["settings"] for place in places], [settings])
    check("replaced", [place["replaced"] for place in places], [settings])
    check("expirations", [place["expirations"] for place in places], [0])
elif mode == "callbacks":
    (timer,) = each(process)
    check("callbacks", timer["callbacks"], printed()["callbacks"])
    check("at once", timer["most_at_once"] >= 3, True)
    check("events of the adapter's queue", total(process, "collections"), 0)
    check("no more expirations than", timer["expirations"] >= timer["callbacks"], True)
elif mode == "again":
    check("failed", total(process, "failed"), 4)
    check("EAGAIN", total(process, "failed_with_eagain"), 3)
    check("limit", process["rlimit_sigpending_at_eagain"], 0)
elif mode == "forked":
    no_more_processes(2)
    parent, child = sorted(processes, key=lambda one: one["pid"] == one["parent"] or one["parent"] in
                           [other["pid"] for other in processes])
    check("child of", child["parent"], parent["pid"])
    check("parent's", numbers(each(parent), "settings", "expirations"), [(1, 0)])
    # That one ends by _exit, at a moment that nobody sees.
    check("child's", numbers(each(child), "settings", "replaced", "expirations"),
          [(2, 1, 1), (0, 0, 0), (1, 0, None)])
    check("lasted", (child["lasted_ns"], parent["lasted_ns"] is None), (None, False))
    check("unknown", sum(place["expirations"] is None for place in child["timers"]), 1)
elif mode == "family":
    no_more_processes(101)
    check("without table", report["processes_without_table"], [])
    check("settings", sum(total(one, "settings") for one in processes), 100)
elif mode == "executed":
    no_more_processes(2)
    check("process", processes[0]["pid"], processes[1]["pid"])
    check("before", numbers(each(processes[0]), "settings"), [(1,), (1,)])
    check("after", numbers(each(processes[1]), "settings"), [(1,)])
    # Its timers have ended with the program.
    most = processes[0]["lasted_ns"] // 10**6 + 1
    check(f"at most {most} expirations", each(processes[0])[1]["expirations"] <= most, True)
    check("lasts", processes[1]["lasted_ns"] >= 200 * 10**6, True)
elif mode == "operations":
    aio = process["aio"]
    names = ("started", "failed", "finished", "errors", "bytes_asked", "bytes_done")
    check("writes", [aio["write"][name] for name in names], [3, 0, 3, 0, 3 * 4096, 3 * 4096])
    check("reads", [aio["read"][name] for name in names], [5, 3, 5, 0, 2 * 4096 + 300, 2 * 3000 + 300])
    check("fsync", [aio["fsync"][name] for name in names], [1, 1, 1, 0, 0, 0])
    check("lists", aio["lists"], 3)
    check("at once", aio["most_at_once"], 2)
    check("time", min(aio[kind]["time_ns"] for kind in ("read", "write", "fsync")) > 0, True)
elif mode == "operations_beside":
    aio = process["aio"]
    names = ("started", "failed", "finished", "errors", "bytes_asked", "bytes_done")
    check("writes", [aio["write"][name] for name in names], [3, 1, 3, 0, 300, 300])
    check("reads", [aio["read"][name] for name in names], [1, 2, 1, 0, 100, 100])
    check("fsync", [aio["fsync"][name] for name in names], [1, 1, 1, 0, 0, 0])
    check("lists", aio["lists"], 4)
elif mode == "asked_twice":
    reads = process["aio"]["read"]
    check("reads", [reads[name] for name in ("started", "failed", "finished", "errors")], [20000, 0, 20000, 0])
elif mode == "freed_by_handler":
    reads = process["aio"]["read"]
    check("reads", [reads[name] for name in ("started", "failed", "finished", "bytes_asked")], [32000, 1000, 32000, 0])
elif mode == "ring":
    check("timer", numbers(each(process), "settings", "replaced", "collections"), [(10, 0, 9)])
    queues = [(queue["made"], queue["collections"], queue["events"]) for queue in process["queues"]]
    check("queues", queues, [(2, 9, 9), (1, 1, 1)])
elif mode == "called_in_turn":
    check("timer", numbers(each(process), "settings", "expirations", "callbacks"), [(20, 20, 20)])
    check("queues", [queue["collections"] for queue in process["queues"]], [0])
elif mode == "first_together":
    no_more_processes(1)
    check("each", numbers(each(process), "settings"), 16 * [(3,)])
elif mode == "too_many":
    kept = total(process, "timers")
    check("timers", kept + process["dropped"]["timers"], 70000)
    check("settings", total(process, "settings"), kept)
    check("rows", kept, 65536)
elif mode == "one_after_the_other":
    check("all", [total(process, name) for name in ("timers", "settings", "replaced")], 3 * [200000])
elif mode == "daemonized":
    check("settings", numbers(each(process), "settings", "replaced"), [(12345, 12344)])
elif mode == "killed":
    check("settings", numbers(each(process), "settings", "replaced"), [(3, 2)])
elif mode == "waits":
    check("timers", total(process, "timers"), 1)
else:
    check("mode", mode, "known")
finish()
