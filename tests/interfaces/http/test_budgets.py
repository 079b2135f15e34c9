"""Usage, budgets and the steps of hosted members over HTTP."""

from typing import Any
from uuid import UUID

import httpx
import pytest

from agentsquad.schemas.budgets import TaskUsage, Usage
from agentsquad.schemas.steps import Step, Steps
from tests.interfaces.http.conftest import Site, external, refused, squad, tasks
from tests.operations import journal

NONE = {"max_calls": None, "max_tokens": None, "max_cost": None}


async def hosted(site: Site, owner: httpx.AsyncClient, web: str, claim: str = "1/1", **more: Any) -> None:
    """Let ada, who holds a task, do what a hosted member does."""
    of_squad, of_ada = [(await owner.get(path)).json()["id"] for path in (web, f"{web}/members/ada")]
    await journal.keep(site.app.state.database, UUID(of_squad), UUID(of_ada), claim, **more)


@pytest.fixture
async def web(site: Site, ada: httpx.AsyncClient) -> str:
    """A squad whose member ada is at work on #1, a part of nothing; #2 is a part of it."""
    web = await squad(ada)
    worker = await external(site, ada, web, "ada")
    await tasks(ada, web, "one")
    await tasks(ada, web, "part", parent=1)
    assert (await worker.post(f"{web}/tasks/1/claim")).status_code == 200
    return web


async def test_usage_is_nothing_until_something_is_spent(site: Site, ada: httpx.AsyncClient, web: str) -> None:
    usage = Usage.model_validate_json((await ada.get(f"{web}/usage")).content)
    assert (usage.squad.calls, usage.squad.cost, usage.members) == (0, 0, [])
    task = TaskUsage.model_validate_json((await ada.get(f"{web}/tasks/1/usage")).content)
    assert (task.task.calls, task.attempts) == (0, [])
    await hosted(site, ada, web)
    usage = Usage.model_validate_json((await ada.get(f"{web}/usage")).content)
    of_squad = {"calls": 3, "tokens": 1234 + 8192 + 1234, "cost": 0.0542, "unpriced": 1}
    reserved = {"reserved_calls": 1, "reserved_tokens": 8192, "reserved_cost": 0.05}
    assert usage.squad.model_dump() == of_squad | reserved | NONE
    assert [each.model_dump() for each in usage.members] == [of_squad | {"member": "ada"}]
    task = TaskUsage.model_validate_json((await ada.get(f"{web}/tasks/1/usage")).content)
    assert task.task == usage.squad
    assert [each.model_dump() for each in task.attempts] == [of_squad | {"attempt": 1}]
    part = TaskUsage.model_validate_json((await ada.get(f"{web}/tasks/2/usage")).content)
    assert (part.task.calls, part.attempts) == (0, [])


async def test_a_budget_is_set_whole_and_answered_with_what_is_spent(ada: httpx.AsyncClient, web: str) -> None:
    for path, whole in (("/budget", "squad"), ("/tasks/1/budget", "task")):
        answer = await ada.put(web + path, json={"cost": 5, "tokens": 200_000, "calls": 100})
        limits = {"max_calls": 100, "max_tokens": 200_000, "max_cost": 5}
        assert {name: answer.json()[whole][name] for name in NONE} == limits
        assert (await ada.get(f"{web}{path.replace('budget', 'usage')}")).json() == answer.json()
        answer = await ada.put(web + path, json={"cost": 0.25})
        assert {name: answer.json()[whole][name] for name in NONE} == NONE | {"max_cost": 0.25}
        answer = await ada.put(web + path, json={})
        assert {name: answer.json()[whole][name] for name in NONE} == NONE
    told = (await ada.get(f"{web}/events?kind=squad.budget_set&kind=task.budget_set")).json()["items"]
    assert [(event["task"], event["data"]["cost"]) for event in told] == [
        (None, 5), (None, 0.25), (None, None), (1, 5), (1, 0.25), (1, None)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"cost": -1}, "body.cost"),
        ({"cost": "5"}, "body.cost"),
        ({"cost": 1e10}, "body.cost"),
        ({"tokens": -1}, "body.tokens"),
        ({"tokens": 2**63}, "body.tokens"),
        ({"tokens": 1.5}, "body.tokens"),
        ({"calls": True}, "body.calls"),
        ({"dollars": 5}, "body.dollars"),
        ([], "body"),
    ],
)
async def test_what_is_no_limit_is_refused(ada: httpx.AsyncClient, web: str, body: Any, field: str) -> None:
    for path in ("/budget", "/tasks/1/budget"):
        answer = await ada.put(web + path, json=body)
        refused(answer, 422, "invalid")
        assert answer.json()["errors"][0]["field"] == field
    assert (await ada.get(f"{web}/usage")).json()["squad"]["max_cost"] is None


