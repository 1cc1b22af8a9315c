# SPDX-License-Identifier: MIT
"""draw_trace.py TRACE >PICTURE.svg: draws a trace of kevrun --trace, a line for each track."""

import html
import json
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    events = json.load(file)["traceEvents"]
names = {e["tid"]: e["args"]["name"] for e in events if e["ph"] == "M" and e["name"] == "thread_name"}
slices = [e for e in events if e["ph"] == "X"]
begin = min(e["ts"] for e in slices)
end = max(e["ts"] + e["dur"] for e in slices)
tracks = sorted({e["tid"] for e in slices}, key=lambda tid: (tid >= 10**9, tid))
LEFT, WIDTH, ROW, BAR = 130, 850, 46, 20
COLOURS = {"late": "#d1495b", "replaced": "#edae49", "expired": "#00798c", "collect": "#66a182"}


def x(time):
    return LEFT + (time - begin) / (end - begin) * WIDTH


def y(tid):
    return 24 + tracks.index(tid) * ROW


def colour(name):
    return next((c for word, c in COLOURS.items() if word in name), "#8d96a3")


height = 24 + len(tracks) * ROW + 30
print(f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 10}" height="{height}" '
      'font-family="sans-serif" font-size="11">')
print('<rect width="100%" height="100%" fill="white"/>')
for tid in tracks:
    label = names[tid] if tid >= 10**9 else "the thread"
    print(f'<text x="4" y="{y(tid) + 14}">{html.escape(label.split(":")[0])}</text>')
for e in slices:
    left, width = x(e["ts"]), max(x(e["ts"] + e["dur"]) - x(e["ts"]), 1.5)
    print(f'<rect x="{left:.1f}" y="{y(e["tid"])}" width="{width:.1f}" height="{BAR}" '
          f'fill="{colour(e["name"])}" stroke="white" stroke-width="0.5">'
          f'<title>{html.escape(e["name"])}</title></rect>')
    if width > 5.5 * len(e["name"]):
        print(f'<text x="{left + 3:.1f}" y="{y(e["tid"]) + 14}" fill="white">{html.escape(e["name"])}</text>')
ends = {e["id"]: e for e in events if e["ph"] == "f"}
for e in events:
    if e["ph"] == "s":
        to = ends[e["id"]]
        print(f'<line x1="{x(e["ts"]):.1f}" y1="{y(e["tid"])}" x2="{x(to["ts"]):.1f}" '
              f'y2="{y(to["tid"]) + BAR}" stroke="#d1495b"/>')
step = 5000
for tick in range(0, int(end - begin) + 1, step):
    print(f'<text x="{x(begin + tick):.1f}" y="{height - 8}" fill="#555">{tick // 1000} ms</text>')
print("</svg>")
