"""Before anything is timed: all sides give the same answers."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from benchmarks.data import TIMES, unknown_id, unknown_key
from benchmarks.processes import Child
from benchmarks.servers import Server


class UnequalError(Exception):
    """Two sides answer differently, so that comparing their speed means nothing."""


def meaning(answer: str | bytes) -> Any:
    """An answer without the freedom of its notation: JSON parsed, and in it the times."""
    return json.loads(answer, object_hook=_with_times)


def _with_times(found: dict[str, Any]) -> dict[str, Any]:
    return {name: datetime.fromisoformat(value) if name in TIMES else value for name, value in found.items()}


def equal(what: str, answers: Mapping[str, Any]) -> Any:
    """The one answer of all sides.

    Raises:
        UnequalError: there are two.
    """
    first, *others = answers
    for other in others:
        if answers[other] != answers[first]:
            raise UnequalError(f"{what}: {first} answers {answers[first]!r:.500}, {other} {answers[other]!r:.500}")
    return answers[first]


def direct(workers: Mapping[str, Child], samples: int) -> None:
    """The rows without HTTP."""
    for index in range(samples):
        answers = {
            side: meaning(worker.ask(do="answer", row="select", count=index)) for side, worker in workers.items()
        }
        if not equal("select", answers):
            raise UnequalError(f"select: nobody finds account {index}.")
    squads = equal("join", {side: meaning(worker.ask(do="answer", row="join")) for side, worker in workers.items()})
    if {len(squad["members"]) for squad in squads["items"]} != {5}:
        raise UnequalError("join: a squad hasn't five members.")


def http(servers: Mapping[str, Server], clients: list[Any], *, with_key: bool) -> None:
    """The rows with HTTP; the constant answer is nobody's."""
    answering = {side: server for side, server in servers.items() if side != "limit"}
    for client in clients:
        for target in client.targets:
            got = {side: server.get(server.path + target, client.key) for side, server in answering.items()}
            status, _ = equal("GET", {side: (status, meaning(body)) for side, (status, body) in got.items()})
            if status != 200:
                raise UnequalError(f"GET: everybody answers {status}.")
    statuses = {"unknown account": (unknown_id(), clients[0].key, 404)}
    if with_key:
        statuses["unknown key"] = (clients[0].targets[0], unknown_key(), 401)
    for what, (target, key, expected) in statuses.items():
        for side, server in answering.items():
            if (status := server.get(server.path + target, key)[0]) != expected:
                raise UnequalError(f"{what}: {side} answers {status}.")
