"""However many spend at once, no budget is passed by more than the calls under way, and nothing spent is forgotten."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from sqlalchemy import text

from agentsquad.schemas.budgets import Budget, BudgetNew, Usage
from agentsquad.schemas.tasks import TaskNew
from backend.core.database import Database
from backend.operations import budgets, events, messages, tasks
from backend.operations.access import ME, MemberRef
from tests.campaigns.crew import eventually, until
from tests.runner.stage import PATIENCE, Heard, Said, Stage, staged

SPENDERS = 64
MEMBERS = 4
CALLS = 2  # that each task takes
PRICED = "openai:gpt-4o"
ROUNDED = 1e-6  # dollars


@pytest.fixture
async def crowd(make_database: Callable[..., Database]) -> AsyncIterator[Stage]:
    """A stage whose runner works on all at once."""
    database = make_database(SQUAD_RUNNER_TASKS=SPENDERS, SQUAD_RUNNER_PER_SQUAD=SPENDERS)
    async with staged(database) as stage:
        yield stage
    await database.close()


class Spender:
    """A mind that calls a tool a few times. Nothing is answered before the test lets it be."""

    def __init__(self, words: str = "") -> None:
        self.words = words  # more of them than it is asked for
        self.under_way = 0
        self.go = asyncio.Event()

    async def __call__(self, heard: Heard) -> Said:
        self.under_way += 1
        await asyncio.wait_for(self.go.wait(), PATIENCE)
        self.under_way -= 1
        done = len(heard.results)
        return [self.words, ("list_tasks", {"after": done})] if done < CALLS - 1 else "done"


async def usage(stage: Stage) -> Budget:
    body = await stage.database.reads.json(budgets.squad, stage.owner, stage.squad)
    assert body is not None
    return Usage.model_validate_json(body).squad


async def told(stage: Stage) -> list[str]:
    """What the server wrote to the owner."""
    mine = MemberRef(None, ME)
    body = await stage.database.reads.json(messages.inbox(), stage.owner, stage.squad, mine, 0, 200)
    assert body is not None
    return [each["body"] for each in json.loads(body)["items"] if each["sender"] is None]


async def ended(stage: Stage) -> dict[str, int]:
    """How many tasks are where, once none of them moves."""

    async def counts() -> Counter[str]:
        return Counter([(await stage.task(number)).status for number in range(1, SPENDERS + 1)])

    async def still() -> bool:
        return not {"todo", "in_progress"} & (await counts()).keys()

    await eventually(still, 2 * PATIENCE)
    return dict(await counts())


async def calls(stage: Stage) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """All calls of models as the log has them, and what was spent and reserved together, at the highest."""
    body = await stage.database.reads.json(events.after(), stage.owner, stage.squad, 0, 100_000)
    assert body is not None
    counted: dict[tuple[int, int], dict[str, Any]] = {}
    highest = dict.fromkeys(("calls", "tokens", "cost"), 0.0)
    together = dict.fromkeys(highest, 0.0)
    for event in json.loads(body)["items"]:
        step = event["data"]
        if event["kind"].startswith("step.") and step["kind"] == "answer":
            before = counted.get((event["task"], step["step"]))
            counted[event["task"], step["step"]] = step
            for limit in highest:
                together[limit] += taken(step, limit) - (taken(before, limit) if before else 0)
                highest[limit] = max(highest[limit], together[limit])
    return list(counted.values()), highest


def taken(step: dict[str, Any], limit: str) -> float:
    """What a call has taken of a limit, or has reserved as long as that isn't known."""
    known = step["input_tokens"] is not None
    match limit:
        case "calls":
            return 1
        case "tokens":
            return float(step["input_tokens"] + step["output_tokens"] if known else step["reserved_tokens"])
        case _:
            return float(step["cost"] if known else step["reserved_cost"])


@pytest.mark.parametrize("limit", ["calls", "tokens", "cost"])
async def test_many_at_once_pass_no_limit_by_more_than_the_calls_under_way(crowd: Stage, limit: str) -> None:
    mind = Spender("word " * 4_000)
    for number in range(MEMBERS):
        await crowd.host(f"ada{number}", mind, "spender", model=PRICED, settings={"max_tokens": 100})
    await crowd.do(tasks.create, [TaskNew(title="spend", role="spender")] * SPENDERS)
    async with crowd.running():
        await until(lambda: mind.under_way == SPENDERS, 2 * PATIENCE)
        most = 1.1 * getattr(await usage(crowd), f"reserved_{limit}")
        await crowd.do(budgets.set_squad, BudgetNew.model_validate({limit: most if limit == "cost" else int(most)}))
        mind.go.set()
        assert (await ended(crowd))["blocked"] > 0
        spent = await usage(crowd)
        assert (spent.reserved_calls, spent.reserved_tokens, spent.reserved_cost) == (0, 0, 0)
        made, highest = await calls(crowd)
        # What was reserved passes nothing; what a call takes beyond that can't be known before.
        over = max(taken(step, limit) - taken(step | {"input_tokens": None}, limit) for step in made)
        assert (over > 0) == (limit != "calls")
        assert highest[limit] <= most + SPENDERS * over + ROUNDED
        assert getattr(spent, limit) == pytest.approx(sum(taken(step, limit) for step in made))
        assert len(await told(crowd)) == 1
        await crowd.do(budgets.set_squad, BudgetNew())
        assert await ended(crowd) == {"done": SPENDERS}
    assert (await usage(crowd)).calls == SPENDERS * CALLS
    assert len(await told(crowd)) == 1


