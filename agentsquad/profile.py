"""With what the client comes: server, key and squad.

Each from the environment, else from what `asq login` and `asq use` keep in the home folder, else as the server that
runs here has left it.
"""

import contextlib
import json
import os
from pathlib import Path
from typing import Any, Final

from agentsquad import files, local

URL: Final = "http://127.0.0.1:8000"
FILE: Final = "client.json"


def key() -> str | None:
    """The secret to come with: of an attempt or a member, else of a user, else the first key that the server left."""
    given = os.environ.get("SQUAD_TOKEN") or os.environ.get("SQUAD_API_KEY") or kept().get("key")
    if given:
        return str(given)
    with contextlib.suppress(OSError):
        return (local.home() / local.KEY).read_text().strip()
    return None


def url() -> str:
    """The server to talk to."""
    given = os.environ.get("SQUAD_URL") or kept().get("url")
    return str(given or next((address for _, address in local.running(local.home())), URL))


def squad() -> str | None:
    """The squad that is spoken of, if one was named."""
    return os.environ.get("SQUAD_ID") or kept().get("squad")


def kept() -> dict[str, Any]:
    """What was kept, or nothing if the file can't be used."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(_file().read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return found
    return {}


def keep(**changes: str | None) -> None:
    """Change what is kept; None forgets. The file is the owner's alone, and is never half written."""
    values = {name: value for name, value in (kept() | changes).items() if value is not None}
    file = _file()
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    files.replace(file, json.dumps(values, indent=2).encode(), 0o600)


def _file() -> Path:
    return local.home() / FILE
