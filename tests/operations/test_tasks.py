from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from agentsquad.schemas import limits
from agentsquad.schemas.tasks import Board, CompleteNew, HeartbeatNew, Task, TaskNew, Tasks
from backend.core.database import Database
from backend.core.errors import Forbidden, Invalid, LostClaim, NotFound, WrongStatus
from backend.operations import tasks
from backend.operations.access import Actor
from backend.operations.tasks import Wanted
from tests.campaigns.crew import found
from tests.operations.scene import Scene, number_of, play


async def attempts(scene: Scene, number: int) -> list[tuple[int, str | None]]:
    rows = await scene.db.execute(
        text("SELECT attempt, outcome FROM attempts WHERE squad_id = :s AND task_number = :n ORDER BY attempt"),
        {"s": scene.squad.id, "n": number},
    )
    return [(row.attempt, row.outcome) for row in rows]


def soon(moment: datetime | None, seconds: float) -> bool:
    """Whether a lease ends in that many seconds, by the database's clock, which here is ours."""
    assert moment is not None
    return timedelta(0) < timedelta(seconds=seconds + 0.1) - (moment - datetime.now(UTC)) < timedelta(seconds=5)


# create


async def test_a_task_is_made_as_it_was_given(scene: Scene) -> None:
    new = TaskNew(
        title="Cart is lost", description="On refresh.", input={"page": "/cart", "n": [1, None]},
        role="backend", assignee="ada", priority=1,
    )  # fmt: skip
    (made,) = await scene.create(new, by=scene.tess)
    assert made.model_dump(include=set(TaskNew.model_fields)) == new.model_dump(exclude={"key"}) | {"depends_on": []}
    assert (made.number, made.status, made.blocked_on, made.attempt, made.tries_left) == (1, "todo", None, 0, 3)
    assert (made.holder, made.result, made.lease_ends_at, made.created_by) == (None, None, None, "tess")
    assert made == await scene.task(1)


async def test_numbers_go_on_in_the_squad(scene: Scene) -> None:
    assert [task.number for task in await scene.create("a", "b")] == [1, 2]
    assert [task.number for task in await scene.create("c")] == [3]


async def test_a_batch_has_edges_by_key_and_by_number(scene: Scene) -> None:
    await scene.create("old")
    made = await scene.create(
        TaskNew(title="last", key="last", depends_on=["b", 1]),
        TaskNew(title="a", key="a"),
        TaskNew(title="b", key="b", depends_on=["a", "a"]),
    )
    assert [(task.number, task.depends_on, task.status) for task in made] == [
        (2, [1, 4], "blocked"),
        (3, [], "todo"),
        (4, [3], "blocked"),
    ]
    assert {task.blocked_on for task in made if task.status == "blocked"} == {"dependencies"}


async def test_a_task_that_waits_for_done_ones_only_is_free(scene: Scene) -> None:
    await scene.create("a")
    await scene.complete(scene.ada, (await scene.hold(scene.ada)).claim)
    (made,) = await scene.create(TaskNew(title="b", depends_on=[1]))
    assert (made.status, made.depends_on) == ("todo", [1])


async def test_a_task_that_waits_for_a_failed_one_is_blocked(scene: Scene) -> None:
    await scene.create("a")
    await scene.fail(scene.ada, (await scene.hold(scene.ada)).claim)
    (made,) = await scene.create(TaskNew(title="b", depends_on=[1]))
    assert made.status == "blocked"


