"""No two live attempts reserve a path in common: many claim at once, and some sleep through their leases."""

import asyncio
import random
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import orjson

from agentsquad.schemas.tasks import CompleteNew, TaskNew
from backend.core.database import Database
from backend.core.errors import LostClaim, Reserved
from backend.operations import tasks
from backend.operations.tasks.globs import overlap
from tests.campaigns import checkers
from tests.campaigns.crew import Crew, Journal, Team, found, patiently, say
from tests.conftest import SCALE
from tests.defects import changed, install

PROCESSES = 6
TASKS = 120 * SCALE
NAP = 1.2  # seconds: longer than a lease
TIRED = 0.03  # how likely a worker sleeps that long
PATHS = ("src/", "src/cart.py", "src/*.py", "docs", "docs/api.md", "**/*.md", "tests/**/test_*.py", "tests/cli/")
ENTER = "enter_squad(p_user, p_member, p_home, p_as, p_squad, p_name"


async def work(journal: Journal, team: Team, index: int, tired: float) -> None:
    """Claim with some paths, take a little time, complete, until nothing is left to do."""
    chance = random.Random(index)
    actor = team.members[index]
    async with team.database() as database:
        while True:
            paths = chance.sample(PATHS, 2)
            try:
                claimed = await patiently(lambda p=paths: database.transact(tasks.claim, actor, team.squad, None, 1, p))  # type: ignore[misc]
            except Reserved as refused:
                journal.note("reserved", other=refused.fields["other"])
                await asyncio.sleep(chance.uniform(0.0, 0.01))
                continue
            if claimed is None:
                return
            claim = orjson.loads(claimed)["items"][0]
            await asyncio.sleep(NAP if chance.random() < tired else chance.uniform(0.0, 0.01))
            number, given = claim["task"]["number"], CompleteNew(claim=claim["claim"])
            try:
                await patiently(lambda n=number, g=given: database.transact(tasks.complete, actor, team.squad, n, g))  # type: ignore[misc]
            except LostClaim:
                journal.note("late")


def doubled(events: list[dict[str, Any]]) -> Iterator[str]:
    """Where, by the log, an attempt began to reserve what another one reserved still."""
    live: dict[tuple[int, int], list[str]] = {}
    for event in events:
        claim, data = (event["task"], event["attempt"]), event["data"]
        if event["kind"] == "task.claimed":
            for other, paths in live.items():
                for path, theirs in product(data["paths"], paths):
                    if overlap(path, theirs):
                        yield f"{claim} reserved {path} while {other} reserved {theirs}"
            live[claim] = data["paths"]
        elif "outcome" in data:
            live.pop(claim, None)


async def campaign(database: Database, folder: Path, amount: int, tired: float) -> tuple[checkers.State, Crew]:
    team = await found(database, PROCESSES)
    await database.transact(tasks.create, team.owner, team.squad, [TaskNew(title=f"{n}") for n in range(amount)])
    with Crew(folder) as crew:
        for index in range(PROCESSES):
            crew.start(work, team, index, tired)
        await crew.finish(90 * SCALE)
    return checkers.state(team.url, team.squad.id), crew


async def test_no_path_is_reserved_twice(database: Database, tmp_path: Path) -> None:
    after, crew = await campaign(database, tmp_path / "crew", TASKS, TIRED)
    assert list(doubled(after.events)) == []
    assert checkers.torn(after) == []
    refused, late = len(crew.notes("reserved")), len(crew.notes("late"))
    assert refused > 0
    assert len(after.with_status("done")) > TASKS // 2
    say(f"reserved: {PROCESSES} processes, {TASKS} tasks, {refused} overlaps refused, {late} late writers, 0 doubled")


async def test_control_without_the_lock_some_are(database: Database, tmp_path: Path) -> None:
    unlocked = changed(
        "reserved_paths", (f"{ENTER})", f"{ENTER}, false)"), ("PERFORM lapse_tasks(scope.squad_id);", "")
    )
    await database.transact(install, unlocked)
    after, _ = await campaign(database, tmp_path / "crew", 60, 0)  # nobody would take their tasks back
    wrong = list(doubled(after.events))
    assert wrong != []
    say(f"reserved, control: without the lock {len(wrong)} paths were reserved twice")
