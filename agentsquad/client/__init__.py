"""The Python client: what HTTP does, typed, with the errors of the server as exceptions."""

from agentsquad.client.asynchronous import AsyncClient
from agentsquad.client.blocking import Client
from agentsquad.client.errors import (
    AlreadyExists,
    Archived,
    Conflict,
    Forbidden,
    Invalid,
    LostClaim,
    NotFound,
    Paused,
    Reserved,
    SquadError,
    Unauthenticated,
    Unreachable,
    WrongStatus,
    checked,
)
from agentsquad.client.working import Held

__all__ = [
    "AlreadyExists",
    "Archived",
    "AsyncClient",
    "Client",
    "Conflict",
    "Forbidden",
    "Held",
    "Invalid",
    "LostClaim",
    "NotFound",
    "Paused",
    "Reserved",
    "SquadError",
    "Unauthenticated",
    "Unreachable",
    "WrongStatus",
    "checked",
]
