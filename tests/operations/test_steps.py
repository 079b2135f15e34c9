"""The journal of hosted members and what it costs, in the words of a runner."""

from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from agentsquad.schemas.budgets import BudgetNew, TaskUsage, Usage
from agentsquad.schemas.messages import MessageNew
from agentsquad.schemas.steps import Step, Steps
from agentsquad.schemas.tasks import TaskNew
from backend.core.errors import Forbidden, Invalid, LostClaim, NotFound
from backend.operations import budgets, messages, steps
from backend.operations.access import Actor
from backend.operations.steps import Outcome, StepNew
from tests.operations.scene import Scene

ONE = Decimal("0.01")


async def begin(scene: Scene, claim: str, number: int, *, by: Actor | None = None, **more: Any) -> bool | None:
    given: dict[str, Any] = {"kind": "answer", "name": "m:x", "tokens": 100, "cost": ONE} | more
    return await scene.do(steps.begin, by or scene.ada, scene.squad, StepNew(claim, number, **given))


async def end(scene: Scene, claim: str, number: int, *, by: Actor | None = None, **more: Any) -> bool:
    given: dict[str, Any] = {"content": "said", "input_tokens": 30, "output_tokens": 5, "cost": Decimal("0.004")} | more
    return await scene.do(steps.end, by or scene.ada, scene.squad, claim, number, Outcome(**given))


async def journal(scene: Scene, number: int = 1) -> list[Step]:
    return Steps.model_validate(await scene.read(steps.page, scene.owner, scene.squad, number, 0, 200)).items


async def states(scene: Scene, number: int = 1) -> list[tuple[str, str]]:
    return [(step.kind, step.state) for step in await journal(scene, number)]


async def usage(scene: Scene) -> Usage:
    return Usage.model_validate(await scene.read(budgets.squad, scene.owner, scene.squad))


async def limit(scene: Scene, task: int | None = None, by: Actor | None = None, **limits: Any) -> None:
    who, new = by or scene.owner, BudgetNew(**limits)
    if task is None:
        await scene.do(budgets.set_squad, who, scene.squad, new)
    else:
        await scene.do(budgets.set_task, who, scene.squad, task, new)


async def told(scene: Scene) -> list[str]:
    """What the server wrote to the owner."""
    return [post.body for post in (await scene.inbox(scene.owner)).items if post.sender is None]


async def test_an_answer_reserves_before_and_is_settled_after(scene: Scene) -> None:
    await scene.create("x")
    held = await scene.hold(scene.ada)
    assert await begin(scene, held.claim, 1)
    during = (await usage(scene)).squad
    assert (during.reserved_calls, during.reserved_tokens, during.reserved_cost) == (1, 100, 0.01)
    assert (during.calls, during.tokens, during.cost) == (0, 0, 0)
    assert await end(scene, held.claim, 1)
    after = await usage(scene)
    assert (after.squad.reserved_calls, after.squad.calls, after.squad.tokens, after.squad.cost) == (0, 1, 35, 0.004)
    assert [(each.member, each.tokens, each.cost) for each in after.members] == [("ada", 35, 0.004)]
    task = TaskUsage.model_validate(await scene.read(budgets.task, scene.owner, scene.squad, 1))
    assert [(each.attempt, each.calls, each.tokens) for each in task.attempts] == [(1, 1, 35)]
    assert await scene.kinds(of=1) == ["task.created", "task.claimed", "step.started", "step.ended"]
    assert await scene.disagreements() == []


async def test_what_is_sent_again_is_done_once(scene: Scene) -> None:
    await scene.create("x")
    held = await scene.hold(scene.ada)
    made = 0

    async def effect(session: Any) -> dict[str, int]:
        nonlocal made
        made += 1
        await messages.send(session, scene.ada, scene.squad, MessageNew(all=True, body="done"))
        return {"made": made}

    for _ in range(2):
        await scene.do(steps.record, scene.ada, scene.squad, StepNew(held.claim, 1, "prompt", content="go"))
        assert await begin(scene, held.claim, 2)
        assert await end(scene, held.claim, 2)
        new = StepNew(held.claim, 3, "tool", "send_message")
        assert await scene.do(steps.act, scene.ada, scene.squad, new, effect) == {"made": 1}
    assert await states(scene) == [("prompt", "finished"), ("answer", "finished"), ("tool", "finished")]
    assert (await usage(scene)).squad.calls == 1
    assert (await scene.kinds()).count("message.sent") == 1
    assert await scene.disagreements() == []


