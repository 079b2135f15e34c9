"""A database becomes what the backup holds, or stays as it was."""

import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from alembic import command

from agentsquad import local
from backend.backup.tools import Tools
from backend.core import schema
from backend.core.database import Database
from backend.core.settings import Settings
from backend.operations import keys
from tests.backup.conftest import child, contents, locked, waits
from tests.cli.conftest import Asq
from tests.cli.test_serve import sentence

Start = Callable[..., "subprocess.Popen[str]"]


def execute(url: str, statement: str) -> list[tuple[object, ...]]:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


def occupy(url: str) -> dict[str, str]:
    """Let the database hold something, also of other people; answers what it holds."""
    execute(url, "INSERT INTO users (id, email) VALUES (gen_random_uuid(), 'somebody@example.com')")
    execute(url, "CREATE TYPE mood AS ENUM ('well'); CREATE TABLE theirs (user_id uuid REFERENCES users, m mood)")
    execute(url, "CREATE VIEW seen AS SELECT * FROM theirs")
    return contents(url)


def dumped(url: str, file: Path) -> Path:
    """An archive that pg_dump makes by itself."""
    with Database(Settings(DATABASE_URL=url)).sync_engine.connect() as connection:
        Tools.on(connection, bundled=False).ask("pg_dump", "--format=custom", f"--file={file}")
    return file


@pytest.mark.parametrize("migrated", [True, False])
def test_what_was_saved_comes_back(
    filled: str, saved: Path, asq: Asq, target: str, empty_url: str, *, migrated: bool
) -> None:
    url = target if migrated else empty_url
    done = asq("admin", "restore", str(saved), DATABASE_URL=url)
    assert done.stdout.startswith("Restored 1 squads, 26 tasks and "), done
    assert "`asq admin key`" in done.stdout
    assert contents(url) == contents(filled)
    assert asq("admin", "migrate", DATABASE_URL=url).returncode == 0


def test_a_database_that_holds_something_stays_unless_it_may_be_replaced(
    filled: str, saved: Path, asq: Asq, target: str
) -> None:
    before = occupy(target)
    said = sentence(asq("admin", "restore", str(saved), DATABASE_URL=target))
    assert said.startswith("The database is not empty (users has rows)")
    assert contents(target) == before
    assert asq("admin", "restore", str(saved), "--replace", DATABASE_URL=target).returncode == 0
    assert contents(target) == contents(filled)


def test_nobody_may_be_at_work_in_what_is_replaced(saved: Path, asq: Asq, target: str) -> None:
    before = occupy(target)
    with closing(psycopg2.connect(target)):
        said = sentence(asq("admin", "restore", str(saved), "--replace", DATABASE_URL=target))
    assert said.startswith("Others are connected to the database (1 connections)")
    assert contents(target) == before


def test_no_server_of_this_home_may_run(saved: Path, asq: Asq, home: Path) -> None:
    with local.announced(home, "http://127.0.0.1:1"):
        said = sentence(asq("admin", "restore", str(saved), "--replace"))
    assert said == "A server of this home folder runs; end it with `asq stop`, and try again."


@pytest.mark.parametrize("part", [0, 0.01, 0.5, 0.9, 0.999])
def test_half_a_backup_is_none(saved: Path, asq: Asq, target: str, tmp_path: Path, part: float) -> None:
    before = occupy(target)
    half = tmp_path / "half"
    half.write_bytes(saved.read_bytes()[: int(saved.stat().st_size * part)])
    said = sentence(asq("admin", "restore", str(half), "--replace", DATABASE_URL=target))
    assert "nothing was changed" in said or "is no backup of Agent Squad, or damaged" in said
    assert contents(target) == before


def test_a_damaged_row_is_noticed_before_the_end(saved: Path, asq: Asq, target: str, tmp_path: Path) -> None:
    before = occupy(target)
    whole = bytearray(saved.read_bytes())
    whole[-4000:-3000] = bytes(1000)
    damaged = tmp_path / "damaged"
    damaged.write_bytes(whole)
    assert sentence(asq("admin", "restore", str(damaged), "--replace", DATABASE_URL=target))
    assert contents(target) == before


