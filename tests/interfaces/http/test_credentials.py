import asyncio

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.database import Database
from backend.core.errors import Overloaded, Unauthenticated
from backend.core.settings import Settings
from backend.interfaces import credentials
from backend.interfaces.credentials import Credentials
from backend.models import ApiKey
from backend.operations import keys, users
from backend.operations.access import Actor
from tests.interfaces.http.conftest import Site, refused


class Counted(Credentials):
    """Counts its questions to the database."""

    asked = 0

    async def _ask(self, secret: str, kind: str) -> Actor | None:
        self.asked += 1
        return await super()._ask(secret, kind)


@pytest.fixture
async def secret(database: Database) -> str:
    """The key of a first account."""
    kept: list[str] = []
    await database.transact(users.first, kept.append)
    return kept[0]


async def new_key(database: Database, actor: Actor) -> str:
    return (await database.transact(keys.create, actor, None, ""))[1]


@pytest.mark.parametrize("path", ["/users/me", "/users"])
async def test_without_a_key_that_is_known_the_answer_is_401(site: Site, path: str) -> None:
    nobody = await site.caller()
    for header in (None, "Bearer", "Bearer sqd_nobody", "Basic b3duZXI6", "sqd_nobody", "Bearer ü"):
        headers = httpx.Headers({} if header is None else {"Authorization": header}, encoding="utf-8")
        answer = await nobody.get(path, headers=headers)
        assert refused(answer, 401, "unauthenticated").endswith(".")
        assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["/users/me", "/users"])
async def test_the_scheme_is_written_in_any_case_and_space_is_no_matter(site: Site, path: str) -> None:
    nobody: httpx.AsyncClient = await site.caller()
    for header in (f"bearer {site.key}", f"BEARER   {site.key}", f"Bearer {site.key} "):
        assert (await nobody.get(path, headers={"Authorization": header})).status_code == 200


async def test_a_known_key_costs_a_question_a_second(database: Database, secret: str) -> None:
    known = Counted(database)
    for _ in range(100):
        await known.actor(secret)
    assert known.asked == 1
    known._known["key", secret] = (0.0, known._known["key", secret][1])
    await known.actor(secret)
    assert known.asked == 2


async def test_the_same_key_is_looked_up_once_at_a_time(database: Database, secret: str) -> None:
    known = Counted(database)
    actors = await asyncio.gather(*(known.actor(secret) for _ in range(50)))
    assert known.asked == 1
    assert len(set(actors)) == 1


async def test_whoever_gives_up_takes_nobody_along(database: Database, secret: str) -> None:
    known = Counted(database)
    first, second = (asyncio.create_task(known.actor(secret)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).is_admin
    assert known.asked == 1


async def test_an_unknown_key_is_never_remembered(database: Database, secret: str) -> None:
    known = Counted(database)
    owner = await known.actor(secret)
    fresh = keys.new_secret(keys.USER)
    for _ in range(2):
        with pytest.raises(Unauthenticated):
            await known.actor(fresh)
    assert known.asked == 3

    async def give(session: AsyncSession) -> None:
        key = ApiKey(user_id=owner.user_id, name="", digest=keys.digest(fresh))
        session.add(key)

    await database.transact(give)
    assert await known.actor(fresh) == owner


async def test_a_mistyped_key_asks_nothing_of_the_database() -> None:
    database = Database(Settings(DATABASE_URL="postgresql://nobody@127.0.0.1:1/nowhere"))
    for secret in ("", "x", "sqd_", "sqd_" + "a" * 60, "ü" * 20, "\udcff" * 20, "\x00" * 20):
        with pytest.raises(Unauthenticated):
            await Credentials(database).actor(secret)
    with pytest.raises(Overloaded):
        await Credentials(database).actor(keys.new_secret(keys.USER))
    await database.close()


async def test_memory_is_bounded(database: Database, secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "AT_MOST", 3)
    known = Credentials(database)
    owner = await known.actor(secret)
    for _ in range(7):
        await known.actor(await new_key(database, owner))
        with pytest.raises(Unauthenticated):
            await known.actor(keys.new_secret(keys.MEMBER))
        assert len(known._known) <= 3
    await asyncio.sleep(0)
    assert not known._asked
