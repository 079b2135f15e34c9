"""One request and its answer, and asking again while there is none."""

import asyncio
import math
import uuid
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel

from agentsquad import profile
from agentsquad.client.certificates import trusted
from agentsquad.client.errors import Invalid, Unreachable, refusal
from agentsquad.schemas import limits
from agentsquad.schemas.squads import Squads

M = TypeVar("M", bound=BaseModel)
Body = BaseModel | None
Query = Mapping[str, Any] | None
PATIENCE: Final = 10.0  # seconds for which a call is repeated while the server is away
PAUSES: Final = (0.1, 0.3, 1.0)  # seconds before each repetition; the last one again and again


def path(*parts: object) -> str:
    """An address on the server. No part of it changes the meaning of the others, whatever it is.

    Raises:
        Invalid: a part is empty, or holds a slash, and so is nobody's name.
    """
    for part in map(str, parts):
        if not part or "/" in part:
            raise Invalid("invalid", f'"{part}" is no name and no id; give one of these.')
    quoted = (quote(str(part), safe="", errors="replace") for part in parts)
    return "/" + "/".join(part.replace(".", "%2E") if part in {".", ".."} else part for part in quoted)


class Wire:
    """A connection to a server, as a user or as a member; use it with `async with`.

    A call is repeated while the server is away. Whatever it changes it changes once: each carries a key of its own, by
    which the server knows a request that comes again.

    Args:
        url: where the server is; by default as `agentsquad.profile` finds it, as are key and squad.
        key: an API key or a member token.
        squad: id or name of the squad that is spoken of; by default also the only one there is.
        member: name of the external member for whom a squad's owner acts.
        timeout: seconds until a request is given up.
        patience: seconds for which a request is repeated while the server is away.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        squad: str | None = None,
        member: str | None = None,
        timeout: float = 30,
        patience: float = PATIENCE,
    ) -> None:
        headers = {}
        secret = key or profile.key()
        if secret:
            headers[b"Authorization"] = f"Bearer {secret.strip()}".encode(errors="replace")
        if member:
            headers[b"Squad-Member"] = member.encode(errors="replace")
        self._key = secret
        self.url = _address(url or profile.url())
        self.timeout = timeout
        self.patience = patience
        self._squad = squad or profile.squad()
        self._http = httpx.AsyncClient(
            base_url=self.url, headers=headers, timeout=timeout, verify=trusted(self.url), trust_env=False
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def alive(self) -> bool:
        """Whether the server answers at all."""
        try:
            return (await self._http.get("/health")).is_success
        except httpx.TransportError:
            return False

    async def squad_id(self) -> str:
        """The squad that is spoken of: the one that was named, else the only one that the key opens.

        Raises:
            Invalid: there are several, or none.
        """
        if self._squad is None:
            squads = (await self._ask(Squads, "GET", "/squads")).items
            if len(squads) != 1:
                names = ", ".join(squad.name for squad in squads)
                remedy = f"Choose with `asq use`: {names}" if names else "Make one with `asq squad create NAME`"
                raise Invalid("invalid", f"Which squad? {remedy}.")
            self._squad = str(squads[0].id)
        return self._squad

    async def _path(self, *parts: object, squad: str | None = None) -> str:
        """An address within the squad."""
        return path("squads", squad or await self.squad_id(), *parts)

    async def _ask(
        self,
        shape: type[M],
        method: str,
        path: str,
        body: Body = None,
        *,
        query: Query = None,
        wait: float = 0,
        patience: float | None = None,
    ) -> M:
        """Ask, and ask again while the server is away."""
        return self._read(shape, await self._answer(method, path, body, query=query, wait=wait, patience=patience))

    def _read(self, shape: type[M], answer: httpx.Response) -> M:
        try:
            return shape.model_validate(answer.json())  # pydantic's own reader refuses what is nested deeply
        except (ValueError, RecursionError) as error:
            raise self._foreign() from error

    def _foreign(self) -> Invalid:
        return Invalid("invalid", f"What answers at {self.url} is no Agent Squad; check SQUAD_URL.")

    async def _answer(
        self,
        method: str,
        path: str,
        body: Body = None,
        *,
        query: Query = None,
        wait: float = 0,
        patience: float | None = None,
    ) -> httpx.Response:
        headers = {} if method == "GET" else {"Idempotency-Key": uuid.uuid4().hex}
        request = {
            "json": _plain(body),
            "params": {name: value for name, value in (query or {}).items() if value is not None},
            "headers": headers,
            "timeout": self.timeout + wait,
        }
        clock = asyncio.get_running_loop().time
        ends = clock() + (self.patience if patience is None else patience)
        pauses = iter(PAUSES)
        while True:
            try:
                return await self._once(method, path, request)
            except Unreachable:
                pause = next(pauses, PAUSES[-1])
                if clock() + pause > ends:
                    raise
                await asyncio.sleep(pause)

    async def _once(self, method: str, path: str, request: dict[str, Any]) -> httpx.Response:
        try:
            answer = await self._http.request(method, path, **request)
        except httpx.LocalProtocolError:  # it quotes the key, which nobody should read
            raise Invalid("invalid", "The key or the member's name can't be sent; it holds a line break.") from None
        except httpx.TransportError as error:
            raise self._silent(error) from error
        except (ValueError, RecursionError) as error:
            raise Invalid("invalid", f"The request can't be written as JSON ({error}).") from error
        if not answer.is_success:
            raise refusal(answer)
        return answer

    def _silent(self, error: Exception) -> Unreachable:
        reason = error if str(error) else type(error).__name__
        return Unreachable("unreachable", f"No answer from {self.url} ({reason}); start it with `asq serve`.")

    async def _items(
        self, shape: type[Any], path: str, query: Query = None, most: float = math.inf
    ) -> AsyncIterator[Any]:
        """What is on the pages of a list, up to so many."""
        cursor, count = None, 0
        while True:
            size = int(min(limits.PAGE_MAX, most - count))
            page = await self._ask(shape, "GET", path, query={**(query or {}), "limit": size, "cursor": cursor})
            for item in page.items:
                yield item
            cursor, count = page.next, count + len(page.items)
            if cursor is None or count >= most:
                return


def _address(given: str) -> str:
    """A server's address, without a slash at its end.

    Raises:
        Invalid: it is none.
    """
    try:
        url = httpx.URL(given)
    except (httpx.InvalidURL, ValueError):
        url = httpx.URL()
    if url.scheme not in {"http", "https"} or not url.host or not given.isprintable() or " " in given:
        raise Invalid("invalid", f"{given} is no server's address; give one such as {profile.URL}.")
    return given.rstrip("/")


def _plain(value: Any) -> Any:
    """A body as JSON, of what was given only; pydantic's own way refuses what is nested deeply."""
    if isinstance(value, BaseModel):
        given = value.model_fields_set
        return {name: _plain(getattr(value, name)) for name in type(value).model_fields if name in given}
    if isinstance(value, list) and value and isinstance(value[0], BaseModel):
        return [_plain(item) for item in value]
    return value
