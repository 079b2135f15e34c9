"""A squad in which there is something of everything."""

from decimal import Decimal
from typing import Any

from agentsquad.schemas.budgets import BudgetNew
from agentsquad.schemas.hosting import Hosting, ModelSettings, ToolServer
from agentsquad.schemas.members import MemberEdit, MemberNew, PauseNew
from agentsquad.schemas.messages import AcknowledgeNew, ReadNew
from agentsquad.schemas.squads import SquadEdit
from agentsquad.schemas.tasks import AnswerNew, BlockNew, CancelNew, TaskEdit, TaskNew
from backend.operations import budgets, members, messages, squads, steps
from backend.operations.access import ME, Actor
from backend.operations.steps import Outcome, StepNew
from tests.operations.scene import Scene

ODD = 'quo"te, back\\slash, tab\t, line\n, \u2028, \x01, \U0001f980, \\u0000, ; DROP TABLE'


async def fill(scene: Scene) -> None:
    """Do everything once."""
    owner, ada, tess, paul, squad = scene.owner, scene.ada, scene.tess, scene.paul, scene.squad
    gone = Actor(member_id=await scene.do(members.add, owner, squad, MemberNew(name="gone")), squad_id=squad.id)
    await scene.do(members.create_token, owner, squad, "ada", "laptop")
    kept = await scene.do(members.create_token, owner, squad, "tess", "phone")
    await scene.do(members.revoke_token, owner, squad, "tess", str(kept.id))
    numbers = {"big": 123456789012345678901234567890, "small": 1.10, "deep": [[{}]], "null": None}
    await scene.create(
        TaskNew(title=ODD, description=ODD, input=numbers, key="a", priority=0),
        TaskNew(title="waits", depends_on=["a"], key="b"),
        TaskNew(title="waits for two", depends_on=["a", "b"]),
        TaskNew(title="reviewed", review="tester", role="backend"),
        TaskNew(title="rejected", review="", role="backend"),
        TaskNew(title="under review", review="tester"),
        TaskNew(title="fails", key="f"),
        TaskNew(title="stuck", depends_on=["f"]),
        TaskNew(title="parent", assignee="ada"),
        TaskNew(title="cancelled"),
        TaskNew(title="held", assignee="ada"),
        TaskNew(title="held by a person", assignee="paul"),
        TaskNew(title="blocked"),
        TaskNew(title="was the gone one's", assignee="gone"),
        TaskNew(title="asks", assignee="tess"),
        TaskNew(title="asked and answered", assignee="tess"),
        TaskNew(title="passed on", assignee="ada"),
    )
    first = await scene.hold(ada, 1)
    await scene.complete(ada, first.claim, {"text": ODD, "null": None})
    for number, verb, given in ((4, "accept", {}), (5, "reject", {"note": "not yet"})):
        work = await scene.hold(ada, number)
        await scene.complete(ada, work.claim, None)
        review = await scene.hold(tess, number)
        await scene.held(verb, tess, review.claim, **given)
    await scene.complete(ada, (await scene.hold(ada, 6)).claim, "under review")
    await scene.hold(tess, 6)
    await scene.fail(gone, (await scene.hold(gone, 7)).claim, ODD, retry=True)
    await scene.fail(gone, (await scene.hold(gone, 7)).claim, "no")
    parent = await scene.hold(ada, 9)
    await scene.create(TaskNew(title="child", parent=9), TaskNew(title="child", parent=9), by=ada)
    await scene.held("wait_for_children", ada, parent.claim)
    await scene.complete(ada, (await scene.hold(ada, 18)).claim)
    await scene.steer("cancel", owner, 10, CancelNew(reason="no more"))
    await scene.hold(ada, 11, paths=["src/**/*.py", "".join(filter(str.isprintable, ODD))], lease_seconds=600)
    await scene.hold(paul, 12)
    await scene.steer("block", owner, 13, BlockNew(reason="no money"))
    for number, answered in ((15, False), (16, True)):
        asked = await scene.ask(tess, (await scene.hold(tess, number)).claim)
        if answered:
            await scene.steer("answer", owner, asked.question.number, AnswerNew(answer=None))
    await scene.held("handoff", ada, (await scene.hold(ada, 17)).claim, to="tess", note="yours")
    await scene.steer("update", owner, 3, TaskEdit(priority=4, title="changed", review="tester"))
    await scene.steer("add_dependency", owner, 3, 7)
    sent = [await scene.send(ada, **to) for to in ({"to": "tess"}, {"task": 1}, {"all": True})]
    await scene.do(messages.mark_read, tess, squad, ME, ReadNew(up_to=sent[0]))
    await scene.do(messages.acknowledge, tess, squad, ME, AcknowledgeNew(messages=[sent[2]]))
    await scene.do(members.update, owner, squad, "ada", MemberEdit(name="eda", instructions=ODD * 3))
    await scene.do(members.pause, owner, squad, "tess", PauseNew())
    await scene.do(members.retire, owner, squad, "gone")
    for name in ("hal", "hosted", "paused"):
        new = MemberNew(name=name, kind="hosted", hosting=Hosting(model="offline:rehearsal"))
        await scene.do(members.add, owner, squad, new)
    settings = ModelSettings(temperature=1, top_p=0.50, max_tokens=1_000)
    tools = [ToolServer(name="files", url="http://[::1]:8080/mcp")]
    hosting = Hosting(model=ODD, base_url="http://localhost:11434/v1", settings=settings, tools=tools)
    await scene.do(members.update, owner, squad, "hal", MemberEdit(hosting=hosting))
    await scene.do(members.update, owner, squad, "hosted", MemberEdit(hosting=None))
    await scene.do(members.pause, owner, squad, "paused", PauseNew())
    await scene.do(squads.update, owner, squad, SquadEdit(lease_seconds=77))
    await keep_journal(scene)


