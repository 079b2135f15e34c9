"""A real server as a process, and the command as one types it."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agentsquad import local
from agentsquad.client import AsyncClient

ASQ = (sys.executable, "-m", "agentsquad")
Asq = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def home(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder of the test's own, and an environment that leads to it."""
    monkeypatch.setenv("SQUAD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DATABASE_URL", database_url)
    return tmp_path / "home"


@pytest.fixture
def asq(home: Path) -> Asq:
    """Type a command and wait for it."""

    def typed(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*ASQ, *arguments], env=os.environ | environment, capture_output=True, text=True, timeout=60, check=False
        )

    return typed


@pytest.fixture
def start(home: Path) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Start a command, which the end of the test ends."""
    started = []

    def starting(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*ASQ, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        started.append(process)
        return process

    yield starting
    for process in started:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


@pytest.fixture
def server(home: Path, start: Callable[..., "subprocess.Popen[str]"]) -> str:
    """A running server; answers its address."""
    process = start("serve", "--port", "0")
    ends = time.monotonic() + 30
    while time.monotonic() < ends and process.poll() is None:
        for _, url in local.running(home):
            if (home / local.KEY).exists():
                return url
        time.sleep(0.05)
    raise AssertionError(process.stdout and process.stdout.read())


@pytest.fixture
def client(server: str, home: Path) -> AsyncClient:
    """The administrator's client; the test enters it."""
    return AsyncClient(server, (home / local.KEY).read_text().strip())
