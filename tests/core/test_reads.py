import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import BigInteger, Double, Select, cast, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from agentsquad.schemas.squads import SquadNew
from agentsquad.schemas.users import UserNew
from backend.core.database import Database
from backend.core.errors import Overloaded
from backend.core.loans import Asked, Loans, fetch
from backend.core.reads import Lane
from backend.core.settings import Settings
from backend.core.statements import Statement
from backend.models import User
from backend.operations import keys, squads, users
from backend.operations.access import Actor, SquadRef
from tests.conftest import ITS_CLIENTS, SCALE
from tests.wire import relayed, turns_of

ROOT = Actor(is_admin=True)
NOBODY = UUID(int=0)


def echo(number: int, seconds: float) -> Select[Any]:
    """Answers its argument, after a while."""
    return select(cast(number, BigInteger).label("number"), func.pg_sleep(cast(seconds, Double)).label("slept"))


def me() -> Select[Any]:
    return select(func.pg_backend_pid().label("pid"))


def notes() -> Select[Any]:
    return select(text("*")).select_from(text("notes"))


async def write(session: AsyncSession, statement: str) -> None:
    await session.execute(text(statement))


async def new_user(database: Database, email: str = "ada@example.org") -> UUID:
    return (await database.transact(users.create, ROOT, UserNew(email=email))).id


async def kill(database: Database, pid: int) -> None:
    async with database.AsyncSessionLocal() as session:
        await session.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})


# answers


async def test_json_row_rows(database: Database) -> None:
    await new_user(database, "bob@example.org")
    ada = await new_user(database)
    body = await database.reads.json(users.get, ROOT, str(ada))
    assert body is not None
    assert json.loads(body)["email"] == "ada@example.org"
    row = await database.reads.row(users.get, ROOT, ada)
    assert (row["id"], row["email"]) == (ada, "ada@example.org")
    [page] = await database.reads.rows(users.page, ROOT, "", 50)
    assert [item["email"] for item in page["items"]] == ["ada@example.org", "bob@example.org"]


async def test_nothing_is_none(database: Database) -> None:
    assert await database.reads.json(users.get, ROOT, str(NOBODY)) is None
    assert await database.reads.row(users.get, ROOT, NOBODY) is None
    assert await database.reads.rows(users.get, ROOT, NOBODY) == []
    assert await database.reads.row(keys.user_of, b"no digest") is None


@pytest.mark.parametrize("given", ["ada", "", "7", "00000000-0000-0000-0000-00000000000g", "\N{SNOWMAN}", "a" * 5000])
async def test_text_that_is_no_id_finds_nothing(database: Database, given: str) -> None:
    await new_user(database)
    assert await database.reads.json(users.get, ROOT, given) is None


async def test_one_query_three_executors_agree(database: Database) -> None:
    ada = await new_user(database)
    actor = Actor(user_id=ada)
    squad_id = await database.transact(squads.create, actor, SquadNew(name="docs"))
    for query, *values in (
        (users.get, actor, str(ada)),
        (users.me, actor),
        (users.page, ROOT, "", 50),
        (squads.get, actor, SquadRef.parse("docs")),
        (squads.get, actor, SquadRef(squad_id, None)),
        (squads.page, actor, "", 10),
    ):
        body = await database.reads.json(query, *values)
        row = await database.reads.row(query, *values)
        async with database.AsyncSessionLocal() as session:
            through_session = (await session.execute(query(*values))).one()
        assert dict(row) == dict(through_session._mapping)
        assert body is not None
        assert json.loads(body).keys() == dict(row).keys()


async def test_a_page_is_bytes_that_a_session_agrees_with(database: Database) -> None:
    for number in range(20):
        await new_user(database, f"{number:02}@example.org")
    body = await database.reads.json(users.page, ROOT, "", 50)
    assert body is not None
    async with database.AsyncSessionLocal() as session:
        emails = list(await session.scalars(select(User.email).order_by(User.email)))
    assert [item["email"] for item in json.loads(body)["items"]] == emails


def test_a_statement_keeps_constants_and_takes_arguments_by_place() -> None:
    def query(actor: Actor, email: str) -> Select[Any]:
        return select(User.id).where(User.email == email, User.id == actor.user_id, User.name == "fixed")

    statement = Statement(query, "{}")
    assert sorted(map(str, statement.arguments([Actor(user_id=NOBODY), "a@b.c"]))) == [str(NOBODY), "a@b.c", "fixed"]


async def test_a_mistake_stays_a_mistake_and_costs_no_connection(database: Database) -> None:
    [before] = await database.reads.rows(me)
    with pytest.raises(asyncpg.DataError) as refused:
        await database.reads.row(echo, "seven", 0.0)
    assert refused.value.__cause__ is not refused.value
    with pytest.raises(asyncpg.UndefinedTableError):
        await database.reads.rows(notes)
    assert await database.reads.rows(me) == [before]