@pytest.mark.parametrize(
    ("batch", "field"),
    [
        ([TaskNew(title="a", key="a", depends_on=["a"])], "body.tasks.0.depends_on"),
        (
            [
                TaskNew(title="x"),
                TaskNew(title="a", key="a", depends_on=["c"]),
                TaskNew(title="b", key="b", depends_on=["a"]),
                TaskNew(title="c", key="c", depends_on=["b"]),
            ],
            None,
        ),
        ([TaskNew(title="a", key="a"), TaskNew(title="b", key="a")], "body.tasks.1.key"),
        ([TaskNew(title="a"), TaskNew(title="b", depends_on=["none"])], "body.tasks.1.depends_on.0"),
        ([TaskNew(title="a", depends_on=[99])], "body.tasks.0.depends_on.0"),
        ([TaskNew(title="a", depends_on=[1])], "body.tasks.0.depends_on.0"),
        ([TaskNew(title="a"), TaskNew(title="b", assignee="nobody")], "body.tasks.1.assignee"),
    ],
)
async def test_a_batch_that_is_wrong_anywhere_makes_nothing(
    scene: Scene, batch: list[TaskNew], field: str | None
) -> None:
    log = await scene.log()
    with pytest.raises(Invalid) as caught:
        await scene.create(*batch)
    errors: Any = caught.value.fields["errors"]
    assert errors[0]["field"].startswith(field or "body.tasks.")
    assert await scene.log() == log
    page = await scene.read(tasks.page(), scene.owner, scene.squad, Wanted(), 0, 10)
    assert page == {"items": [], "next": None}


async def test_a_retired_member_gets_no_task(scene: Scene) -> None:
    await scene.db.execute(text("UPDATE members SET retired_at = now() WHERE name = 'ada'"))
    with pytest.raises(Invalid):
        await scene.create(TaskNew(title="a", assignee="ada"))


async def test_a_circle_is_named(scene: Scene) -> None:
    with pytest.raises(Invalid, match=r"circle: .*a.*b") as caught:
        await scene.create(TaskNew(title="a", key="a", depends_on=["b"]), TaskNew(title="b", key="b", depends_on=["a"]))
    assert caught.value.code == "invalid"


async def test_a_thousand_at_once(scene: Scene) -> None:
    chain = [TaskNew(title=f"{n}", key=f"k{n}", depends_on=[f"k{n - 1}"] if n else []) for n in range(1000)]
    made = await scene.create(*chain)
    assert [task.number for task in made] == list(range(1, 1001))
    assert [task.status for task in made] == ["todo", *["blocked"] * 999]


# claim


async def test_a_claim_is_held_for_a_lease(scene: Scene) -> None:
    await scene.create("one")
    claim = await scene.hold(scene.ada)
    assert (claim.claim, claim.lease_seconds, claim.dependencies) == ("1/1", 60, [])
    task = claim.task
    assert (task.status, task.holder, task.attempt, task.tries_left) == ("in_progress", "ada", 1, 3)
    assert soon(task.lease_ends_at, 60)
    assert task == await scene.task(1)
    assert await attempts(scene, 1) == [(1, None)]


async def test_assigned_comes_before_role_before_none(scene: Scene) -> None:
    await scene.create(
        TaskNew(title="for anybody", priority=0),
        TaskNew(title="for backend", role="backend", priority=1),
        TaskNew(title="for ada", assignee="ada", role="tester", priority=4),
    )
    assert [(await scene.hold(scene.ada)).task.number for _ in range(3)] == [3, 2, 1]


async def test_then_priority_then_age(scene: Scene) -> None:
    await scene.create(*[TaskNew(title="x", priority=priority) for priority in (2, 3, 0, 2, 0, 4, 1)])
    assert [(await scene.hold(scene.ada)).task.number for _ in range(7)] == [3, 5, 7, 1, 4, 2, 6]


async def test_nothing_that_is_for_others(scene: Scene) -> None:
    await scene.create(TaskNew(title="a", role="tester"), TaskNew(title="b", assignee="tess"))
    assert await scene.claim(scene.ada) is None
    assert await scene.claim(scene.owner) is None
    assert {(await scene.hold(scene.tess)).task.number for _ in range(2)} == {1, 2}


async def test_nothing_to_do_is_no_event(scene: Scene) -> None:
    log = await scene.log()
    assert await scene.claim(scene.ada) is None
    assert await scene.log() == log


async def test_by_number_out_of_turn(scene: Scene) -> None:
    await scene.create(TaskNew(title="first", priority=0), "second")
    assert (await scene.hold(scene.ada, 2)).task.number == 2


