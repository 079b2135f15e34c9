"""The rows that everything is measured on: people, their keys, and one owner's 200 squads of five members each."""

import hashlib
import json
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self
from uuid import UUID

from sqlalchemy import insert, text

from backend.core.database import Database
from backend.core.settings import Settings
from backend.models import ApiKey, Member, Squad, User
from backend.models.base import new_id
from backend.operations import keys

SQUADS = 200
STRANGERS = 600  # further accounts, so that the table isn't tiny
CLIENTS = 256
BULK = 10_000
TIMES = ("created_at", "updated_at")


@dataclass(frozen=True)
class Client:
    """A person with a key, who asks for the people of the own squad.

    Args:
        user: its id.
        key: the secret.
        targets: ids that it asks for, in turn: itself, its squad's owner, its other person.
    """

    user: str
    key: str
    targets: list[str]


@dataclass(frozen=True)
class Data:
    """What the processes must know of the rows."""

    owner: str
    clients: list[Client]

    @classmethod
    def load(cls, file: Path) -> Self:
        """Read what `save` wrote."""
        given = json.loads(file.read_text())
        return cls(given["owner"], [Client(**client) for client in given["clients"]])

    def save(self, file: Path) -> None:
        """Write it for the other processes."""
        file.write_text(json.dumps(asdict(self)))

    def pairs(self) -> list[tuple[UUID, UUID]]:
        """(who asks, for whom), as the clients do."""
        return [(UUID(client.user), UUID(target)) for client in self.clients for target in client.targets]


def fill(url: str) -> Data:
    """Migrate an empty database and write the rows."""
    database = Database(Settings(DATABASE_URL=url))
    database.open_sync()
    owner, *people = [_user(number) for number in range(1 + 2 * SQUADS + STRANGERS)]
    squads = [{"id": new_id(), "owner_id": owner["id"], "name": f"squad {number:03}"} for number in range(SQUADS)]
    members = [
        member
        for number, squad in enumerate(squads)
        for member in _team(squad["id"], owner["id"], people[2 * number]["id"], people[2 * number + 1]["id"])
    ]
    clients = [
        Client(str(one["id"]), keys.new_secret(keys.USER), [str(one["id"]), str(owner["id"]), str(other["id"])])
        for number in range(CLIENTS)
        for one, other in [(people[number], people[number ^ 1])]
    ]
    digests = [
        {"user_id": UUID(client.user), "digest": hashlib.sha256(client.key.encode()).digest()} for client in clients
    ]
    with database.SyncSessionLocal.begin() as session:
        for model, rows in ((User, [owner, *people]), (Squad, squads), (Member, members), (ApiKey, digests)):
            session.execute(insert(model), rows)
    with database.sync_engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    database.sync_engine.dispose()
    return Data(str(owner["id"]), clients)


def people(count: int = BULK) -> list[tuple[str, str]]:
    """Addresses and names of new accounts."""
    return [(f"new{number:05}@bench.test", f"New Person {number}") for number in range(count)]


def _user(number: int) -> dict[str, Any]:
    return {"id": new_id(), "email": f"person{number:04}@bench.test", "name": f"Person {number}"}


def _team(squad: UUID, owner: UUID, one: UUID, other: UUID) -> Iterator[dict[str, Any]]:
    for name, role, user in (
        ("owner", "", owner),
        ("ada", "backend_developer", None),
        ("tess", "tester", None),
        ("one", "lead", one),
        ("other", "", other),
    ):
        yield {
            "squad_id": squad,
            "id": new_id(),
            "name": name,
            "kind": "external" if user is None else "person",
            "role": role,
            "instructions": f"You are {name}. Say what you do before you do it.",
            "user_id": user,
        }


def unknown_key() -> str:
    """A well-formed key that nobody has."""
    return keys.new_secret(keys.USER)


def unknown_id() -> str:
    """An id that no row has."""
    return str(UUID(bytes=secrets.token_bytes(16), version=4))
