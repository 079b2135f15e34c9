"""What must be true of a squad after a campaign. Each checker answers what is wrong: nothing, or sentences.

Campaigns expect nothing of them; their negative controls, where a promise is broken on purpose, expect something.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from typing import Any
from uuid import UUID

import psycopg2
import psycopg2.extras

from tests.operations import folding

Note = Mapping[str, Any]


@dataclass(frozen=True)
class State:
    """One squad as one snapshot shows it."""

    events: list[dict[str, Any]]
    tasks: dict[int, dict[str, Any]]
    attempts: list[dict[str, Any]]
    tables: folding.State
    overdue: list[int]  # tasks whose lease was over for more than a second

    @cached_property
    def completions(self) -> Counter[int]:
        """How often each task was completed, as the log tells."""
        return Counter(event["task"] for event in self.events if event["kind"] == "task.completed")

    def with_status(self, status: str) -> list[int]:
        """The tasks in it."""
        return [number for number, task in self.tasks.items() if task["status"] == status]


def state(url: str, squad_id: UUID | None) -> State:
    """Look past the application, in one snapshot."""
    with closing(psycopg2.connect(url)) as connection:
        connection.set_session("REPEATABLE READ", readonly=True)
        cursor = connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor)

        def rows(query: str) -> list[dict[str, Any]]:
            cursor.execute(query, (str(squad_id),))
            return [dict(row) for row in cursor.fetchall()]

        tables = folding.tables(squad_id).replace("%", "%%")
        return State(
            rows(
                "SELECT position, kind, to_jsonb(at) AS at, extract(epoch FROM at)::float8 AS time, actor, task, "
                "attempt, data "
                "FROM events WHERE squad_id = %s ORDER BY position"
            ),
            {row["n"]: row["t"] for row in rows("SELECT number n, task_json(tasks) t FROM tasks WHERE squad_id = %s")},
            rows("SELECT task_number AS task, attempt, kind, outcome FROM attempts WHERE squad_id = %s"),
            next(iter(rows(f"SELECT ({tables}) AS t WHERE %s IS NOT NULL")))["t"],
            [
                row["number"]
                for row in rows(
                    "SELECT number FROM tasks WHERE squad_id = %s AND lease_ends_at < now() - interval '1 s'"
                )
            ],
        )


def unfenced(after: State, notes: Iterable[Note]) -> list[str]:
    """Two attempts that both wrote: completions accepted twice, or of an attempt that was not the last.

    A task that was rejected may be completed again. Notes are only of tasks without a review.
    """
    wrong = [
        f"#{task} was completed {times} times"
        for task, times in after.completions.items()
        if times > allowed(after, task)
    ]
    accepted: Counter[int] = Counter()
    for note in notes:
        task = after.tasks[note["task"]] if note["what"] in ("completed", "refused") else None
        if task is None:
            continue
        if note["what"] == "completed":
            accepted[note["task"]] += 1
            if (task["attempt"], task["result"]) != (note["attempt"], note["result"]):
                wrong.append(f"#{note['task']}: attempt {note['attempt']} was accepted, and overwritten")
        elif task["result"] == note["result"]:
            wrong.append(f"#{note['task']}: attempt {note['attempt']} was refused, and wrote")
    wrong += [f"#{task} was accepted {times} times" for task, times in accepted.items() if times > 1]
    last: dict[int, int] = {}
    for attempt in after.attempts:
        if attempt["kind"] == "work":
            last[attempt["task"]] = max(attempt["attempt"], last.get(attempt["task"], 0))
    overtaken = Counter(
        attempt["task"]
        for attempt in after.attempts
        if attempt["outcome"] == "completed" and attempt["attempt"] != last[attempt["task"]]
    )
    wrong += [
        f"#{task}: {times} attempts that were not the last completed it"
        for task, times in overtaken.items()
        if times >= allowed(after, task)
    ]
    return wrong


def allowed(after: State, task: int) -> int:
    """How often it may have been completed."""
    rejections: int = after.tasks[task]["rejections"]
    return 1 + rejections


def unfinished(after: State) -> list[str]:
    """Tasks that got lost on the way."""
    return [f"#{number} is {task['status']}" for number, task in after.tasks.items() if task["status"] != "done"]


def torn(after: State) -> list[str]:
    """Where the log is not 1 … n, or tells something else than the tables."""
    return folding.differences(after.events, after.tables)


def missed(seen: Sequence[int], log: Sequence[int]) -> list[str]:
    """What a reader didn't see of a log, saw twice, or saw out of order."""
    wrong = [f"{position} was missed" for position in sorted(set(log) - set(seen))]
    wrong += [f"{position} was seen {times} times" for position, times in Counter(seen).items() if times > 1]
    wrong += [f"{position} was seen that is not there" for position in sorted(set(seen) - set(log))]
    wrong += [f"{b} came after {a}" for a, b in pairwise(seen) if b <= a]
    return wrong


