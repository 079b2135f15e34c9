import re
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from agentsquad.schemas.members import PauseNew
from agentsquad.schemas.tasks import BlockNew, CancelNew, TaskNew, Why
from backend.operations import members, squads, tasks
from tests.operations.scene import Scene

CLOCK = r"\d\d:\d\d:\d\d UTC"
NEVER = {"last_seen_at": None, "paused": False}


async def answered(scene: Scene, sentence: str, **data: Any) -> Why:
    """#1 is explained by this sentence, a pattern, with these data; what isn't given is empty."""
    why, task = await scene.why(1), await scene.task(1)
    assert re.fullmatch(sentence, why.sentence), why.sentence
    empty: dict[str, Any] = {
        "blocked_on": None,
        "holder": None,
        "until": None,
        "role": None,
        "tasks": [],
        "members": [],
        "by": None,
    }
    expected = (
        empty
        | {
            "sentence": why.sentence,
            "task": 1,
            "status": task.status,
            "blocked_on": task.blocked_on,
            "at": task.updated_at,
        }
        | data
    )
    assert why.model_dump() == expected
    assert re.fullmatch(sentence, task.why)
    return why


async def seen(scene: Scene, name: str, ago: timedelta) -> Any:
    """Let somebody have been there last so long ago; answers when."""
    update = "UPDATE members SET last_seen_at = clock_timestamp() - CAST(:ago AS interval) WHERE name = :name"
    return await scene.db.scalar(text(f"{update} RETURNING last_seen_at"), {"ago": ago, "name": name})


async def one(scene: Scene, **new: Any) -> None:
    await scene.create(TaskNew.model_validate({"title": "one"} | new))


# free


async def test_for_anybody(scene: Scene) -> None:
    await one(scene)
    await answered(scene, "#1 waits for anybody.")


@pytest.mark.parametrize(("role", "article"), [("backend", "a"), ("editor", "an")])
async def test_for_a_role_that_nobody_has(scene: Scene, role: str, article: str) -> None:
    await one(scene, role=role)
    await scene.do(members.retire, scene.owner, scene.squad, "ada")
    sentence = f"#1 waits for {article} {role}, and the squad has none that could take it."
    await answered(scene, sentence, role=role)


async def test_for_a_role_whose_members_were_never_seen(scene: Scene) -> None:
    await one(scene, role="tester")
    await answered(
        scene, "#1 waits for a tester. tess was never seen.", role="tester", members=[{"name": "tess"} | NEVER]
    )


@pytest.mark.parametrize(
    ("ago", "said"),
    [
        (timedelta(seconds=12), r"1\d s"), (timedelta(seconds=90), r"9\d s"), (timedelta(minutes=3), "3 min"),
        (timedelta(minutes=119), "119 min"), (timedelta(hours=5), "5 h"), (timedelta(hours=47), "47 h"),
        (timedelta(hours=50), "2 days"),
    ],
)  # fmt: skip
async def test_for_a_role_whose_member_was_seen_then(scene: Scene, ago: timedelta, said: str) -> None:
    await one(scene, role="tester")
    at = await seen(scene, "tess", ago)
    found = [{"name": "tess", "last_seen_at": at, "paused": False}]
    why = await answered(
        scene, f"#1 waits for a tester. tess was last seen ({said}) ago.", role="tester", members=found
    )
    assert why.members[0].last_seen_at == at


async def test_whoever_was_seen_last_comes_first_and_the_paused_say_so(scene: Scene) -> None:
    await one(scene, role="tester")
    await scene.db.execute(text("UPDATE members SET role = 'tester' WHERE name <> 'owner'"))
    await seen(scene, "ada", timedelta(minutes=3))
    await seen(scene, "tess", timedelta(hours=5))
    await scene.do(members.pause, scene.owner, scene.squad, "tess", PauseNew())
    why = await scene.why(1)
    assert why.sentence == ("#1 waits for a tester. ada was last seen 3 min ago, tess is paused, paul was never seen.")
    assert [(member.name, member.paused) for member in why.members] == [
        ("ada", False), ("tess", True), ("paul", False),
    ]  # fmt: skip


async def test_of_many_five_are_named(scene: Scene) -> None:
    await one(scene, role="tester")
    await scene.db.execute(
        text(
            "INSERT INTO members (id, squad_id, name, kind, role, instructions) SELECT gen_random_uuid(), :squad, "
            "'t' || n, 'external', 'tester', '' FROM generate_series(1, 9) n"
        ),
        {"squad": scene.squad.id},
    )
    assert len((await scene.why(1)).members) == 5


