"""The bundled PostgreSQL's data and the process that serves it: made, launched, found, stopped.

`postgres.alive` is locked by whoever touches the data: initdb and the server inherit the lock, so
as long as one of their processes lives, be it orphaned or in another container, nobody else begins;
and once the lock is free, whatever `postmaster.pid` says is stale. A process gets a signal only
after it has proved to be a PostgreSQL server of our account on our data.
"""

import os
import re
import shutil
import signal
import stat
import subprocess
import time
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path

from backend.core.embedded import accounts, files
from backend.core.embedded.accounts import NAME, Account
from backend.core.embedded.files import Patience
from backend.core.errors import StartError

LOG_BYTES = 8 * 1024 * 1024  # a longer log makes room for a new one at the next start
FAST_SECONDS = 20  # that a fast shutdown may take
SOCKET = ".s.PGSQL.5432"
NO_PROCESS = str(2**31 - 1)
CONFIGURATION = """\
# Written anew at each start. For settings of your own use ALTER SYSTEM, which has the last word.
include 'postgres/postgresql.conf'
listen_addresses = ''
unix_socket_directories = '{sockets}'
unix_socket_permissions = 0700
max_connections = 200
shared_buffers = '128MB'
# systemd empties /dev/shm of a user who logs out, and in a container it is small: do without it.
min_dynamic_shared_memory = '64MB'
fsync = on
full_page_writes = on
jit = off
timezone = 'UTC'
cluster_name = 'agentsquad'
# A failed statement is its sender's to log; the server's own news are few, and kept for a week.
logging_collector = on
log_directory = '..'
log_filename = 'postgres.log'
log_rotation_age = '7d'
log_rotation_size = 0
log_truncate_on_rotation = on
log_min_messages = log
log_checkpoints = off
log_timezone = 'UTC'
log_line_prefix = '%m [%p] '
lc_messages = 'C'
"""


