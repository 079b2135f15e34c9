"""A real server as a process, and the command as one types it."""

import contextlib
import functools
import io
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import typer

from agentsquad import cli, local
from agentsquad.client import AsyncClient, Client
from agentsquad.schemas.members import MemberNew
from agentsquad.schemas.squads import SquadNew
from tests.conftest import new_database

ASQ = (sys.executable, "-m", "agentsquad")
Asq = Callable[..., "subprocess.CompletedProcess[str]"]
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def home(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder of the test's own, and an environment that leads to it."""
    monkeypatch.setenv("SQUAD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DATABASE_URL", database_url)
    return tmp_path / "home"


def type_apart(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Type a command, as a process of its own, and wait for it."""
    return subprocess.run(
        [*ASQ, *arguments], env=os.environ | environment, capture_output=True, text=True, timeout=60, check=False
    )


@contextlib.contextmanager
def starting() -> Iterator[Start]:
    """What starts commands, which the end of the block ends."""
    started = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*ASQ, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


@pytest.fixture
def asq(home: Path) -> Asq:
    """Type a command and wait for it."""
    return type_apart


@pytest.fixture
def start(home: Path) -> Iterator[Start]:
    """Start a command, which the end of the test ends."""
    with starting() as start:
        yield start


@pytest.fixture
def server(home: Path, start: Start) -> str:
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


@dataclass(frozen=True)
class Site:
    """A server that the tests of a folder share; each has a squad of its own on it."""

    url: str
    home: Path
    database: str

    @property
    def key(self) -> str:
        """The administrator's."""
        return (self.home / local.KEY).read_text().strip()


@contextlib.contextmanager
def serving(
    home: Path, database_url: str, port: int = 0, settings: Mapping[str, str] = MappingProxyType({})
) -> Iterator[tuple[Site, "subprocess.Popen[bytes]"]]:
    """A server process; what it says is for nobody."""
    environment = os.environ | {"SQUAD_HOME": str(home), "DATABASE_URL": database_url} | dict(settings)
    process = subprocess.Popen(
        [*ASQ, "serve", "--port", str(port)],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        ends = time.monotonic() + 60
        while not (there := list(local.running(home))) or not (home / local.KEY).exists():
            assert process.poll() is None
            assert time.monotonic() < ends
            time.sleep(0.05)
        yield Site(there[0][1], home, database_url), process
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="package")
def site(server_url: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The server of a folder."""
    with new_database(server_url, template) as url, serving(tmp_path_factory.mktemp("site"), url) as (site, _):
        yield site


NAMES = (f"web{number}" for number in itertools.count())


@pytest.fixture
def web(site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A new squad with a member `ada`, in use here; answers its name."""
    name = next(NAMES)
    monkeypatch.setenv("SQUAD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SQUAD_URL", site.url)
    monkeypatch.setenv("SQUAD_API_KEY", site.key)
    monkeypatch.setenv("SQUAD_ID", name)
    monkeypatch.setenv("COLUMNS", "100")
    with Client() as client:
        client.create_squad(SquadNew(name=name, lease_seconds=60))
        client.add_member(MemberNew(name="ada", role="tester"))
    return name


@dataclass(frozen=True)
class Typed:
    """What came of a command that was typed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it said as JSON."""
        return json.loads(self.out)


Type = Callable[..., Typed]


@functools.cache
def commands() -> Any:
    """All commands; to make them takes longer than most of them do."""
    return typer.main.get_command(cli.app)


@pytest.fixture
def typed(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Type:
    """Type a command, in this process."""
    all_commands = commands()

    def run(*arguments: str, stdin: bytes = b"", **environment: str) -> Typed:
        with monkeypatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
            patch.setattr(sys, "argv", ["asq"])
            patch.setattr(cli, "app", all_commands)
            with pytest.raises(SystemExit) as ended:
                cli.main(list(arguments))
        out, err = capfd.readouterr()
        return Typed(int(ended.value.code or 0), out, err)

    return run


@pytest.fixture
def say(web: str, typed: Type) -> Callable[..., str]:
    """Type a command that succeeds; answers what it says, without the blanks at the ends of lines."""

    def run(*arguments: str, **more: Any) -> str:
        done = typed(*arguments, **more)
        assert (done.code, done.err) == (0, "")
        return "\n".join(line.rstrip() for line in done.out.rstrip("\n").split("\n"))

    return run


@pytest.fixture
def refused(web: str, typed: Type) -> Callable[..., str]:
    """Type a command that is refused with an exit code; answers its one sentence."""

    def run(code: int, *arguments: str, **more: Any) -> str:
        done = typed(*arguments, **more)
        assert (done.code, done.out) == (code, ""), done
        (sentence,) = done.err.splitlines()
        return sentence

    return run
