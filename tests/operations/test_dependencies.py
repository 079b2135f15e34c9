import pytest

from agentsquad.schemas import limits
from agentsquad.schemas.tasks import BlockNew, CancelNew, TaskNew
from backend.core.errors import Conflict, Forbidden, Invalid, NotFound
from tests.operations.scene import Scene


async def chain(scene: Scene, length: int = 3) -> None:
    """Tasks of which each waits for the one before."""
    batch = [TaskNew(title=f"{n}", key=f"k{n}", depends_on=[f"k{n - 1}"] if n else []) for n in range(length)]
    await scene.create(*batch)


async def failed(scene: Scene, number: int = 1) -> None:
    await scene.fail(scene.ada, (await scene.hold(scene.ada, number)).claim)


async def told(scene: Scene) -> list[str]:
    """What the server has told the owner."""
    return [message.body for message in (await scene.inbox(scene.owner)).items if message.sender is None]


async def statuses(scene: Scene, *numbers: int) -> list[str]:
    return [(await scene.task(number)).status for number in numbers]


# added and removed


async def test_a_new_dependency_blocks(scene: Scene) -> None:
    await scene.create("one", "two")
    task = await scene.steer("add_dependency", scene.owner, 2, 1)
    assert (task.status, task.blocked_on, task.depends_on) == ("blocked", "dependencies", [1])
    event = (await scene.log())[-1]
    assert (event["kind"], event["data"]["depends_on"]) == ("task.updated", [1])
    await scene.complete(scene.ada, (await scene.hold(scene.ada)).claim)
    assert await statuses(scene, 2) == ["todo"]
    assert await scene.disagreements() == []


async def test_one_that_is_done_does_not(scene: Scene) -> None:
    await scene.create("one", "two")
    await scene.complete(scene.ada, (await scene.hold(scene.ada, 1)).claim)
    task = await scene.steer("add_dependency", scene.owner, 2, 1)
    assert (task.status, task.depends_on) == ("todo", [1])


async def test_added_twice_it_is_there_once(scene: Scene) -> None:
    await scene.create("one", "two")
    await scene.steer("add_dependency", scene.owner, 2, 1)
    log = await scene.log()
    assert (await scene.steer("add_dependency", scene.owner, 2, 1)).depends_on == [1]
    assert await scene.log() == log


async def test_removing_the_last_that_is_not_done_frees(scene: Scene) -> None:
    await scene.create("one", "two")
    await scene.create(TaskNew(title="three", depends_on=[1, 2]))
    assert (await scene.steer("remove_dependency", scene.owner, 3, 1)).status == "blocked"
    task = await scene.steer("remove_dependency", scene.owner, 3, 2)
    assert (task.status, task.blocked_on, task.depends_on) == ("todo", None, [])
    assert await scene.disagreements() == []


async def test_what_is_not_there_is_neither_added_nor_removed(scene: Scene) -> None:
    await scene.create("one", "two")
    log = await scene.log()
    for verb, number, other in (
        ("add_dependency", 2, 9), ("add_dependency", 9, 2), ("remove_dependency", 2, 1), ("remove_dependency", 9, 1),
    ):  # fmt: skip
        with pytest.raises(NotFound):
            await scene.steer(verb, scene.owner, number, other)
    assert await scene.log() == log


async def test_no_more_than_a_hundred(scene: Scene) -> None:
    await scene.create(*[f"{n}" for n in range(limits.DEPENDENCIES + 1)])
    await scene.create(TaskNew(title="x", depends_on=list(range(1, limits.DEPENDENCIES))))
    last = limits.DEPENDENCIES + 2
    await scene.steer("add_dependency", scene.owner, last, limits.DEPENDENCIES)
    with pytest.raises(Invalid, match="has 100 dependencies"):
        await scene.steer("add_dependency", scene.owner, last, limits.DEPENDENCIES + 1)
    await scene.steer("remove_dependency", scene.owner, last, 1)
    await scene.steer("add_dependency", scene.owner, last, limits.DEPENDENCIES + 1)
    assert len((await scene.task(last)).depends_on) == limits.DEPENDENCIES


# circles


async def test_a_circle_is_refused_over_any_number_of_steps(scene: Scene) -> None:
    await chain(scene, 5)
    before = await scene.tables()
    for first in range(1, 5):
        for later in range(first + 1, 6):
            with pytest.raises(Conflict, match=f"#{later} waits for #{first} itself"):
                await scene.steer("add_dependency", scene.owner, first, later)
    assert await scene.tables() == before


async def test_in_whichever_order_its_edges_come(scene: Scene) -> None:
    await scene.create("one", "two")
    for number, other in ((1, 2), (2, 1)):
        await scene.steer("add_dependency", scene.owner, number, other)
        with pytest.raises(Conflict):
            await scene.steer("add_dependency", scene.owner, other, number)
        await scene.steer("remove_dependency", scene.owner, number, other)


async def test_nothing_waits_for_itself(scene: Scene) -> None:
    await scene.create("one")
    with pytest.raises(Conflict):
        await scene.steer("add_dependency", scene.owner, 1, 1)


async def test_an_edge_beside_the_chain_is_none(scene: Scene) -> None:
    await chain(scene, 4)
    assert (await scene.steer("add_dependency", scene.owner, 4, 1)).depends_on == [1, 3]