async def test_for_one_member(scene: Scene) -> None:
    await one(scene, assignee="ada", role="tester")
    await answered(scene, "#1 waits for ada. ada was never seen.", members=[{"name": "ada"} | NEVER])


async def test_for_one_member_who_is_paused(scene: Scene) -> None:
    await one(scene, assignee="ada")
    await scene.do(members.pause, scene.owner, scene.squad, "ada", PauseNew())
    found = [{"name": "ada", "last_seen_at": None, "paused": True}]
    await answered(scene, "#1 waits for ada. ada is paused.", members=found)


async def test_in_a_squad_that_is_paused(scene: Scene) -> None:
    await one(scene)
    await scene.do(squads.pause, scene.owner, scene.squad, PauseNew())
    await answered(scene, "#1 waits for anybody. The squad is paused.")


# in progress and in review


async def test_held_with_a_lease(scene: Scene) -> None:
    await one(scene)
    until = (await scene.hold(scene.ada)).task.lease_ends_at
    assert until is not None
    why = await answered(scene, rf"#1 is held by ada \(attempt 1\) until {CLOCK}.", holder="ada", until=until)
    assert f"{until:%H:%M:%S}" in why.sentence


async def test_held_by_a_person(scene: Scene) -> None:
    await one(scene)
    await scene.hold(scene.paul)
    await answered(scene, r"#1 is held by paul \(attempt 1\) without a lease that could end.", holder="paul")


async def test_held_no_longer_though_nobody_swept(scene: Scene) -> None:
    await one(scene)
    await scene.hold(scene.ada)
    await scene.end_lease(1)
    until = (await scene.task(1)).lease_ends_at
    sentence = rf"#1 is held by ada \(attempt 1\) no longer: the lease was over at {CLOCK}."
    await answered(scene, sentence, holder="ada", until=until)


async def test_waiting_for_a_reviewer_of_a_role(scene: Scene) -> None:
    await one(scene, review="tester")
    await scene.complete(scene.ada, (await scene.hold(scene.ada)).claim)
    at = await seen(scene, "tess", timedelta(minutes=3))
    found = [{"name": "tess", "last_seen_at": at, "paused": False}]
    sentence = "#1 is in review: waits for a tester. tess was last seen 3 min ago."
    await answered(scene, sentence, role="tester", members=found)


async def test_waiting_for_a_reviewer_who_is_not_its_worker(scene: Scene) -> None:
    await one(scene, review="tester")
    await scene.complete(scene.tess, (await scene.hold(scene.tess)).claim)
    sentence = "#1 is in review: waits for a tester, and the squad has none that could take it."
    await answered(scene, sentence, role="tester")


async def test_waiting_for_any_reviewer(scene: Scene) -> None:
    await one(scene, review="")
    await scene.complete(scene.ada, (await scene.hold(scene.ada)).claim)
    await answered(scene, "#1 is in review: waits for anybody but its worker.")


async def test_under_review(scene: Scene) -> None:
    await one(scene, review="tester")
    await scene.complete(scene.ada, (await scene.hold(scene.ada)).claim)
    until = (await scene.hold(scene.tess)).task.lease_ends_at
    await answered(scene, rf"#1 is reviewed by tess \(attempt 2\) until {CLOCK}.", holder="tess", until=until)


# blocked


async def depending(scene: Scene) -> None:
    """#1 waits for #2, #3 and #4."""
    await scene.create(*"abcd")
    for number in (2, 3, 4):
        await scene.steer("add_dependency", scene.owner, 1, number)


async def test_by_dependencies(scene: Scene) -> None:
    await depending(scene)
    await scene.complete(scene.ada, (await scene.hold(scene.ada, 2)).claim)
    await scene.hold(scene.ada, 3)
    waited = [
        {"number": 3, "status": "in_progress", "holder": "ada"},
        {"number": 4, "status": "todo", "holder": None},
    ]
    await answered(scene, r"#1 waits for #3 \(in progress, held by ada\), #4 \(todo\).", tasks=waited)


async def test_by_dependencies_that_failed_or_were_cancelled(scene: Scene) -> None:
    await depending(scene)
    await scene.fail(scene.ada, (await scene.hold(scene.ada, 2)).claim)
    await scene.steer("cancel", scene.owner, 3, CancelNew())
    waited = [
        {"number": number, "status": status, "holder": None}
        for number, status in ((2, "failed"), (3, "cancelled"), (4, "todo"))
    ]
    sentence = "#1 is stuck: #2 failed, #3 was cancelled; retry it, remove the dependency or cancel."
    await answered(scene, sentence, tasks=waited)


