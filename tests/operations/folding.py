"""From the log to the board: what the events say of each task, to be compared with the tables."""

from collections.abc import Iterable, Mapping
from typing import Any

# Of a task's fields only these are not in the log: a lease is renewed without an event.
UNTOLD = frozenset({"lease_ends_at"})


def fold(log: Iterable[Mapping[str, Any]]) -> dict[int, dict[str, Any]]:
    """The tasks as the events tell them, by number."""
    board: dict[int, dict[str, Any]] = {}
    for event in log:
        number, data = event["task"], event["data"]
        if event["kind"] == "task.created":
            board[number] = {field: value for field, value in data.items() if field not in UNTOLD}
        elif number is not None:
            board[number].update({field: value for field, value in data.items() if field in board[number]})
    return board


def told(task: Mapping[str, Any]) -> dict[str, Any]:
    """A task as the log can tell it."""
    return {field: value for field, value in task.items() if field not in UNTOLD}


def differences(log: Iterable[Mapping[str, Any]], tasks: Iterable[Mapping[str, Any]]) -> list[str]:
    """Where the log and the tables disagree; empty when they agree."""
    log, rows = list(log), {task["number"]: told(task) for task in tasks}
    found = []
    positions = [event["position"] for event in log]
    if positions != list(range(1, len(log) + 1)):
        found.append(f"the positions are not 1 to {len(log)}: {positions[:20]} …")
    board = fold(log)
    found += [
        f"#{number}: the log says {board.get(number)}, the tables {rows.get(number)}"
        for number in sorted(board.keys() | rows.keys())
        if board.get(number) != rows.get(number)
    ]
    return found
