"""Random graphs that several processes write at once: no cycle, no early claim, no number twice, nothing stuck."""

import asyncio
import contextlib
import random
from itertools import count
from pathlib import Path
from typing import Any

import orjson
import pytest

from agentsquad.schemas.tasks import CancelNew, CompleteNew, FailNew, TaskNew
from backend.core.database import Database
from backend.core.errors import SquadError
from backend.operations import tasks
from backend.operations.access import Actor
from tests.campaigns import checkers
from tests.campaigns.crew import Crew, Journal, Team, found, patiently, say
from tests.conftest import SCALE
from tests.defects import changed, install

PROCESSES = 4
EACH = 3  # writers in one process
MOVES = 60  # of one writer, times the scale
WINDOW = 24  # the newest tasks, among which edges are laid: few enough that they meet
TAKEN = "IF p_lock THEN"
LAST = "BEGIN\n    PERFORM FROM squads WHERE id = p_squad FOR NO KEY UPDATE;"
DONE = "o.status <> 'done'"


class Writer:
    """One of many that change the same graph at random."""

    def __init__(self, database: Database, journal: Journal, team: Team, index: int) -> None:
        self.database, self.journal, self.team = database, journal, team
        self.me = team.members[index]
        self.chance = random.Random(index)
        self.names = count()
        self.index = index
        self.newest = 1
        self.edges: list[tuple[int, int]] = []

    async def run(self, moves: int) -> None:
        """Make one move after the other; a refusal is an answer, anything else is a break."""
        kinds = (self.make, self.depend, self.undepend, self.work, self.cancel, self.retry)
        for _ in range(moves):
            move = self.chance.choices(kinds, (3, 6, 1, 6, 1, 1))[0]
            try:
                await move()
            except SquadError as error:
                self.journal.note("refused", code=error.code)
            except Exception as error:  # noqa: BLE001  (whatever it is, the checker hears of it)
                self.journal.note("broke", error=type(error).__name__)

    async def do(self, operation: Any, actor: Actor, *given: Any) -> Any:
        """One transaction."""
        answer = await patiently(lambda: self.database.transact(operation, actor, self.team.squad, *given))
        return None if answer is None else orjson.loads(answer)

    def near(self) -> int:
        """One of the newest tasks."""
        return self.chance.randint(max(1, self.newest - WINDOW), self.newest)

    async def make(self) -> None:
        """Make some tasks, and one that waits for all of them."""
        keys = [f"k{n}" for n in range(self.chance.randint(2, 4))]
        titles = [f"{self.index}/{next(self.names)}" for _ in (*keys, "last")]
        batch = [TaskNew(title=title, key=key) for title, key in zip(titles, keys, strict=False)]
        older = [self.near()] if self.newest > WINDOW else []
        batch.append(TaskNew(title=titles[-1], depends_on=[*keys, *older]))
        made = (await self.do(tasks.create, self.team.owner, batch))["items"]
        self.newest = made[-1]["number"]
        self.journal.note("created", tasks=[(task["number"], task["title"]) for task in made])

    async def depend(self) -> None:
        """Lay an edge, and in the same moment the opposite one."""
        number, other = self.near(), self.near()
        both = [(number, other), (other, number)]
        laid = await asyncio.gather(*[self.lay(*edge) for edge in both])
        self.edges += [edge for edge, there in zip(both, laid, strict=True) if there]

    async def lay(self, number: int, other: int) -> bool:
        """Lay an edge, if it is allowed."""
        with contextlib.suppress(SquadError):
            return bool(await self.do(tasks.add_dependency, self.team.owner, number, other))
        return False

    async def undepend(self) -> None:
        """Take away an edge that was laid here."""
        if self.edges:
            edge = self.edges.pop(self.chance.randrange(len(self.edges)))
            await self.do(tasks.remove_dependency, self.team.owner, *edge)

    async def work(self) -> None:
        """Claim what comes next, and end it."""
        for claim in (await self.do(tasks.claim, self.me, None, 1) or {"items": []})["items"]:
            number = claim["task"]["number"]
            if self.chance.random() < 0.85:
                await self.do(tasks.complete, self.me, number, CompleteNew(claim=claim["claim"]))
            else:
                given = FailNew(claim=claim["claim"], reason="no", retry=self.chance.random() < 0.5)
                await self.do(tasks.fail, self.me, number, given)

    async def cancel(self) -> None:
        """Give one up, now and then with all that waits for it."""
        await self.do(tasks.cancel, self.team.owner, self.near(), CancelNew(cascade=self.chance.random() < 0.2))

    async def retry(self) -> None:
        """Open one again, if it has ended badly."""
        await self.do(tasks.retry, self.team.owner, self.near())