async def test_what_is_begun_again_after_its_attempt_has_ended_is_refused(scene: Scene) -> None:
    await scene.create("x")
    held = await scene.hold(scene.ada)
    assert await begin(scene, held.claim, 1)
    await scene.held("release", scene.ada, held.claim)
    with pytest.raises(LostClaim):
        await begin(scene, held.claim, 1)
    assert await states(scene) == [("answer", "unknown")]


async def test_an_effect_that_is_refused_leaves_no_step(scene: Scene) -> None:
    await scene.create("x")
    held = await scene.hold(scene.ada)

    async def effect(session: Any) -> None:
        await messages.send(session, scene.ada, scene.squad, MessageNew(all=True, body="heard?"))
        await messages.send(session, scene.ada, scene.squad, MessageNew(to="nobody", body="?"))

    with pytest.raises(Invalid, match="nobody"):
        await scene.do(steps.act, scene.ada, scene.squad, StepNew(held.claim, 1, "tool", "send_message"), effect)
    assert "message.sent" not in await scene.kinds()
    assert await journal(scene) == []


async def test_a_lapse_settles_at_what_was_reserved_and_says_unknown(scene: Scene) -> None:
    await scene.create("x")
    held = await scene.hold(scene.ada)
    await begin(scene, held.claim, 1)
    await scene.end_lease(1)
    await scene.lapse()
    spent = (await usage(scene)).squad
    assert (spent.calls, spent.tokens, spent.cost, spent.reserved_calls) == (1, 100, 0.01, 0)
    assert await states(scene) == [("answer", "unknown")]
    assert await scene.disagreements() == []


async def test_who_comes_late_only_corrects_the_cost(scene: Scene) -> None:
    await scene.create("x")
    held = await scene.hold(scene.ada)
    await begin(scene, held.claim, 1)
    await scene.end_lease(1)
    await scene.lapse()
    again = await scene.hold(scene.tess)
    assert not await end(scene, held.claim, 1)
    assert not await end(scene, held.claim, 1)
    spent = (await usage(scene)).squad
    assert (spent.calls, spent.tokens, spent.cost) == (1, 35, 0.004)
    assert await states(scene) == [("answer", "unknown")]
    assert await begin(scene, again.claim, 2, by=scene.tess)
    with pytest.raises(LostClaim):
        await begin(scene, held.claim, 3)
    with pytest.raises(LostClaim):
        await begin(scene, held.claim, 2)
    assert await scene.disagreements() == []


async def test_an_answer_after_the_lease_that_nobody_has_swept_is_lost_but_paid(scene: Scene) -> None:
    await scene.create("x")
    held = await scene.hold(scene.ada)
    await begin(scene, held.claim, 1)
    await scene.end_lease(1)
    assert not await end(scene, held.claim, 1)
    assert await states(scene) == [("answer", "unknown")]
    await scene.lapse()
    assert (await usage(scene)).squad.tokens == 35
    assert await scene.disagreements() == []


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"tokens": 250}, "budget of 250 tokens has no room"),
        ({"cost": 0.025}, "budget of $0.025 has no room"),
        ({"calls": 2}, "budget of 2 calls is used up"),
    ],
)
async def test_a_limit_blocks_and_tells_once(scene: Scene, limits: dict[str, Any], said: str) -> None:
    await scene.create("x", "y", "z")
    await limit(scene, **limits)
    claims = [await scene.hold(scene.ada) for _ in range(3)]
    for held in claims[:2]:
        assert await begin(scene, held.claim, 1)
        await end(scene, held.claim, 1, input_tokens=90, output_tokens=10, cost=ONE)
    assert await begin(scene, claims[2].claim, 1) is False
    assert await begin(scene, (await scene.hold(scene.ada, (await scene.create("u"))[0].number)).claim, 1) is False
    blocked = await scene.task(3)
    assert (blocked.status, blocked.blocked_on) == ("blocked", "budget")
    assert said in blocked.why
    assert len(await told(scene)) == 1
    assert said in (await told(scene))[0]
    assert [attempt[2] for attempt in await scene.attempts(3)] == ["blocked"]
    assert (await scene.task(3)).tries_left == 3
    assert await scene.disagreements() == []