def stuck(after: State) -> list[str]:
    """Tasks that wait for nothing any more."""
    return [
        f"#{number} is blocked, and all that it waits for is done"
        for number, task in after.tasks.items()
        if task["status"] == "blocked" and all(after.tasks[other]["status"] == "done" for other in task["depends_on"])
    ]


def edges(url: str, squad_id: UUID | None) -> dict[int, list[int]]:
    """What each task depends on, in one snapshot."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT task_number, array_agg(depends_on) FROM dependencies WHERE squad_id = %s GROUP BY 1",
            (str(squad_id),),
        )
        return dict(cursor.fetchall())


def circular(graph: Mapping[int, Iterable[int]]) -> list[str]:
    """A cycle, if the graph has one."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [f"{' → '.join(f'#{number}' for number in error.args[1])} wait in a circle"]
    return []


def early(after: State) -> list[str]:
    """Work that was claimed while a dependency was not done, as the log tells."""
    wrong = []
    status: dict[int, str] = {}
    depends_on: dict[int, list[int]] = {}
    for event in after.events:
        number, data = event["task"], event["data"]
        if not event["kind"].startswith("task."):
            continue
        depends_on[number] = data.get("depends_on", depends_on.get(number, []))
        if event["kind"] == "task.claimed" and data["kind"] == "work":
            waits = [other for other in depends_on[number] if status[other] != "done"]
            wrong += [f"#{number} was claimed while #{other} was {status[other]}" for other in waits]
        status[number] = data["status"]
    return wrong


def unexplained(after: State) -> list[str]:
    """Tasks that have not ended, though all that could be claimed was done, and don't say what stands in their way.

    That is a dependency that failed or was cancelled: their own, or one of what they wait for.
    """
    explained: set[int] = set()
    waiting = {number: task for number, task in after.tasks.items() if task["blocked_on"] == "dependencies"}
    while True:
        ended = explained | {n for n, task in after.tasks.items() if task["status"] in ("failed", "cancelled")}
        more = {number for number, task in waiting.items() if not ended.isdisjoint(task["depends_on"])}
        if more <= explained:
            break
        explained |= more
    wrong = []
    for number, task in after.tasks.items():
        undone = [other for other in task["depends_on"] if after.tasks[other]["status"] != "done"]
        if task["status"] in ("done", "failed", "cancelled"):
            continue
        if number not in explained:
            wrong.append(f"#{number} is {task['status']}, and nothing stands in its way")
        elif not any(f"#{other} " in task["why"].partition(" ")[2] for other in undone):
            wrong.append(f"#{number} doesn't say what stands in its way: {task['why']}")
    return wrong