async def keep_journal(scene: Scene) -> None:
    """Steps of every kind and state, and budgets: reached, passed on purpose, above others, and of the squad."""
    owner, ada, squad = scene.owner, scene.ada, scene.squad
    cost = Decimal("0.0123456789")

    async def begin(claim: str, number: int, kind: str = "answer", price: Decimal | None = cost) -> bool | None:
        return await scene.do(steps.begin, ada, squad, StepNew(claim, number, kind, "m:x", None, 900, price))

    async def end(claim: str, number: int, content: Any = ODD, tokens: int | None = 30, **more: Any) -> bool:
        return await scene.do(steps.end, ada, squad, claim, number, Outcome(content, input_tokens=tokens, **more))

    hosted = (await scene.create(*(TaskNew(title=f"hosted {n}", assignee="eda") for n in range(4))))[0].number
    await scene.do(budgets.set_squad, owner, squad, BudgetNew(cost=1000.5, tokens=10**12))
    await scene.do(budgets.set_task, owner, squad, hosted, BudgetNew(tokens=10**12, calls=10**6))
    await scene.do(budgets.set_task, owner, squad, hosted, BudgetNew(tokens=10**13))
    claim = (await scene.hold(ada, hosted)).claim
    await scene.do(steps.record, ada, squad, StepNew(claim, 1, "prompt", content={"text": ODD}))
    assert await begin(claim, 2)
    assert await end(claim, 2, {"message": {"parts": [{"part_kind": "text", "content": ODD}]}}, cost=Decimal("0.001"))
    assert await begin(claim, 3, "tool")
    assert await end(claim, 3, {"arguments": ODD, "result": None}, None)
    assert await begin(claim, 4, "summary", None)
    assert await end(claim, 4, {"text": ODD, "up_to": 2}, output_tokens=5)
    assert await begin(claim, 5)
    assert await end(claim, 5, {"error": ODD}, None, state="failed")
    assert await begin(claim, 6)
    await scene.held("release", ada, claim)
    claim = (await scene.hold(ada, hosted)).claim
    assert await begin(claim, 7)
    await scene.end_lease(hosted)
    await scene.lapse()
    assert not await end(claim, 7, cost=Decimal("0.002"), output_tokens=7)
    claim = (await scene.hold(ada, hosted)).claim
    await scene.create(TaskNew(title="part", parent=hosted, assignee="eda"))
    assert await begin(claim, 8)
    part = await scene.hold(ada, hosted + 4)
    assert await begin(part.claim, 1, price=None)
    for number in (hosted + 1, hosted + 2):
        await scene.do(budgets.set_task, owner, squad, number, BudgetNew(calls=0))
        assert not await begin((await scene.hold(ada, number)).claim, 1)
    await scene.steer("resume", owner, hosted + 2)
    claim = (await scene.hold(ada, hosted + 2)).claim
    assert await begin(claim, 1)
    assert await end(claim, 1, cost=Decimal(0))
    await scene.complete(ada, claim)
    await begin((await scene.hold(ada, hosted + 3)).claim, 1, "tool")
