import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from agentsquad.schemas.budgets import BudgetNew
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
from backend.core.errors import Forbidden, LostClaim, NotFound, SquadError
from backend.operations import budgets, members, messages, squads, steps, tasks
from backend.operations.access import Actor
from backend.operations.steps import Outcome, StepNew
from tests.operations.scene import Scene, account

# Who may do what: "yes", or what they are refused with ("-" is forbidden, "lost" is a lost claim, "404" is a squad
# that isn't there). `creator` has made the tasks, `holder` holds them, `other` is a member like them, `person` is one
# with a key of its own, who is asked the question; `as_…` is the owner who acts as one of them.
TABLE = """
                            owner creator holder other person stranger admin as_creator as_holder as_person
tasks.create                yes   yes     yes    yes   yes    404      404   yes        yes       -
tasks.claim                 yes   yes     yes    yes   yes    404      404   yes        yes       -
tasks.heartbeat             lost  lost    yes    lost  lost   404      404   lost       yes       -
tasks.create_token          lost  lost    yes    lost  lost   404      404   lost       yes       -
tasks.heartbeat_all         yes   yes     yes    yes   yes    404      404   yes        yes       -
tasks.create_token          lost  lost    yes    lost  lost   404      404   lost       yes       -
tasks.complete              lost  lost    yes    lost  lost   404      404   lost       yes       -
tasks.fail                  lost  lost    yes    lost  lost   404      404   lost       yes       -
tasks.release               lost  lost    yes    lost  lost   404      404   lost       yes       -
tasks.handoff               lost  lost    yes    lost  lost   404      404   lost       yes       -
tasks.wait_for_children     lost  lost    yes    lost  lost   404      404   lost       yes       -
tasks.ask                   lost  lost    yes    lost  lost   404      404   lost       yes       -
tasks.accept                lost  lost    yes    lost  lost   404      404   lost       yes       -
tasks.reject                lost  lost    yes    lost  lost   404      404   lost       yes       -
tasks.answer                -     -       -      -     yes    404      404   -          -         -
tasks.update                yes   yes     -      -     -      404      404   yes        -         -
tasks.add_dependency        yes   yes     -      -     -      404      404   yes        -         -
tasks.remove_dependency     yes   yes     -      -     -      404      404   yes        -         -
tasks.cancel                yes   yes     -      -     -      404      404   yes        -         -
tasks.retry                 yes   yes     -      -     -      404      404   yes        -         -
tasks.block                 yes   -       -      -     -      404      404   -          -         -
tasks.resume                yes   -       -      -     -      404      404   -          -         -
tasks.claim_hosted          yes   yes     yes    yes   yes    404      404   yes        yes       -
tasks.renew                 yes   yes     yes    yes   yes    404      404   yes        yes       -
steps.begin                 lost  lost    yes    lost  lost   404      404   lost       yes       -
steps.end                   lost  lost    yes    lost  lost   404      404   lost       yes       -
steps.record                lost  lost    yes    lost  lost   404      404   lost       yes       -
steps.act                   lost  lost    yes    lost  lost   404      404   lost       yes       -
steps.stall                 lost  lost    yes    lost  lost   404      404   lost       yes       -
steps.suspend               lost  lost    yes    lost  lost   404      404   lost       yes       -
budgets.set_task            yes   -       -      -     -      404      404   -          -         -
messages.send               yes   yes     yes    yes   yes    404      404   yes        yes       -
messages.mark_read          -     -       -      yes   -      404      404   -          -         -
messages.acknowledge        -     -       -      yes   -      404      404   -          -         -
members.see                 yes   yes     yes    yes   yes    404      404   yes        yes       -
members.add                 yes   -       -      -     -      404      404   -          -         -
members.update              yes   -       -      -     -      404      404   -          -         -
members.pause               yes   -       -      -     -      404      404   -          -         -
members.resume              yes   -       -      -     -      404      404   -          -         -
members.retire              yes   -       -      -     -      404      404   -          -         -
members.create_token        yes   -       -      -     -      404      404   -          -         -
members.revoke_token        yes   -       -      -     -      404      404   -          -         -
squads.update               yes   -       -      -     -      404      404   -          -         -
squads.pause                yes   -       -      -     -      404      404   -          -         -
squads.resume               yes   -       -      -     -      404      404   -          -         -
squads.archive              yes   -       -      -     -      404      404   -          -         -
squads.unarchive            yes   -       -      -     -      404      404   -          -         -
budgets.set_squad           yes   -       -      -     -      404      404   -          -         -
"""
REFUSALS: dict[str, type[SquadError]] = {"-": Forbidden, "lost": LostClaim, "404": NotFound}
ROOMS = {"tasks": tasks, "messages": messages, "members": members, "squads": squads, "steps": steps, "budgets": budgets}


