"""Starting and stopping, and what a start refuses in one sentence."""

import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx
import psycopg2
import pytest

from agentsquad import local
from agentsquad.client import AsyncClient
from backend import doctor
from backend.cli import serve
from backend.core.errors import StartError
from backend.core.settings import load
from backend.core.urls import Address
from tests.cli.conftest import Asq


def sentence(done: subprocess.CompletedProcess[str]) -> str:
    """The one line that a refused command says."""
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    (line,) = done.stderr.strip().splitlines()
    return line


async def test_a_server_announces_itself_and_stops_on_command(client: AsyncClient, home: Path, asq: Asq) -> None:
    async with client:
        assert (await client.user()).is_admin
    assert (home / "key").stat().st_mode & 0o777 == 0o600
    assert asq("stop").stdout == "Stopped.\n"
    assert not list(local.running(home))
    assert asq("stop").stdout == "Nothing was running.\n"


def test_a_killed_server_is_not_taken_for_a_running_one(server: str, home: Path) -> None:
    ((pid, _),) = local.running(home)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert not list(local.running(home))
    assert not list((home / local.SERVERS).iterdir())


def test_a_second_server_shares_the_first_ones_key(
    server: str, home: Path, start: Callable[..., "subprocess.Popen[str]"]
) -> None:
    key = (home / local.KEY).read_text()
    second = start("serve", "--port", "0")
    assert second.stdout is not None
    assert "Agent Squad on http://127.0.0.1:" in second.stdout.readline()
    assert len(list(local.running(home))) == 2
    assert (home / local.KEY).read_text() == key


def test_a_taken_port_is_one_sentence(asq: Asq) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = str(taken.getsockname()[1])
        assert "give another port with --port" in sentence(asq("serve", "--port", port))
        found = asq("doctor", SQUAD_PORT=port)
    assert found.returncode == 1
    assert "give another port in SQUAD_PORT" in found.stdout


def test_a_port_is_taken_before_its_server_answers() -> None:
    with serve.listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(StartError, match="can't be used"):
            serve.listen("127.0.0.1", port)
        with socket.create_connection(("127.0.0.1", port), timeout=2):
            pass
    serve.listen("127.0.0.1", port).close()


