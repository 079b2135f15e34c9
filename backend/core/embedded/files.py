"""Files of the bundled PostgreSQL: made with exact modes, replaced in one step, locked with patience.

Nothing here follows a link at the end of a path or changes what it hasn't made.
"""

import errno
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from backend.core.errors import StartError

POSIX = sys.platform != "win32"
if POSIX:
    import fcntl

POLL = 0.05  # seconds between two looks at something that is waited for
REPORT_SECONDS = 5
WAIT_SECONDS = 300


@dataclass
class Patience:
    """Each call sleeps for a moment; it reports every few seconds, and gives up in the end."""

    doing: str
    remedy: str
    report: Callable[[str], None]
    began: float = field(default_factory=time.monotonic)
    reports: int = 0

    def __call__(self) -> None:
        """Sleep for a moment.

        Raises:
            StartError: it took too long.
        """
        time.sleep(POLL)
        waited = time.monotonic() - self.began
        if waited >= WAIT_SECONDS:
            raise StartError(f"{self.doing} took more than {WAIT_SECONDS} s; {self.remedy}.")
        if waited >= (self.reports + 1) * REPORT_SECONDS:
            self.reports += 1
            self.report(f"{self.doing} ({waited:.0f} s)")


@contextmanager
def claimed(path: Path) -> Iterator[int | None]:
    """Hold a lock on a file until the end of the block, or yield None if someone else has it.

    It yields the descriptor. That is only ever closed, never unlocked: a child that inherits it
    keeps the lock for as long as it, or a child of its own, lives.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        yield handle if _lock(handle) else None
    finally:
        os.close(handle)


@contextmanager
def locked(path: Path, wait: Callable[[], None]) -> Iterator[None]:
    """Hold a lock on a file until the end of the block; calls `wait` until it is free."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        while not _lock(handle):
            wait()
        yield
    finally:
        os.close(handle)


def _lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def folder(path: Path, mode: int) -> None:
    """Make a folder of exactly this mode, whatever the umask; one that exists stays as it is."""
    try:
        path.mkdir(mode)
    except FileExistsError:
        if not path.is_dir():
            raise
    else:
        path.chmod(mode)


def write(path: Path, text: str, own: Callable[[int], None] = lambda _handle: None) -> None:
    """Replace a file's content in one step; only its owner can read it.

    Args:
        path: the file.
        text: the content.
        own: gives the open file to its owner.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(handle)
            own(handle)
        rename(Path(name), path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def rename(old: Path, new: Path) -> None:
    """Rename a file or folder for good: a power cut doesn't undo it."""
    old.replace(new)
    handle = os.open(new.parent, os.O_RDONLY)
    try:
        with suppress(OSError):  # not every file system can
            os.fsync(handle)
    finally:
        os.close(handle)


def lines(path: Path) -> list[str]:
    """The lines of a small file; none if it can't be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def last_line(text: str, *marks: str) -> str:
    """The last line that has one of the marks, or else the last line of all."""
    said = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in said if any(mark in line for mark in marks)]
    return (telling or said or ["it said nothing"])[-1]


@contextmanager
def plainly(home: Path) -> Iterator[None]:
    """Turn what the operating system refuses into a sentence."""
    try:
        yield
    except OSError as error:
        place = error.filename or home
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StartError(f"There is no room for {place}; free some, and try again.") from error
        raise StartError(
            f"{place} can't be used ({error.strerror}); give the account that runs the server "
            "write access, or set SQUAD_HOME to another folder."
        ) from error
