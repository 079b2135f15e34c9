from collections.abc import Callable
from typing import Any

import pytest

from agentsquad.schemas.members import Member, PauseNew
from agentsquad.schemas.squads import Squad, Squads
from agentsquad.schemas.tasks import Board, TaskNew
from backend.core.errors import Archived, Forbidden, LostClaim, NotFound, Paused
from backend.operations import members, squads, tasks
from backend.operations.access import MemberRef
from tests.operations.scene import Scene
from tests.operations.test_access import READS, WRITES

NOW, SOON = PauseNew(now=True), PauseNew()


async def paused(scene: Scene, name: str) -> bool:
    found = await scene.read(members.one, scene.owner, scene.squad, MemberRef(None, name))
    return Member.model_validate(found).paused_at is not None


async def claimable(scene: Scene) -> bool:
    """Whether ada's long poll would end."""
    return await scene.read(tasks.claimable, scene.ada, scene.squad) is not None


# a member


async def test_a_paused_member_gets_nothing(scene: Scene) -> None:
    await scene.create("one")
    await scene.do(members.pause, scene.owner, scene.squad, "ada", SOON)
    assert await paused(scene, "ada")
    assert await scene.claim(scene.ada) is None
    assert not await claimable(scene)
    with pytest.raises(Paused, match="ada is paused; the owner can resume it"):
        await scene.claim(scene.ada, 1)
    assert (await scene.hold(scene.tess)).task.number == 1
    assert await scene.disagreements() == []


async def test_it_finishes_what_it_holds(scene: Scene) -> None:
    await scene.create("one")
    claim = await scene.hold(scene.ada)
    await scene.do(members.pause, scene.owner, scene.squad, "ada", SOON)
    await scene.heartbeat(scene.ada, claim.claim)
    assert (await scene.complete(scene.ada, claim.claim)).status == "done"


async def test_now_ends_its_live_attempts_at_the_cost_of_no_try(scene: Scene) -> None:
    await scene.create("one", "two", TaskNew(title="three", review=""))
    await scene.complete(scene.paul, (await scene.hold(scene.paul, 3)).claim)
    mine, review = await scene.hold(scene.ada, 1), await scene.hold(scene.ada, 3)
    other = await scene.hold(scene.tess, 2)
    await scene.do(members.pause, scene.owner, scene.squad, "ada", NOW)
    found = [await scene.task(number) for number in (1, 2, 3)]
    assert [(task.status, task.holder, task.tries_left) for task in found] == [
        ("todo", None, 3),
        ("in_progress", "tess", 3),
        ("in_review", None, 3),
    ]
    assert await scene.attempts(1) == [("work", "ada", "paused")]
    for claim in (mine, review):
        with pytest.raises(LostClaim):
            await scene.heartbeat(scene.ada, claim.claim)
    await scene.complete(scene.tess, other.claim)
    assert await scene.disagreements() == []


async def test_what_was_paused_softly_can_be_ended_now(scene: Scene) -> None:
    await scene.create("one")
    await scene.hold(scene.ada)
    await scene.do(members.pause, scene.owner, scene.squad, "ada", SOON)
    await scene.do(members.pause, scene.owner, scene.squad, "ada", NOW)
    assert (await scene.task(1)).holder is None
    assert (await scene.kinds()).count("member.paused") == 1


async def test_resumed_it_goes_on(scene: Scene) -> None:
    await scene.create("one")
    await scene.do(members.pause, scene.owner, scene.squad, "ada", NOW)
    await scene.do(members.resume, scene.owner, scene.squad, "ada")
    assert not await paused(scene, "ada")
    assert await claimable(scene)
    assert (await scene.hold(scene.ada)).task.number == 1
    assert await scene.disagreements() == []


async def test_twice_is_no_second_event(scene: Scene) -> None:
    for operation, args in ((members.pause, (SOON,)), (members.resume, ())):
        call: Callable[..., Any] = operation
        await scene.do(call, scene.owner, scene.squad, "ada", *args)
        log = await scene.log()
        await scene.do(call, scene.owner, scene.squad, "ada", *args)
        assert await scene.log() == log


async def test_only_the_owner_pauses_whom_there_is(scene: Scene) -> None:
    for actor in (scene.ada, scene.paul):
        with pytest.raises(Forbidden):
            await scene.do(members.pause, actor, scene.squad, "ada", SOON)
    with pytest.raises(NotFound, match="Member not found"):
        await scene.do(members.pause, scene.owner, scene.squad, "nobody", SOON)


# a squad


