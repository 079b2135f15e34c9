"""The Python client: what HTTP does, typed, with the errors of the server as exceptions.

SquadError
├── Unreachable      no answer: the server is away, or the connection broke
├── Unauthenticated  no key, or none that is known
├── NotFound         not there, or not for you to see
├── LostClaim        the claim is no longer the live one; nothing happened
└── AlreadyExists    the name is taken
"""

import asyncio
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, ClassVar, Self, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from agentsquad import local
from agentsquad.schemas.events import Events
from agentsquad.schemas.members import Member, MemberNew
from agentsquad.schemas.squads import Squad, SquadNew, Squads
from agentsquad.schemas.tasks import Board, Claim, Claims, CompleteNew, FailNew, Heartbeat, Task, TaskNew, TasksMade
from agentsquad.schemas.users import KeySecret, User

M = TypeVar("M", bound=BaseModel)
RETRIES = (0.1, 0.3, 1.0, 2.0, 3.0)  # seconds before each repetition
AWAY = (502, 503, 504)  # what the server, or a proxy before it, says while there is no answer


class SquadError(Exception):
    """What the server refused, or that it couldn't be asked."""

    code: ClassVar[str | None] = None

    def __init__(self, code: str, detail: str, fields: Mapping[str, Any] | None = None) -> None:
        super().__init__(detail)
        self.refused = code
        self.detail = detail
        self.fields = dict(fields or {})


class Unreachable(SquadError):
    """No answer came."""

    code = "unreachable"


class Unauthenticated(SquadError):
    """No key, or none that is known."""

    code = "unauthenticated"


class NotFound(SquadError):
    """Not there, or not for you to see."""

    code = "not_found"


class LostClaim(SquadError):
    """The claim is no longer the live one; nothing happened."""

    code = "lost_claim"


class AlreadyExists(SquadError):
    """The name is taken."""

    code = "already_exists"