async def test_a_new_databases_key_replaces_none_for_good(
    client: AsyncClient, home: Path, start: Callable[..., "subprocess.Popen[str]"], empty_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    (home / "key.1").write_text("of an older one\n")
    first = (home / local.KEY).read_text()
    monkeypatch.setenv("DATABASE_URL", empty_url)
    second = start("serve", "--port", "0")
    assert second.stdout is not None
    url = second.stdout.readline().split()[3]
    said = second.stdout.readline()
    assert said.endswith(f"the key that lay in {home / 'key'} is now in {home / 'key.2'}.\n")
    assert (home / "key.1").read_text() == "of an older one\n"
    assert (home / "key.2").read_text() == first
    assert (home / "key.2").stat().st_mode & 0o777 == 0o600
    async with client, AsyncClient(url, (home / local.KEY).read_text().strip()) as other:
        assert (await client.user()).id != (await other.user()).id


def test_a_key_that_cannot_be_written_is_one_sentence(asq: Asq, home: Path) -> None:
    (home / "key.new").mkdir(parents=True)
    said = sentence(asq("serve", "--port", "0"))
    assert said.startswith(f"The administrator's key can't be written to {home / 'key.new'} (")
    assert not list(local.running(home))


@pytest.mark.parametrize(("level", "requests", "news"), [("debug", 1, True), ("info", 0, False), ("error", 0, False)])
def test_the_log_is_as_quiet_as_one_wants(
    level: str, requests: int, news: bool, home: Path, start: Callable[..., "subprocess.Popen[str]"],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("SQUAD_LOG_LEVEL", level)
    process = start("serve", "--port", "0")
    assert process.stdout is not None
    said: list[str] = []
    while not said or not said[-1].startswith("Agent Squad on "):
        said.append(process.stdout.readline())
    assert httpx.get(said[-1].split()[3] + "/health", timeout=20).status_code == 200
    process.terminate()
    said += process.stdout.readlines()
    assert len([line for line in said if '"GET /health HTTP/1.1" 200' in line]) == requests
    assert len([line for line in said if "Started server process" in line]) == news
    if not news:
        assert len(said) == 1, said


def test_a_database_is_named_without_secrets(
    asq: Asq, start: Callable[..., "subprocess.Popen[str]"], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = f"{database_url}{'&' if '?' in database_url else '?'}sslpassword=hunter2"
    monkeypatch.setenv("DATABASE_URL", secret)
    process = start("serve", "--port", "0")
    assert process.stdout is not None
    said = process.stdout.readline() + asq("doctor").stdout
    assert len(re.findall(rf"\b{Address.parse(secret).database} on \S+:\d+ ", said)) == 2
    assert not re.search("hunter2|sslpassword|passfile", said)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("postgresql://ada:one@db.example.com/shop?sslpassword=two", "shop on db.example.com:5432"),
        ("postgresql://ada@a:1,[::1]:2/shop", "shop on a:1, [::1]:2"),
        ("postgresql://ada@/?host=/run/postgresql", "ada on /run/postgresql:5432"),
        ("postgresql://", "on localhost:5432"),
    ],
)
def test_a_database_has_a_place(url: str, place: str) -> None:
    assert doctor.place(Address.parse(url)) == place


NOWHERE = "postgresql://nobody:secret@127.0.0.1:1/none"


@pytest.mark.parametrize(
    ("environment", "remedy"),
    [
        ({"DATABASE_URL": NOWHERE}, "check DATABASE_URL"),
        ({"DATABASE_URL": "mysql://h/d"}, "must begin with postgresql://"),
        ({"DATABASE_URL": f"postgresql://u@/d?host=/{'x' * 120}"}, "DATABASE_URL"),
        ({"DATABASE_URL": "", "SQUAD_HOME": "/dev/null/home"}, "SQUAD_HOME"),
        ({"SQUAD_HOME": "/dev/null/home"}, "SQUAD_HOME"),
        ({"SQUAD_PORT": "none"}, "SQUAD_PORT"),
    ],
)
def test_what_cannot_be_started_is_one_sentence_and_the_doctor_finds_it(
    asq: Asq, environment: dict[str, str], remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = sentence(asq("serve", "--port", "0", **environment))
    assert remedy in said
    assert "secret" not in said
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert remedy in diagnosis()


def diagnosis() -> str:
    """What the doctor says of the environment, if it finds anything wrong."""
    try:
        return "\n".join(finding.sentence for finding in doctor.examine(load()) if not finding.well)
    except StartError as error:
        return error.detail


def test_a_newer_schema_is_refused(asq: Asq, database_url: str) -> None:
    connection = psycopg2.connect(database_url)
    with connection, connection.cursor() as cursor:
        cursor.execute("UPDATE alembic_version SET version_num = '2099_01_01_future'")
    connection.close()
    assert "newer than this program" in sentence(asq("serve", "--port", "0"))
    assert "newer than this program" in diagnosis()


def test_an_older_schema_is_refused_when_migrating_is_off(asq: Asq, empty_url: str) -> None:
    environment = {"DATABASE_URL": empty_url, "SQUAD_MIGRATE": "off"}
    assert "asq admin migrate" in sentence(asq("serve", "--port", "0", **environment))
    assert asq("admin", "migrate", **environment).stdout == "The schema is current.\n"
    assert asq("doctor", **environment).returncode == 0


def test_the_doctor_is_content_with_a_running_server(server: str, asq: Asq) -> None:
    found = asq("doctor", SQUAD_PORT=server.rpartition(":")[2])
    assert found.returncode == 0
    assert f"A server runs at {server}" in found.stdout
    assert "its schema is current" in found.stdout