@pytest.mark.parametrize(
    ("new", "error"),
    [
        (TaskNew(title="x", assignee="tess"), Forbidden),
        (TaskNew(title="x", role="tester"), Forbidden),
        (TaskNew(title="x", role="backend", assignee="tess"), Forbidden),
        (TaskNew(title="x", role="tester", assignee="ada"), None),
        (TaskNew(title="x", role="backend"), None),
        (TaskNew(title="x"), None),
    ],
)
async def test_by_number_what_is_for_oneself(scene: Scene, new: TaskNew, error: type[Exception] | None) -> None:
    await scene.create(new)
    if error is None:
        await scene.hold(scene.ada, 1)
        return
    with pytest.raises(error):
        await scene.claim(scene.ada, 1)
    assert (await scene.task(1)).status == "todo"


async def test_by_a_number_that_is_not_there(scene: Scene) -> None:
    with pytest.raises(NotFound, match="Task not found"):
        await scene.claim(scene.ada, 1)


async def test_the_refusal_names_task_and_status(scene: Scene) -> None:
    await scene.create("one")
    await scene.hold(scene.ada)
    with pytest.raises(WrongStatus, match="#1 is in progress") as caught:
        await scene.claim(scene.tess, 1)
    assert caught.value.fields == {"task": 1, "status": "in_progress"}


async def test_a_claim_brings_the_results_that_it_waited_for(scene: Scene) -> None:
    await scene.create(
        TaskNew(title="a", key="a", role="tester"), TaskNew(title="b", key="b"),
        TaskNew(title="c", depends_on=["b", "a"]),
    )  # fmt: skip
    await scene.complete(scene.tess, (await scene.hold(scene.tess, 1)).claim, {"ok": True})
    await scene.fail(scene.ada, (await scene.hold(scene.ada, 2)).claim, retry=True)
    await scene.complete(scene.ada, (await scene.hold(scene.ada, 2)).claim, "text")
    found = (await scene.hold(scene.ada, 3)).dependencies
    assert [tuple(item.model_dump().values()) for item in found] == [
        (1, "a", "tester", "done", "tess", 1, {"ok": True}),
        (2, "b", "", "done", "ada", 2, "text"),
    ]


async def test_a_person_holds_without_a_lease_and_never_lapses(scene: Scene) -> None:
    await scene.create("one")
    claim = await scene.hold(scene.paul)
    assert (claim.lease_seconds, claim.task.lease_ends_at, claim.task.holder) == (None, None, "paul")
    assert (await scene.heartbeat(scene.paul, claim.claim)).lease_ends_at is None
    assert await scene.lapse() == 0
    assert (await scene.complete(scene.paul, claim.claim)).status == "done"


async def test_claiming_is_a_sign_of_life(scene: Scene) -> None:
    seen = text("SELECT last_seen_at FROM members WHERE id = :id")
    assert await scene.db.scalar(seen, {"id": scene.ada.member_id}) is None
    await scene.claim(scene.ada)
    assert await scene.db.scalar(seen, {"id": scene.ada.member_id}) is not None


# heartbeat


async def test_a_heartbeat_extends_the_lease(scene: Scene) -> None:
    await scene.create("one")
    claim = await scene.hold(scene.ada)
    await scene.db.execute(text("UPDATE tasks SET lease_ends_at = clock_timestamp() + interval '1 s'"))
    beat = await scene.heartbeat(scene.ada, claim.claim)
    assert beat.claim == "1/1"
    assert soon(beat.lease_ends_at, 60)
    assert (await scene.task(1)).lease_ends_at == beat.lease_ends_at


# complete


async def test_a_completed_task_is_done(scene: Scene) -> None:
    await scene.create("one")
    claim = await scene.hold(scene.ada)
    done = await scene.complete(scene.ada, claim.claim, {"patch": ["a", 1, None]})
    assert (done.status, done.result, done.holder, done.lease_ends_at) == (
        "done",
        {"patch": ["a", 1, None]},
        None,
        None,
    )
    assert done == await scene.task(1)
    assert await attempts(scene, 1) == [(1, "completed")]
    assert await scene.kinds(of=1) == ["task.created", "task.claimed", "task.completed"]


