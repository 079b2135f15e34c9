"""How long a claim lives: for as long as its member is heard of."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from backend.core.database import Database
from backend.live import waiting
from tests.campaigns.crew import eventually
from tests.interfaces.http.conftest import Site
from tests.interfaces.http.streaming import PATIENCE
from tests.interfaces.mcp.conftest import Refused, Squad, joined


@pytest.fixture
def database(site: Site) -> Database:
    found: Database = site.app.state.database
    return found


async def left(squad: Squad, number: int) -> float:
    """Seconds of a task's lease."""
    ends = datetime.fromisoformat((await squad.shown(number))["lease_ends_at"])
    return (ends - datetime.now(UTC)) / timedelta(seconds=1)


async def let_pass(database: Database, seconds: int) -> None:
    """As if so long ago everything had been claimed, and nobody had looked since."""
    async with database.async_engine.begin() as connection:
        await connection.execute(text(f"UPDATE tasks SET lease_ends_at = lease_ends_at - interval '{seconds} s'"))
        await connection.execute(text("DELETE FROM marks WHERE name = 'leases'"))


async def claimed(squad: Squad, title: str, session: Any, **how: Any) -> int:
    number = await squad.task(title, role="tester")
    answer = await session.call("claim_task", number=number, **how)
    assert answer["claim"] == f"{number}/1"
    return number


async def test_every_call_renews_what_was_claimed_here(squad: Squad, database: Database, mode: str) -> None:
    async with joined(squad.url, await squad.token("tess"), mode) as tess:
        usual = await claimed(squad, "usual", tess)
        short = await claimed(squad, "short", tess, lease_seconds=30)
        for call in (("whoami", {}), ("send_message", {"to": "owner", "body": "x"}), ("wait", {"seconds": 1})):
            await let_pass(database, 20)
            assert (await left(squad, usual) < 890, await left(squad, short) < 15) == (True, True)
            await tess.call(call[0], **call[1])
            assert (await left(squad, usual) > 890, await left(squad, short) > 25) == (True, True)


async def test_a_wait_ends_in_time_for_a_short_lease(squad: Squad, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def news(*given: Any, **_: object) -> waiting.News:
        waits.append(given[4])
        return waiting.News(work=False, mail=False)

    monkeypatch.setattr(waiting, "news", news)
    async with joined(squad.url, await squad.token("tess")) as tess:
        await claimed(squad, "usual", tess)
        await tess.call("wait", seconds=50)
        await claimed(squad, "short", tess, lease_seconds=30)
        await tess.call("wait", seconds=50)
    assert waits == [50, 15]


async def test_who_hangs_up_while_it_claims_holds_nothing(squad: Squad, database: Database, mode: str) -> None:
    await squad.task("one", role="tester")
    token = await squad.token("tess")
    async with database.async_engine.begin() as connection:
        await connection.execute(text("SELECT FROM squads FOR NO KEY UPDATE"))
        async with joined(squad.url, token, mode) as tess:
            claiming = asyncio.create_task(tess.call("claim_task"))
            await eventually(lambda: waits_for_lock(database), PATIENCE)
        claiming.cancel()
    await eventually(lambda: given_back(squad), PATIENCE)
    assert (await squad.shown(1))["status"] == "todo"


async def waits_for_lock(database: Database) -> bool:
    async with database.async_engine.connect() as connection:
        blocked = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool(await connection.scalar(blocked))


async def given_back(squad: Squad) -> bool:
    attempts = (await squad.owner.get(f"{squad.path}/tasks/1/attempts")).json()["items"]
    return [(each["outcome"], each["reason"]) for each in attempts] == [("released", "The client hung up.")]


async def test_a_token_of_one_attempt_renews_no_other(squad: Squad, database: Database) -> None:
    async with joined(squad.url, await squad.token("tess")) as tess:
        first, second = [await claimed(squad, title, tess) for title in ("one", "two")]
    headers = {"Squad-Member": "tess"}
    made = await squad.owner.post(f"{squad.path}/tasks/{first}/token", json={"claim": f"{first}/1"}, headers=headers)
    await let_pass(database, 20)
    async with joined(squad.url, made.json()["secret"]) as child:
        await child.call("whoami")
    assert (await left(squad, first) > 890, await left(squad, second) < 890) == (True, True)


async def test_a_call_does_not_renew_what_was_claimed_elsewhere(squad: Squad, database: Database) -> None:
    token = await squad.token("tess")
    number = await squad.task("by command", role="tester")
    await squad.owner.post(f"{squad.path}/tasks/{number}/claim", headers={"Squad-Member": "tess"})
    async with joined(squad.url, token) as tess, joined(squad.url, token, **{"Squad-Heartbeat": "client"}) as bridge:
        own = await claimed(squad, "by a bridge", bridge)
        assert await left(squad, own) < 61
        await let_pass(database, 20)
        await tess.call("whoami")
        await bridge.call("whoami")
        assert (await left(squad, number) < 41, await left(squad, own) < 41) == (True, True)


async def test_who_was_silent_too_long_has_lost_it(squad: Squad, database: Database, mode: str) -> None:
    token = await squad.token("tess")
    async with joined(squad.url, token, mode) as tess:
        number = await claimed(squad, "one", tess)
        await let_pass(database, 901)
        with pytest.raises(Refused, match="lost_claim") as lost:
            await tess.call("complete_task", claim=f"{number}/1", result="late")
        assert "claim_task" in lost.value.said["next"]
        again = await tess.call("claim_task")
        assert again["claim"] == f"{number}/2"


async def test_two_sessions_of_one_member_do_not_write_for_one_another(squad: Squad, database: Database) -> None:
    token = await squad.token("tess")
    async with joined(squad.url, token) as first, joined(squad.url, token) as second:
        number = await claimed(squad, "one", first)
        await let_pass(database, 901)
        assert (await second.call("claim_task"))["claim"] == f"{number}/2"
        with pytest.raises(Refused, match="lost_claim"):
            await first.call("complete_task", claim=f"{number}/1")
        assert (await second.call("complete_task", claim=f"{number}/2"))["status"] == "done"


async def test_paths_are_reserved_until_the_claim_ends(squad: Squad, mode: str) -> None:
    tokens = [await squad.token("tess"), await squad.token("tom")]
    async with joined(squad.url, tokens[0], mode) as tess, joined(squad.url, tokens[1], mode) as tom:
        await claimed(squad, "one", tess, paths=["src/**"])
        number = await squad.task("two", role="tester")
        with pytest.raises(Refused, match="reserved") as reserved:
            await tom.call("claim_task", paths=["src/a.py"])
        said = reserved.value.said
        assert (said["holder"], said["task"], "tess" in said["detail"]) == ("tess", 1, True)
        assert (await tom.call("claim_task", paths=["docs/"]))["paths"] == ["docs/"]
        await tom.call("release_task", claim=f"{number}/1")
        await tess.call("complete_task", claim="1/1")
        assert (await tom.call("claim_task", paths=["src/a.py"]))["claim"] == f"{number}/2"


async def test_what_a_person_reserves_has_no_end_that_could_be_told(squad: Squad) -> None:
    await squad.task("one", role="tester")
    await squad.task("two")
    await squad.owner.post(f"{squad.path}/tasks/2/claim", json={"paths": ["docs/"]})
    async with joined(squad.url, await squad.token("tess")) as tess:
        with pytest.raises(Refused, match="reserved") as reserved:
            await tess.call("claim_task", paths=["docs/a.md"])
    assert (reserved.value.said["holder"], reserved.value.said["until"]) == ("owner", None)
