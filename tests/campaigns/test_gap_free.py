"""Whoever reads from position n misses nothing: many writers, some slow to commit, some rolling back, many readers."""

import asyncio
import math
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Select, column, func, select, table, text
from sqlalchemy.ext.asyncio import AsyncSession

from agentsquad.schemas.tasks import CompleteNew, TaskNew
from backend.core.database import Database
from backend.operations import events, tasks
from backend.operations.access import Actor, SquadRef
from tests.campaigns import checkers
from tests.campaigns.crew import Crew, Journal, Team, found, patiently, say
from tests.conftest import SCALE

PROCESSES = 4  # of writers, and as many of readers
EACH = 5  # writers or readers in one process
WRITES = 30 * SCALE  # of one writer

SERIAL = "CREATE TABLE serial_events (position bigserial PRIMARY KEY, kind text NOT NULL)"
serial_events = table("serial_events", column("position"), column("kind"))


class ThinksBetter(Exception):
    """A writer rolls back."""


async def dawdle(chance: random.Random) -> None:
    """Between the write and the commit: mostly nothing, sometimes a pause, sometimes no commit at all."""
    match chance.randrange(10):
        case 0:
            await asyncio.sleep(chance.uniform(0, 0.02))
        case 1:
            raise ThinksBetter
        case _:
            pass


async def change(session: AsyncSession, actor: Actor, squad: SquadRef, chance: random.Random) -> None:
    """A write of the board, of one or of several events."""
    if chance.random() < 0.5:
        new = [TaskNew(title="x", depends_on=[]) for _ in range(chance.randint(1, 3))]
        await tasks.create(session, actor, squad, new)
    elif (claimed := await tasks.claim(session, actor, squad)) is not None:
        claim = orjson.loads(claimed)["items"][0]["claim"]
        await tasks.complete(session, actor, squad, int(claim.split("/")[0]), CompleteNew(claim=claim))
    await dawdle(chance)


async def append(session: AsyncSession, _actor: Actor, _squad: SquadRef, chance: random.Random) -> None:
    """The same on a log whose positions come from a global serial."""
    await session.execute(text("INSERT INTO serial_events (kind) VALUES ('x')"))
    await dawdle(chance)


def serial_after(actor: Actor, squad: SquadRef, position: int, limit: int) -> Select[Any]:
    """`events.after` on a log whose positions come from a global serial."""
    item = select(serial_events).where(serial_events.c.position > position).order_by("position").limit(limit).subquery()
    return select(
        func.coalesce(func.json_agg(item.table_valued()), func.json_build_array()).label("items"),
        func.coalesce(func.max(item.c.position), position).label("last"),
    ).select_from(item)


Write = Callable[[AsyncSession, Actor, SquadRef, random.Random], Awaitable[None]]
LOGS: dict[str, tuple[Write, Callable[..., Any]]] = {
    "squad": (change, events.after()),
    "serial": (append, serial_after),
}


async def writers(journal: Journal, team: Team, log: str, seed: int, writes: int) -> None:
    """Five that write at once."""
    write, _ = LOGS[log]

    async def one(database: Database, actor: Actor, chance: random.Random) -> None:
        for _ in range(writes):
            with suppress(ThinksBetter):
                await patiently(lambda: database.transact(write, actor, team.squad, chance))
            journal.note("tried")

    async with team.database(EACH) as database:
        chances = [random.Random(seed * 100 + index) for index in range(EACH)]
        await asyncio.gather(*[one(database, team.members[i], chance) for i, chance in enumerate(chances)])


def ends(end: Path) -> float:
    """The last position, as soon as it is known."""
    return int(end.read_text()) if end.exists() else math.inf


async def readers(journal: Journal, team: Team, log: str, seed: int, end: Path) -> None:
    """Five that page until the end is known and reached; now and then one rests, and resumes on another server."""
    _, after = LOGS[log]

    async def one(databases: list[Database], chance: random.Random) -> None:
        seen: list[int] = []
        last = 0
        while last < ends(end):
            reads = chance.choice(databases).reads
            ask = partial(reads.json, after, team.owner, team.squad, last, chance.randint(1, 50))
            page = orjson.loads(await patiently(ask))
            seen += [item["position"] for item in page["items"]]
            last = page["last"]
            if chance.random() < 0.02:
                await asyncio.sleep(chance.uniform(0, 0.5))
            elif not page["items"]:
                await asyncio.sleep(0.06)
        journal.note("seen", positions=seen)

    async with team.database(EACH) as first, team.database(EACH) as second:
        await asyncio.gather(*[one([first, second], random.Random(seed * 100 + index)) for index in range(EACH)])


async def campaign(team: Team, log: str, database: Database, folder: Path) -> tuple[list[int], list[list[int]]]:
    """What the log holds in the end, and what each reader has seen."""
    end = folder / "end"
    with Crew(folder / "readers") as reading:
        for index in range(PROCESSES):
            reading.start(readers, team, log, index, end)
        with Crew(folder / "writers") as writing:
            for index in range(PROCESSES):
                writing.start(writers, team, log, index, WRITES)
            await writing.finish(60 * SCALE)
            assert len(writing.notes("tried")) == PROCESSES * EACH * WRITES
        page = orjson.loads(await database.reads.json(LOGS[log][1], team.owner, team.squad, 0, 10**9) or b"")
        (folder / "end.new").write_text(str(page["last"]))
        (folder / "end.new").rename(end)
        await reading.finish(30 * SCALE)
        return [item["position"] for item in page["items"]], [note["positions"] for note in reading.notes("seen")]


async def test_everyone_sees_everything_in_order_once(database: Database, tmp_path: Path) -> None:
    team = await found(database, EACH, lease_seconds=60)
    log, seen = await campaign(team, "squad", database, tmp_path)
    assert log == list(range(1, len(log) + 1))
    assert len(seen) == PROCESSES * EACH
    assert [checkers.missed(positions, log) for positions in seen] == [[]] * len(seen)
    assert checkers.torn(checkers.state(team.url, team.squad.id)) == []
    say(f"gap-free: {PROCESSES * EACH} writers, {len(log)} events, {len(seen)} readers, 0 missed")


async def test_control_a_global_serial_loses_events(database: Database, tmp_path: Path) -> None:
    async def install(session: AsyncSession) -> None:
        await session.execute(text(SERIAL))

    await database.transact(install)
    team = await found(database, EACH)
    log, seen = await campaign(team, "serial", database, tmp_path)
    missed = [len(checkers.missed(positions, log)) for positions in seen]
    assert any(missed)
    share = max(missed) / len(log)
    say(f"gap-free, control: {len(log)} events behind a global serial, up to {share:.1%} missed by a reader")