@pytest.mark.parametrize("result", [None, "", 0, False, [], {}, "¿ünï?", [[{}]], 1.5])
async def test_any_json_is_a_result(scene: Scene, result: Any) -> None:
    await scene.create("one")
    done = await scene.complete(scene.ada, (await scene.hold(scene.ada)).claim, result)
    assert done.result == result
    assert await scene.disagreements() == []


async def test_the_last_dependency_frees_its_dependents(scene: Scene) -> None:
    await scene.create(
        TaskNew(title="a", key="a"),
        TaskNew(title="b", key="b"),
        TaskNew(title="c", key="c", depends_on=["a", "b"]),
        TaskNew(title="d", depends_on=["a"]),
        TaskNew(title="e", depends_on=["c"]),
    )

    async def statuses() -> list[str]:
        return [(await scene.task(number)).status for number in (3, 4, 5)]

    await scene.complete(scene.ada, (await scene.hold(scene.ada, 1)).claim)
    assert await statuses() == ["blocked", "todo", "blocked"]
    await scene.complete(scene.ada, (await scene.hold(scene.ada, 2)).claim)
    assert await statuses() == ["todo", "todo", "blocked"]
    assert (await scene.task(3)).blocked_on is None
    assert (await scene.kinds(of=3))[-1] == "task.unblocked"
    assert await scene.disagreements() == []


# fail


async def test_a_failed_task_stays_failed_and_its_dependents_blocked(scene: Scene) -> None:
    await scene.create(TaskNew(title="a", key="a"), TaskNew(title="b", depends_on=["a"]))
    failed = await scene.fail(scene.ada, (await scene.hold(scene.ada)).claim, "can't")
    assert (failed.status, failed.tries_left, failed.holder, failed.lease_ends_at) == ("failed", 3, None, None)
    assert (await scene.task(2)).status == "blocked"
    event, stuck, told = (await scene.log())[-3:]
    assert (event["kind"], event["data"]["reason"]) == ("task.failed", "can't")
    assert (stuck["kind"], stuck["task"], stuck["data"]["ended"]) == ("task.stuck", 2, [1])
    assert (told["kind"], told["data"]["recipients"]) == ("message.sent", ["owner"])
    assert await attempts(scene, 1) == [(1, "failed")]


async def test_with_retry_it_is_free_while_a_try_is_left(scene: Scene) -> None:
    await scene.create("one")
    seen = []
    for _ in range(3):
        task = await scene.fail(scene.ada, (await scene.hold(scene.ada)).claim, retry=True)
        seen.append((task.status, task.tries_left, task.attempt))
    assert seen == [("todo", 2, 1), ("todo", 1, 2), ("failed", 0, 3)]
    assert await attempts(scene, 1) == [(1, "retried"), (2, "retried"), (3, "failed")]
    assert await scene.claim(scene.ada) is None


async def test_completing_and_failing_for_good_use_no_try(scene: Scene) -> None:
    await scene.create("a", "b")
    done = await scene.complete(scene.ada, (await scene.hold(scene.ada)).claim)
    failed = await scene.fail(scene.ada, (await scene.hold(scene.ada)).claim)
    assert (done.tries_left, failed.tries_left) == (3, 3)


# lapse


async def test_what_is_over_is_free_again_and_uses_a_try(scene: Scene) -> None:
    await scene.create("one", "two")
    await scene.hold(scene.ada, 1)
    await scene.hold(scene.ada, 2)
    await scene.end_lease(1)
    assert await scene.lapse() == 1
    task = await scene.task(1)
    assert (task.status, task.tries_left, task.holder, task.attempt) == ("todo", 2, None, 1)
    assert (await scene.task(2)).status == "in_progress"
    assert await attempts(scene, 1) == [(1, "lapsed")]
    assert await scene.lapse() == 0