async def test_a_limit_that_is_compared_with_what_is_spent_alone_is_found(stage: Stage) -> None:
    async with stage.database.async_engine.begin() as connection:
        found = "SELECT pg_get_functiondef('reserve_step(uuid, int, bigint, numeric)'::regprocedure)"
        defined = str(await connection.scalar(text(found)))
        await connection.execute(text(defined.replace("b.calls + b.reserved_calls", "b.calls").replace(":", "\\:")))
    mind = Spender()
    await stage.host("ada", mind, model=PRICED)
    await stage.do(budgets.set_squad, BudgetNew(calls=1))
    await stage.do(tasks.create, [TaskNew(title="spend", role="ada")] * 2)
    async with stage.running():
        await until(lambda: mind.under_way == 2, PATIENCE)
        assert (await calls(stage))[1]["calls"] > 1


async def test_an_unpriced_model_is_not_bound_by_dollars_so_it_is_not_called(stage: Stage) -> None:
    await stage.host("ada", lambda _: "done")
    await stage.do(budgets.set_squad, BudgetNew(cost=1_000))
    numbers = [await stage.create(role="ada") for _ in range(3)]
    async with stage.running():
        for number in numbers:
            assert (await stage.becomes(number, "blocked")).blocked_on == "budget"
        assert stage.minds.asked == []
        (said,) = await told(stage)
        assert "nobody knows what ada costs, so the squad's budget of $1,000 can't bound it" in said
        await stage.do(budgets.set_squad, BudgetNew(cost=1_000, tokens=1_000_000))
        for number in numbers:
            assert (await stage.becomes(number, "done")).result == "done"
    spent = await usage(stage)
    assert (spent.calls, spent.unpriced, spent.cost) == (3, 3, 0)
    assert spent.tokens > 0


async def test_a_budget_of_a_task_counts_what_is_below_it_and_leaves_others_alone(stage: Stage) -> None:
    def splits(heard: Heard) -> Said:
        if heard.task["children"]:
            return "joined"
        parts = [{"title": f"part {number}", "role": "bob"} for number in range(3)]
        return [("create_tasks", {"tasks": parts}), ("wait_for_children", {})]

    await stage.host("ada", splits)
    await stage.host("bob", lambda _: "done")
    bound, free = await stage.create(role="ada"), await stage.create(role="ada")
    await stage.do(budgets.set_task, bound, BudgetNew(calls=2))
    async with stage.running():
        await stage.becomes(free, "done")
        parts = [number for number in range(3, 9) if (await stage.task(number)).parent == bound]
        for number in parts:
            await stage.becomes(number, "done", "blocked")
        assert sorted([(await stage.task(number)).status for number in parts]) == ["blocked", "blocked", "done"]
        assert len(await told(stage)) == 1
        await stage.do(budgets.set_task, bound, BudgetNew(calls=5))
        assert (await stage.becomes(bound, "done")).result == "joined"


async def test_what_a_lapsed_attempt_reserved_is_spent_and_marked_unknown(stage: Stage) -> None:
    stopped = asyncio.Event()

    async def hangs(_: Heard) -> Said:
        if not stopped.is_set():
            stopped.set()
            await asyncio.Event().wait()
        return "done"

    await stage.host("ada", hangs, model=PRICED)
    number = await stage.create(role="ada")
    async with stage.running():
        await until(stopped.is_set, PATIENCE)
        during = await usage(stage)
        async with stage.database.async_engine.begin() as connection:
            await connection.execute(text("UPDATE tasks SET lease_ends_at = clock_timestamp() - interval '1 s'"))
        assert stage.squad.id is not None
        assert await stage.database.transact(tasks.lapse, stage.squad.id) == 1
        assert (await stage.becomes(number, "done")).attempt == 2
    lost, found = [step for step in await stage.journal(number) if step.kind == "answer"]
    assert (lost.state, lost.input_tokens, lost.cost) == ("unknown", None, None)
    assert (lost.reserved_tokens, lost.reserved_cost) == (during.reserved_tokens, during.reserved_cost)
    spent = await usage(stage)
    assert (spent.calls, spent.reserved_calls, spent.reserved_tokens, spent.reserved_cost) == (2, 0, 0, 0)
    assert found.input_tokens is not None
    assert spent.tokens == during.reserved_tokens + found.input_tokens + (found.output_tokens or 0)
    assert spent.cost == pytest.approx(during.reserved_cost + (found.cost or 0))