# the world changes under it


async def test_a_plan_made_stale_by_a_migration_is_repeated(database: Database) -> None:
    await database.transact(write, "CREATE TABLE notes (id int)")
    await database.transact(write, "INSERT INTO notes VALUES (1)")
    assert [dict(row) for row in await database.reads.rows(notes)] == [{"id": 1}]
    await database.transact(write, "ALTER TABLE notes ADD COLUMN body text DEFAULT 'new'")
    assert [dict(row) for row in await database.reads.rows(notes)] == [{"id": 1, "body": "new"}]


async def test_a_connection_killed_between_reads_is_replaced(database: Database) -> None:
    for _ in range(5):
        [row] = await database.reads.rows(me)
        await kill(database, row["pid"])
    assert checked_out(database) == 1


async def test_a_read_whose_connection_is_killed_is_repeated_once(database: Database) -> None:
    [row] = await database.reads.rows(me)
    reading = asyncio.create_task(database.reads.row(echo, 7, 0.3))
    await asyncio.sleep(0.1)
    await kill(database, row["pid"])
    assert (await reading)["number"] == 7


async def test_a_read_that_is_killed_twice_is_overload(database: Database) -> None:
    reading = asyncio.create_task(database.reads.row(echo, 7, 5.0))
    for _ in range(2):
        await asyncio.sleep(0.1)
        async with database.AsyncSessionLocal() as session:
            await session.execute(
                text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT CAST%pg_sleep%'")
            )
    with pytest.raises(Overloaded):
        await reading


async def test_a_read_that_takes_too_long_is_overload(database_url: str) -> None:
    database = Database(Settings(DATABASE_URL=f"{database_url}&options=-c%20statement_timeout%3D50ms"))
    with pytest.raises(Overloaded, match="too long"):
        await database.reads.row(echo, 7, 5.0)
    await database.close()


async def test_readers_beyond_the_lane_wait_for_their_turn(make_database: Callable[..., Database]) -> None:
    database = make_database(SQUAD_READ_CONNECTIONS=2)
    answers = await asyncio.gather(*(database.reads.row(echo, number, 0.01) for number in range(20)))
    assert [row["number"] for row in answers] == list(range(20))
    assert checked_out(database) == 2
    await database.close()


async def test_turns_come_in_order_whoever_hurries(make_database: Callable[..., Database]) -> None:
    database = make_database(SQUAD_READ_CONNECTIONS=1)

    async def greedy() -> None:
        for _ in range(60):
            await database.reads.row(echo, 1, 0.01)

    hurrying = asyncio.create_task(greedy())
    await asyncio.sleep(0.05)
    began = time.monotonic()
    assert (await database.reads.row(echo, 2, 0.0))["number"] == 2
    assert time.monotonic() - began < 0.3
    await hurrying
    await database.close()


async def test_reads_that_wait_share_a_round_trip(database_url: str) -> None:
    async with relayed(database_url) as relay:
        database = Database(Settings(DATABASE_URL=relay.url(), SQUAD_READ_CONNECTIONS=1))

        async def all_at_once() -> None:
            answers = await asyncio.gather(*(database.reads.json(echo, number, 0.0) for number in range(65)))
            assert [json.loads(answer or b"")["number"] for answer in answers] == list(range(65))

        assert await turns_of(relay, all_at_once) == 3  # the first alone, then twice 32
        await database.close()


def inverse(number: int) -> Select[Any]:
    return select(func.div(1, cast(number, BigInteger)).label("inverse"))


async def test_one_that_the_server_refuses_spoils_no_other(database: Database) -> None:
    lane = Lane(database.async_engine, size=1, wait=1)
    answers = await asyncio.gather(*(lane.json(inverse, number) for number in (1, 1, 0, 1)), return_exceptions=True)
    assert [isinstance(answer, bytes) for answer in answers] == [True, True, False, True]
    assert "division by zero" in str(answers[2])
    await lane.close()


async def test_who_gets_no_turn_in_time_is_told(database: Database) -> None:
    lane = Lane(database.async_engine, size=1, wait=0.1)
    slow = asyncio.create_task(lane.row(echo, 1, 0.4))
    await asyncio.sleep(0.05)
    began = time.monotonic()
    with pytest.raises(Overloaded, match="busy"):
        await lane.row(echo, 2, 0.0)
    assert time.monotonic() - began < 0.3
    assert (await slow)["number"] == 1
    assert (await lane.row(echo, 3, 0.0))["number"] == 3
    await lane.close()


async def test_closing_gives_everything_back_and_a_read_opens_it_again(database: Database) -> None:
    await asyncio.gather(*(database.reads.row(echo, number, 0.01) for number in range(10)))
    assert checked_out(database) > 1
    await database.reads.close()
    assert checked_out(database) == 0
    assert (await database.reads.row(echo, 7, 0.0))["number"] == 7


