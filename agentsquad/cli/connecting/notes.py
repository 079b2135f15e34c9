"""What `asq connect` has written, and what it had to make for it, so that all of it can be taken back."""

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from agentsquad import files, local

FILE: Final = "connections.json"


@dataclass(frozen=True)
class Connection:
    """A client that was set up to start the bridge for a member.

    Args:
        client: what it is called.
        folder: where one works with it; empty for one that is set up for all folders.
        squad: the squad's id.
        member: the member's name.
        server: under which name `claude mcp add` keeps the bridge; empty where it stands in a file of ours.
    """

    client: str
    folder: str
    squad: str
    member: str
    server: str = ""


@dataclass
class Notes:
    """All that is noted.

    Args:
        connections: what was set up.
        made: what had to be made in which file: the file, its folder, and objects by their path.
    """

    connections: list[Connection] = field(default_factory=list)
    made: dict[str, list[str]] = field(default_factory=dict)

    def of(self, connection: Connection) -> Connection | None:
        """What is noted of a client, a folder and a member."""
        return next((each for each in self.connections if _place(each) == _place(connection)), None)


def read() -> Notes:
    """What is noted.

    Raises:
        OSError: the file can't be used.
    """
    return files.read(_file(), _notes, Notes())


@contextlib.contextmanager
def changing() -> Iterator[None]:
    """Be the only one on this machine that changes clients' files and the notes, which nobody does without.

    Raises:
        OSError: the notes can't be used, so that no client's file is to be changed either.
    """
    with files.locked(_file()):
        read()
        yield


def connected(connection: Connection) -> None:
    """Note that a client was set up."""
    _change(lambda notes: [*_others(notes, connection), connection])


def disconnected(connection: Connection) -> None:
    """Note that a client is set up no longer."""
    _change(lambda notes: _others(notes, connection))


def note(file: Path, change: Callable[[list[str]], list[str]]) -> None:
    """Note what was made in a file, and is there still."""
    notes = read()
    made = change(notes.made.pop(str(file), []))
    _write(Notes(notes.connections, notes.made | ({str(file): made} if made else {})))


def _notes(content: Any) -> Notes:
    made = {str(file): [str(each) for each in made] for file, made in content["made"].items()}
    return Notes([Connection(**each) for each in content["connections"]], made)


def _change(change: Callable[[Notes], list[Connection]]) -> None:
    notes = read()
    _write(Notes(change(notes), notes.made))


def _others(notes: Notes, connection: Connection) -> list[Connection]:
    return [each for each in notes.connections if _place(each) != _place(connection)]


def _place(connection: Connection) -> tuple[str, str, str, str]:
    return connection.client, connection.folder, connection.squad, connection.member


def _write(notes: Notes) -> None:
    files.replace(_file(), json.dumps(asdict(notes), indent=2).encode(), 0o600)


def _file() -> Path:
    return local.home() / FILE