@dataclass(frozen=True)
class Server:
    """What serves one cluster.

    Args:
        store: the folder of all that the server needs.
        sockets: the folder of its socket.
        account: who runs it.
    """

    store: Path
    sockets: Path
    account: Account

    @property
    def data(self) -> Path:
        """The data folder; complete as soon as it exists."""
        return self.store / "postgres"

    @property
    def new(self) -> Path:
        """Where the data folder is prepared."""
        return self.store / "postgres.new"

    @property
    def log(self) -> Path:
        """What it logs."""
        return self.store / "postgres.log"

    @property
    def alive(self) -> Path:
        """The file that is locked as long as a process uses the data."""
        return self.store / "postgres.alive"

    @property
    def is_new(self) -> bool:
        """Whether there is no data yet."""
        return not (self.data / "PG_VERSION").exists()

    @property
    def is_private(self) -> bool:
        """Whether nobody but the account can have put a socket into the folder of the socket."""
        # Anybody may make a folder of that name first, and put a false server into it.
        try:
            found = self.sockets.lstat()
        except OSError:
            return False
        closed = stat.S_IMODE(found.st_mode) & 0o777 == stat.S_IRWXU
        return stat.S_ISDIR(found.st_mode) and closed and found.st_uid == self.account.uid

    def claim(self) -> AbstractContextManager[int | None]:
        """Claim the data for the block; yields None if a process uses it."""
        return files.claimed(self.alive)

    def make_folders(self, home: Path) -> None:
        """Make the folders that it needs beside its home."""
        if self.store != home:
            files.folder(self.store, 0o711)
        with suppress(FileExistsError):
            self.sockets.mkdir(0o700)
        found = self.sockets.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid():
            self.account.own(self.sockets)
        if not self.is_private:
            raise StartError(
                f"{self.sockets} is not a folder that only uid {self.account.uid} can enter, "
                "though PostgreSQL's socket belongs there; remove it, and start again."
            )

    def initialise(self, password: str, claim: int, wait: Patience) -> None:
        """Prepare new data beside the place where it will lie; `adopt` moves it there."""
        if self.data.exists() and any(self.data.iterdir()):
            raise StartError(f"{self.data} holds something that is not PostgreSQL's; move it elsewhere.")
        password_file = self.store / "postgres.pwfile"
        files.write(password_file, password, self.account.own)
        initdb = str(accounts.binaries() / "initdb")
        command = [initdb, f"--pgdata={self.new}", f"--username={NAME}", "--auth=scram-sha-256"]
        command += [f"--pwfile={password_file}", "--no-instructions"]
        # PostgreSQL's own C.UTF-8 sorts and folds alike on every system; the system's is only for
        # what is left to it, and not every system has one.
        command += ["--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        try:
            for locale in ("C.UTF-8", "C"):
                shutil.rmtree(self.new, ignore_errors=True)  # of an attempt that was interrupted
                files.folder(self.new, 0o700)
                self.account.own(self.new)
                done = self.account.run([*command, f"--locale={locale}"], (claim,), wait)
                if done.returncode == 0 or "invalid locale name" not in done.stdout:
                    break
        finally:
            password_file.unlink(missing_ok=True)
        if done.returncode != 0:
            raise StartError(
                f"PostgreSQL's data can't be made in {self.store} "
                f"({files.last_line(done.stdout, 'error:')}); "
                "correct the cause, or set SQUAD_HOME to another folder."
            )

    def adopt(self) -> None:
        """Put the prepared data in its place."""
        files.rename(self.new, self.data)

    def check_version(self, claim: int, wait: Patience) -> None:
        """Refuse data of another major version than the binaries'."""
        made_by = (self.data / "PG_VERSION").read_text(encoding="ascii").strip()
        postgres = str(accounts.binaries() / "postgres")
        said = self.account.run([postgres, "--version"], (claim,), wait).stdout.strip()
        version = re.search(r"\d+", said)
        if version is None or version[0] != made_by:
            raise StartError(
                f"{self.data} was made by PostgreSQL {made_by}, and the bundled one is "
                f"{version[0] if version else said}; install the release of Agent Squad "
                "that made it, or set SQUAD_HOME to another folder."
            )

    def launch(self, claim: int) -> int:
        """Start the process, which inherits the claim; answers how long the log was by then."""
        self._forget_the_last()
        configuration = self.store / "postgres.conf"
        files.write(configuration, CONFIGURATION.format(sockets=self.sockets), self.account.own)
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            self.log.replace(self.log.with_name("postgres.log.1"))
        log = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            self.account.own(log)
            length = os.fstat(log).st_size
            # The shell leaves at once, so the server is nobody's child and outlives us.
            command = ["/bin/sh", "-c", '"$@" >&2 &', "sh"]
            command += [str(accounts.binaries() / "postgres"), "-D", str(self.data)]
            command += ["-c", f"config_file={configuration}"]
            self.account.popen(command, subprocess.DEVNULL, log, (claim,)).wait()
            return length
        finally:
            os.close(log)

    def last_words(self, since: int) -> str:
        """Why the process that was launched at this length of the log gave up."""
        with self.log.open("rb") as log:
            log.seek(since)
            said = log.read(LOG_BYTES).decode(errors="replace")
        return files.last_line(said, "FATAL:", "PANIC:")

    def find(self) -> int | None:
        """The id of the process that serves the data."""
        pid_files = [self.data / "postmaster.pid"]
        if self.is_private:
            pid_files.append(self.sockets / f"{SOCKET}.lock")
        for pid_file in pid_files:
            first = next(iter(files.lines(pid_file)), "")
            if first.isdecimal() and self._is_server(int(first)):
                return int(first)
        return None

    def is_cut_off(self, pid: int) -> bool:
        """Whether nobody can ever reach this process again: its data or its socket was removed."""
        match files.lines(self.data / "postmaster.pid"):
            case [first, *_, status] if first == str(pid):
                return status.startswith("ready") and not (self.sockets / SOCKET).exists()
            case _:
                return True

    def interrupt(self, pid: int, number: int = signal.SIGINT) -> None:
        """Ask a process that was found for a shutdown: a fast one, or with SIGQUIT an immediate one."""
        with suppress(ProcessLookupError):
            os.kill(pid, number)

    def stop(self, wait: Patience) -> bool:
        """Shut it down and wait until all its processes are gone; False if it didn't run."""
        if (pid := self.find()) is None:
            return False
        self.interrupt(pid)
        hurry = time.monotonic() + FAST_SECONDS
        while self.find() == pid:
            if time.monotonic() >= hurry:
                # A fast shutdown never ends if it came during the recovery from a crash. This one does, and loses
                # nothing: the next start recovers.
                self.interrupt(pid, signal.SIGQUIT)
            wait()
        with files.locked(self.alive, wait):
            return True

    def remove(self, wait: Patience) -> None:
        """Remove the data and all that lies beside it."""

        def ending() -> None:
            # Whoever launched it may have been killed before it could be found, so it is asked as soon as it can.
            if (pid := self.find()) is not None:
                self.interrupt(pid)
            wait()

        with files.locked(self.alive, ending):
            for folder in (self.data, self.new, self.sockets if self.is_private else self.new):
                shutil.rmtree(folder, ignore_errors=True)
            for name in ("conf", "log", "log.1", "pwfile", "alive"):
                (self.store / f"postgres.{name}").unlink(missing_ok=True)

    def _forget_the_last(self) -> None:
        """Make what the last process left behind block the next one no longer."""
        # Its id may be another process's by now, for which PostgreSQL would refuse to start. So it
        # gives way to one that no process has; the rest of the file stays, because by it PostgreSQL
        # finds orphans that are still attached to the shared memory.
        pid_file = self.data / "postmaster.pid"
        match files.lines(pid_file):
            case [_, *rest] if rest:
                files.write(pid_file, "\n".join([NO_PROCESS, *rest, ""]), self.account.own)
            case _:
                pid_file.unlink(missing_ok=True)
        for name in (SOCKET, f"{SOCKET}.lock"):
            (self.sockets / name).unlink(missing_ok=True)

    def _is_server(self, pid: int) -> bool:
        process = Path(f"/proc/{pid}")
        if not Path("/proc/self").exists():
            command = ["/bin/ps", "-ww", "-o", "command=", "-p", str(pid)]
            wait = Patience("Looking at processes", "try again", lambda _line: None)
            return f"postgres -D {self.data} " in self.account.run(command, (), wait).stdout
        try:
            owner = process.stat().st_uid
            program, *arguments = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        if owner != self.account.uid or Path(os.fsdecode(program)).name != "postgres":
            return False
        if os.fsencode(self.data) in arguments:
            return True
        try:  # the home was renamed since
            return (process / "cwd").samefile(self.data)
        except OSError:
            return False
