"""Thousands follow one server that has a handful of connections, while it goes on reading and claiming."""

import asyncio
import json
import random
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psycopg2

from tests.campaigns import checkers, crowd
from tests.campaigns.crew import Crew, say, until
from tests.campaigns.following import announce
from tests.campaigns.serving import Line, Place, standing
from tests.conftest import ITS_CLIENTS, SCALE

FOLLOWERS = 2_000
POOL, READS = 5, 2
OTHERS = 2  # connections: the doorbell, and the one that looked at the schema
ROUNDS = 25 * SCALE  # tasks that are made, claimed and completed while all follow


async def work(place: Place) -> None:
    """Make, claim and complete one task after another."""
    async with Line(place, place.tokens[0], random.Random(0)) as line:

        async def post(path: str, body: object, key: str) -> Any:
            answer = await line.post(path, body, key=key)
            assert answer is not None
            assert answer.status_code in (200, 201), answer.text
            return answer.json()

        for turn in range(ROUNDS):
            await post("tasks", {"tasks": [{"title": f"{turn}"}]}, f"{turn}/create")
            (claim,) = (await post("tasks/claim", None, f"{turn}/claim"))["items"]
            await post(f"tasks/{turn + 1}/complete", {"claim": claim["claim"]}, f"{turn}/complete")
            await asyncio.sleep(0.1)


async def read(place: Place, answers: Counter[int]) -> None:
    """Look at the board, for ever."""
    headers = {"Authorization": f"Bearer {place.key}"}
    async with httpx.AsyncClient(base_url=place.urls[0], headers=headers, timeout=30) as client:
        while True:
            answers[(await client.get(f"/squads/{place.squad}/board")).status_code] += 1
            await asyncio.sleep(0.05)


async def count(url: str, counts: list[int]) -> None:
    """How many connections the server has to its database, again and again."""
    query = f"SELECT count(*) {ITS_CLIENTS} AND pid <> pg_backend_pid()"
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        while True:
            cursor.execute(query)
            counts.append(cursor.fetchall()[0][0])
            await asyncio.sleep(0.1)


async def test_two_thousand_followers_hold_no_connection_and_miss_nothing(database_url: str, tmp_path: Path) -> None:
    amount = crowd.room_for(FOLLOWERS)
    pool = {"SQUAD_POOL_SIZE": str(POOL), "SQUAD_READ_CONNECTIONS": str(READS)}
    end, times = tmp_path / "end", tmp_path / "times"
    answers: Counter[int] = Counter()
    counts: list[int] = []
    async with standing(tmp_path / "home", 1, DATABASE_URL=database_url, **pool) as servers:
        place = await Place.found(servers, "held", 1, lease_seconds=60)
        before = checkers.state(database_url, UUID(place.squad)).events[-1]["position"]
        with Crew(tmp_path / "crew") as crew:
            following = crew.start(crowd.gather, place, amount, end, times, 60 * SCALE)
            await until(lambda: following.notes("connected"), 60)
            besides = [asyncio.create_task(read(place, answers)), asyncio.create_task(count(database_url, counts))]
            await work(place)
            assert not any(task.done() for task in besides)
            for task in besides:
                task.cancel()
            await asyncio.wait(besides)
            after = checkers.state(database_url, UUID(place.squad))
            log = [event["position"] for event in after.events]
            times.write_text(json.dumps({e["position"]: e["time"] for e in after.events if e["position"] > before}))
            announce(end, log[-1])
            await crew.finish(70 * SCALE)
            seen, (waits,) = following.notes("seen"), following.notes("waits")
        assert [server.starts for server in servers] == [1]
    assert len(seen) == amount
    assert [note for note in seen if checkers.missed(note["positions"], log)] == []
    assert checkers.missed(seen[0]["positions"][:-2] + log[-1:], log) != []  # the control
    assert max(counts) <= POOL + READS + OTHERS
    assert sorted(after.with_status("done")) == list(range(1, ROUNDS + 1))
    assert answers[200] > ROUNDS
    assert set(answers) <= {200, 503}
    streams = sum(note["streams"] for note in seen)
    say(
        f"held: {amount} followers over {streams} streams, {len(log)} events, {waits['of']} received, 0 missed; "
        f"commit to follower p50 {waits['p50'] * 1000:.0f} ms, p99 {waits['p99'] * 1000:.0f} ms, "
        f"at most {waits['most'] * 1000:.0f} ms; {max(counts)} connections at most; "
        f"meanwhile {ROUNDS} tasks made, claimed and completed, board read {answers[200]} times, {answers[503]} refused"
    )
