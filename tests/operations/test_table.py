from collections.abc import Awaitable, Callable
from typing import Any, get_args

import pytest

from agentsquad.schemas.tasks import AnswerNew, BlockedOn, BlockNew, CancelNew, Status, TaskEdit, TaskNew
from backend.core.errors import Forbidden, LostClaim, SquadError, WrongStatus
from backend.operations import tasks
from backend.operations.access import Actor
from tests.operations.scene import HELD, Scene

# What comes out of each operation from each status. A word is the status afterwards; "wrong" is refused with
# `wrong_status`, "lost" with `lost_claim`, "forbidden" with that. A column is a status: of blocked tasks what they
# are blocked on; "question" is in todo and assigned to the person who answers; "to_review" is in progress and wants
# a review; "in_review" is free, "reviewed" is in review and held. Holders come with the last claim that there was, or
# with one that never was.
TABLE = """
                   dependencies  children   budget     stalled    todo          question      in_progress  to_review  in_review  reviewed   done   failed  cancelled
claim              wrong         wrong      wrong      wrong      in_progress   forbidden     wrong        wrong      reviewed   wrong      wrong  wrong   wrong
heartbeat          lost          lost       lost       lost       lost          lost          in_progress  to_review  lost       reviewed   lost   lost    lost
complete           lost          lost       lost       lost       lost          lost          done         in_review  lost       wrong      lost   lost    lost
fail               lost          lost       lost       lost       lost          lost          failed       failed     lost       wrong      lost   lost    lost
fail_with_retry    lost          lost       lost       lost       lost          lost          todo         todo       lost       wrong      lost   lost    lost
release            lost          lost       lost       lost       lost          lost          todo         todo       lost       in_review  lost   lost    lost
handoff            lost          lost       lost       lost       lost          lost          todo         todo       lost       wrong      lost   lost    lost
wait_for_children  lost          lost       lost       lost       lost          lost          todo         todo       lost       wrong      lost   lost    lost
ask                lost          lost       lost       lost       lost          lost          children     children   lost       wrong      lost   lost    lost
accept             lost          lost       lost       lost       lost          lost          wrong        wrong      lost       done       lost   lost    lost
reject             lost          lost       lost       lost       lost          lost          wrong        wrong      lost       todo       lost   lost    lost
answer             wrong         wrong      wrong      wrong      forbidden     done          wrong        wrong      wrong      wrong      wrong  wrong   wrong
update             dependencies  children   budget     stalled    todo          question      in_progress  to_review  in_review  reviewed   wrong  failed  cancelled
add_dependency     dependencies  children   budget     stalled    dependencies  dependencies  wrong        wrong      wrong      wrong      wrong  failed  cancelled
remove_dependency  todo          children   budget     stalled    todo          question      wrong        wrong      wrong      wrong      wrong  failed  cancelled
cancel             cancelled     cancelled  cancelled  cancelled  cancelled     cancelled     cancelled    cancelled  cancelled  cancelled  wrong  wrong   wrong
retry              wrong         wrong      wrong      wrong      wrong         wrong         wrong        wrong      wrong      wrong      wrong  todo    todo
block              wrong         wrong      wrong      wrong      stalled       stalled       stalled      stalled    wrong      wrong      wrong  wrong   wrong
resume             wrong         wrong      todo       todo       wrong         wrong         wrong        wrong      wrong      wrong      wrong  wrong   wrong
"""  # noqa: E501  (a table is read as one)
SUBJECT = 3
REFUSALS: dict[str, type[SquadError]] = {"wrong": WrongStatus, "lost": LostClaim, "forbidden": Forbidden}


def answers() -> dict[str, dict[str, str]]:
    """What comes of each operation, by status."""
    head, *rows = (line.split() for line in TABLE.strip().splitlines())
    return {status: {row[0]: row[at] for row in rows} for at, status in enumerate(head, 1)}