def misnumbered(after: State, notes: Iterable[Note]) -> list[str]:
    """Tasks that were promised and are not there or another's, numbers given twice, gaps, and batches that broke."""
    notes = list(notes)
    wrong = [f"a batch broke: {note['error']}" for note in notes if note["what"] == "broke"]
    promised = [(number, title) for note in notes if note["what"] == "created" for number, title in note["tasks"]]
    times = Counter(number for number, _ in promised)
    wrong += [f"#{number} was given {count} times" for number, count in times.items() if count > 1]
    wrong += [
        f"#{number} is not {title}"
        for number, title in promised
        if number not in after.tasks or after.tasks[number]["title"] != title
    ]
    if sorted(after.tasks) != list(range(1, len(after.tasks) + 1)):
        wrong.append("the numbers have gaps")
    return wrong


def unkept(after: State, notes: Iterable[Note]) -> list[str]:
    """Answers with success that are no longer true."""
    wrong = []
    outcomes = {(attempt["task"], attempt["attempt"]): attempt["outcome"] for attempt in after.attempts}
    results = {
        (event["task"], event["attempt"]): event["data"]["result"]
        for event in after.events
        if event["kind"] == "task.completed"
    }
    for note in notes:
        claim = (note.get("task", 0), note.get("attempt", 0))
        match note["what"]:
            case "created":
                gone = [n for n, title in note["tasks"] if after.tasks.get(n, {}).get("title") != title]
                wrong += [f"#{number} was created, and is gone" for number in gone]
            case "sent":
                if after.tables["messages"].get(str(note["position"]), {}).get("body") != note["body"]:
                    wrong.append(f"message {note['position']} was sent, and is gone")
            case "claimed" if claim not in outcomes:
                wrong.append(f"#{claim[0]}/{claim[1]} was claimed, and is gone")
            case "completed" if outcomes.get(claim) == "completed" and results.get(claim) == note["result"]:
                wrong += _undone(after, note)
            case "completed" | "released" | "accepted" | "rejected" if outcomes.get(claim) != note["what"]:
                wrong.append(f"#{claim[0]}/{claim[1]} was {note['what']}, and is not")
            case "completed":
                wrong.append(f"#{claim[0]}/{claim[1]} was completed with another result")
            case _:
                pass
    return wrong


def _undone(after: State, note: Note) -> list[str]:
    """What is wrong with a task whose completion is there."""
    number = note["task"]
    task, times = after.tasks[number], after.completions[number]
    if task["review"] is None and (task["status"], task["result"]) != ("done", note["result"]):
        return [f"#{number} was completed, and is {task['status']}"]
    return [f"#{number} was completed {times} times"] if times > allowed(after, number) else []


def repeated(after: State) -> list[str]:
    """Titles and messages that are there twice, where each was asked for under a key of its own."""
    titles = Counter(task["title"] for task in after.tasks.values())
    bodies = Counter(message["body"] for message in after.tables["messages"].values())
    return [f"{text!r} is there {times} times" for text, times in (titles + bodies).items() if times > 1]


def lapses(after: State, notes: Iterable[Note], outages: Sequence[tuple[float, float]]) -> list[tuple[str, float]]:
    """How long each lease was over before its task was taken back; the time without a database or a server not counted.

    Args:
        after: what the log says.
        notes: claims that were answered, with the ends of their leases, which nobody extended.
        outages: from when to when nothing could be written, by the same clock.
    """
    ends = {(note["task"], note["attempt"]): note["ends"] for note in notes if note["what"] == "claimed"}
    found = []
    for event in after.events:
        claim = (event["task"], event["attempt"])
        if event["kind"] == "task.lapsed" and claim in ends:
            due = datetime.fromisoformat(ends[claim]).timestamp()
            for began, ended in outages:
                if began <= event["time"] and ended >= due:
                    due = min(max(due, ended), event["time"])
            found.append((f"#{claim[0]}/{claim[1]}", event["time"] - due))
    return found


def late(found: Iterable[tuple[str, float]], grace: float = 1.0) -> list[str]:
    """The leases that were over for longer than that."""
    return [f"{claim} was taken back after {seconds:.2f} s" for claim, seconds in found if seconds > grace]
