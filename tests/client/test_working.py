"""`work()`: every claim comes to an end, whatever becomes of the body."""

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from agentsquad.client import AsyncClient, Held, Invalid, LostClaim, NotFound, Reserved
from agentsquad.schemas.members import MemberEdit
from agentsquad.schemas.squads import SquadEdit
from agentsquad.schemas.tasks import Attempt, TaskNew
from tests.client.ways import Way


@pytest.fixture
async def owner(owner_of_web: AsyncClient) -> AsyncClient:
    """The owner of a squad with leases of a second, and a task."""
    await owner_of_web.update_squad(SquadEdit(lease_seconds=1))
    await owner_of_web.create_tasks([TaskNew(title="Cart is lost", input={"page": 7})])
    return owner_of_web


@pytest.fixture
async def ada(owner: AsyncClient) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(member="ada") as ada:
        yield ada


async def last(owner: AsyncClient, number: int = 1) -> Attempt:
    """The last attempt at a task."""
    return (await owner.attempts(number))[-1]


async def until(holds: Callable[[], Awaitable[object]]) -> None:
    ends = time.monotonic() + 20
    while not await holds():
        assert time.monotonic() < ends
        await asyncio.sleep(0.02)


async def test_five_lines_make_a_member(owner: AsyncClient) -> None:
    await owner.create_tasks([TaskNew(title="Another", role="writer")])
    async with AsyncClient(member="tess") as squad:
        async for claim in squad.work(role="writer"):
            await claim.complete(claim.task.input)
            if claim.task.number == 1:
                break
    assert [task.result for task in await owner.tasks()] == [{"page": 7}, {}]
    assert [(await last(owner, number)).member for number in (1, 2)] == ["tess", "tess"]


async def broken(error: Exception, *, retry: bool = False) -> None:
    """A worker whose body raises."""
    with contextlib.suppress(type(error)):
        async with AsyncClient(member="ada") as squad:
            async for _ in squad.work(retry=retry):
                raise error


async def test_a_body_that_raises_fails_its_task_with_the_error(owner: AsyncClient) -> None:
    await broken(ZeroDivisionError("division by zero"))
    attempt = await last(owner)
    assert (attempt.outcome, attempt.reason) == ("failed", "ZeroDivisionError: division by zero")


async def test_with_retry_it_may_be_tried_again(owner: AsyncClient) -> None:
    await broken(ValueError("x" * 10_000), retry=True)
    task = await owner.task(1)
    assert (task.status, task.tries_left) == ("todo", 2)


async def test_a_body_that_forgets_its_task_fails_it(owner: AsyncClient, ada: AsyncClient) -> None:
    await owner.create_tasks([TaskNew(title="Another")])
    async with contextlib.aclosing(ada.work()) as work:
        async for claim in work:
            if claim.task.number == 2:
                await claim.complete()
                break
    attempt = await last(owner)
    assert (attempt.outcome, attempt.reason) == ("failed", "The worker left it unfinished.")
    assert (await last(owner, 2)).outcome == "completed"


async def test_leaving_the_loop_leaves_nothing_held(owner: AsyncClient) -> None:
    async with AsyncClient(member="ada") as squad:
        async for _ in squad.work():
            break
    assert (await last(owner)).outcome == "failed"


async def test_a_worker_that_is_cancelled_gives_its_task_back(owner: AsyncClient) -> None:
    async def working() -> None:
        async with AsyncClient(member="ada") as squad:
            async for _ in squad.work():
                await asyncio.Event().wait()

    async def held() -> bool:
        return (await owner.task(1)).status == "in_progress"

    running = asyncio.create_task(working())
    await until(held)
    running.cancel()
    await asyncio.wait({running})
    assert running.cancelled()
    attempt = await last(owner)
    assert (attempt.outcome, attempt.reason) == ("released", "The worker was stopped.")


async def test_a_heartbeat_keeps_a_long_task(owner: AsyncClient, ada: AsyncClient) -> None:
    async with contextlib.aclosing(ada.work()) as work:
        claim = await anext(work)
        await asyncio.sleep(2.5)  # seconds; the lease is one
        assert (await claim.complete()).attempt == 1


async def test_a_lost_claim_is_known_and_harms_nobody(owner: AsyncClient, ada: AsyncClient) -> None:
    async with contextlib.aclosing(ada.work()) as work:
        claim = await anext(work)
        await owner.pause("ada", now=True)

        async def known() -> bool:
            return not claim.live

        await until(known)
        for call in (claim.complete(), claim.send("x"), claim.create_tasks([TaskNew(title="y")])):
            with pytest.raises(LostClaim):
                await call
    assert [attempt.outcome for attempt in await owner.attempts(1)] == ["paused"]
    assert [task.title for task in await owner.tasks()] == ["Cart is lost"]


