"""Errors on the wire: one total table from the error tree to a status, one shape for all of them."""

from collections.abc import Callable
from typing import Any, Final

import orjson
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.types import Scope

from agentsquad.schemas.errors import Error
from backend.core import errors, failures
from backend.interfaces import invalid

STATUS: Final[dict[type[errors.SquadError], int]] = {
    errors.Invalid: 422,
    errors.TooLarge: 413,
    errors.IdempotencyMismatch: 422,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.AlreadyExists: 409,
    errors.AlreadyCreated: 409,
    errors.Archived: 409,
    errors.Paused: 409,
    errors.LostClaim: 409,
    errors.Reserved: 409,
    errors.WrongStatus: 409,
    errors.Overloaded: 503,
    errors.StartError: 503,
}
HEADERS: Final = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": "1"}}
# Errors that Starlette and FastAPI raise by themselves.
PLAIN: Final = {
    400: ("invalid", "The request can't be read; send JSON."),
    404: ("not_found", "There is no such address; /openapi.json lists them."),
    405: ("method_not_allowed", "This address doesn't take that method; the header Allow names those it takes."),
    413: ("too_large", "The body is too large."),
    500: ("internal", "The server has a defect; its log says more."),
}
MEANINGS: Final = {
    400: "The request can't be read",
    401: "No key, or none that is known",
    403: "Known, but not allowed",
    404: "Not there, or not for you to see",
    409: "Right in itself, but not now",
    413: "The body is too large",
    422: "A field is wrong",
    503: "The database didn't answer in time; try again",
}
READ: Final = (401, 403, 404, 422, 503)  # what a route that only reads may answer


class Router(APIRouter):
    """A router whose routes declare their errors by what they do: one that reads has no conflicts and no body."""

    def add_api_route(self, path: str, endpoint: Callable[..., Any], **more: Any) -> None:
        """Add a route, as FastAPI does."""
        declared = {
            status: {"model": Error, "description": meaning}
            for status, meaning in MEANINGS.items()
            if list(more.get("methods") or ()) != ["GET"] or status in READ
        }
        super().add_api_route(path, endpoint, **more | {"responses": declared | (more.get("responses") or {})})


def body_of(error: errors.SquadError) -> tuple[int, bytes]:
    """Status and JSON of an error."""
    content = {"code": error.code, "detail": error.detail, **error.fields}
    return STATUS[type(error)], orjson.dumps(content, default=str)


def response(error: errors.SquadError) -> Response:
    """An error as a response."""
    status, body = body_of(error)
    return Response(body, status, HEADERS.get(status), "application/json")


def install(app: FastAPI) -> None:
    """Give every error of the application the one shape."""

    @app.exception_handler(errors.SquadError)
    async def ours(_: Request, error: errors.SquadError) -> Response:
        return response(error)

    @app.exception_handler(RequestValidationError)
    async def unreadable(_: Request, error: RequestValidationError) -> Response:
        found = error.errors()
        return _plain(400) if invalid.unreadable(found) else response(invalid.error_of(found))

    @app.exception_handler(SQLAlchemyError)
    async def from_sessions(_: Request, error: SQLAlchemyError) -> Response:
        translated = failures.translated(error)
        if isinstance(translated, errors.SquadError):
            return response(translated)
        raise translated

    @app.exception_handler(HTTPException)
    async def plain(request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers or {})
        if "Allow" in headers:
            headers["Allow"] = ", ".join(sorted(_methods(app, request.scope) or set(headers["Allow"].split(", "))))
        return _plain(error.status_code, headers, str(error.detail))

    @app.exception_handler(Exception)
    async def broken(_: Request, __: Exception) -> Response:
        return _plain(500)


def _plain(status: int, headers: dict[str, str] | None = None, otherwise: str = "") -> Response:
    code, detail = PLAIN.get(status, ("error", otherwise))
    return Response(orjson.dumps({"code": code, "detail": detail}), status, headers, "application/json")


def _methods(app: FastAPI, scope: Scope) -> set[str]:
    """All methods of one of FastAPI's addresses, which names only those of its first route."""
    path = scope["route"].path if "route" in scope else None
    return {method for route in iter_route_contexts(app.routes) if route.path == path for method in route.methods or ()}
