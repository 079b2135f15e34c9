"""The tokens of this machine's members: by server, squad and name, in one file that only its owner can read.

`asq connect` keeps them; whatever speaks for a member finds them, so that no token stands in a project's files.
"""

import contextlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from agentsquad import files, local

FILE: Final = "tokens.json"


@dataclass(frozen=True)
class Kept:
    """A member's token, and where it is good.

    Args:
        url: the server.
        squad: the squad's id.
        squad_name: its name when the token was made.
        member: the member's name.
        token: the secret.
        id: by which it is revoked.
    """

    url: str
    squad: str
    squad_name: str
    member: str
    token: str = field(repr=False)
    id: str = ""

    @property
    def place(self) -> tuple[str, str, str]:
        """There is one token for each of these."""
        return self.url, self.squad, self.member


def keep(url: str, squad_id: str, squad_name: str, member: str, token: str, token_id: str = "") -> Kept:
    """Keep a member's token in place of the one before.

    Raises:
        OSError: the file can't be used, and is left alone.
    """
    kept = Kept(_plain(url), squad_id, squad_name, member, token, token_id)
    _change(lambda all_: [*(each for each in all_ if each.place != kept.place), kept])
    return kept


def find(squad: str, member: str, url: str | None = None) -> Kept | None:
    """A member's token, or None.

    Args:
        squad: its id or its name; of two that match, the one that was kept last.
        member: the member's name.
        url: the server; by default any.

    Raises:
        PermissionError: others can read the file, and so may have the tokens.
        OSError: it can't be used.
    """
    file = _file()
    with contextlib.suppress(FileNotFoundError):
        if file.stat().st_mode & 0o077:
            raise PermissionError(f"{file} can be read by others; run `chmod 600 '{file}'`, or connect anew")
    named = [
        each
        for each in _usable(_read(file))
        if each.member == member and squad in {each.squad, each.squad_name} and (url is None or each.url == _plain(url))
    ]
    return next((each for each in reversed(named) if each.squad == squad), named[-1] if named else None)


def forget(url: str, squad_id: str, member: str) -> None:
    """Keep a member's token no longer.

    Raises:
        OSError: the file can't be used, and is left alone.
    """
    _change(lambda all_: [each for each in all_ if each.place != (_plain(url), squad_id, member)])


def remedy(squad: str, member: str) -> str:
    """What to do about a token that isn't there, or is dead: the second half of a sentence."""
    return f"run `asq connect CLIENT --squad {squad} --as {member}` again"


def _change(change: Callable[[list[Kept]], list[Kept]]) -> None:
    file = _file()
    with files.locked(file):
        all_ = _read(file)
        others = [each for each in all_ if _kept(each) is None]
        content = {"tokens": [*others, *(asdict(each) for each in change(_usable(all_)))]}
        files.replace(file, json.dumps(content, indent=2).encode(), 0o600)


def _read(file: Path) -> list[Any]:
    return files.read(file, _entries, [])


def _entries(content: Any) -> list[Any]:
    found = content["tokens"]
    if not isinstance(found, list):
        raise TypeError
    return found


def _usable(found: list[Any]) -> list[Kept]:
    """What is kept; an entry that can't be used, such as a newer version's, stays in the file and is passed over."""
    return [kept for each in found if (kept := _kept(each))]


def _kept(entry: Any) -> Kept | None:
    with contextlib.suppress(AttributeError, TypeError):
        return Kept(**{name: str(value) for name, value in entry.items()})
    return None


def _plain(url: str) -> str:
    return url.rstrip("/")


def _file() -> Path:
    return local.home() / FILE
