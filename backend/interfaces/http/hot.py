"""The lean way to write a route that reads: the framework documents it, and isn't in its way.

`read(router, "/users/{user_id}", users.get, User, …)` declares an ordinary FastAPI route, with its place in
the OpenAPI document. When a request comes, `Shortcut` finds it by one regular expression before the
framework looks, checks the key, runs the read operation on the lane and sends the bytes that PostgreSQL
built. Errors are the same as on every other route.
"""

import inspect
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from re import Pattern
from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel
from starlette.routing import compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from backend.core.database import Database
from backend.core.errors import NotFound, SquadError, Unauthenticated
from backend.core.statements import Query
from backend.interfaces.http.dependencies import NO_KEY, Db, Who
from backend.interfaces.http.errors import HEADERS, body_of
from backend.operations.access import Actor


@dataclass(frozen=True, slots=True)
class Read:
    """A hot route: an address, the query behind it, how the address's parts become its arguments."""

    pattern: Pattern[str]
    query: Query
    convert: Callable[[str], object]
    missing: str

    async def answer(self, database: Database, actor: Actor, values: Iterable[str]) -> bytes:
        """The bytes to send.

        Raises:
            NotFound: there is nothing, or nothing that the actor may see.
        """
        body = await database.reads.json(self.query, actor, *map(self.convert, values))
        if body is None:
            raise NotFound(self.missing)
        return body


def read(
    router: APIRouter,
    path: str,
    query: Query,
    schema: type[BaseModel],
    *,
    convert: Callable[[str], object] = str,
    missing: str,
    part: Any = str,
) -> Read:
    """Declare a hot route: GET `path`, answered by one round trip.

    Args:
        router: where it is documented.
        path: its address; the parts in braces are the query's arguments behind the actor, in order.
        query: a read operation that gives one row.
        schema: what the row looks like; documentation only, a test compares the two.
        convert: makes an argument of a part's text.
        missing: the sentence of the 404.
        part: what a part looks like, to the framework. It answers for parts with a NUL or of unusual length.
    """
    _, shape, convertors = compile_path(path)
    pattern = re.compile(re.sub(r"\{\w+\}", r"([^/\\0]{1,255})", shape) + r"\Z")
    hot = Read(pattern, query, convert, missing)

    async def endpoint(database: Db, actor: Who, **values: str) -> Response:
        return Response(await hot.answer(database, actor, values.values()), media_type="application/json")

    declared = list(inspect.signature(endpoint).parameters.values())[:2]
    parts = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=part) for name in convertors]
    endpoint.__signature__ = inspect.Signature([*declared, *parts])  # type: ignore[attr-defined]  # FastAPI reads it
    endpoint.__name__ = f"{query.__module__.rpartition('.')[2]}_{query.__name__}"
    endpoint.__doc__ = query.__doc__
    router.add_api_route(path, endpoint, response_model=schema, methods=["GET"])
    return hot


class Shortcut:
    """Plain ASGI middleware that answers hot routes before the framework sees them."""

    def __init__(self, app: ASGIApp, reads: Iterable[Read]) -> None:
        self._app = app
        self._reads = tuple(reads)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass it on."""
        if scope["type"] == "http" and scope["method"] == "GET":
            path = scope["path"]
            for hot in self._reads:
                match = hot.pattern.match(path)
                if match is not None:
                    await _respond(hot, scope, send, match.groups())
                    return
        await self._app(scope, receive, send)


async def _respond(hot: Read, scope: Scope, send: Send, values: Iterable[str]) -> None:
    state = scope["app"].state
    status = 200
    try:
        actor = await state.credentials.actor(_secret(scope["headers"]))
        body = await hot.answer(state.database, actor, values)
    except SquadError as error:
        status, body = body_of(error)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(name.lower().encode(), value.encode()) for name, value in HEADERS.get(status, {}).items()]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _secret(headers: Iterable[tuple[bytes, bytes]]) -> str:
    for name, value in headers:
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            return value[7:].strip().decode("latin-1")
    raise Unauthenticated(NO_KEY)
