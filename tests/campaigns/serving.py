"""Real server processes, the ways of workers to them, and a squad that is made over HTTP."""

import asyncio
import contextlib
import math
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from tests.campaigns.crew import eventually, until

AT_ONCE = 4  # members that are made at the same time


@dataclass
class Server:
    """A real server process on a port, started again whenever it dies."""

    home: Path
    port: int
    environment: dict[str, str] = field(default_factory=dict)
    prelude: str = ""  # Python that runs in it first: a campaign's control breaks something there
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The id of its process."""
        assert self.process is not None
        return self.process.pid

    async def keep(self) -> None:
        """Start it, and start it again."""
        environment = {"PATH": os.environ["PATH"], "SQUAD_HOME": str(self.home), "DATABASE_URL": "", **self.environment}
        code = f"{self.prelude}\nfrom agentsquad.cli import main\nmain()"
        command = [sys.executable, *(("-c", code) if self.prelude else ("-m", "agentsquad"))]
        command += ["serve", "--port", str(self.port)]
        with self.log.open("ab") as log:
            while True:
                self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)  # noqa: ASYNC220
                self.starts += 1
                await until(lambda: self.process is None or self.process.poll() is not None, math.inf)

    @property
    def log(self) -> Path:
        """What it has said."""
        return self.home.parent / f"{self.port}.log"

    def signal(self, number: int) -> None:
        """Send it a signal, if it lives."""
        if self.process is not None:
            self.process.send_signal(number)

    def kill(self) -> None:
        """End it, hard."""
        self.signal(signal.SIGKILL)

    async def ready(self, client: httpx.AsyncClient) -> bool:
        """Whether it answers, from its database. One that starts listens already, and answers later."""
        with contextlib.suppress(httpx.TransportError):
            return (await client.get(f"{self.url}/ready", timeout=1)).status_code == 200
        return False


def free_port() -> int:
    """A port that nobody uses."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def standing(home: Path, amount: int, prelude: str = "", **environment: str) -> AsyncIterator[list[Server]]:
    """That many servers of one home folder, all ready; none outlives the block."""
    servers = [Server(home, free_port(), environment, prelude) for _ in range(amount)]
    keeping = [asyncio.create_task(server.keep()) for server in servers]
    try:
        async with httpx.AsyncClient(timeout=10) as client:
            await ready(servers, client, amount)
        yield servers
    finally:
        for task in keeping:
            task.cancel()
        await asyncio.wait(keeping)
        for server in servers:
            server.kill()
            if server.process is not None:
                server.process.wait()


async def ready(servers: list[Server], client: httpx.AsyncClient, least: int) -> None:
    """Wait until that many of them serve."""

    async def enough() -> bool:
        return sum(await asyncio.gather(*[server.ready(client) for server in servers])) >= least

    await eventually(enough, 30)


@dataclass(frozen=True)
class Place:
    """A squad as its members find it: the servers' addresses, its id, the owner's key and a token of each member."""

    urls: tuple[str, ...]
    squad: str
    key: str
    tokens: tuple[str, ...]

    @classmethod
    async def found(
        cls, servers: list[Server], name: str, members: int, lease_seconds: int = 1, roles: Sequence[str] = ("",)
    ) -> Self:
        """Make it, with external members `m0`, `m1` …, who have these roles in turn."""
        key = (servers[0].home / "key").read_text().strip()
        async with httpx.AsyncClient(
            base_url=servers[0].url, timeout=10, headers={"Authorization": f"Bearer {key}"}
        ) as client:

            async def post(path: str, body: object) -> dict[str, Any]:
                answer = await client.post(path, json=body)
                assert answer.status_code == 201, answer.text
                made: dict[str, Any] = answer.json()
                return made

            new = {"name": name, "lease_seconds": lease_seconds, "max_tries": 100}
            squad = (await post("/squads", new))["id"]
            turn = asyncio.Semaphore(AT_ONCE)

            async def join(index: int) -> str:
                async with turn:
                    new = {"name": f"m{index}", "role": roles[index % len(roles)]}
                    await post(f"/squads/{squad}/members", new)
                    made = await post(f"/squads/{squad}/members/m{index}/tokens", {})
                return str(made["secret"])

            tokens = await asyncio.gather(*[join(index) for index in range(members)])
        return cls(tuple(server.url for server in servers), squad, key, tuple(tokens))


class Line:
    """One worker's way to the servers: another one when one fails, and again until there is an answer."""

    def __init__(self, place: Place, token: str, chance: random.Random, *, roams: bool = False) -> None:
        self._client = httpx.AsyncClient(timeout=15, headers={"Authorization": f"Bearer {token}"})
        self._place = place
        self._chance = chance
        self._roams = roams
        self._url = chance.choice(place.urls)

    async def post(
        self, path: str, body: object = None, *, repeat: bool = True, key: str | None = None
    ) -> httpx.Response | None:
        """The first answer that is one; None if there was none and the request isn't to be repeated.

        Args:
            path: below the squad.
            body: what is sent.
            repeat: whether to ask again.
            key: a name for this request, so that one that comes again does nothing again.
        """
        headers = {} if key is None else {"Idempotency-Key": key}
        while True:
            if self._roams:
                self._move()
            with contextlib.suppress(httpx.TransportError):
                url = f"{self._url}/squads/{self._place.squad}/{path}"
                answer = await self._client.post(url, json=body, headers=headers)
                if answer.status_code < 500:
                    return answer
                assert answer.status_code == 503, answer.text
                assert "Retry-After" in answer.headers
            self._move()
            await asyncio.sleep(0.05)
            if not repeat:
                return None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    def _move(self) -> None:
        self._url = self._chance.choice(self._place.urls)
