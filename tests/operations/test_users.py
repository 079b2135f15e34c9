import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from agentsquad.schemas.users import User, UserNew, Users
from backend.core.database import Database
from backend.core.errors import AlreadyExists, Forbidden
from backend.operations import keys, users
from backend.operations.access import Actor
from tests.operations.scene import Scene, account


async def test_the_first_start_makes_the_administrator_and_keeps_its_key(async_db: AsyncSession) -> None:
    kept: list[str] = []
    await users.first(async_db, kept.append)
    digest = keys.digest(kept[0])
    assert digest is not None
    found = (await async_db.execute(keys.user_of(digest))).mappings().one()
    me = (await async_db.execute(users.me(Actor(user_id=found["user_id"])))).mappings().one()
    assert (me["email"], me["is_admin"]) == ("owner@localhost", True)


async def test_a_later_start_makes_nobody(async_db: AsyncSession) -> None:
    kept: list[str] = []
    await users.first(async_db, kept.append)
    await users.first(async_db, kept.append)
    assert len(kept) == 1


async def test_a_database_with_accounts_gets_no_administrator(scene: Scene) -> None:
    kept: list[str] = []
    await scene.do(users.first, kept.append)
    assert kept == []


async def test_a_later_start_waits_for_no_import(database: Database) -> None:
    kept: list[str] = []
    await database.transact(users.first, kept.append)
    async with database.AsyncSessionLocal() as importing:
        await importing.execute(text("LOCK TABLE users IN ROW EXCLUSIVE MODE"))
        await database.transact(users.first, kept.append)
    assert len(kept) == 1


async def test_an_administrator_makes_accounts(scene: Scene) -> None:
    admin = await account(scene.db, "admin@example.com", is_admin=True)
    made = await scene.do(users.create, admin, UserNew(email="new@example.com", name="New"))
    row = await scene.read(users.get, admin, str(made.id))
    user = User.model_validate(row)
    assert (user.email, user.name, user.is_active, user.is_admin) == ("new@example.com", "New", True, False)


async def test_nobody_else_does(scene: Scene) -> None:
    for actor in (scene.owner, scene.ada):
        with pytest.raises(Forbidden):
            await scene.do(users.create, actor, UserNew(email="new@example.com"))


async def test_an_address_has_one_account_however_it_is_written(scene: Scene) -> None:
    admin = await account(scene.db, "admin@example.com", is_admin=True)
    with pytest.raises(AlreadyExists):
        await scene.do(users.create, admin, UserNew(email="PAUL@Example.com"))


async def test_one_sees_oneself_and_the_people_of_ones_squads(scene: Scene) -> None:
    paul, eve = str(scene.paul.user_id), str(scene.eve.user_id)
    for actor in (scene.paul, scene.owner, scene.ada):
        assert User.model_validate(await scene.read(users.get, actor, paul)).email == "paul@example.com"
        assert await scene.read(users.get, actor, eve) is None
    assert await scene.read(users.get, scene.eve, eve) is not None
    assert await scene.read(users.get, scene.eve, paul) is None


async def test_an_administrator_sees_everybody(scene: Scene) -> None:
    admin = await account(scene.db, "admin@example.com", is_admin=True)
    assert await scene.read(users.get, admin, str(scene.eve.user_id)) is not None
    listed = Users.model_validate(await scene.read(users.page, admin, "", 50)).items
    assert [user.email for user in listed] == [f"{name}@example.com" for name in ("admin", "eve", "owner", "paul")]


async def test_others_list_themselves_and_tokens_nobody(scene: Scene) -> None:
    listed = Users.model_validate(await scene.read(users.page, scene.paul, "", 50)).items
    assert [user.email for user in listed] == ["paul@example.com"]
    assert await scene.read(users.page, scene.ada, "", 50) == {"items": [], "next": None}


async def test_a_token_has_no_account(scene: Scene) -> None:
    assert User.model_validate(await scene.read(users.me, scene.paul)).email == "paul@example.com"
    assert await scene.read(users.me, scene.ada) is None


async def test_what_is_no_id_is_nobodys(scene: Scene) -> None:
    admin = await account(scene.db, "admin@example.com", is_admin=True)
    assert await scene.read(users.get, admin, "nonsense") is None