async def work(journal: Journal, team: Team, first: int, moves: int) -> None:
    """The writers of one process."""
    async with team.database(2 * EACH) as database:
        await asyncio.gather(*[Writer(database, journal, team, first + n).run(moves) for n in range(EACH)])


async def campaign(
    database: Database, folder: Path, moves: int, name: str = "crew"
) -> tuple[checkers.State, list[str], int]:
    """Let them all write, then do what can be done. Answers what is there, what is wrong, and how often it was seen."""
    team = await found(database, PROCESSES * EACH + 1, name=name, lease_seconds=600)
    wrong: list[str] = []
    looks = 0
    with Crew(folder) as crew:
        for process in range(PROCESSES):
            crew.start(work, team, process * EACH, moves)
        ended = asyncio.create_task(crew.finish(120 * SCALE))
        while not ended.done():
            wrong += checkers.circular(checkers.edges(team.url, team.squad.id))
            looks += 1
            await asyncio.sleep(0.05)
        await ended
        notes = crew.notes()
    await finish(database, team)
    after = checkers.state(team.url, team.squad.id)
    wrong += checkers.circular({number: task["depends_on"] for number, task in after.tasks.items()})
    wrong += checkers.early(after) + checkers.stuck(after) + checkers.unexplained(after)
    wrong += checkers.misnumbered(after, notes)
    return after, wrong, looks


async def finish(database: Database, team: Team) -> None:
    """Do all that can be claimed."""
    actor = team.members[-1]
    while claimed := await database.transact(tasks.claim, actor, team.squad, None, 20):
        for claim in orjson.loads(claimed)["items"]:
            given = CompleteNew(claim=claim["claim"])
            await database.transact(tasks.complete, actor, team.squad, claim["task"]["number"], given)


async def test_the_graph_stays_one_and_everything_comes_to_an_end_or_says_why_not(
    database: Database, tmp_path: Path
) -> None:
    after, wrong, looks = await campaign(database, tmp_path / "crew", MOVES * SCALE)
    assert wrong == []
    assert checkers.torn(after) == []
    left = {status: len(after.with_status(status)) for status in ("done", "failed", "cancelled", "blocked")}
    assert sum(left.values()) == len(after.tasks)
    edges = sum(len(task["depends_on"]) for task in after.tasks.values())
    moves = PROCESSES * EACH * MOVES * SCALE
    say(
        f"dag: {PROCESSES * EACH} writers, {moves} moves, {len(after.events)} events, {edges} edges; "
        f"{looks} looks without a cycle, nothing early, no number twice; in the end {left}"
    )


async def test_control_with_the_lock_taken_last_there_are_cycles_stuck_tasks_and_numbers_twice(
    database: Database, tmp_path: Path
) -> None:
    await database.transact(
        install, changed("enter_squad", (TAKEN, "IF false THEN")) + changed("append_events", ("BEGIN", LAST))
    )
    counts = dict.fromkeys(("wait in a circle", "all that it waits for is done", "broke: IntegrityError"), 0)
    for turn in range(5):  # two that free the same task have to meet
        _, wrong, _ = await campaign(database, tmp_path / f"crew{turn}", MOVES, f"crew{turn}")
        counts = {what: count + sum(what in sentence for sentence in wrong) for what, count in counts.items()}
        if all(counts.values()):
            break
    assert all(counts.values()), counts
    say(f"dag, control: with the lock taken last {counts}")


async def test_control_freed_too_soon_tasks_are_claimed_early(database: Database, tmp_path: Path) -> None:
    await database.transact(install, changed("settle_tasks", (DONE, "false")))
    after, _, _ = await campaign(database, tmp_path / "crew", MOVES)
    assert checkers.early(after) != []


def task(status: str, *depends_on: int, blocked_on: str | None = None, why: str = "") -> dict[str, Any]:
    """As much of a task as the checkers read."""
    return {"status": status, "blocked_on": blocked_on, "depends_on": list(depends_on), "why": why}


@pytest.mark.parametrize(
    "left", [task("todo"), task("in_progress"), task("blocked", 1, blocked_on="dependencies", why="#2 waits.")]
)
def test_control_what_is_left_without_a_reason_is_found(left: dict[str, Any]) -> None:
    there = checkers.State([], {1: task("done"), 2: left}, [], {}, [])
    assert len(checkers.unexplained(there)) == 1