async def test_a_result_is_handed_in_when_the_server_is_back(owner: AsyncClient) -> None:
    async with (
        Way(owner.url) as way,
        AsyncClient(way.url, member="ada", patience=0.1) as squad,
        contextlib.aclosing(squad.work()) as work,
    ):
        claim = await anext(work)
        way.away = b"/complete"
        handing = asyncio.create_task(claim.complete("mended"))
        await asyncio.sleep(1.5)  # seconds; the lease is one
        assert not handing.done()
        way.away = None
        assert (await handing).result == "mended"


async def test_a_refused_result_leaves_the_task_held(owner: AsyncClient, ada: AsyncClient) -> None:
    async with contextlib.aclosing(ada.work()) as work:
        claim = await anext(work)
        with pytest.raises(Invalid, match="is no JSON: it holds a set"):
            await claim.complete({1, 2})
        looped: list[object] = []
        looped.append(looped)
        with pytest.raises(Invalid, match="result can't be used"):
            await claim.complete(looped)
        assert claim.live
        assert (await claim.complete()).status == "done"


async def test_what_a_holder_does_goes_under_its_claim(owner: AsyncClient, ada: AsyncClient) -> None:
    async with contextlib.aclosing(ada.work()) as work:
        claim = await anext(work)
        (child,) = await claim.create_tasks([TaskNew(title="Part")])
        assert child.parent == 1
        await claim.send("I looked.")
        assert [message.body for message in await owner.thread(1)] == ["I looked."]
        assert (await claim.wait_for_children()).status == "blocked"
        part = await anext(work)
        assert part.task.number == 2
        question = await part.ask("Which way?", "Left or right")
        await owner.answer(question.number, "left")
        again = await anext(work)
        assert (again.task.number, again.children[0].result) == (2, "left")
        await again.handoff("yours", to="owner")
        assert (await owner.task(2)).assignee == "owner"


async def test_a_review_is_work_too(owner: AsyncClient) -> None:
    await owner.cancel(1)
    await owner.create_tasks([TaskNew(title="Notes", review="")])
    await owner.complete((await held(owner, 2)), "draft")
    async with AsyncClient(member="ada") as squad, contextlib.aclosing(squad.work()) as work:
        review = await anext(work)
        assert (review.kind, review.task.result) == ("review", "draft")
        assert (await review.reject("No date.")).status == "todo"


async def held(client: AsyncClient, number: int) -> str:
    claim = await client.claim(number)
    assert claim is not None
    return claim.claim


async def test_only_an_owner_adds_a_member(owner: AsyncClient) -> None:
    token = (await owner.create_token("ada")).secret
    async with AsyncClient(key=token, member="grace") as stranger:
        with pytest.raises(Exception, match="owner"):
            await anext(stranger.work())
    async with AsyncClient(key=token) as ada:
        assert isinstance(await anext(ada.work()), Held)
    await owner.update_member("ada", MemberEdit(name="lovelace"))
    async with AsyncClient(member="ada") as nobody:
        with pytest.raises(NotFound):
            await nobody.claim()


async def test_a_claim_reserves_paths_and_names_who_does(owner: AsyncClient, ada: AsyncClient) -> None:
    await owner.create_tasks([TaskNew(title="Another")])
    claim = await ada.claim(1, paths=["src/cart", "./docs/"], lease_seconds=600)
    assert claim is not None
    assert (claim.paths, claim.lease_seconds) == (["src/cart", "docs/"], 600)
    for call in (owner.claim(paths="docs/api.md"), owner.claim(2, paths=["docs/api.md"], wait=5)):
        with pytest.raises(Reserved) as refused:
            await call
        assert refused.value.code == "reserved"
        assert {name: refused.value.fields[name] for name in ("task", "holder", "path", "other")} == {
            "task": 1, "holder": "ada", "path": "docs/api.md", "other": "docs/",
        }  # fmt: skip
    free = await owner.claim(2, paths="src/shop")
    assert free is not None
    assert (free.paths, free.lease_seconds) == (["src/shop"], None)


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"paths": ["/etc"]}, "paths.0 can't be used: begins at the root of the checkout, without a leading /."),
        ({"paths": [""]}, "paths.0 can't be used"),
        ({"lease_seconds": 0}, "lease_seconds can't be used"),
    ],
)
async def test_what_cannot_be_reserved_is_refused_before_it_is_sent(how: dict[str, Any], why: str) -> None:
    async with AsyncClient("http://127.0.0.1:9", "sqd_x", squad="web") as client:
        for number in (None, 1):
            with pytest.raises(Invalid, match=re.escape(why)):
                await client.claim(number, **how)


async def test_a_worker_waits_for_whoever_reserves_its_paths(
    owner: AsyncClient, ada: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentsquad.client.working.RESERVED", 0.1)
    await owner.create_tasks([TaskNew(title="Another")])
    other = await owner.claim(2, paths="src/")
    assert other is not None
    async with contextlib.aclosing(ada.work(paths=["src/cart"])) as work:
        coming = asyncio.create_task(anext(work))
        await asyncio.sleep(0.5)
        assert not coming.done()
        assert (await owner.task(1)).status == "todo"
        await owner.complete(other.claim)
        held = await coming
        assert (held.task.number, held.paths) == (1, ["src/cart"])
        await held.complete()
