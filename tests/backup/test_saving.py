"""A backup is whole or not there, whatever dies on the way, and what was answered before it began is in it."""

import asyncio
import fcntl
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest

from agentsquad.schemas.tasks import Claims, CompleteNew, TaskNew, TasksMade
from backend.backup.restoring import restore
from backend.backup.saving import save
from backend.backup.tools import Tools
from backend.core.database import Database
from backend.core.embedded import accounts
from backend.core.errors import StartError
from backend.core.settings import Settings
from backend.core.urls import Address
from backend.operations import tasks
from tests.backup.conftest import child, contents, locked, waits
from tests.campaigns import checkers, crew
from tests.cli.conftest import ASQ, Asq
from tests.cli.test_serve import sentence
from tests.conftest import on

Start = Callable[..., "subprocess.Popen[str]"]


def test_it_says_what_is_in_it_and_is_for_nobody_else(filled: str, asq: Asq, tmp_path: Path) -> None:
    file = tmp_path / "saved"
    done = asq("admin", "backup", str(file))
    assert re.fullmatch(
        rf"{file}: \d\.\d MiB in \d+\.\d s; schema \w+, 1 squads, 26 tasks, \d+ events\.\n", done.stdout
    ), done
    assert file.stat().st_mode & 0o777 == 0o600
    assert not list(tmp_path.glob("*.new"))


def test_a_file_that_is_there_stays(saved: Path, asq: Asq) -> None:
    before = saved.read_bytes()
    assert sentence(asq("admin", "backup", str(saved))).endswith("give another name, or --force to replace it.")
    assert saved.read_bytes() == before
    assert asq("admin", "backup", str(saved), "--force").returncode == 0
    assert saved.read_bytes() != before


