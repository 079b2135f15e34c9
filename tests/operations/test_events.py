from contextlib import suppress
from decimal import Decimal

import pytest

from agentsquad.schemas.budgets import BudgetNew
from agentsquad.schemas.events import Event, Events
from agentsquad.schemas.members import MemberEdit, PauseNew
from agentsquad.schemas.messages import AcknowledgeNew, MessageNew
from agentsquad.schemas.squads import SquadEdit
from agentsquad.schemas.tasks import AnswerNew, BlockNew, CancelNew, TaskEdit, TaskNew
from backend.core.errors import SquadError
from backend.operations import budgets, events, members, messages, squads, steps
from backend.operations.steps import Outcome, StepNew
from tests.operations import folding
from tests.operations.scene import Scene


async def after(scene: Scene, position: int, limit: int = 200) -> Events:
    return Events.model_validate(await scene.read(events.after(), scene.owner, scene.squad, position, limit))


async def lived_through(scene: Scene) -> None:
    """Every kind of event, in one squad."""
    owner, ada, tess, squad = scene.owner, scene.ada, scene.tess, scene.squad
    made = await scene.do(members.create_token, owner, squad, "ada", "")
    await scene.do(members.revoke_token, owner, squad, "ada", str(made.id))
    await scene.create(
        TaskNew(title="a", key="a", assignee="ada", input={"n": [1.5, None]}),
        TaskNew(title="b", depends_on=["a"], description="¿b?"),
        TaskNew(title="c", role="tester", priority=0),
        TaskNew(title="d", key="d", review="tester", parent="a"),
        TaskNew(title="e", key="e", depends_on=["d"]),
        TaskNew(title="f", depends_on=["e"]),
    )
    await scene.steer("update", owner, 6, TaskEdit(title="F", assignee="tess", input=None))
    await scene.held("wait_for_children", ada, (await scene.hold(ada, 1)).claim)
    for verb in ("reject", "accept"):
        await scene.complete(ada, (await scene.hold(ada, 4)).claim, verb)
        await scene.held(verb, tess, (await scene.hold(tess, 4)).claim, note="seen")
    await scene.complete(ada, (await scene.hold(ada, 1)).claim, {"answer": "yes"})
    await scene.fail(tess, (await scene.hold(tess, 3)).claim, "hm", retry=True)
    await scene.hold(tess, 3)
    await scene.end_lease(3)
    await scene.lapse()
    await scene.held("handoff", tess, (await scene.hold(tess, 3)).claim, to="ada", note="yours")
    await scene.held("release", ada, (await scene.hold(ada, 3)).claim, reason="not now")
    await scene.steer("block", owner, 3, BlockNew(reason="no money", on="budget"))
    await scene.steer("resume", owner, 3)
    await scene.do(budgets.set_squad, owner, squad, BudgetNew(cost=5.25))
    await scene.do(budgets.set_task, owner, squad, 2, BudgetNew(tokens=10**12, calls=2))
    for number in (2, 3):
        claim = (await scene.hold(ada, number)).claim
        await scene.do(steps.begin, ada, squad, StepNew(claim, 1, "answer", "m:x", tokens=9, cost=Decimal("0.1")))
    await scene.do(steps.end, ada, squad, "2/1", 1, Outcome("said", input_tokens=3))
    await scene.held("release", ada, claim)
    await scene.held("release", ada, "2/1")
    asked = await scene.ask(ada, (await scene.hold(ada, 2)).claim)
    await scene.steer("answer", owner, asked.question.number, AnswerNew(answer="because"))
    await scene.fail(ada, (await scene.hold(ada, 2)).claim, "no")
    await scene.steer("cancel", owner, 5, CancelNew(reason="late"))
    await scene.steer("retry", owner, 5)
    await scene.steer("remove_dependency", owner, 6, 5)
    await scene.steer("add_dependency", owner, 6, 5)
    position, _ = await scene.do(messages.send, ada, squad, MessageNew(all=True, body="¿hm?"))
    await scene.do(messages.acknowledge, tess, squad, "me", AcknowledgeNew(messages=[position]))
    await scene.do(members.update, owner, squad, "ada", MemberEdit(name="lovelace", role="lead"))
    await scene.hold(ada, 3)
    await scene.do(members.pause, owner, squad, "lovelace", PauseNew(now=True))
    await scene.do(members.resume, owner, squad, "lovelace")
    await scene.do(members.retire, owner, squad, "lovelace")
    await scene.do(squads.update, owner, squad, SquadEdit(name="shop", lease_seconds=90))
    await scene.do(squads.pause, owner, squad, PauseNew())
    await scene.do(squads.resume, owner, squad)
    await scene.do(squads.archive, owner, squad)
    await scene.do(squads.unarchive, owner, squad)


