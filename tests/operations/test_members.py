import pytest
from sqlalchemy import text

from agentsquad.schemas.members import Member, MemberNew, Members
from backend.core.errors import AlreadyExists, Forbidden, Invalid, NotFound
from backend.models.base import new_id
from backend.operations import keys, members
from backend.operations.access import Actor, MemberRef
from tests.operations.scene import Scene


async def stands_for(scene: Scene, secret: str) -> Actor | None:
    digest = keys.digest(secret)
    assert digest is not None
    row = await scene.read(keys.member_of, digest)
    return None if row is None else Actor(member_id=row["member_id"], squad_id=row["squad_id"])


async def test_the_owner_adds_one(scene: Scene) -> None:
    new = MemberNew(name="kim", role="writer", instructions="Be brief.")
    member_id = await scene.do(members.add, scene.owner, scene.squad, new)
    kim = Member.model_validate(await scene.read(members.one, scene.owner, scene.squad, MemberRef(member_id, None)))
    assert (kim.name, kim.kind, kim.role, kim.instructions) == ("kim", "external", "writer", "Be brief.")
    assert (kim.user, kim.last_seen_at, kim.retired_at) == (None, None, None)
    event = (await scene.log())[-1]
    assert event["kind"] == "member.added"
    assert event["data"] == {
        "id": str(member_id), "name": "kim", "kind": "external", "role": "writer", "instructions": "Be brief.",
        "user": None,
    }  # fmt: skip


async def test_a_person_is_an_account_that_exists(scene: Scene) -> None:
    new = MemberNew(name="eve", kind="person", user="EVE@example.com")
    member_id = await scene.do(members.add, scene.owner, scene.squad, new)
    eve = Member.model_validate(await scene.read(members.one, scene.eve, scene.squad, MemberRef(member_id, None)))
    assert eve.user == scene.eve.user_id


@pytest.mark.parametrize(
    ("new", "error"),
    [
        (MemberNew(name="ada"), AlreadyExists),
        (MemberNew(name="paul2", kind="person", user="paul@example.com"), AlreadyExists),
        (MemberNew(name="new", kind="person"), Invalid),
        (MemberNew(name="new", user="eve@example.com"), Invalid),
        (MemberNew(name="new", kind="person", user="nobody@example.com"), Invalid),
    ],
)
async def test_what_is_refused_leaves_no_trace(scene: Scene, new: MemberNew, error: type[Exception]) -> None:
    before = await scene.log()
    with pytest.raises(error):
        await scene.do(members.add, scene.owner, scene.squad, new)
    assert await scene.log() == before


async def test_only_the_owner_manages_members(scene: Scene) -> None:
    token_id, _ = await scene.do(members.create_token, scene.owner, scene.squad, "ada", "")
    for actor, error in ((scene.ada, Forbidden), (scene.paul, Forbidden), (scene.eve, NotFound)):
        with pytest.raises(error):
            await scene.do(members.add, actor, scene.squad, MemberNew(name="new"))
        with pytest.raises(error):
            await scene.do(members.create_token, actor, scene.squad, "ada", "")
        with pytest.raises(error):
            await scene.do(members.revoke_token, actor, scene.squad, "ada", str(token_id))


async def test_the_list_is_by_name_with_the_retired(scene: Scene) -> None:
    await scene.db.execute(text("UPDATE members SET retired_at = now() WHERE name = 'tess'"))
    page = Members.model_validate(await scene.read(members.page, scene.ada, scene.squad, "", 50))
    assert [member.name for member in page.items] == ["ada", "owner", "paul", "tess"]
    assert await scene.read(members.page, scene.eve, scene.squad, "", 50) is None


async def test_a_token_stands_for_its_member(scene: Scene) -> None:
    token_id, secret = await scene.do(members.create_token, scene.owner, scene.squad, "ada", "laptop")
    assert secret.startswith("sqm_")
    assert await stands_for(scene, secret) == scene.ada
    event = (await scene.log())[-1]
    assert event["kind"] == "member.token_created"
    assert event["data"] == {
        "id": str(scene.ada.member_id),
        "member": "ada",
        "token": str(token_id),
        "label": "laptop",
    }
    assert secret not in str(await scene.log())


async def test_the_member_is_named_by_id_too(scene: Scene) -> None:
    _, secret = await scene.do(members.create_token, scene.owner, scene.squad, str(scene.ada.member_id), "")
    assert await stands_for(scene, secret) == scene.ada


async def test_a_revoked_token_is_dead(scene: Scene) -> None:
    token_id, secret = await scene.do(members.create_token, scene.owner, scene.squad, "ada", "")
    _, other = await scene.do(members.create_token, scene.owner, scene.squad, "ada", "")
    await scene.do(members.revoke_token, scene.owner, scene.squad, "ada", str(token_id))
    assert await stands_for(scene, secret) is None
    assert await stands_for(scene, other) == scene.ada
    assert (await scene.kinds())[-1] == "member.token_revoked"


async def test_revoking_twice_changes_nothing(scene: Scene) -> None:
    token_id, _ = await scene.do(members.create_token, scene.owner, scene.squad, "ada", "")
    await scene.do(members.revoke_token, scene.owner, scene.squad, "ada", str(token_id))
    log = await scene.log()
    await scene.do(members.revoke_token, scene.owner, scene.squad, "ada", str(token_id))
    assert await scene.log() == log


async def test_the_token_of_a_retired_member_is_dead(scene: Scene) -> None:
    _, secret = await scene.do(members.create_token, scene.owner, scene.squad, "ada", "")
    await scene.db.execute(text("UPDATE members SET retired_at = now() WHERE name = 'ada'"))
    assert await stands_for(scene, secret) is None


async def test_a_person_gets_no_token(scene: Scene) -> None:
    with pytest.raises(Forbidden):
        await scene.do(members.create_token, scene.owner, scene.squad, "paul", "")


async def test_an_unknown_member_or_token_is_not_found(scene: Scene) -> None:
    token_id, secret = await scene.do(members.create_token, scene.owner, scene.squad, "ada", "")
    for member in ("nobody", str(new_id())):
        with pytest.raises(NotFound):
            await scene.do(members.create_token, scene.owner, scene.squad, member, "")
    for member, token in (("tess", str(token_id)), ("ada", str(new_id())), ("ada", "nonsense")):
        with pytest.raises(NotFound):
            await scene.do(members.revoke_token, scene.owner, scene.squad, member, token)
    assert await stands_for(scene, secret) is not None
