"""Many hosted tasks over two runners, one of which is killed and stopped again and again: all done, none twice."""

import asyncio
import math
import random
import signal
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from agentsquad.schemas.tasks import TaskNew
from backend import sweeper
from backend.core.database import Database
from backend.operations import tasks
from tests.campaigns import checkers, dying, hosting
from tests.campaigns.crew import Crew, Worker, eventually, found, patiently, say, until
from tests.conftest import SCALE
from tests.runner.standin import Answer, Body, StandIn, told

LEADS = 2 * SCALE
WORKS = 18 * SCALE  # that are nobody's part
PARTS = ("a", "b")  # of a lead's task; as many roles do them
ROLES = {"lea": "lead", "ada": "a", "bob": "b", "eve": "b"}
LEASE = 2  # seconds
NAP = 2.5  # seconds: longer than that
THINKING = (0.05, 0.3)  # seconds of an answer


class Model:
    """Plans as a lead, works as everybody else, and takes its time."""

    def __init__(self) -> None:
        self.asked: Counter[tuple[str, int]] = Counter()
        self._chance = random.Random(0)

    def __call__(self, body: Body) -> Answer:
        """The answer to what was heard."""
        whole = told(body)
        title, number = whole["task"]["title"], whole["task"]["number"]
        heard = sum(message["role"] == "tool" for message in body["messages"])
        self.asked[title, heard] += 1
        answer = _lead(title, whole["children"]) if title.startswith("lead") and "/" not in title else None
        return {"wait": self._chance.uniform(*THINKING)} | (answer or _work(title, number)[heard])


def _lead(title: str, children: list[dict[str, Any]]) -> Answer:
    if children:
        return {"text": " + ".join(str(child["result"]) for child in children)}
    parts = [{"title": f"{title}/{part}", "role": part} for part in PARTS]
    calls = [{"name": "create_tasks", "arguments": {"tasks": parts}}, {"name": "wait_for_children"}]
    return {"calls": calls}


def _work(title: str, number: int) -> list[Answer]:
    said = {"name": "send_message", "arguments": {"task": number, "body": f"{title} goes well"}}
    return [{"calls": [hosting.press(title)]}, {"calls": [said]}, {"text": f"{title} is done"}]


async def torment(crew: Crew, url: str, counts: Counter[str]) -> None:
    """Kill a runner and start it again, or let it sleep through its leases, for ever."""
    chance = random.Random(1)
    victim = await _start(crew, url)
    seen = 0
    while True:
        await _begins(victim, seen)
        await asyncio.sleep(chance.uniform(0.0, 0.6))  # anywhere in what it has begun
        if chance.random() < 0.3:
            counts["stopped"] += 1
            victim.signal(signal.SIGSTOP)
            await asyncio.sleep(NAP)
            seen = len(victim.notes("begun"))
            victim.signal(signal.SIGCONT)
        else:
            counts["killed"] += 1
            victim.signal(signal.SIGKILL)
            victim, seen = await _start(crew, url), 0


async def _begins(runner: Worker, seen: int) -> None:
    """Wait until it has begun more steps than that."""
    await until(lambda: len(runner.notes("begun")) > seen, math.inf)


async def _start(crew: Crew, url: str) -> Worker:
    return await asyncio.to_thread(crew.start, dying.run, url)


async def test_many_tasks_are_done_and_none_twice(database: Database, tmp_path: Path) -> None:
    team = await found(database, 0, lease_seconds=LEASE)
    model, counts = Model(), Counter({"killed": 0, "stopped": 0})
    new = [TaskNew(title=f"lead {n}", role="lead") for n in range(LEADS)]
    new += [TaskNew(title=f"work {n}", role=PARTS[n % len(PARTS)]) for n in range(WORKS)]
    began = time.monotonic()
    async with AsyncExitStack() as stack:
        outside = await stack.enter_async_context(hosting.outside())
        served = await stack.enter_async_context(StandIn(model))
        for name, role in ROLES.items():
            await hosting.host(database, team, name, served.url, outside.url, role)
        await database.transact(tasks.create, team.owner, team.squad, new)
        crew = stack.enter_context(Crew(tmp_path / "crew"))
        await _start(crew, team.url)
        helping = [
            asyncio.create_task(sweeper.run(database)),
            asyncio.create_task(torment(crew, team.url, counts)),
        ]

        async def ended() -> bool:
            after = await asyncio.to_thread(checkers.state, team.url, team.squad.id)
            return all(task["status"] in ("done", "failed") for task in after.tasks.values())

        await eventually(lambda: patiently(ended), 60 * SCALE)
        for task in helping:
            task.cancel()
        await asyncio.wait(helping)
        for worker in crew.workers:
            worker.signal(signal.SIGCONT)
        await asyncio.sleep(0.6)  # the last one to wake still tries to write
    after = await asyncio.to_thread(checkers.state, team.url, team.squad.id)
    assert checkers.unfinished(after) == []
    assert checkers.unfenced(after, []) == []
    assert checkers.repeated(after) == []
    assert checkers.torn(after) == []
    assert hosting.gaps(after) == []
    assert hosting.misbooked(after) == []
    leads = [f"lead {n}" for n in range(LEADS)]
    works = [f"work {n}" for n in range(WORKS)] + [f"{lead}/{part}" for lead in leads for part in PARTS]
    due: dict[str, Any] = {work: f"{work} is done" for work in works}
    due |= {lead: f"{lead}/a is done + {lead}/b is done" for lead in leads}
    assert {task["title"]: task["result"] for task in after.tasks.values()} == due
    assert {message["body"] for message in after.tables["messages"].values()} == {f"{w} goes well" for w in works}
    assert max(outside.pressed.values()) == 1
    answers = Counter(step["state"] for step in after.tables["steps"].values() if step["kind"] == "answer")
    assert answers["finished"] == 3 * len(works) + 2 * LEADS == len(model.asked)
    assert answers["finished"] <= model.asked.total() <= answers.total()
    assert set(answers) <= {"finished", "unknown"}
    assert counts["killed"] > 0
    say(
        f"hosted crowd: {len(due)} tasks, {counts['killed']} killed, {counts['stopped']} stopped, "
        f"{sum(event['kind'] == 'task.lapsed' for event in after.events)} attempts lapsed; {model.asked.total()} calls "
        f"for {answers['finished']} answers ({answers['unknown']} unknown), in {time.monotonic() - began:.0f} s"
    )