class AsyncClient:
    """A connection to a server, as a user or as a member; use it with `async with`.

    Args:
        url: where the server is; by default `SQUAD_URL`, else a server that runs here.
        key: an API key or a member token; by default from the environment, else the key that the first
            server left in `SQUAD_HOME`.
        member: name of the external member for whom a squad's owner acts.
        timeout: seconds until a request is given up.
    """

    def __init__(
        self, url: str | None = None, key: str | None = None, *, member: str | None = None, timeout: float = 30
    ) -> None:
        headers = {}
        secret = key or local.key()
        if secret:
            headers[b"Authorization"] = f"Bearer {secret.strip()}".encode()
        if member:
            headers[b"Squad-Member"] = member.encode()
        self.url = (url or local.url()).rstrip("/")
        self._http = httpx.AsyncClient(base_url=self.url, headers=headers, timeout=timeout, trust_env=False)

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

    async def me(self) -> User:
        """One's own account."""
        return await self._ask(User, "GET", "/users/me")

    async def squads(self) -> list[Squad]:
        """One's squads: the first page."""
        return (await self._ask(Squads, "GET", "/squads")).items

    async def squad(self, squad: str) -> Squad:
        """A squad with its owner and its members, by id or name."""
        return await self._ask(Squad, "GET", f"/squads/{squad}")

    async def create_squad(self, new: SquadNew) -> Squad:
        """Make a squad, which one owns."""
        return await self._ask(Squad, "POST", "/squads", new)

    async def add_member(self, squad: str, new: MemberNew) -> Member:
        """Add a member to one's squad."""
        return await self._ask(Member, "POST", f"/squads/{squad}/members", new)

    async def create_token(self, squad: str, member: str, name: str = "") -> KeySecret:
        """Make a token that acts as a member."""
        return await self._ask(KeySecret, "POST", f"/squads/{squad}/members/{member}/tokens", {"name": name})

    async def create_tasks(self, squad: str, new: Sequence[TaskNew]) -> list[Task]:
        """Make a batch of tasks with their dependencies: all of it, or nothing."""
        body = {"tasks": [task.model_dump(mode="json") for task in new]}
        return (await self._ask(TasksMade, "POST", f"/squads/{squad}/tasks", body)).items

    async def task(self, squad: str, number: int) -> Task:
        """One task, whole."""
        return await self._ask(Task, "GET", f"/squads/{squad}/tasks/{number}")

    async def board(self, squad: str) -> Board:
        """Every task that is not done, and those that were done last."""
        return await self._ask(Board, "GET", f"/squads/{squad}/board")

    async def events(self, squad: str, after: int = 0, limit: int = 200) -> Events:
        """The events behind a position; read on after `last`."""
        return await self._ask(Events, "GET", f"/squads/{squad}/events?after={after}&limit={limit}")

    async def claim(self, squad: str, number: int | None = None) -> Claim | None:
        """Claim a task by number, or the next one that matches; None: there is nothing to do."""
        which = "claim" if number is None else f"{number}/claim"
        claims = await self._ask(Claims, "POST", f"/squads/{squad}/tasks/{which}")
        return claims.items[0] if claims.items else None

    async def heartbeat(self, squad: str, claim: Claim) -> Heartbeat:
        """Extend the lease of a live claim.

        Raises:
            LostClaim: it is live no more.
        """
        return await self._ask(Heartbeat, "POST", _verb(squad, claim, "heartbeat"), {"claim": claim.claim})

    async def complete(self, squad: str, claim: Claim, result: Any = None, *, again: bool = False) -> Task:
        """Hand in the result of a live claim.

        Args:
            squad: id or name.
            claim: what `claim` answered.
            result: any JSON.
            again: an earlier call ended with `Unreachable`; it may have been accepted, which is as well.

        Raises:
            LostClaim: it is live no more; the result was not taken.
        """
        body = {"claim": claim.claim, "result": result}
        checked(CompleteNew, **body)
        return await self._end(squad, claim, "complete", body, ("done",), again)

    async def fail(self, squad: str, claim: Claim, reason: str, *, retry: bool = False, again: bool = False) -> Task:
        """End a live claim without a result; with `retry` the task is free again while a try is left.

        Args:
            squad: id or name.
            claim: what `claim` answered.
            reason: why.
            retry: whether it may be tried again, which uses a try.
            again: an earlier call ended with `Unreachable`; it may have been accepted, which is as well.

        Raises:
            LostClaim: it is live no more.
        """
        body = {"claim": claim.claim, "reason": reason, "retry": retry}
        checked(FailNew, **body)
        return await self._end(squad, claim, "fail", body, ("failed", "todo") if retry else ("failed",), again)

    async def _end(
        self, squad: str, claim: Claim, verb: str, body: dict[str, Any], ends: Sequence[str], again: bool
    ) -> Task:
        """End an attempt, also when the first answer was lost on the way: then the task itself tells."""
        for pause in (*RETRIES, None):
            try:
                return await self._once(Task, "POST", _verb(squad, claim, verb), body)
            except Unreachable:
                if pause is None:
                    raise
                again = True
                await asyncio.sleep(pause)
            except LostClaim:
                task = await self.task(squad, claim.task.number) if again else None
                if task and task.attempt == claim.task.attempt and task.status in ends:
                    return task
                raise
        raise AssertionError

    async def _ask(self, kind: type[M], method: str, path: str, body: BaseModel | dict[str, Any] | None = None) -> M:
        """Ask, and ask again while the server is away.

        A request that may have been heard is repeated only if that is without harm: a claim, say, would
        take a second task.
        """
        harmless = method == "GET" or path.endswith("/heartbeat")
        for pause in (*RETRIES, None):
            try:
                return await self._once(kind, method, path, body)
            except Unreachable as error:
                unheard = isinstance(error.__cause__, httpx.ConnectError)
                if pause is None or not (harmless or unheard):
                    raise
                await asyncio.sleep(pause)
        raise AssertionError

    async def _once(self, kind: type[M], method: str, path: str, body: BaseModel | dict[str, Any] | None) -> M:
        content = body.model_dump(mode="json") if isinstance(body, BaseModel) else body
        try:
            answer = await self._http.request(method, path, json=content)
        except httpx.LocalProtocolError:  # it quotes the key, which nobody should read
            raise SquadError("invalid", "The key or the member's name can't be sent; it holds a line break.") from None
        except httpx.TransportError as error:
            raise Unreachable(
                "unreachable",
                f"No answer from {self.url} ({error or type(error).__name__}); start it with `asq serve`.",
            ) from error
        except (ValueError, RecursionError) as error:
            raise SquadError("invalid", f"The request can't be written as JSON ({error}).") from error
        if not answer.is_success:
            raise _refusal(answer)
        try:
            return kind.model_validate(answer.json())  # pydantic's own reader refuses what is nested deeply
        except (ValueError, RecursionError) as error:
            raise SquadError("invalid", f"What answers at {self.url} is no Agent Squad; check SQUAD_URL.") from error


def checked(kind: type[M], **fields: Any) -> M:
    """A schema's object, made of what a person or a program gave.

    Raises:
        SquadError: `invalid`, with a sentence about the first field that can't be used.
    """
    try:
        return kind(**fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"]))
        message = first["msg"].removeprefix("Value error, ")
        raise SquadError("invalid", f"{field} can't be used: {message}.") from error


def _verb(squad: str, claim: Claim, verb: str) -> str:
    return f"/squads/{squad}/tasks/{claim.task.number}/{verb}"


def _refusal(answer: httpx.Response) -> SquadError:
    try:
        fields = answer.json()
        code, detail = fields.pop("code"), fields.pop("detail")
    except (ValueError, KeyError, AttributeError, TypeError):
        code, detail, fields = "error", f"The server answered {answer.status_code}.", {}
    if answer.status_code in AWAY:
        return Unreachable(code, detail, fields)
    kinds = {kind.code: kind for kind in SquadError.__subclasses__()}
    return kinds.get(code, SquadError)(code, detail, fields)
