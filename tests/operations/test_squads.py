from uuid import UUID

import pytest
from sqlalchemy import text

from agentsquad.schemas.squads import Squad, SquadEdit, SquadNew, Squads
from backend.core.errors import AlreadyExists, Forbidden, NotFound
from backend.operations import squads
from backend.operations.access import Actor, SquadRef
from tests.operations.scene import Scene, account


async def names(scene: Scene, actor: Actor, cursor: str = "", limit: int = 50) -> tuple[list[str], str | None]:
    page = Squads.model_validate(await scene.read(squads.page, actor, cursor, limit))
    return [squad.name for squad in page.items], page.next


async def test_its_maker_owns_it_and_is_its_first_member(scene: Scene) -> None:
    made = await scene.do(squads.create, scene.eve, SquadNew(name="garden", lease_seconds=5, max_tries=2))
    squad = Squad.model_validate(await scene.read(squads.get, scene.eve, SquadRef(made, None)))
    assert (squad.id, squad.name, squad.lease_seconds, squad.max_tries) == (made, "garden", 5, 2)
    assert (squad.owner.id, squad.owner.email) == (scene.eve.user_id, "eve@example.com")
    assert [(member.name, member.kind, member.user) for member in squad.members] == [
        ("owner", "person", scene.eve.user_id)
    ]


async def test_the_log_begins_with_it(scene: Scene) -> None:
    log = await scene.log()
    assert [event["kind"] for event in log[:2]] == ["squad.created", "member.added"]
    assert log[0]["data"] == {
        "id": str(scene.squad.id),
        "owner": str(scene.owner.user_id),
        "name": "webshop",
        "lease_seconds": 60,
        "max_tries": 3,
    }
    assert log[0]["actor"] == {"member": "owner", "user": "owner@example.com"}
    assert log[1]["data"]["name"] == "owner"


async def test_one_has_a_name_once_and_others_may_have_it_too(scene: Scene) -> None:
    with pytest.raises(AlreadyExists):
        await scene.do(squads.create, scene.owner, SquadNew(name="webshop"))
    await scene.do(squads.create, scene.eve, SquadNew(name="webshop"))


async def test_a_token_makes_none(scene: Scene) -> None:
    with pytest.raises(Forbidden):
        await scene.do(squads.create, scene.ada, SquadNew(name="another"))


async def test_found_by_id_and_by_name(scene: Scene) -> None:
    by_id, by_name = SquadRef.parse(str(scene.squad.id)), SquadRef.parse("webshop")
    for actor in (scene.owner, scene.paul, scene.ada):
        found = await scene.read(squads.get, actor, by_id)
        assert found is not None
        assert found == await scene.read(squads.get, actor, by_name)


@pytest.mark.parametrize("named", ["webshop", "nonsense", str(UUID(int=7))])
async def test_one_that_is_not_there_and_one_that_is_not_ones_own_look_the_same(scene: Scene, named: str) -> None:
    assert await scene.read(squads.get, scene.eve, SquadRef.parse(named)) is None


async def test_among_namesakes_ones_own_comes_first(scene: Scene) -> None:
    mine = await scene.do(squads.create, scene.paul, SquadNew(name="webshop"))
    for actor, squad_id in ((scene.paul, mine), (scene.owner, scene.squad.id), (scene.ada, scene.squad.id)):
        found = Squad.model_validate(await scene.read(squads.get, actor, SquadRef.parse("webshop")))
        assert found.id == squad_id


async def test_pages_go_on_where_the_last_one_ended(scene: Scene) -> None:
    for name in ("c", "a", "b"):
        await scene.do(squads.create, scene.owner, SquadNew(name=name))
    first, cursor = await names(scene, scene.owner, "", 2)
    assert cursor is not None
    second, cursor = await names(scene, scene.owner, cursor, 2)
    assert (first, second) == (["a", "b"], ["c", "webshop"])
    assert cursor is not None
    assert await names(scene, scene.owner, cursor, 2) == ([], None)


async def test_the_list_holds_ones_own_squads_only(scene: Scene) -> None:
    await scene.do(squads.create, scene.eve, SquadNew(name="garden"))
    assert await names(scene, scene.paul) == (["webshop"], None)
    assert await names(scene, scene.ada) == (["webshop"], None)
    assert await names(scene, scene.eve) == (["garden"], None)
    admin = await account(scene.db, "admin@example.com", is_admin=True)
    assert await names(scene, admin) == ([], None)


async def test_an_archived_one_is_listed_no_more(scene: Scene) -> None:
    await scene.db.execute(text("UPDATE squads SET archived_at = now()"))
    assert await names(scene, scene.owner) == ([], None)


async def test_a_retired_member_is_shown_no_more(scene: Scene) -> None:
    await scene.db.execute(text("UPDATE members SET retired_at = now() WHERE name = 'tess'"))
    squad = Squad.model_validate(await scene.read(squads.get, scene.owner, scene.squad))
    assert [member.name for member in squad.members] == ["ada", "owner", "paul"]


async def got(scene: Scene) -> Squad:
    return Squad.model_validate(await scene.read(squads.get, scene.owner, scene.squad))


async def test_what_is_given_of_a_squad_changes_and_nothing_else(scene: Scene) -> None:
    before = await got(scene)
    await scene.do(squads.update, scene.owner, scene.squad, SquadEdit(name="shop", max_tries=7))
    changed = {"name": "shop", "max_tries": 7}
    after = await got(scene)
    assert after.model_dump(exclude={"updated_at", "members"}) == (
        before.model_dump(exclude={"updated_at", "members"}) | changed
    )
    event = (await scene.log())[-1]
    assert (event["kind"], event["data"]) == ("squad.updated", changed)
    assert await scene.disagreements() == []


async def test_under_its_old_name_it_is_not_found_any_more(scene: Scene) -> None:
    await scene.do(squads.update, scene.owner, scene.squad, SquadEdit(name="shop"))
    assert await scene.read(squads.get, scene.ada, SquadRef.parse("webshop")) is None
    assert await scene.read(squads.get, scene.ada, SquadRef.parse("shop")) is not None
    with pytest.raises(NotFound):
        await scene.do(squads.update, scene.owner, SquadRef.parse("webshop"), SquadEdit(name="x"))


async def test_ones_own_names_are_taken_and_those_of_others_are_not(scene: Scene) -> None:
    await scene.do(squads.create, scene.owner, SquadNew(name="garden"))
    await scene.do(squads.create, scene.eve, SquadNew(name="forest"))
    with pytest.raises(AlreadyExists, match="You have a squad garden already"):
        await scene.do(squads.update, scene.owner, scene.squad, SquadEdit(name="garden"))
    await scene.do(squads.update, scene.owner, scene.squad, SquadEdit(name="forest"))
    assert (await got(scene)).name == "forest"


async def test_new_leases_and_tries_are_for_what_comes(scene: Scene) -> None:
    (old,) = await scene.create("one")
    claim = await scene.hold(scene.ada)
    await scene.do(squads.update, scene.owner, scene.squad, SquadEdit(lease_seconds=5, max_tries=1))
    assert (await scene.task(1)).lease_ends_at == claim.task.lease_ends_at
    (new,) = await scene.create("two")
    assert (old.tries_left, (await scene.task(1)).tries_left, new.tries_left) == (3, 3, 1)
    assert (await scene.hold(scene.tess)).lease_seconds == 5


async def test_of_a_squad_nothing_given_is_no_event(scene: Scene) -> None:
    log = await scene.log()
    await scene.do(squads.update, scene.owner, scene.squad, SquadEdit())
    assert await scene.log() == log