def rights() -> dict[str, dict[str, str]]:
    """What comes of each operation, by who does it."""
    head, *rows = (line.split() for line in TABLE.strip().splitlines())
    return {who: {row[0]: row[at] for row in rows} for at, who in enumerate(head, 1)}


def operation(name: str) -> Callable[..., Any]:
    """The function of that name."""
    room, _, verb = name.partition(".")
    found: Callable[..., Any] = getattr(ROOMS[room], verb)
    return found


@dataclass
class Stage:
    """A squad in which each operation finds something to be done to, and everybody who may try."""

    actors: dict[str, Actor]
    given: dict[str, tuple[Any, ...]]


async def nothing(_: AsyncSession) -> None:
    """An effect that is none."""


async def stage(scene: Scene) -> Stage:
    """Set it: #1 is held, #2 free, #3 failed, #4 stalled, #5 reviewed, #6 a question to paul, #7 waits for #2.

    #1 has an open step.
    """
    maker = MemberNew(name="kim")
    kim = Actor(member_id=await scene.do(members.add, scene.owner, scene.squad, maker), squad_id=scene.squad.id)
    await scene.create("held", "free", "failed", "stalled", TaskNew(title="reviewed", review=""), by=kim)
    await scene.create(TaskNew(title="question", assignee="paul"), TaskNew(title="waits", depends_on=[2]), by=kim)
    await scene.hold(scene.ada, 1)
    await scene.fail(scene.ada, (await scene.hold(scene.ada, 3)).claim)
    await scene.steer("block", scene.owner, 4, BlockNew(reason="enough"))
    await scene.complete(scene.paul, (await scene.hold(scene.paul, 5)).claim)
    await scene.hold(scene.ada, 5)
    await scene.do(steps.begin, scene.ada, scene.squad, StepNew("1/1", 1, "answer"))
    message = await scene.send(scene.ada, to="tess")
    token, _ = await scene.do(members.create_token, scene.owner, scene.squad, "tess", "")
    work: dict[str, Any] = {"claim": "1/1"}
    review: dict[str, Any] = {"claim": "5/2"}
    return Stage(
        actors={
            "owner": scene.owner, "creator": kim, "holder": scene.ada, "other": scene.tess, "person": scene.paul,
            "stranger": scene.eve, "admin": await account(scene.db, "admin@example.com", is_admin=True),
            "as_creator": replace(scene.owner, acts_as="kim"), "as_holder": replace(scene.owner, acts_as="ada"),
            "as_person": replace(scene.owner, acts_as="paul"),
        },
        given={
            "tasks.create": ([TaskNew(title="x")],), "tasks.claim": (2,),
            "tasks.heartbeat": (1, HeartbeatNew(**work)), "tasks.heartbeat_all": (HeartbeatsNew(claims=["1/1"]),),
            "tasks.create_token": (1, TokenOfAttemptNew(**work)),
            "tasks.complete": (1, CompleteNew(**work)), "tasks.fail": (1, FailNew(reason="no", **work)),
            "tasks.release": (1, ReleaseNew(**work)), "tasks.handoff": (1, HandoffNew(to="tess", note="x", **work)),
            "tasks.wait_for_children": (1, WaitNew(**work)), "tasks.ask": (1, AskNew(question="why?", **work)),
            "tasks.accept": (5, AcceptNew(**review)), "tasks.reject": (5, RejectNew(note="no", **review)),
            "tasks.answer": (6, AnswerNew(answer="yes")), "tasks.update": (1, TaskEdit(title="y")),
            "tasks.add_dependency": (2, 1), "tasks.remove_dependency": (7, 2), "tasks.cancel": (1, CancelNew()),
            "tasks.renew": (), "tasks.retry": (3,), "tasks.block": (1, BlockNew(reason="enough")), "tasks.resume": (4,),
            "steps.begin": (StepNew("5/2", 1, "answer"),), "steps.end": ("1/1", 1, Outcome("said")),
            "steps.record": (StepNew("1/1", 2, "prompt"),), "steps.stall": ("1/1", "enough"),
            "steps.suspend": ("1/1", "no key"),
            "steps.act": (StepNew("1/1", 2, "tool"), nothing),
            "budgets.set_squad": (BudgetNew(calls=5),), "budgets.set_task": (1, BudgetNew(calls=5)),
            "messages.send": (MessageNew(all=True, body="x"),), "messages.mark_read": ("tess", ReadNew(up_to=message)),
            "messages.acknowledge": ("tess", AcknowledgeNew(messages=[message])),
            "members.see": (), "members.add": (MemberNew(name="new"),),
            "members.update": ("tess", MemberEdit(role="x")),
            "tasks.claim_hosted": (8,),
            "members.pause": ("tess", PauseNew()), "members.resume": ("tess",), "members.retire": ("tess",),
            "members.create_token": ("tess", ""), "members.revoke_token": ("tess", str(token)),
            "squads.update": (SquadEdit(max_tries=5),), "squads.pause": (PauseNew(now=True),), "squads.resume": (),
            "squads.archive": (), "squads.unarchive": (),
        },
    )  # fmt: skip


