"""Answers whose JSON PostgreSQL built."""

from typing import Final

from fastapi import Response

from backend.core.errors import NotFound

NO_SQUAD: Final = "Squad not found"
NO_MEMBER: Final = "Member not found"
NO_TASK: Final = "Task not found"
NO_USER: Final = "User not found"


def json(body: str | bytes | None, status: int = 200) -> Response:
    """JSON as it is."""
    return Response(body, status, media_type="application/json")


def found(body: bytes | None, missing: str) -> Response:
    """What a read gave.

    Raises:
        NotFound: it gave nothing.
    """
    if body is None:
        raise NotFound(missing)
    return json(body)