async def test_a_read_under_way_survives_closing_and_leaves_nothing(database: Database) -> None:
    reading = asyncio.create_task(database.reads.row(echo, 7, 0.2))
    waiting = [asyncio.create_task(database.reads.row(echo, number, 0.05)) for number in range(10)]
    await asyncio.sleep(0.1)
    await database.close()
    assert (await reading)["number"] == 7
    assert [(await task)["number"] for task in waiting] == list(range(10))
    assert checked_out(database) == 0
    await eventually(database, f"SELECT count(*) <= 1 {ITS_CLIENTS}")


# the storm: cancelled reads, writes, and connections cut at random


def checked_out(database: Database) -> int:
    return int(database.async_engine.pool.checkedout())  # type: ignore[attr-defined]


async def ask(database: Database, question: str) -> Any:
    async with database.AsyncSessionLocal() as session:
        return await session.scalar(text(question))


async def eventually(database: Database, question: str) -> None:
    for _ in range(100):
        if await ask(database, question):
            return
        await asyncio.sleep(0.05)
    pytest.fail(question)


class Storm:
    """Hundreds of reads, many cancelled, among writes and cuts; `findings` says which promises were broken."""

    def __init__(self, database: Database, seed: int) -> None:
        self.database = database
        self.random = random.Random(seed)
        self.findings: set[str] = set()
        self.answers = self.cancelled = self.refused = self.torn = 0

    async def read(self, number: int) -> None:
        try:
            pause = self.random.choice([0.0, 0.0, 0.001, 0.005])
            if number % 2:
                row = await self.database.reads.row(echo, number, pause)
            else:
                row = json.loads(await self.database.reads.json(echo, number, pause) or b"")
        except asyncio.CancelledError:
            self.cancelled += 1
        except Overloaded:
            self.refused += 1
        except Exception as error:  # noqa: BLE001  (each is a finding)
            self.findings.add(f"a read failed: {type(error).__name__}")
        else:
            self.answers += 1
            if row["number"] != number:
                self.findings.add("a wrong answer")

    async def reader(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            reading = asyncio.create_task(self.read(number))
            if self.random.random() < 0.6:
                for _ in range(self.random.randrange(12)):
                    await asyncio.sleep(0)
                await asyncio.sleep(self.random.choice([0, 0, 0.0005, 0.002]))
                reading.cancel()
            await asyncio.wait([reading])

    async def writer(self, times: int) -> None:
        for _ in range(times):
            writing = asyncio.create_task(self.database.transact(write, "UPDATE numbers SET n = n + 1"))
            await asyncio.sleep(self.random.random() / 500)
            if self.random.random() < 0.3:
                self.torn += writing.cancel()
            [outcome] = await asyncio.gather(writing, return_exceptions=True)
            if isinstance(outcome, Exception) and not isinstance(outcome, Overloaded):
                self.findings.add(f"a write failed: {type(outcome).__name__}")

    async def run(self, reads: int, cuts: Callable[[], Awaitable[object]]) -> set[str]:
        await self.database.transact(write, "CREATE TABLE IF NOT EXISTS numbers AS SELECT 0 AS n")
        readers = [self.reader(range(first, reads, 20)) for first in range(20)]
        working = asyncio.gather(*readers, *(self.writer(reads // 20) for _ in range(4)))
        while not working.done():
            await asyncio.sleep(0.05)
            await cuts()
        await working
        while self.database._running:  # writes whose callers have left
            await asyncio.wait(self.database._running)
        self.findings |= await self.aftermath()
        return self.findings

    async def aftermath(self) -> set[str]:
        findings = set()
        lane = self.database.reads
        for number in range(1000, 1012):
            try:
                row = await lane.row(echo, number, 0.0)
            except Exception as error:  # noqa: BLE001  (each is a finding)
                findings.add(f"a later read failed: {type(error).__name__}")
            else:
                if row["number"] != number:
                    findings.add("a later read's answer is wrong")
        loans = lane._loans
        assert loans is not None
        if loans.busy or loans.waiting:
            findings.add("a turn was lost")
        if checked_out(self.database) != len(loans.free):
            findings.add("a connection was lost")
        if await self.odd_backends():
            findings.add("a backend is in a transaction, or nobody's")
        return findings

    async def odd_backends(self) -> int:
        """Backends in a transaction, and those beyond the pool's, after they had time to end."""
        pool = self.database.async_engine.pool
        count = 0
        for _ in range(40):
            count = await ask(
                self.database,
                "SELECT count(*) FILTER (WHERE state LIKE 'idle in%') + greatest(0, count(*) - "
                f"{pool.checkedin() + pool.checkedout()}) "  # type: ignore[attr-defined]
                f"{ITS_CLIENTS}",
            )
            if not count:
                break
            await asyncio.sleep(0.05)
        return int(count)


async def nothing() -> None:
    """Cut nothing."""


async def storm_with(lane: type[Lane], database: Database, reads: int = 100) -> set[str]:
    """A storm without cuts on another lane, which is then quietly taken out of service."""
    database.__dict__["reads"] = lane(database.async_engine, size=4, wait=1)
    findings = await Storm(database, seed=1).run(reads, nothing)
    loans = database.reads._loans
    assert loans is not None
    for slot in Forgetful.lost + list(loans.free):
        if slot.lent.is_valid:
            slot.lent.invalidate()
    Forgetful.lost.clear()
    loans.free.clear()
    return findings


CUT_SOME = f"SELECT pg_terminate_backend(pid) {ITS_CLIENTS} AND pid <> pg_backend_pid() AND random() < 0.3"


@pytest.mark.parametrize("seed", range(2))
async def test_cancelled_reads_leave_nothing_behind(
    database_url: str, make_database: Callable[..., Database], seed: int
) -> None:
    async with relayed(database_url) as relay:
        database, saboteur = Database(Settings(DATABASE_URL=relay.url())), make_database()
        storm = Storm(database, seed)

        async def cut() -> None:
            if storm.random.random() < 0.2:
                relay.cut()
            else:
                await ask(saboteur, CUT_SOME)

        assert await storm.run(1500 * SCALE, cut) == set()
        assert storm.cancelled > 150 * SCALE
        assert storm.answers > 150 * SCALE
        assert storm.torn > 50 * SCALE
        await database.close()
        await eventually(saboteur, f"SELECT count(*) = 1 {ITS_CLIENTS}")
        await saboteur.close()


class Forgetful(Lane):
    """Neither keeps nor throws away the connection of a cancelled read."""

    lost: list[Any] = []  # noqa: RUF012  (kept, so that no garbage collector tidies up)

    async def _once(self, loans: Loans, statement: Statement, arguments: list[object], how: str) -> Any:
        loans.busy += 1
        try:
            slot = await self._take(loans)
            try:
                answer = await fetch(slot, statement.sql, arguments, how)
            except asyncio.CancelledError:
                if len(self.lost) < 3:
                    self.lost.append(slot)
                else:
                    slot.lent.invalidate()
                raise
            loans.put(slot)
            return answer
        finally:
            loans.busy -= 1


class Stingy(Lane):
    """Takes a turn that it never gives back."""

    robbed = False

    async def _take(self, loans: Loans) -> Any:
        if not self.robbed:
            self.robbed = True
            loans.busy += 1
        return await super()._take(loans)


class Swapping(Lane):
    """Gives the answers of one round trip to the wrong ones."""

    async def _answer(self, loans: Loans, batch: list[Asked]) -> None:
        batch[0].answer, batch[-1].answer = batch[-1].answer, batch[0].answer
        await super()._answer(loans, batch)


class Confused(Lane):
    """Gives a read the answer of the one before."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.last: dict[str, Any] = {}

    async def _once(self, loans: Loans, statement: Statement, arguments: list[object], how: str) -> Any:
        before = self.last.get(how)
        self.last[how] = await super()._once(loans, statement, arguments, how)
        return before or self.last[how]


class Sharing(Lane):
    """Hands out a connection that is in use."""

    async def _take(self, loans: Loans) -> Any:
        if not loans.free:
            return await super()._take(loans)
        return loans.free[-1]


class Dirty(Lane):
    """Puts a connection back in the middle of a transaction."""

    async def _take(self, loans: Loans) -> Any:
        slot = await super()._take(loans)
        try:
            if not slot.connection.is_in_transaction():
                await slot.connection.execute("BEGIN")
        except BaseException:
            slot.lent.invalidate()
            raise
        return slot


@pytest.mark.parametrize(
    ("lane", "finding"),
    [
        (Forgetful, "a connection was lost"),
        (Stingy, "a turn was lost"),
        (Confused, "a wrong answer"),
        (Swapping, "a wrong answer"),
        (Sharing, "a connection was lost"),
        (Dirty, "a backend is in a transaction"),
    ],
)
async def test_the_storm_catches_a_wrong_lane(database: Database, lane: type[Lane], finding: str) -> None:
    seen: set[str] = set()
    for _ in range(10):  # one that mixes up reads which wait needs some that do
        seen |= await storm_with(lane, database)
        if any(each.startswith(finding) for each in seen):
            return
    pytest.fail(f"not in ten storms: {seen}")


async def test_the_storm_finds_nothing_wrong_with_the_right_lane(database: Database) -> None:
    assert await storm_with(Lane, database) == set()
