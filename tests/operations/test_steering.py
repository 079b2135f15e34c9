import pytest

from agentsquad.schemas.tasks import (
    BlockNew,
    CancelNew,
    Claim,
    Heartbeats,
    HeartbeatsNew,
    Task,
    TaskEdit,
    TaskNew,
)
from backend.core.errors import Forbidden, Invalid, LostClaim, WrongStatus
from backend.operations import members, tasks
from tests.operations.scene import Scene


async def held(scene: Scene, **new: object) -> Claim:
    """#1, held by ada."""
    await scene.create(TaskNew.model_validate({"title": "one"} | new))
    return await scene.hold(scene.ada, 1)


def free(task: Task) -> bool:
    """Whether nobody holds it and no try was used."""
    return (task.status, task.holder, task.lease_ends_at, task.tries_left) == ("todo", None, None, 3)


# release and handoff


async def test_a_released_task_is_free_and_costs_no_try(scene: Scene) -> None:
    assert free(await scene.held("release", scene.ada, (await held(scene)).claim, reason="not mine"))
    event = (await scene.log())[-1]
    assert (event["kind"], event["data"]["reason"]) == ("task.released", "not mine")
    assert await scene.attempts(1) == [("work", "ada", "released")]
    assert (await scene.hold(scene.tess)).claim == "1/2"
    assert await scene.disagreements() == []


async def test_handed_to_a_member_it_is_that_ones_alone(scene: Scene) -> None:
    claim = await held(scene, role="backend")
    task = await scene.held("handoff", scene.ada, claim.claim, to="tess", note="look at the cookies")
    assert free(task)
    assert (task.assignee, task.role) == ("tess", "backend")
    (note,) = await scene.thread(1)
    assert (note.sender, note.body, note.recipients) == ("ada", "look at the cookies", ["owner", "tess"])
    assert await scene.claim(scene.ada) is None
    assert (await scene.hold(scene.tess)).claim == "1/2"
    assert await scene.disagreements() == []


async def test_handed_to_a_role_it_is_anybodys_of_that_role(scene: Scene) -> None:
    claim = await held(scene, assignee="ada")
    task = await scene.held("handoff", scene.ada, claim.claim, role="tester", note="yours")
    assert free(task)
    assert (task.assignee, task.role) == (None, "tester")
    assert await scene.claim(scene.ada) is None
    assert (await scene.hold(scene.tess)).claim == "1/2"


async def test_handed_to_no_role_it_is_anybodys(scene: Scene) -> None:
    claim = await held(scene, role="backend")
    await scene.held("handoff", scene.ada, claim.claim, role="", note="whoever")
    assert (await scene.hold(scene.paul)).claim == "1/2"


async def test_handed_to_nobody_it_stays(scene: Scene) -> None:
    claim = await held(scene)
    before = await scene.tables()
    for given in ({}, {"to": "nobody"}):
        with pytest.raises(Invalid):
            await scene.held("handoff", scene.ada, claim.claim, note="yours", **given)
    await scene.do(members.retire, scene.owner, scene.squad, "tess")
    with pytest.raises(Invalid, match="There is no member tess"):
        await scene.held("handoff", scene.ada, claim.claim, note="yours", to="tess")
    assert (await scene.tables())["tasks"] == before["tasks"]


# block and resume


@pytest.mark.parametrize("on", ["budget", "stalled"])
async def test_a_blocked_task_is_nobodys_until_it_is_resumed(scene: Scene, on: str) -> None:
    claim = await held(scene)
    task = await scene.steer("block", scene.owner, 1, BlockNew.model_validate({"on": on, "reason": "too dear"}))
    assert (task.status, task.blocked_on, task.blocked_by) == ("blocked", on, {"reason": "too dear"})
    assert (task.holder, task.lease_ends_at, task.tries_left) == (None, None, 3)
    assert await scene.attempts(1) == [("work", "ada", "blocked")]
    with pytest.raises(LostClaim):
        await scene.heartbeat(scene.ada, claim.claim)
    assert await scene.claim(scene.tess) is None
    task = await scene.steer("resume", scene.owner, 1)
    assert free(task)
    assert (task.blocked_on, task.blocked_by) == (None, None)
    assert await scene.disagreements() == []


# cancel


async def family(scene: Scene) -> None:
    """#1 and its child #2; #3 depends on #1, #4 on #2, #5 on #3; #6 stands alone."""
    await scene.create("parent")
    await scene.create(TaskNew(title="child", parent=1), TaskNew(title="next", depends_on=[1]))
    await scene.create(TaskNew(title="after the child", depends_on=[2]), TaskNew(title="last", depends_on=[3]), "alone")


