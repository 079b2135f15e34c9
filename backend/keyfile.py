"""The file of the administrator's key, through which whoever owns the machine is known to its server."""

import itertools
import logging
import os
from pathlib import Path

from agentsquad import local
from backend.core.errors import StartError

log = logging.getLogger(__name__)


def keep(home: Path, secret: str) -> None:
    """Write the administrator's key where the command line finds it, readable by nobody else.

    Raises:
        StartError: the home folder can't be written to.
    """
    key, new = home / local.KEY, home / f"{local.KEY}.new"
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:  # noqa: PTH123  (a mode from the start)
            file.write(secret + "\n")
            file.flush()
            os.fsync(file.fileno())
        kept = _set_aside(key)
        new.replace(key)
    except OSError as error:
        raise StartError(
            f"The administrator's key can't be written to {error.filename or new} ({error.strerror}); "
            "correct the cause, or give another folder in SQUAD_HOME."
        ) from error
    if kept is not None:
        log.warning("This database has a new key; the key that lay in %s is now in %s.", key, kept)


def _set_aside(key: Path) -> Path | None:
    """Rename the key of another database, which keeps only its hash: nobody could make that key again."""
    if not os.path.lexists(key):
        return None
    names = (key.with_name(f"{key.name}.{number}") for number in itertools.count(1))
    return key.replace(next(name for name in names if not os.path.lexists(name)))