async def test_every_kind_is_one_of_the_union(scene: Scene) -> None:
    await lived_through(scene)
    page = await after(scene, 0)
    kinds = {member.__name__ for member in Event.__args__[0].__args__}
    assert {type(event).__name__ for event in page.items} == kinds - {"SquadImported"}  # test_imports has that


async def test_positions_are_1_to_n_and_times_do_not_run_back(scene: Scene) -> None:
    await lived_through(scene)
    page = await after(scene, 0)
    assert [event.position for event in page.items] == list(range(1, len(page.items) + 1))
    assert page.last == len(page.items)
    times = [event.at for event in page.items]
    assert times == sorted(times)


async def test_the_log_folds_to_the_board_after_every_operation(scene: Scene) -> None:
    await lived_through(scene)
    assert await scene.disagreements() == []


@pytest.mark.parametrize("defect", ["lost", "twice", "changed", "unordered"])
async def test_the_comparison_finds_what_is_wrong(scene: Scene, defect: str) -> None:
    """The negative control."""
    await lived_through(scene)
    log = await scene.log()
    told = folding.fold(log)
    assert folding.differences(log, told) == []
    match defect:
        case "lost":
            log.pop()
        case "twice":
            log.append(log[-1])
        case "changed":
            told["tasks"]["1"]["result"] = "another"
        case _:
            log[-1], log[-2] = log[-2], log[-1]
    assert folding.differences(log, told) != []


async def test_a_page_goes_on_behind_a_position(scene: Scene) -> None:
    await lived_through(scene)
    whole = (await after(scene, 0)).items
    position, read = 0, []
    while (page := await after(scene, position, 3)).items:
        assert len(page.items) <= 3
        read += page.items
        position = page.last
    assert read == whole
    assert (await after(scene, position)).last == position


async def test_behind_the_end_there_is_nothing_and_last_stays(scene: Scene) -> None:
    page = await after(scene, 1_000_000)
    assert (page.items, page.last) == ([], 1_000_000)


async def test_what_was_rolled_back_leaves_no_gap(scene: Scene) -> None:
    last = (await after(scene, 0)).last
    with suppress(SquadError):
        await scene.create("one", TaskNew(title="two", assignee="nobody"))
    await scene.create("one")
    assert (await after(scene, last)).items[0].position == last + 1


async def test_a_completion_that_unblocks_many_writes_one_event_each(scene: Scene) -> None:
    await scene.create(TaskNew(title="a", key="a"), *[TaskNew(title=f"{n}", depends_on=["a"]) for n in range(20)])
    claim = await scene.hold(scene.ada, 1)
    last = (await after(scene, 0)).last
    await scene.complete(scene.ada, claim.claim)
    written = (await after(scene, last)).items
    assert [event.kind for event in written] == ["task.completed", *["task.unblocked"] * 20]
    assert [event.task for event in written] == list(range(1, 22))
    assert len({event.actor.model_dump_json() for event in written}) == 1


async def test_the_server_itself_has_no_name(scene: Scene) -> None:
    await scene.create("one")
    await scene.hold(scene.ada)
    await scene.end_lease(1)
    await scene.lapse()
    event = (await scene.log())[-1]
    assert (event["kind"], event["actor"]) == ("task.lapsed", {"member": None, "user": None})
    assert (event["task"], event["attempt"]) == (1, 1)


async def test_a_heartbeat_is_no_event(scene: Scene) -> None:
    await scene.create("one")
    claim = await scene.hold(scene.ada)
    log = await scene.log()
    await scene.heartbeat(scene.ada, claim.claim)
    assert await scene.log() == log
