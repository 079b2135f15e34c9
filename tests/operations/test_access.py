from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text

from agentsquad.schemas.members import MemberEdit, MemberNew, PauseNew
from agentsquad.schemas.messages import AcknowledgeNew, MessageNew, ReadNew
from agentsquad.schemas.squads import SquadEdit, SquadNew
from agentsquad.schemas.tasks import (
    AcceptNew,
    AnswerNew,
    AskNew,
    BlockNew,
    CancelNew,
    CompleteNew,
    FailNew,
    HandoffNew,
    HeartbeatNew,
    HeartbeatsNew,
    RejectNew,
    ReleaseNew,
    TaskEdit,
    TaskNew,
    TokenOfAttemptNew,
    WaitNew,
)
from backend.core.errors import Forbidden, NotFound
from backend.models.base import new_id
from backend.operations import events, members, messages, squads, tasks
from backend.operations.access import Actor, MemberRef, SquadRef
from backend.operations.tasks import Wanted
from tests.operations.scene import Scene, account

READS: list[tuple[Callable[..., Any], tuple[object, ...]]] = [
    (squads.get, ()),
    (members.page, ("", 50)),
    (members.one, (MemberRef(None, "ada"),)),
    (members.tokens, (MemberRef(None, "ada"),)),
    (members.me, ()),
    (messages.page(), (0, 50)),
    (messages.inbox(), (MemberRef(None, "ada"), 0, 50)),
    (tasks.why, (1,)),
    (tasks.attempts, (1,)),
    (events.told(), (0, 50)),
    (events.last, ()),
    (tasks.get, (1,)),
    (tasks.page(), (Wanted(), 0, 50)),
    (tasks.board, ()),
    (events.after(), (0, 50)),
]
WRITES: list[tuple[Callable[..., Any], tuple[object, ...]]] = [
    (members.add, (MemberNew(name="new"),)),
    (members.create_token, ("ada", "")),
    (members.revoke_token, ("ada", str(new_id()))),
    (tasks.create, ([TaskNew(title="x")],)),
    (tasks.claim, ()),
    (tasks.claim, (1,)),
    (tasks.heartbeat, (1, HeartbeatNew(claim="1/1"))),
    (tasks.create_token, (1, TokenOfAttemptNew(claim="1/1"))),
    (tasks.complete, (1, CompleteNew(claim="1/1"))),
    (tasks.fail, (1, FailNew(claim="1/1", reason="no"))),
    (tasks.heartbeat_all, (HeartbeatsNew(claims=["1/1"]),)),
    (tasks.release, (1, ReleaseNew(claim="1/1"))),
    (tasks.handoff, (1, HandoffNew(claim="1/1", to="ada", note="yours"))),
    (tasks.wait_for_children, (1, WaitNew(claim="1/1"))),
    (tasks.accept, (1, AcceptNew(claim="1/1"))),
    (tasks.reject, (1, RejectNew(claim="1/1", note="no"))),
    (tasks.ask, (1, AskNew(claim="1/1", question="why?"))),
    (tasks.answer, (1, AnswerNew(answer="because"))),
    (tasks.update, (1, TaskEdit(title="y"))),
    (tasks.add_dependency, (1, 2)),
    (tasks.remove_dependency, (1, 2)),
    (tasks.cancel, (1, CancelNew())),
    (tasks.retry, (1,)),
    (tasks.block, (1, BlockNew(reason="no"))),
    (tasks.resume, (1,)),
    (members.update, ("ada", MemberEdit(name="x"))),
    (members.pause, ("ada", PauseNew())),
    (members.resume, ("ada",)),
    (members.retire, ("ada",)),
    (squads.update, (SquadEdit(name="x"),)),
    (squads.pause, (PauseNew(),)),
    (squads.resume, ()),
    (squads.archive, ()),
    (squads.unarchive, ()),
    (messages.send, (MessageNew(all=True, body="x"),)),
    (messages.mark_read, ("me", ReadNew(up_to=1))),
    (messages.acknowledge, ("me", AcknowledgeNew(messages=[1]))),
]


async def asked(scene: Scene, query: Callable[..., Any], actor: Actor, args: tuple[object, ...]) -> Any:
    return await scene.read(query, actor, scene.squad, *args)


