"""A file of a squad with any number of tasks, made of a small one: each task is its last one again."""

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

KINDS = ("member", "task", "dependency", "attempt", "step", "budget", "message", "recipient", "event")


def repeated(file: bytes, times: int) -> Iterator[bytes]:
    """The lines of a file whose last task, with all that the log tells of it, is there that many times more.

    The task has to be the squad's newest, without dependencies, and nothing else may have happened since it was made.
    """
    header, *lines = [json.loads(line) for line in file.splitlines()]
    rows: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    for line in lines[:-1]:
        rows[line["kind"]].append(line["row"])
    last, end = rows["task"][-1]["number"], header["last"]
    start = next(event["position"] for event in rows["event"] if event["task"] == last)
    length = end - start + 1
    yield _dumped({**header, "last": end + times * length})
    counts = {}
    for kind in KINDS:
        counts[kind] = 0
        for turn in range(times + 1):
            for row in rows[kind]:
                new = _again(kind, row, turn, start, length, last)
                if new is not None:
                    counts[kind] += 1
                    yield _dumped({"kind": kind, "row": new})
    yield _dumped({"kind": "end", "counts": counts, "sha256": ""})


def _again(kind: str, row: dict[str, Any], turn: int, start: int, length: int, last: int) -> dict[str, Any] | None:
    """A row as it is in that turn; None if it is there only once."""
    task = row.get("number") if kind == "task" else row.get("task")
    ours = row["position"] >= start if "position" in row else task == last
    if turn == 0 or not ours:
        return row if turn == 0 else None
    new = deepcopy(row)
    if "position" in new:
        new["position"] += turn * length
    if task == last:
        new["number" if kind == "task" else "task"] = last + turn
    if kind == "event" and "number" in new["data"]:
        new["data"]["number"] = last + turn
    return new


def _dumped(line: dict[str, Any]) -> bytes:
    return json.dumps(line, ensure_ascii=False).encode() + b"\n"
