"""Log-ins of browsers: links that work once, cookies that end."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.database import Database
from backend.core.errors import Forbidden, Unauthenticated
from backend.models import ApiKey
from backend.operations import keys, sessions, users
from backend.operations.access import Actor
from tests.operations.scene import Scene

KINDS = ("key", "browser", "link")


async def opens(scene: Scene, secret: str) -> list[str]:
    """The doors that a key opens."""
    digest = keys.digest(secret)
    assert digest is not None
    return [kind for kind in KINDS if await scene.read(keys.user_of, digest, kind) is not None]


async def let_time_pass(scene: Scene, ago: str) -> None:
    await scene.db.execute(text(f"UPDATE api_keys SET expires_at = expires_at - interval '{ago}'"))


async def test_each_kind_of_key_opens_its_own_door(scene: Scene) -> None:
    _, key = await scene.do(keys.create, scene.paul, None, "laptop")
    link = await scene.do(sessions.create_link, scene.paul)
    cookie = await scene.do(sessions.begin, scene.paul)
    assert [await opens(scene, secret) for secret in (key, cookie.secret, link.secret)] == [[kind] for kind in KINDS]


async def test_a_link_works_once(scene: Scene) -> None:
    link = await scene.do(sessions.create_link, scene.paul)
    cookie = await scene.do(sessions.exchange, link.secret)
    assert await opens(scene, cookie.secret) == ["browser"]
    assert await opens(scene, link.secret) == []
    with pytest.raises(Unauthenticated):
        await scene.do(sessions.exchange, link.secret)


async def test_a_link_is_over_after_a_minute_and_a_cookie_after_thirty_days(scene: Scene) -> None:
    link = await scene.do(sessions.create_link, scene.paul)
    cookie = await scene.do(sessions.begin, scene.paul)
    await let_time_pass(scene, "59 s")
    assert await opens(scene, link.secret) == ["link"]
    await let_time_pass(scene, "1 s")
    with pytest.raises(Unauthenticated):
        await scene.do(sessions.exchange, link.secret)
    assert await opens(scene, cookie.secret) == ["browser"]
    await let_time_pass(scene, "30 days")
    assert await opens(scene, cookie.secret) == []


@pytest.mark.parametrize("other", ["key", "browser", "revoked", "inactive", "nonsense"])
async def test_nothing_else_is_taken_for_a_link(scene: Scene, other: str) -> None:
    link = await scene.do(sessions.create_link, scene.paul)
    match other:
        case "key":
            given = (await scene.do(keys.create, scene.paul, None, "")).secret
        case "browser":
            given = (await scene.do(sessions.begin, scene.paul)).secret
        case "revoked":
            await scene.do(keys.revoke, scene.paul, str(link.id))
            given = link.secret
        case "inactive":
            values = {"id": scene.paul.user_id}
            await scene.db.execute(text("UPDATE users SET is_active = false WHERE id = :id"), values)
            given = link.secret
        case _:
            given = link.secret[:-1]
    with pytest.raises(Unauthenticated):
        await scene.do(sessions.exchange, given)


async def test_a_token_logs_nobody_in(scene: Scene) -> None:
    for operation in (sessions.create_link, sessions.begin):
        with pytest.raises(Forbidden):
            await scene.do(operation, scene.ada)


async def test_who_logs_out_is_out(scene: Scene) -> None:
    cookie, other = [await scene.do(sessions.begin, scene.paul) for _ in range(2)]
    for _ in range(2):
        await scene.do(sessions.end, cookie.secret)
    assert [await opens(scene, each.secret) for each in (cookie, other)] == [[], ["browser"]]
    _, key = await scene.do(keys.create, scene.paul, None, "")
    await scene.do(sessions.end, key)
    assert await opens(scene, key) == ["key"]


async def test_what_is_over_goes_with_the_next_log_in(scene: Scene) -> None:
    await scene.do(sessions.create_link, scene.paul)
    await scene.do(sessions.create_link, scene.owner)
    await let_time_pass(scene, "2 min")
    await scene.do(sessions.begin, scene.paul)
    kinds = select(ApiKey.kind).where(ApiKey.user_id == scene.paul.user_id)
    assert (await scene.db.scalars(kinds)).all() == ["browser"]


async def race(database: Database, exchange: Any) -> list[bool]:
    """A link that two browsers use at once: which of them get in."""
    kept: list[str] = []
    await database.transact(users.first, kept.append)
    row = await database.reads.row(keys.user_of, keys.digest(kept[0]))
    link = await database.transact(sessions.create_link, Actor(user_id=row["user_id"]))
    both = asyncio.gather(*(database.transact(exchange, link.secret) for _ in range(2)), return_exceptions=True)
    return [isinstance(each, keys.Pass) for each in await both]


async def test_of_two_who_use_a_link_at_once_one_gets_in(database: Database) -> None:
    assert sorted(await race(database, sessions.exchange)) == [False, True]


async def test_a_link_that_is_looked_at_before_it_is_taken_lets_both_in(database: Database) -> None:
    """The control: the same race, with a look that takes nothing."""

    async def looks_first(session: AsyncSession, link: str) -> keys.Pass:
        user_id = await session.scalar(select(ApiKey.user_id).where(ApiKey.digest == keys.digest(link)))
        assert user_id is not None
        await asyncio.sleep(0.2)
        await session.execute(text("DELETE FROM api_keys WHERE kind = 'link'"))
        return await sessions.begin(session, Actor(user_id=user_id))

    assert await race(database, looks_first) == [True, True]
