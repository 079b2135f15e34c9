"""A server process with open streams and long polls ends soon after it is told to."""

import asyncio
import functools
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.campaigns.crew import eventually
from tests.campaigns.serving import free_port
from tests.interfaces.http.conftest import squad
from tests.interfaces.http.streaming import PATIENCE, stream

COMMANDS = {
    "asq serve": ["agentsquad", "serve", "--port", "{port}"],
    "uvicorn": ["uvicorn", "backend.app:app", "--port", "{port}", "--log-level", "warning"],
}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("command", COMMANDS)
async def test_a_server_with_streams_and_long_polls_ends_when_told(
    database_url: str, tmp_path: Path, command: str, number: signal.Signals
) -> None:
    url = f"http://127.0.0.1:{(port := free_port())}"
    environment = {"PATH": os.environ["PATH"], "DATABASE_URL": database_url, "SQUAD_HOME": str(tmp_path / "home")}
    typed = [sys.executable, "-m", *(word.format(port=port) for word in COMMANDS[command])]
    with (tmp_path / "said").open("w+") as said:
        process = subprocess.Popen(typed, env=environment, stdout=said, stderr=said)  # noqa: ASYNC220
        try:
            async with httpx.AsyncClient(base_url=url, timeout=60) as owner:
                await eventually(lambda: ready(owner), 30)
                owner.headers["Authorization"] = f"Bearer {(tmp_path / 'home' / 'key').read_text().strip()}"
                web = await squad(owner)
                feed = functools.partial(stream, owner, "?after=2", squad=web)
                async with feed() as one, feed() as other:
                    polls = [asyncio.create_task(owner.post(f"{web}/tasks/claim?wait=50")) for _ in range(2)]
                    await asyncio.sleep(0.5)
                    process.send_signal(number)
                    assert [await each.rest() for each in (one, other)] == [["retry: 1000"]] * 2
                    async with asyncio.timeout(PATIENCE):
                        answers = [await poll for poll in polls]
                assert [answer.json() for answer in answers] == [{"items": [], "unread": 0}] * 2
            await asyncio.to_thread(process.wait, PATIENCE)
            assert process.returncode in (0, -number, 128 + number)
        finally:
            process.kill()
            process.wait()
        said.seek(0)
        assert "Traceback" not in said.read()


async def ready(client: httpx.AsyncClient) -> bool:
    """Whether the server answers, from its database."""
    try:
        return (await client.get("/ready")).status_code == 200
    except httpx.TransportError:
        return False