async def statuses(scene: Scene) -> list[str]:
    numbers = range(1, 7)
    return [(await scene.task(number)).status for number in numbers]


async def test_a_cancelled_task_ends_its_live_attempt(scene: Scene) -> None:
    claim = await held(scene)
    task = await scene.steer("cancel", scene.owner, 1, CancelNew(reason="not needed"))
    assert (task.status, task.holder, task.lease_ends_at) == ("cancelled", None, None)
    assert await scene.attempts(1) == [("work", "ada", "cancelled")]
    with pytest.raises(LostClaim) as caught:
        await scene.heartbeat(scene.ada, claim.claim)
    assert caught.value.fields["status"] == "cancelled"
    event = (await scene.log())[-1]
    assert (event["kind"], event["data"]["reason"]) == ("task.cancelled", "not needed")
    assert await scene.disagreements() == []


async def test_alone_it_takes_nothing_with_it(scene: Scene) -> None:
    await family(scene)
    await scene.steer("cancel", scene.owner, 1, CancelNew())
    assert await statuses(scene) == ["cancelled", "todo", "blocked", "blocked", "blocked", "todo"]


async def test_with_cascade_dependents_and_children_go_over_any_number_of_steps(scene: Scene) -> None:
    await family(scene)
    claim = await scene.hold(scene.ada, 2)
    await scene.steer("cancel", scene.owner, 1, CancelNew(cascade=True))
    assert await statuses(scene) == ["cancelled"] * 5 + ["todo"]
    assert await scene.attempts(2) == [("work", "ada", "cancelled")]
    with pytest.raises(LostClaim):
        await scene.complete(scene.ada, claim.claim)
    assert await scene.disagreements() == []


async def test_what_has_ended_already_stays_as_it_ended(scene: Scene) -> None:
    await family(scene)
    await scene.complete(scene.ada, (await scene.hold(scene.ada, 2)).claim)
    await scene.steer("cancel", scene.owner, 1, CancelNew(cascade=True))
    assert await statuses(scene) == ["cancelled", "done", "cancelled", "todo", "cancelled", "todo"]


async def test_with_cascade_one_needs_the_right_over_all_of_them(scene: Scene) -> None:
    await scene.create("mine", by=scene.ada)
    await scene.create(TaskNew(title="also mine", depends_on=[1]), by=scene.ada)
    await scene.create(TaskNew(title="not mine", depends_on=[2]), by=scene.tess)
    before = await scene.tables()
    with pytest.raises(Forbidden, match="Only the creator of #3"):
        await scene.steer("cancel", scene.ada, 1, CancelNew(cascade=True))
    assert await scene.tables() == before
    await scene.steer("cancel", scene.tess, 3, CancelNew())
    await scene.steer("cancel", scene.ada, 1, CancelNew(cascade=True))
    assert [(await scene.task(number)).status for number in (1, 2)] == ["cancelled"] * 2


async def test_a_cancelled_review_leaves_the_reviewer_nothing(scene: Scene) -> None:
    await scene.complete(scene.ada, (await held(scene, review="")).claim)
    review = await scene.hold(scene.tess)
    await scene.steer("cancel", scene.owner, 1, CancelNew())
    with pytest.raises(LostClaim):
        await scene.held("accept", scene.tess, review.claim)


# retry


async def test_a_retried_task_has_all_its_tries_again(scene: Scene) -> None:
    await scene.create("one")
    for _ in range(3):
        await scene.fail(scene.ada, (await scene.hold(scene.ada)).claim, retry=True)
    assert (await scene.task(1)).tries_left == 0
    task = await scene.steer("retry", scene.owner, 1)
    assert free(task)
    assert (task.attempt, (await scene.kinds(of=1))[-1]) == (3, "task.retried")
    assert (await scene.hold(scene.ada)).claim == "1/4"
    assert await scene.disagreements() == []


async def test_a_cancelled_one_too(scene: Scene) -> None:
    await held(scene)
    await scene.steer("cancel", scene.owner, 1, CancelNew())
    assert free(await scene.steer("retry", scene.owner, 1))


# update


async def test_what_is_given_changes_and_nothing_else(scene: Scene) -> None:
    (before,) = await scene.create(TaskNew(title="one", role="backend", description="old", priority=1))
    after = await scene.steer("update", scene.owner, 1, TaskEdit(description="new", input={"a": 1}, assignee="tess"))
    changed = {"description": "new", "input": {"a": 1}, "assignee": "tess"}
    moving = {"why", "updated_at"}
    assert after.model_dump(exclude=moving) == before.model_dump(exclude=moving) | changed
    event = (await scene.log())[-1]
    assert event["kind"] == "task.updated"
    assert changed.items() <= event["data"].items()
    assert await scene.disagreements() == []


