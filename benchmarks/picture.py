"""The picture: how many times as fast as B0 each side is, row by row. Readable on light and on dark ground."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.measure import Row
from benchmarks.table import NAMES, SIDES, figure

SHOWN = ("select", "concurrent", "join", "insert", "http_best", "http_1ms", "held")
COLOURS = {"b0": "#8b949e", "b1": "#4f8fd8", "b2": "#d08a3c", "ours": "#2da56a", "limit": "#b0b6be"}
INK = "#7d8590"  # enough contrast on white and on black
HEIGHT = 0.16  # of a bar, where rows are 1 apart


def draw(rows: Sequence[Row], file: Path) -> bool:
    """Write an SVG; False if there is nothing to show."""
    shown = [row for row in rows if row.name in SHOWN and (base := row.spread("b0")) and base.median > 0]
    if not shown:
        return False
    settings: Any = {"svg.fonttype": "none", "svg.hashsalt": "benchmarks", "font.family": "sans-serif", "font.size": 9}
    with mpl.rc_context(settings):
        drawing = Figure(figsize=(8, 0.6 + 0.85 * len(shown)))
        axes = drawing.add_subplot()
        for place, row in enumerate(shown):
            _bars(axes, place, row)
        axes.set_yticks(range(len(shown)), [row.title.replace(", ", ",\n", 1) for row in shown])
        axes.invert_yaxis()
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g} x")
        axes.set_xlabel("times B0, logarithmic; longer is better", color=INK)
        axes.axvline(1, color=INK, linewidth=0.8)
        axes.margins(x=0.12)
        axes.tick_params(colors=INK, which="both", length=0)
        for side in ("top", "right", "left", "bottom"):
            axes.spines[side].set_visible(False)
        handles = [axes.barh(0, 0, color=COLOURS[side], label=NAMES[side]) for side in SIDES]
        axes.legend(
            handles=handles, loc="lower center", bbox_to_anchor=(0.4, 1), ncols=5, frameon=False, labelcolor=INK
        )
        drawing.savefig(file, format="svg", transparent=True, bbox_inches="tight", metadata={"Date": None})
    return True


def _bars(axes: "mpl.axes.Axes", place: int, row: Row) -> None:
    base = row.spread("b0")
    assert base is not None
    sides = [side for side in SIDES if (found := row.spread(side)) and found.median > 0]
    for index, side in enumerate(sides):
        found = row.spread(side)
        assert found is not None
        times = found.median / base.median
        y = place + (index - (len(sides) - 1) / 2) * HEIGHT
        axes.barh(y, times - 1, HEIGHT * 0.9, left=1, color=COLOURS[side])
        end = max(times, 1) * 1.05
        axes.text(end, y, f"{figure(found.median)}", va="center", color=INK, fontsize=7)