async def test_removed_the_circle_can_be_turned_round(scene: Scene) -> None:
    await chain(scene, 2)
    await scene.steer("remove_dependency", scene.owner, 2, 1)
    await scene.steer("add_dependency", scene.owner, 1, 2)
    assert await statuses(scene, 1, 2) == ["blocked", "todo"]


# what failed or was cancelled


async def test_dependents_of_a_failed_one_are_stuck_and_the_owner_hears_it_once(scene: Scene) -> None:
    await scene.create("one")
    await scene.create(*[TaskNew(title=f"{n}", depends_on=[1]) for n in range(3)])
    await failed(scene)
    assert await statuses(scene, 2, 3, 4) == ["blocked"] * 3
    stuck = [event for event in await scene.log() if event["kind"] == "task.stuck"]
    assert [(event["task"], event["data"]["ended"]) for event in stuck] == [(2, [1]), (3, [1]), (4, [1])]
    remedy = "a dependency failed or was cancelled. Retry it, remove the dependency, or cancel with cascade."
    assert await told(scene) == [f"#2 and 2 more are stuck: {remedy}"]
    assert await scene.disagreements() == []


async def test_dependents_of_a_cancelled_one_are_stuck_too(scene: Scene) -> None:
    await chain(scene, 3)
    await scene.steer("cancel", scene.owner, 1, CancelNew())
    assert (await scene.kinds(of=2))[-2:] == ["task.stuck", "message.sent"]
    assert await statuses(scene, 2, 3) == ["blocked", "blocked"]
    assert [body.partition(":")[0] for body in await told(scene)] == ["#2 is stuck"]


async def test_only_those_that_wait_are_stuck(scene: Scene) -> None:
    await chain(scene, 2)
    await scene.steer("cancel", scene.owner, 2, CancelNew())
    await failed(scene)
    assert "task.stuck" not in await scene.kinds()
    assert await told(scene) == []


async def test_a_lapse_that_was_the_last_try_makes_them_stuck(scene: Scene) -> None:
    await chain(scene, 2)
    for _ in range(3):
        await scene.hold(scene.ada, 1)
        await scene.end_lease(1)
        await scene.lapse()
    assert "task.stuck" in await scene.kinds(of=2)
    assert len(await told(scene)) == 1
    assert await scene.disagreements() == []


async def test_a_retry_is_a_way_out(scene: Scene) -> None:
    await chain(scene, 2)
    await failed(scene)
    await scene.steer("retry", scene.owner, 1)
    await scene.complete(scene.ada, (await scene.hold(scene.ada)).claim)
    assert await statuses(scene, 1, 2) == ["done", "todo"]
    assert await scene.disagreements() == []


async def test_removing_the_dependency_is_one(scene: Scene) -> None:
    await chain(scene, 2)
    await failed(scene)
    assert (await scene.steer("remove_dependency", scene.owner, 2, 1)).status == "todo"
    assert await scene.disagreements() == []


async def test_cancelling_the_cancelled_ones_dependents_is_one(scene: Scene) -> None:
    await chain(scene, 3)
    await failed(scene)
    await scene.steer("cancel", scene.owner, 2, CancelNew(cascade=True))
    assert await statuses(scene, 1, 2, 3) == ["failed", "cancelled", "cancelled"]
    assert len(await told(scene)) == 1
    assert await scene.disagreements() == []


async def test_in_a_cascade_nobody_is_stuck(scene: Scene) -> None:
    await chain(scene, 3)
    await scene.steer("cancel", scene.owner, 1, CancelNew(cascade=True))
    assert "task.stuck" not in await scene.kinds()
    assert await told(scene) == []


async def test_a_retried_task_waits_for_what_is_not_done(scene: Scene) -> None:
    await chain(scene, 2)
    await scene.steer("cancel", scene.owner, 2, CancelNew())
    task = await scene.steer("retry", scene.owner, 2)
    assert (task.status, task.blocked_on) == ("blocked", "dependencies")


async def test_a_resumed_one_too(scene: Scene) -> None:
    await scene.create("one", "two")
    await scene.steer("block", scene.owner, 2, BlockNew(reason="enough"))
    blocked = await scene.steer("add_dependency", scene.owner, 2, 1)
    assert (blocked.status, blocked.blocked_on) == ("blocked", "stalled")
    task = await scene.steer("resume", scene.owner, 2)
    assert (task.status, task.blocked_on, task.blocked_by) == ("blocked", "dependencies", None)
    await scene.complete(scene.ada, (await scene.hold(scene.ada)).claim)
    assert await statuses(scene, 2) == ["todo"]
    assert await scene.disagreements() == []


async def test_what_is_stalled_is_not_freed_by_its_dependencies(scene: Scene) -> None:
    await scene.create("one", "two")
    await scene.steer("block", scene.owner, 2, BlockNew(reason="enough"))
    await scene.steer("add_dependency", scene.owner, 2, 1)
    await scene.complete(scene.ada, (await scene.hold(scene.ada)).claim)
    assert (await scene.task(2)).blocked_on == "stalled"


async def test_its_creator_changes_what_a_task_waits_for_and_no_other_member(scene: Scene) -> None:
    await scene.create("one", "two", by=scene.ada)
    await scene.steer("add_dependency", scene.ada, 2, 1)
    for verb in ("add_dependency", "remove_dependency"):
        with pytest.raises(Forbidden, match="Only the creator of #2"):
            await scene.steer(verb, scene.tess, 2, 1)
    await scene.steer("remove_dependency", scene.ada, 2, 1)
