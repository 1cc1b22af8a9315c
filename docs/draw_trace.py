#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Draws a trace of kevrun --trace as SVG: a line for each track, and one below the other the
asynchronous operations that are in flight at the same time."""

import argparse
import html
import json

LEFT, WIDTH, BAR, GAP = 150, 830, 20, 14
LANE = 4  # the height of an operation
COLOURS = {"late": "#d1495b", "replaced": "#edae49", "expired": "#00798c", "disarmed": "#8d96a3",
           "collect": "#66a182", "read": "#00798c", "write": "#edae49", "fsync": "#d1495b"}


def colour(name):
    return next((c for word, c in COLOURS.items() if word in name), "#8d96a3")


def operations(events):
    """Of each asynchronous operation its name, begin, end and lane."""
    begun, lanes, found = {}, [], []
    for e in events:
        if e["ph"] == "b":
            begun[e["id"]] = e
        elif e["ph"] == "e" and e["id"] in begun:
            found.append((begun[e["id"]]["ts"], e["ts"], begun.pop(e["id"])["name"]))
    placed = []
    for begin, end, name in sorted(found):
        lane = next((i for i, free in enumerate(lanes) if free <= begin), len(lanes))
        lanes[lane:lane + 1] = [end]
        placed.append((begin, end, name, lane))
    return placed


class Picture:
    def __init__(self, events, first, last):
        self.names = {e["tid"]: e["args"]["name"] for e in events
                      if e["ph"] == "M" and e["name"] == "thread_name"}
        self.slices = [e for e in events if e["ph"] == "X"]
        self.instants = [e for e in events if e["ph"] == "i"]
        self.starts = [e for e in events if e["ph"] == "s"]
        self.ends = {e["id"]: e for e in events if e["ph"] == "f"}
        self.operations = operations(events)
        times = [e["ts"] for e in self.slices + self.instants] + [o[0] for o in self.operations]
        zero = min(times)
        longest = max([e["ts"] + e.get("dur", 0) for e in self.slices + self.instants] +
                      [o[1] for o in self.operations]) - zero
        self.begin = zero + first * 1000
        self.end = zero + (last * 1000 if last is not None else longest)
        used = {e["tid"] for e in self.slices + self.instants}
        self.tracks = sorted(used, key=lambda tid: (tid >= 10**9, tid))

    def x(self, time):
        return LEFT + (time - self.begin) / (self.end - self.begin) * WIDTH

    def y(self, tid):
        return 12 + self.tracks.index(tid) * (BAR + GAP)

    def bar(self, begin, end, top, height, name):
        begin, end = max(begin, self.begin), min(end, self.end)
        if begin >= self.end or end < self.begin:
            return
        left, width = self.x(begin), max(self.x(end) - self.x(begin), 1.2)
        print(f'<rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="{height}" '
              f'fill="{colour(name)}" stroke="white" stroke-width="0.3">'
              f'<title>{html.escape(name)}</title></rect>')
        if height == BAR and width > 5.8 * len(name):
            print(f'<text x="{left + 3:.1f}" y="{top + 14}" fill="white">{html.escape(name)}</text>')

    def draw(self):
        lanes = max([lane + 1 for _, _, _, lane in self.operations], default=0)
        below = 12 + len(self.tracks) * (BAR + GAP)
        height = below + lanes * LANE + 34
        print(f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 40}" '
              f'height="{height}" font-family="sans-serif" font-size="11">')
        print('<rect width="100%" height="100%" fill="white"/>')
        for tid in self.tracks:
            label = self.names[tid].split(":")[0]
            print(f'<text x="4" y="{self.y(tid) + 14}">{html.escape(label)}</text>')
        if lanes:
            print(f'<text x="4" y="{below + 12}">operations in flight</text>')
        for e in self.slices:
            self.bar(e["ts"], e["ts"] + e["dur"], self.y(e["tid"]), BAR, e["name"])
        for e in self.instants:
            if self.begin <= e["ts"] <= self.end:
                x, y = self.x(e["ts"]), self.y(e["tid"])
                print(f'<line x1="{x:.1f}" y1="{y}" x2="{x:.1f}" y2="{y + BAR}" stroke="#555" '
                      f'stroke-width="0.7"><title>{html.escape(e["name"])}</title></line>')
        for begin, end, name, lane in self.operations:
            self.bar(begin, end, below + lane * LANE, LANE, name)
        for e in self.starts:
            to = self.ends[e["id"]]
            if self.begin <= e["ts"] and to["ts"] <= self.end:
                print(f'<line x1="{self.x(e["ts"]):.1f}" y1="{self.y(e["tid"])}" '
                      f'x2="{self.x(to["ts"]):.1f}" y2="{self.y(to["tid"]) + BAR}" stroke="#d1495b"/>')
        self.scale(height)
        print("</svg>")

    def scale(self, height):
        span = self.end - self.begin
        step = next(s * 10**e for e in range(9) for s in (1, 2, 5) if span / (s * 10**e) <= 10)
        time = 0
        while time <= span:
            text = f"{time / 1000:g} ms" if span > 1000 else f"{time:g} µs"
            print(f'<text x="{self.x(self.begin + time):.1f}" y="{height - 8}" '
                  f'fill="#555">{text}</text>')
            time += step


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trace", help="a file that kevrun --trace has written; the picture goes to "
                        "the standard output")
    parser.add_argument("--from", dest="first", type=float, default=0, metavar="MS",
                        help="begin so many milliseconds after the first event (0)")
    parser.add_argument("--to", dest="last", type=float, metavar="MS",
                        help="end so many milliseconds after the first event (with the last event)")
    arguments = parser.parse_args()
    with open(arguments.trace, encoding="utf-8") as file:
        Picture(json.load(file)["traceEvents"], arguments.first, arguments.last).draw()


main()