async def test_a_heartbeat_that_is_seen_late_is_over_all_the_same(database: Database) -> None:
    """Its lease was short, and over before it was committed; meanwhile somebody looked for what is over."""
    team = await found(database, 1)
    ada, squad = team.members[0], team.squad.id
    assert squad is not None
    await database.transact(tasks.create, team.owner, team.squad, [TaskNew(title="one")])
    await database.transact(tasks.claim, ada, team.squad, 1)
    async with database.AsyncSessionLocal() as session, session.begin():
        await session.execute(text("DELETE FROM marks"))
    async with database.AsyncSessionLocal() as session, session.begin():
        await tasks.heartbeat(session, ada, team.squad, 1, HeartbeatNew(claim="1/1"))
        await session.execute(text("UPDATE tasks SET lease_ends_at = clock_timestamp()"))
        assert await database.transact(tasks.lapse, squad) == 0
    assert await database.transact(tasks.lapse, squad) == 1


async def test_at_no_tries_left_it_is_failed(async_db: AsyncSession) -> None:
    scene = await play(async_db, max_tries=2)
    await scene.create("one")
    seen = []
    for _ in range(2):
        await scene.hold(scene.ada)
        await scene.end_lease(1)
        await scene.lapse()
        task = await scene.task(1)
        seen.append((task.status, task.tries_left))
    assert seen == [("todo", 1), ("failed", 0)]
    assert await scene.disagreements() == []


async def test_a_claim_takes_back_what_is_over_by_itself(scene: Scene) -> None:
    await scene.create("one")
    await scene.hold(scene.ada)
    await scene.end_lease(1)
    claim = await scene.hold(scene.tess)
    assert claim.claim == "1/2"
    assert (await scene.kinds(of=1))[-2:] == ["task.lapsed", "task.claimed"]
    assert await scene.disagreements() == []


async def test_the_sweeper_finds_squads_by_their_leases(scene: Scene) -> None:
    await scene.create("one")
    await scene.hold(scene.ada)
    assert (await scene.db.execute(tasks.over())).all() == []
    await scene.end_lease(1)
    assert (await scene.db.execute(tasks.over())).scalars().all() == [scene.squad.id]


# lost claims


async def refused(scene: Scene, actor: Actor, claim: str) -> set[str]:
    """Every write of a holder is refused, and nothing happens."""
    before, log = await scene.task(number_of(claim)), await scene.log()
    details = set()
    for attempt in (scene.heartbeat, scene.complete, scene.fail):
        with pytest.raises(LostClaim) as caught:
            await attempt(actor, claim)
        details.add(caught.value.detail)
        assert caught.value.fields == {"task": before.number, "attempt": before.attempt, "status": before.status}
    assert await scene.task(before.number) == before
    assert await scene.log() == log
    return details


async def test_a_lease_that_is_over_is_lost_before_anybody_swept(scene: Scene) -> None:
    await scene.create("one")
    claim = await scene.hold(scene.ada)
    await scene.end_lease(1)
    assert await refused(scene, scene.ada, claim.claim) == {"The lease of #1 (attempt 1) is over."}


async def test_a_swept_one_is_lost(scene: Scene) -> None:
    await scene.create("one")
    claim = await scene.hold(scene.ada)
    await scene.end_lease(1)
    await scene.lapse()
    assert await refused(scene, scene.ada, claim.claim) == {"#1 is todo."}


async def test_the_next_attempt_fences_the_last_one_out(scene: Scene) -> None:
    await scene.create("one")
    claim = await scene.hold(scene.ada)
    await scene.end_lease(1)
    await scene.hold(scene.tess)
    assert await refused(scene, scene.ada, claim.claim) == {"#1 is held by tess (attempt 2)."}


async def test_also_when_both_are_ones_own(scene: Scene) -> None:
    await scene.create("one")
    first = await scene.hold(scene.ada)
    await scene.end_lease(1)
    second = await scene.hold(scene.ada)
    await refused(scene, scene.ada, first.claim)
    await scene.complete(scene.ada, second.claim)


async def test_a_claim_is_its_holders_alone(scene: Scene) -> None:
    await scene.create("one")
    claim = await scene.hold(scene.ada)
    for actor in (scene.tess, scene.owner, scene.paul):
        assert await refused(scene, actor, claim.claim) == {"#1 is held by ada (attempt 1)."}


