import asyncio
from typing import Any

import httpx
import pytest

from agentsquad.schemas.tasks import Attempts, Claim, Heartbeat, Heartbeats, Task, TaskChanged, Tasks, Why
from tests.interfaces.http.conftest import Site, external, made, refused, squad, tasks


@pytest.fixture
async def web(ada: httpx.AsyncClient) -> str:
    return await squad(ada)


@pytest.fixture
async def tess(site: Site, ada: httpx.AsyncClient, web: str) -> httpx.AsyncClient:
    return await external(site, ada, web, "tess", role="tester")


async def claimed(client: httpx.AsyncClient, web: str, number: int | None = None) -> Any:
    answer = await client.post(f"{web}/tasks/{f'{number}/claim' if number else 'claim'}")
    assert answer.status_code == 200, answer.text
    return (answer.json()["items"] or [None])[0]


async def test_a_task_is_as_it_was_made(ada: httpx.AsyncClient, web: str) -> None:
    new = {
        "title": "Cart is lost 🛒",
        "description": "Zwölf\nBoxkämpfer",
        "input": {"deep": [1, 2.5, None, True, {"": "ü"}]},
        "role": "tester",
        "assignee": "owner",
        "priority": 0,
    }
    task = made(await ada.post(f"{web}/tasks", json={"tasks": [new]}))["items"][0]
    assert {name: task[name] for name in new} == new
    assert (task["number"], task["status"], task["created_by"]) == (1, "todo", "owner")
    assert Task.model_validate((await ada.get(f"{web}/tasks/1")).json()) == Task.model_validate(task)


async def test_a_batch_of_a_thousand_is_made_at_once(ada: httpx.AsyncClient, web: str) -> None:
    chain = [
        {"title": f"step {number}", "key": f"k{number}", "depends_on": [f"k{number - 1}"] if number else []}
        for number in range(1_000)
    ]
    items = made(await ada.post(f"{web}/tasks", json={"tasks": chain}))["items"]
    assert [item["number"] for item in items] == list(range(1, 1_001))
    assert [item["status"] for item in items] == ["todo"] + ["blocked"] * 999
    assert items[-1]["depends_on"] == [999]
    too_many = await ada.post(f"{web}/tasks", json={"tasks": [*chain, {"title": "one more"}]})
    assert refused(too_many, 422, "invalid") == "tasks has too many items."


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"assignee": "nobody"}, "assignee"),
        ({"depends_on": ["nothing"]}, "depends_on.0"),
        ({"depends_on": [99]}, "depends_on.0"),
        ({"key": "good"}, "key"),
        ({"key": "itself", "depends_on": ["itself"]}, "depends_on"),
    ],
)
async def test_a_batch_is_made_whole_or_not_at_all(
    ada: httpx.AsyncClient, web: str, wrong: dict[str, Any], field: str
) -> None:
    answer = await ada.post(f"{web}/tasks", json={"tasks": [{"title": "good", "key": "good"}, {"title": "x"} | wrong]})
    refused(answer, 422, "invalid")
    assert answer.json()["errors"][0]["field"] == f"body.tasks.1.{field}"
    assert (await ada.get(f"{web}/tasks")).json() == {"items": [], "next": None}
    assert (await tasks(ada, web, "first"))[0]["number"] == 1


async def test_a_claim_goes_its_way_to_done(ada: httpx.AsyncClient, tess: httpx.AsyncClient, web: str) -> None:
    await tasks(ada, web, "one", role="tester")
    await tasks(ada, web, "two", depends_on=[1])
    assert await claimed(ada, web) is None
    claim = Claim.model_validate(await claimed(tess, web))
    assert (claim.claim, claim.lease_seconds, claim.task.holder) == ("1/1", 60, "tess")
    beat = await tess.post(f"{web}/tasks/1/heartbeat", json={"claim": "1/1"})
    ends = [claim.task.lease_ends_at, Heartbeat.model_validate_json(beat.content).lease_ends_at]
    assert ends == sorted(ends, key=str)
    assert ends[0] != ends[1]
    done = await tess.post(f"{web}/tasks/1/complete", json={"claim": "1/1", "result": {"ok": True}})
    assert Task.model_validate_json(done.content).status == "done"
    second = Claim.model_validate(await claimed(ada, web, 2))
    assert [(other.number, other.holder, other.result) for other in second.dependencies] == [(1, "tess", {"ok": True})]
    assert second.lease_seconds is None  # a person's claim never lapses


