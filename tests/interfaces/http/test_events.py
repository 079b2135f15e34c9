import httpx

from agentsquad.schemas import limits
from agentsquad.schemas.events import Events
from tests.interfaces.http.conftest import made, refused, squad, tasks


async def test_the_log_tells_everything_in_order_without_a_gap(ada: httpx.AsyncClient) -> None:
    web = await squad(ada)
    made(await ada.post(f"{web}/members", json={"name": "tess"}))
    token = made(await ada.post(f"{web}/members/tess/tokens", json={}))
    await ada.delete(f"{web}/members/tess/tokens/{token['id']}")
    await tasks(ada, web, "one")
    await tasks(ada, web, "two", depends_on=[1])
    await ada.post(f"{web}/tasks/claim")
    await ada.post(f"{web}/tasks/1/complete", json={"claim": "1/1"})
    await ada.post(f"{web}/tasks/2/claim")
    await ada.post(f"{web}/tasks/2/fail", json={"claim": "2/1", "reason": "x"})
    answer = await ada.get(f"{web}/events")
    log = Events.model_validate_json(answer.content)
    assert [event.position for event in log.items] == list(range(1, 13))
    assert [event.kind for event in log.items] == [
        "squad.created", "member.added", "member.added", "member.token_created", "member.token_revoked",
        "task.created", "task.created", "task.claimed", "task.completed", "task.unblocked",
        "task.claimed", "task.failed",
    ]  # fmt: skip
    assert {event.actor.user for event in log.items} == {"ada@example.com"}
    assert token["secret"] not in answer.text


async def test_reading_on_from_a_position_misses_nothing(ada: httpx.AsyncClient) -> None:
    web = await squad(ada)
    await tasks(ada, web, *"abcdefgh")
    seen: list[int] = []
    after = 0
    while (page := (await ada.get(f"{web}/events", params={"after": after, "limit": 3})).json())["items"]:
        seen += [event["position"] for event in page["items"]]
        after = page["last"]
    assert seen == list(range(1, 11))
    assert page == {"items": [], "last": 10}


async def test_positions_beyond_the_end_are_empty_pages(ada: httpx.AsyncClient) -> None:
    web = await squad(ada)
    answer = await ada.get(f"{web}/events", params={"after": limits.POSITION_MAX})
    assert answer.json() == {"items": [], "last": limits.POSITION_MAX}
    for wrong in ({"after": limits.POSITION_MAX + 1}, {"after": -1}, {"limit": 201}, {"limit": "all"}):
        refused(await ada.get(f"{web}/events", params=wrong), 422, "invalid")


async def test_only_what_is_chosen_is_on_the_pages(ada: httpx.AsyncClient) -> None:
    web = await squad(ada)
    await tasks(ada, web, "one", "two")
    await ada.post(f"{web}/tasks/claim", json={"limit": 2})
    for query, positions in (
        ("task=2", [4, 6]),
        ("kind=task.claimed", [5, 6]),
        ("kind=task.claimed&kind=squad.created", [1, 5, 6]),
        ("task=2&kind=task.claimed", [6]),
        ("task=7", []),
        ("after=4&task=2", [6]),
    ):
        page = (await ada.get(f"{web}/events?{query}")).json()
        assert [event["position"] for event in page["items"]] == positions, query
    first = (await ada.get(f"{web}/events?kind=task.claimed&limit=1")).json()
    assert (len(first["items"]), first["last"]) == (1, 5)
