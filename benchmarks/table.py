"""The table: as text for the terminal, as Markdown for the documents, as JSON for programs."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks import machine
from benchmarks.measure import Row, Spread, Verdict
from benchmarks.rows import Findings

NAMES = {"b0": "B0", "b1": "B1", "b2": "B2", "ours": "ours", "limit": "limit"}
# A side's second way of doing the same, told below the table.
FURTHER = {
    "b0_core": ("B0's Core insert", "B0's figure is add_all's; its Core insert"),
    "limit_together": ("limit together", "each connection of the limit asking for its whole share in one round trip"),
}
SIDES = ("b0", "b1", "b2", "ours", "limit")
RATIOS = ("b0", "b1", "limit")
HEAD = ("", *(NAMES[side] for side in SIDES), *(f"ours : {NAMES[side]}" for side in RATIOS), "to reach")
WHAT = """\
B0     the application before: `def` routes, synchronous ORM, psycopg2, pool 5 + 10 with pings, response_model.
       Hands out an ORM object that pydantic turned into JSON.
B1     synchronous done well: Core, no pings, a connection for each of 40 threads, orjson. Hands out a row as JSON.
B2     B0 translated to async: AsyncSession, asyncpg, the rest as in B0.
ours   the product's own code: the read lane, COPY, the application itself. Hands out JSON that PostgreSQL built,
       and is the only one that also checks, in the same statement, whether the caller may see the row.
limit  asyncpg alone, the same statements prepared, no pool; over HTTP the same server with a constant answer.
Figures are medians; a ratio is the median of each round's own, with the quartiles in brackets, and above 1 ours is
better. All servers: one uvicorn process, uvloop, httptools. With a key check each client has a key of its own; B0
to B2 look it up for each request, ours remembers it for at most a second, and without a key check ours is the
product with a check that lets everybody in. Synchronous sides do many things at once on 40 threads.
Held open: each request waits for a while outside of the database (B0, as it is written, with its session open;
B1 without one; B2 and ours in a wrapper around the application). Those count whose answer came so early that they
must all have been waiting at one moment; each side is given the most (of 15, 40, 100, 250, 500, 1,000, 2,000) that
it answers so when they come at once."""


def text(findings: Findings, described: dict[str, str], rounds: int) -> str:
    """For the terminal."""
    lines = [HEAD, *(line for row in findings.rows for line in _lines(row))]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    table = [_aligned(line, widths) for line in lines]
    table.insert(1, "-" * len(table[0].rstrip()))
    return "\n".join([machine.sentence(described), "", *table, "", *_below(findings, rounds), "", WHAT])


def markdown(findings: Findings, described: dict[str, str], rounds: int) -> str:
    """For the documents."""
    lines = ["| " + " | ".join(HEAD) + " |", "|---" + "|---:" * (len(HEAD) - 2) + "|---|"]
    for row in findings.rows:
        first, *others = _lines(row)
        cells = [*first[:-1], "<br>".join([first[-1], *(line[-1] for line in others)])]
        lines.append("| " + " | ".join(cells) + " |")
    below = "\n".join(f"- {line}" for line in _below(findings, rounds))
    return "\n".join([*lines, "", machine.sentence(described) + ".", "", below, "", "```text", WHAT, "```", ""])


def as_json(findings: Findings, described: dict[str, str], rounds: int) -> str:
    """For programs: every round's figure."""
    document = {
        "machine": described,
        "rounds": rounds,
        "rows": [_row(row) for row in findings.rows],
        "load_generator_ceiling": findings.ceiling,
        "latency_seconds": findings.latency,
    }
    return json.dumps(document, indent=1) + "\n"


def verdict(found: Verdict) -> str:
    """A target and what became of it."""
    name = NAMES.get(found.against) or FURTHER[found.against][0]
    wanted = f"{found.at_least:g} x {name}"
    if found.reached:
        return f"{wanted}: reached"
    return f"{wanted}: missed by {found.missed_by:.1%}"


def figure(value: float) -> str:
    """With as many digits as mean something."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _lines(row: Row) -> list[tuple[str, ...]]:
    marks = {side: "*" if side in row.held_by else "" for side in SIDES}
    spreads = {side: row.spread(side) for side in SIDES}
    figures = [f"{figure(found.median)}{marks[side]}" if (found := spreads[side]) else "" for side in SIDES]
    ratios = [_ratio(row.ratio(side) if side in row.rounds else None) for side in RATIOS]
    verdicts = [verdict(found) for found in row.verdicts()] or [""]
    first = (f"{row.title}, {row.unit}", *figures, *ratios, verdicts[0])
    return [first, *(("",) * (len(HEAD) - 1) + (more,) for more in verdicts[1:])]


def _ratio(found: Spread | None) -> str:
    return f"{figure(found.median)} [{figure(found.low)}, {figure(found.high)}]" if found else ""


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    title, *middle, target = line
    cells = [title.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(middle, widths[1:-1], strict=True))]
    return "  ".join([*cells, target]).rstrip()


def _below(findings: Findings, rounds: int) -> Iterable[str]:
    yield f"{rounds} rounds, in which the sides take turns"
    if findings.ceiling:
        found = ", ".join(f"{figure(rate)}/s with {clients}" for clients, rate in findings.ceiling.items())
        yield f"The load generator's own ceiling: {found} clients; * marks a figure that it limits"
    for row in findings.rows:
        for side, (_, what) in FURTHER.items():
            if further := row.spread(side):
                yield f"{row.title}: {what} reaches {figure(further.median)}; ours to that {_ratio(row.ratio(side))}"
        for side, note in row.notes.items():
            yield f"{row.title}: {NAMES[side]} {note}"


def _row(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "title": row.title,
        "unit": row.unit,
        "lower_is_better": row.lower_is_better,
        "sides": {side: {**_spread(row.spread(side)), "rounds": figures} for side, figures in row.rounds.items()},
        "ratios": {side: _spread(row.ratio(side)) for side in row.rounds if side != "ours"},
        "targets": [
            {
                "against": found.against,
                "at_least": found.at_least,
                "ratio": found.ratio,
                "reached": found.reached,
                "missed_by": found.missed_by,
            }
            for found in row.verdicts()
        ],
        "limited_by_load_generator": row.held_by,
        "notes": row.notes,
    }


def _spread(found: Spread | None) -> dict[str, float]:
    return {} if found is None else {"median": found.median, "low": found.low, "high": found.high}
