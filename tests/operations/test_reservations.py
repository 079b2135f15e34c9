"""Claims that reserve paths, and claims with a lease of their own."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import text

from agentsquad.schemas import limits
from agentsquad.schemas.members import PauseNew
from agentsquad.schemas.squads import SquadNew
from agentsquad.schemas.tasks import Attempts, Board, CancelNew, ClaimNew, ClaimTaskNew, HeartbeatNew, TaskNew
from backend.core.database import Database
from backend.core.errors import Forbidden, Invalid, NotFound, Overloaded, Paused, Reserved, WrongStatus
from backend.operations import members, squads, tasks
from backend.operations.access import SquadRef
from backend.operations.tasks import reserving
from tests.campaigns.crew import eventually, found
from tests.operations.scene import Scene


async def reserved(scene: Scene, *paths: str, number: int = 1, **how: Any) -> str:
    """Let ada hold a task with those paths; answers the claim."""
    return (await scene.hold(scene.ada, number, paths=list(paths), **how)).claim


async def test_an_overlap_names_the_holder_and_until_when(scene: Scene) -> None:
    await scene.create("one", "two")
    held = await scene.hold(scene.ada, 1, paths=["docs/", "src/**/*.py"])
    assert held.paths == ["docs/", "src/**/*.py"]
    before = await scene.tables()
    with pytest.raises(Reserved) as refused:
        await scene.claim(scene.tess, 2, paths=["README.md", "src/cart/a.py"])
    until = held.task.lease_ends_at
    assert until is not None
    assert refused.value.detail == (
        "src/cart/a.py overlaps with src/**/*.py, which ada reserves for #1 (attempt 1) "
        f"until {until.astimezone(UTC):%H:%M:%S} UTC; wait for it, or claim with other paths."
    )
    fields = refused.value.fields
    assert datetime.fromisoformat(str(fields.pop("until"))) == until
    assert fields == {"task": 1, "attempt": 1, "holder": "ada", "path": "src/cart/a.py", "other": "src/**/*.py"}
    assert await scene.tables() == before
    assert await scene.disagreements() == []


async def test_what_does_not_overlap_is_claimed_and_the_log_tells_it(scene: Scene) -> None:
    await scene.create("one", "two", "three")
    await reserved(scene, "src/cart")
    assert (await scene.hold(scene.tess, 2, paths=["src/shop", "*.md"])).paths == ["src/shop", "*.md"]
    assert (await scene.hold(scene.paul)).paths == []  # who names none is in nobody's way
    claims = [event["data"]["paths"] for event in await scene.log() if event["kind"] == "task.claimed"]
    assert claims == [["src/cart"], ["src/shop", "*.md"], []]
    assert await scene.disagreements() == []


async def test_one_s_own_other_attempt_counts_too(scene: Scene) -> None:
    await scene.create("one", "two")
    await reserved(scene, "a.py")
    with pytest.raises(Reserved, match="ada reserves for #1"):
        await scene.claim(scene.ada, paths=["a.py"])


async def test_a_person_reserves_without_an_end(scene: Scene) -> None:
    await scene.create("one", "two")
    held = await scene.hold(scene.paul, 1, paths=["a.py"], lease_seconds=300)
    assert (held.lease_seconds, held.task.lease_ends_at) == (None, None)
    with pytest.raises(Reserved, match="without a lease that could end") as refused:
        await scene.claim(scene.ada, paths=["a.py"])
    assert refused.value.fields["until"] is None


ENDS: dict[str, Any] = {
    "complete": lambda scene, claim: scene.complete(scene.ada, claim),
    "fail": lambda scene, claim: scene.fail(scene.ada, claim),
    "retry": lambda scene, claim: scene.fail(scene.ada, claim, retry=True),
    "release": lambda scene, claim: scene.held("release", scene.ada, claim),
    "handoff": lambda scene, claim: scene.held("handoff", scene.ada, claim, to="paul", note="yours"),
    "ask": lambda scene, claim: scene.ask(scene.ada, claim),
    "wait": lambda scene, claim: scene.held("wait_for_children", scene.ada, claim),
    "cancel": lambda scene, _: scene.steer("cancel", scene.owner, 1, CancelNew()),
    "pause": lambda scene, _: scene.do(members.pause, scene.owner, scene.squad, "ada", PauseNew(now=True)),
    "retire": lambda scene, _: scene.do(members.retire, scene.owner, scene.squad, "ada"),
    "lapse": lambda scene, _: scene.end_lease(1),  # nobody has swept
}


@pytest.mark.parametrize("end", ENDS)
async def test_it_ends_with_the_attempt_however_that_ends(scene: Scene, end: str) -> None:
    await scene.create("one", TaskNew(title="two", role="tester"))
    claim = await reserved(scene, "src/")
    with pytest.raises(Reserved):
        await scene.claim(scene.tess, 2, paths=["src/a.py"])
    await ENDS[end](scene, claim)
    assert (await scene.hold(scene.tess, 2, paths=["src/a.py"])).paths == ["src/a.py"]
    assert await scene.disagreements() == []


async def test_a_heartbeat_in_time_keeps_it(scene: Scene) -> None:
    await scene.create("one", "two")
    claim = await reserved(scene, "src/")
    await scene.heartbeat(scene.ada, claim)
    with pytest.raises(Reserved):
        await scene.claim(scene.tess, paths=["src/"])


async def test_a_heartbeat_of_the_last_moment_keeps_it_too(database: Database) -> None:
    """It is written, and not yet committed, when somebody else claims who sees a lease that is over."""
    team = await found(database, 2)
    ada, tess = team.members
    await database.transact(tasks.create, team.owner, team.squad, [TaskNew(title="one"), TaskNew(title="two")])
    await database.transact(tasks.claim, ada, team.squad, 1, paths=["src/"], lease_seconds=300)
    async with database.AsyncSessionLocal() as session, session.begin():
        await session.execute(
            text("UPDATE tasks SET lease_ends_at = clock_timestamp() + interval '1 s' WHERE number = 1")
        )
    async with database.AsyncSessionLocal() as session, session.begin():
        await tasks.heartbeat(session, ada, team.squad, 1, HeartbeatNew(claim="1/1"))
        over = "SELECT lease_ends_at <= clock_timestamp() FROM tasks WHERE number = 1"

        async def seen() -> object:
            async with database.AsyncSessionLocal() as other:
                return await other.scalar(text(over))

        await eventually(seen, 20)
        claiming = asyncio.create_task(database.transact(tasks.claim, tess, team.squad, paths=["src/"]))
        waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"

        async def waiting() -> object:
            return await session.scalar(text(waits))

        await eventually(waiting, 20)
    with pytest.raises(Reserved):
        await claiming


async def test_a_review_reserves_like_work(scene: Scene) -> None:
    await scene.create(TaskNew(title="one", review=""), "two")
    await scene.complete(scene.ada, await reserved(scene, "src/"), "done")
    assert (await scene.hold(scene.tess, 1, paths=["src/"])).kind == "review"
    with pytest.raises(Reserved, match="tess reserves for #1"):
        await scene.claim(scene.ada, paths=["src/"])


async def test_another_squad_s_paths_are_nobody_s_business(scene: Scene) -> None:
    await scene.create("one")
    await reserved(scene, "src/")
    other = SquadRef(await scene.do(squads.create, scene.eve, SquadNew(name="webshop")), None)
    await scene.do(tasks.create, scene.eve, other, [TaskNew(title="x")])
    assert await scene.do(tasks.claim, scene.eve, other, 1, 1, ["src/"]) is not None
    with pytest.raises(NotFound):
        await scene.do(tasks.claim, scene.eve, scene.squad, 1, 1, ["src/"])


@pytest.mark.parametrize(
    ("number", "refusal"), [(9, NotFound), (1, WrongStatus), (2, Forbidden)], ids=["gone", "held", "another's"]
)
async def test_what_else_stands_in_the_way_is_said_first(scene: Scene, number: int, refusal: type[Exception]) -> None:
    await scene.create("one", TaskNew(title="two", assignee="ada"))
    await reserved(scene, "src/")
    with pytest.raises(refusal):
        await scene.claim(scene.tess, number, paths=["src/"])


async def test_who_finds_nothing_to_do_is_told_so(scene: Scene) -> None:
    await scene.create("one")
    await reserved(scene, "src/")
    assert await scene.claim(scene.tess, paths=["src/"]) is None
    await scene.create("two")
    await scene.do(members.pause, scene.owner, scene.squad, "tess", PauseNew())
    assert await scene.claim(scene.tess, paths=["src/"]) is None
    with pytest.raises(Paused):
        await scene.claim(scene.tess, 2, paths=["src/"])


async def test_with_paths_one_task_is_claimed_at_once(scene: Scene) -> None:
    await scene.create("one", "two")
    with pytest.raises(Invalid) as refused:
        await scene.claims(scene.ada, None, 2, paths=["src/"])
    assert refused.value.fields["errors"] == [{"field": "body.limit", "message": refused.value.detail}]
    assert len(await scene.claims(scene.ada, None, 2, lease_seconds=90)) == 2


async def test_comparing_has_an_end(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    await scene.create("one", "two")
    await reserved(scene, "a.py")
    monkeypatch.setattr(reserving, "SLICE", -1.0)
    assert await scene.claim(scene.tess, 2, paths=["b.py", "c.py"]) is not None
    monkeypatch.setattr(reserving, "MOST", -1.0)
    with pytest.raises(Overloaded, match="name fewer"):
        await scene.claim(scene.tess, paths=["d.py"])


async def test_whatever_is_in_a_path_comes_back_as_it_was(scene: Scene) -> None:
    odd = [
        "quo\"te's/{curly},comma.py",
        "back\\slash",
        "NULL",
        "%s/$1",
        "e\u0301te\u0301/\U0001f980",
        "a" * limits.PATH,
    ]
    await scene.create("one", "two")
    assert (await scene.hold(scene.ada, 1, paths=odd)).paths == odd
    found = Attempts.model_validate(await scene.read(tasks.attempts, scene.owner, scene.squad, 1))
    assert found.items[0].paths == odd
    for path in odd:
        with pytest.raises(Reserved):
            await scene.claim(scene.tess, 2, paths=[path])


# Leases.


async def left(scene: Scene, number: int) -> float:
    """Seconds of a lease that are left."""
    over = "SELECT extract(epoch FROM lease_ends_at - clock_timestamp()) FROM tasks WHERE squad_id = :s AND number = :n"
    return float(str(await scene.db.scalar(text(over), {"s": scene.squad.id, "n": number})))


async def test_a_lease_of_one_s_own_is_renewed_by_as_much(scene: Scene) -> None:
    await scene.create("one", "two")
    held = await scene.hold(scene.ada, 1, lease_seconds=limits.LEASE_MAX)
    plain = await scene.hold(scene.ada, 2)
    assert (held.lease_seconds, plain.lease_seconds) == (limits.LEASE_MAX, 60)
    assert limits.LEASE_MAX - 60 < await left(scene, 1) <= limits.LEASE_MAX
    assert await left(scene, 2) <= 60
    soon = "UPDATE tasks SET lease_ends_at = clock_timestamp() + interval '5 s' WHERE squad_id = :s"
    await scene.db.execute(text(soon), {"s": scene.squad.id})
    await scene.heartbeat(scene.ada, held.claim)
    await scene.heartbeat(scene.ada, plain.claim)
    assert limits.LEASE_MAX - 60 < await left(scene, 1) <= limits.LEASE_MAX
    assert 5 < await left(scene, 2) <= 60
    found = Attempts.model_validate(await scene.read(tasks.attempts, scene.owner, scene.squad, 1))
    assert [attempt.lease_seconds for attempt in found.items] == [limits.LEASE_MAX]


async def test_the_next_attempt_has_the_squad_s_lease_again(scene: Scene) -> None:
    await scene.create("one")
    await scene.held("release", scene.ada, await reserved(scene, "src/", lease_seconds=300))
    again = await scene.hold(scene.ada, 1)
    assert (again.lease_seconds, again.paths) == (60, [])
    await scene.heartbeat(scene.ada, again.claim)
    assert await left(scene, 1) <= 60


# What is shown.


async def test_the_board_and_why_show_what_is_reserved_while_it_is(scene: Scene) -> None:
    await scene.create("one", "two")
    claim = await reserved(scene, "src/**", "docs/", "*.md")

    async def card() -> list[str]:
        board = Board.model_validate(await scene.read(tasks.board, scene.ada, scene.squad))
        return board.tasks[0].paths

    assert await card() == ["src/**", "docs/", "*.md"]
    assert (await scene.why(1)).sentence.endswith(" UTC; reserved: src/** and 2 more.")
    await scene.end_lease(1)
    assert "reserved" not in (await scene.why(1)).sentence
    await scene.lapse()
    assert await card() == []
    assert "reserved" not in (await scene.why(1)).sentence
    await reserved(scene, "x" * limits.PATH)
    assert (await scene.why(1)).sentence.endswith(f" UTC; reserved: {'x' * 100}.")
    assert claim == "1/1"


# What a claim may ask for.


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("./src/a.py", "src/a.py"),
        ("src/./a.py", "src/a.py"),
        ("docs/", "docs/"),
        ("docs/.", "docs"),
        ("...", "..."),
        ("a\\b", "a\\b"),
        ("C:\\x", "C:\\x"),
        (" ", " "),
        ("**/" + "a*/" * (limits.WILDCARDS - 1), "**/" + "a*/" * (limits.WILDCARDS - 1)),
        ("Bj\u00f6rk's/\u65e5\u672c?.md", "Bj\u00f6rk's/\u65e5\u672c?.md"),
        ("x" * limits.PATH, "x" * limits.PATH),
    ],
)
def test_a_path_has_one_form(given: str, kept: str) -> None:
    assert ClaimTaskNew(paths=[given, given]).paths == [kept]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("", "at least 1 character"),
        ("/src", "without a leading /"),
        ("//", "without a leading /"),
        ("../src", "can't lead out"),
        ("src/..", "can't lead out"),
        (".", "names nothing"),
        ("./", "names nothing"),
        ("a//b", "empty part"),
        ("a//", "empty part"),
        ("a\x00", "NUL"),
        ("src/\nFAKE: #9 is done", "can't be printed; write \\? in its place"),
        ("a\r.py", "can't be printed"),
        ("a\x1b[2J", "can't be printed"),
        ("a\u2028b", "can't be printed"),
        ("yp.\u202ea", "can't be printed"),
        ("a\u200b.py", "can't be printed"),
        ("a?/" * (limits.WILDCARDS + 1), "at most 20 parts with"),
        ("**/a/" * (limits.WILDCARDS + 1), "at most 20 parts with"),
        ("a\ud800", "surrogate|unicode"),
        ("x" * (limits.PATH + 1), "at most 500 characters"),
    ],
)
def test_what_is_no_path_is_refused(given: str, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        ClaimTaskNew(paths=[given])


def test_limits_of_paths_and_leases() -> None:
    assert len(ClaimNew(paths=[f"{n}" for n in range(limits.PATHS)]).paths) == limits.PATHS
    with pytest.raises(ValidationError, match="at most 50 items"):
        ClaimNew(paths=[f"{n}" for n in range(limits.PATHS + 1)])
    for seconds in (0, limits.LEASE_MIN - 1, limits.LEASE_MAX + 1, 60.5, True, "60"):
        with pytest.raises(ValidationError, match="lease_seconds"):
            ClaimNew.model_validate({"lease_seconds": seconds})
    assert ClaimNew(lease_seconds=limits.LEASE_MIN).lease_seconds == limits.LEASE_MIN
    assert "lease_seconds" not in ClaimNew(limit=3).model_fields_set
