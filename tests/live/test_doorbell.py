"""What one server process commits, the followers of another hear."""

import asyncio
import contextlib
from uuid import UUID, uuid4

import psycopg2
import pytest

from backend.core.database import Database
from backend.live import doorbell
from backend.live import feed as feeds
from backend.live.doorbell import Doorbell
from backend.live.feed import Feed
from tests.campaigns.crew import Team, until
from tests.live.stage import PATIENCE, feeding, following, last, positions, write


@pytest.fixture
def only_the_bell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks at a log that didn't ring."""
    monkeypatch.setattr(feeds, "POLL", 3600.0)


@pytest.fixture
def no_bell(monkeypatch: pytest.MonkeyPatch) -> None:
    """No NOTIFY is sent."""

    def silent(_bell: Doorbell, _squads: object) -> None:
        """Where it would ring."""

    monkeypatch.setattr(Doorbell, "ring", silent)


def ask(url: str, query: str) -> list[int]:
    """The first column of a query's rows."""
    with contextlib.closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(query)
        return [row[0] for row in cursor.fetchall()]


def ringers(url: str) -> list[int]:
    """The connections that have just begun to listen."""
    return ask(url, "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query ILIKE 'LISTEN %'")


async def hears(feed: Feed, team: Team, writer: Database, *, times: int = 3) -> None:
    """A follower of this feed gets what that process commits."""
    end = last(writer.url, team)
    async with following(feed, team, end) as follower:
        for position in range(end + 1, end + 1 + times):
            await write(writer, team)
            assert await positions(follower, position) == [position]


@pytest.mark.usefixtures("only_the_bell")
async def test_what_another_process_commits_is_heard_by_the_bell(
    database: Database, other: Database, team: Team
) -> None:
    async with feeding(database) as feed, feeding(other):
        await until(lambda: len(ringers(database.url)) == 2, PATIENCE)
        await hears(feed, team, other)
        await hears(feed, team, database)


@pytest.mark.usefixtures("no_bell")
async def test_without_a_bell_it_is_found_by_looking(database: Database, other: Database, team: Team) -> None:
    async with feeding(database) as feed, feeding(other):
        await hears(feed, team, other)


async def test_what_was_written_past_the_application_is_found_by_looking(database: Database, team: Team) -> None:
    end = last(database.url, team)
    async with feeding(database) as feed, following(feed, team, end) as follower:
        for position in (end + 1, end + 2):
            again = "SELECT squad_id, position + 1, at, kind, actor, task, attempt, data FROM events"
            columns = "squad_id, position, at, kind, actor, task, attempt, data"
            ask(
                database.url,
                f"INSERT INTO events ({columns}) {again} WHERE position = {position - 1} RETURNING 1",
            )
            assert await positions(follower, position) == [position]


@pytest.mark.usefixtures("no_bell", "only_the_bell")
async def test_with_neither_nothing_is_heard(database: Database, other: Database, team: Team) -> None:
    """The control: it is the bell, or the looking, that the others of these tests see."""
    end = last(database.url, team)
    async with feeding(database) as feed, feeding(other), following(feed, team, end) as follower:
        await asyncio.sleep(0.2)  # the look that every feed begins with is over
        await write(other, team)
        assert await follower.next(2) == []


@pytest.mark.usefixtures("only_the_bell")
async def test_a_bell_whose_connection_died_is_made_anew_and_nothing_is_missed(
    database: Database, other: Database, team: Team
) -> None:
    end = last(database.url, team)
    async with feeding(database) as feed, following(feed, team, end) as follower:
        await until(lambda: ringers(database.url), PATIENCE)
        (first,) = ringers(database.url)
        ask(database.url, f"SELECT pg_terminate_backend({first})::int")
        async with feeding(other):
            await write(other, team, 3)  # while nobody listens
            assert await positions(follower, end + 3) == [end + 1, end + 2, end + 3]
            assert first not in ask(database.url, "SELECT pid FROM pg_stat_activity")
            await hears(feed, team, other)


async def test_rings_of_an_instant_are_few_notifications(database: Database) -> None:
    heard: list[set[UUID] | None] = []
    bell = Doorbell(database.async_engine, heard.append, lambda _said: None)
    running = asyncio.create_task(bell.run())
    await until(lambda: heard == [None], PATIENCE)  # it listens, and may have missed something until then
    squads = [uuid4() for _ in range(2 * doorbell.AT_ONCE + 50)]
    for squad in squads * 2:
        bell.ring([squad])
    bell.ring(squads)
    await until(lambda: set[UUID]().union(*(rung for rung in heard if rung)) == set(squads), PATIENCE)
    assert sorted(len(rung) for rung in heard if rung) == [50, doorbell.AT_ONCE, doorbell.AT_ONCE]
    running.cancel()
    await asyncio.wait([running])
