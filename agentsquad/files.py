"""Files that are written whole or not at all, and changed by one process at a time."""

import contextlib
import fcntl
import os
import uuid
from collections.abc import Iterator
from pathlib import Path


def replace(file: Path, content: bytes, mode: int | None = None) -> None:
    """Write a file whole or not at all. A link stays one, and who owns the file does, too.

    Args:
        file: where.
        content: what it holds then.
        mode: who may read and write it; by default as before, or as is usual for a new file.
    """
    target = file.resolve()
    new = target.with_name(f".{target.name}.{uuid.uuid4().hex}.new")
    before = target.stat() if target.exists() else None
    try:
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode or 0o666), "wb") as handle:  # noqa: PTH123  (a mode from the start)
            if before is not None:
                with contextlib.suppress(PermissionError):  # only root gives files to others
                    os.fchown(handle.fileno(), before.st_uid, before.st_gid)
                os.fchmod(handle.fileno(), mode or before.st_mode & 0o7777)
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        new.replace(target)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def locked(file: Path) -> Iterator[None]:
    """Be the only process that changes a file, by a lock on another one beside it."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(os.open(f"{file}.lock", os.O_RDWR | os.O_CREAT, 0o600)) as handle:  # noqa: PTH123  (a mode from the start)
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