def test_a_foreign_file_is_one_sentence(asq: Asq, target: str, empty_url: str, tmp_path: Path, home: Path) -> None:
    execute(empty_url, "CREATE TABLE squads (id int)")
    text = tmp_path / "text"
    text.write_text("Hello.")
    for file in (dumped(empty_url, tmp_path / "foreign"), text):
        said = sentence(asq("admin", "restore", str(file), DATABASE_URL=target))
        assert said.startswith(f"{file} is no backup of Agent Squad, or damaged")
    assert "can't be read (No such file" in sentence(asq("admin", "restore", "nowhere"))


def test_a_newer_programs_backup_is_refused(filled: str, asq: Asq, target: str, tmp_path: Path) -> None:
    execute(filled, "UPDATE alembic_version SET version_num = '2099_01_01_new'")
    before = contents(target)
    said = sentence(asq("admin", "restore", str(dumped(filled, tmp_path / "newer")), DATABASE_URL=target))
    assert said.endswith("was made by a newer program (schema 2099_01_01_new); install a newer agentsquad-server.")
    assert "is newer than this program" in sentence(asq("admin", "backup", str(tmp_path / "saved")))
    assert contents(target) == before


def test_an_older_programs_backup_is_brought_to_head(asq: Asq, empty_url: str, target: str, tmp_path: Path) -> None:
    database = Database(Settings(DATABASE_URL=empty_url))
    command.upgrade(schema.config(database.sync_engine), "2026_11_22_functions")
    execute(empty_url, "INSERT INTO users (id, email) VALUES (gen_random_uuid(), 'old@example.com')")
    database.sync_engine.dispose()
    older = tmp_path / "older"
    assert "schema 2026_11_22_functions" in asq("admin", "backup", str(older), DATABASE_URL=empty_url).stdout
    assert asq("admin", "restore", str(older), DATABASE_URL=target).returncode == 0
    assert execute(target, "SELECT email FROM users") == [("old@example.com",)]
    assert execute(target, "SELECT version_num FROM alembic_version") == [(schema.head(),)]


@pytest.mark.parametrize("whom", ["psql", "asq"])
def test_what_dies_on_the_way_leaves_the_database_as_it_was(
    saved: Path, start: Start, asq: Asq, target: str, whom: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", target)
    before = contents(target)
    with locked(target, "users", "ACCESS SHARE"):
        process = start("admin", "restore", str(saved))
        program = child(process.pid, "psql")
        waits(target, "DROP")
        (program if whom == "psql" else process).kill()
        said, _ = process.communicate(timeout=30)
    if whom == "psql":
        assert said == "psql failed (signal 9); nothing was changed.\n"
    else:
        program.wait(30)
    assert contents(target) == before
    assert asq("admin", "restore", str(saved)).returncode == 0


def test_somebody_who_reads_is_waited_for_not_long(saved: Path, asq: Asq, target: str) -> None:
    with locked(target, "users", "ACCESS SHARE"):
        said = sentence(asq("admin", "restore", str(saved), DATABASE_URL=target))
    assert said == "psql failed (canceling statement due to lock timeout); nothing was changed."


def test_the_owner_of_the_machine_gets_a_key(filled: str, asq: Asq, home: Path) -> None:
    execute(filled, "UPDATE users SET is_admin = true WHERE email = 'paul@example.com'")
    for made in (1, 2):
        done = asq("admin", "key")
        assert done.stdout == f"The administrator's new key is in {home / 'key'}.\n", done
        assert (home / "key").stat().st_mode & 0o777 == 0o600
        digest = keys.digest((home / "key").read_text().strip())
        assert digest is not None
        whose = f"SELECT u.email FROM api_keys k JOIN users u ON u.id = k.user_id WHERE k.digest = '\\x{digest.hex()}'"
        assert execute(filled, whose) == [("paul@example.com",)]
        assert len(list(home.glob("key*"))) == made
    execute(filled, "UPDATE users SET is_active = false WHERE is_admin")
    assert sentence(asq("admin", "key")).startswith("Every administrator's account is deactivated")