async def test_a_failed_task_is_free_again_while_a_try_is_left(tess: httpx.AsyncClient, web: str) -> None:
    await tasks(tess, web, "one")
    for left, status in ((2, "todo"), (1, "todo"), (0, "failed")):
        claim = (await claimed(tess, web))["claim"]
        answer = await tess.post(f"{web}/tasks/1/fail", json={"claim": claim, "reason": "no luck", "retry": True})
        assert (answer.json()["status"], answer.json()["tries_left"]) == (status, left)
    assert refused(await tess.post(f"{web}/tasks/1/claim"), 409, "wrong_status").startswith("#1 is failed")


@pytest.mark.parametrize("verb", ["heartbeat", "complete", "fail"])
async def test_only_the_live_attempt_of_the_holder_may_write(
    ada: httpx.AsyncClient, tess: httpx.AsyncClient, web: str, verb: str
) -> None:
    await tasks(tess, web, "one")
    more = {"reason": "x"} if verb == "fail" else {}
    await claimed(tess, web)
    before = (await ada.get(f"{web}/tasks/1")).json()
    for client, claim in ((ada, "1/1"), (tess, "1/2"), (tess, "1/999999999")):
        answer = await client.post(f"{web}/tasks/1/{verb}", json={"claim": claim, **more})
        refused(answer, 409, "lost_claim")
        assert (answer.json()["task"], answer.json()["attempt"]) == (1, 1)
    other = await tess.post(f"{web}/tasks/1/{verb}", json={"claim": "2/1", **more})
    refused(other, 422, "invalid")
    assert other.json()["errors"][0]["field"] == "body.claim"
    refused(await tess.post(f"{web}/tasks/7/{verb}", json={"claim": "7/1", **more}), 404, "not_found")
    assert (await ada.get(f"{web}/tasks/1")).json() == before


async def test_a_lapsed_claim_is_lost(site: Site, ada: httpx.AsyncClient) -> None:
    web = await squad(ada, "short", lease_seconds=1)
    tess = await external(site, ada, web, "tess")
    await tasks(tess, web, "one")
    await claimed(tess, web)
    await asyncio.sleep(1.01)
    refused(await tess.post(f"{web}/tasks/1/complete", json={"claim": "1/1"}), 409, "lost_claim")
    assert (await claimed(tess, web))["claim"] == "1/2"


async def test_what_is_another_s_can_t_be_claimed(ada: httpx.AsyncClient, tess: httpx.AsyncClient, web: str) -> None:
    await tasks(ada, web, "for ada", assignee="owner")
    await tasks(ada, web, "for a lead", role="lead")
    assert refused(await tess.post(f"{web}/tasks/1/claim"), 403, "forbidden") == "#1 is assigned to owner."
    assert refused(await tess.post(f"{web}/tasks/2/claim"), 403, "forbidden") == "#2 is for the role lead."
    assert refused(await tess.post(f"{web}/tasks/3/claim"), 404, "not_found") == "Task not found"
    await claimed(ada, web, 1)
    again = await ada.post(f"{web}/tasks/1/claim")
    assert (
        refused(again, 409, "wrong_status")
        == "#1 is in progress; only a free task in todo or in review can be claimed."
    )
    assert (again.json()["task"], again.json()["status"]) == (1, "in_progress")


async def test_pages_and_the_filter(ada: httpx.AsyncClient, web: str) -> None:
    await tasks(ada, web, *"abcde")
    await claimed(ada, web, 3)
    seen: list[int] = []
    cursor: str | None = "0"
    while cursor is not None:
        answer = await ada.get(f"{web}/tasks", params={"limit": 2, "cursor": cursor, "status": "todo"})
        page = Tasks.model_validate_json(answer.content)
        seen += [task.number for task in page.items]
        cursor = page.next
    assert seen == [1, 2, 4, 5]
    assert refused(await ada.get(f"{web}/tasks/6"), 404, "not_found") == "Task not found"


async def test_several_are_claimed_at_once_and_several_leases_renewed(tess: httpx.AsyncClient, web: str) -> None:
    await tasks(tess, web, *"abc")
    claims = (await tess.post(f"{web}/tasks/claim", json={"limit": 2})).json()["items"]
    assert [claim["claim"] for claim in claims] == ["1/1", "2/1"]
    answer = await tess.post(f"{web}/tasks/heartbeat", json={"claims": ["1/1", "2/1", "3/1"]})
    assert [beat.live for beat in Heartbeats.model_validate_json(answer.content).items] == [True, True, False]
    refused(await tess.post(f"{web}/tasks/claim", json={"limit": 21}), 422, "invalid")


