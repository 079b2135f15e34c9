"""Fenced and gap-free over HTTP: workers that sleep through leases, followers that drop, two servers for both."""

import asyncio
import itertools
import random
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

from tests.campaigns import checkers
from tests.campaigns.crew import Crew, Journal, eventually, say
from tests.campaigns.following import announce, follow
from tests.campaigns.serving import Line, Place, standing
from tests.conftest import SCALE

WORKERS = 8
WRITERS = 2
BATCHES = 30 * SCALE  # of one writer
NAP = 1.3  # seconds: longer than a lease
CHOSEN = ("task.completed", "message.sent")

STEADY: dict[str, object] = {}
RESTLESS: dict[str, object] = {"drops": 0.08}
SLOW: dict[str, object] = {"drops": 0.01, "rests": 0.03}
CHOOSY: dict[str, object] = {"drops": 0.05, "kinds": CHOSEN}


def counted(seen: list[int]) -> int:
    """Wrong: of a log that is filtered it doesn't see each position."""
    return len(seen)


def one_further(seen: list[int]) -> int:
    """Wrong: a feed answers what is behind the position that is named."""
    return seen[-1] + 1 if seen else 0


WRONG: list[dict[str, object]] = [CHOOSY | {"resume": counted}, RESTLESS | {"resume": one_further}]


async def work(journal: Journal, place: Place, index: int) -> None:
    """Claim as soon as there is something, sometimes sleep for too long, complete; each on any server, for ever."""
    chance = random.Random(index)
    line = Line(place, place.tokens[index], chance, roams=True)
    for turn in itertools.count():
        answer = await line.post("tasks/claim?wait=5")
        assert answer is not None
        assert answer.status_code == 200, answer.text
        for claim in answer.json()["items"]:
            number, attempt = claim["task"]["number"], claim["task"]["attempt"]
            await asyncio.sleep(NAP if chance.random() < 0.1 else chance.uniform(0.01, 0.1))
            result = {"by": index, "turn": turn}
            key = f"{turn}"
            given = {"claim": claim["claim"], "result": result}
            done = await line.post(f"tasks/{number}/complete", given, key=key)
            assert done is not None
            assert done.status_code in (200, 409), done.text
            what = "completed" if done.status_code == 200 else "refused"
            journal.note(what, task=number, attempt=attempt, result=result)


async def write(_journal: Journal, place: Place, index: int, batches: int) -> None:
    """Batches of tasks, one after another."""
    chance = random.Random(100 + index)
    line = Line(place, place.key, chance, roams=True)
    for turn in range(batches):
        batch = [{"title": f"{index}/{turn}/{n}"} for n in range(chance.randint(1, 4))]
        made = await line.post("tasks", {"tasks": batch}, key=f"{index}/{turn}")
        assert made is not None
        assert made.status_code == 201, made.text
        await asyncio.sleep(chance.uniform(0.0, 0.2))


async def campaign(place: Place, folder: Path, url: str) -> tuple[checkers.State, list[Any], list[Any], list[Any]]:
    """All tasks made and done before all eyes: what is there, the workers' notes, what was seen, and seen wrongly."""
    end = folder / "end"
    with Crew(folder / "followers") as right, Crew(folder / "wrong") as wrong, Crew(folder / "crew") as crew:
        for seed in range(2):
            right.start(follow, place, end, seed, [STEADY, *[RESTLESS] * 4, *[SLOW] * 3, *[CHOOSY] * 2])
        wrong.start(follow, place, end, 2, WRONG)
        with Crew(folder / "writers") as writers:
            for index in range(WRITERS):
                writers.start(write, place, index, BATCHES)
            for index in range(WORKERS):
                crew.start(work, place, index)
            await writers.finish(60 * SCALE)
        async with httpx.AsyncClient(
            base_url=f"{place.urls[0]}/squads/{place.squad}",
            headers={"Authorization": f"Bearer {place.key}"},
            timeout=10,
        ) as owner:

            async def all_done() -> bool:
                cards = (await owner.get("/board")).json()["tasks"]
                return {card["status"] for card in cards} == {"done"}

            await eventually(all_done, 60 * SCALE)
            await asyncio.sleep(NAP)  # the last ones to wake still try to write
            assert [worker.process.is_alive() for worker in crew.workers] == [True] * WORKERS
            last = (await owner.post("/messages", json={"all": True, "body": "That was all."})).json()
            announce(end, last["position"])
        await right.finish(30 * SCALE)
        await wrong.finish(30 * SCALE)
        after = checkers.state(url, UUID(place.squad))
        return after, crew.notes(), right.notes("seen"), wrong.notes("seen")


def log_for(after: checkers.State, note: dict[str, Any]) -> list[int]:
    """The positions that a follower was to see."""
    return [event["position"] for event in after.events if not note["kinds"] or event["kind"] in note["kinds"]]


async def test_none_is_done_twice_and_every_follower_sees_everything(database_url: str, tmp_path: Path) -> None:
    """And the controls: who resumes from a count, or from one further, is found out."""
    async with standing(tmp_path / "home", 2, DATABASE_URL=database_url) as servers:
        place = await Place.found(servers, "followers", WORKERS)
        after, notes, seen, seen_wrongly = await campaign(place, tmp_path, database_url)
        assert [server.starts for server in servers] == [1, 1]
    assert checkers.unfenced(after, notes) == []
    assert checkers.unfinished(after) == []
    assert checkers.torn(after) == []
    late = sum(note["what"] == "refused" for note in notes)
    assert late > 0
    assert len(seen) == 20
    assert [checkers.missed(note["positions"], log_for(after, note)) for note in seen] == [[]] * len(seen)
    controls = [len(checkers.missed(note["positions"], log_for(after, note))) for note in seen_wrongly]
    assert len(controls) == len(WRONG)
    assert min(controls) > 0
    say(
        f"followers: 2 servers, {len(after.tasks)} tasks, {len(after.events)} events, {late} late writers refused, "
        f"{len(seen)} followers over {sum(note['streams'] for note in seen)} streams, 0 missed; "
        f"controls: {controls[0]} found of one that counts, {controls[1]} of one that asks one further"
    )