async def test_by_children(scene: Scene) -> None:
    await one(scene)
    claim = await scene.hold(scene.ada)
    await scene.create(*[TaskNew(title=title, parent=1) for title in "abc"])
    await scene.complete(scene.tess, (await scene.hold(scene.tess, 2)).claim)
    await scene.held("wait_for_children", scene.ada, claim.claim)
    await scene.hold(scene.tess, 3)
    waited = [
        {"number": 3, "status": "in_progress", "holder": "tess"},
        {"number": 4, "status": "todo", "holder": None},
    ]
    await answered(scene, r"#1 waits for its children #3 \(in progress, held by tess\), #4 \(todo\).", tasks=waited)


@pytest.mark.parametrize(("on", "said"), [("budget", "is blocked: the budget is spent"), ("stalled", "is stalled")])
async def test_by_the_owner(scene: Scene, on: str, said: str) -> None:
    await one(scene)
    given = BlockNew.model_validate({"on": on, "reason": "5 of 5 EUR"})
    await scene.steer("block", scene.owner, 1, given)
    sentence = rf"#1 {said} \(5 of 5 EUR\); the owner can resume it."
    await answered(scene, sentence, by={"reason": "5 of 5 EUR"})


async def test_by_a_limit_that_is_no_sentence(scene: Scene) -> None:
    await one(scene)
    await scene.steer("block", scene.owner, 1, BlockNew(on="budget", reason="x"))
    await scene.db.execute(text("UPDATE tasks SET blocked_by = '{\"limit\": 5}'"))
    sentence = r"#1 is blocked: the budget is spent \(\{\"limit\": 5\}\); the owner can resume it."
    await answered(scene, sentence, by={"limit": 5})
    await scene.db.execute(text("UPDATE tasks SET blocked_by = NULL"))
    await answered(scene, "#1 is blocked: the budget is spent; the owner can resume it.")


# ended


async def test_done_by_its_worker(scene: Scene) -> None:
    await one(scene)
    await scene.complete(scene.ada, (await scene.hold(scene.ada)).claim)
    await answered(scene, "#1 is done: completed by ada.")


async def test_done_as_its_reviewer_found(scene: Scene) -> None:
    await one(scene, review="tester")
    await scene.complete(scene.ada, (await scene.hold(scene.ada)).claim)
    await scene.held("accept", scene.tess, (await scene.hold(scene.tess)).claim)
    await answered(scene, "#1 is done: accepted by tess.")


@pytest.mark.parametrize(
    ("reason", "said"),
    [("no keys", "no keys"), ("it broke.", "it broke"), ("", "no reason was given"), ("x" * 600, "x" * 500)],
)
async def test_failed_for_a_reason(scene: Scene, reason: str, said: str) -> None:
    await one(scene)
    await scene.fail(scene.ada, (await scene.hold(scene.ada)).claim, reason)
    await answered(scene, f"#1 failed: {said}.")


async def test_failed_as_its_last_lease_lapsed(scene: Scene) -> None:
    await one(scene)
    for _ in range(3):
        await scene.hold(scene.ada)
        await scene.end_lease(1)
        await scene.lapse()
    await answered(scene, "#1 failed: no try is left, and the lease of ada lapsed.")


@pytest.mark.parametrize(("reason", "said"), [("not needed", ": not needed"), ("", "")])
async def test_cancelled(scene: Scene, reason: str, said: str) -> None:
    await one(scene)
    await scene.steer("cancel", scene.owner, 1, CancelNew(reason=reason))
    await answered(scene, f"#1 was cancelled by owner{said}.")


async def test_cancelled_twice_the_last_one_counts(scene: Scene) -> None:
    await scene.create("one", by=scene.ada)
    await scene.steer("cancel", scene.owner, 1, CancelNew(reason="first"))
    await scene.steer("retry", scene.owner, 1)
    await scene.steer("cancel", scene.ada, 1, CancelNew(reason="last"))
    await answered(scene, "#1 was cancelled by ada: last.")


async def test_no_task_has_no_why(scene: Scene) -> None:
    assert await scene.read(tasks.why, scene.owner, scene.squad, 1) is None
    await one(scene)
    assert await scene.read(tasks.why, scene.eve, scene.squad, 1) is None