@pytest.mark.parametrize("limits", [{"tokens": 150}, {"cost": 0.015}, {"calls": 1}])
async def test_who_finds_no_room_only_for_now_waits_for_it(scene: Scene, limits: dict[str, Any]) -> None:
    await scene.create("x", "y")
    await limit(scene, **limits)
    first, second = await scene.hold(scene.ada), await scene.hold(scene.ada)
    assert await begin(scene, first.claim, 1)
    assert await begin(scene, second.claim, 1) is None
    assert (await scene.task(2)).status == "in_progress"
    assert await states(scene, 2) == []
    await end(scene, first.claim, 1)
    assert await begin(scene, second.claim, 1) is ("calls" not in limits)
    assert await scene.disagreements() == []


async def test_a_raised_limit_lets_all_go_on_and_may_be_reached_again(scene: Scene) -> None:
    await scene.create("x", "y")
    await limit(scene, calls=0)
    for number in (1, 2):
        assert await begin(scene, (await scene.hold(scene.ada, number)).claim, 1) is False
    await limit(scene, calls=1)
    assert [(await scene.task(number)).status for number in (1, 2)] == ["todo", "todo"]
    held = await scene.hold(scene.ada, 1)
    assert await begin(scene, held.claim, 1)
    assert await end(scene, held.claim, 1)
    assert await begin(scene, (await scene.hold(scene.ada, 2)).claim, 1) is False
    assert len(await told(scene)) == 2
    assert await scene.disagreements() == []


async def test_resume_lets_one_task_go_past_the_limit_until_it_is_set_anew(scene: Scene) -> None:
    await scene.create("x", "y")
    await limit(scene, calls=0)
    for number in (1, 2):
        assert await begin(scene, (await scene.hold(scene.ada, number)).claim, 1) is False
    await scene.steer("resume", scene.owner, 1)
    held = await scene.hold(scene.ada, 1)
    assert await begin(scene, held.claim, 1)
    assert await end(scene, held.claim, 1)
    assert (await scene.task(2)).status == "blocked"
    await limit(scene, calls=1)
    assert await begin(scene, held.claim, 2) is False
    assert await scene.disagreements() == []


async def test_a_waiver_of_a_limit_above_is_over_when_that_is_set_anew(scene: Scene) -> None:
    await scene.create("x")
    await scene.hold(scene.ada)
    await scene.create(TaskNew(title="part", parent=1), by=scene.ada)
    await limit(scene, task=1, calls=0)
    assert await begin(scene, (await scene.hold(scene.tess, 2)).claim, 1, by=scene.tess) is False
    await scene.steer("resume", scene.owner, 2)
    part = await scene.hold(scene.tess, 2)
    assert await begin(scene, part.claim, 1, by=scene.tess)
    assert await end(scene, part.claim, 1, by=scene.tess)
    await limit(scene, task=1, calls=1)
    assert await begin(scene, part.claim, 2, by=scene.tess) is False
    assert await scene.disagreements() == []


async def test_a_task_s_budget_holds_for_all_that_is_below_it(scene: Scene) -> None:
    await scene.create("x")
    lead = await scene.hold(scene.ada)
    await scene.create(TaskNew(title="part", parent=1), TaskNew(title="other"), by=scene.ada)
    await limit(scene, task=1, calls=1)
    part = await scene.hold(scene.tess, 2)
    assert await begin(scene, part.claim, 1, by=scene.tess)
    assert await end(scene, part.claim, 1, by=scene.tess)
    assert await begin(scene, (await scene.hold(scene.tess, 3)).claim, 1, by=scene.tess)
    assert await begin(scene, lead.claim, 1) is False
    assert (await scene.task(1)).blocked_on == "budget"
    task = TaskUsage.model_validate(await scene.read(budgets.task, scene.owner, scene.squad, 1))
    assert (task.task.calls, task.attempts) == (1, [])
    assert await scene.disagreements() == []


async def test_where_no_price_is_known_tokens_bind(scene: Scene) -> None:
    await scene.create("x", "y")
    await limit(scene, cost=5)
    held = await scene.hold(scene.ada, 1)
    assert await begin(scene, held.claim, 1, cost=None) is False
    assert "nobody knows what m:x costs" in (await scene.task(1)).why
    await limit(scene, cost=5, tokens=150)
    held = await scene.hold(scene.ada, 1)
    assert await begin(scene, held.claim, 1, cost=None)
    assert await end(scene, held.claim, 1, cost=None)
    spent = (await usage(scene)).squad
    assert (spent.cost, spent.unpriced, spent.tokens) == (0, 1, 35)
    assert await begin(scene, held.claim, 2, cost=None)
    assert await end(scene, held.claim, 2, cost=None)
    assert await begin(scene, (await scene.hold(scene.ada, 2)).claim, 1, cost=None) is False
    assert await scene.disagreements() == []


