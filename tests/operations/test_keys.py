import pytest
from sqlalchemy import text

from agentsquad.schemas.users import Keys
from backend.core.errors import Forbidden, NotFound
from backend.models.base import new_id
from backend.operations import keys
from backend.operations.access import Actor
from tests.operations.scene import Scene, account


async def stands_for(scene: Scene, secret: str) -> Actor | None:
    digest = keys.digest(secret)
    assert digest is not None
    row = await scene.read(keys.user_of, digest)
    return None if row is None else Actor(user_id=row["user_id"], is_admin=row["is_admin"])


async def test_a_key_stands_for_its_account(scene: Scene) -> None:
    _, secret = await scene.do(keys.create, scene.paul, None, "laptop")
    assert secret.startswith("sqd_")
    assert await stands_for(scene, secret) == scene.paul


async def test_only_its_digest_is_stored(scene: Scene) -> None:
    _, secret = await scene.do(keys.create, scene.paul, None, "laptop")
    row = await scene.db.scalar(text("SELECT api_keys::text FROM api_keys"))
    assert secret[4:20] not in row
    assert "laptop" in row


async def test_a_revoked_key_is_dead(scene: Scene) -> None:
    key_id, secret = await scene.do(keys.create, scene.paul, None, "laptop")
    await scene.do(keys.revoke, scene.paul, str(key_id))
    assert await stands_for(scene, secret) is None


async def test_revoking_twice_changes_nothing(scene: Scene) -> None:
    key_id, _ = await scene.do(keys.create, scene.paul, None, "laptop")
    await scene.do(keys.revoke, scene.paul, str(key_id))
    first = await scene.read(keys.mine, scene.paul)
    await scene.do(keys.revoke, scene.paul, str(key_id))
    assert await scene.read(keys.mine, scene.paul) == first


@pytest.mark.parametrize("named", ["theirs", "unknown", "nonsense"])
async def test_one_revokes_ones_own_only(scene: Scene, named: str) -> None:
    key_id, secret = await scene.do(keys.create, scene.paul, None, "laptop")
    given = {"theirs": str(key_id), "unknown": str(new_id()), "nonsense": "no id"}[named]
    with pytest.raises(NotFound):
        await scene.do(keys.revoke, scene.owner, given)
    assert await stands_for(scene, secret) is not None


async def test_a_token_gets_no_keys(scene: Scene) -> None:
    with pytest.raises(Forbidden):
        await scene.do(keys.create, scene.ada, None, "")


async def test_an_administrator_makes_them_for_anybody(scene: Scene) -> None:
    admin = await account(scene.db, "admin@example.com", is_admin=True)
    _, secret = await scene.do(keys.create, admin, str(scene.paul.user_id), "first")
    assert await stands_for(scene, secret) == scene.paul


async def test_nobody_else_does(scene: Scene) -> None:
    for user_id in (str(scene.paul.user_id), str(new_id()), "nonsense"):
        with pytest.raises(NotFound):
            await scene.do(keys.create, scene.owner, user_id, "")


async def test_the_key_of_an_inactive_account_is_dead(scene: Scene) -> None:
    _, secret = await scene.do(keys.create, scene.paul, None, "")
    await scene.db.execute(text("UPDATE users SET is_active = false WHERE id = :id"), {"id": scene.paul.user_id})
    assert await stands_for(scene, secret) is None


async def test_the_list_is_ones_own_and_holds_no_secret(scene: Scene) -> None:
    _, secret = await scene.do(keys.create, scene.paul, None, "laptop")
    row = await scene.read(keys.mine, scene.paul)
    assert [key.name for key in Keys.model_validate(row).items] == ["laptop"]
    assert secret not in str(row)
    assert await scene.read(keys.mine, scene.owner) == {"items": []}


@pytest.mark.parametrize("prefix", [keys.USER, keys.MEMBER])
def test_a_mistyped_one_is_known_without_asking(prefix: str) -> None:
    secret = keys.new_secret(prefix)
    assert keys.digest(secret) is not None
    for wrong in (secret[:-1], secret[:10] + "~" + secret[11:], secret + "x", "", "é" * 60):
        assert keys.digest(wrong) is None


def test_no_two_are_alike() -> None:
    assert len({keys.new_secret(keys.USER) for _ in range(1000)}) == 1000
