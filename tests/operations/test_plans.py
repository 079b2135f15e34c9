"""The plans of the hot statements on a large board: by which index each finds its rows, and how many it looks at.

They hold for plans that know the arguments and for generic ones, which PostgreSQL keeps after five executions.
"""

import hashlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any, Final, get_args

import orjson
import pytest
from sqlalchemy import text

from agentsquad.schemas import limits
from agentsquad.schemas.tasks import CompleteNew, HeartbeatNew, TaskNew
from backend.core.database import Database
from backend.core.errors import Reserved
from backend.core.settings import Settings
from backend.core.statements import ROWS, Query, Statement
from backend.operations import budgets, events, keys, members, messages, squads, steps, tasks
from backend.operations.access import Actor, MemberRef, SquadRef
from backend.operations.tasks import Wanted
from tests.conftest import SCALE, new_database
from tests.operations import large
from tests.operations.plans import Mode, Plan, Watched, watched

TASKS: Final = 1_000_000 if SCALE >= 10 else 50_000
EACH: Final = TASKS // large.LARGE
LAST: Final = EACH * large.EVENTS
ID: Final = large.made_id("squad", 2)
SQUAD, NAMED = SquadRef(ID, None), SquadRef(None, "squad2")
OWNER: Final = Actor(user_id=large.made_id("user", 2))
ADA, NOBODY = (Actor(member_id=large.made_id("member2", number), squad_id=ID) for number in (1, 19))
ME: Final = MemberRef(None, "me")
PAGE: Final = 50
FEW: Final = 10 + large.MEMBERS  # rows: the squad, its members, and what is asked for
SOME: Final = FEW + 3 * PAGE  # a page, and for each row one or two that belong to it
INBOX: Final = SOME + TASKS // 200  # a page; or all of the member's own, sorted, which some samples make seem as cheap
MESSAGES: Final = PAGE * (4 + large.MEMBERS)  # for each the names of its recipients
JOURNAL: Final = FEW + large.STEPS  # all steps of a task
PAID: Final = JOURNAL + EACH // 10 * 2  # each call of a model is summed
CARDS: Final = 8 * 4 * limits.CARDS
ASIDE: Final = ("_members", "_squads", "_users")  # by whichever index: they are small, and bounded by FEW
MODES: Final = get_args(Mode)

# The statement, its arguments, the indexes by which it finds what is large, the rows that it may look at.
Frozen = tuple[Query, tuple[Any, ...], str, int]


def filtered(field: str, value: Any, index: str) -> Frozen:
    """A page of tasks by one field, from its start."""
    return tasks.page(field), (ADA, SQUAD, replace(Wanted(), **{field: value}), 0, PAGE), index, SOME


def position(back: int) -> tuple[Any, ...]:
    """Where a follower stands that many events before the end, and what it asks for."""
    return (ADA, SQUAD, LAST - back, PAGE)