async def test_a_review_goes_its_way(ada: httpx.AsyncClient, tess: httpx.AsyncClient, web: str) -> None:
    await tasks(ada, web, "one", review="")
    await claimed(tess, web)
    for attempt, verb, status in ((1, "reject", "todo"), (3, "accept", "done")):
        done = await tess.post(f"{web}/tasks/1/complete", json={"claim": f"1/{attempt}"})
        assert done.json()["status"] == "in_review"
        review = (await claimed(ada, web, 1))["claim"]
        answer = await ada.post(f"{web}/tasks/1/{verb}", json={"claim": review, "note": "so"})
        assert answer.json()["status"] == status
        if status == "todo":
            await claimed(tess, web)
    ends = Attempts.model_validate_json((await ada.get(f"{web}/tasks/1/attempts")).content).items
    assert [attempt.kind for attempt in ends] == ["work", "review"] * 2


async def test_a_question_is_asked_and_answered(ada: httpx.AsyncClient, tess: httpx.AsyncClient, web: str) -> None:
    await tasks(ada, web, "one")
    await claimed(tess, web)
    asked = made(await tess.post(f"{web}/tasks/1/ask", json={"claim": "1/1", "question": "Keep the cookie's name?"}))
    assert (asked["task"]["status"], asked["question"]["assignee"]) == ("blocked", "owner")
    why = Why.model_validate_json((await tess.get(f"{web}/tasks/1/why")).content)
    assert why.sentence == asked["task"]["why"]
    number = asked["question"]["number"]
    assert (await ada.post(f"{web}/tasks/{number}/answer", json={"answer": "yes"})).json()["status"] == "done"
    assert (await tess.get(f"{web}/tasks/1")).json()["status"] == "todo"


async def test_a_task_is_steered(ada: httpx.AsyncClient, web: str) -> None:
    await tasks(ada, web, "one", "two")
    for method, path, body, status in (
        ("PATCH", "2", {"title": "zwei", "priority": 0}, "todo"),
        ("PUT", "2/dependencies/1", None, "blocked"),
        ("DELETE", "2/dependencies/1", None, "todo"),
        ("POST", "2/block", {"reason": "x"}, "blocked"),
        ("POST", "2/resume", None, "todo"),
        ("POST", "2/cancel", {"reason": "x"}, "cancelled"),
        ("POST", "2/retry", None, "todo"),
    ):
        answer = await ada.request(method, f"{web}/tasks/{path}", json=body)
        assert (answer.status_code, answer.json()["status"]) == (200, status), path
    assert TaskChanged.model_validate_json(answer.content).title == "zwei"


async def test_every_filter_and_all_of_them_at_once(ada: httpx.AsyncClient, tess: httpx.AsyncClient, web: str) -> None:
    await tasks(ada, web, "one", role="tester", assignee="tess")
    await tasks(ada, web, "two", parent=1)
    await claimed(tess, web, 1)
    for query, numbers in (
        ("role=tester", [1]), ("assignee=tess", [1]), ("holder=tess", [1]), ("parent=1", [2]), ("status=todo", [2]),
        ("role=", [2]), ("role=tester&status=todo", []), ("holder=nobody", []),
    ):  # fmt: skip
        page = (await ada.get(f"{web}/tasks?{query}")).json()
        assert [task["number"] for task in page["items"]] == numbers, query


@pytest.mark.parametrize("number", [2**63 - 1, 2**64, -(2**64) - 1, 10**30 + 1])
async def test_whole_numbers_of_any_size_come_back_as_they_were(
    ada: httpx.AsyncClient, tess: httpx.AsyncClient, web: str, number: int
) -> None:
    task = made(await ada.post(f"{web}/tasks", json={"tasks": [{"title": "x", "input": {"n": number}}]}))["items"][0]
    assert task["input"] == {"n": number}
    for other in (number + 1, number, -number):
        changed = await ada.patch(f"{web}/tasks/1", json={"input": {"n": other}})
        assert changed.status_code == 200, changed.text
        assert (await ada.get(f"{web}/tasks/1")).json()["input"] == {"n": other}
    claim = (await claimed(tess, web))["claim"]
    asked = await tess.post(f"{web}/tasks/1/ask", json={"claim": claim, "question": "?", "input": number})
    assert made(asked)["question"]["input"] == number
    await ada.post(f"{web}/tasks/2/answer", json={"answer": number})
    assert (await ada.get(f"{web}/tasks/2")).json()["result"] == number
