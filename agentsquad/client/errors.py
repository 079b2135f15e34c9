"""What a call can end with instead of an answer.

SquadError
├── Unreachable          no answer: the server is away or overloaded, or the connection broke
├── Unauthenticated      no key, or none that is known
├── Forbidden            known, but not allowed
├── NotFound             not there, or not for you to see
├── Invalid              the request itself is wrong; `fields["errors"]` says where
└── Conflict             right in itself, but not now
    ├── AlreadyExists    the name is taken, or the same request made it before
    ├── LostClaim        the claim is no longer the live one; nothing happened
    ├── Reserved         a live attempt reserves an overlapping path
    ├── WrongStatus      the board has no such step from the task's status
    ├── Paused           the member or the squad claims nothing
    └── Archived         the squad takes no writes
"""

from collections.abc import Mapping
from typing import Any, Final, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

M = TypeVar("M", bound=BaseModel)


class SquadError(Exception):
    """What the server refused, or that it couldn't be asked.

    Args:
        code: the server's word for it.
        detail: one sentence for a person.
        fields: what else the server said of it.
    """

    def __init__(self, code: str, detail: str, fields: Mapping[str, Any] | None = None) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.fields = dict(fields or {})


class Unreachable(SquadError):
    """No answer came."""


class Unauthenticated(SquadError):
    """No key, or none that is known."""


class Forbidden(SquadError):
    """Known, but not allowed."""


class NotFound(SquadError):
    """Not there, or not for you to see."""


class Invalid(SquadError):
    """The request itself is wrong."""


class Conflict(SquadError):
    """Right in itself, but not now."""


class AlreadyExists(Conflict):
    """The name is taken, or the same request made it before."""


class LostClaim(Conflict):
    """The claim is no longer the live one; nothing happened."""


class Reserved(Conflict):
    """A live attempt reserves a path that overlaps with one that was asked for; `fields` say whose, and until when."""


class WrongStatus(Conflict):
    """The board has no such step from the task's status."""


class Paused(Conflict):
    """The member or the squad is paused and claims nothing."""


class Archived(Conflict):
    """The squad takes no writes."""


KINDS: Final[dict[str, type[SquadError]]] = {
    "unreachable": Unreachable,
    "overloaded": Unreachable,
    "cannot_start": Unreachable,
    "unauthenticated": Unauthenticated,
    "forbidden": Forbidden,
    "not_found": NotFound,
    "invalid": Invalid,
    "too_large": Invalid,
    "idempotency_mismatch": Invalid,
    "conflict": Conflict,
    "already_exists": AlreadyExists,
    "already_created": AlreadyExists,
    "lost_claim": LostClaim,
    "reserved": Reserved,
    "wrong_status": WrongStatus,
    "paused": Paused,
    "archived": Archived,
}
AWAY: Final = (502, 503, 504)  # what the server, or a proxy before it, says while there is no answer


def refusal(answer: httpx.Response) -> SquadError:
    """The error that an answer stands for."""
    try:
        fields = answer.json()
        code, detail = fields.pop("code"), fields.pop("detail")
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        code, detail, fields = "error", f"The server answered {answer.status_code}.", {}
    kind = Unreachable if answer.status_code in AWAY else KINDS.get(code, SquadError)
    return kind(code, detail, fields)


def checked(kind: type[M], /, **fields: Any) -> M:
    """A schema's object, made of what a person or a program gave.

    Raises:
        Invalid: with a sentence about the first field that can't be used.
    """
    try:
        return kind(**fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"])) or "It"
        message = first["msg"].removeprefix("Value error, ")
        raise Invalid("invalid", f"{field} can't be used: {message}.") from error