async def test_null_takes_assignee_and_review_away(scene: Scene) -> None:
    await scene.create(TaskNew(title="one", assignee="tess", review="tester"))
    task = await scene.steer("update", scene.owner, 1, TaskEdit(assignee=None, review=None))
    assert (task.assignee, task.review) == (None, None)
    assert (await scene.complete(scene.ada, (await scene.hold(scene.ada)).claim)).status == "done"


async def test_nothing_given_is_no_event(scene: Scene) -> None:
    await scene.create("one")
    log = await scene.log()
    await scene.steer("update", scene.owner, 1, TaskEdit())
    assert await scene.log() == log


async def test_an_unknown_assignee_is_refused(scene: Scene) -> None:
    await scene.create("one")
    await scene.do(members.retire, scene.owner, scene.squad, "tess")
    before = await scene.tables()
    for name in ("nobody", "tess"):
        with pytest.raises(Invalid, match=f"There is no member {name}"):
            await scene.steer("update", scene.owner, 1, TaskEdit(title="new", assignee=name))
    assert await scene.tables() == before


async def test_a_task_in_review_keeps_its_review(scene: Scene) -> None:
    await scene.complete(scene.ada, (await held(scene, review="tester")).claim)
    with pytest.raises(WrongStatus, match="accept or reject it"):
        await scene.steer("update", scene.owner, 1, TaskEdit(review=None))
    await scene.steer("update", scene.owner, 1, TaskEdit(review=""))
    assert (await scene.hold(scene.paul)).kind == "review"


async def test_who_holds_it_goes_on_while_it_is_changed(scene: Scene) -> None:
    claim = await held(scene)
    await scene.steer("update", scene.owner, 1, TaskEdit(title="new", assignee="tess"))
    assert (await scene.complete(scene.ada, claim.claim)).title == "new"


# several claims


async def test_several_claims_come_in_the_order_of_the_ranges(scene: Scene) -> None:
    for _ in range(2):
        await scene.create(TaskNew(title="x", review="tester"), TaskNew(title="x", review=""))
    for number in range(1, 5):
        await scene.complete(scene.paul, (await scene.hold(scene.paul, number)).claim)
    await scene.create("anybody's", TaskNew(title="tester's", role="tester"), TaskNew(title="x", assignee="tess"))
    await scene.create(TaskNew(title="ada's", assignee="ada"), TaskNew(title="first", role="tester", priority=0))
    claims = await scene.claims(scene.tess, limit=20)
    assert [claim.task.number for claim in claims] == [7, 1, 3, 9, 6, 2, 4, 5]
    assert [claim.kind for claim in claims].count("review") == 4
    assert await scene.disagreements() == []


async def test_no_more_than_the_limit(scene: Scene) -> None:
    await scene.create(TaskNew(title="mine", assignee="ada"), TaskNew(title="role", role="backend"), "c", "d")
    assert [claim.task.number for claim in await scene.claims(scene.ada, limit=3)] == [1, 2, 3]
    assert [claim.task.number for claim in await scene.claims(scene.ada, limit=3)] == [4]
    assert await scene.claims(scene.ada, limit=3) == []


async def test_several_heartbeats_each_say_for_themselves(scene: Scene) -> None:
    await scene.create(*"abcd")
    live, lapsed, cancelled = [claim.claim for claim in await scene.claims(scene.ada, limit=3)]
    foreign = (await scene.hold(scene.tess)).claim
    await scene.end_lease(2)
    await scene.steer("cancel", scene.owner, 3, CancelNew())
    log = await scene.log()
    given = HeartbeatsNew(claims=[cancelled, foreign, live, lapsed, "9/1"])
    beats = Heartbeats.model_validate_json(await scene.do(tasks.heartbeat_all, scene.ada, scene.squad, given))
    assert [(beat.claim, beat.live, beat.cancelled, beat.detail) for beat in beats.items] == [
        (cancelled, False, True, "#3 is cancelled."),
        (foreign, False, False, "#4 is held by tess (attempt 1)."),
        (live, True, False, None),
        (lapsed, False, False, "The lease of #2 (attempt 1) is over."),
        ("9/1", False, False, "Task not found"),
    ]
    assert (beats.items[2].lease_ends_at, beats.items[3].lease_ends_at) == ((await scene.task(1)).lease_ends_at, None)
    assert await scene.log() == log
