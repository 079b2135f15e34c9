"""`python -m benchmarks`: measure everything, print the table, write it as JSON and Markdown, draw it."""

import argparse
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from benchmarks import machine, picture, rows, table
from benchmarks.bench import QUICK, Bench, Plan, bench
from benchmarks.rows import Findings

FOLDER = Path("bench-results")
ROWS = ("select", "concurrent", "join", "insert", "http", "cpu", "held", "network")


def arguments() -> argparse.Namespace:
    """What was typed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, help="in which the sides take turns (15; 2 with --quick)")
    parser.add_argument("--quick", action="store_true", help="a smoke run; its figures mean little")
    parser.add_argument("--only", choices=ROWS, action="append", help="this row alone; may be given several times")
    parser.add_argument("--json", type=Path, default=FOLDER / "benchmarks.json", help="where every figure goes")
    parser.add_argument("--markdown", type=Path, default=FOLDER / "benchmarks.md", help="where the table goes")
    parser.add_argument("--picture", type=Path, default=FOLDER / "benchmarks.svg", help="where the picture goes")
    return parser.parse_args()


def measure(given: Bench, wanted: Callable[[str], bool], report: Callable[[str], None]) -> Findings:
    """All rows that are wanted."""
    findings = Findings()
    if any(map(wanted, ("select", "concurrent", "join", "http", "cpu"))):
        rows.direct(given, findings, report, wanted)
    if wanted("insert"):
        rows.insert(given, findings, report)
    if any(map(wanted, ("http", "cpu"))):
        rows.http(given, findings, report, wanted)
    if wanted("held"):
        rows.held(given, findings, report)
    if wanted("network"):
        rows.network(given, findings, report)
    return findings


def main() -> None:
    """Run it."""
    typed = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    start = time.monotonic()

    def report(what: str) -> None:
        print(f"{time.monotonic() - start:5.0f} s  {what}", file=sys.stderr, flush=True)

    plan: Plan = QUICK if typed.quick else Plan()
    plan = replace(plan, rounds=typed.rounds or plan.rounds)
    with bench(plan) as made:
        described = machine.describe(made.query("SHOW server_version")[0][0])
        findings = measure(made, lambda row: not typed.only or row in typed.only, report)
    report("Done")
    for file in (typed.json, typed.markdown, typed.picture):
        file.parent.mkdir(parents=True, exist_ok=True)
    typed.json.write_text(table.as_json(findings, described, plan.rounds))
    typed.markdown.write_text(table.markdown(findings, described, plan.rounds))
    picture.draw(findings.rows, typed.picture)
    print(table.text(findings, described, plan.rounds))


if __name__ == "__main__":
    main()