async def test_in_a_paused_squad_nobody_gets_anything(scene: Scene) -> None:
    await scene.create("one", "two")
    claim = await scene.hold(scene.ada, 2)
    await scene.do(squads.pause, scene.owner, scene.squad, SOON)
    for actor in (scene.ada, scene.tess, scene.paul, scene.owner):
        assert await scene.claim(actor) is None
        with pytest.raises(Paused, match="The squad is paused; the owner can resume it"):
            await scene.claim(actor, 1)
    assert not await claimable(scene)
    assert Board.model_validate(await scene.read(tasks.board, scene.ada, scene.squad)).paused
    await scene.complete(scene.ada, claim.claim)
    await scene.create("three")
    await scene.send(scene.ada, all=True)
    assert await scene.disagreements() == []


async def test_now_ends_all_live_attempts(scene: Scene) -> None:
    await scene.create("one", "two")
    claims = [await scene.hold(actor) for actor in (scene.ada, scene.paul)]
    await scene.do(squads.pause, scene.owner, scene.squad, NOW)
    for actor, claim in zip((scene.ada, scene.paul), claims, strict=True):
        with pytest.raises(LostClaim):
            await scene.complete(actor, claim.claim)
    found = [await scene.task(number) for number in (1, 2)]
    assert [(task.status, task.tries_left) for task in found] == [("todo", 3)] * 2
    assert await scene.disagreements() == []


async def test_resumed_the_squad_goes_on(scene: Scene) -> None:
    await scene.create("one")
    await scene.do(squads.pause, scene.owner, scene.squad, SOON)
    await scene.do(squads.resume, scene.owner, scene.squad)
    log = await scene.log()
    await scene.do(squads.resume, scene.owner, scene.squad)
    assert await scene.log() == log
    assert (await scene.hold(scene.ada)).task.number == 1
    assert await scene.disagreements() == []


async def test_a_paused_member_stays_paused_as_its_squad_goes_on(scene: Scene) -> None:
    await scene.create("one")
    await scene.do(members.pause, scene.owner, scene.squad, "ada", SOON)
    await scene.do(squads.pause, scene.owner, scene.squad, SOON)
    await scene.do(squads.resume, scene.owner, scene.squad)
    assert await scene.claim(scene.ada) is None


# an archive


async def archived(scene: Scene) -> None:
    await scene.create("one", "two")
    await scene.hold(scene.ada, 1)
    await scene.do(squads.archive, scene.owner, scene.squad)


async def test_an_archived_squad_is_read_as_before(scene: Scene) -> None:
    await archived(scene)
    for query, args in READS:
        assert await scene.read(query, scene.ada, scene.squad, *args) is not None, query


async def test_but_takes_no_writes(scene: Scene) -> None:
    await archived(scene)
    log = await scene.log()
    refused = [(operation, args) for operation, args in WRITES if operation not in (squads.archive, squads.unarchive)]
    assert len(refused) == len(WRITES) - 2
    for operation, args in refused:
        for actor in (scene.owner, scene.ada):
            with pytest.raises(Archived, match="The squad is archived; its owner can unarchive it"):
                await scene.do(operation, actor, scene.squad, *args)
    assert await scene.log() == log


async def test_its_live_attempts_end_at_the_cost_of_no_try(scene: Scene) -> None:
    await archived(scene)
    task = await scene.task(1)
    assert (task.status, task.holder, task.tries_left) == ("todo", None, 3)
    assert (await scene.kinds())[-2:] == ["task.released", "squad.archived"]
    assert await scene.disagreements() == []


async def test_it_is_listed_among_the_archived(scene: Scene) -> None:
    await archived(scene)
    listed = [
        [squad.name for squad in Squads.model_validate(await scene.read(squads.page, scene.owner, "", 50, which)).items]
        for which in (False, True)
    ]
    assert listed == [[], ["webshop"]]
    assert Squad.model_validate(await scene.read(squads.get, scene.owner, scene.squad)).archived_at is not None


async def test_unarchived_it_goes_on(scene: Scene) -> None:
    await archived(scene)
    await scene.do(squads.unarchive, scene.owner, scene.squad)
    assert (await scene.hold(scene.ada)).claim == "1/2"
    assert await scene.disagreements() == []


async def test_archived_or_unarchived_twice_is_no_second_event(scene: Scene) -> None:
    await archived(scene)
    for operation in (squads.archive, squads.unarchive, squads.unarchive):
        await scene.do(operation, scene.owner, scene.squad)
    kinds = await scene.kinds()
    assert (kinds.count("squad.archived"), kinds.count("squad.unarchived")) == (1, 1)


@pytest.mark.parametrize("operation", [squads.archive, squads.unarchive])
async def test_only_its_owner_archives(scene: Scene, operation: Callable[..., Any]) -> None:
    for actor in (scene.ada, scene.paul):
        with pytest.raises(Forbidden):
            await scene.do(operation, actor, scene.squad)
