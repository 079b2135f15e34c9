"""Five times what a server can do: it answers soon or refuses at once, and all is well afterwards."""

import asyncio
import statistics
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psycopg2

from backend.core.database import POOL_WAIT
from tests.campaigns import checkers, crowd
from tests.campaigns.crew import Crew, eventually, say, until
from tests.campaigns.following import announce
from tests.campaigns.pressing import press
from tests.campaigns.serving import Place, standing
from tests.conftest import ITS_CLIENTS, SCALE

FEW = 4  # clients that a server has no trouble with
TIMES = 5  # as much as those get answered
SECONDS = 6.0 * SCALE
FOLLOWERS = 20
CONNECTIONS = 10 + 6 + 1 + 1  # for transactions, for reads, the doorbell, and the one that looked at the schema
SOON = POOL_WAIT + 3.0 + 2.0  # seconds: for a connection, for a lock, and for a busy machine
AT_ONCE = POOL_WAIT / 2
BACK = 10.0  # seconds until all is as before
NO_GATE = "from backend.interfaces.http import crowding\ncrowding.AT_ONCE = 10**9"


@dataclass
class Load:
    """What came back of one load."""

    seconds: float
    statuses: Counter[int]
    answered: list[float]
    refused: list[float]
    wrong: list[str]

    @property
    def rate(self) -> float:
        """Answers with success in a second."""
        return len(self.answered) / self.seconds

    def unwell(self) -> list[str]:
        """What is not as a load beyond what can be done is to be met."""
        wrong = list(self.wrong)
        if percentile(self.answered, 99) > SOON:
            wrong.append(f"answers took {percentile(self.answered, 99):.1f} s")
        if self.refused and statistics.median(self.refused) > AT_ONCE:
            wrong.append(f"refusals took {statistics.median(self.refused):.1f} s")
        return wrong


def percentile(times: list[float], which: int) -> float:
    """So many percent were quicker."""
    return sorted(times)[len(times) * which // 100] if times else 0.0


def times_of(times: list[float]) -> str:
    """For people."""
    return f"p50 {percentile(times, 50) * 1000:.0f} ms, p99 {percentile(times, 99) * 1000:.0f} ms"


@dataclass
class Stage:
    """A server, its squad, and who loads it."""

    place: Place
    folder: Path
    runs: int = 0

    async def load(self, clients: int, seconds: float, every: float) -> Load:
        """Let so many clients send."""
        self.runs += 1
        with Crew(self.folder / f"crew{self.runs}") as crew:
            for seed in range(2):
                crew.start(press, self.place, clients // 2, seconds, every, seed)
            await crew.finish(seconds + 60)
            notes = crew.notes("pressed")
        statuses: Counter[int] = Counter()
        for note in notes:
            statuses.update({int(status): times for status, times in note["statuses"].items()})

        def all_of(name: str) -> list[Any]:
            return list(chain.from_iterable(note[name] for note in notes))

        return Load(seconds, statuses, all_of("answered"), all_of("refused"), all_of("wrong"))

    async def too_much(self, rate: float, seconds: float) -> Load:
        """So many times the rate, by clients of which each sends about twice a second."""
        clients = max(300, min(1_000, int(TIMES * rate / 2)))
        return await self.load(clients, seconds, clients / (TIMES * rate))


@asynccontextmanager
async def stage(url: str, folder: Path, prelude: str = "") -> AsyncIterator[Stage]:
    """A server as anybody starts it, and a squad with a little to read."""
    async with standing(folder / "home", 1, prelude, DATABASE_URL=url) as servers:
        place = await Place.found(servers, "overload", 1, lease_seconds=60)
        headers = {"Authorization": f"Bearer {place.key}"}
        async with httpx.AsyncClient(base_url=place.urls[0], headers=headers) as owner:
            made = await owner.post(f"/squads/{place.squad}/tasks", json={"tasks": [{"title": "x"}] * 4})
            assert made.status_code == 201
        yield Stage(place, folder)
        assert [server.starts for server in servers] == [1]
        assert "Traceback" not in servers[0].log.read_text()


def connections(url: str) -> tuple[int, int]:
    """How many the server has, and how many of them have been at the same thing for over a second."""
    query = (
        "SELECT count(*), count(*) FILTER (WHERE state <> 'idle' AND state_change < clock_timestamp() - interval '1 s')"
        f" {ITS_CLIENTS} AND pid <> pg_backend_pid()"
    )
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        ((amount, stuck),) = cursor.fetchall()
        return amount, stuck


async def test_too_much_is_refused_at_once_and_all_is_well_after(database_url: str, tmp_path: Path) -> None:
    end, times = tmp_path / "end", tmp_path / "times"
    async with stage(database_url, tmp_path) as on:
        with Crew(tmp_path / "followers") as crew:
            following = crew.start(crowd.gather, on.place, FOLLOWERS, end, times, 30.0)
            await until(lambda: following.notes("connected"), 30)
            few = await on.load(FEW, 3.0, 0.0)
            loading = asyncio.create_task(on.too_much(few.rate, SECONDS))
            await asyncio.sleep(SECONDS / 2)
            crew.start(crowd.gather, on.place, FOLLOWERS, end, times, 30.0)  # these come in the midst of it
            much = await loading
            began = asyncio.get_running_loop().time()

            async def all_answered() -> bool:
                return set((await on.load(FEW, 1.0, 0.05)).statuses) == {200, 201}

            await eventually(all_answered, BACK)
            back = asyncio.get_running_loop().time() - began
            amount, stuck = await asyncio.to_thread(connections, database_url)
            after = checkers.state(database_url, UUID(on.place.squad))
            log = [event["position"] for event in after.events]
            times.write_text("{}")
            announce(end, log[-1])
            await crew.finish(40)
            seen = crew.notes("seen")
    assert set(few.statuses) == {200, 201}
    assert set(much.statuses) == {200, 201, 503}
    assert much.unwell() == []
    assert amount <= CONNECTIONS
    assert stuck == 0
    assert [note["streams"] for note in seen] == [1] * len(seen)  # no stream was ended
    assert [checkers.missed(note["positions"], log) for note in seen] == [[]] * 2 * FOLLOWERS
    say(
        f"overload: {few.rate:.0f} answers a second to {FEW} clients ({times_of(few.answered)}); of "
        f"{sum(much.statuses.values()) / SECONDS:.0f} requests a second {much.rate:.0f} answered "
        f"({times_of(much.answered)}), {much.statuses[503] / SECONDS:.0f} refused ({times_of(much.refused)}); "
        f"all answered again after {back:.1f} s; {amount} connections, {len(seen)} streams, 0 missed"
    )


async def test_control_without_the_gate_who_is_refused_has_waited(database_url: str, tmp_path: Path) -> None:
    async with stage(database_url, tmp_path, NO_GATE) as on:
        few = await on.load(FEW, 2.0, 0.0)
        much = await on.too_much(few.rate, 5.0)
    wrong = much.unwell()
    assert any("refusals took" in sentence for sentence in wrong)
    say(f"overload, control: without the gate {'; '.join(wrong)}")
