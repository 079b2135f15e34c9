"""Posting a message of the client until it is answered: while the server is away the same again, under the same key."""

import asyncio
import base64
import re
import uuid
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Final

import httpx
from httpx_sse import EventSource

from agentsquad.bridge import messages
from agentsquad.bridge.door import Door
from agentsquad.bridge.messages import NO_ANSWER, Message, Refused, Said
from agentsquad.client.certificates import trusted
from agentsquad.client.errors import AWAY, refusal
from agentsquad.client.wire import PAUSES
from agentsquad.schemas import limits

PATIENCE: Final = 60.0  # seconds for which a message is posted again
TIMEOUT: Final = httpx.Timeout(10, read=limits.WAIT + 30, pool=None)
PATH: Final = "/mcp"
SHUT: Final = {401: "unauthenticated", 403: "forbidden"}
DETAIL: Final = 300  # characters of somebody else's sentence
PLAIN: Final = re.compile(r"(?:[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)?")
CODED: Final = re.compile(r"=\?base64\?.*\?=")

Tell = Callable[[Message, Said], Awaitable[None]]


class Away(Exception):
    """No answer came, but may come yet.

    Args:
        reason: in a few words.
        pause: seconds for which the server wants to be left alone.
    """

    def __init__(self, reason: str, pause: float = 0) -> None:
        super().__init__(reason)
        self.pause = pause


class Posting:
    """Posts messages to the server's MCP address.

    Args:
        door: where, and as whom.
        tell: is given a message, and what the server says about it before it answers.
    """

    def __init__(self, door: Door, tell: Tell) -> None:
        self._door = door
        self._tell = tell
        self._http = httpx.AsyncClient(
            timeout=TIMEOUT,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=8),
            verify=trusted(door.url),
            trust_env=False,
        )
        self._version: str | None = None  # the protocol's revision, as messages that don't say it have it

    async def close(self) -> None:
        """Let go of all connections."""
        await self._http.aclose()

    async def post(self, message: Message) -> Said | None:
        """Post a message until it is answered. Answers what the server does; None to what wants no answer.

        Raises:
            Refused: it won't answer.
        """
        headers = self._headers(message)
        clock = asyncio.get_running_loop().time
        ends, pauses = 0.0, iter(PAUSES)
        while True:
            began = clock()
            try:
                said = await self._once(message, headers)
            except Away as away:
                now = clock()
                if not ends or now - began > PATIENCE:  # the first failure, or the first after a long while
                    ends, pauses = now + PATIENCE, iter(PAUSES)
                pause = max(next(pauses, PAUSES[-1]), away.pause)
                if now + pause > ends:
                    raise self._gave_up(message, away) from away
                await asyncio.sleep(pause)
            else:
                if message.method == "initialize" and said is not None:
                    version = said.result.get("protocolVersion")
                    self._version = version if isinstance(version, str) else None
                return said.to(message) if said is not None and message.id is not None else None

    def _gave_up(self, message: Message, away: Away) -> Refused:
        look = " and see what came of it," if message.calls_tool else ""
        sentence = f"No answer from {self._door.url} ({away}); start it with `asq serve`,{look} then ask again."
        return Refused(NO_ANSWER, sentence, message.id, "unreachable")

    async def _once(self, message: Message, headers: dict[bytes, bytes]) -> Said | None:
        url = f"{self._door.url}{PATH}"
        try:
            async with self._http.stream("POST", url, content=message.text, headers=headers) as answer:
                return await self._read(message, answer)
        except httpx.LocalProtocolError:  # it quotes the token, which nobody should read
            raise self._shut(message, "the token can't be sent", "unauthenticated") from None
        except httpx.TransportError as error:
            raise Away(str(error).rstrip(".") or type(error).__name__) from error
        except httpx.HTTPError as error:
            raise self._foreign(message) from error

    async def _read(self, message: Message, answer: httpx.Response) -> Said | None:
        kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if answer.is_success and kind == "text/event-stream" and message.id is not None:
            return await self._listen(message, answer)
        said = messages.said((await answer.aread()).decode(errors="replace"))
        if not answer.is_success:
            return self._refused(message, answer, said)
        if message.id is not None and (said is None or not said.answers):
            raise self._foreign(message)
        return said

    def _refused(self, message: Message, answer: httpx.Response, said: Said | None) -> Said:
        """The answer that is an error, unless there is more to do about it than to read it."""
        error = refusal(answer)
        detail = ((said and said.complaint) or error.detail)[:DETAIL]
        if answer.status_code in AWAY:
            after = answer.headers.get("Retry-After", "")
            raise Away(detail.rstrip("."), float(after) if after.isdecimal() else 0)
        if answer.status_code in SHUT:
            raise self._shut(message, detail.rstrip("."), SHUT[answer.status_code])
        if message.id is None or said is None or not said.answers:
            raise Refused(NO_ANSWER, detail, message.id, error.code)
        return said

    async def _listen(self, message: Message, answer: httpx.Response) -> Said:
        """Tell what comes until the answer comes."""
        async with aclosing(EventSource(answer).aiter_sse()) as events:
            async for event in events:
                if event.event != "message" or not event.data:
                    continue
                said = messages.said(event.data)
                if said is None:
                    raise self._foreign(message)
                if said.answers:
                    return said
                await self._tell(message, said)
        raise Away("the answer was cut off")

    def _shut(self, message: Message, reason: str, code: str) -> Refused:
        sentence = f"{self._door.url} doesn't let {self._door.name} in ({reason}); {self._door.remedy}."
        return Refused(NO_ANSWER, sentence, message.id, code)

    def _foreign(self, message: Message) -> Refused:
        sentence = f"What answers at {self._door.url} doesn't speak MCP; check SQUAD_URL."
        return Refused(NO_ANSWER, sentence, message.id, "invalid")

    def _headers(self, message: Message) -> dict[bytes, bytes]:
        """What the protocol wants to be told beside a message, and what the server wants to know of the bridge."""
        headers = {
            "Accept": "application/json, text/event-stream",
            "Content-Type": "application/json",
            "Squad-Heartbeat": "client",  # claims get a program's lease, which the bridge renews
        }
        if message.version is not None:
            self._version = message.version
            headers["Mcp-Method"] = message.method or ""
            if message.name is not None:
                headers["Mcp-Name"] = message.name
        elif message.method == "initialize":
            self._version = None  # it is about to be agreed on
        if self._version is not None:
            headers["MCP-Protocol-Version"] = self._version
        if message.calls_tool:
            headers["Idempotency-Key"] = uuid.uuid4().hex
        fields = {name.encode(): _field(value) for name, value in headers.items()}
        if self._door.token is not None:
            fields[b"Authorization"] = f"Bearer {self._door.token}".encode(errors="replace")
        return fields


def _field(value: str) -> bytes:
    """A header's value; what couldn't stand in one is coded as the protocol has it."""
    if PLAIN.fullmatch(value) and not CODED.fullmatch(value):
        return value.encode()
    return b"=?base64?" + base64.b64encode(value.encode(errors="replace")) + b"?="