def test_one_that_has_just_become_whole_is_not_written_over(
    filled: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "saved"

    def late(handle: Any, how: int) -> None:
        """Between our opening the file and locking it, another backup ends."""
        file.with_name("saved.new").write_bytes(b"whole")
        file.with_name("saved.new").rename(file)
        lock(handle, how)

    lock = fcntl.flock
    monkeypatch.setattr("fcntl.flock", late)
    with pytest.raises(StartError, match="Another backup has just written"):
        save(Database(Settings(DATABASE_URL=filled, SQUAD_HOME=home)), file)
    assert file.read_bytes() == b"whole"


@pytest.mark.parametrize(("place", "why"), [("nowhere/saved", "No such file or directory"), (".", "is a folder")])
def test_a_place_that_is_none_is_one_sentence(filled: str, asq: Asq, tmp_path: Path, place: str, why: str) -> None:
    assert why in sentence(asq("admin", "backup", str(tmp_path / place)))


def test_a_database_without_a_schema_is_one_sentence(asq: Asq, empty_url: str, tmp_path: Path) -> None:
    said = sentence(asq("admin", "backup", str(tmp_path / "saved"), DATABASE_URL=empty_url))
    assert "there is nothing to save" in said


def test_a_full_disk_leaves_nothing(filled: str, asq: Asq, tmp_path: Path) -> None:
    file = tmp_path / "saved"
    command = ["/bin/sh", "-c", 'ulimit -f 32; exec "$@"', "sh", *ASQ, "admin", "backup", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert sentence(done) == f"{file}.new can't be written (File too large); make room, or give another place."
    assert not list(tmp_path.glob("saved*"))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_pg_dump_that_dies_leaves_nothing(filled: str, start: Start, tmp_path: Path, number: int) -> None:
    with locked(filled, "messages"):
        process = start("admin", "backup", str(tmp_path / "saved"))
        program = child(process.pid, "pg_dump")
        waits(filled, "LOCK TABLE")
        program.send_signal(number)
        said, _ = process.communicate(timeout=30)
    assert said.startswith("pg_dump failed (")
    assert process.returncode == 1
    assert not list(tmp_path.glob("saved*"))


def test_a_pg_dump_that_dies_as_it_starts_leaves_nothing(
    filled: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Dying(subprocess.Popen[bytes]):
        def __init__(self, command: list[str], **more: Any) -> None:
            super().__init__(command, **more)
            if command[1:] != ["--version"]:
                self.kill()

    monkeypatch.setattr(subprocess, "Popen", Dying)
    with locked(filled, "messages"), pytest.raises(StartError, match=r"pg_dump failed \(signal 9\)"):
        save(Database(Settings(DATABASE_URL=filled, SQUAD_HOME=home)), tmp_path / "saved")
    assert not list(tmp_path.glob("saved*"))


def test_the_program_that_works_is_not_the_one_that_was_asked_for_its_version(server_url: str) -> None:
    """Whoever kills that one, which may have ended and not be waited for, kills nothing: the other one works on."""
    script = (
        "import subprocess, sys; asked = subprocess.Popen([sys.argv[1], '--version'], stdout=subprocess.DEVNULL); "
        "works = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE); works.wait()"
    )
    command = [str(accounts.binaries() / "psql"), server_url]
    with subprocess.Popen([sys.executable, "-c", script, *command]) as process:
        try:
            assert child(process.pid, "psql").cmdline() == command
        finally:
            process.kill()


def test_ctrl_c_leaves_nothing(filled: str, start: Start, tmp_path: Path) -> None:
    with locked(filled, "messages"):
        process = start("admin", "backup", str(tmp_path / "saved"))
        program = child(process.pid, "pg_dump")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        assert not program.is_running()
    assert process.returncode
    assert not list(tmp_path.glob("saved*"))


def test_a_command_that_is_killed_leaves_no_backup(filled: str, start: Start, asq: Asq, tmp_path: Path) -> None:
    file = tmp_path / "saved"
    with locked(filled, "messages"):
        process = start("admin", "backup", str(file))
        program = child(process.pid, "pg_dump")
        waits(filled, "LOCK TABLE")
        said = sentence(asq("admin", "backup", str(file)))
        assert said.startswith(f"Another backup is writing {file}.new")
        process.kill()
        process.communicate()
    program.wait(30)
    assert not file.exists()
    assert asq("admin", "backup", str(file)).returncode == 0


def test_no_password_is_in_the_process_list(filled: str, start: Start, tmp_path: Path, monkeypatch: Any) -> None:
    address = Address.parse(filled)
    secret = "s3cret-of-saver"
    with closing(psycopg2.connect(filled)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE saver LOGIN SUPERUSER PASSWORD '{secret}'")
    try:
        host = address.for_sync().query["host"]
        url = f"postgresql://saver:{secret}@/{address.database}?host={host}"
        monkeypatch.setenv("DATABASE_URL", url)
        with locked(filled, "messages"):
            process = start("admin", "backup", str(tmp_path / "saved"))
            program = child(process.pid, "pg_dump")
            waits(filled, "LOCK TABLE")
            assert program.environ()["PGPASSWORD"] == secret  # it is there, where only its own user reads it
            assert not [
                each for each in (program.pid, process.pid) if secret in " ".join(psutil.Process(each).cmdline())
            ]
        said, _ = process.communicate(timeout=30)
        assert process.returncode == 0, said
        assert secret not in said
    finally:
        with closing(psycopg2.connect(on(filled, "postgres"))) as connection, connection, connection.cursor() as cursor:
            cursor.execute("DROP ROLE saver")


def test_a_server_that_is_newer_than_the_programs_is_one_sentence() -> None:
    Tools(dict(os.environ)).require(18)
    with pytest.raises(StartError, match=r"PostgreSQL 19, newer than the bundled pg_dump \(18\)"):
        Tools(dict(os.environ)).require(19)


async def write(database: Database, team: crew.Team, notes: list[dict[str, Any]], who: int) -> None:
    """Make tasks that wait for one another and complete them, and note what was answered."""
    actor = team.members[who]
    while True:
        new = [TaskNew(title="first", key="a", assignee=f"m{who}"), TaskNew(title="second", depends_on=["a"])]
        made = await database.transact(tasks.create, actor, team.squad, new)
        numbers = [task.number for task in TasksMade.model_validate_json(made).items]
        notes.append({"what": "created", "tasks": list(zip(numbers, ("first", "second"), strict=True))})
        claimed = await database.transact(tasks.claim, actor, team.squad)
        for item in Claims.model_validate_json(claimed or '{"items": []}').items:
            number, attempt = item.task.number, item.task.attempt
            await database.transact(
                tasks.complete, actor, team.squad, number, CompleteNew(claim=item.claim, result=who)
            )
            notes.append({"what": "completed", "task": number, "attempt": attempt, "result": who})


async def loaded(database: Database, notes: list[dict[str, Any]]) -> tuple[crew.Team, list[asyncio.Task[None]]]:
    team = await crew.found(database, 4, lease_seconds=600)
    writers = [asyncio.create_task(write(database, team, notes, who)) for who in range(4)]
    await crew.until(lambda: len(notes) > 200, 60)
    return team, writers


async def end(writers: list[asyncio.Task[None]]) -> None:
    for writer in writers:
        writer.cancel()
    await asyncio.wait(writers)


async def test_it_is_one_moment_of_a_database_that_works(
    database: Database, home: Path, target: str, tmp_path: Path
) -> None:
    notes: list[dict[str, Any]] = []
    team, writers = await loaded(database, notes)
    before = list(notes)
    command = [sys.executable, "-m", "agentsquad", "admin", "backup", str(tmp_path / "saved")]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    written = len(notes) - len(before)
    await end(writers)
    assert process.returncode == 0
    assert written > 50, "nothing was written meanwhile"
    await asyncio.to_thread(restore, Database(Settings(DATABASE_URL=target)), tmp_path / "saved")
    after = checkers.state(target, team.squad.id)
    assert f"{len(after.tasks):,} tasks, {len(after.events):,} events." in said.decode()
    assert checkers.torn(after) == []
    assert checkers.unkept(after, before) == []
    # The same checker finds what the backup can't have: it was answered later.
    assert checkers.unkept(after, notes) != []


async def test_a_backup_of_two_moments_is_found(database: Database, home: Path, empty_url: str, tmp_path: Path) -> None:
    """The control: a dump of all tables but one, and then of that one."""
    team, writers = await loaded(database, [])
    with database.sync_engine.connect() as connection:
        tools = Tools.on(connection, bundled=False)
    everything = ("--format=plain", "--no-owner", "--exclude-table-data=events")
    first = await asyncio.to_thread(tools.ask, "pg_dump", *everything)
    second = await asyncio.to_thread(tools.ask, "pg_dump", "--format=plain", "--data-only", "--table=events")
    await end(writers)
    script = tmp_path / "two.sql"
    script.write_text(first + second)
    with Database(Settings(DATABASE_URL=empty_url)).sync_engine.connect() as connection:
        Tools.on(connection, bundled=False).ask("psql", "--no-psqlrc", "--quiet", f"--file={script}")
    assert checkers.torn(checkers.state(empty_url, team.squad.id)) != []


def test_contents_see_a_row_more(filled: str) -> None:
    before = contents(filled)
    assert contents(filled) == before
    with closing(psycopg2.connect(filled)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("UPDATE tasks SET priority = 4 WHERE number = 1")
    assert {table for table, rows in contents(filled).items() if rows != before[table]} == {"tasks"}