def test_every_write_stands_in_the_table() -> None:
    writes = {
        f"{room}.{name}"
        for room, module in ROOMS.items()
        for name, found in vars(module).items()
        if inspect.iscoroutinefunction(found)
        and not name.startswith("_")
        and list(inspect.signature(found).parameters)[:2] == ["session", "actor"]
        and found.__module__.startswith(module.__name__)
    }
    assert writes - {"squads.create"} == rights()["owner"].keys()


@pytest.mark.parametrize("who", rights())
async def test_everybody_may_do_what_the_table_says_and_nothing_else(scene: Scene, who: str) -> None:
    found = await stage(scene)
    actor, tables, log = found.actors[who], await scene.tables(), await scene.log()
    for name, right in rights()[who].items():
        doing = scene.do(operation(name), actor, scene.squad, *found.given[name])
        async with scene.db.begin_nested() as tried:
            if right == "yes":
                await doing
            else:
                with pytest.raises(REFUSALS[right]) as caught:
                    await doing
                assert type(caught.value) is REFUSALS[right], name
                assert (await scene.tables(), await scene.log()) == (tables, log), name
            await tried.rollback()


async def test_a_member_loses_its_rights_as_it_leaves(scene: Scene) -> None:
    await scene.create("one", by=scene.ada)
    claim = await scene.hold(scene.ada)
    await scene.do(members.retire, scene.owner, scene.squad, "ada")
    for operation_, args in (
        (tasks.complete, (1, CompleteNew(claim=claim.claim))),
        (tasks.update, (1, TaskEdit(title="y"))),
        (tasks.create, ([TaskNew(title="x")],)),
    ):
        with pytest.raises(NotFound, match="Squad not found"):
            await scene.do(operation_, scene.ada, scene.squad, *args)


async def test_the_log_names_both_who_speaks_and_for_whom(scene: Scene) -> None:
    await scene.create("one", by=replace(scene.owner, acts_as="ada"))
    assert (await scene.log())[-1]["actor"] == {"member": "ada", "user": "owner@example.com"}
    await scene.create("two")
    assert (await scene.log())[-1]["actor"] == {"member": "owner", "user": "owner@example.com"}
    await scene.create("three", by=scene.ada)
    assert (await scene.log())[-1]["actor"] == {"member": "ada", "user": None}


async def test_whoever_has_an_account_makes_squads_and_no_token_does(scene: Scene) -> None:
    for actor in (scene.owner, scene.paul, scene.eve):
        await scene.do(squads.create, actor, SquadNew(name="garden"))
    with pytest.raises(Forbidden):
        await scene.do(squads.create, scene.ada, SquadNew(name="garden"))
