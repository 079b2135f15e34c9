"""Files that are written whole or not at all, changed by one process at a time, and never taken for empty."""

import contextlib
import fcntl
import json
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


def read(file: Path, shape: Callable[[Any], T], empty: T) -> T:
    """What a JSON file of ours holds.

    Args:
        file: where.
        shape: makes something of its content.
        empty: what is held where there is no file.

    Raises:
        OSError: it is there and can't be used; whoever took it for empty would lose what it holds.
    """
    try:
        return shape(json.loads(file.read_bytes()))
    except FileNotFoundError:
        return empty
    except OSError as error:
        reason = error.strerror
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        reason = "it is broken"
    raise OSError(f"{file} can't be used ({reason}), so it is left as it is; mend it, or move it away and connect anew")


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
