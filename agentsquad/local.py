"""What is found on this machine: the home folder, the key in it, and the servers that run."""

import contextlib
import fcntl
import json
import os
import signal
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final

HOME: Final = "~/.agentsquad"
KEY: Final = "key"
SERVERS: Final = "servers"
UNFINISHED: Final = ".new"


def home() -> Path:
    """`SQUAD_HOME`, or the default."""
    return Path(os.environ.get("SQUAD_HOME") or HOME).expanduser().absolute()


@contextlib.contextmanager
def announced(folder: Path, address: str) -> Iterator[None]:
    """Say in the home folder that this process serves, as long as it does.

    A lock on a file says so, not the process id: a dead server's lock is gone with it. The file gets the
    name by which it is found when it is locked; before, it would be taken for a dead server's.
    """
    servers = folder / SERVERS
    servers.mkdir(mode=0o700, parents=True, exist_ok=True)
    _remove_unfinished(servers)
    with contextlib.ExitStack() as held:
        file = None
        while file is None:
            file = _locked(servers, json.dumps({"pid": os.getpid(), "url": address}), held)
        try:
            yield
        finally:
            file.unlink(missing_ok=True)


def _locked(servers: Path, content: str, held: contextlib.ExitStack) -> Path | None:
    """A listed file with its lock; None if its unfinished name was removed in the instant before the lock."""
    file = servers / f"{uuid.uuid4().hex}.json"
    unfinished = file.with_suffix(UNFINISHED)
    handle = held.enter_context(unfinished.open("x"))
    fcntl.flock(handle, fcntl.LOCK_EX)
    handle.write(content)
    handle.flush()
    try:
        return unfinished.rename(file)
    except FileNotFoundError:
        return None


def _remove_unfinished(servers: Path) -> None:
    """Remove what servers left that were killed while they announced themselves."""
    for file in servers.glob(f"*{UNFINISHED}"):
        with contextlib.suppress(OSError), file.open() as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.unlink(missing_ok=True)


def running(folder: Path) -> Iterator[tuple[int, str]]:
    """Process id and address of each server that runs with this home folder."""
    for file in sorted((folder / SERVERS).glob("*.json")):
        with contextlib.suppress(OSError, ValueError), file.open() as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                found = json.load(handle)
                yield int(found["pid"]), str(found["url"])
            else:
                file.unlink(missing_ok=True)  # left by a server that was killed


def stop(folder: Path, patience: float = 15) -> bool:
    """Ask every server of this home folder to end, and wait for it. Answers whether there was one.

    Raises:
        TimeoutError: one didn't end in time.
    """
    there = list(running(folder))
    for pid, _ in there:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    ends = time.monotonic() + patience
    while list(running(folder)):
        if time.monotonic() > ends:
            raise TimeoutError("A server didn't stop in time; end it with kill -9, nothing accepted is lost.")
        time.sleep(0.05)
    return bool(there)