READS: Final[dict[str, Frozen]] = {
    "tasks.get": (tasks.get, (ADA, SQUAD, EACH), "pk_tasks", FEW),
    "tasks.get of the owner": (tasks.get, (OWNER, NAMED, EACH), "pk_tasks", FEW),
    "tasks.board": (tasks.board, (ADA, SQUAD), "ix_tasks_board pk_attempts pk_dependencies pk_events pk_tasks", CARDS),
    "tasks.page": (tasks.page(), (ADA, SQUAD, Wanted(), EACH // 2, PAGE), "pk_tasks", SOME),
    "tasks.page status": filtered("status", "todo", "ix_tasks_board"),
    "tasks.page role": filtered("role", "rare", "ix_tasks_role"),
    "tasks.page assignee": filtered("assignee", "m3", "ix_tasks_assignee"),
    "tasks.page holder": filtered("holder", "m2", "ix_tasks_holder"),
    "tasks.page parent": filtered("parent", EACH // 20 * 10, "ix_tasks_parent"),
    "tasks.claimable": (
        tasks.claimable,
        (NOBODY, SQUAD),
        "ix_tasks_claim_assigned ix_tasks_claim_review ix_tasks_claim_role",
        FEW,
    ),
    "tasks.over": (tasks.over, (), "ix_tasks_lease", FEW),
    "events.after": (events.after(), position(LAST // 2), "pk_events", SOME),
    "events.after task": (events.after("task"), (ADA, SQUAD, 0, PAGE, EACH // 2), "ix_events_task", SOME),
    "events.after kinds": (events.after("kinds"), (*position(100), None, ["task.stuck"]), "pk_events", FEW + 100),
    "events.after task kinds": (
        events.after("task", "kinds"),
        (ADA, SQUAD, 0, PAGE, EACH // 2, ["task.claimed"]),
        "ix_events_task",
        SOME,
    ),
    "events.told": (events.told(), position(LAST // 2), "pk_events", SOME),
    "events.told task": (events.told("task"), (ADA, SQUAD, 0, PAGE, EACH // 2), "ix_events_task", SOME),
    "events.told kinds": (events.told("kinds"), (*position(100), None, ["task.stuck"]), "pk_events", FEW + 100),
    "events.behind": (
        events.behind,
        ([large.made_id("squad", number + 1) for number in range(large.LARGE)], [LAST - 10] * large.LARGE, PAGE),
        "pk_events",
        10 * large.LARGE,
    ),
    "events.last": (events.last, (ADA, SQUAD), "pk_events", FEW),
    "squads.get": (squads.get, (ADA, SQUAD), "", FEW),
    "members.me": (members.me, (ADA, SQUAD), "ix_tasks_holder", FEW + EACH // 100),
    "messages.page": (
        messages.page(),
        (ADA, SQUAD, LAST // 2, PAGE),
        "ix_recipients_position pk_messages",
        MESSAGES,
    ),
    "messages.page task": (
        messages.page("task"),
        (ADA, SQUAD, 0, PAGE, EACH // 2),
        "ix_messages_task ix_recipients_position pk_tasks",
        SOME,
    ),
    "messages.thread_end": (
        messages.thread_end,
        (ADA, SQUAD, EACH // 2, PAGE),
        "ix_messages_task ix_recipients_position",
        SOME,
    ),
    "messages.inbox": (messages.inbox(), (ADA, SQUAD, ME, 0, PAGE), "pk_messages pk_recipients", INBOX),
    "messages.inbox unread": (
        messages.inbox("unread"),
        (ADA, SQUAD, ME, 0, PAGE),
        "ix_recipients_unread pk_messages",
        SOME,
    ),
    "messages.inbox unread task": (
        messages.inbox("unread", "task"),
        (ADA, SQUAD, ME, 0, PAGE, EACH // 2),
        "ix_recipients_unread pk_messages",
        SOME,
    ),
    "messages.latest": (messages.latest, (ADA, SQUAD, ME, LAST, PAGE), "pk_messages pk_recipients", INBOX),
    "members.team": (members.team, (ADA, SQUAD), "ix_tasks_holder pk_attempts", FEW + EACH // 50),
    "tasks.relatives": (
        tasks.relatives,
        (ADA, SQUAD, EACH // 2, PAGE),
        "ix_dependencies_depends_on ix_tasks_parent pk_dependencies pk_tasks",
        SOME,
    ),
    "tasks.questions": (tasks.questions, (ADA, SQUAD, PAGE), "ix_tasks_claim_assigned", FEW),
    "steps.page": (steps.page, (ADA, SQUAD, EACH // 2, 100, PAGE), "pk_steps pk_tasks", SOME),
    "steps.latest": (steps.latest, (ADA, SQUAD, EACH // 2, 400, PAGE), "pk_steps pk_tasks", JOURNAL),
    "steps.ended": (steps.ended, (ADA, SQUAD, EACH // 2), "pk_steps", JOURNAL),
    "steps.quiet": (steps.quiet, (ADA, SQUAD, EACH // 2), "ix_events_task ix_tasks_parent", SOME),
    "budgets.squad": (budgets.squad, (ADA, SQUAD), "ix_steps_paid", PAID),
    "budgets.task": (budgets.task, (ADA, SQUAD, EACH // 2), "pk_attempts pk_steps pk_tasks", JOURNAL),
    "keys.user_of": (keys.user_of, (hashlib.sha256(b"user2").digest(),), "uq_api_keys_digest", 2),
    "keys.member_of": (
        keys.member_of,
        (hashlib.sha256(str(ADA.member_id).encode()).digest(),),
        "ix_member_tokens_digest ix_tasks_holder",
        2,
    ),
}

# What runs within the functions, by a piece of its text: the plan's first chain, or the indexes where there are more.
CLAIM: Final = {
    "AND assignee_id = p_member": "Limit > Index Only Scan ix_tasks_claim_assigned",
    "AND review = p_role": "Limit > Index Only Scan ix_tasks_claim_review",
    "AND role = p_role": "Limit > Index Only Scan ix_tasks_claim_role",
    "AND review = ''": "Limit > Index Only Scan ix_tasks_claim_review",
    "AND role = ''": "Limit > Index Only Scan ix_tasks_claim_role",
    "lease_ends_at <= p_now AND lease_ends_at >=": "ix_tasks_lease",
    "coalesce(max(position), 0)": "Limit > Index Only Scan pk_events",
    "read_at IS NULL LIMIT": "Limit > Index Only Scan ix_recipients_unread",
}
HOLD: Final = {"AND number = p_number FOR NO KEY UPDATE": "LockRows > Index Scan pk_tasks"}
LEAVE: Final = {"UPDATE steps SET state = 'unknown'": "Index Scan uq_steps_open"}
COMPLETE: Final = HOLD | {
    "w.blocked_on = 'children'": "ix_dependencies_depends_on ix_tasks_board ix_tasks_parent pk_dependencies pk_tasks",
    "WITH stuck AS": "ix_dependencies_depends_on ix_tasks_board pk_tasks",
    "UPDATE attempts": "Index Scan pk_attempts",
    **LEAVE,
    "coalesce(max(position), 0)": "Limit > Index Only Scan pk_events",
    "read_at IS NULL LIMIT": "Limit > Index Only Scan ix_recipients_unread",
}


@pytest.fixture(scope="module")
def large_url(server_url: str, template: str) -> Iterator[str]:
    """A large board, for all tests of this module: none of them keeps what it writes."""
    with new_database(server_url, template) as url:
        large.fill(url, TASKS)
        yield url


@pytest.fixture
async def database(large_url: str) -> AsyncIterator[Database]:
    """That board's `Database`."""
    database = Database(Settings(DATABASE_URL=large_url))
    yield database
    await database.close()


def found_by(plan: Plan) -> str:
    """The indexes by which a plan finds what is large."""
    return " ".join(sorted(name for name in plan.indexes() if not any(part in name for part in ASIDE)))


async def read(watch: Watched, query: Query, arguments: tuple[Any, ...]) -> list[Plan]:
    """Run a read as the lane does; the last plan is its own."""
    statement = Statement(query, ROWS)
    await watch.told()
    await watch.driver.fetch(statement.sql, *statement.arguments(arguments))
    return await watch.told()


def misplanned(plans: list[Plan], frozen: dict[str, str], most: int) -> list[str]:
    """What is not as it was frozen, or reads too much."""
    wrong = [sentence for plan in plans for sentence in plan.wrong(most)]
    for piece, expected in frozen.items():
        shapes = {
            plan.shape() if " > " in expected or "Scan" in expected else found_by(plan)
            for plan in plans
            if piece in " ".join(plan.query.split())
        }
        if shapes != {expected}:
            wrong.append(f"{piece}: {sorted(shapes)} instead of {expected}")
    return wrong


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", READS)
async def test_a_hot_read_finds_its_rows_by_their_index(database: Database, name: str, mode: Mode) -> None:
    query, arguments, indexes, most = READS[name]
    async with watched(database, mode) as watch:
        plans = await read(watch, query, arguments)
    assert [sentence for plan in plans for sentence in plan.wrong(most)] == []
    assert found_by(plans[-1]) == indexes


@pytest.mark.parametrize("mode", MODES)
async def test_a_task_is_claimed_kept_and_handed_in_by_indexes(database: Database, mode: Mode) -> None:
    """By one whom only a task of no role is for, so that each of the five ranges is searched."""
    async with watched(database, mode) as watch:
        await watch.told()
        claimed = await tasks.claim(watch.db, NOBODY, SQUAD)
        assert misplanned(await watch.told(), CLAIM, FEW) == []
        claim = orjson.loads(claimed or "")["items"][0]
        assert claim["kind"] == "work"
        number, handle = claim["task"]["number"], claim["claim"]
        await tasks.heartbeat(watch.db, NOBODY, SQUAD, number, HeartbeatNew(claim=handle))
        assert misplanned(await watch.told(), HOLD, FEW) == []
        await tasks.complete(watch.db, NOBODY, SQUAD, number, CompleteNew(claim=handle, result="done"))
        assert misplanned(await watch.told(), COMPLETE, FEW) == []


@pytest.mark.parametrize("mode", MODES)
async def test_what_is_reserved_is_found_by_its_index(database: Database, mode: Mode) -> None:
    reserved = {
        "a.paths <> '{}'": "ix_attempts_reserved pk_tasks",
        "lease_ends_at <= p_now AND lease_ends_at >=": "ix_tasks_lease",
    }
    async with watched(database, mode) as watch:
        await tasks.claim(watch.db, NOBODY, SQUAD, None, 1, ["src/"])
        await watch.told()
        with pytest.raises(Reserved):
            await tasks.claim(watch.db, NOBODY, SQUAD, None, 1, ["src/"])
        assert misplanned(await watch.told(), reserved, FEW) == []


@pytest.mark.parametrize("mode", MODES)
async def test_tasks_are_made_and_taken_back_by_indexes(database: Database, mode: Mode) -> None:
    batch = [TaskNew(title="one", depends_on=[EACH], parent=EACH, assignee="m1"), TaskNew(title="two", role="lead")]
    late = "UPDATE tasks SET lease_ends_at = clock_timestamp() WHERE squad_id = :squad AND number = :number"
    async with watched(database, mode) as watch:
        await watch.told()
        await tasks.create(watch.db, OWNER, SQUAD, batch)
        made = {"max(tasks.number)": "pk_tasks", "jsonb_agg(task_json(t)": "pk_tasks"}
        assert misplanned(await watch.told(), made, FEW) == []
        claim = orjson.loads(await tasks.claim(watch.db, NOBODY, SQUAD) or "")["items"][0]
        await watch.db.execute(text(late), {"squad": ID, "number": claim["task"]["number"]})
        await watch.told()
        assert await tasks.lapse(watch.db, ID) == 1
        over = LEAVE | {"lease_ends_at <= p_now AND lease_ends_at >=": "ix_tasks_lease"}
        assert misplanned(await watch.told(), over, FEW) == []


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("index", "name"), [("ix_tasks_holder", "tasks.page holder"), ("ix_events_task", "events.after task")]
)
async def test_control_without_its_index_a_read_is_found_out(
    database: Database, index: str, name: str, mode: Mode
) -> None:
    query, arguments, indexes, most = READS[name]
    async with watched(database, mode) as watch:
        await watch.db.execute(text(f"DROP INDEX {index}"))
        plans = await read(watch, query, arguments)
    assert plans[-1].wrong(most) != []
    assert found_by(plans[-1]) != indexes


@pytest.mark.parametrize("mode", MODES)
async def test_control_a_claim_by_a_range_that_no_index_has_is_found_out(database: Database, mode: Mode) -> None:
    async with watched(database, mode) as watch:
        source = text("SELECT prosrc FROM pg_proc WHERE proname = 'next_tasks'")
        body = str(await watch.db.scalar(source)).replace("AND role = ''", "AND lower(role) = ''")
        definition = str(await watch.db.scalar(text("SELECT pg_get_functiondef('next_tasks'::regproc)")))
        head = definition.partition("AS $")[0]
        await watch.connection.exec_driver_sql(f"{head} AS $wrong${body}$wrong$")
        await watch.told()
        await tasks.claim(watch.db, NOBODY, SQUAD)
        wrong = misplanned(await watch.told(), CLAIM, FEW)
    assert any(sentence.startswith("AND role = ''") for sentence in wrong)
    assert any("looked at" in sentence or "sorted" in sentence for sentence in wrong)
