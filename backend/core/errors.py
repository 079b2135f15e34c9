"""Every error that the server raises on purpose, as one small tree by meaning.

SquadError
├── Invalid               the request itself is wrong
│   ├── TooLarge          its body is beyond the limit
│   └── IdempotencyMismatch   its key was another request's
├── Unauthenticated       no key, or none that is known
├── Forbidden             known, but not allowed
├── NotFound              not there, or not for you to see
├── Conflict              right in itself, but not now
│   ├── AlreadyExists     the name is taken
│   ├── AlreadyCreated    by the same request before; the secret is shown only once
│   ├── Archived          the squad is, and takes no writes
│   ├── Paused            the member or the squad is, and claims nothing
│   ├── LostClaim         the claim is no longer the live one
│   ├── Reserved          a live attempt reserves an overlapping path
│   └── WrongStatus       the board's table doesn't allow it from here
├── Overloaded            the database didn't answer in time: try again
└── StartError            the server can't start, or run on, as it is set up

An interface turns each into its wire by one total table; nothing here knows a wire.
"""

from typing import ClassVar


class SquadError(Exception):
    """Base of the tree.

    Args:
        detail: one sentence for a person, with the remedy where there is one.
        fields: data for a program, such as ``task=12``; it stands beside ``code`` and ``detail``.
    """

    code: ClassVar[str] = "error"

    def __init__(self, detail: str, **fields: object) -> None:
        super().__init__(detail)
        self.detail = detail
        self.fields = fields


class Invalid(SquadError):
    """The request itself is wrong; `field` says where, as in ``body.tasks.3.title``."""

    code = "invalid"

    def __init__(self, detail: str, *, field: str | None = None, **fields: object) -> None:
        if field is not None:
            fields["errors"] = [{"field": field, "message": detail}]
        super().__init__(detail, **fields)


class TooLarge(Invalid):
    """The body is larger than the limit."""

    code = "too_large"


class IdempotencyMismatch(Invalid):
    """The Idempotency-Key was another request's."""

    code = "idempotency_mismatch"


class Unauthenticated(SquadError):
    """There is no key, or none that the server knows."""

    code = "unauthenticated"


class Forbidden(SquadError):
    """The actor is known and may see this, but may not do it."""

    code = "forbidden"


class NotFound(SquadError):
    """It doesn't exist, or the actor is no part of it: the two look the same."""

    code = "not_found"


class Conflict(SquadError):
    """Right in itself, but it contradicts what is there now."""

    code = "conflict"


class AlreadyExists(Conflict):
    """The name is taken."""

    code = "already_exists"


class AlreadyCreated(Conflict):
    """The same request made it before; its secret was in that answer and is in no other."""

    code = "already_created"


class Archived(Conflict):
    """The squad is archived and takes no writes; its owner can unarchive it."""

    code = "archived"


class Paused(Conflict):
    """The member or the squad is paused and claims nothing; the owner can resume it."""

    code = "paused"


class LostClaim(Conflict):
    """The claim is no longer the live one; nothing happened."""

    code = "lost_claim"


class Reserved(Conflict):
    """A live attempt of the squad reserves a path that overlaps with one that was asked for."""

    code = "reserved"


class WrongStatus(Conflict):
    """The board's table has no such step from the task's status."""

    code = "wrong_status"


class Overloaded(SquadError):
    """The database didn't answer in time, or not at all; the same request may succeed later."""

    code = "overloaded"


class StartError(SquadError):
    """The server can't start, or go on, as it is set up; the detail names the remedy."""

    code = "cannot_start"


def of_code(code: str, detail: str, **fields: object) -> SquadError:
    """The error with this code, as SQL functions raise it."""
    kinds: list[type[SquadError]] = [SquadError]
    for kind in kinds:
        if kind.code == code:
            return kind(detail, **fields)
        kinds.extend(kind.__subclasses__())
    raise LookupError(code)