async def arrange(scene: Scene, status: str) -> tuple[Actor, str]:
    """Bring #3 into that status. Answers who made the last claim of it, and the claim."""
    assignee = "owner" if status == "question" else None
    review = "" if status in ("to_review", "in_review", "reviewed") else None
    await scene.create("first", "second")
    await scene.create(TaskNew(title="x", depends_on=[1], review=review, assignee=assignee))
    if status == "dependencies":
        return scene.ada, "3/1"
    await scene.complete(scene.ada, (await scene.hold(scene.ada, 1)).claim)
    if status in ("budget", "stalled"):
        await scene.steer("block", scene.owner, SUBJECT, BlockNew.model_validate({"on": status, "reason": "enough"}))
    elif status not in ("todo", "question"):
        claim = (await scene.hold(scene.ada, SUBJECT)).claim
        match status:
            case "children":
                await scene.create(TaskNew(title="child", parent=SUBJECT))
                await scene.held("wait_for_children", scene.ada, claim)
            case "in_review" | "reviewed" | "done":
                await scene.complete(scene.ada, claim)
            case "failed":
                await scene.fail(scene.ada, claim)
            case "cancelled":
                await scene.steer("cancel", scene.owner, SUBJECT, CancelNew())
    if status == "reviewed":
        return scene.tess, (await scene.hold(scene.tess, SUBJECT)).claim
    return scene.ada, "3/1"


def act(scene: Scene, operation: str, holder: Actor, claim: str) -> Awaitable[object]:
    """Do it, as one who has the right to."""
    ways: dict[str, Callable[[], Awaitable[object]]] = {
        "claim": lambda: scene.claim(scene.tess, SUBJECT),
        "heartbeat": lambda: scene.heartbeat(holder, claim),
        "complete": lambda: scene.complete(holder, claim),
        "fail": lambda: scene.fail(holder, claim),
        "fail_with_retry": lambda: scene.fail(holder, claim, retry=True),
        "ask": lambda: scene.ask(holder, claim),
        "reject": lambda: scene.held("reject", holder, claim, note="no"),
        "handoff": lambda: scene.held("handoff", holder, claim, to="tess", note="yours"),
    }
    given: dict[str, Any] = {
        "answer": AnswerNew(answer="yes"), "update": TaskEdit(title="y"), "cancel": CancelNew(),
        "block": BlockNew(reason="enough"), "add_dependency": 2, "remove_dependency": 1,
    }  # fmt: skip
    if operation in ways:
        return ways[operation]()
    if operation in HELD:
        return scene.held(operation, holder, claim)
    return scene.steer(operation, scene.owner, SUBJECT, *[given[operation]] if operation in given else [])


async def shown(scene: Scene) -> str:
    """The status of #3, in the table's words."""
    task = await scene.task(SUBJECT)
    if task.status == "in_review" and task.holder is not None:
        return "reviewed"
    if task.status == "in_progress" and task.review is not None:
        return "to_review"
    if task.status == "todo" and task.assignee == "owner":
        return "question"
    return task.blocked_on or task.status


def test_every_operation_stands_in_the_table() -> None:
    of_no_status = {
        "claim_hosted",
        "create",
        "create_token",
        "heartbeat_all",
        "lapse",
        "live",
        "over",
        "renew",
        "waiting",
    }
    reads = {"Wanted", "attempts", "board", "claimable", "get", "page", "questions", "relatives", "why"}
    for row in answers().values():
        assert row.keys() - {"fail_with_retry"} == set(tasks.__all__) - of_no_status - reads


def test_every_status_stands_in_the_table() -> None:
    named = set(get_args(Status)) - {"blocked"} | set(get_args(BlockedOn))
    assert answers().keys() == named | {"question", "to_review", "reviewed"}


@pytest.mark.parametrize("status", answers())
async def test_every_pair_is_answered_as_the_table_says(scene: Scene, status: str) -> None:
    holder, claim = await arrange(scene, status)
    assert await shown(scene) == status
    for operation, answer in answers()[status].items():
        async with scene.db.begin_nested() as tried:
            await one_pair(scene, operation, answer, act(scene, operation, holder, claim))
            await tried.rollback()


async def one_pair(scene: Scene, operation: str, answer: str, acting: Awaitable[object]) -> None:
    """Whether the operation is answered so, and a refusal changes nothing."""
    lease, tables, log = (await scene.task(SUBJECT)).lease_ends_at, await scene.tables(), await scene.log()
    if answer in REFUSALS:
        with pytest.raises(REFUSALS[answer]) as caught:
            await acting
        assert type(caught.value) is REFUSALS[answer], operation
        assert (await scene.tables(), await scene.log()) == (tables, log), operation
        assert (await scene.task(SUBJECT)).lease_ends_at == lease, operation
    else:
        await acting
        assert await shown(scene) == answer, operation
        assert (await scene.log() == log) == (operation == "heartbeat"), operation
    assert await scene.disagreements() == [], operation
