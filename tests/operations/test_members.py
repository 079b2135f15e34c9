import pytest
from sqlalchemy import text

from agentsquad.schemas.members import Member, MemberEdit, MemberNew, Members, Tokens
from agentsquad.schemas.tasks import TaskNew
from backend.core.errors import AlreadyExists, Forbidden, Invalid, LostClaim, NotFound
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
        "user": None, "hosting": None,
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


async def one(scene: Scene, name: str) -> Member:
    return Member.model_validate(await scene.read(members.one, scene.owner, scene.squad, MemberRef(None, name)))


async def test_what_is_given_of_a_member_changes_and_nothing_else(scene: Scene) -> None:
    before = await one(scene, "ada")
    await scene.do(members.update, scene.owner, scene.squad, "ada", MemberEdit(role="writer", instructions="Be brief."))
    changed = {"role": "writer", "instructions": "Be brief."}
    assert (await one(scene, "ada")).model_dump() == before.model_dump() | changed
    event = (await scene.log())[-1]
    assert event["kind"] == "member.updated"
    assert (event["data"] | {"id": ""}).items() >= ({"member": "ada", "before": "ada"} | changed).items()
    assert await scene.disagreements() == []


async def test_a_new_role_opens_its_tasks_and_closes_the_others(scene: Scene) -> None:
    await scene.create(TaskNew(title="a", role="backend"), TaskNew(title="b", role="writer"))
    await scene.do(members.update, scene.owner, scene.squad, "ada", MemberEdit(role="writer"))
    assert [claim.task.number for claim in await scene.claims(scene.ada, limit=5)] == [2]


async def test_a_renamed_member_keeps_what_it_holds_and_what_is_its_own(scene: Scene) -> None:
    await scene.create(TaskNew(title="one", assignee="ada"), TaskNew(title="two", assignee="ada"), by=scene.ada)
    claim = await scene.hold(scene.ada, 1)
    await scene.send(scene.tess, to="ada")
    await scene.do(members.update, scene.owner, scene.squad, "ada", MemberEdit(name="adele"))
    task, other = await scene.task(1), await scene.task(2)
    assert (task.holder, task.assignee, task.created_by, other.assignee) == ("adele", "adele", "adele", "adele")
    assert (await scene.inbox(scene.ada)).unread == 1
    await scene.complete(scene.ada, claim.claim)
    assert await scene.attempts(1) == [("work", "adele", "completed")]
    assert await scene.disagreements() == []


async def test_the_old_name_is_free_then(scene: Scene) -> None:
    await scene.do(members.update, scene.owner, scene.squad, "ada", MemberEdit(name="adele"))
    await scene.do(members.add, scene.owner, scene.squad, MemberNew(name="ada"))
    assert (await one(scene, "ada")).id != scene.ada.member_id


@pytest.mark.parametrize(("name", "error"), [("tess", AlreadyExists), ("owner", AlreadyExists), ("me", Invalid)])
async def test_no_name_that_is_taken_or_means_something_else(scene: Scene, name: str, error: type[Exception]) -> None:
    before = await scene.tables()
    with pytest.raises(error):
        await scene.do(members.update, scene.owner, scene.squad, "ada", MemberEdit(name=name))
    with pytest.raises(error):
        await scene.do(members.add, scene.owner, scene.squad, MemberNew(name=name))
    assert await scene.tables() == before


async def test_of_a_member_nothing_given_is_no_event(scene: Scene) -> None:
    log = await scene.log()
    await scene.do(members.update, scene.owner, scene.squad, "ada", MemberEdit())
    assert await scene.log() == log


async def test_a_retired_members_attempts_end_and_its_tasks_are_anybodys(scene: Scene) -> None:
    await scene.create(TaskNew(title="one", role="tester"), TaskNew(title="two", assignee="tess"), "three")
    claim = await scene.hold(scene.tess, 1)
    await scene.complete(scene.tess, (await scene.hold(scene.tess, 3)).claim)
    await scene.do(members.retire, scene.owner, scene.squad, "tess")
    found = [await scene.task(number) for number in (1, 2, 3)]
    assert [(task.status, task.holder, task.assignee, task.tries_left) for task in found] == [
        ("todo", None, None, 3), ("todo", None, None, 3), ("done", None, None, 3),
    ]  # fmt: skip
    with pytest.raises(NotFound, match="Squad not found"):
        await scene.complete(scene.tess, claim.claim)
    with pytest.raises(LostClaim):
        await scene.complete(scene.ada, claim.claim)
    assert (await scene.kinds())[-3:] == ["task.released", "task.updated", "member.retired"]
    assert (await scene.hold(scene.ada)).task.number == 2
    assert await scene.disagreements() == []


async def test_a_retired_members_name_stays_its_own(scene: Scene) -> None:
    await scene.do(members.retire, scene.owner, scene.squad, "ada")
    with pytest.raises(AlreadyExists):
        await scene.do(members.add, scene.owner, scene.squad, MemberNew(name="ada"))


async def test_nobody_retires_twice_nor_does_the_owner(scene: Scene) -> None:
    await scene.do(members.retire, scene.owner, scene.squad, "ada")
    log = await scene.log()
    with pytest.raises(NotFound):
        await scene.do(members.retire, scene.owner, scene.squad, "ada")
    with pytest.raises(Forbidden, match="archive the squad instead"):
        await scene.do(members.retire, scene.owner, scene.squad, "owner")
    assert await scene.log() == log


async def test_tokens_are_listed_newest_first_without_their_secrets(scene: Scene) -> None:
    made = [await scene.do(members.create_token, scene.owner, scene.squad, "ada", name) for name in ("a", "b")]
    await scene.do(members.create_token, scene.owner, scene.squad, "tess", "c")
    await scene.do(members.revoke_token, scene.owner, scene.squad, "ada", str(made[0].id))
    listed = await scene.read(members.tokens, scene.paul, scene.squad, MemberRef(None, "ada"))
    tokens = Tokens.model_validate(listed).items
    assert {token.name: token.revoked_at is None for token in tokens} == {"a": False, "b": True}
    assert not any(secret.secret in str(listed) for secret in made)
    assert await scene.disagreements() == []
