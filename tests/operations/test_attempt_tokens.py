"""A token of an attempt speaks as the holder, while the attempt is live and no longer."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import text

from agentsquad.schemas.members import PauseNew, Tokens
from agentsquad.schemas.messages import AcknowledgeNew, MessageNew
from agentsquad.schemas.tasks import CancelNew, CompleteNew, TaskNew, TokenOfAttemptNew
from backend.core.errors import Invalid, LostClaim, NotFound
from backend.operations import idempotency, keys, members, messages, tasks
from backend.operations.access import Actor, MemberRef
from tests.operations.scene import Scene

End = Callable[[Scene], Awaitable[Any]]


async def token(scene: Scene, actor: Actor, claim: str) -> str:
    number = int(claim.partition("/")[0])
    made = await scene.do(tasks.create_token, actor, scene.squad, number, TokenOfAttemptNew(claim=claim))
    return made.secret


async def stands_for(scene: Scene, secret: str) -> Actor | None:
    digest = keys.digest(secret)
    assert digest is not None
    row = await scene.read(keys.member_of, digest)
    if row is None:
        return None
    return Actor(member_id=row["member_id"], squad_id=row["squad_id"], claim=f"{row['task_number']}/{row['attempt']}")


async def holding(scene: Scene) -> str:
    """A token of ada's attempt at #1."""
    await scene.create("Cart is lost")
    return await token(scene, scene.ada, (await scene.hold(scene.ada)).claim)


async def test_it_stands_for_the_holder_and_its_attempt_and_is_no_event(scene: Scene) -> None:
    secret = await holding(scene)
    assert await stands_for(scene, secret) == Actor(scene.ada.user_id, scene.ada.member_id, scene.squad.id, claim="1/1")
    assert "member.token_created" not in await scene.kinds()
    assert await scene.disagreements() == []


async def split(scene: Scene) -> None:
    await scene.create(TaskNew(title="Part", parent=1), by=scene.ada)
    await scene.held("wait_for_children", scene.ada, "1/1")


async def again(scene: Scene) -> None:
    """The next attempt is the same member's."""
    await scene.held("release", scene.ada, "1/1")
    await scene.hold(scene.ada)


ENDS: dict[str, End] = {
    "completed": lambda scene: scene.complete(scene.ada, "1/1"),
    "failed": lambda scene: scene.fail(scene.ada, "1/1"),
    "tried again": lambda scene: scene.fail(scene.ada, "1/1", retry=True),
    "released": lambda scene: scene.held("release", scene.ada, "1/1"),
    "released and claimed again": again,
    "handed off": lambda scene: scene.held("handoff", scene.ada, "1/1", to="tess", note="yours"),
    "split": split,
    "asked": lambda scene: scene.ask(scene.ada, "1/1"),
    "cancelled": lambda scene: scene.steer("cancel", scene.owner, 1, CancelNew()),
    "over": lambda scene: scene.end_lease(1),
    "paused": lambda scene: scene.do(members.pause, scene.owner, scene.squad, "ada", PauseNew(now=True)),
    "retired": lambda scene: scene.do(members.retire, scene.owner, scene.squad, "ada"),
}


@pytest.mark.parametrize("end", ENDS)
async def test_it_is_dead_when_the_attempt_has_ended(scene: Scene, end: str) -> None:
    secret = await holding(scene)
    await scene.heartbeat(scene.ada, "1/1")
    assert await stands_for(scene, secret) is not None
    await ENDS[end](scene)
    assert await stands_for(scene, secret) is None


async def test_a_member_that_is_paused_softly_keeps_what_it_holds(scene: Scene) -> None:
    secret = await holding(scene)
    await scene.do(members.pause, scene.owner, scene.squad, "ada", PauseNew())
    assert await stands_for(scene, secret) is not None


LATE: dict[str, tuple[Any, ...]] = {
    "send": (messages.send, MessageNew(to="tess", body="x")),
    "create": (tasks.create, [TaskNew(title="x")]),
    "claim": (tasks.claim, 2),
    "cancel": (tasks.cancel, 2, CancelNew()),
    "complete another": (tasks.complete, 3, CompleteNew(claim="3/1")),
    "acknowledge": (messages.acknowledge, "me", AcknowledgeNew(messages=[1])),
    "token": (tasks.create_token, 1, TokenOfAttemptNew(claim="1/1")),
}


@pytest.mark.parametrize("late", LATE)
async def test_who_still_comes_with_it_changes_nothing(scene: Scene, late: str) -> None:
    """A server remembers a token for a second, so each operation that comes with one is held against its attempt."""
    child = await stands_for(scene, await holding(scene))
    assert child is not None
    await scene.create("free", "held", by=scene.ada)
    await scene.hold(scene.ada, 3)
    await again(scene)
    before = await scene.tables()
    operation, *given = LATE[late]
    with pytest.raises(LostClaim, match="#1"):
        await scene.do(idempotency.once, child, None, operation, scene.squad, *given)
    assert await scene.tables() == before


@pytest.mark.parametrize("early", ["send", "create", "claim", "cancel", "complete another", "token"])
async def test_who_comes_in_time_acts_as_the_member(scene: Scene, early: str) -> None:
    child = await stands_for(scene, await holding(scene))
    assert child is not None
    await scene.create("free", "held", by=scene.ada)
    await scene.hold(scene.ada, 3)
    operation, *given = LATE[early]
    assert await scene.do(idempotency.once, child, None, operation, scene.squad, *given)


@pytest.mark.parametrize(
    ("claim", "number", "refusal"),
    [("1/7", 1, LostClaim), ("9/1", 9, NotFound), ("1/1", 2, Invalid)],
)
async def test_only_a_live_claim_gets_one(scene: Scene, claim: str, number: int, refusal: type[Exception]) -> None:
    await holding(scene)
    with pytest.raises(refusal):
        await scene.do(tasks.create_token, scene.ada, scene.squad, number, TokenOfAttemptNew(claim=claim))


async def test_nobody_else_gets_one(scene: Scene) -> None:
    await holding(scene)
    for actor in (scene.tess, scene.owner):
        with pytest.raises(LostClaim):
            await token(scene, actor, "1/1")
    with pytest.raises(NotFound):
        await token(scene, scene.eve, "1/1")


async def test_a_review_has_one_too(scene: Scene) -> None:
    await scene.create(TaskNew(title="Notes", review=""))
    await scene.complete(scene.ada, (await scene.hold(scene.ada)).claim)
    review = await scene.hold(scene.tess)
    secret = await token(scene, scene.tess, review.claim)
    assert await stands_for(scene, secret) is not None
    await scene.held("accept", scene.tess, review.claim)
    assert await stands_for(scene, secret) is None


async def test_they_are_nobodys_to_see_and_dead_ones_are_swept_away(scene: Scene) -> None:
    await holding(scene)
    for attempt in range(2, 5):
        await again_as(scene, attempt)
    rows = await scene.db.scalar(text("SELECT count(*) FROM member_tokens"))
    assert rows == 1
    listed = await scene.read(members.tokens, scene.owner, scene.squad, MemberRef(None, "ada"))
    assert Tokens.model_validate(listed).items == []


async def again_as(scene: Scene, attempt: int) -> None:
    """Another attempt, and a token of it."""
    await scene.held("release", scene.ada, f"1/{attempt - 1}")
    await token(scene, scene.ada, (await scene.hold(scene.ada)).claim)