async def test_an_attempt_that_never_was_is_lost(scene: Scene) -> None:
    await scene.create("one")
    await refused(scene, scene.ada, "1/1")
    await scene.hold(scene.ada)
    await refused(scene, scene.ada, "1/2")


async def test_an_ended_one_is_lost(scene: Scene) -> None:
    await scene.create("one", "two")
    done, failed = await scene.hold(scene.ada), await scene.hold(scene.ada)
    await scene.complete(scene.ada, done.claim)
    await scene.fail(scene.ada, failed.claim)
    assert await refused(scene, scene.ada, done.claim) == {"#1 is done."}
    assert await refused(scene, scene.ada, failed.claim) == {"#2 is failed."}


async def test_a_claim_of_no_task_is_not_found(scene: Scene) -> None:
    for attempt in (scene.heartbeat, scene.complete, scene.fail):
        with pytest.raises(NotFound, match="Task not found"):
            await attempt(scene.ada, "7/1")


async def test_a_claim_of_another_task_is_invalid(scene: Scene) -> None:
    await scene.create("one", "two")
    claim = await scene.hold(scene.ada)
    with pytest.raises(Invalid, match="not one of #2"):
        await scene.do(tasks.complete, scene.ada, scene.squad, 2, CompleteNew(claim=claim.claim))
    with pytest.raises(Invalid, match="not one of #2"):
        await scene.do(tasks.heartbeat, scene.ada, scene.squad, 2, HeartbeatNew(claim=claim.claim))


# reads


async def test_a_page_goes_on_behind_a_number(scene: Scene) -> None:
    await scene.create(*"abcde")

    async def page(status: str | None, after: int, limit: int) -> tuple[list[int], str | None]:
        query = tasks.page("status") if status else tasks.page()
        found = Tasks.model_validate(await scene.read(query, scene.ada, scene.squad, Wanted(status), after, limit))
        return [task.number for task in found.items], found.next

    assert await page(None, 0, 2) == ([1, 2], "2")
    assert await page(None, 2, 2) == ([3, 4], "4")
    assert await page(None, 4, 2) == ([5], None)
    await scene.hold(scene.ada, 3)
    assert await page("todo", 0, 50) == ([1, 2, 4, 5], None)
    assert await page("in_progress", 0, 50) == ([3], None)
    assert await page("done", 0, 50) == ([], None)


async def test_the_board_shows_what_is_not_done_and_the_last_that_were(scene: Scene) -> None:
    await scene.create(*[f"{n}" for n in range(limits.ENDED + 3)])
    await scene.create(TaskNew(title="blocked", depends_on=[limits.ENDED + 3]))
    for number in range(1, limits.ENDED + 3):
        await scene.complete(scene.ada, (await scene.hold(scene.ada, number)).claim)
    board = Board.model_validate(await scene.read(tasks.board, scene.ada, scene.squad))
    assert [card.number for card in board.tasks] == list(range(3, limits.ENDED + 5))
    assert (board.squad, board.name, board.last) == (scene.squad.id, "webshop", len(await scene.log()))
    cards = {card.number: card.model_dump() for card in board.tasks}
    for number in (3, limits.ENDED + 3, limits.ENDED + 4):
        assert cards[number] == {"paths": [], **(await scene.task(number)).model_dump(include=set(cards[number]))}


async def test_an_empty_board_is_a_board(scene: Scene) -> None:
    board = Board.model_validate(await scene.read(tasks.board, scene.ada, scene.squad))
    assert (board.tasks, board.last) == ([], len(await scene.log()))


async def test_what_a_write_answers_is_what_a_read_finds(scene: Scene) -> None:
    await scene.create("one")
    seen: list[Task] = []
    claim = await scene.hold(scene.ada)
    seen += [claim.task, await scene.task(1)]
    seen += [await scene.fail(scene.ada, claim.claim, retry=True), await scene.task(1)]
    claim = await scene.hold(scene.ada)
    seen += [await scene.complete(scene.ada, claim.claim, 1), await scene.task(1)]
    assert seen[0::2] == seen[1::2]