async def test_only_the_owner_sets_budgets(scene: Scene) -> None:
    await scene.create("x")
    for actor in (scene.ada, scene.paul):
        with pytest.raises(Forbidden):
            await limit(scene, by=actor, calls=1)
    with pytest.raises(NotFound):
        await limit(scene, by=scene.eve, calls=1)
    with pytest.raises(NotFound):
        await limit(scene, task=9, calls=1)
    assert await scene.read(budgets.squad, scene.eve, scene.squad) is None
    assert await scene.read(budgets.task, scene.eve, scene.squad, 1) is None
    assert await scene.read(steps.page, scene.eve, scene.squad, 1, 0, 10) is None


async def test_what_brings_something_is_told_from_what_is_quiet(scene: Scene) -> None:
    async def quiet() -> int:
        found = await scene.read(steps.quiet, scene.owner, scene.squad, 1)
        return int(found["steps"]) if found else -1

    async def look(*numbers: int) -> None:
        for number in numbers:
            await scene.do(steps.record, scene.ada, scene.squad, StepNew(held.claim, number, "tool", "get_task"))

    await scene.create("x")
    await scene.create("y")
    held = await scene.hold(scene.ada)
    await look(1, 2)
    assert await quiet() == 2
    await scene.create(TaskNew(title="elsewhere", parent=2))
    assert await quiet() == 2
    await scene.create(TaskNew(title="part", parent=1))
    await look(3)
    assert await quiet() == 1
    await scene.do(messages.send, scene.ada, scene.squad, MessageNew(task=1, body="so far"))
    assert await quiet() == 0


async def test_what_has_ended_is_told_from_what_is_open(scene: Scene) -> None:
    async def ended() -> Any:
        return await scene.read(steps.ended, scene.owner, scene.squad, 1)

    await scene.create("x")
    assert await ended() == {"step": 0}
    held = await scene.hold(scene.ada)
    await begin(scene, held.claim, 1)
    assert await ended() == {"step": 0}
    await end(scene, held.claim, 1)
    await begin(scene, held.claim, 2)
    assert await ended() == {"step": 1}
    await scene.do(steps.stall, scene.ada, scene.squad, held.claim, "enough")
    assert await ended() == {"step": 2}


async def test_a_stalled_task_is_blocked_and_its_owner_told(scene: Scene) -> None:
    await scene.create("x")
    held = await scene.hold(scene.ada)
    await begin(scene, held.claim, 1)
    await scene.do(steps.stall, scene.ada, scene.squad, held.claim, "the same call four times")
    assert (await scene.task(1)).blocked_on == "stalled"
    assert await told(scene) == ["#1 stopped: the same call four times"]
    assert await states(scene) == [("answer", "unknown")]
    with pytest.raises(LostClaim):
        await scene.do(steps.stall, scene.ada, scene.squad, held.claim, "again")
    await scene.steer("resume", scene.owner, 1)
    assert await scene.disagreements() == []


async def test_a_review_without_budget_is_given_back_and_its_reviewer_paused(scene: Scene) -> None:
    await scene.create(TaskNew(title="x", review=""))
    await scene.complete(scene.ada, (await scene.hold(scene.ada)).claim, "r")
    await limit(scene, calls=0)
    review = await scene.hold(scene.tess)
    assert await begin(scene, review.claim, 1, by=scene.tess) is False
    assert (await scene.task(1)).status == "in_review"
    assert await scene.claim(scene.tess) is None
    assert "tess is paused, and #1 is given back" in (await told(scene))[0]
    assert await scene.disagreements() == []


async def test_steps_of_another_attempt_or_member_are_not_touched(scene: Scene) -> None:
    await scene.create("x")
    held = await scene.hold(scene.ada)
    await begin(scene, held.claim, 1)
    with pytest.raises(LostClaim):
        await begin(scene, held.claim, 1, by=scene.tess)
    count = "SELECT count(*) FROM steps WHERE state = 'started'"
    assert await scene.db.scalar(text(count)) == 1