async def test_members_look_and_only_the_owner_sets(
    site: Site, admin: httpx.AsyncClient, ada: httpx.AsyncClient, web: str
) -> None:
    tess = await external(site, ada, web, "tess")
    for path in ("/budget", "/tasks/1/budget"):
        assert (await tess.get(f"{web}{path.replace('budget', 'usage')}")).status_code == 200
        refused(await tess.put(web + path, json={}), 403, "forbidden")
        assert refused(await admin.put(web + path, json={}), 404, "not_found") == "Squad not found"
    assert (await tess.get(f"{web}/tasks/1/steps")).json() == {"items": [], "next": None}
    for path in ("/tasks/9/budget", "/tasks/9/usage", "/tasks/9/steps"):
        answer = await (ada.put(web + path, json={}) if path.endswith("budget") else ada.get(web + path))
        assert refused(answer, 404, "not_found") == "Task not found"


async def test_a_budget_that_is_set_again_with_the_same_key_is_set_once(ada: httpx.AsyncClient, web: str) -> None:
    key = {"Idempotency-Key": "raise"}
    first = await ada.put(f"{web}/budget", json={"calls": 7}, headers=key)
    await ada.put(f"{web}/budget", json={"calls": 9})
    assert (await ada.put(f"{web}/budget", json={"calls": 7}, headers=key)).json() == first.json()
    assert (await ada.get(f"{web}/usage")).json()["squad"]["max_calls"] == 9
    refused(await ada.put(f"{web}/budget", json={"calls": 8}, headers=key), 422, "idempotency_mismatch")


async def test_steps_come_page_by_page_over_all_attempts(site: Site, ada: httpx.AsyncClient, web: str) -> None:
    await hosted(site, ada, web)
    speaker = {"Squad-Member": "ada"}
    await ada.post(f"{web}/tasks/1/release", json={"claim": "1/1"}, headers=speaker)
    await ada.post(f"{web}/tasks/1/claim", headers=speaker)
    await hosted(site, ada, web, "1/2", first=journal.STEPS + 1)
    whole = Steps.model_validate_json((await ada.get(f"{web}/tasks/1/steps?limit=200")).content)
    assert [step.step for step in whole.items] == list(range(1, 2 * journal.STEPS + 1))
    assert [step.attempt for step in whole.items] == [1] * journal.STEPS + [2] * journal.STEPS
    assert [step.state for step in whole.items][journal.STEPS - 1] == "unknown"
    assert whole.next is None
    found: list[Step] = []
    cursor: int | None = 0
    while cursor is not None:
        page = Steps.model_validate_json((await ada.get(f"{web}/tasks/1/steps?limit=5&cursor={cursor}")).content)
        found += page.items
        cursor = page.next
    assert found == whole.items
    for wrong in ("limit=0", "limit=201", "cursor=-1", f"cursor={2**31}", "cursor=x"):
        refused(await ada.get(f"{web}/tasks/1/steps?{wrong}"), 422, "invalid")


async def test_an_archived_squad_shows_its_budget_and_keeps_it(ada: httpx.AsyncClient, web: str) -> None:
    await ada.put(f"{web}/budget", json={"calls": 7})
    await ada.post(f"{web}/archive")
    assert (await ada.get(f"{web}/usage")).json()["squad"]["max_calls"] == 7
    refused(await ada.put(f"{web}/budget", json={}), 409, "archived")