async def strangers(scene: Scene) -> list[Actor]:
    """Everybody who is no part of the squad: another account, an administrator, another squad's token, one retired."""
    garden = SquadRef(await squads.create(scene.db, scene.eve, SquadNew(name="garden")), None)
    foreign = await members.add(scene.db, scene.eve, garden, MemberNew(name="ada"))
    await scene.db.execute(text("UPDATE members SET retired_at = now() WHERE name = 'tess'"))
    return [
        scene.eve,
        await account(scene.db, "admin@example.com", is_admin=True),
        Actor(member_id=foreign, squad_id=garden.id),
        Actor(member_id=foreign, squad_id=scene.squad.id),
        Actor(member_id=scene.ada.member_id, squad_id=garden.id),
        replace(scene.eve, acts_as="ada"),
        scene.tess,
    ]


async def test_a_squad_that_one_is_no_part_of_is_not_there(scene: Scene) -> None:
    await scene.create("one")
    log = await scene.log()
    for actor in await strangers(scene):
        for query, args in READS:
            assert await asked(scene, query, actor, args) is None, (actor, query)
        for operation, args in WRITES:
            with pytest.raises(NotFound) as caught:
                await scene.do(operation, actor, scene.squad, *args)
            assert caught.value.detail == "Squad not found"
    assert await scene.log() == log


async def test_its_members_read_all_of_it(scene: Scene) -> None:
    await scene.create("one")
    for actor in (scene.owner, scene.paul, scene.ada, scene.tess):
        for query, args in READS:
            assert await asked(scene, query, actor, args) is not None, (actor, query)


@pytest.mark.parametrize(("query", "args"), READS)
def test_the_condition_is_in_every_statement(query: Callable[..., Any], args: tuple[object, ...]) -> None:
    actor = Actor(user_id=new_id(), member_id=new_id(), squad_id=new_id())
    sql = str(query(actor, SquadRef(None, "webshop"), *args))
    assert "members.retired_at IS NULL" in sql
    assert "members.user_id =" in sql


async def test_the_owner_acts_as_an_external_member(scene: Scene) -> None:
    await scene.create(TaskNew(title="for backend", role="backend"))
    claim = await scene.hold(replace(scene.owner, acts_as="ada"))
    assert claim.task.holder == "ada"
    assert claim.task.lease_ends_at is not None
    assert (await scene.log())[-1]["actor"] == {"member": "ada", "user": "owner@example.com"}
    await scene.complete(scene.ada, claim.claim)
    assert (await scene.log())[-1]["actor"] == {"member": "ada", "user": None}


async def test_nobody_else_does(scene: Scene) -> None:
    await scene.create("one")
    for actor in (scene.paul, scene.tess):
        with pytest.raises(Forbidden):
            await scene.claim(replace(actor, acts_as="ada"))


async def test_one_may_name_oneself(scene: Scene) -> None:
    await scene.create("one")
    assert (await scene.hold(replace(scene.ada, acts_as="ada"))).task.holder == "ada"


async def test_nobody_acts_as_a_person_or_a_hosted_member(scene: Scene) -> None:
    await scene.db.execute(text("UPDATE members SET kind = 'hosted' WHERE name = 'tess'"))
    for name in ("paul", "tess"):
        with pytest.raises(Forbidden):
            await scene.claim(replace(scene.owner, acts_as=name))


async def test_nobody_acts_as_one_who_is_not_there(scene: Scene) -> None:
    await scene.db.execute(text("UPDATE members SET retired_at = now() WHERE name = 'tess'"))
    for name in ("nobody", "tess"):
        with pytest.raises(NotFound, match="Member not found"):
            await scene.claim(replace(scene.owner, acts_as=name))


async def test_acting_as_a_member_does_not_lend_its_claims_to_the_owner(scene: Scene) -> None:
    await scene.create("one")
    claim = await scene.hold(scene.ada)
    with pytest.raises(Exception, match="held by ada"):
        await scene.complete(scene.owner, claim.claim)
    await scene.complete(replace(scene.owner, acts_as="ada"), claim.claim)


def test_a_squad_is_named_by_id_or_name() -> None:
    squad_id = new_id()
    assert SquadRef.parse(str(squad_id)) == SquadRef(squad_id, None)
    assert SquadRef.parse("webshop") == SquadRef(None, "webshop")
